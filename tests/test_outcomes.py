"""What callers are told is proved: absurd changes of results break obligations that are named."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest

from engine.discharge import script
from engine.executor import Executor
from engine.mutations import Mutation, both, leads, leaves, replace, then
from engine.obligations import Catalogue, Obligation
from engine.solvers import Answer, ask
from engine.steps import breaking
from engine.terms import Array, If, Number, constant
from model.opening import open_card
from model.outcomes import STEPS
from model.scope import Scope
from model.state import CAPACITY, Label, Result, Stage, State
from model.system import specification
from model.thread_spec import (
    SLEEPS_CMD,
    SLEEPS_LIFE,
    SLEEPS_RX,
    SLEEPS_TX,
    at,
    get_up,
    holds,
    unlock,
)
from proofs.outcome_faults import stops_after_two
from proofs.theory import THEORY

BEFORE = THEORY.protocol.symbols
OK, EIO, EAGAIN, EINTR = Result.OK, Result.EIO, Result.EAGAIN, Result.EINTR


@attrs.frozen
class Absurd:
    """A change of what callers are told, and the obligation that then fails."""

    what: str
    change: Mutation
    fails: str


def says(rule: str, result: Result) -> Mutation:
    """The rule's thread is given this result, whatever happened."""

    def body(s: State, t: Number, *_: Number) -> None:
        s.threads.result[t] = result

    return then(rule, body)


def instead(rule: str, of: Result, result: Result) -> Mutation:
    """The rule's thread is given one result where it would be given another one."""

    def body(s: State, t: Number, *_: Number) -> None:
        s.threads.result[t] = If(s.threads.result[t] == of, result, s.threads.result[t])

    return then(rule, body)


def refuses(length: int) -> Mutation:
    """A packet of that length is refused."""

    def body(s: State, t: Number) -> None:
        refused = s.threads.copied[t] == length
        s.threads.result[t] = If(refused, Result.EIO, s.threads.result[t])

    return then("rx.receive_packet", body)


def sets(rule: str, name: str, value: Any) -> Mutation:
    """The rule's thread has this value in one of its variables."""

    def body(s: State, t: Number, *_: Number) -> None:
        getattr(s.threads, name)[t] = value

    return then(rule, body)


def wakes_unasked(s: State, t: Number) -> None:
    s.require(s.threads.asleep[t] & at(s, t, *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_LIFE, *SLEEPS_RX))
    get_up(s, t)


def keeps_table(s: State) -> None:
    for name in ("filters", "asked"):
        setattr(s.card, name, Array(getattr(BEFORE.card, name).term))
    for name in ("filter_count", "asked_count"):
        setattr(s.card, name, getattr(BEFORE.card, name))


def adds_twice(s: State) -> None:
    s.card.filter_count = s.card.filter_count + 1
    s.card.asked_count = s.card.asked_count + 1


def takes_everything(s: State, key: Number, length: Number) -> None:
    s.require(s.card.started & (length <= CAPACITY))
    s.rx.arriving = length
    s.rx.stage = constant(Stage.LOOK)


def shortens(s: State, key: Number, length: Number) -> None:
    s.rx.arriving = If(length == 0, 0, length - 1)


def turns_away(s: State, t: Number) -> None:
    s.require(holds(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER))
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = Label.IDLE
    unlock(s)


def remembers_old_failures(s: State, t: Number) -> None:
    s.driver.failed = s.driver.failed | True


def closes_uncounted(s: State, t: Number) -> None:
    s.driver.opens = s.driver.opens + 1
    s.driver.handles = s.driver.handles + 1


def does_not_drain(s: State, t: Number) -> None:
    s.require(holds(s, t, Label.DRAIN) & ~s.driver.failed)
    s.driver.polls = s.driver.polls
    s.threads.pc[t] = Label.STOP


def keeps_vector(s: State, t: Number) -> None:
    s.card.vector0 = s.card.vector0 | True


ABSURD = (
    # The fourteen that a review applied at once, and nothing noticed
    Absurd("every call ends OK", says("exit_call", OK), "property/one-outcome/exit_call"),
    Absurd("calls that are turned away say OK", says("turn_away", OK),
           "property/send-outcome/turn_away"),
    Absurd("reads copy one byte", sets("rx.receive_packet", "copied", 1),
           "property/read-outcome/rx.receive_packet"),
    Absurd("packets of full size are refused", refuses(CAPACITY),
           "property/read-outcome/rx.receive_packet"),
    Absurd("empty packets are refused", refuses(0), "property/read-outcome/rx.receive_packet"),
    Absurd("a peek says that the next packet is empty", sets("rx.peek_packet", "length", 0),
           "property/read-outcome/rx.peek_packet"),
    Absurd("batches stop after two packets", replace("tx.ring_doorbell", stops_after_two),
           "property/batch-outcome/tx.ring_doorbell"),
    Absurd("a full ring says OK", instead("tx.refuse", EAGAIN, OK),
           "property/send-outcome/tx.refuse"),
    Absurd("a failed open says OK", says("closed", OK), "property/open-outcome/closed"),
    Absurd("a good open says EIO", says("opened", EIO), "property/open-outcome/opened"),
    Absurd("a shared open says EIO", says("open_shared", EIO), "property/open-outcome/open_shared"),
    Absurd("commands are always OK", says("cmd.completed", OK),
           "property/command-outcome/cmd.completed"),
    Absurd("an interrupted call says EIO", says("interrupt", EIO),
           "property/failed-outcome/interrupt"),
    Absurd("an empty ring says EIO", instead("rx.nothing_to_read", EAGAIN, EIO),
           "property/failed-outcome/rx.nothing_to_read"),
    # More of the same kind
    Absurd("an interrupted open says OK", says("interrupt_open", OK),
           "property/open-outcome/interrupt_open"),
    Absurd("a call that gives up says EINTR", says("tx.give_up_waiting", EINTR),
           "property/interrupted-outcome/tx.give_up_waiting"),
    Absurd("a reader that must end says EAGAIN", says("rx.refuse", EAGAIN),
           "property/again-outcome/rx.refuse"),
    Absurd("a write that failed says OK", says("tx.give_up_waiting", OK),
           "property/send-outcome/tx.give_up_waiting"),
    Absurd("a blocking write says OK when it is queued",
           instead("tx.leave_queue", Result.NONE, OK), "property/send-outcome/tx.leave_queue"),
    Absurd("calls that may not wait do", sets("enter_read", "nonblocking", False),
           "property/call-as-asked/enter_read"),
    Absurd("calls that may wait do not", sets("begin_read", "nonblocking", True),
           "property/call-as-asked/begin_read"),
    Absurd("packets are not counted", leaves("tx.store_owner", "threads.handed", "Do not count."),
           "property/batch-outcome/tx.store_owner"),
    Absurd("everybody is turned away", replace("turn_away", turns_away),
           "property/failed-outcome/turn_away"),
    Absurd("a failure is made up", then("mark_failed", remembers_old_failures),
           "property/failed-outcome/mark_failed"),
    Absurd("a close that is one of several counts nothing", then("close_shared", closes_uncounted),
           "property/close-outcome/close_shared"),
    Absurd("a close says EBADF", says("close_shared", Result.EBADF),
           "property/close-outcome/close_shared"),
    Absurd("a card that works is reset", leads("drained", Label.RESET, "Reset."),
           "property/close-outcome/drained"),
    Absurd("queued packets are not waited for", replace("drained", does_not_drain),
           "property/close-outcome/drained"),
    Absurd("commands change no filter", then("cmd.execute", keeps_table),
           "property/filter-semantics/cmd.execute"),
    Absurd("each command takes an entry of the table", then("cmd.execute", adds_twice),
           "property/filter-semantics/cmd.execute"),
    Absurd("filters do not matter", replace("rx.arrive", takes_everything),
           "property/reception-by-filter/rx.arrive"),
    Absurd("packets lose their last byte on the way in", then("rx.arrive", shortens),
           "property/reception-by-filter/rx.arrive"),
    Absurd("sleepers get up unasked", replace("wake", wakes_unasked),
           "property/sleep-outcome/wake"),
    Absurd("a vector that is served calls again", then("event_interrupt", keeps_vector),
           "property/interrupt-outcome/event_interrupt"),
    Absurd("EVFLAGS is not cleared", leaves("read_events", "rx.event", "Do not read."),
           "property/interrupt-outcome/read_events"),
)  # fmt: skip


OUTCOMES = attrs.evolve(THEORY, properties=(), promises=(), undone=lambda s, t, k: {})
"""What is proved of the card, but for what nobody here asks about."""


def follows(known: Catalogue, name: str) -> bool:
    """Whether an obligation is proved, with as much of the invariant as it needs as it stands."""
    text = script(known, Obligation(name, "", "safety", "integer", ""))
    return ask("z3", text) is Answer.UNSATISFIABLE


@pytest.mark.parametrize("absurd", ABSURD, ids=lambda absurd: absurd.what.replace(" ", "-"))
def test_an_absurd_change_of_results_makes_a_named_obligation_fail(absurd: Absurd) -> None:
    known = Catalogue(OUTCOMES, absurd.change(specification()))
    assert not follows(known, absurd.fails)


def test_as_it_stands_those_obligations_hold() -> None:
    known = Catalogue.of(OUTCOMES)
    # What is so by its form is no obligation: nothing is said in such a step.
    names = {absurd.fails for absurd in ABSURD} & known.entries.keys()
    assert len(names) >= 14
    assert [name for name in names if not follows(known, name)] == []


def test_all_at_once_do_not_hide_each_other() -> None:
    at_once = ABSURD[:14]
    known = Catalogue(OUTCOMES, both(*(absurd.change for absurd in at_once))(specification()))
    assert [one.what for one in at_once if follows(known, one.fails)] == []


@pytest.mark.parametrize("opened", [True, False])
def test_every_property_of_steps_holds_along_random_runs(opened: bool) -> None:
    executor = Executor.of(specification(), Scope(2, users=3, posted=2))
    watched = {item.name: breaking(executor, item) for item in STEPS}
    state = open_card(executor)[0] if opened else executor.initial()
    path = executor.walk(random.Random(7), 4_000, state)
    for number, step in enumerate(path):
        broken = [name for name, breaks in watched.items() if breaks(state, step)]
        assert not broken, f"step {number}: {step}"
        state = executor.fire(state, step)
