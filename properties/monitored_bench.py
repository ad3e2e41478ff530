"""Where a driver and a card are brought into situations on purpose, while the monitor looks on.

The driver runs in real threads, and what happens among threads depends on who comes first. Most
situations here come about whoever that is; where the order matters, `MonitoredBench.woken_last`
makes it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from emulator.backend import Laboratory
from emulator.running import RunningCard
from impl.errors import DuctError, SpecificationError
from impl.runtime import WaitQueue
from impl.settings import Monitoring, Settings
from impl.threads import FairLock, ThreadRuntime
from impl.watch import Watch
from model.layout import IDENTITY, Command
from model.state import Stage
from monitor.watch import watch
from properties.driver_source import DriverCode

__all__ = ["MEETING", "SOON", "STRAYS", "MonitoredBench", "attempt"]

SOON: Final = 1.0
"""Seconds after which what does not come is not waited for any more."""
MEETING: Final = 10.0
"""Seconds within which threads that are to meet have met, however busy the machine is."""
STRAYS: Final = (DuctError, AssertionError, AttributeError, IndexError, TypeError, ValueError)
"""What a driver with a fault may raise, besides what it should."""


class MonitoredBench:
    """A card, and the driver that a run is made with.

    Attributes:
        card: The card.
        watch: The monitor of the present attachment.
    """

    watch: Watch
    _runtime: ThreadRuntime
    _attachment: Any

    def __init__(self, code: DriverCode, settings: Settings, laboratory: Laboratory) -> None:
        self.card: RunningCard = laboratory.card()
        self._code = code
        self._settings = settings
        self._laboratory = laboratory
        self._background: list[threading.Thread] = []

    @property
    def finding(self) -> str:
        """What was wrong, and who did it; "" if nothing was."""
        watch = getattr(self, "watch", None)
        return watch.finding if watch is not None else ""

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """The driver has hold of the card."""
        self.watch = watch(self._settings, Monitoring())
        self._runtime = ThreadRuntime()
        self._attachment = self._code.Attachment.watched(
            self._laboratory.open(), self._runtime, self._settings, self.watch
        )
        try:
            yield
        finally:
            self._attachment.detach()

    def open(self) -> Any:
        """One more open of the card."""
        return self._code.DuctDriver(self._attachment)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """The card does not touch memory."""
        self.card.stand_still()
        try:
            yield
        finally:
            self.card.go_on()

    @contextlib.contextmanager
    def never_back(self) -> Iterator[None]:
        """A reset of the card does not come to its end."""
        with self._never(lambda step: step == "card.reset_over"):
            yield

    @contextlib.contextmanager
    def stuck_at(self, command: Command) -> Iterator[None]:
        """The card fetches this command and does not get any further."""
        engine = self.card.card.cmd
        with self._never(lambda step: step == "cmd.execute" and engine.slot.type == command):
            yield

    @contextlib.contextmanager
    def _never(self, forbidden: Callable[[str], bool]) -> Iterator[None]:
        """The card takes no step that is forbidden."""
        undo = self.card.choice.around(
            lambda choose: [name for name in choose() if not forbidden(name)]
        )
        try:
            yield
        finally:
            undo()
            with self.card.held():
                pass

    @contextlib.contextmanager
    def answering_start_only(self) -> Iterator[None]:
        """The card stands still once packet traffic is on."""
        card = self.card.card

        def and_no_more(complete: Callable[[], None]) -> None:
            complete()
            card.bus_master = not card.started

        undo = card.step("cmd.complete").around(and_no_more)
        try:
            yield
        finally:
            undo()
            self.card.go_on()

    def interrupt(self, vector: int) -> None:
        """A vector is raised for no reason, and served."""
        before = self.watch.accesses
        with self.card.held() as card:
            if vector == IDENTITY.fatal_vector:
                card.vector1 = True
            else:
                card.vector0 = True
        for _ in range(200):
            if self.watch.accesses > before + vector:
                return
            threading.Event().wait(0.001)

    def beside(self, body: Callable[[], Any]) -> None:
        """Do something in another thread; what it raises is its own affair."""

        def run() -> None:
            with contextlib.suppress(*STRAYS):
                body()

        thread = threading.Thread(target=run, daemon=True)
        self._background.append(thread)
        thread.start()

    def joined(self) -> None:
        """All that was begun beside has ended."""
        for thread in self._background:
            thread.join(2 * SOON)
        self._background.clear()

    def sleeping(self, number: int) -> None:
        """Wait until so many calls sleep, and were not woken meanwhile; not for ever."""
        observer = self.watch.observer  # type: ignore[attr-defined]
        self._until(
            lambda: sum(not sleep.told for sleep in list(observer.asleep.values())) >= number
        )

    def waiting_for_answer(self, command: Command) -> None:
        """Wait until the card, stuck at this command, has fetched it; not for ever."""
        engine = self.card.card.cmd
        self._until(lambda: engine.stage is Stage.EXECUTE and engine.slot.type == command)

    def woken_last(self, go_on: Callable[[], object], newcomer: Callable[[], Any]) -> None:
        """Let the card go on, and whoever it wakes come later than somebody who did not sleep.

        The driver's lock goes to those who want it in the order in which they come: first to the
        handler of the card's interrupt, then to a newcomer, then to those whom the handler woke.
        By the time the newcomer has it, the card stands still again.

        Args:
            go_on: Lets the card do something that it raises vector 0 for.
            newcomer: What the newcomer does, in a thread of its own.
        """
        self._runtime.lock()
        try:
            go_on()
            self._in_line(1)
            self.card.wait_until_idle(SOON)
            self.card.stand_still()
            self.beside(newcomer)
            self._in_line(2)
        finally:
            self._runtime.unlock()

    def rouse(self, queue: WaitQueue) -> None:
        """The last one to fall asleep on a queue gets up for no reason. The lock is held."""
        self._runtime._sleepers[queue].pop().alarm.release()

    def _in_line(self, number: int) -> None:
        """Wait until so many threads stand in line for the driver's lock; not for ever."""
        lock = self._runtime._lock
        assert isinstance(lock, FairLock), "with a monitor it is Python that makes the accesses"
        self._until(lambda: len(lock.in_line) >= number)

    def _until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + MEETING
        while not true() and not self.watch.finding and time.monotonic() < end:
            threading.Event().wait(0.002)


def attempt(*bodies: Callable[[], Any]) -> None:
    """Do one after the other, whatever each raises; a finding ends it."""
    for body in bodies:
        try:
            body()
        except SpecificationError:
            raise
        except STRAYS:
            continue
