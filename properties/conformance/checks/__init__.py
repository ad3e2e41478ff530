"""All checks, subject by subject."""

from __future__ import annotations

from typing import Final

from properties.conformance.check import Check
from properties.conformance.checks import (
    batches,
    failures,
    full_ring,
    messages,
    multicast,
    opening,
    packets,
    readiness,
    tasks,
    threads,
    two_cards,
    views,
)

__all__ = ["CHECKS"]

_SUBJECTS: Final = (
    packets,
    full_ring,
    views,
    batches,
    multicast,
    messages,
    readiness,
    tasks,
    opening,
    threads,
    two_cards,
    failures,
)

CHECKS: Final[tuple[Check, ...]] = tuple(
    value for subject in _SUBJECTS for value in vars(subject).values() if isinstance(value, Check)
)
"""All checks, in the order in which they are made: what comes first is what others rely on."""
