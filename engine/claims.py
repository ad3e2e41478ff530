"""What can be claimed of every state: conjuncts of an invariant, and properties.

A claim is stated for an arbitrary slot k, thread t, ticket j or opaque `key`, so that it holds for
every ring size and any number of threads without a quantifier in any query. It is a function of the
state and of its indices. Files state claims one after the other, and a book collects them:

    BOOK = InvariantBook()

    @BOOK.invariant("lock.ticket-held", "counter")
    def ticket_is_held(s: State, j: Number) -> Bool:
        '''Every ticket drawn and not yet served is held by a thread.'''

What no single state shows is claimed of every step: of the state before it, the state after it, and
who takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

import attrs

from engine.rules import Party, bind
from engine.terms import And, Bool, If, Number, Sort, constant, ring_size, symbol, wrap

__all__ = [
    "ANY",
    "By",
    "Claim",
    "Invariant",
    "InvariantBook",
    "Named",
    "Property",
    "PropertyBook",
    "StepProperty",
    "apart",
    "slot_exists",
    "within",
]

ANY: Final = "any choice of "
"""What begins the names of symbols that stand for choices which a rule does not have."""


@attrs.frozen(eq=False)
class Claim:
    """A statement about one state.

    Attributes:
        name: What it is called.
        indices: What it speaks of: slot, thread, counter, key.
        body: The statement, a function of the state and of the indices.
    """

    name: str
    indices: tuple[str, ...]
    body: Callable[..., Bool]

    @property
    def meaning(self) -> str:
        """What it says, in one line."""
        return (self.body.__doc__ or "").strip().split("\n")[0]


@attrs.frozen(eq=False)
class Property(Claim):
    """A claim that a user wants to be true: it is promised, and follows from the invariant."""


@attrs.frozen
class By:
    """Who takes a step, and by what choices: all that a claim about steps may ask of it.

    Attributes:
        party: Who takes it.
        choices: The parameters of its rule, by name.
    """

    party: Party
    choices: Mapping[str, Number] = attrs.field(factory=dict)

    def choice(self, name: str) -> Number:
        """The parameter of that name; any number at all where the rule has none."""
        any_number: Number = symbol(f"{ANY}{name}", Sort.NUMBER)  # type: ignore[assignment]
        return self.choices.get(name, any_number)


@attrs.frozen(eq=False)
class StepProperty(Claim):
    """A claim about every step that a user wants to be true; it follows from the invariant.

    Its body is a function of the state before the step, of the state after it, of who takes it
    (`By`), and of its indices.
    """


@attrs.frozen(eq=False)
class Invariant(Claim):
    """One conjunct of the invariant: true at power-on, and kept by every step.

    Attributes:
        machine_only: It speaks of the bits of counters, and so of machine arithmetic alone.
    """

    machine_only: bool = False


Body: TypeAlias = Callable[..., Bool]
"""A statement as it is written down."""


class PropertyBook:
    """Collects the properties that a file states, in order."""

    def __init__(self) -> None:
        self.properties: list[Property] = []
        self.steps: list[StepProperty] = []

    def property(self, name: str, *indices: str) -> Callable[[Body], Body]:
        """State a property. `indices` name what it speaks of: slot, thread, counter, key."""

        def state(body: Body) -> Body:
            self.properties.append(Property(name, indices, body))
            return body

        return state

    def step(self, name: str, *indices: str) -> Callable[[Body], Body]:
        """State a property of every step."""

        def state(body: Body) -> Body:
            self.steps.append(StepProperty(name, indices, body))
            return body

        return state


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
    ) -> Callable[[Body], Body]:
        """State a conjunct. `indices` name what it speaks of: slot, thread, counter, key."""

        def state(body: Body) -> Body:
            self.invariants.append(Invariant(name, indices, body, machine_only))
            return body

        return state

    def for_each_ring(
        self, name: str, *indices: str, machine_only: bool = False
    ) -> Callable[[Body], Body]:
        """State a conjunct for each of the rings; the body's first argument is the ring."""

        def state(body: Body) -> Body:
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
