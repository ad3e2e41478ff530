"""Looking for a run of the driver in which a fault shows.

Most faults show within a second when Hypothesis decides what happens. Some need several rare things
one after the other: for these there is a *scene*, a few decisions that lead to the place, made from
what `Simulation.decide` understands. Scenes and search judge the same way, and the driver as it is
must come through all of them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from impl.memory import Purpose
from judge.judge import Deviation
from model.layout import Command
from model.state import EVENT_THREAD, Label
from properties.driver_source import DriverCode
from properties.faults import DriverFault
from properties.replay import Run
from properties.simulation.host import Ending
from properties.simulation.simulation import HWADDR, TOO_LONG, Decision, Setup, Simulation
from properties.simulation.threads import Standing
from properties.stateful import DriverMachine, machine_of, specification_at

__all__ = ["EXAMPLES", "SCENES", "Finding", "Scene", "Script", "caught", "play", "search"]

EXAMPLES: Final = 200
"""Runs after which a search ends without a finding; that takes about eight seconds."""
SEARCHES: Final = 5
"""Searches for one fault. Which runs a search makes depends on every module that is loaded, since
Hypothesis makes use of their constants; so one alone may have bad luck."""
STEPS: Final = 40
FIRST: Final = 2
"""The first thread that users' calls are made by."""

Excluded: TypeAlias = Callable[[Simulation, Decision], bool]
"""Whether something that could happen is held back."""
Condition: TypeAlias = Callable[[Simulation], bool]


@attrs.frozen
class Finding:
    """What a search or a scene came to.

    Attributes:
        run: The run that was the last one, to be replayed.
        deviation: What is wrong with it; None if nothing is.
        accesses: Accesses judged until then.
        seconds: How long that took.
    """

    run: Run | None
    deviation: Deviation | None
    accesses: int
    seconds: float


def caught(wrong: DriverFault, examples: int = EXAMPLES) -> Finding:
    """Look for a run in which the fault shows: in its scene if it has one, otherwise everywhere."""
    code, name = DriverCode.changed(wrong.changes), wrong.fault.id
    if name in SCENES:
        return play(SCENES[name], code, name)
    for number in range(SEARCHES):
        found = search(code, name, examples, number=number)
        if found.deviation is not None:
            break
    return found


# Everywhere


def search(
    code: DriverCode,
    fault: str = "",
    examples: int = EXAMPLES,
    *,
    number: int = 0,
    shrink: bool = False,
    saves_to: Path | None = None,
) -> Finding:
    """Run a driver with decisions of Hypothesis, the same every time, until a run deviates.

    Args:
        code: The driver.
        fault: The name of its fault.
        examples: The number of runs.
        number: Searches with other numbers make other runs.
        shrink: Make the run that deviates as short as possible.
        saves_to: Where that run is written to.
    """
    simulations: list[Simulation] = []

    def teardown(self: DriverMachine) -> None:
        if hasattr(self, "simulation"):
            simulations[:] = [self.simulation]
        DriverMachine.teardown(self)

    machine = machine_of(code, fault=fault, saves_to=saves_to)
    machine.teardown = teardown  # type: ignore[method-assign]
    began = time.perf_counter()
    deviation = None
    try:
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                database=None,
                phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
                deadline=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Deviation as found:
        deviation = found
    seconds = time.perf_counter() - began
    (simulation,) = simulations
    return Finding(
        Run(simulation.setup, tuple(simulation.decisions), fault),
        deviation,
        machine.accesses + simulation.steps * simulation.broken,
        seconds,
    )


# Scenes


class Script:
    """Decisions in the words that scenes are written in.

    Attributes:
        simulation: The run.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def do(self, *decision: Any) -> None:
        """Let one thing happen."""
        self.simulation.decide(decision)

    def rest(self, *, without: Excluded | None = None) -> None:
        """Let everything happen that must, except what is held back."""
        if without is None:
            self.simulation.settle()
        while without is not None and (option := self._next(without)):
            self.do(*option)

    def until(self, condition: Condition, *, without: Excluded = lambda *_: False) -> None:
        """Let things happen until a condition holds, except what is held back."""
        while not condition(self.simulation):
            option = self._next(without)
            if option is None:
                # Not a finding: the scene does not lead where it should.
                raise RuntimeError("nothing goes on, and the scene's condition does not hold")
            self.do(*option)

    def _next(self, without: Excluded) -> Decision | None:
        simulation = self.simulation
        return next((item for item in simulation.options() if not without(simulation, item)), None)

    def happens(self, *decision: Any) -> None:
        """Let one thing happen, and then everything that must."""
        self.do(*decision)
        self.rest()

    def opened(self) -> None:
        """The card is opened and comes to rest."""
        self.happens("open")

    def expires(self, thread: int = FIRST) -> None:
        """A thread's sleep reaches its deadline."""
        self.do("up", thread, Ending.EXPIRED)


def held(*kinds: Any) -> Excluded:
    """Hold decisions back that begin so: `held("card")`, `held("card", "card.reset_over")`."""
    return lambda _, decision: decision[: len(kinds)] == kinds


def at(label: Label, *, thread: int = FIRST, asleep: bool = False) -> Condition:
    """A thread is at a label, and sleeps there if that is asked for."""

    def holds(simulation: Simulation) -> bool:
        standing = simulation.host.threads[thread].standing
        here = simulation.judge.pc(thread) is label
        return here and (standing is Standing.SLEEPS or not asleep)

    return holds


def _first_goes_on_after(script: Script, *commands: Command) -> None:
    """The first user has the card do commands, while the second one waits for the first."""
    for _ in commands:
        script.until(at(Label.CMD_WAIT, asleep=True))
        # Interrupts wake the second one too; it sleeps again before the first one goes on.
        script.rest(without=held("up", FIRST))
        script.do("up", FIRST, Ending.NOTIFIED)
    script.rest()


def _an_open_meets_another(script: Script) -> None:
    """Two users open the card at the same time."""
    script.do("open")
    script.do("open")
    _first_goes_on_after(script, Command.START, Command.ADDFILT)


def _an_open_meets_a_close(script: Script) -> None:
    """A user opens the card while another one closes it."""
    script.opened()
    script.do("close", 0)
    script.do("open")
    _first_goes_on_after(script, Command.STOP, Command.FLUSHFILT)


def _a_failed_card_is_opened_again(script: Script) -> None:
    """The card fails, is opened once more while it is still open, and is closed."""
    script.opened()
    script.happens("fail")
    script.happens("open")


def _a_failed_card_is_used_again(script: Script) -> None:
    """The card fails and is closed, which resets it; it is opened once more."""
    script.opened()
    script.happens("fail")
    script.happens("close", 0)
    script.opened()


def a_call_is_turned_away(script: Script) -> None:
    """The card fails, and a user sends."""
    script.opened()
    script.happens("fail")
    script.happens("send", 0, HWADDR, (1,), False)


def _a_packet_is_sent(script: Script) -> None:
    """A user sends a packet."""
    script.opened()
    script.happens("send", 0, HWADDR, (1,), False)


def _two_opens_are_closed(script: Script) -> None:
    """The card is opened twice, and closed twice."""
    script.opened()
    script.opened()
    for _ in range(2):
        script.happens("close", 0)


def a_packet_is_lent(script: Script) -> None:
    """A packet arrives, and a user receives it in place."""
    script.opened()
    script.happens("offer", HWADDR, 1)
    script.happens("receive", 0, True, True)


def _a_reset_takes_too_long(script: Script) -> None:
    """The card is opened and does not come back from its reset."""
    script.do("open")
    script.rest(without=held("card", "card.reset_over"))
    script.rest()


def _a_reset_fails(script: Script) -> None:
    """The card is opened, and fails again while it comes back."""
    script.do("open")
    script.until(at(Label.POLL), without=held("card", "card.reset_over"))
    script.happens("fail")


def _a_close_that_fails(script: Script) -> None:
    """The card fails with a packet queued; its reset takes too long; an interrupt comes late."""
    script.opened()
    script.do("send", 0, HWADDR, (1,), False)
    script.do("filter", 0, 1, False)
    script.rest(without=held("card"))
    script.happens("fail")
    script.do("close", 0)
    script.rest(without=held("card", "card.reset_over"))
    script.happens("spurious")


def _a_stop_without_answer(script: Script) -> None:
    """The card does not answer STOP, and does not come back from the reset either."""
    script.opened()
    script.do("close", 0)
    script.until(at(Label.CMD_WAIT, asleep=True), without=held("card"))
    script.expires()
    script.rest(without=held("card"))
    script.opened()


def _a_failure_told_late(script: Script) -> None:
    """The card fails, nobody is told, and it was closed and reset when the interrupt comes."""
    script.opened()
    script.do("fail")
    script.do("close", 0)
    script.rest(without=held("deliver", 1))
    script.expires()
    script.rest(without=held("deliver", 1))
    script.rest()
    script.opened()


def _a_failure_with_packets_queued(script: Script) -> None:
    """A packet is queued, the card fails before it looks, and is closed."""
    script.opened()
    script.do("send", 0, HWADDR, (1,), False)
    script.rest(without=held("card"))
    script.happens("fail")
    script.happens("close", 0)


def a_packet_is_queued_at_the_close(script: Script) -> None:
    """A packet is queued, and the card, which is open, is closed before it looks."""
    script.do("send", 0, HWADDR, (1,), False)
    script.rest(without=held("card"))
    script.do("close", 0)
    script.rest(without=held("card"))
    script.rest()


def _an_open_is_closed_with_a_packet_queued(script: Script) -> None:
    """The card is opened, and closed with a packet queued."""
    script.opened()
    a_packet_is_queued_at_the_close(script)


def _an_interrupt_after_a_failed_close(script: Script) -> None:
    """The card fails and is closed and reset; an interrupt comes spuriously."""
    script.opened()
    script.happens("fail")
    script.happens("close", 0)
    script.happens("spurious")


def _a_close_ends_a_receive(script: Script) -> None:
    """The card is closed while a user waits for a packet."""
    script.opened()
    script.happens("receive", 0, True, False)
    script.happens("close", 0)


def _one_of_two_opens_is_closed(script: Script) -> None:
    """One of two opens is closed while a user waits for a packet in it: that call ends."""
    script.opened()
    script.opened()
    script.happens("receive", 0, True, False)
    script.happens("close", 0)
    if script.simulation.calls:
        raise Deviation("an open was closed, and a call that waits in it has not ended")


def _a_view_meets_a_close(script: Script) -> None:
    """A driver object is closed between taking a packet and lending it to the user."""
    script.opened()
    script.happens("offer", HWADDR, 1)
    script.do("receive", 0, True, True)
    script.until(at(Label.RX_FIRST_WORD))
    script.do("close", 0)
    script.happens("run", FIRST + 1)


def _start_is_seen_early(script: Script) -> None:
    """The card finds START in memory before any register write has arrived."""
    script.do("open")
    script.until(at(Label.BASE))
    script.until(at(Label.CMD_WAIT, asleep=True), without=held("arrive"))
    script.do("card", "cmd.look_ahead")
    script.rest(without=held("arrive"))
    script.rest()


def _a_slot_is_given_back_before_close(script: Script) -> None:
    """What a reader stored to give its slot back is not visible yet when the card is closed."""

    def late(simulation: Simulation, decision: Decision) -> bool:
        kind, *about = decision
        pending = simulation.host.memory.pending
        return kind == "show" and pending[about[0]].region.purpose is Purpose.RECEIVE_RING

    script.opened()
    script.happens("offer", HWADDR, 1)
    script.do("receive", 0, True, False)
    script.rest(without=late)
    # The first thread goes on to something else, so that another one closes the card.
    script.do("receive", 0, True, False)
    script.rest(without=late)
    script.do("close", 0)
    script.rest(without=late)


def a_packet_is_received(script: Script) -> None:
    """A packet arrives, and a user receives it."""
    script.opened()
    script.happens("offer", HWADDR, 1)
    script.happens("receive", 0, True, False)


def _a_woken_reader_runs_out_of_time(script: Script) -> None:
    """Two users wait for a packet; one comes, the second looks, the first is out of time."""
    script.opened()
    script.happens("receive", 0, True, False)
    script.happens("receive", 0, True, False)
    script.do("offer", HWADDR, 1)
    script.rest(without=held("up", FIRST))
    script.expires()
    script.rest()


def two_packets_for_two_readers(script: Script, *, lent: bool) -> None:
    """Two users wait for packets, in place or not; the second looks before the first."""
    script.opened()
    for _ in range(2):
        script.happens("receive", 0, True, lent)
    for _ in range(2):
        script.do("offer", HWADDR, 1)
        script.rest(without=held("up", FIRST))
    script.rest()


def _a_batch_leaves_a_packet_to_the_next_in_line(script: Script) -> None:
    """A user waits for two packets and another for one; two come before the handler looks."""
    script.opened()
    script.happens("batch", 0, 2, True)
    script.happens("receive", 0, True, False)
    for _ in range(2):
        script.do("offer", HWADDR, 1)
        script.rest(without=held("run", EVENT_THREAD))
    script.rest()


def _others_come_into_line_during_a_batch(script: Script) -> None:
    """While a batch copies its first packet another user takes the second, and a third waits."""

    def apart(simulation: Simulation, decision: Decision) -> bool:
        return held("run", FIRST)(simulation, decision) or held("run", EVENT_THREAD)(
            simulation, decision
        )

    script.opened()
    for _ in range(2):
        script.happens("offer", HWADDR, 1)
    script.do("batch", 0, 5, True)
    script.until(at(Label.RX_FIRST_WORD))
    for _ in range(2):
        script.do("receive", 0, True, False)
        script.rest(without=apart)
    script.do("offer", HWADDR, 1)
    script.rest(without=apart)
    script.rest(without=held("run", EVENT_THREAD))
    script.rest()


def _an_interrupt_after_a_close(script: Script) -> None:
    """The card is closed; an interrupt comes spuriously."""
    script.opened()
    script.happens("close", 0)
    script.happens("spurious")


def _the_ring_fills_up(script: Script) -> None:
    """A user fills the transmit ring, then the card sends it all: pollers see both."""
    script.opened()
    _check_writable(script, True)
    for _ in range(1 << script.simulation.setup.ring_shift):
        script.do("send", 0, HWADDR, (1,), False)
        script.rest(without=held("card"))
    _check_writable(script, False)
    script.rest()
    _check_writable(script, True)


def _check_writable(script: Script, should: bool) -> None:
    if script.simulation.host.writable is not should:
        raise Deviation(f"pollers see writable = {not should}, where it is {should}")


def _a_length_that_lies(script: Script) -> None:
    """A packet arrives, and a faulty card overwrites its length."""
    script.opened()
    script.happens("offer", HWADDR, 1)
    script.do("lie", 0, TOO_LONG)
    script.happens("receive", 0, True, False)


def _a_send_reaches_its_deadline(script: Script) -> None:
    """A user waits for the card to send a packet, for too long."""
    script.opened()
    script.do("send", 0, HWADDR, (1,), True)
    script.until(at(Label.TX_WAIT, asleep=True), without=held("card"))
    script.expires()
    script.rest()


def _more_commands_than_slots(script: Script) -> None:
    """Users add filters until two of them wait for a command slot, then the card goes on."""
    script.opened()
    for _ in range(2 + (1 << script.simulation.setup.ring_shift)):
        script.do("filter", 0, 1, False)
        script.rest(without=held("card"))
    script.rest()


def _an_open_reaches_its_deadline(script: Script) -> None:
    """The card does not answer a command of an open, which gives up."""
    script.do("open")
    script.until(at(Label.CMD_WAIT, asleep=True))
    script.expires()
    script.rest()


def _two_answers_at_once(script: Script) -> None:
    """The card refuses one user's command and executes another's before either looks."""
    script.opened()
    for remove in (True, False):
        script.do("filter", 0, 1, remove)
        script.rest(without=held("card"))
    script.rest(without=held("up"))
    script.rest()


def _a_packet_is_looked_at(script: Script) -> None:
    """A packet arrives, a user looks whether one is there, and then receives it."""
    script.opened()
    script.happens("offer", HWADDR, 1)
    script.happens("poll", 0)
    script.happens("receive", 0, True, False)


@attrs.frozen
class Scene:
    """A place that a fault shows in.

    Attributes:
        act: Leads there.
        setup: The sizes.
    """

    act: Callable[[Script], None]
    setup: Setup = Setup()


_RESET_TAKES_TOO_LONG: Final = Scene(_a_reset_takes_too_long)
_THE_RING_FILLS_UP: Final = Scene(_the_ring_fills_up)
_AN_OPEN_GIVES_UP: Final = Scene(_an_open_reaches_its_deadline)
_MORE_COMMANDS_THAN_SLOTS: Final = Scene(_more_commands_than_slots, Setup(ring_shift=1, users=4))
_A_CLOSE_THAT_FAILS: Final = Scene(_a_close_that_fails)

SCENES: Final[Mapping[str, Scene]] = {
    "interrupted-reader-tells-nobody": Scene(_a_woken_reader_runs_out_of_time),
    "batch-overtakes": Scene(_a_batch_leaves_a_packet_to_the_next_in_line, Setup(ring_shift=1)),
    "others-overtaken": Scene(_others_come_into_line_during_a_batch, Setup(ring_shift=2, users=4)),
    "wrong-channel": Scene(_a_close_ends_a_receive),
    "open-leak": Scene(_a_failed_card_is_opened_again),
    "failed-open-says-ok": Scene(_a_failed_card_is_opened_again),
    "fatal-is-forever": Scene(_a_failed_card_is_used_again),
    "close-loses-queue": Scene(_an_open_is_closed_with_a_packet_queued),
    "submit-without-lock": Scene(_a_packet_is_sent),
    "open-count": Scene(_two_opens_are_closed),
    "turns-away-unlocked": Scene(a_call_is_turned_away),
    "last-packet-leaves-readable": Scene(a_packet_is_lent),
    "next-reader-not-woken": Scene(
        functools.partial(two_packets_for_two_readers, lent=True), Setup(ring_shift=1)
    ),
    "stale-command-index": _MORE_COMMANDS_THAN_SLOTS,
    "one-per-interrupt": _MORE_COMMANDS_THAN_SLOTS,
    "shared-result": Scene(_two_answers_at_once, Setup(ring_shift=1)),
    "peek-takes": Scene(_a_packet_is_looked_at),
    "reader-overtakes": Scene(_a_woken_reader_runs_out_of_time),
    "aborted-open-keeps-card": _AN_OPEN_GIVES_UP,
    "free-while-started": _AN_OPEN_GIVES_UP,
    "opens-together": Scene(_an_open_meets_a_close),
    "leavers-not-awaited": Scene(_a_close_ends_a_receive),
    "retired-not-asked": Scene(_an_interrupt_after_a_close),
    "interruption-says-ok": Scene(_a_send_reaches_its_deadline),
    "reset-spins": _RESET_TAKES_TOO_LONG,
    "no-barrier-tx-free": Scene(_a_slot_is_given_back_before_close),
    "looks-after-free": Scene(_an_interrupt_after_a_close),
    "rings-used-after-stop": Scene(_an_interrupt_after_a_close),
    "open-wakes-nobody": Scene(_an_open_meets_another),
    "closed-wakes-nobody": Scene(_an_open_meets_a_close),
    "close-cancels-nothing": Scene(_one_of_two_opens_is_closed),
    "late-view-kept": Scene(_a_view_meets_a_close),
    "length-not-checked": Scene(_a_length_that_lies, Setup(lies=True)),
    "no-flush-before-start": Scene(_start_is_seen_early, Setup(posted=8)),
    "no-barrier-start-read": Scene(_start_is_seen_early, Setup(posted=8)),
    "full-ring-not-shown": _THE_RING_FILLS_UP,
    "free-slot-not-shown": _THE_RING_FILLS_UP,
    "pointers-not-restored": Scene(a_packet_is_received),
    "drains-a-failed-card": Scene(_a_failure_with_packets_queued),
    "failure-taken-for-granted": Scene(_a_failure_told_late),
    "failure-during-reset": Scene(_a_reset_fails),
    "reset-given-up-early": _RESET_TAKES_TOO_LONG,
    "needs-reset-not-set": Scene(_a_stop_without_answer),
    "command-ring-not-retired": _A_CLOSE_THAT_FAILS,
    "packet-rings-not-retired": Scene(_an_interrupt_after_a_failed_close),
}
"""Where faults show that a search would have to look for too long."""


def play(scene: Scene, code: DriverCode, fault: str = "") -> Finding:
    """Play a scene, then let everything come to its end."""
    began = time.perf_counter()
    setup = scene.setup
    simulation = Simulation(setup, specification_at(setup.scope()), code)
    deviation = None
    try:
        scene.act(Script(simulation))
        simulation.finish()
    except Deviation as found:
        deviation = found
    return Finding(
        Run(setup, tuple(simulation.decisions), fault),
        deviation,
        simulation.steps,
        time.perf_counter() - began,
    )
