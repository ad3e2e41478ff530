"""Faults: named small changes of the specification, each of which must break a promise.

A proof that cannot fail proves nothing. Every defect that was found in a real driver of this card
(by reading the drivers, not by running them), every classic mistake with rings and barriers, and
the removal of every single barrier is stated as a small change of the specification. `catch` runs
the changed specification and finds a run from power-on that breaks the promise named: a shortest
one within its scenario, after the fixed beginning that the scenario names, or a loop that never
ends. A fault that is not caught means that a promise is missing.

What each fault is, in words, is in `model.faults`; how it changes the specification, and where that
shows: `field_faults`, `classic_faults`, `barrier_faults`.
"""

from __future__ import annotations

import functools
import time
from typing import Final

import attrs

from engine.executor import Executor, Path, Predicate
from engine.faults import FaultCase
from engine.lasso import find_lasso
from engine.protocol import System
from engine.record import record
from engine.scope import FlatState
from engine.trace import Trace
from model.faults import Fault
from model.properties import PROPERTIES
from model.system import specification
from proofs.barrier_faults import barrier_cases
from proofs.classic_faults import CLASSIC
from proofs.field_faults import FIELD
from proofs.scenarios import LIVENESS, STATE, at_rest, breaks

__all__ = ["FAULTS", "Catch", "Fault", "case_of", "catch", "faulty", "promise", "wanted"]

_CASES: Final[dict[str, FaultCase]] = {
    case.fault.id: case for case in (*FIELD, *CLASSIC, *barrier_cases(specification()))
}
FAULTS: Final[tuple[Fault, ...]] = tuple(case.fault for case in _CASES.values())

GIVEN_SIZE: Final = 20_000
"""How many states are searched at a ring size that somebody asked for, which may hide the fault."""


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


def case_of(fault: Fault | str) -> FaultCase:
    """What it takes to look for a fault. Raises `KeyError` if there is no such fault."""
    return _CASES[fault if isinstance(fault, str) else fault.id]


@functools.lru_cache(maxsize=4)
def _faulty(name: str) -> System:
    return _CASES[name].change(specification())


def faulty(fault: Fault | str) -> System:
    """The specification with that one small change."""
    return _faulty(fault if isinstance(fault, str) else fault.id)


def promise(name: str) -> str:
    """What the property with this name promises, in one line."""
    for item in PROPERTIES:
        if item.name == name:
            return item.meaning
    return LIVENESS[name]


@attrs.frozen
class _Search:
    """One search at one size: where it began and what it found."""

    ring_size: int
    first: FlatState
    boot: Path
    path: Path | None
    loop: int | None
    states: int
    whole: bool
    """Nothing shorter (or, where nothing was found, nothing at all up to the depth asked for) was
    left out because there were too many states."""


def catch(fault: Fault, *, ring_size: int | None = None, seed: int = 0) -> Catch:
    """Look for a shortest run that shows the fault, at `ring_size` or at the sizes it asks for.

    Some sizes hide some faults (with one slot, say, the next slot is the same one). Where
    `ring_size` does, the sizes that the fault asks for are tried after it, and `note` tells.

    The search is breadth first and draws nothing at random: `seed` is accepted because every check
    takes one, and changes nothing.
    """
    case, system = case_of(fault), faulty(fault)
    began = time.perf_counter()
    searches: list[_Search] = []
    best: _Search | None = None
    depth: int | None = None
    if ring_size is not None:
        searches.append(_look(attrs.evolve(case, states=GIVEN_SIZE), system, ring_size, None))
        best = searches[0] if searches[0].path is not None else None
    if best is None:
        for size in case.sizes:
            if size != ring_size:
                depth = None if best is None or best.path is None else len(best.path) - 1
                searches.append(_look(case, system, size, depth))
                best = searches[-1] if searches[-1].path is not None else best
    told = best or searches[0]
    trace = record(
        Executor.of(system, case.scenario.scope(told.ring_size)),
        told.boot + (told.path or ()),
        f"{fault.id}: {fault.title}",
        start=told.first,
        loop=None if told.loop is None else len(told.boot) + told.loop,
        verdict="" if best is None else f"{fault.property} is broken: {promise(fault.property)}",
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


def _look(case: FaultCase, system: System, ring_size: int, depth: int | None) -> _Search:
    scenario = case.scenario
    first, start, boot = scenario.begin(system, ring_size)
    executor = scenario.restricted(system, ring_size)
    if case.keeps is not None:
        found = find_lasso(executor, case.keeps(STATE), start, states=case.states)
        path = None if found.lasso is None else found.lasso.path
        loop = None if found.lasso is None else len(found.lasso.stem)
        return _Search(ring_size, first, boot, path, loop, found.states, found.exhaustive)
    complete = Executor.of(system, scenario.scope(ring_size))
    bad = wanted(case, complete)
    result = executor.search(bad=bad, start=start, states=case.states, depth=depth)
    whole = result.path is not None or result.exhaustive or result.depth == depth
    return _Search(ring_size, first, boot, result.path, None, result.states, whole)


def wanted(case: FaultCase, complete: Executor) -> Predicate:
    """Whether a state shows the fault: its promise broken, and what else the case asks to see.

    `complete` must allow every rule of the system.
    """
    broken = breaks(case.fault.property, complete)
    shown = None if case.shows is None else complete.compile(case.shows(STATE))
    settled = at_rest(complete) if case.settles else None

    def bad(state: FlatState) -> bool:
        return (
            (shown is None or shown(state))
            and broken(state)
            and (settled is None or settled(state))
        )

    return bad
