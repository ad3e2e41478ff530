"""What a packet costs the driver: received in batches and sent on, beside the same in C.

    python -m bench.forward [--seconds S] [--payload BYTES] [--profile BATCH]

The card is ordinary memory (`bench.memory_card`), and what it does is not timed. What the driver
does when the interrupt comes is. The ring in C (`bench/forward.c`) is compiled here if a compiler
is found, and runs before and after each measurement, so that both meet the same machine. All times
are nanoseconds a packet, medians of many batches.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from bench.memory_card import MemoryCard
from impl.attach import Attachment
from impl.controller import Controller
from impl.driver import DuctDriver
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import LIMITS

__all__ = ["BATCHES", "RESULTS", "Cost", "Yardstick", "forwarding", "measured", "write_results"]

BATCHES: Final = (1, 32, 64, 256)
RESULTS: Final = Path("bench/results.json")
SOURCE: Final = Path(__file__).with_name("forward.c")
SMALLEST_SHIFT: Final = LIMITS.default_shift


def slots_for(batch: int) -> int:
    """The slots of a ring that has room for two batches: the driver's own choice, or more."""
    return 1 << max(SMALLEST_SHIFT, (2 * batch - 1).bit_length())


@attrs.frozen
class Cost:
    """Nanoseconds a packet, received and sent on.

    Attributes:
        batch: Packets in a batch.
        api: By `receive_batch` and `send_batch`, with the interrupt that takes slots back.
        c: By the ring in C; None if there is no compiler.
    """

    batch: int
    api: float
    c: float | None

    @property
    def ratio(self) -> float | None:
        """How many times the ring in C."""
        return None if self.c is None else self.api / self.c


class Yardstick:
    """The ring in C, compiled into a directory of its own."""

    def __init__(self, directory: Path, compiler: str) -> None:
        self._program = directory / "forward"
        subprocess.run([compiler, "-O2", "-o", self._program, SOURCE], check=True)

    def measure(self, batch: int, payload: int, seconds: float) -> float:
        """Nanoseconds a packet."""
        words = (slots_for(batch), batch, payload, seconds)
        ran = subprocess.run(
            [self._program, *map(str, words)], check=True, capture_output=True, text=True
        )
        return float(ran.stdout)


def forwarding(
    duct: DuctDriver, controller: Controller, card: MemoryCard, batch: int, payload: int
) -> Callable[[], float]:
    """What forwards one batch when it is called, and returns the seconds that this took."""
    clock = time.perf_counter

    def forward() -> float:
        card.receives(batch, payload)
        begin = clock()
        packets = duct.receive_batch(batch)
        sent = duct.send_batch(
            [(packet.source, packet.payload) for packet in packets], blocking=False
        )
        taken = clock() - begin
        if card.sends() != batch or sent != batch:
            raise RuntimeError(f"{sent} packets of a batch of {batch} were sent")
        begin = clock()
        controller.runtime.lock()
        controller.serve_events()
        controller.runtime.unlock()
        return taken + clock() - begin

    return forward


def measured(batch: int, payload: int, seconds: float, yardstick: Yardstick | None) -> Cost:
    """Forward batches for so many seconds."""
    card = MemoryCard()
    runtime = ThreadRuntime()
    shift = slots_for(batch).bit_length() - 1
    attachment = Attachment.to(card, runtime, Settings(ring_shift=shift))
    c: list[float] = []
    samples: list[float] = []
    try:
        with DuctDriver(attachment) as duct:
            forward = forwarding(duct, attachment.controller, card, batch, payload)
            for _ in range(2):
                forward()
            for _ in range(2):
                if yardstick is not None:
                    c.append(yardstick.measure(batch, payload, seconds / 4))
                until = time.perf_counter() + seconds / 4
                while time.perf_counter() < until or len(samples) < 3:
                    samples.append(forward())
    finally:
        attachment.detach()
    return Cost(batch, statistics.median(samples) / batch * 1e9, statistics.fmean(c) if c else None)


def write_results(costs: list[Cost], place: Path = RESULTS) -> None:
    """Write what was found: `{"forward": {"64": {"api_ns": ..., "c_ns": ...}}}`."""
    found = {
        str(cost.batch): {
            name: round(value, 1)
            for name, value in (("api_ns", cost.api), ("c_ns", cost.c), ("ratio", cost.ratio))
            if value is not None
        }
        for cost in costs
    }
    place.write_text(json.dumps({"forward": found}, indent=2) + "\n", encoding="utf-8")


def print_costs(costs: list[Cost]) -> None:
    """A table of them."""
    print(f"{'packets in a batch':<20} {'driver':>10} {'C':>8} {'ratio':>7}")
    for cost in costs:
        c = "-" if cost.c is None else f"{cost.c:,.1f}"
        ratio = "-" if cost.ratio is None else f"{cost.ratio:,.0f}x"
        print(f"{cost.batch:<20} {cost.api:>7,.0f} ns {c:>5} ns {ratio:>7}", flush=True)


def main() -> None:
    """Measure, print, and write `bench/results.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.forward", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each batch size")
    parser.add_argument("--payload", type=int, default=64, help="bytes of each packet")
    parser.add_argument("--profile", type=int, metavar="BATCH", help="show where the time goes")
    options = parser.parse_args()
    if options.profile:
        with cProfile.Profile() as profile:
            measured(options.profile, options.payload, options.seconds, None)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    compiler = shutil.which("cc")
    with tempfile.TemporaryDirectory() as directory:
        yardstick = None if compiler is None else Yardstick(Path(directory), compiler)
        costs = [measured(batch, options.payload, options.seconds, yardstick) for batch in BATCHES]
    print_costs(costs)
    write_results(costs)


if __name__ == "__main__":
    main()
