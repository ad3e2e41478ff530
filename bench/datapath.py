"""What else there is to know of moving packets, with charts of it.

    python -m bench.datapath [--seconds S] [--packets N] [--ixy PATH] [--charts FOLDER]

Bytes a second for several sizes of packets, beside the two copies alone; sizes that change; the
cost by size of the ring; how long it takes from the doorbell until who waits is awake; memory over
many packets. `--ixy`, or IXY_PY in the environment, names a copy of ixy.py, which is then measured
as well. Costs by size of the batch are those of `bench.forward`, which runs before this.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.charts import write_charts
from bench.forward import (
    BATCHES,
    Load,
    Yardstick,
    cost_of,
    passing_arrays,
    passing_objects,
    quiet,
    yardstick_here,
)
from bench.ixy import NotIxyError, cost_of_ixy
from bench.memory_card import FIRST_TRANSMIT_BELL, MemoryCard
from bench.options import (
    RESULTS,
    folder_at,
    packets_of,
    read_results,
    results_at,
    seconds_of,
    write_results,
)
from impl.attach import Attachment
from impl.datapath.loader import PYTHON, Datapath, chosen
from impl.driver import DuctDriver
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import DBELL, IDENTITY, Register

__all__ = ["MIXED", "PAYLOADS", "SHIFTS", "main"]

BATCH: Final = 64
PAYLOADS: Final = (64, 1500, 4096, 16384)
MIXED: Final = (64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 64, 594)
"""Seven short, four of 594 bytes and a long one: the simple mix of the internet's traffic."""
SHIFTS: Final = (8, 9, 10, 11, 12)
PERCENTILES: Final = (10, 25, 50, 75, 90, 95, 99, 99.9)
MEMORY_BATCH: Final = 256
SAMPLES: Final = 20
ROUNDS: Final = 3
LONGEST: Final = 60.0
"""Seconds that packets are moved for at the most, to see what becomes of memory."""
CHARTS: Final = Path("docs")


def ways() -> dict[str, tuple[Datapath, Any]]:
    """What is measured, by its name in the results."""
    found: dict[str, tuple[Datapath, Any]] = {"scalar": (PYTHON, passing_objects)}
    kernel = chosen()
    if kernel.kernel is not None:
        found |= {"kernel_api": (kernel, passing_objects), "kernel": (kernel, passing_arrays)}
    return found


def costs_of(load: Load, seconds: float, yardstick: Yardstick | None) -> dict[str, float]:
    """Nanoseconds a packet, of each way and in C: the least of some rounds, each in its turn."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        if yardstick is not None:
            found["c_ns"].append(yardstick.measure(load, seconds / ROUNDS))
            found["copies_ns"].append(yardstick.measure(load, seconds / ROUNDS, copies_only=True))
        for name, (datapath, way) in ways().items():
            found[f"{name}_ns"].append(cost_of(datapath, way, load, seconds / ROUNDS))
    return {name: round(min(costs), 1) for name, costs in found.items()}


# From the doorbell to who waits


class AnsweringCard(MemoryCard):
    """Sends what it is given as soon as the doorbell rings, and raises the interrupt.

    Attributes:
        rung: When the doorbell was rung last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rung = 0.0
        self._mapped, self.words = self.words, None

    def write(self, register: Register, value: int) -> None:
        """A register is written, and by `words` nobody does."""
        self.words = self._mapped
        super().write(register, value)
        self.words = None
        if register is DBELL and value >= FIRST_TRANSMIT_BELL:
            self.sends()
            self.rung = time.perf_counter()
            self._vectors[IDENTITY.event_vector].release()


def latency(datapath: Datapath, seconds: float) -> dict[str, float]:
    """Microseconds from the doorbell until a call that waits for its packet returns."""
    card = AnsweringCard()
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), datapath)
    samples: list[float] = []
    try:
        with DuctDriver(attachment) as duct:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until or len(samples) < 100:
                duct.send(1, b"are you awake?")
                samples.append(time.perf_counter() - card.rung)
    finally:
        attachment.detach()
    samples.sort()
    return {
        f"{percent:g}": round(samples[int(len(samples) * percent / 100)] * 1e6, 1)
        for percent in PERCENTILES
    }


# Memory


def resident() -> float:
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(datapath: Datapath, way: Any, packets: int) -> dict[str, Any]:
    """What is in memory while so many packets pass, or as many as there is time for."""
    card, load = MemoryCard(), Load(MEMORY_BATCH, (64,))
    settings = Settings(ring_shift=load.slots.bit_length() - 1)
    attachment = Attachment.to(card, ThreadRuntime(), settings, datapath)
    controller, runtime = attachment.controller, attachment.controller.runtime
    points: list[tuple[int, float]] = []
    # What was measured before is no part of it.
    gc.collect()
    try:
        with DuctDriver(attachment) as duct:
            forward: Callable[[], int] = way(duct, load.batch)
            moved, part, until = 0, max(1, packets // SAMPLES), time.monotonic() + LONGEST
            while moved < packets and time.monotonic() < until:
                card.receives_each(load.each)
                moved += forward()
                card.sends()
                runtime.lock()
                controller.serve_events()
                runtime.unlock()
                if moved >= part * (len(points) + 1):
                    points.append((moved, round(resident(), 2)))
    finally:
        attachment.detach()
    return {"packets": moved, "megabytes": points}


# The command


def measured(options: argparse.Namespace, yardstick: Yardstick | None) -> dict[str, Any]:
    """All sections."""
    seconds = options.seconds
    sections: dict[str, Any] = {}
    if options.ixy is not None:
        sections["ixy"] = {
            str(batch): round(cost_of_ixy(options.ixy, batch, 64, seconds, quiet), 1)
            for batch in BATCHES
        }
    sections |= {
        # Nothing was in memory yet that others have left behind.
        "memory": {
            name: memory(datapath, way, options.packets) for name, (datapath, way) in ways().items()
        },
        "payloads": {
            str(size): costs_of(Load(BATCH, (size,)), seconds, yardstick) for size in PAYLOADS
        },
        "mixed": {
            "sizes": list(MIXED), "batch": BATCH,
            **costs_of(Load(BATCH, MIXED), seconds, yardstick),
        },
        "rings": {
            str(shift): costs_of(Load(BATCH, (64,), 1 << shift), seconds, yardstick)
            for shift in SHIFTS
        },
        "latency": {
            name: latency(datapath, seconds)
            for name, (datapath, way) in ways().items()
            if way is passing_objects
        },
    }  # fmt: skip
    return sections


def rows_of(sections: dict[str, Any]) -> list[tuple[str, str]]:
    """What was found, a line for each figure."""
    rows: list[tuple[str, str]] = []
    for section, figures in sections.items():
        for name, found in figures.items():
            text = (
                ", ".join(f"{key} {value}" for key, value in found.items() if key != "megabytes")
                if isinstance(found, dict)
                else str(found)
            )
            rows.append((f"{section} {name}", text))
            if isinstance(found, dict) and found.get("megabytes"):
                sizes = [megabytes for _, megabytes in found["megabytes"]]
                rows.append((f"{section} {name}", f"megabytes from {sizes[0]} to {sizes[-1]}"))
    return rows


def main() -> None:
    """Measure, print, write the figures and draw the charts."""
    parser = argparse.ArgumentParser(prog="python -m bench.datapath", description=__doc__)
    parser.add_argument("--seconds", type=seconds_of, default=1.0, help="time for each figure")
    parser.add_argument(
        "--packets",
        type=packets_of,
        default=10_000_000,
        help=f"for memory: how many, in {LONGEST:g} seconds at the most",
    )
    parser.add_argument(
        "--ixy",
        type=folder_at,
        default=os.environ.get("IXY_PY"),
        metavar="PATH",
        help="a copy of ixy.py (IXY_PY in the environment)",
    )
    parser.add_argument("--results", type=results_at, default=RESULTS, metavar="FILE")
    parser.add_argument("--charts", type=folder_at, default=CHARTS, metavar="FOLDER")
    options = parser.parse_args()  # fmt: skip
    try:
        with yardstick_here() as yardstick:
            sections = measured(options, yardstick)
    except NotIxyError as error:
        parser.error(str(error))
    for name, text in rows_of(sections):
        print(f"{name:<20} {text}", flush=True)
    write_results(sections, options.results)
    write_charts(read_results(options.results), options.charts)


if __name__ == "__main__":
    main()
