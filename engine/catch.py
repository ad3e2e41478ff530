"""The search for a run on which a fault shows.

`catch` runs the changed specification and finds a run from power-on that breaks the promise named:
a shortest one within the fault's scenario, after the fixed beginning that the scenario names, or a
loop that never ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from engine.claims import Claim
from engine.deadlock import DEADLOCK_FREEDOM, at_rest, unfinished
from engine.executor import Executor, Path, Predicate
from engine.faults import Fault, FaultCase
from engine.lasso import find_lasso
from engine.protocol import System
from engine.races import NO_ACCESS_AFTER_FREE, RACE_FREEDOM, race, stray
from engine.record import record
from engine.rules import Choice
from engine.scope import FlatState
from engine.search import search
from engine.steps import BadStep, breaking
from engine.terms import Bool, Number, Or, constant
from engine.theory import Theory
from engine.trace import Trace

__all__ = ["Catch", "breaking_step", "breaks", "catch", "run_of", "wanted"]

GIVEN_SIZE: Final = 20_000
"""How many states are searched at a ring size that somebody asked for, which may hide the fault."""
CHOICES: Final = {"slot": Choice.SLOT, "thread": Choice.THREAD, "key": Choice.KEY}
"""What a claim's index ranges over in a run; tickets are a matter of the protocol."""


@attrs.frozen
class Catch:
    """What became of looking for a fault's consequence.

    Attributes:
        fault: The fault.
        result: `caught` or `missed`.
        property: The promise that broke; the one expected if the fault was missed.
        ring_size: Slots in each ring, in the run found.
        steps: Length of the part of the run that was searched for; for one that goes on for ever,
            the way to its cycle and the cycle once. 0 if the fault was missed.
        trace: The whole run from power-on; its first `boot` steps lead to where the search begins.
        seconds: How long it took.
        note: In which sense the run is shortest, and how much was searched.
        boot: How many steps of the trace come before the part that was searched for.
        story: What these steps do, in words.
        kept: An earlier run found it, and here it was replayed (`engine.kept_runs`).
    """

    fault: Fault
    result: str
    property: str
    ring_size: int
    steps: int
    trace: Trace
    seconds: float
    note: str
    boot: int
    story: str
    kept: bool = False


@attrs.frozen
class _Search:
    """One search at one size: where it began and what it found.

    Attributes:
        whole: Nothing shorter (or, where nothing was found, nothing at all up to the depth asked
            for) was left out because there were too many states.
    """

    ring_size: int
    first: FlatState
    boot: Path
    path: Path | None
    loop: int | None
    states: int
    whole: bool


def catch(theory: Theory, fault: Fault, *, ring_size: int | None = None, seed: int = 0) -> Catch:
    """Look for a shortest run that shows the fault, at `ring_size` or at the sizes it asks for.

    Some sizes hide some faults (with one slot, say, the next slot is the same one). Where
    `ring_size` does, the sizes that the fault asks for are tried after it, and `note` tells.

    The search is breadth first and draws nothing at random: `seed` is accepted because every check
    takes one, and changes nothing.
    """
    case, system = theory.case_of(fault), theory.faulty(fault)
    began = time.perf_counter()
    searches: list[_Search] = []
    best: _Search | None = None
    depth: int | None = None
    if ring_size is not None:
        given = attrs.evolve(case, states=GIVEN_SIZE)
        searches.append(_look(theory, given, system, ring_size, None))
        best = searches[0] if searches[0].path is not None else None
    if best is None:
        for size in case.sizes:
            if size != ring_size:
                depth = None if best is None or best.path is None else len(best.path) - 1
                searches.append(_look(theory, case, system, size, depth))
                best = searches[-1] if searches[-1].path is not None else best
    told = best or searches[0]
    trace = run_of(
        theory,
        fault,
        Executor.of(system, case.scenario.scope(told.ring_size)),
        told.boot + (told.path or ()),
        start=told.first,
        loop=None if told.loop is None else len(told.boot) + told.loop,
        broken=best is not None,
    )
    return Catch(
        fault=fault,
        result="missed" if best is None else "caught",
        property=fault.property,
        ring_size=told.ring_size,
        steps=len(told.path or ()),
        trace=trace,
        seconds=time.perf_counter() - began,
        note=_note(case, best, searches),
        boot=len(told.boot),
        story=case.scenario.story,
    )


def run_of(
    theory: Theory,
    fault: Fault,
    executor: Executor,
    path: Path,
    *,
    start: FlatState,
    loop: int | None,
    broken: bool = True,
) -> Trace:
    """A run of the system with a fault, written down; `broken`: it breaks the fault's promise."""
    verdict = f"{fault.property} is broken: {theory.verdict(fault.property)}" if broken else ""
    title = f"{fault.id}: {fault.title}"
    return record(executor, path, title, start=start, loop=loop, verdict=verdict)


def _note(case: FaultCase, best: _Search | None, searches: list[_Search]) -> str:
    if best is None:
        found = "Nothing found"
    elif best.loop is not None:
        found = "A run that goes on for ever"
    else:
        found = "No shorter run"
    rules = len(case.scenario.rules)
    looked = ", ".join(
        f"{one.states:,} at ring size {one.ring_size}{'' if one.whole else ', not all'}"
        for one in searches
    )
    return (
        f"{found} from where the search begins, with the {rules} rules that take part here "
        f"(states seen: {looked})"
    )


def _look(
    theory: Theory, case: FaultCase, system: System, ring_size: int, depth: int | None
) -> _Search:
    scenario = case.scenario
    first, start, boot = scenario.begin(system, ring_size)
    executor = scenario.restricted(system, ring_size, theory.specification())
    if case.keeps is not None:
        keeps = case.keeps(theory.protocol.symbols)
        found = find_lasso(executor, keeps, start, states=case.states)
        path = None if found.lasso is None else found.lasso.path
        loop = None if found.lasso is None else len(found.lasso.stem)
        return _Search(ring_size, first, boot, path, loop, found.states, found.exhaustive)
    complete = Executor.of(system, scenario.scope(ring_size))
    result = search(
        executor,
        bad=wanted(theory, case, complete),
        bad_step=breaking_step(theory, case.fault.property, complete),
        start=start,
        states=case.states,
        depth=depth,
    )
    whole = result.path is not None or result.exhaustive or result.depth == depth
    return _Search(ring_size, first, boot, result.path, None, result.states, whole)


def wanted(theory: Theory, case: FaultCase, complete: Executor) -> Predicate:
    """Whether a state shows the fault: its promise broken, and what else the case asks to see.

    A promise about steps is broken by the step that leads to the state: see `breaking_step`.
    `complete` must allow every rule of the system.
    """
    name = case.fault.property
    of_steps = any(item.name == name for item in theory.steps)
    broken = (lambda _: True) if of_steps else breaks(theory, name, complete)
    shown = None if case.shows is None else complete.compile(case.shows(theory.protocol.symbols))
    settled = at_rest(complete) if case.settles else None

    def bad(state: FlatState) -> bool:
        return (
            (shown is None or shown(state))
            and broken(state)
            and (settled is None or settled(state))
        )

    return bad


# What is looked for


def breaks(theory: Theory, name: str, executor: Executor) -> Predicate:
    """Whether a state breaks the promise, for some slot, thread, ticket or key.

    Raises `KeyError` if there is no way to see in one state that this promise is broken.
    """
    if name in _SEEN:
        return _SEEN[name](theory, executor)
    for item in theory.properties:
        if item.name == name:
            return executor.compile(_violation(theory, item, executor))
    raise KeyError(name)


def breaking_step(theory: Theory, name: str, executor: Executor) -> BadStep | None:
    """Whether a step breaks the promise; None where the promise is not about steps."""
    for item in theory.steps:
        if item.name == name:
            return breaking(executor, item)
    return None


def _violation(theory: Theory, item: Claim, executor: Executor) -> Bool:
    """The opposite of a property, at some index of the scope."""
    s, scope = theory.protocol.symbols, executor.scope
    if not item.indices:
        return ~item.body(s)
    (index,) = item.indices
    values: list[Number]
    if index in CHOICES:
        values = [constant(value) for value in scope.values(CHOICES[index])]
    else:
        values = list(theory.tickets(s, scope))
    return Or(*(~item.body(s, value) for value in values))


def _stuck(theory: Theory, executor: Executor) -> Predicate:
    """Something should have happened, and nothing is left that must."""
    if theory.stuck is None:
        waits = unfinished(executor, theory.undone)
    else:
        waits = theory.stuck(theory.protocol.symbols, executor.scope)
    owed, rests = executor.compile(waits), at_rest(executor)
    return lambda state: owed(state) and rests(state)


_SEEN: Final[Mapping[str, Callable[[Theory, Executor], Predicate]]] = {
    RACE_FREEDOM: lambda theory, executor: executor.compile(race(executor)),
    NO_ACCESS_AFTER_FREE: lambda theory, executor: executor.compile(stray(executor)),
    DEADLOCK_FREEDOM: _stuck,
}
"""How to see in a state of a run that a promise is broken that every protocol makes."""
