"""How long the stateful comparison looks: the profiles `dev`, `ci` and `nightly`.

The environment variable DUCT_PROFILE chooses one; `ci` is what `make test` runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import attrs
from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

__all__ = ["PROFILES", "Profile", "chosen"]


@attrs.frozen
class Profile:
    """How much is tried.

    Attributes:
        name: What it is called.
        parts: Number of searches, each from a seed of its own; they may run side by side.
        examples: Runs of the driver in each.
        accesses: Accesses that each must have judged; fewer means that runs have become empty.
        fixed: Whether the same runs are made every time.
    """

    name: str
    parts: int
    examples: int
    accesses: int
    fixed: bool

    def limits(self, **changes: Any) -> settings:
        """The same for Hypothesis."""
        plain = settings(
            max_examples=self.examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=self.fixed,
            database=None if self.fixed else DirectoryBasedExampleDatabase(".hypothesis/examples"),
            suppress_health_check=list(HealthCheck),
            print_blob=not self.fixed,
        )
        return settings(plain, **changes) if changes else plain

    def search_only(self, examples: int) -> settings:
        """Settings that stop at the first finding as it is, without making it smaller."""
        return self.limits(
            max_examples=examples,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
        )


PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("dev", 2, 20, 5_000, fixed=True),
        Profile("ci", 4, 320, 250_000, fixed=True),
        Profile("nightly", 256, 2_500, 2_000_000, fixed=False),
    )
}
"""Seconds, minutes, hours."""


def chosen() -> Profile:
    """The profile that DUCT_PROFILE names. Raises `ValueError` if there is none of that name."""
    name = os.environ.get("DUCT_PROFILE", "ci")
    if name not in PROFILES:
        raise ValueError(f"DUCT_PROFILE is one of {', '.join(PROFILES)}, not {name!r}")
    return PROFILES[name]
