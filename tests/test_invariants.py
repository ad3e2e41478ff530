"""The invariant, watched: long random runs of the specification at several ring sizes.

The proofs say that every conjunct holds in every reachable state. Here the same conjuncts, compiled
from the same terms, are evaluated along runs: a mistake in the algebra, in the executor or in the
way a conjunct is written down shows as a disagreement between the two.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import pytest

from engine.claims import Invariant, Property
from engine.executor import Executor
from engine.induction import FRESH
from engine.rules import Choice
from engine.scope import FlatState
from engine.terms import Bool, Sort, symbol
from model.opening import open_card
from model.properties import PROPERTIES
from model.scope import Scope
from model.state import Flags
from model.system import DUCT, specification
from proofs.invariants import INVARIANTS

RANGES: Final = {
    "lock.ticket-held": ("lock.serving", "lock.next"),
    "calls.listed": (None, "driver.inside"),
    "tx.queue-member": ("tx.waiters.head", "tx.waiters.next"),
    "cmd.queue-member": ("cmd.waiters.head", "cmd.waiters.next"),
    "rx.queue-member": ("rx.waiters.head", "rx.waiters.next"),
    "tx.doorbell-on-its-way": ("tx.doorbells_arrived", "tx.doorbells_posted"),
    "cmd.doorbell-on-its-way": ("cmd.doorbells_arrived", "cmd.doorbells_posted"),
    "doorbell-index": ("tx.doorbells_arrived", "tx.doorbells_posted"),
}
CHOICES: Final = {"slot": Choice.SLOT, "thread": Choice.THREAD, "key": Choice.KEY}
Statement = Invariant | Property


def parameter(index: str) -> Any:
    """The name of an index in a compiled statement, and its symbol."""
    name = {"slot": "k", "thread": "t", "counter": "j", "key": "key"}[index]
    return name, symbol(f"?{name}", Sort.NUMBER)


def monitor(executor: Executor, item: Statement) -> Callable[[Any], bool]:
    """A function that tells whether the statement holds in a state, at every index."""
    names = [parameter(index) for index in item.indices]
    claim: Bool = item.body(DUCT.symbols, *(term for _, term in names))
    if item.indices == ("counter",):
        test = executor.compile(claim, ("j",))
        first, last = RANGES[item.name]

        def at_tickets(state: Any) -> bool:
            start = executor.value(state, first) if first else 0
            return all(test(state, j) for j in range(start, executor.value(state, last)))

        return at_tickets
    ranges = {name: CHOICES[index] for index, (name, _) in zip(item.indices, names, strict=True)}
    return executor.predicate(claim, **ranges)


@functools.cache
def monitors(executor: Executor) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    """A monitor for each conjunct of the invariant and each property."""
    items: list[Statement] = [*INVARIANTS, *PROPERTIES]
    return tuple((item.name, monitor(executor, item)) for item in items)


@attrs.frozen
class Run:
    """A random run: its sizes, how long, and how often it is looked at."""

    ring_size: int
    users: int
    steps: int
    stride: int
    opened: bool = True
    without: tuple[str, ...] = ()


CALM: Final = ("card.fatal_error", "interrupt", "begin_close")
RUNS: Final = (
    Run(1, users=3, steps=40_000, stride=7, without=CALM),
    Run(2, users=3, steps=40_000, stride=11, without=CALM),
    Run(4, users=4, steps=40_000, stride=23, without=CALM),
    Run(8, users=3, steps=40_000, stride=41, without=CALM[:1]),
    Run(64, users=3, steps=60_000, stride=601, without=CALM),
    Run(1, users=2, steps=40_000, stride=7, opened=False),
    Run(2, users=3, steps=40_000, stride=11, opened=False),
    Run(4, users=2, steps=40_000, stride=23),
    Run(8, users=2, steps=30_000, stride=41, opened=False),
    Run(64, users=2, steps=30_000, stride=601, opened=False),
)


def anything(executor: Executor, generator: random.Random) -> FlatState:
    """Power-on, with whatever may be anything then: memory, and a card as it was left."""
    start = executor.initial()
    values: dict[str, Any] = {}
    for name in sorted(DUCT.arbitrary):
        present = executor.value(start, name)
        entries = present if isinstance(present, tuple) else (present,)
        drawn = tuple(type(entry)(generator.randrange(14)) for entry in entries)
        values[name] = drawn if isinstance(present, tuple) else drawn[0]
    values["card.flags"] = generator.choice(list(Flags)).value
    return executor.changed(start, **values)


def states(executor: Executor, run: Run, seed: int) -> Iterator[Any]:
    """States along a random run from power-on, or from a card just opened."""
    generator = random.Random(seed)
    start = anything(executor, generator)
    runner = executor.runner(open_card(executor, start=start)[0] if run.opened else start)
    for _ in range(run.steps // run.stride):
        runner.walk(generator, run.stride)
        yield runner.state()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"N{run.ring_size}-{run.steps}-{run.opened}")
def test_every_conjunct_and_property_holds_along_random_runs(run: Run) -> None:
    everything = Executor.of(specification(), Scope(run.ring_size, users=run.users))
    some = Executor.of(
        specification(),
        Scope(run.ring_size, users=run.users, rules=lambda name, _: name not in run.without),
    )
    watched = monitors(everything)
    for number, state in enumerate(states(some, run, seed=run.ring_size)):
        broken = [name for name, holds in watched if not holds(state)]
        assert not broken, f"look {number}: {broken}"


def test_a_monitor_notices_a_broken_state() -> None:
    executor = Executor.of(specification(), Scope(2, users=2))
    opened, _ = open_card(executor)
    broken = executor.changed(opened, tx__prod=executor.value(opened, "tx.prod") + 1)
    assert [name for name, holds in monitors(executor) if not holds(broken)]
    assert not [name for name, holds in monitors(executor) if not holds(opened)]


def test_a_monitor_notices_an_index_that_is_not_its_counter() -> None:
    """The conjuncts that only machine arithmetic can be asked about are watched as well."""
    executor = Executor.of(specification(), Scope(4, users=2))
    opened, _ = open_card(executor)
    masked = {item.name for item in INVARIANTS if item.machine_only}
    watched = [(name, holds) for name, holds in monitors(executor) if name in masked]
    assert {name for name, _ in watched} == masked
    for ring in ("tx", "cmd", "rx"):
        index = executor.value(opened, f"{ring}.cons_i")
        broken = executor.changed(opened, **{f"{ring}__cons_i": (index + 1) % 4})
        wrong = [name for name, holds in watched if not holds(broken)]
        assert wrong == [f"{ring}.indices-are-masked-counters"]


def test_every_index_has_a_fresh_symbol() -> None:
    used = {index for item in [*INVARIANTS, *PROPERTIES] for index in item.indices}
    assert used <= set(FRESH)
