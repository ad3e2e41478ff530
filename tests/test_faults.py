"""Every fault that was ever seen, and the removal of every barrier, breaks the promise it names."""

import functools
import itertools
import pickle

import attrs
import pytest

from docs.draw_barriers import drawn
from engine.catch import Catch, breaking_step, breaks, catch, wanted
from engine.deadlock import DEADLOCK_FREEDOM
from engine.executor import Executor
from engine.faults import Fault
from engine.ladder import text
from engine.lasso import Lasso, find_lasso, is_fair_cycle
from engine.mutations import leaves, without_barrier
from engine.protocol import System
from engine.races import NO_ACCESS_AFTER_FREE, RACE_FREEDOM
from engine.rules import Guard
from engine.scope import FlatState, Instance
from engine.search import search
from engine.terms import TRUE, constant
from engine.trace import Trace
from model.outcomes import STEPS
from model.properties import PROPERTIES
from model.scope import Scope
from model.system import DUCT, specification
from proofs.barrier_faults import barrier_cases, missing
from proofs.ranking import PROMISES
from proofs.theory import THEORY
from tests.test_barrier_list import runs_shown

STATE = DUCT.symbols
FAULTS = THEORY.faults
LIVENESS = THEORY.verdicts
FIELD_DEFECTS = {
    "zero-length-stall": "R",
    "wild-pointer-recycle": "R",
    "fatal-is-forever": "R",
    "free-while-started": "R",
    "stop-failed-free": "R",
    "result-of-another": "R",
    "waits-for-another": "R",
    "wake-before-advance": "R",
    "wrong-channel": "R",
    "open-count": "R, I",
    "stale-owner-reopen": "R",
    "submit-ignores-fatal": "R",
    "reset-spins": "R",
    "acquire-too-early": "I",
    "dead-after-one": "I",
    "unlock-then-sleep": "I",
    "double-fetch": "I",
    "unchecked-length": "I",
    "shared-result": "I",
    "rx-before-start": "I",
    "open-leak": "I",
    "stale-command-index": "R",
    "negative-length-read": "R",
    "short-read-stall": "R",
    "phantom-write": "R",
    "pollers-not-told": "R",
    "close-loses-queue": "R",
    "wake-before-free": "R",
}
CLASSICS = {
    "owner-before-fields",
    "doorbell-before-owner",
    "doorbell-wrong-index",
    "no-doorbell",
    "producer-unbounded",
    "consumer-runs-ahead",
    "flags-after-scan",
    "one-per-interrupt",
    "returned-before-copied",
    "peek-without-owner",
    "doorbell-wrong-ring",
    "batch-sleeps-unrung",
    "batch-waits-for-first",
    "rebased-without-reset",
    "no-flush-before-start",
    "bus-master-before-reset",
    "indices-kept-over-reset",
    "rxcomp-only",
    "readable-at-every-event",
    "last-packet-leaves-readable",
    "readiness-cleared-unseen",
    "looks-after-free",
    "reader-overtakes",
    "slot-never-returned",
    "relaxed-ordering",
    "submit-without-lock",
    "look-cleared-late",
    "stop-starves",
    "scans-after-reset",
    "reclaim-starves",
}
OUTCOMES = {
    "waits-anyway": "call-as-asked",
    "returns-when-queued": "send-outcome",
    "batch-stops-short": "batch-outcome",
    "copies-too-little": "read-outcome",
    "for-a-stranger": "reception-by-filter",
    "result-not-looked-at": "command-outcome",
    "removes-what-is-not-there": "answer-kept",
    "no-space-with-space": "filter-semantics",
    "wake-up-ends-call": "interrupted-outcome",
    "never-waits": "again-outcome",
    "full-ring-is-an-error": "failed-outcome",
    "interruption-says-ok": "one-outcome",
    "failed-open-says-ok": "open-outcome",
    "own-address-forgotten": "own-address",
    "reset-instead-of-stop": "close-outcome",
    "spins": "sleep-outcome",
    "events-not-read": "interrupt-outcome",
    "sends-after-failure": "card-at-rest",
    "looks-for-ever": "doorbell-kept",
    "event-survives-reset": "reset-forgets",
    "turns-away-unlocked": "lock-needed",
}
EACH = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)


@functools.cache
def caught(name: str) -> Catch:
    (fault,) = (item for item in FAULTS if item.id == name)
    return catch(THEORY, fault)


def complete(found: Catch, system: System) -> Executor:
    return Executor.of(system, THEORY.case_of(found.fault).scenario.scope(found.ring_size))


def path(executor: Executor, trace: Trace) -> list[Instance]:
    return [executor.find(step.rule, **step.parameters) for step in trace.steps]


def values(executor: Executor, state: FlatState) -> dict[str, object]:
    names = [variable.name for variable in executor.layout.system.variables]
    return dict(zip(names, state, strict=True))


# What there is


def test_every_field_defect_is_a_fault() -> None:
    assert {
        fault.id: fault.origin
        for fault in FAULTS
        if fault.origin != "classic" and fault.id not in OUTCOMES
    } == FIELD_DEFECTS


def test_every_classic_is_a_fault() -> None:
    names = {fault.id for fault in FAULTS if fault.origin == "classic"}
    assert {name for name in names if not name.startswith("no-barrier-")} == CLASSICS


def test_every_outcome_has_a_fault_of_its_own() -> None:
    assert {fault.id: fault.property for fault in FAULTS if fault.id in OUTCOMES} == OUTCOMES
    assert {item.name for item in STEPS} <= set(OUTCOMES.values())


def test_every_barrier_has_its_fault() -> None:
    barriers = {
        (step.rule.name, guard.name)
        for step in specification().transitions
        for guard in step.guards
        if guard.barrier
    }
    names = {fault.id for fault in FAULTS if fault.id.startswith("no-barrier-")}
    assert names == {missing(rule, barrier).id for rule, barrier in barriers}
    assert len(names) == len(barriers)


def test_names_are_unique() -> None:
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_explains_itself(fault: Fault) -> None:
    assert fault.property in {item.name for item in [*PROPERTIES, *STEPS]} | set(LIVENESS)
    assert fault.title
    assert fault.explanation.endswith(".")
    assert 2 <= len(fault.explanation.splitlines()) <= 12
    assert pickle.loads(pickle.dumps(fault)) == fault


def test_a_new_barrier_has_a_fault_at_once() -> None:
    def held_back(system: System) -> System:
        first, *others = system.transitions
        guards = (*first.guards, Guard("a new one", TRUE, barrier=True))
        return attrs.evolve(system, transitions=(attrs.evolve(first, guards=guards), *others))

    system = held_back(specification())
    rule = system.transitions[0].rule.name
    cases = {case.fault.id: case for case in barrier_cases(system)}
    case = cases[missing(rule, "a new one").id]
    assert len(case.change(system).transitions[0].guards) == len(system.transitions[0].guards) - 1


def test_a_change_of_what_is_not_there() -> None:
    with pytest.raises(KeyError, match=r"no barrier 'none'"):
        without_barrier("tx.owner_visible", "none")(specification())
    with pytest.raises(KeyError, match=r"does not change driver\.life"):
        leaves("tx.reclaim", "driver.life", "")(specification())


# Each is caught


@EACH
def test_a_fault_is_caught(fault: Fault) -> None:
    found = caught(fault.id)
    assert found.result == "caught"
    assert found.property == fault.property
    assert found.steps > 0
    assert len(found.trace.steps) == found.boot + found.steps


@EACH
def test_its_run_is_one_of_the_faulty_system_and_breaks_the_promise(fault: Fault) -> None:
    found = caught(fault.id)
    executor = complete(found, THEORY.faulty(fault))
    case = THEORY.case_of(fault)
    power_on = executor.changed(executor.initial(), **case.scenario.start)
    steps = path(executor, found.trace)
    states = executor.replay(steps, power_on)
    assert [values(executor, state) for state in states] == list(found.trace.states())
    breaks_here = breaking_step(THEORY, fault.property, executor)
    if breaks_here is not None:
        broken = [breaks_here(state, step) for state, step in zip(states, steps, strict=False)]
        assert broken[-1]
        assert not any(broken[found.boot : -1])
    elif case.keeps is None:
        bad = wanted(THEORY, case, executor)
        assert bad(states[-1])
        assert breaks(THEORY, fault.property, executor)(states[-1])
        assert not bad(states[-2])
    else:
        loop = found.trace.loop
        assert loop is not None
        keeps = executor.compile(case.keeps(STATE))
        assert all(keeps(state) for state in states[loop:])
        assert is_fair_cycle(executor, Lasso(tuple(steps[:loop]), tuple(steps[loop:])), power_on)


@EACH
def test_the_specification_keeps_the_promise_there(fault: Fault) -> None:
    found = caught(fault.id)
    case = THEORY.case_of(fault)
    system = specification()
    _, start, _ = case.scenario.begin(system, found.ring_size)
    executor = case.scenario.restricted(system, found.ring_size, system)
    whole = complete(found, system)
    breaks_here = breaking_step(THEORY, fault.property, whole)
    if case.keeps is None:
        bad = None if breaks_here else breaks(THEORY, fault.property, whole)
        result = search(
            executor, bad=bad, bad_step=breaks_here, start=start, depth=found.steps, states=8_000
        )
        assert result.path is None
    else:
        assert find_lasso(executor, case.keeps(STATE), start, states=4_000).lasso is None


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if fault.id.startswith("no-barrier-")],
    ids=lambda fault: fault.id,
)
def test_the_list_of_barriers_shows_its_run(fault: Fault) -> None:
    assert runs_shown()[fault.id] == drawn(caught(fault.id))


def test_a_reader_that_overtakes_breaks_nothing_else() -> None:
    """No other property of states or steps is broken in any state as near as that one is."""
    found = caught("reader-overtakes")
    fault = found.fault
    scenario = THEORY.case_of(fault).scenario
    system = THEORY.faulty(fault)
    _, start, _ = scenario.begin(system, found.ring_size)
    executor = scenario.restricted(system, found.ring_size, system)
    whole = complete(found, system)
    others = [
        item.name for item in PROPERTIES if item.name != fault.property and len(item.indices) < 2
    ]
    broken = [breaks(THEORY, name, whole) for name in others]
    steps = [breaking_step(THEORY, item.name, whole) for item in STEPS]
    result = search(
        executor,
        bad=lambda state: any(breaks_here(state) for breaks_here in broken),
        bad_step=lambda state, step: any(each and each(state, step) for each in steps),
        start=start,
        depth=found.steps + 20,
        states=8_000,
    )
    assert len(others) > 20
    assert result.path is None


def is_owed(executor: Executor, states: list[FlatState], loop: int) -> set[str]:
    """Properties whose promises were due before the run's cycle and do not come in it."""
    owed: set[str] = set()
    for item in PROMISES:
        ranges = [
            range(2, executor.scope.threads) if n == "t" else range(9) for n in item.parameters
        ]
        for given in itertools.product(*ranges):
            terms = [constant(value) for value in given]
            due = executor.compile(item.premise(STATE, *terms))
            come = executor.compile(item.goal(STATE, *terms))
            since = max((at for at, state in enumerate(states) if come(state)), default=-1)
            if since < loop and any(due(state) for state in states[since + 1 :]):
                owed.add(item.property)
    return owed


@pytest.mark.parametrize(
    "fault",
    [
        fault
        for fault in FAULTS
        if fault.property in LIVENESS.keys() - {RACE_FREEDOM, NO_ACCESS_AFTER_FREE}
    ],
    ids=lambda fault: fault.id,
)
def test_what_never_comes_was_promised(fault: Fault) -> None:
    found = caught(fault.id)
    executor = complete(found, THEORY.faulty(fault))
    states = executor.replay(path(executor, found.trace))
    loop = len(states) - 1 if found.trace.loop is None else found.trace.loop
    owed = is_owed(executor, states, loop)
    if fault.property in {item.name for item in PROPERTIES}:
        assert breaks(THEORY, fault.property, executor)(states[-1])
        return
    assert owed
    assert fault.property in owed | {DEADLOCK_FREEDOM}


# Sizes


def test_a_given_ring_size() -> None:
    (fault,) = (item for item in FAULTS if item.id == "no-barrier-tx-fields")
    found = catch(THEORY, fault, ring_size=4)
    assert (found.result, found.ring_size) == ("caught", 4)


def test_a_size_that_hides_the_fault() -> None:
    (fault,) = (item for item in FAULTS if item.id == "doorbell-wrong-index")
    found = catch(THEORY, fault, ring_size=1)
    assert (found.result, found.ring_size) == ("caught", 2)
    assert "at ring size 1" in found.note


# The one that everybody should read


def test_the_zero_length_stall_can_be_read() -> None:
    found = caught("zero-length-stall")
    shown = text(found.trace, specification().phrases, fold=found.boot, fold_text=found.story)
    assert "user 2: no packet in rx[0], sleeps" in shown
    assert "rx[1] header #1, 0 bytes" in shown
    assert "no-lost-packet is broken" in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_every_ladder_is_narrow_enough() -> None:
    for fault in FAULTS:
        found = caught(fault.id)
        shown = text(found.trace, specification().phrases, fold=found.boot, fold_text=found.story)
        assert max(map(len, shown.splitlines())) <= 110, fault.id


def test_scopes_are_those_of_the_scenarios() -> None:
    found = caught("waits-for-another")
    assert THEORY.case_of(found.fault).scenario.scope(1) == Scope(
        ring_size=1, users=2, words=(9999,), counts=(0,)
    )
