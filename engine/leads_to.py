"""The form of a promise: something will happen under weak fairness, by a rank that falls.

A promise says that wherever its premise holds its goal is reached. The proof names, for each case,
*who helps*: a process that cannot be left for ever with a step that it could take (weak fairness),
or an earlier promise. It is enough to show that

* in every case the helper can act (this is deadlock freedom), and
* no step of anybody raises the rank, a step of the helper lowers it, and what does not lower it
  leaves case and helper as they are,

where the rank is a tuple of natural numbers compared from the left. Earlier promises may help:
when a helping promise reaches its goal, the rank must have fallen. The rule is the one of UNITY and
of Manna and Pnueli for "leads to" by well-founded induction.

Nothing here knows what card the promises speak of.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import attrs

from engine.terms import Bool, If, Number, constant

__all__ = ["Case", "Helper", "Process", "Promise", "Relies", "count", "position"]

Place = TypeVar("Place", bound=int)


@attrs.frozen(eq=False)
class Process:
    """A weakly fair process helps: all rules whose `fair` is this name, at this index if any."""

    fair: str
    index: Number | None = None


@attrs.frozen(eq=False)
class Relies:
    """An earlier promise helps, for these arguments."""

    promise: Promise
    arguments: tuple[Number, ...]


Helper: TypeAlias = Process | Relies


@attrs.frozen(eq=False)
class Case:
    """While `condition` holds (and no earlier case does), `helper` brings the goal nearer."""

    name: str
    condition: Bool
    helper: Helper


@attrs.frozen(eq=False)
class Promise:
    """A "leads to" property and its proof.

    Attributes:
        name: Its name in reports.
        property: The user's property that it serves.
        parameters: What it speaks of: names such as "t" (any thread) and "n" (any request).
        premise, goal, rank, cases: Functions of the state and the parameters.
        without: Rules assumed not to happen, with the reason; the promise is conditional on that.
    """

    name: str
    property: str
    parameters: tuple[str, ...]
    premise: Callable[..., Bool]
    goal: Callable[..., Bool]
    rank: Callable[..., tuple[Number, ...]]
    cases: Callable[..., list[Case]]
    without: Mapping[str, str] = attrs.field(factory=dict)

    @builtins.property
    def meaning(self) -> str:
        """What is promised, in one line."""
        return (self.premise.__doc__ or "").strip().split("\n")[0]


def count(*conditions: Bool) -> Number:
    """How many of `conditions` hold."""
    total = constant(0)
    for condition in conditions:
        total = total + If(condition, 1, 0)
    return total


def position(value: Number, table: Mapping[Place, int]) -> Number:
    """What `table` says for `value`, a label for instance; 0 for those that it leaves out."""
    result = constant(0)
    for key, place in table.items():
        result = If(value == key, place, result)
    return result
