"""The charts of the document on speed, each drawn of nothing but `bench/results.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bench.chart import Chart, Line, drawn

__all__ = ["charts_of", "write_charts"]

NAMES: Final = {
    "c_ns": "C ring",
    "copies_ns": "two copies in C",
    "kernel_ns": "C kernel, arrays",
    "kernel_api_ns": "C kernel, objects",
    "scalar_ns": "Python, objects",
    "arrays_ns": "Python, arrays",
}
COLOURS: Final = {name: number for number, name in enumerate(NAMES.values())}


def _line(key: str, points: Iterable[tuple[float, float]]) -> Line:
    """The line of a way by its name in the results, with or without the unit."""
    name = NAMES[f"{key.removesuffix('_ns')}_ns"]
    return Line(name, tuple(points), COLOURS[name])


def _lines(section: Mapping[str, Any], what: Any = None) -> tuple[Line, ...]:
    """A line for each way that was measured; `what` makes a figure of size and nanoseconds."""
    what = what or (lambda _size, cost: cost)
    lines = []
    for key in NAMES:
        points = [
            (float(size), what(float(size), found[key]))
            for size, found in section.items()
            if found.get(key, 0) > 0
        ]
        if points:
            lines.append(_line(key, points))
    return tuple(lines)


def charts_of(results: Mapping[str, Any]) -> dict[str, Chart]:
    """By the name of the file: what there are figures for."""
    charts = {}
    if "forward" in results:
        charts["bench-forward.svg"] = Chart(
            "What a packet of 64 bytes costs, received and sent on",
            "packets in a batch", "nanoseconds a packet",
            _lines(results["forward"]), log_across=True, log_up=True,
        )  # fmt: skip
    if "payloads" in results:
        charts["bench-payloads.svg"] = Chart(
            "Bytes received and sent on, in batches of 64",
            "bytes in a packet", "gigabytes a second",
            _lines(results["payloads"], lambda size, cost: size / cost),
            log_across=True, log_up=True,
        )  # fmt: skip
    if "rings" in results:
        rings = {1 << int(shift): found for shift, found in results["rings"].items()}
        kept = {
            str(slots): {name: cost for name, cost in found.items() if name != "copies_ns"}
            for slots, found in rings.items()
        }
        charts["bench-rings.svg"] = Chart(
            "What a packet costs by the size of the rings, in batches of 64",
            "slots of a ring", "nanoseconds a packet",
            _lines(kept), log_across=True, log_up=True,
        )  # fmt: skip
    if "latency" in results:
        charts["bench-latency.svg"] = Chart(
            "From the doorbell until the call that waits returns",
            "percent of all calls that take no longer", "microseconds",
            tuple(
                _line(name, ((float(share), time) for share, time in found.items()))
                for name, found in results["latency"].items()
            ),
            log_up=True,
        )  # fmt: skip
    if "memory" in results:
        charts["bench-memory.svg"] = Chart(
            "Memory of the process while packets pass, in batches of 256",
            "millions of packets", "megabytes",
            tuple(
                _line(name, ((moved / 1e6, size) for moved, size in found["megabytes"]))
                for name, found in results["memory"].items()
                if found["megabytes"]
            ),
        )  # fmt: skip
    return charts


def write_charts(results: Mapping[str, Any], folder: Path) -> None:
    """Draw them into a folder."""
    for name, chart in charts_of(results).items():
        (folder / name).write_text(drawn(chart), encoding="utf-8")
