"""Runs that showed faults earlier, replayed: what is kept of them is never believed.

A search takes its time, and what it finds is seen in a moment to be right. So the path is kept,
with the answers (`engine.answers`), and the next check takes it again, step by step, in the faulty
system as it is then. Where each step may still be taken, and the promise is still broken, the fault
is caught; otherwise it is searched for anew. Only that no run is shorter is not looked into.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final

import attrs

from engine.answers import Answers
from engine.catch import Catch, breaking_step, catch, run_of, wanted
from engine.digest import digest
from engine.executor import Executor, FlatState, Path
from engine.faults import Fault, FaultCase
from engine.lasso import Lasso, is_fair_cycle
from engine.theory import Theory

__all__ = ["catch_again"]

NOTE: Final = "A run that an earlier check found, replayed; no shorter one was looked for"


@attrs.frozen
class _Run:
    """A run that showed a fault.

    Attributes:
        ring_size: Slots in each ring.
        boot: How many steps come before the part that was searched for.
        loop: The number of steps after which its cycle begins; None for a run that ends.
        steps: The name of each step's rule and its parameters, from power-on.
    """

    ring_size: int
    boot: int
    loop: int | None
    steps: tuple[tuple[str, Mapping[str, int]], ...]

    @classmethod
    def of(cls, found: Catch) -> _Run:
        steps = tuple((step.rule, step.parameters) for step in found.trace.steps)
        return cls(found.ring_size, found.boot, found.trace.loop, steps)

    @classmethod
    def read(cls, text: str) -> _Run:
        """The run that was written; raises `KeyError`, `TypeError`, `ValueError` if it is none."""
        data = json.loads(text)
        steps = tuple((rule, parameters) for rule, parameters in data["steps"])
        boot, loop = data["boot"], data["loop"]
        if not 0 <= boot < len(steps) or not (loop is None or boot <= loop <= len(steps)):
            raise ValueError(f"a run of {len(steps)} steps does not begin at {boot}, {loop}")
        return cls(data["ring_size"], boot, loop, steps)

    def written(self) -> str:
        data = attrs.asdict(self, recurse=False)
        return json.dumps(data, separators=(",", ":"), default=dict)


def catch_again(
    theory: Theory,
    fault: Fault,
    *,
    ring_size: int | None = None,
    seed: int = 0,
    answers: Answers | None = None,
) -> Catch:
    """Replay the run that is kept of a fault; look for one where none is, or it shows nothing.

    With a `ring_size` of its own, and without `answers`, the fault is searched for: see `catch`.
    """
    if answers is None or ring_size is not None:
        return catch(theory, fault, ring_size=ring_size, seed=seed)
    key = digest("run", theory.protocol.name, fault.id)
    found = _replayed(theory, fault, answers.note(key))
    if found is None:
        found = catch(theory, fault, seed=seed)
        if found.result == "caught":
            answers.add(key, _Run.of(found).written())
    return found


def _replayed(theory: Theory, fault: Fault, text: str) -> Catch | None:
    """What the kept run shows; None if there is none, or it does not show the fault."""
    if not text:
        return None
    began = time.perf_counter()
    case = theory.case_of(fault)
    try:
        run = _Run.read(text)
        complete = Executor.of(theory.faulty(fault), case.scenario.scope(run.ring_size))
        path = tuple(complete.find(rule, **parameters) for rule, parameters in run.steps)
        first = complete.changed(complete.initial(), **case.scenario.start)
        states = complete.replay(path, first)
    except (KeyError, TypeError, ValueError):
        return None  # it is no run of the system that there is now
    if not _shows(theory, case, complete, run.loop, path, states):
        return None
    return Catch(
        fault=fault,
        result="caught",
        property=fault.property,
        ring_size=run.ring_size,
        steps=len(path) - run.boot,
        trace=run_of(theory, fault, complete, path, start=first, loop=run.loop),
        seconds=time.perf_counter() - began,
        note=NOTE,
        boot=run.boot,
        story=case.scenario.story,
        kept=True,
    )


def _shows(
    theory: Theory,
    case: FaultCase,
    complete: Executor,
    loop: int | None,
    path: Path,
    states: list[FlatState],
) -> bool:
    """Whether a run of the faulty system breaks the promise of the case."""
    if case.keeps is not None:
        if loop is None:
            return False
        keeps = complete.compile(case.keeps(theory.protocol.symbols))
        lasso = Lasso(path[:loop], path[loop:])
        return all(map(keeps, states[loop:])) and is_fair_cycle(complete, lasso, states[0])
    step_breaks = breaking_step(theory, case.fault.property, complete)
    broken = step_breaks is None or step_breaks(states[-2], path[-1])
    return loop is None and broken and wanted(theory, case, complete)(states[-1])
