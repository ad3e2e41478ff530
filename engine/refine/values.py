"""Numbers and truth values that stand for all there may be: terms in the coat of Python's own.

Code that computes with these is run as it is. Python's integers are unbounded, and so arithmetic of
integers is what they mean. Where Python needs to know which way to go (`if`, `while`, `and`), it
asks `bool()` of a truth value, and that asks `Run.decide`, which goes one way and later the other.
What has no meaning here is refused by `NotModelledError` and never guessed.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from engine.terms import (
    FALSE,
    TRUE,
    Bool,
    If,
    Number,
    Sort,
    constant,
    ring_size,
    select,
    symbol,
)

__all__ = [
    "LOW",
    "Address",
    "Integer",
    "NotModelledError",
    "Run",
    "Truth",
    "greatest",
    "least",
    "low",
    "number_of",
    "truth_of",
]

LOW = symbol("low bits of", Sort.NUMBER_ARRAY)
"""By number: its low bits, `x & (N - 1)`. What is known of it is in `engine.refine.knowledge`."""


class NotModelledError(Exception):
    """The code does something that has no meaning on symbolic values here."""


class Run(Protocol):
    """One way through the code."""

    def decide(self, condition: Bool) -> bool:
        """Which way to go."""


def low(number: Number) -> Number:
    """The term for `number & (N - 1)`."""
    return select(LOW, number)  # type: ignore[return-value]


def number_of(value: object) -> Number:
    """The term that a number of the code is."""
    match value:
        case Integer():
            return value.term
        case Number():
            return value
        case Truth():  # True is a 1 and False a 0 in Python
            return If(value.term, constant(1), constant(0))
        case bool():
            pass
        case int():
            return constant(int(value))
    raise NotModelledError(f"{value!r} is no number here")


def truth_of(value: object) -> Bool:
    """The term that a truth value of the code is."""
    match value:
        case Truth():
            return value.term
        case bool():
            return TRUE if value else FALSE
        case Bool():
            return value
    raise NotModelledError(f"{value!r} is no truth value here")


@attrs.define(eq=False)
class Truth:
    """A truth value of a run."""

    run: Run
    term: Bool

    def __bool__(self) -> bool:
        return self.run.decide(self.term)


@attrs.define(eq=False)
class Integer:
    """A number of a run. It may be made to stand for another one, where a loop is cut."""

    run: Run
    term: Number

    def _new(self, term: Number) -> Integer:
        return Integer(self.run, term)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Address):
            return NotImplemented
        return self._new(self.term + number_of(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Integer:
        return self._new(self.term - number_of(other))

    def __rsub__(self, other: int) -> Integer:
        return self._new(number_of(other) - self.term)

    def __mul__(self, unit: Any) -> Address:
        if type(unit) is not int:
            raise NotModelledError("a product of numbers that are not known")
        return Address(self.run, self.term, unit, constant(0))

    __rmul__ = __mul__

    def __and__(self, mask: Any) -> Integer:
        if number_of(mask) is not ring_size() - 1:
            raise NotModelledError(f"& with anything but N - 1: {mask!r}")
        return self._new(low(self.term))

    def __mod__(self, size: Any) -> Integer:
        if number_of(size) is not ring_size():
            raise NotModelledError(f"% with anything but N: {size!r}")
        return self._new(low(self.term))

    def __eq__(self, other: object) -> Truth:  # type: ignore[override]
        return Truth(self.run, self.term == number_of(other))

    def __ne__(self, other: object) -> Truth:  # type: ignore[override]
        return Truth(self.run, self.term != number_of(other))

    def __lt__(self, other: Any) -> Truth:
        return Truth(self.run, self.term < number_of(other))

    def __le__(self, other: Any) -> Truth:
        return Truth(self.run, self.term <= number_of(other))

    def __gt__(self, other: Any) -> Truth:
        return Truth(self.run, self.term > number_of(other))

    def __ge__(self, other: Any) -> Truth:
        return Truth(self.run, self.term >= number_of(other))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self.run.decide(self.term != 0)

    def __index__(self) -> int:
        raise NotModelledError("a number that is not known, where Python needs a known one")

    def __format__(self, _: str) -> str:
        return "(a number)"


@attrs.frozen(eq=False)
class Address:
    """Where something is in an array of things of one size: which one, and how far into it."""

    run: Run
    place: Number
    unit: int
    offset: Number

    def __add__(self, other: Any) -> Address:
        return Address(self.run, self.place, self.unit, self.offset + number_of(other))

    __radd__ = __add__


def least(one: Any, other: Any) -> Any:
    """What `min` is on numbers that are not known."""
    return _chosen(min, one, other, number_of(one) < number_of(other))


def greatest(one: Any, other: Any) -> Any:
    """What `max` is on numbers that are not known."""
    return _chosen(max, one, other, number_of(other) < number_of(one))


def _chosen(real: Any, one: Any, other: Any, first: Bool) -> Any:
    """One of two numbers: the first if a condition holds."""
    if not isinstance(one, Integer) and not isinstance(other, Integer):
        return real(one, other)
    run = one.run if isinstance(one, Integer) else other.run
    return Integer(run, If(first, number_of(one), number_of(other)))
