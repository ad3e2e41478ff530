"""One fault made in the specification, and what it takes to look for it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from engine.mutations import Mutation
from engine.terms import Bool
from model.faults import Fault, described
from model.state import State
from proofs.scenarios import Scenario

__all__ = ["FaultCase"]


@attrs.frozen(eq=False)
class FaultCase:
    """A fault, the change of the specification that it is, and where it shows.

    Attributes:
        fault: What is said of it; its id is enough.
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

    fault: Fault = attrs.field(converter=described)
    change: Mutation
    scenario: Scenario
    sizes: tuple[int, ...] = (1, 2)
    shows: Callable[[State], Bool] | None = None
    settles: bool = False
    keeps: Callable[[State], Bool] | None = None
    states: int = 100_000
