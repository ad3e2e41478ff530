"""How long the proofs take: all of them, some of them, and again, after a change or without one."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import attrs

__all__ = ["RUNS", "Run", "print_proofs"]

PART: Final = 5
"""The exit status where all that was asked is proved, and that was not everything."""
KEPT: Final = "KEPT"
"""Stands in options for the file of kept answers, which is empty when the first run begins."""
STEPS: Final = ("--fresh", "--only", "step/*", "--arithmetic", "integer")


@attrs.frozen
class Run:
    """A run that is timed.

    Attributes:
        name: What it is called in the table.
        options: The options of the command.
        module: The command.
        base: The run that it is compared with.
    """

    name: str
    options: tuple[str, ...]
    module: str = "proofs.check"
    base: str = "everything, fresh"


RUNS: Final = (
    Run("everything, fresh", ("--fresh",)),
    Run("without hints", ("--fresh", "--no-hints")),
    Run("first, answers are kept", ("--answers", KEPT)),
    Run("again, nothing changed", ("--answers", KEPT)),
    Run("again, one rule changed", ("--answers", KEPT), "bench.changed"),
    Run("both solvers, fresh", ("--fresh", "--solver", "both")),
    Run("steps, integers, any ring size", STEPS),
    *(
        Run(f"steps, integers, {size} slots", (*STEPS, "--ring-size", str(size)),
            base="steps, integers, any ring size")
        for size in (1, 64, 4096)
    ),
)  # fmt: skip


def _timed(run: Run, answers: Path) -> tuple[float, float]:
    """Seconds on the clock and of processors. Raises `CalledProcessError` if the run fails.

    A part of the proofs is timed as well as the whole: status 5 says that something was left out.
    """
    options = [str(answers) if item == KEPT else item for item in run.options]
    start, before = time.perf_counter(), _processors()
    command = [sys.executable, "-m", run.module, *options]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode != PART:
        done.check_returncode()
    return time.perf_counter() - start, _processors() - before


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_proofs() -> None:
    """Time the proofs and print a table. Ratios are of processor time, to the run named last."""
    print(f"\n{'proofs':<36} {'seconds':>12} {'of processors':>14} {'ratio':>8}")
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for run in RUNS:
            seconds, spent[run.name] = _timed(run, Path(folder) / "answers")
            ratio = spent[run.name] / spent[run.base]
            of = "" if run.name == run.base else f"  of {run.base}"
            print(
                f"{run.name:<36} {seconds:>12.1f} {spent[run.name]:>14.1f} {ratio:>7.2f}x{of}",
                flush=True,
            )
