"""What is told of a run that deviates: its last steps as a ladder, and a file with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from engine.ladder import ladder
from engine.recording import recorded
from engine.trace import Trace
from judge.judge import Deviation, Judge
from monitor.path import LongPath

__all__ = ["last_steps", "save"]

TOLD: Final = 12
"""Steps that a message tells."""


def last_steps(judge: Judge, path: LongPath) -> str:
    """The last steps before the present one, as a ladder."""
    skip = max(len(path) - path.forgotten - TOLD, 0)
    trace = recorded(judge.stepper, path.start, path, "the last steps", "", skip=skip)
    return "\n".join(ladder(trace, judge.phrases, explain=False))


def save(judge: Judge, path: LongPath, deviation: Deviation, file: Path) -> None:
    """Write all steps that are kept to a file that `python -m properties.replay` shows.

    Raises:
        OSError: It cannot be written.
    """
    trace = _whole(judge, path, deviation)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(trace.to_json()) + "\n", encoding="utf-8")


def _whole(judge: Judge, path: LongPath, deviation: Deviation) -> Trace:
    first, last = path.forgotten + 1, len(path)
    return recorded(
        judge.stepper,
        path.start,
        path,
        f"a monitored run, steps {first:,} to {last:,}",
        f"{deviation.culprit} broke the specification: {deviation.reason}",
    )
