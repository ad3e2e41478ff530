"""Threads that a test schedules: the driver's lines, stopped before each access to the outside.

Each thread is a greenlet. It runs until the driver's next word to the outside and stops in front of
it; whoever schedules decides who goes on. So a run is a function of these decisions alone, and any
interleaving of accesses can be had.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs
import greenlet

from impl.runtime import WaitQueue

__all__ = ["HostThread", "Lock", "Signal", "Sleep", "Standing"]


ABANDONED: Final[list[greenlet.greenlet]] = []
"""Threads that a failed run left in the middle of their work. One that is forgotten is unwound, and
its clean-up would then speak to a simulation that is gone."""


class Signal(Exception):  # noqa: N818 - what a signal handler raises need not be an error
    """What a signal handler raises in a sleeping call."""


class Standing(enum.Enum):
    """What a thread is about to do."""

    IDLE = "idle"
    READY = "stands before an access"
    WAITS_FOR_LOCK = "waits for the lock"
    SLEEPS = "sleeps"
    WAITS_FOR_INTERRUPT = "waits for an interrupt"
    NEVER_GOES_ON = "ended the run"


@attrs.define(eq=False)
class Sleep:
    """A sleep: on what, until when, on whose behalf, and how it ends."""

    queue: WaitQueue
    deadline: float | None
    handle: object
    notified: bool = False
    cancelled: bool = False
    ending: BaseException | None = None


@attrs.define(eq=False)
class HostThread:
    """One thread.

    Attributes:
        number: The thread of the specification that it is, for the call at hand.
        standing: What it is about to do.
        access: The access that it stands before.
        run_on: It is not stopped before its next access.
        barrier: Stores that no store issued from now on may overtake.
        register_barrier: Stores that no register write issued from now on may overtake.
        early: Loads that were satisfied ahead of their turn, by region and offset.
        unanswered: Register writes that a register read of the thread's waits for.
        sleep: How it sleeps, while it does.
        vector: The interrupt that it waits for, while it does.
        result: What its work returned.
        error: What its work raised.
    """

    number: int
    standing: Standing = Standing.IDLE
    access: str = ""
    run_on: bool = False
    barrier: tuple[Any, ...] = ()
    register_barrier: tuple[Any, ...] = ()
    early: dict[Any, Any] = attrs.field(factory=dict)
    unanswered: tuple[Any, ...] = ()
    sleep: Sleep | None = None
    vector: int = 0
    result: Any = None
    error: BaseException | None = None
    _body: greenlet.greenlet | None = None

    def begin(self, body: Callable[[], Any]) -> None:
        """Give the thread something to do; it stands before the first line of it."""

        def run() -> None:
            try:
                self.result = body()
            except greenlet.GreenletExit:
                raise
            except BaseException as error:
                self.error = error

        self.result = self.error = None
        self._body = greenlet.greenlet(run)
        self.standing = Standing.READY
        self.access = "begin"

    def go_on(self) -> bool:
        """Run until the next stop; whether the thread's work has ended."""
        body = self._body
        assert body is not None
        body.switch()
        if body.dead:
            self._body = None
            self.standing = Standing.IDLE
            return True
        return False

    def stop(self, standing: Standing, access: str = "") -> None:
        """Called in the thread: stop here until somebody lets it go on."""
        self.standing = standing
        self.access = access
        body = self._body
        assert body is not None
        body.parent.switch()

    def give_up(self) -> None:
        """Never let the thread go on."""
        if self._body is not None:
            ABANDONED.append(self._body)
            self._body = None
        self.standing = Standing.IDLE


@attrs.define(eq=False)
class Lock:
    """The driver's lock: who has it, and who is next."""

    holder: HostThread | None = None
    line: deque[HostThread] = attrs.field(factory=deque)
