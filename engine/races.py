"""Shared memory: no two sides touch one word at once, and nobody touches what was freed.

Rules say what they load and store (`engine.rules.Operation`). Two accesses to one word, by host and
device, race if both can come next and one of them writes; an access strays if its memory is not
allocated. Nothing here is about what an access yields: that is for the rules to say.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final

from engine.claims import Invariant
from engine.executor import Executor
from engine.protocol import System
from engine.question import Entry, Question, follows
from engine.rules import Operation, Party, Transition
from engine.scope import Instance
from engine.terms import FALSE, TRUE, And, Bool, Implies, Or, Sort, Term, substitute, symbol

__all__ = [
    "NO_ACCESS_AFTER_FREE",
    "RACE_FREEDOM",
    "lifetimes",
    "no_race",
    "race",
    "races",
    "stray",
]

RACE_FREEDOM: Final = "race-freedom"
NO_ACCESS_AFTER_FREE: Final = "no-access-after-free"
HOST: Final = (Party.HOST, Party.MEMORY)
"""Whose accesses are the host's: those of its threads, and of the stores that it has buffered."""


# Two at once


def _conflicting(one: Operation, two: Operation) -> bool:
    """Whether the accesses are to one word, one of them writes, and it is not for both to use."""
    same = (one.ring, one.word) == (two.ring, two.word)
    return same and not one.atomic and (one.write or two.write)


def _pairs(system: System) -> Iterator[tuple[Transition, Operation, Transition, Operation]]:
    """Pairs of accesses to the same word, one by each side, at least one of them a write."""
    for one in system.transitions:
        if one.rule.party not in HOST:
            continue
        for two in system.transitions:
            if two.rule.party is not Party.DEVICE:
                continue
            for mine in one.accesses:
                for other in two.accesses:
                    if _conflicting(mine, other):
                        yield one, mine, two, other


def _renamed(step: Transition) -> dict[Term, Term]:
    """Other names for the rule's parameters."""
    return {item: symbol(f"{item.name}'", Sort.NUMBER) for item in step.parameters}


def no_race(one: Transition, mine: Operation, two: Transition, other: Operation) -> Bool:
    """Host and device are not both about to access the same word, one of them to write it."""
    names = _renamed(two)
    clash = And(
        one.guard,
        mine.when,
        substitute(two.guard & other.when, names),
        mine.place == substitute(other.place, names),
    )
    return ~clash


def races(system: System, invariants: Sequence[Invariant]) -> Iterator[Entry]:
    """Of each two accesses that conflict: they are never both about to happen."""
    for one, mine, two, other in _pairs(system):
        yield Entry(
            f"race/{mine.ring}.{mine.word}/{one.rule.name}/{two.rule.name}",
            RACE_FREEDOM, "safety",
            f"not both: {one.rule.meaning} / {two.rule.meaning}",
            follows("no race", invariants, no_race, one, mine, two, other),
        )  # fmt: skip


def race(executor: Executor) -> Bool:
    """In a run: host and device can touch the same word next, and one of the two writes it."""
    hosts: list[Instance] = []
    devices: list[Instance] = []
    for step in executor.instances:
        if step.transition.accesses:
            (devices if step.rule.party is Party.DEVICE else hosts).append(step)
    found: list[Bool] = []
    for one in hosts:
        for two in devices:
            for left in one.transition.accesses:
                for right in two.transition.accesses:
                    if not _conflicting(left, right):
                        continue
                    here = substitute(left.place, one.replacing)
                    there = substitute(right.place, two.replacing)
                    both = And(
                        one.guard,
                        two.guard,
                        substitute(left.when, one.replacing),
                        substitute(right.when, two.replacing),
                    )
                    found.append(And(both, here == there))
    return Or(*found) if found else FALSE


# After it was freed


def _freed_accesses(system: System) -> Iterator[tuple[Transition, list[Operation]]]:
    """The host's steps that touch memory that is freed at times."""
    for step in system.transitions:
        touches = [item for item in step.accesses if _may_stray(step, item)]
        if touches:
            yield step, touches


def _may_stray(step: Transition, access: Operation) -> bool:
    """Whether it is for this step to see that what it accesses is there.

    A store that becomes visible is not: whoever frees memory waits for it.
    """
    own = step.rule.party is Party.HOST or (step.rule.party is Party.MEMORY and not access.write)
    return own and access.present is not TRUE


def _lifetime_question(
    step: Transition, touches: Sequence[Operation], invariants: Sequence[Invariant]
) -> Question:
    """What the step touches is there."""
    claims = [Implies(item.when, item.present) for item in touches]
    return Question((step.guard,), (("exists", And(*claims)),), tuple(invariants))


def lifetimes(system: System, invariants: Sequence[Invariant]) -> Iterator[Entry]:
    """Of each step of the host that touches memory that is freed at times: it is there then."""
    for step, touches in _freed_accesses(system):
        yield Entry(
            f"memory/{step.rule.name}", NO_ACCESS_AFTER_FREE, "safety",
            f"touches only what exists: {step.rule.meaning}",
            functools.partial(_lifetime_question, step, touches, invariants),
        )  # fmt: skip


def stray(executor: Executor) -> Bool:
    """In a run: the host can touch memory next that is not allocated."""
    strays: list[Bool] = []
    for step in executor.instances:
        for access in step.transition.accesses:
            if _may_stray(step.transition, access):
                touches = access.when & ~access.present
                strays.append(And(step.guard, substitute(touches, step.replacing)))
    return Or(*strays)
