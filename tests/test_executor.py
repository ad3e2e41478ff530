"""The compiled form of the specification against its reference meaning, and what runs on it."""

import functools
import random
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.executor import Executor, run_to_rest
from engine.rules import Choice
from engine.scope import FlatState
from engine.search import search
from engine.stepper import Stepper
from engine.terms import (
    And,
    Array,
    Bool,
    If,
    Number,
    Or,
    Sort,
    Term,
    constant,
    evaluate,
    low_bits,
    next_index,
    one_of,
    symbol,
    wrap,
)
from engine.variables import symbolic
from model.opening import open_card
from model.scope import Scope
from model.state import Flags, Label, Life, State
from model.system import specification

SIZES = (1, 2, 4, 8, 64)


@functools.cache
def executor(ring_size: int = 2, users: int = 2) -> Executor:
    return Executor.of(specification(), Scope(ring_size=ring_size, users=users))


@functools.cache
def opened(ring_size: int = 2, users: int = 2) -> FlatState:
    return open_card(executor(ring_size, users))[0]


def number(name: str) -> Number:
    term = symbol(name, Sort.NUMBER)
    assert isinstance(term, Number)
    return term


def reference(term: Term, values: dict[str, Any], size: int) -> Any:
    """`evaluate`, extended to updates of arrays with `size` elements."""
    match term.operation:
        case "store":
            base, index, value = term.arguments
            contents = list(reference(base, values, size))
            contents[evaluate(index, values) % size] = evaluate(value, values)
            return tuple(contents)
        case "fill":
            return (evaluate(term.arguments[0], values),) * size
        case "if" if term.sort.is_array:
            test, then, otherwise = term.arguments
            return reference(then if evaluate(test, values) else otherwise, values, size)
    result = evaluate(term, values)
    return tuple(result) if isinstance(result, tuple) else result


def after(run: Executor, state: FlatState, index: int) -> FlatState:
    """The state after a step, by the reference."""
    step = run.instances[index]
    values = run.layout.named(state)
    result = list(state)
    for name, term in step.updates.items():
        place = run.layout.position[name]
        size = len(state[place]) if isinstance(state[place], tuple) else 0
        result[place] = reference(term, values, size)
    return tuple(result)


# Random terms

VALUES = st.integers(0, 6)
STATE = symbolic(State)
ARRAYS: Sequence[Array[Number]] = (STATE.tx.sequence, STATE.tx.fields)
FLAG_ARRAYS: Sequence[Array[Bool]] = (STATE.tx.owner, STATE.tx.owner_pending)
SCALARS: Sequence[Number] = (STATE.tx.prod, STATE.tx.cons, STATE.tx.prod_i, number("?k"))
FLAGS: Sequence[Bool] = (STATE.tx.look, STATE.tx.owner_speculated)
INDEX = st.sampled_from([STATE.tx.prod_i, STATE.tx.cons_i, constant(0), number("?k")])


def stored(array: Array[Number], index: Number, value: Number, at: Number) -> Number:
    updated: Array[Number] = Array(array.term)
    updated[index] = value
    return updated[at]


def numbers(truths: st.SearchStrategy[Bool], inner: st.SearchStrategy[Number]) -> Any:
    return st.one_of(
        st.sampled_from(SCALARS),
        VALUES.map(constant),
        st.builds(lambda array, index: array[index], st.sampled_from(ARRAYS), INDEX),
        st.builds(stored, st.sampled_from(ARRAYS), INDEX, inner, INDEX),
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(If, truths, inner, inner),
        st.builds(next_index, inner),
        st.builds(low_bits, inner),
        st.builds(wrap, inner, inner),
    )


def terms(depth: int) -> tuple[st.SearchStrategy[Bool], st.SearchStrategy[Number]]:
    truths: Any = st.sampled_from(FLAGS)
    values: Any = st.sampled_from(SCALARS)
    for _ in range(depth):
        truths, values = (
            st.one_of(
                st.builds(lambda array, index: array[index], st.sampled_from(FLAG_ARRAYS), INDEX),
                st.builds(lambda a: ~a, truths),
                st.builds(And, truths, truths, truths),
                st.builds(Or, truths, truths),
                st.builds(lambda a, b: a == b, truths, truths),
                st.builds(lambda a, b: a == b, values, values),
                st.builds(lambda a, b: a < b, values, values),
                st.builds(one_of, values, st.lists(VALUES, min_size=1, max_size=4)),
            ),
            numbers(truths, values),
        )
    return truths, values


@given(terms(3)[0], st.data())
def test_compiled_terms_agree_with_the_reference(term: Bool, data: st.DataObject) -> None:
    run = executor(4, 1)
    change: dict[str, Any] = {
        "tx__prod": data.draw(VALUES),
        "tx__cons": data.draw(VALUES),
        "tx__prod_i": data.draw(st.integers(0, 3)),
        "tx__cons_i": data.draw(st.integers(0, 3)),
        "tx__look": data.draw(st.booleans()),
        "tx__owner_speculated": data.draw(st.booleans()),
    }
    for name in ("tx__sequence", "tx__fields"):
        change[name] = tuple(data.draw(st.lists(VALUES, min_size=4, max_size=4)))
    for name in ("tx__owner", "tx__owner_pending"):
        change[name] = tuple(data.draw(st.lists(st.booleans(), min_size=4, max_size=4)))
    state = run.changed(run.initial(), **change)
    slot = data.draw(st.integers(0, 3))
    expected = evaluate(term, {**run.layout.named(state), "?k": slot})
    assert run.compile(term, ("k",))(state, slot) == expected
    assert run.runner(state).monitor(term, ("k",))(slot) == expected


# Random walks


@given(st.sampled_from((1, 2, 4)), st.integers(0, 2**32), st.booleans())
@settings(max_examples=25)
def test_both_executions_agree_with_the_reference(size: int, seed: int, ready: bool) -> None:
    run = executor(size)
    source = random.Random(seed)
    runner = run.runner(opened(size) if ready else None)
    for step in range(60):
        state = runner.state()
        enabled = {item.index for item in run.enabled(state)}
        assert set(runner.enabled) == enabled
        assert len(runner.enabled) == len(enabled)
        if step % 20 == 0:
            values = run.layout.named(state)
            assert enabled == {item.index for item in run.instances if evaluate(item.guard, values)}
        if not enabled:
            return
        chosen = source.choice(sorted(enabled))
        expected = after(run, state, chosen)
        assert run.fire(state, run.instances[chosen]) == expected
        runner.fire(chosen)
        assert runner.state() == expected


def test_every_rule_agrees_with_the_reference_somewhere() -> None:
    """Long walks that take a rule not met yet where they can, and fail rarely, meet every rule."""
    run = executor(1, 3)
    names = [item.name for item in run.instances]
    unmet = {name for name in names if name != "rx.lie"}
    source = random.Random(2)
    runner = run.runner()
    for step in range(400_000):
        if not unmet:
            return
        if step % 2_000 == 0:
            runner.load(run.initial() if step % 6_000 == 0 else opened(1, 3))
        fresh = [number for number in runner.enabled if names[number] in unmet]
        chosen = source.choice(fresh or runner.enabled)
        if names[chosen] == "card.fatal_error" and source.random() < 0.95:
            continue
        if fresh:
            unmet.remove(names[chosen])
            state = runner.state()
            expected = after(run, state, chosen)
            assert run.fire(state, run.instances[chosen]) == expected, names[chosen]
            runner.fire(chosen)
            assert runner.state() == expected, names[chosen]
        else:
            runner.fire(chosen)
    assert unmet == set()


def test_a_lying_card_agrees_with_the_reference() -> None:
    run = executor(2)
    state = run.changed(opened(2), card__lies=True)
    lie = run.find("rx.lie", k=1, length=1500)
    assert run.fire(state, lie) == after(run, state, lie.index)


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_a_walk_replays_to_the_same_states(seed: int) -> None:
    run = executor(2)
    runner = run.runner(opened(2))
    states = [runner.state()]

    path: list[int] = []

    def note(index: int) -> None:
        path.append(index)
        states.append(runner.state())

    runner.walk(random.Random(seed), 100, note)
    steps = [run.instances[index] for index in path]
    assert run.replay(steps, opened(2)) == states
    assert run.walk(random.Random(seed), 100, opened(2)) == tuple(steps)


def test_loading_a_state_gives_it_back() -> None:
    run = executor(2)
    runner = run.runner(opened(2))
    runner.walk(random.Random(1), 50)
    runner.load(opened(2))
    assert runner.state() == opened(2)
    assert {item.index for item in run.enabled(opened(2))} == set(runner.enabled)
    assert runner.value("driver.life") == Life.OPEN


# Getting somewhere


@pytest.mark.parametrize("size", SIZES)
def test_the_card_opens(size: int) -> None:
    state = opened(size)
    run = executor(size)
    labels = run.value(state, "threads.pc")
    assert labels == (Label.EVENT_IDLE, Label.FATAL_IDLE, Label.IDLE, Label.IDLE)
    assert run.value(state, "card.started") is True
    assert run.value(state, "driver.handles") == 1


def test_a_packet_is_sent_and_everything_rests() -> None:
    run = executor(2)
    begin = run.find("begin_write", t=3, zero=0, nonblocking=0, more=0)
    state, path = run_to_rest(run, run.fire(opened(2), begin))
    assert run.value(state, "tx.sent") == 1
    assert [step.name for step in path][-1] in {"no_packet_waits", "exit_call"}


@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_after_any_walk_the_system_comes_to_rest(seed: int) -> None:
    """Nobody is stuck then: a thread is idle, or reads from a card that has no packet for it."""
    run = executor(2, 3)
    runner = run.runner(opened(2, 3))
    runner.walk(random.Random(seed), 500)
    rest, _ = run_to_rest(run, runner.state())
    slot = run.value(rest, "rx.cons_i")
    for label, asleep in zip(
        run.value(rest, "threads.pc"), run.value(rest, "threads.asleep"), strict=True
    ):
        if label in {Label.IDLE, Label.EVENT_IDLE, Label.FATAL_IDLE}:
            continue
        assert label == Label.RX_OWNER
        assert asleep
        assert run.value(rest, "driver.life") == Life.OPEN
        assert run.value(rest, "rx.owner")[slot]


def test_a_card_that_cannot_open_is_reported() -> None:
    run = Executor.of(
        specification(), Scope(rules=lambda rule, _: rule != "card.reset_over", polls=1)
    )
    with pytest.raises(RuntimeError) as caught:
        open_card(run)
    assert str(caught.value) == (
        "open did not complete: thread 2 rests at IDLE, the driver is CLOSED"
    )


def test_a_disabled_step_is_refused() -> None:
    run = executor(2)
    step = run.find("tx.send")
    with pytest.raises(ValueError) as caught:
        run.fire(run.initial(), step)
    assert str(caught.value) == "step tx.send() is not enabled"


def test_a_step_outside_the_scope_is_refused() -> None:
    with pytest.raises(KeyError) as caught:
        executor(2).find("begin_open", t=9)
    assert caught.value.args == ("no step begin_open with {'t': 9} in this scope",)


def test_a_ring_size_is_a_power_of_two() -> None:
    with pytest.raises(ValueError) as caught:
        Scope(ring_size=3)
    assert str(caught.value) == "ring_size must be a power of two, not 3"


# Search


def test_the_search_finds_the_shortest_path() -> None:
    run = executor(1, 1)
    failed = search(run, goal=STATE.driver.failed)
    assert failed.path is not None
    assert [step.name for step in failed.path] == [
        "card.fatal_error",
        "fatal_interrupt",
        "mark_failed",
    ]
    assert run.value(run.replay(failed.path)[-1], "driver.failed") is True


def test_a_search_that_finds_nothing_says_whether_it_saw_everything() -> None:
    rules = {"card.fatal_error", "fatal_interrupt", "mark_failed", "card.spurious_vector0"}
    run = Executor.of(specification(), Scope(rules=rules))
    never = STATE.card.flags == Flags.RESETTING
    whole = search(run, goal=never)
    assert whole.path is None
    assert whole.exhaustive
    part = search(run, goal=never, depth=2)
    assert part.path is None
    assert not part.exhaustive
    assert part.depth == 2
    few = search(run, goal=never, states=3)
    assert not few.exhaustive


def test_without_a_goal_the_search_looks_for_a_deadlock() -> None:
    rules = {"card.fatal_error", "fatal_interrupt", "mark_failed"}
    run = Executor.of(specification(), Scope(rules=rules))
    found = search(run)
    assert found.path is not None
    assert [step.name for step in found.path] == [
        "card.fatal_error",
        "fatal_interrupt",
        "mark_failed",
    ]


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_canonical_states_take_the_same_steps(seed: int) -> None:
    run = executor(2, 3)
    runner = run.runner(opened(2, 3))
    source = random.Random(seed)
    for _ in range(40):
        runner.walk(source, 5)
        state = runner.state()
        same = run.canonical(state)
        assert run.canonical(same) == same
        assert run.enabled(same) == run.enabled(state)
        for step, following in run.successors(state):
            assert run.canonical(run.fire(same, step)) == run.canonical(following), step


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_folded_states_take_the_same_steps(seed: int) -> None:
    run = Executor.of(specification(), Scope(ring_size=2, users=2, words=(9999,)))
    runner = run.runner(open_card(run)[0])
    source = random.Random(seed)
    for _ in range(40):
        runner.walk(source, 7)
        state = runner.state()
        same = run.known(state)
        assert run.known(same) == same
        assert run.enabled(same) == run.enabled(state)
        for step, following in run.successors(state):
            assert run.known(run.fire(same, step)) == run.known(following), step


def test_folding_makes_the_transmit_ring_finite() -> None:
    scope = Scope(words=(9999,))
    full = Executor.of(specification(), scope)
    start, _ = open_card(full)
    ring = {"begin_write", "enter_write", "wake", "exit_call", "event_interrupt", "read_events"}
    ring |= {"mark_readable", "no_packet_waits", "cmd.no_completion", "card.raise_vector0"}
    rules = ring | {item.name for item in full.instances if item.name.startswith("tx.")}
    run = Executor.of(specification(), attrs.evolve(scope, rules=rules))
    found = search(run, bad=STATE.card.sequence_error, start=start, fold=True)
    assert found.path is None
    assert found.exhaustive
    assert found.deadlocks == 0


def test_a_condition_over_all_slots() -> None:
    run = executor(4)
    slot = number("?k")
    handed: Bool = STATE.rx.owner[slot]
    everywhere = run.predicate(handed, k=Choice.SLOT)
    assert everywhere(opened(4))
    assert not everywhere(run.initial())


# The executor for whoever is told which step comes next


def test_a_stepper_takes_the_same_steps_to_the_same_states() -> None:
    executor_ = executor(users=3)
    runner, stepper = executor_.runner(), Stepper(specification(), executor_.scope)
    source = random.Random(1)
    for _ in range(5000):
        step = executor_.instances[source.choice(sorted(runner.enabled))]
        named = (step.name, *step.values)
        assert stepper.is_enabled(named)
        stepper.fire(named)
        runner.fire(step.index)
    assert stepper.state() == runner.state()


def test_a_stepper_and_the_executor_agree_on_what_may_happen() -> None:
    executor_ = executor(users=3)
    stepper = Stepper(specification(), executor_.scope)
    for state in (executor_.initial(), opened(users=3)):
        stepper.load(state)
        enabled = {(step.name, *step.values) for step in executor_.enabled(state)}
        asked = {(step.name, *step.values) for step in executor_.instances}
        assert {step for step in asked if stepper.is_enabled(step)} == enabled


def test_a_stepper_knows_parameters_of_any_value() -> None:
    stepper = Stepper(specification(), executor().scope)
    assert stepper.is_enabled(("begin_write", 2, 0, 0, 1_000_000))
    stepper.fire(("begin_write", 2, 0, 0, 1_000_000))
    assert stepper.now["threads_more"][2] == 1_000_000
