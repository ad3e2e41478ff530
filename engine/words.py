"""Words of memory that host and device share, and the steps that memory takes with them.

A protocol declares each word once: where the state holds it, what a store leaves in the store
buffer, what has to come before it is visible, and how far ahead of its turn or behind it a load of
it may be satisfied. From that follow what a load yields and a store changes, and the steps of
memory itself: one that makes a store visible, one that satisfies a load early, one that satisfies
it late. So no word is sequentially consistent by oversight.

    FLAG = Word("box", "flag", holds=("flag",), buffered=("flag_new",), pending="flag_pending",
                after=(Order("release: data before flag", ("data",)),),
                values={False: "EMPTY", True: "FULL"}, synchronises=True)

A store of a rule of the host waits in the store buffer. A store of the device is visible at once:
what a device writes becomes visible in the order in which it writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from engine.places import of_caller
from engine.terms import Bool, Number

__all__ = ["Lateness", "Order", "Speculation", "Word"]


@attrs.frozen(eq=False)
class Order:
    """A store becomes visible after earlier stores to other words of the same slot, or after more.

    Attributes:
        barrier: The barrier that makes it so.
        words: Names of words of the same ring.
        until: What else must be over before a store to slot k may be visible; None: nothing.
        place: The file and line that declare it.
    """

    barrier: str
    words: tuple[str, ...] = ()
    until: Callable[[Any, Number], Bool] | None = None
    place: str = attrs.field(factory=of_caller, init=False, repr=False)


@attrs.frozen(eq=False)
class Speculation:
    """When a load may be satisfied ahead of its turn, since no acquire barrier forbids it.

    Attributes:
        flag: The variable that says that it was.
        holds: The variables that hold what it yielded, in the order of `Word.holds`.
        slot: The slot that the load is of.
        barrier: The barrier that stands before the load in its program.
        behind: Whether the processor is past that barrier: the load may be satisfied.
        window: Whether it may come to the load next, the barrier left aside.
        meaning: What the step does, in one line.
        place: The file and line that declare it.
    """

    flag: str
    holds: tuple[str, ...]
    slot: Callable[[Any], Number]
    barrier: str
    behind: Callable[[Any], Bool]
    window: Callable[[Any], Bool]
    meaning: str = "A load is satisfied ahead of its turn."
    place: str = attrs.field(factory=of_caller, init=False, repr=False)


@attrs.frozen(eq=False)
class Lateness:
    """How long after its turn a load of thread t's may be satisfied, as no barrier forbids it.

    The load's own step takes the value that the word has then. A late load is one more step, which
    takes the value anew: so in the end the thread has what the word held at any moment in between.

    Attributes:
        into: Full names of the threads' variables that hold what it yielded, in the order of
            `Word.holds`.
        slot: The slot that the load is of.
        window: Whether thread t may still wait for the value, the barrier left aside.
        barrier: The barrier behind the load in its program.
        before: Whether nothing behind that barrier has taken effect: the load may be satisfied.
        meaning: What the step does, in one line.
        place: The file and line that declare it.
    """

    into: tuple[str, ...]
    slot: Callable[[Any, Number], Number]
    window: Callable[[Any, Number], Bool]
    barrier: str
    before: Callable[[Any, Number], Bool]
    meaning: str = "A load is satisfied behind its turn."
    place: str = attrs.field(factory=of_caller, init=False, repr=False)


@attrs.frozen(eq=False)
class Word:
    """A word of the slots of a ring, or of a device's only slot.

    Variables are named as in the group of the state that is called like the ring; each is an array
    with an element for each slot.

    Attributes:
        ring: The ring, and the group of the state that holds its variables.
        name: What the word is called.
        holds: The variables that hold the word as the device sees it.
        buffered: What a store of the host's puts into each of them once it is visible; () if the
            host stores nothing to it.
        pending: The flag that such a store is not visible yet.
        visible: What it is that a store becomes visible, in one line; "" for the usual words.
        after: What has to be visible before.
        values: Names of the values that an observer can tell apart.
        synchronises: Both sides may access it at once: it is how they learn of each other.
        exists: The flag that the slot's memory is allocated; "" if it is never freed.
        speculation: How a load of the host's may be satisfied early; None: never.
        lateness: How a load of the host's may be satisfied late; None: never.
        place: The file and line that declare it.
    """

    ring: str
    name: str
    holds: tuple[str, ...]
    buffered: tuple[str, ...] = ()
    pending: str = ""
    visible: str = ""
    after: tuple[Order, ...] = ()
    values: Mapping[int, str] = attrs.field(factory=dict)
    synchronises: bool = False
    exists: str = ""
    speculation: Speculation | None = None
    lateness: Lateness | None = None
    place: str = attrs.field(factory=of_caller, init=False, repr=False)

    @property
    def path(self) -> str:
        """The word's full name, e.g. `tx.owner`."""
        return f"{self.ring}.{self.name}"

    def variables(self) -> tuple[str, ...]:
        """Full names of the variables that hold it."""
        return tuple(f"{self.ring}.{name}" for name in self.holds)

    @property
    def assignments(self) -> str:
        """How its contents are written down, e.g. `fields=..., zero=...`."""
        return ", ".join(f"{name}=..." for name in self.holds)

    def must_hold(self, names: Iterable[str]) -> None:
        """Raise `ValueError` if one of these variables does not hold the word."""
        unknown = ", ".join(sorted(set(names) - set(self.holds)))
        if unknown:
            raise ValueError(f"{self.path} holds no {unknown}; it takes {self.assignments}")

    def name_of(self, value: int) -> str:
        """What a value is called; "" if no value has a name.

        Raises:
            ValueError: Others have names, and this one has none.
        """
        if self.values and value not in self.values:
            known = ", ".join(f"{number!r} ({name})" for number, name in self.values.items())
            raise ValueError(f"{self.path} is never {value!r}; its values are {known}")
        return self.values.get(value, "")
