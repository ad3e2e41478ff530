"""The form of an invariant: named conjuncts, collected file by file, and their arithmetic.

A conjunct is stated for an arbitrary slot k, thread t, ticket j or filter `key`, so that it holds
for every ring size and any number of threads without a quantifier in any query. Nothing here knows
what card the conjuncts speak of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from engine.rules import bind
from engine.terms import And, Bool, If, Number, constant, ring_size, wrap

__all__ = [
    "Invariant",
    "InvariantBook",
    "Named",
    "apart",
    "slot_exists",
    "within",
]


@attrs.frozen(eq=False)
class Invariant:
    """One conjunct: its name, what it is indexed by, and the statement itself."""

    name: str
    indices: tuple[str, ...]
    body: Callable[..., Bool]
    machine_only: bool = False

    @property
    def meaning(self) -> str:
        """What the conjunct says, in one line."""
        return (self.body.__doc__ or "").strip().split("\n")[0]


class Named(Protocol):
    """One of several alike, such as a ring: its name is what begins the names of its conjuncts."""

    @property
    def name(self) -> str:
        """What it is called."""


class InvariantBook:
    """Collects the conjuncts that a file states, in order. `rings` are those that work alike."""

    def __init__(self, *rings: Named) -> None:
        self.rings = rings
        self.invariants: list[Invariant] = []

    def invariant(
        self, name: str, *indices: str, machine_only: bool = False
    ) -> Callable[[Callable[..., Bool]], Callable[..., Bool]]:
        """State a conjunct. `indices` name what it speaks of: slot, thread, counter, key."""

        def state(body: Callable[..., Bool]) -> Callable[..., Bool]:
            self.invariants.append(Invariant(name, indices, body, machine_only))
            return body

        return state

    def for_each_ring(
        self, name: str, *indices: str, machine_only: bool = False
    ) -> Callable[[Callable[..., Bool]], Callable[..., Bool]]:
        """State a conjunct for each of the rings; the body's first argument is the ring."""

        def state(body: Callable[..., Bool]) -> Callable[..., Bool]:
            for ring in self.rings:
                bound = bind(body, ring)
                self.invariants.append(
                    Invariant(f"{ring.name}.{name}", indices, bound, machine_only)
                )
            return body

        return state


# Arithmetic that means the same in unbounded integers and in words that wrap


def within(value: Number, start: Number, count: Number) -> Bool:
    """`value` is one of the `count` numbers from `start` on."""
    return And(constant(0) <= value - start, value - start < count)


def apart(index: Number, start: Number, distance: Number) -> Bool:
    """Walking `distance` slots (0 to N) from slot `start` leads to slot `index`."""
    return If(distance == ring_size(), index == start, wrap(index, start) == distance)


def slot_exists(k: Number) -> Bool:
    """k is a slot of a ring."""
    return within(k, constant(0), ring_size())
