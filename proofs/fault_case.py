"""What is said of one fault, and what it takes to look for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import attrs

from engine.mutations import Change
from engine.terms import Bool
from model.state import State
from proofs.scenarios import Scenario

__all__ = ["Case", "Fault"]


@attrs.frozen
class Fault:
    """A mistake that a driver, or a card, can make.

    Attributes:
        id: Its name on the command line.
        origin: Where it was seen: in the reference driver (R), in the independent one (I), in both
            (R, I), or in neither (classic). Those in drivers were found by reading the drivers, not
            by running them.
        title: What is done, in one line.
        explanation: What is done and what goes wrong, for somebody who never saw the code.
        property: The promise that it breaks.
    """

    id: str
    origin: str
    title: str
    explanation: str = attrs.field(converter=inspect.cleandoc)
    property: str


@attrs.frozen(eq=False)
class Case:
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
    change: Change
    scenario: Scenario
    sizes: tuple[int, ...] = (1, 2)
    shows: Callable[[State], Bool] | None = None
    settles: bool = False
    keeps: Callable[[State], Bool] | None = None
    states: int = 100_000
