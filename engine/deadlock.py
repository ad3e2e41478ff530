"""That the system never gets stuck: while something is to be done, some party can move."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from engine.claims import Invariant
from engine.executor import Executor, Predicate
from engine.induction import fresh
from engine.protocol import System
from engine.question import Entry, follows
from engine.rules import Choice
from engine.scope import FlatState
from engine.terms import Bool, Implies, Number, Or, constant, substitute

__all__ = [
    "DEADLOCK_FREEDOM",
    "Movers",
    "Undone",
    "able_to_move",
    "at_rest",
    "obligations",
    "unfinished",
]

DEADLOCK_FREEDOM: Final = "deadlock-freedom"
Undone: TypeAlias = Callable[[Any, Number, Number], Mapping[str, Bool]]
"""The ways in which something is still to be done, of the state, any thread t and any slot k."""
Movers: TypeAlias = Callable[[Any, Number, Number], Mapping[Choice, Sequence[Number]]]
"""Who may have to move then, by what parameters range over: of the state, thread t and slot k."""


def able_to_move(system: System, movers: Movers) -> Bool:
    """Some weakly fair step is enabled, among those of the threads and slots that matter here."""
    among = movers(system.protocol.symbols, fresh("thread"), fresh("slot"))
    guards = []
    for step in system.transitions:
        if not step.rule.fair:
            continue
        if not step.rule.parameters:
            guards.append(step.guard)
            continue
        choice = step.rule.parameters[0].choice
        which = among[Choice.THREAD if choice is Choice.USER else choice]
        guards += [_of(step.guard, step.parameters[0], item) for item in which]
    return Or(*guards)


@functools.cache
def _of(guard: Bool, parameter: Number, item: Number) -> Bool:
    """The guard of one thread or slot; it is the same in all systems that differ in other rules."""
    return substitute(guard, {parameter: item})


def _never_stuck(system: System, undone: Undone, movers: Movers, cause: str) -> Bool:
    busy = undone(system.protocol.symbols, fresh("thread"), fresh("slot"))[cause]
    return Implies(busy, able_to_move(system, movers))


def obligations(
    system: System, undone: Undone, movers: Movers, invariants: Sequence[Invariant]
) -> Iterator[Entry]:
    """Of each way in which something is still to be done: some party can move."""
    for cause in undone(system.protocol.symbols, fresh("thread"), fresh("slot")):
        yield Entry(
            f"deadlock/{cause}", DEADLOCK_FREEDOM, "deadlock",
            f"while something is to be done ({cause}), some party can move",
            follows("able to move", invariants, _never_stuck, system, undone, movers, cause),
        )  # fmt: skip


# In a run


def at_rest(executor: Executor) -> Predicate:
    """Whether nothing is left that must happen. `executor` must allow all rules."""

    def rests(state: FlatState) -> bool:
        return all(step.process is None for step in executor.enabled(state))

    return rests


def unfinished(executor: Executor, undone: Undone) -> Bool:
    """Something is still to be done, for some thread and some slot of the scope."""
    s = executor.layout.system.protocol.symbols
    threads, slots = (executor.scope.values(choice) for choice in (Choice.THREAD, Choice.SLOT))
    return Or(
        *(
            busy
            for t in threads
            for k in slots
            for busy in undone(s, constant(t), constant(k)).values()
        )
    )
