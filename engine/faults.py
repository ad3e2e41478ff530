"""Faults: a mistake in words, the change of a specification that it is, and where it shows.

A proof that cannot fail proves nothing. So a protocol states mistakes that a driver or a device
could make, and each must break a promise (`engine.catch` looks for a run in which it does). A fault
that is not caught means that a promise is missing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from engine.mutations import Mutation
from engine.scenario import Scenario
from engine.terms import Bool

__all__ = ["Fault", "FaultCase"]


@attrs.frozen
class Fault:
    """A mistake that a driver, or a device, can make.

    Attributes:
        id: Its name on command lines and in saved runs.
        origin: Where it was seen: a word or two that whoever describes faults explains, such as
            classic for what every driver writer knows.
        title: What is done, in one line.
        explanation: What is done and what goes wrong, for somebody who never saw the code; "" where
            the title says all.
        property: The promise of the specification that it breaks; "" for a mistake that is not
            made in the specification.
    """

    id: str
    origin: str
    title: str
    explanation: str = attrs.field(default="", converter=inspect.cleandoc)
    property: str = ""


@attrs.frozen(eq=False)
class FaultCase:
    """A fault, the change of the specification that it is, and where it shows.

    Attributes:
        fault: What is said of it.
        change: The change.
        scenario: Where it is looked for.
        sizes: Ring sizes that are tried.
        shows: What else the last state must show, so that the run does not end before the
            consequence can be seen.
        settles: Whether nothing may be left that must happen in the last state.
        keeps: For a run that goes on for ever: what stays true in it. The promise broken is that
            it does not stay so.
        states: How many states are searched before the fault counts as missed.
    """

    fault: Fault
    change: Mutation
    scenario: Scenario
    sizes: tuple[int, ...] = (1, 2)
    shows: Callable[[Any], Bool] | None = None
    settles: bool = False
    keeps: Callable[[Any], Bool] | None = None
    states: int = 100_000
