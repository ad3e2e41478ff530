"""What a packet costs the driver: received in batches and sent on, beside the same in C.

    python -m bench.forward [--seconds S] [--payload BYTES] [--profile BATCH] [--results FILE]

The card is ordinary memory (`bench.memory_card`), and what it does is not timed. What the driver
does when the interrupt comes is. The ring in C (`bench/forward.c`) is compiled here if a compiler
is found, and takes its turn with the others, so that all meet the same machine. All times are
nanoseconds a packet: the least of several rounds, of each of which the quicker half of the batches
counts. What the clock itself takes is taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import pstats
import shutil
import subprocess
import tempfile
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bench.memory_card import MemoryCard
from bench.options import RESULTS, batch_of, payload_of, results_at, seconds_of, write_results
from impl.attach import Attachment
from impl.controller import Controller
from impl.datapath.loader import PYTHON, Datapath, chosen
from impl.driver import DuctDriver, PacketBatch
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import LIMITS

__all__ = [
    "BATCHES",
    "Cost",
    "Load",
    "Yardstick",
    "cost_of",
    "main",
    "measured",
    "passing_arrays",
    "passing_objects",
    "yardstick_here",
]

BATCHES: Final = (1, 32, 64, 256)
SOURCE: Final = Path(__file__).with_name("forward.c")
ROUNDS: Final = 4
SMALLEST_SHIFT: Final = LIMITS.default_shift


def slots_for(batch: int) -> int:
    """The slots of a ring that has room for two batches: the driver's own choice, or more."""
    return 1 << max(SMALLEST_SHIFT, (2 * batch - 1).bit_length())


@attrs.frozen
class Load:
    """What is forwarded.

    Attributes:
        batch: Packets in a batch.
        sizes: Bytes of the packets of a batch, one after the other, and over again.
        slots: Those of each ring.
    """

    batch: int
    sizes: tuple[int, ...]
    slots: int = attrs.field()

    @slots.default
    def _enough(self) -> int:
        return slots_for(self.batch)

    @property
    def each(self) -> list[int]:
        """The bytes of each packet of a batch."""
        return [self.sizes[number % len(self.sizes)] for number in range(self.batch)]


@attrs.frozen
class Cost:
    """Nanoseconds a packet, received and sent on.

    Attributes:
        batch: Packets in a batch.
        scalar: By `receive_batch` and `send_batch` in Python, with the interrupt that takes slots
            back.
        kernel: The same over the C kernel; None if it is not built.
        c: By the ring in C; None if there is no compiler.
        arrays: By `receive_into` and `send_from` in Python.
        kernel_arrays: The same over the C kernel.
    """

    batch: int
    scalar: float
    kernel: float | None
    c: float | None
    arrays: float
    kernel_arrays: float | None

    def ratio(self, cost: float | None) -> float | None:
        """How many times the ring in C a cost is."""
        return None if self.c is None or cost is None else cost / self.c

    def figures(self) -> dict[str, float]:
        """All that was measured, by the names in `bench/results.json`."""
        named = {
            "scalar_ns": self.scalar,
            "arrays_ns": self.arrays,
            "kernel_api_ns": self.kernel,
            "kernel_ns": self.kernel_arrays,
            "c_ns": self.c,
            "scalar_ratio": self.ratio(self.scalar),
            "arrays_ratio": self.ratio(self.arrays),
            "kernel_api_ratio": self.ratio(self.kernel),
            "kernel_ratio": self.ratio(self.kernel_arrays),
        }
        return {name: round(value, 1) for name, value in named.items() if value is not None}


class Yardstick:
    """The ring in C, compiled into a directory of its own."""

    def __init__(self, directory: Path, compiler: str) -> None:
        self._program = directory / "forward"
        subprocess.run([compiler, "-O2", "-o", self._program, SOURCE], check=True)

    def measure(self, load: Load, seconds: float, *, copies_only: bool = False) -> float:
        """Nanoseconds a packet; or, if so, of the two copies of its payload alone."""
        sizes = ",".join(map(str, load.sizes))
        words = [str(load.slots), str(load.batch), sizes, str(seconds), *["copy"] * copies_only]
        ran = subprocess.run([self._program, *words], check=True, capture_output=True, text=True)
        return float(ran.stdout)


def passing_objects(duct: DuctDriver, batch: int) -> Callable[[], int]:
    """What receives a batch of packets, sends them on, and returns how many."""

    def forward() -> int:
        packets = duct.receive_batch(batch)
        return duct.send_batch(
            [(packet.source, packet.payload) for packet in packets], blocking=False
        )

    return forward


def passing_arrays(duct: DuctDriver, batch: int) -> Callable[[], int]:
    """The same with arrays."""
    payloads = bytearray(batch * PacketBatch.ROOM)
    offsets = array("Q", range(0, len(payloads), PacketBatch.ROOM))
    lengths, senders = array("I", [0] * batch), array("I", [0] * batch)
    incoming = PacketBatch(payloads, offsets, lengths, sources=senders)
    outgoing = PacketBatch(payloads, offsets, lengths, destinations=senders)

    def forward() -> int:
        outgoing.filled = duct.receive_into(incoming)
        return duct.send_from(outgoing, blocking=False)

    return forward


Way: TypeAlias = Callable[[DuctDriver, int], Callable[[], int]]


def quiet(samples: list[float]) -> float:
    """The mean of the quicker half: what else the machine does makes things slower, never quicker.

    The clock ticks too slowly for any single one of them.
    """
    half = sorted(samples)[: -(-len(samples) // 2)]
    return sum(half) / len(half)


def forwarding(
    passing: Callable[[], int], controller: Controller, card: MemoryCard, load: Load
) -> Callable[[], float]:
    """What forwards one batch when it is called, and returns the seconds that this took."""
    clock = time.perf_counter
    # The clock takes as long as some of what is measured, and is taken off, as in C.
    itself = 2 * quiet([-(clock() - clock()) for _ in range(1000)])

    sizes, batch = load.each, load.batch

    def forward() -> float:
        card.receives_each(sizes)
        begin = clock()
        sent = passing()
        taken = clock() - begin
        if card.sends() != batch or sent != batch:
            raise RuntimeError(f"{sent} packets of a batch of {batch} were sent")
        begin = clock()
        controller.runtime.lock()
        controller.serve_events()
        controller.runtime.unlock()
        return taken + clock() - begin - itself

    return forward


def cost_of(datapath: Datapath, way: Way, load: Load, seconds: float) -> float:
    """Nanoseconds a packet when batches are forwarded for so many seconds."""
    card = MemoryCard()
    shift = load.slots.bit_length() - 1
    attachment = Attachment.to(card, ThreadRuntime(), Settings(ring_shift=shift), datapath)
    samples: list[float] = []
    try:
        with DuctDriver(attachment) as duct:
            forward = forwarding(way(duct, load.batch), attachment.controller, card, load)
            for _ in range(2):
                forward()
            until = time.perf_counter() + seconds
            while time.perf_counter() < until or len(samples) < 3:
                samples.append(forward())
    finally:
        attachment.detach()
    return quiet(samples) / load.batch * 1e9


def measured(load: Load, seconds: float, yardstick: Yardstick | None) -> Cost:
    """What a packet of a batch costs each way: the least of several rounds of all ways."""
    kernel = chosen()
    ways = {"scalar": (PYTHON, passing_objects), "arrays": (PYTHON, passing_arrays)}
    if kernel.kernel is not None:
        ways |= {"kernel": (kernel, passing_objects), "kernel_arrays": (kernel, passing_arrays)}
    part = seconds / ROUNDS / (1 + len(ways))
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        if yardstick is not None:
            costs["c"].append(yardstick.measure(load, part))
        for name, (datapath, way) in ways.items():
            costs[name].append(cost_of(datapath, way, load, part))
    # Whatever else the machine does makes things slower and never faster.
    least = {name: min(found) for name, found in costs.items()}
    return Cost(
        load.batch,
        scalar=least["scalar"],
        kernel=least.get("kernel"),
        c=least.get("c"),
        arrays=least["arrays"],
        kernel_arrays=least.get("kernel_arrays"),
    )


@contextlib.contextmanager
def yardstick_here() -> Iterator[Yardstick | None]:
    """The ring in C; None where there is no compiler."""
    compiler = shutil.which("cc")
    with tempfile.TemporaryDirectory() as directory:
        yield None if compiler is None else Yardstick(Path(directory), compiler)


def print_costs(costs: list[Cost]) -> None:
    """A table of them."""
    heads = ("Python", "Python, arrays", "C kernel", "C kernel, arrays")
    print(f"{'in a batch':<10} {'C':>10}", *(f"{head:>19}" for head in heads))
    for cost in costs:
        c = "-" if cost.c is None else f"{cost.c:,.1f} ns"
        values = (cost.scalar, cost.arrays, cost.kernel, cost.kernel_arrays)
        print(f"{cost.batch:<10} {c:>10}", *(_cell(v, cost.ratio(v)) for v in values), flush=True)


def _cell(value: float | None, ratio: float | None) -> str:
    text = "-" if value is None else f"{value:,.0f} ns"
    return f"{text:>10} {'' if ratio is None else f'{ratio:,.1f}x':>8}"


def main() -> None:
    """Measure, print, and write `bench/results.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.forward", description=__doc__)
    parser.add_argument("--seconds", type=seconds_of, default=2.0, help="time for each batch size")
    parser.add_argument("--payload", type=payload_of, default=64, help="bytes of each packet")
    parser.add_argument(
        "--profile", type=batch_of, metavar="BATCH", help="show where the time goes"
    )
    parser.add_argument(
        "--results", type=results_at, default=RESULTS, metavar="FILE", help="where figures go"
    )
    options = parser.parse_args()
    sizes = (options.payload,)
    if options.profile:
        with cProfile.Profile() as profile:
            cost_of(PYTHON, passing_objects, Load(options.profile, sizes), options.seconds)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    with yardstick_here() as yardstick:
        costs = [measured(Load(size, sizes), options.seconds, yardstick) for size in BATCHES]
    print_costs(costs)
    write_results({"forward": {str(cost.batch): cost.figures() for cost in costs}}, options.results)


if __name__ == "__main__":
    main()
