"""Faults: named small changes of the specification, each of which must break a promise.

A proof that cannot fail proves nothing. Every defect that was found in a real driver of this card
(by reading both drivers and running one), every classic mistake with rings and barriers, and
the removal of every single barrier is stated as a small change of the specification. `engine.catch`
looks for a run that breaks the promise named.

What each fault is, in words, is in `model.faults`; how it changes the specification, and where that
shows: `field_faults`, `classic_faults`, `outcome_faults`, `barrier_faults`.
"""

from __future__ import annotations

from engine.faults import FaultCase
from model.system import specification
from proofs.barrier_faults import barrier_cases
from proofs.classic_faults import CLASSIC
from proofs.field_faults import FIELD
from proofs.outcome_faults import OUTCOMES

__all__ = ["cases"]


def cases() -> tuple[FaultCase, ...]:
    """All faults that are made in the specification."""
    return (*FIELD, *CLASSIC, *OUTCOMES, *barrier_cases(specification()))
