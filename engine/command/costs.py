"""How much work each obligation and each search is, so that progress can be shown as a share of it.

Nine in ten obligations are decided in a moment, and few others take most of the time: their number
says little about how much is left to do.
"""

from __future__ import annotations

from typing import Final

from engine.obligations import Obligation
from engine.protocol import System

__all__ = ["COSTS", "SEARCH", "Costs"]

COSTS: Final = {
    ("initial", "machine"): 0.001,
    ("initial", "integer"): 0.001,
    ("step environment", "machine"): 0.570,
    ("step environment", "integer"): 0.270,
    ("step host", "machine"): 0.390,
    ("step host", "integer"): 0.200,
    ("step memory", "machine"): 0.090,
    ("step memory", "integer"): 0.050,
    ("step device", "machine"): 0.090,
    ("step device", "integer"): 0.040,
    ("index", "machine"): 0.220,
    ("property", "machine"): 0.039,
    ("property", "integer"): 0.035,
    ("race", "machine"): 0.041,
    ("race", "integer"): 0.030,
    ("memory", "machine"): 0.036,
    ("memory", "integer"): 0.036,
    ("deadlock", "machine"): 0.160,
    ("deadlock", "integer"): 0.110,
    ("promise", "machine"): 0.026,
    ("promise", "integer"): 0.023,
    ("rule", "machine"): 0.040,
    ("rule", "integer"): 0.040,
    ("vacuity", "integer"): 0.021,
    ("code", "integer"): 8.000,
}
"""Mean seconds by kind and arithmetic, in one run with Z3 on one machine. Only how they compare
with each other matters."""
SEARCH: Final = 0.400
"""Mean seconds of the search for a run on which a fault shows, in the same run."""
UNKNOWN: Final = 0.030
"""What a kind that is not listed is taken for."""


class Costs:
    """How much work there is in the obligations of a system."""

    def __init__(self, system: System) -> None:
        self._parties = {step.rule.name: step.rule.party.value for step in system.transitions}

    def of(self, obligation: Obligation) -> float:
        """About how much work it is to decide an obligation, compared with the others."""
        return COSTS.get((self.kind(obligation.id), obligation.arithmetic), UNKNOWN)

    def kind(self, identity: str) -> str:
        """What an obligation is about, by its id; of a step also who takes it."""
        first, _, rest = identity.partition("/")
        return f"step {self._parties.get(rest, '')}" if first == "step" else first
