"""Replay a run that deviated: `python -m properties.replay FILE`.

A run is its sizes and its decisions. Replaying it gives the same accesses again, and shows them as
a ladder of what the specification did beside the driver, up to the access that it does not allow.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from engine.itf import itf_text
from engine.ladder import FULL, Page, text
from engine.trace import Trace
from judge.judge import Deviation, Specification
from model.system import specification
from properties.driver_source import PRESENT, DriverCode
from properties.simulation.simulation import Decision, Setup, Simulation

__all__ = ["Run", "explanation", "main", "replay", "save", "shown", "trace_of", "write_trace"]

VERSION: Final = 1
RIGHT: Final = "no deviation"
BAD_FILE: Final = 2
EXAMPLE: Final = "docs/no-barrier-tx-fields.json"


@attrs.frozen
class Run:
    """A run as data.

    Attributes:
        setup: Its sizes.
        decisions: What was decided.
        fault: The named change of the driver that it was run with; "" for none.
    """

    setup: Setup
    decisions: tuple[Decision, ...]
    fault: str = ""

    def command(self, path: Path) -> str:
        """The command that replays the run once it is saved to `path`."""
        return f"python -m properties.replay {path}"

    def to_json(self) -> dict[str, Any]:
        """The run as plain data."""
        return {
            "version": VERSION,
            "fault": self.fault,
            "setup": attrs.asdict(self.setup),
            "decisions": [list(decision) for decision in self.decisions],
        }

    @classmethod
    def from_json(cls, data: Any) -> Run:
        """The run that `to_json` wrote. Raises `ValueError` if it is none."""
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise ValueError(f"it is no run of version {VERSION}")
        decisions = tuple(tuple(item) for item in data["decisions"])
        return cls(Setup(**data["setup"]), decisions, data["fault"])


def save(run: Run, path: Path) -> None:
    """Write a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run.to_json()) + "\n", encoding="utf-8")


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace as ITF, the format that the tools around TLA+ read."""
    path.write_text(itf_text(trace, specification().phrases.named), encoding="utf-8")


def trace_of(simulation: Simulation, deviation: Deviation | None) -> Trace:
    """The run as a trace of the specification; its verdict is what is wrong with it."""
    reason = RIGHT if deviation is None else deviation.reason
    return simulation.judge.trace("driver and specification, side by side", reason)


def explanation(simulation: Simulation, deviation: Deviation) -> str:
    """What a run came to: its ladder, and what is wrong with it."""
    return shown(trace_of(simulation, deviation))


def shown(trace: Trace, page: Page = FULL) -> str:
    """The trace as a ladder; the first open of the card is told in one line."""
    rules = [step.rule for step in trace.steps]
    if "opened" not in rules:
        return text(trace, specification().phrases, page=page)
    fold = rules.index("opened") + 1
    return text(
        trace, specification().phrases, fold=fold, fold_text="the card is opened", page=page
    )


def replay(run: Run, code: DriverCode) -> tuple[Simulation, Deviation | None]:
    """Run it again; the deviation that it ends with, if it does.

    Another driver than the one that the run was made with may get to where a decision cannot be
    taken. From there on everything happens that must.
    """
    simulation = Simulation(run.setup, Specification(run.setup.scope()), code)
    try:
        for decision in run.decisions:
            if not _can_be_taken(simulation, decision):
                break
            simulation.decide(decision)
        # A run may end with a decision after which nothing goes on, though something should.
        simulation.finish()
    except Deviation as deviation:
        return simulation, deviation
    return simulation, None


def _can_be_taken(simulation: Simulation, decision: Decision) -> bool:
    """Whether it is something that users may begin at any time, or that may happen now."""
    kind, *about = decision
    match kind:
        case "offer":
            return True
        case "open":
            return simulation.idle() is not None
        case "release":
            return simulation.idle(ends=True) is not None and about[0] < len(simulation.views)
        case "close" | "send" | "receive" | "batch" | "poll" | "filter":
            idle = simulation.idle(ends=kind == "close")
            return idle is not None and about[0] < len(simulation.handles)
    return decision in {*simulation.options(), *simulation.extras(), *simulation.disturbances()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 without a deviation, 1 with one, 2 for a bad file."""
    parser = argparse.ArgumentParser(
        prog="python -m properties.replay",
        description="Replay a run of the driver that deviated from the specification, or show one "
        "that a monitor has saved.",
    )
    parser.add_argument("file", type=Path, help="a run that a failing test or a monitor has saved")
    parser.add_argument("--itf", type=Path, metavar="FILE", help="write the trace as ITF, too")
    parser.add_argument(
        "--present",
        action="store_true",
        help="run the driver as it is, even if the run was made with a named change of it",
    )
    options = parser.parse_args(arguments)
    try:
        data = json.loads(options.file.read_text(encoding="utf-8"))
        trace = _trace(data, present=options.present)
    except OSError as error:
        print(f"properties.replay: {options.file}: {error.strerror}", file=sys.stderr)
        return BAD_FILE
    except (ValueError, KeyError, TypeError) as error:
        print(
            f"properties.replay: {options.file} is no run ({_why(error)}); failing tests and "
            f"monitors save runs, and {EXAMPLE} is one",
            file=sys.stderr,
        )
        return BAD_FILE
    try:
        print(shown(trace, Page.of(sys.stdout)), end="", flush=True)
    except BrokenPipeError:
        # Whoever read the output has gone. Nothing more may be written, on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if options.itf is not None:
        write_trace(trace, options.itf)
    return 0 if trace.verdict == RIGHT else 1


def _why(error: Exception) -> str:
    """Why a file is no run, in one line."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "it is not JSON"
    if isinstance(error, KeyError):
        return f"it does not say {error}"
    return " ".join(str(error).split())


def _trace(data: Any, *, present: bool) -> Trace:
    """What a file holds: a run to be made again, or one that a monitor has recorded."""
    if isinstance(data, dict) and "steps" in data:
        return Trace.from_json(data)
    run = Run.from_json(data)
    return trace_of(*replay(run, _code(run, present=present)))


def _code(run: Run, *, present: bool) -> DriverCode:
    if present or not run.fault:
        return PRESENT
    from properties.faults import fault

    return DriverCode.changed(fault(run.fault).changes)


if __name__ == "__main__":
    sys.exit(main())
