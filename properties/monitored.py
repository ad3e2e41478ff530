"""Real threads, the emulated card, and the monitor looking on: `python -m properties.monitored`.

A short and varied run, for drivers with a fault and for cards with one: whatever each of them does
wrong, sooner or later the run comes to where that shows. A driver with a fault may leave threads
behind that never end, so it had better be run in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from emulator.backend import Laboratory
from emulator.running import RunningCard
from impl.errors import WouldBlockError
from impl.runtime import WaitQueue
from impl.settings import Settings
from model.layout import ECHO, Command
from model.state import Flags
from properties.driver_source import PRESENT, DriverCode
from properties.monitored_bench import MEETING, SOON, STRAYS, MonitoredBench, attempt

__all__ = ["MonitoredRun", "play"]

SETTINGS: Final = Settings(ring_shift=1, reset_polls=50, drain_timeout=0.2, command_timeout=0.3)
NOBODY: Final = 0x0BAD_F00D
GROUP: Final = 0x8000_4711
EXACT: Final = 0xFFFF_FFFF
PATIENCE: Final = 120.0
"""Seconds after which a run is left to itself."""


@attrs.frozen
class MonitoredRun:
    """What the monitor says.

    Attributes:
        finding: What was wrong, and who did it; "" if nothing was.
        gave_up: Why it did not look at all of it; "" if it did.
        accesses: How many accesses it judged.
        hung: The run did not come to its end.
    """

    finding: str
    gave_up: str
    accesses: int
    hung: bool = False


def play(
    code: DriverCode = PRESENT,
    *,
    settings: Settings = SETTINGS,
    prepare: Callable[[RunningCard], None] = lambda card: None,
) -> MonitoredRun:
    """Make the run with a driver, and a card that `prepare` may have changed."""
    laboratory = Laboratory()
    stage = MonitoredBench(code, settings, laboratory)
    prepare(stage.card)
    outcome: list[MonitoredRun] = []
    thread = threading.Thread(target=lambda: outcome.append(_scenes(stage)), daemon=True)
    thread.start()
    _await_end(stage, thread)
    if not outcome:
        return MonitoredRun(stage.finding, stage.watch.gave_up, stage.watch.accesses, hung=True)
    laboratory.power_off()
    return outcome[0]


def _await_end(stage: MonitoredBench, thread: threading.Thread) -> None:
    """Wait until the run ends; once something was wrong it is given a moment only."""
    end = time.monotonic() + PATIENCE
    while thread.is_alive() and time.monotonic() < end and not stage.finding:
        thread.join(0.05)
    thread.join(SOON)


def _scenes(stage: MonitoredBench) -> MonitoredRun:
    accesses = 0
    for scene in SCENES:
        with contextlib.suppress(*STRAYS), stage.attached():
            scene(stage)
        stage.joined()
        accesses += stage.watch.accesses
        if stage.watch.finding or stage.watch.gave_up:
            break
    return MonitoredRun(stage.watch.finding, stage.watch.gave_up, accesses)


# Scenes


def _packets_come_and_go(stage: MonitoredBench) -> None:
    """Packets of all sizes, one by one and in batches, copied and on loan."""
    with stage.open() as duct:
        stage.interrupt(0)
        for size in (0, 1, 5000, 16384, 0, 3):
            payload = bytes([size & 0xFF]) * size
            attempt(
                functools.partial(
                    duct.send, ECHO.address, (payload[:7], payload[7:]), timeout=SOON
                ),
                lambda: duct.receive(timeout=SOON),
                lambda: duct.receive(blocking=False),
                duct.poll,
            )
        attempt(
            lambda: duct.send_batch([(ECHO.address, b"a"), (ECHO.address, b"")], timeout=SOON),
            lambda: duct.receive_view(timeout=SOON).release(),
            duct.poll,
            lambda: duct.receive_batch(2, timeout=SOON),
            lambda: duct.send_batch([(NOBODY, b"x")] * 5, timeout=SOON),
            lambda: duct.send_batch([(NOBODY, b"x")] * 5, blocking=False),
        )


def _filters_change(stage: MonitoredBench) -> None:
    """Filters are added until the table is full, and removed again."""
    with stage.open() as duct:
        for number in range(17):
            attempt(functools.partial(duct.add_multicast, EXACT, GROUP + number, timeout=SOON))
        attempt(
            lambda: duct.send(GROUP, b"to all", timeout=SOON),
            lambda: duct.receive(timeout=SOON),
            lambda: duct.remove_multicast(EXACT, GROUP, timeout=SOON),
            lambda: duct.remove_multicast(EXACT, GROUP, timeout=SOON),
        )
        for number in range(3):
            remove = functools.partial(duct.remove_multicast, EXACT, GROUP + number, timeout=SOON)
            stage.beside(remove)
        stage.joined()


def _callers_wait(stage: MonitoredBench) -> None:
    """Receivers and senders wait for each other, and for a card that stands still."""
    with stage.open() as duct, stage.open() as other:
        for _ in range(2):
            stage.beside(lambda: duct.receive(timeout=SOON))
        stage.sleeping(2)
        attempt(
            lambda: other.send_batch([(ECHO.address, b"1"), (ECHO.address, b"2")], timeout=SOON)
        )
        stage.joined()
        with stage.standing_still():
            with contextlib.suppress(WouldBlockError):
                while True:
                    duct.send(NOBODY, b"x", blocking=False)
            for _ in range(2):
                stage.beside(lambda: other.send(NOBODY, b"y", timeout=SOON))
                stage.beside(lambda: other.send_batch([(NOBODY, b"z")] * 3, timeout=SOON))
            stage.sleeping(4)
            attempt(lambda: duct.send(NOBODY, b"late", timeout=0.01))
            attempt(lambda: duct.add_multicast(EXACT, GROUP, timeout=0.01))
        stage.joined()
        attempt(lambda: duct.receive(timeout=0.01))
        stage.beside(lambda: duct.receive(timeout=SOON))
        stage.sleeping(1)
        duct.close()
        stage.joined()


def _receivers_are_slow(stage: MonitoredBench) -> None:
    """More packets than slots, while packets on loan are given back out of order."""
    with stage.open() as duct:
        send = functools.partial(duct.send, ECHO.address, b"echo", timeout=SOON)
        attempt(send, send)
        stage.card.wait_until_idle(SOON)
        attempt(send)
        one, two = duct.receive_view(timeout=SOON), duct.receive_view(timeout=SOON)
        attempt(send, duct.poll, two.release, one.release, send, send)
        attempt(lambda: duct.receive(timeout=SOON), lambda: duct.receive(timeout=SOON))
        view = duct.receive_view(blocking=False) if duct.poll().next_length else None
        stage.beside(lambda: duct.receive(timeout=SOON))
        stage.sleeping(1)
        duct.close()
        stage.joined()
        assert view is None or view is not None


def _the_card_fails(stage: MonitoredBench) -> None:
    """The card fails with callers waiting, and says so twice; it is opened again, and works."""
    duct = stage.open()
    stage.beside(lambda: duct.receive(timeout=SOON))
    stage.beside(lambda: duct.receive(timeout=SOON))
    stage.sleeping(2)
    stage.card.fail()
    stage.joined()
    for _ in range(2):
        stage.interrupt(1)
    attempt(duct.poll, stage.open, lambda: duct.send(NOBODY, b"", timeout=SOON), duct.close)
    _packets_come_and_go(stage)


def _packets_are_left(stage: MonitoredBench) -> None:
    """The card is closed with packets on its rings, when it stands still and when it does not."""
    duct = stage.open()
    attempt(lambda: duct.send_batch([(ECHO.address, b"x")] * 2, blocking=False))
    attempt(lambda: duct.send_batch([(ECHO.address, b"x")] * 2, blocking=False), duct.close)
    duct = stage.open()
    with stage.standing_still():
        attempt(lambda: duct.send_batch([(ECHO.address, b"x")] * 2, blocking=False))
        attempt(duct.close)
    _packets_come_and_go(stage)


def _a_slot_is_used_again(stage: MonitoredBench) -> None:
    """A slot that came back is filled again before the one who sent with it before wakes."""
    with stage.open() as duct, stage.standing_still():
        stage.beside(lambda: duct.send(NOBODY, b"1", timeout=MEETING))
        stage.sleeping(1)
        attempt(lambda: duct.send(NOBODY, b"2", blocking=False))
        # The second call woke the first one, which must not stand in the line now.
        stage.sleeping(1)
        stage.woken_last(stage.card.go_on, lambda: duct.send(NOBODY, b"newcomer", blocking=False))
        stage.joined()


def _a_newcomer_finds_room(stage: MonitoredBench) -> None:
    """There is room on the ring, and a newcomer comes before those who have waited for it."""
    with stage.open() as duct:
        with stage.standing_still():
            with contextlib.suppress(WouldBlockError):
                while True:
                    duct.send(NOBODY, b"x", blocking=False)
            stage.beside(lambda: duct.send(NOBODY, b"y", timeout=MEETING))
            stage.sleeping(1)
            stage.woken_last(stage.card.go_on, lambda: duct.send(NOBODY, b"newcomer", timeout=SOON))
        stage.joined()


def _a_reader_comes_behind_another(stage: MonitoredBench) -> None:
    """Packets come for a reader that sleeps, and a newcomer is in line before that one looks."""
    with stage.open() as duct:
        with stage.standing_still():
            stage.beside(lambda: duct.receive_batch(2, timeout=MEETING))
            stage.sleeping(1)
            duct.send_batch([(ECHO.address, b"x")] * 2, blocking=False)
            stage.woken_last(stage.card.go_on, lambda: duct.receive(timeout=SOON))
        stage.joined()


def _a_reader_is_up_before_its_turn(stage: MonitoredBench) -> None:
    """Packets come for two readers that sleep, and the second one looks before the first."""
    with stage.open() as duct:
        with stage.standing_still():
            stage.beside(lambda: duct.receive_view(timeout=MEETING).release())
            stage.sleeping(1)
            stage.beside(lambda: duct.receive(timeout=MEETING))
            stage.sleeping(2)
            duct.send_batch([(ECHO.address, b"x")] * 2, blocking=False)
            stage.woken_last(stage.card.go_on, lambda: stage.rouse(WaitQueue.READERS))
        stage.joined()


def _answers_come_together(stage: MonitoredBench) -> None:
    """Two commands are answered, one with an error, before either caller wakes."""
    with stage.open() as duct:
        with stage.standing_still():
            stage.beside(lambda: duct.add_multicast(EXACT, GROUP, timeout=MEETING))
            stage.sleeping(1)
            stage.beside(lambda: duct.remove_multicast(EXACT, GROUP + 1, timeout=MEETING))
            stage.sleeping(2)
            stage.woken_last(stage.card.go_on, duct.poll)
        stage.joined()


def _commands_wait_for_slots(stage: MonitoredBench) -> None:
    """There are more commands than slots, so that two of their callers wait for room."""
    with stage.open() as duct:
        with stage.standing_still():
            for number in range(4):
                add = functools.partial(duct.add_multicast, EXACT, GROUP + number, timeout=MEETING)
                stage.beside(add)
                stage.sleeping(number + 1)
        stage.joined()


def _an_open_comes_when_another_is_done(stage: MonitoredBench) -> None:
    """The card is opened just when another open is about to be done."""
    _an_open_comes_after_the_answer(stage, Command.ADDFILT, lambda: stage.open().close())


def _an_open_comes_when_a_close_is_done(stage: MonitoredBench) -> None:
    """The card is opened just when the last close is about to be done."""
    _an_open_comes_after_the_answer(stage, Command.FLUSHFILT, stage.open().close)


def _an_open_comes_after_the_answer(
    stage: MonitoredBench, command: Command, begin: Callable[[], None]
) -> None:
    with contextlib.ExitStack() as stuck:
        stuck.enter_context(stage.stuck_at(command))
        stage.beside(begin)
        stage.waiting_for_answer(command)
        stage.woken_last(stuck.close, lambda: stage.open().close())
    stage.card.go_on()
    stage.joined()


def _interrupts_come_late(stage: MonitoredBench) -> None:
    """Interrupts come when the card is closed, and for a failure that there was not."""
    duct = stage.open()
    stage.interrupt(1)
    attempt(lambda: duct.send(NOBODY, b"x", timeout=SOON), duct.close)
    stage.interrupt(0)
    duct = stage.open()
    stage.card.fail()
    attempt(duct.close)
    stage.interrupt(0)
    stage.interrupt(1)
    attempt(stage.open)


def _a_failure_finds_packets(stage: MonitoredBench) -> None:
    """The card fails with packets on its ring, one of which is waited for."""
    duct = stage.open()
    with stage.standing_still():
        stage.beside(lambda: duct.send(NOBODY, b"x", timeout=SOON))
        stage.sleeping(1)
        attempt(lambda: duct.send(NOBODY, b"y", blocking=False))
        stage.card.fail()
        stage.joined()
    attempt(duct.close)
    _packets_come_and_go(stage)


def _commands_stay_unanswered(stage: MonitoredBench) -> None:
    """START is not answered; then STOP is not, and the reset that follows takes too long."""
    with stage.standing_still():
        attempt(stage.open)
    with stage.answering_start_only():
        attempt(stage.open)
    duct = stage.open()
    with stage.never_back(), stage.standing_still():
        attempt(lambda: duct.send(NOBODY, b"y", blocking=False), duct.close, stage.open)
    stage.interrupt(0)
    duct = stage.open()
    attempt(lambda: duct.send(NOBODY, b"x", timeout=SOON), duct.close)


def _a_reset_fails(stage: MonitoredBench) -> None:
    """The card fails again while it comes back from its reset."""
    with stage.never_back():
        stage.beside(lambda: stage.open().close())
        for _ in range(1000):
            if stage.card.card.flags is Flags.RESETTING:
                break
            threading.Event().wait(0.001)
        stage.card.fail()
    stage.joined()
    attempt(lambda: stage.open().close())


def _an_open_meets_a_close(stage: MonitoredBench) -> None:
    """The card is opened while it is being closed, which takes its time."""
    duct = stage.open()
    with stage.standing_still():
        attempt(lambda: duct.send(NOBODY, b"y", blocking=False))
        stage.beside(duct.close)
        stage.sleeping(1)
        stage.beside(lambda: stage.open().close())
        stage.sleeping(2)
    stage.joined()
    attempt(lambda: stage.open().close())


def _an_open_meets_another(stage: MonitoredBench) -> None:
    """The card is opened while it is being opened, which takes its time."""
    with stage.standing_still():
        for number in (1, 2):
            stage.beside(lambda: stage.open().close())
            stage.sleeping(number)
    stage.joined()
    attempt(lambda: stage.open().close())


def _opens_meet(stage: MonitoredBench) -> None:
    """Several threads open and close the card at once."""

    def once() -> None:
        with stage.open() as duct:
            duct.send(NOBODY, b"x", timeout=SOON)

    for _ in range(4):
        stage.beside(once)
    stage.joined()
    attempt(once)


SCENES: Final = (
    _packets_come_and_go,
    _filters_change,
    _callers_wait,
    _receivers_are_slow,
    _the_card_fails,
    _packets_are_left,
    _a_slot_is_used_again,
    _a_newcomer_finds_room,
    _a_reader_comes_behind_another,
    _a_reader_is_up_before_its_turn,
    _answers_come_together,
    _commands_wait_for_slots,
    _an_open_comes_when_another_is_done,
    _an_open_comes_when_a_close_is_done,
    _interrupts_come_late,
    _a_failure_finds_packets,
    _commands_stay_unanswered,
    _a_reset_fails,
    _an_open_meets_a_close,
    _an_open_meets_another,
    _opens_meet,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns 0 if the monitor has nothing to say, and 1 if it has."""
    parser = argparse.ArgumentParser(
        prog="python -m properties.monitored",
        description="A short run of the driver with real threads while the monitor looks on.",
    )
    parser.add_argument("--fault", help="make it with this fault of the driver")
    options = parser.parse_args(arguments)
    code = PRESENT
    if options.fault is not None:
        from properties.faults import fault

        code = DriverCode.changed(fault(options.fault).changes)
    outcome = play(code)
    wrong = outcome.finding or outcome.gave_up
    print(wrong or f"{outcome.accesses:,} accesses, and all were right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
