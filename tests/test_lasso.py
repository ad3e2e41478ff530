"""Runs that go on for ever: found where there are any, fair, and shown to replay."""

import functools

import attrs

from engine.executor import Executor
from engine.lasso import Lasso, find_lasso, is_fair_cycle
from engine.protocol import System
from engine.scope import FlatState
from engine.terms import Bool, constant
from engine.variables import symbolic
from model.opening import open_card
from model.scope import Scope
from model.state import EVENT_THREAD, Label, State
from model.system import specification

STATE = symbolic(State)
USER = constant(2)
SCOPE = Scope(ring_size=1, users=1, words=(9999,), counts=(0,))
HANDLER = {
    "event_interrupt",
    "read_events",
    "mark_readable",
    "no_packet_waits",
    "cmd.no_completion",
}
SENDING = HANDLER | {"begin_write", "enter_write", "wake", "exit_call", "card.raise_vector0"}


def sends(rule: str, parameters: object) -> bool:
    return (rule.startswith("tx.") and "early" not in rule) or rule in SENDING


def in_call() -> Bool:
    label = STATE.threads.pc[USER]
    inside: Bool = (label != Label.IDLE) & (label != Label.WRITE_ENTER)
    return inside


@functools.cache
def opened() -> FlatState:
    return open_card(Executor.of(specification(), SCOPE))[0]


def test_every_write_ends() -> None:
    run = Executor.of(specification(), attrs.evolve(SCOPE, counts=(0, 1), rules=sends))
    found = find_lasso(run, in_call(), opened())
    assert found.lasso is None
    assert found.exhaustive


def without_wake_up() -> System:
    """Taking a slot back wakes nobody."""
    system = specification()
    return attrs.evolve(
        system,
        transitions=tuple(
            attrs.evolve(
                item,
                updates={k: v for k, v in item.updates.items() if k != "threads.wake_tx"},
            )
            if item.rule.name == "tx.reclaim"
            else item
            for item in system.transitions
        ),
    )


def test_a_lost_wake_up_is_a_run_in_which_nothing_more_happens() -> None:
    broken = without_wake_up()
    run = Executor.of(broken, attrs.evolve(SCOPE, rules=sends))
    found = find_lasso(run, in_call(), opened())
    assert found.lasso is not None
    assert found.lasso.cycle == ()
    complete = Executor.of(broken, SCOPE)
    last = complete.replay(found.lasso.stem, opened())[-1]
    assert complete.value(last, "threads.asleep")[2]
    assert complete.value(last, "threads.completed")[2]
    assert is_fair_cycle(complete, found.lasso, opened())


def test_a_cycle_of_spurious_interrupts() -> None:
    run = Executor.of(
        specification(),
        attrs.evolve(SCOPE, rules=HANDLER | {"card.spurious_vector0", "tx.no_completion"}),
    )
    busy = STATE.card.vector0 | (STATE.threads.pc[constant(EVENT_THREAD)] != Label.EVENT_IDLE)
    found = find_lasso(run, busy, opened())
    assert found.lasso is not None
    assert {step.name for step in found.lasso.cycle} >= {"card.spurious_vector0", "read_events"}
    assert is_fair_cycle(Executor.of(specification(), SCOPE), found.lasso, opened())


def test_a_cycle_that_leaves_a_process_waiting_is_not_fair() -> None:
    complete = Executor.of(specification(), SCOPE)
    waiting = Lasso((complete.find("card.spurious_vector0"),), ())
    assert not is_fair_cycle(complete, waiting, opened())


def test_a_path_that_does_not_come_back_is_no_cycle() -> None:
    complete = Executor.of(specification(), SCOPE)
    away = Lasso((), (complete.find("card.fatal_error"),))
    assert not is_fair_cycle(complete, away, opened())


def test_what_a_restricted_search_leaves_out_is_not_taken_for_impossible() -> None:
    rules = {"begin_write", "enter_write"}
    run = Executor.of(specification(), attrs.evolve(SCOPE, rules=rules))
    assert find_lasso(run, in_call(), opened()).lasso is None
