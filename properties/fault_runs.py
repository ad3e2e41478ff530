"""Looking for a run of the driver in which a fault shows."""

from __future__ import annotations

import time

import attrs
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.code import DriverCode
from properties.faults import Fault
from properties.judge import Deviation
from properties.stateful import machine_of

__all__ = ["Finding", "caught"]

EXAMPLES = 40
STEPS = 40


@attrs.frozen
class Finding:
    """What the search came to."""

    deviation: Deviation | None
    accesses: int
    seconds: float


def caught(fault: Fault, examples: int = EXAMPLES) -> Finding:
    """Run."""
    began = time.perf_counter()
    machine = machine_of(DriverCode.changed(fault.changes), fault=fault.name)
    deviation = None
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Deviation as found:
        deviation = found
    return Finding(deviation, machine.accesses, time.perf_counter() - began)
