"""Print how fast the specification runs and how long its proofs take: `python -m bench`."""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable

import attrs
from hypothesis import seed as seed_of
from hypothesis.stateful import run_state_machine_as_test

from bench.lines import print_lines
from bench.options import seconds_of
from bench.proofs import print_proofs
from emulator.backend import Laboratory
from engine.executor import Executor
from engine.protocol import System
from engine.scope import FlatState
from engine.search import search
from engine.terms import evaluate
from impl.attach import Attachments
from impl.driver import DuctDriver
from model.layout import ECHO
from model.opening import open_card
from model.scope import Scope
from model.system import specification
from monitor.watch import watch
from properties.driver_source import PRESENT
from properties.profiles import PROFILES
from properties.stateful import machine_of

TRANSMIT_ONLY = frozenset(
    {
        "begin_write",
        "enter_write",
        "turn_away",
        "exit_call",
        "wake",
        "spurious_wakeup",
        "interrupt",
        "event_interrupt",
        "read_events",
        "mark_readable",
        "no_packet_waits",
        "cmd.no_completion",
        "card.raise_vector0",
        "card.spurious_vector0",
    }
)
"""What a packet's way to the card and back takes besides the rules of the transmit ring."""


@attrs.frozen
class Measurement:
    """How many units of work were done in a second."""

    name: str
    unit: str
    rate: float


def transmit_ring(rule: str, parameters: object) -> bool:
    """Whether a step belongs to the transmit ring at work."""
    return rule.startswith("tx.") or rule in TRANSMIT_ONLY


def measure(name: str, unit: str, seconds: float, work: Callable[[], int]) -> Measurement:
    """Repeat `work`, which returns how much it did, for about `seconds`, after one untimed go."""
    work()
    done = 0
    start = time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds or not done:
        done += work()
    return Measurement(name, unit, done / taken)


def opened(system: System, scope: Scope) -> FlatState:
    """The state in which the card is open and everything rests."""
    state, _ = open_card(Executor.of(system, scope))
    return state


def walking(executor: Executor, start: FlatState, seed: int) -> Callable[[], int]:
    """Random steps, in pieces of 20,000, each picked among all enabled ones."""
    runner = executor.runner(start)
    source = random.Random(seed)

    def work() -> int:
        return runner.walk(source, 20_000)

    return work


def interpreting(executor: Executor, start: FlatState, seed: int) -> Callable[[], int]:
    """Random steps, enabledness by interpreting every guard: what the compiled form replaces."""
    source = random.Random(seed)
    state = start

    def work() -> int:
        nonlocal state
        values = executor.layout.named(state)
        enabled = [step for step in executor.instances if evaluate(step.guard, values)]
        state = executor.fire(state, source.choice(enabled))
        return 1

    return work


def searching(executor: Executor, start: FlatState) -> Callable[[], int]:
    """Breadth-first search through 20,000 states."""

    def work() -> int:
        return search(executor, goal=lambda state: False, start=start, states=20_000).steps

    return work


def judging() -> Callable[[], int]:
    """The stateful comparison: accesses of the driver and the card that the specification judges.

    Hypothesis, the driver, the emulated card and the weak memory run in the time that is taken.
    """
    machine = machine_of(PRESENT)
    seeds = itertools.count()

    def work() -> int:
        before = machine.accesses
        limits = PROFILES["dev"].limits(derandomize=False, max_examples=100)
        run_state_machine_as_test(seed_of(next(seeds))(machine), settings=limits)
        return machine.accesses - before

    return work


def monitored(seconds: float) -> Measurement:
    """Packets to the echo service and back, while the monitor judges every access.

    The driver, its threads and the emulated card run in the time that is taken.
    """
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open}, lambda: watch)
    with DuctDriver.open("emulated:", monitor=True, attachments=attachments) as duct:
        judge = duct.watch
        assert judge is not None

        def work() -> int:
            before = judge.accesses
            for size in (0, 1, 1500, 16384):
                duct.send(ECHO.address, bytes(size))
                duct.receive()
            return judge.accesses - before

        measured = measure("real threads, monitored", "access/s", seconds, work)
    laboratory.power_off()
    return measured


def measurements(seconds: float, seed: int) -> list[Measurement]:
    """Everything that is measured."""
    system = specification()
    found: list[Measurement] = []
    for size in (1, 4, 64):
        scope = Scope(ring_size=size, users=6, posted=4, words=(0,))
        start = opened(system, scope)
        part = Executor.of(system, attrs.evolve(scope, rules=transmit_ring))
        work = walking(part, start, seed)
        found.append(measure(f"walk, transmit ring, {size} slots", "steps/s", seconds, work))
    whole = Scope(ring_size=64, users=6, posted=4)
    executor = Executor.of(system, whole)
    work = walking(executor, executor.initial(), seed)
    found.append(measure("walk, whole system, 64 slots", "steps/s", seconds, work))
    small = Executor.of(system, Scope(ring_size=2, users=2))
    start = opened(system, small.scope)
    found.append(
        measure("search, whole system, 2 slots", "steps/s", seconds, searching(small, start))
    )
    found.append(measure("driver and card, judged", "access/s", seconds, judging()))
    found.append(monitored(seconds))
    work = interpreting(small, small.initial(), seed)
    found.append(measure("walk, interpreted, 2 slots", "steps/s", min(seconds, 0.5), work))
    return found


def main() -> None:
    """Measure and print a table; the last column is relative to interpreting the terms."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=seconds_of, default=1.0, help="time for each measurement")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random walks")
    parser.add_argument(
        "--proofs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also time python -m proofs.check, which takes some minutes",
    )
    options = parser.parse_args()
    found = measurements(options.seconds, options.seed)
    base = found[-1].rate
    print(f"{'measurement':<36} {'rate':>12} {'unit':<8} {'ratio':>8}")
    for item in found:
        print(
            f"{item.name:<36} {item.rate:>12,.0f} {item.unit:<8} {item.rate / base:>7,.0f}x",
            flush=True,
        )
    if options.proofs:
        print_proofs()
        print_lines()


if __name__ == "__main__":
    main()
