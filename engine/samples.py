"""States that a system reaches: what may happen is shown there, and nothing proved is refuted.

A state that is reached satisfies every invariant. So where what is given holds there and a claim
does not, the question is refuted, and by a state that a reader could be shown. Where no state
refutes it, nothing is known.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from engine.claims import ANY
from engine.digest import digest
from engine.executor import Executor
from engine.protocol import System
from engine.question import Question
from engine.rules import Choice, Transition
from engine.scope import FlatState
from engine.terms import And, Bool, Or, Sort, substitute, symbol, variables
from engine.witnesses import Setting

__all__ = ["Samples"]

STRIDE: Final = 7
"""Steps between two states that are looked at."""
STATES: Final = 200
"""States that are kept of each rule; as many of all of them are looked at for any question."""
RANGES: Final = {
    **dict.fromkeys(("any slot", "any k", "k"), Choice.SLOT),
    **dict.fromkeys(("any thread", "any t", "t"), Choice.THREAD),
    **dict.fromkeys(("any key", "key"), Choice.KEY),
}
"""What the symbols of a question range over, by name: its own, and parameters of other rules."""


@attrs.frozen(eq=False)
class _Pool:
    """States of one setting, and a few of them drawn at random.

    By each rule's name some in which it may be taken, with its parameters.
    """

    executor: Executor
    by_rule: dict[str, list[tuple[FlatState, tuple[int, ...]]]]
    states: list[FlatState]
    few: list[FlatState]


class Samples:
    """The states that a system reaches in some settings, gathered when they are first asked for."""

    def __init__(self, system: System, settings: Sequence[Setting]) -> None:
        self._system = system
        self._settings = settings

    @functools.cached_property
    def basis(self) -> str:
        """The digest of all that the states depend on."""
        return digest("samples", *(setting.digest(self._system) for setting in self._settings))

    @functools.cached_property
    def _pools(self) -> list[_Pool]:
        return [_gathered(self._system, setting) for setting in self._settings]

    def reach(self, step: Transition, condition: Bool) -> bool:
        """Whether a condition holds in some state, for some values of the rule's parameters."""
        # A few of the states mostly do, and all of them take their time.
        return any(_found(pool, pool.few, step, condition) for pool in self._pools) or any(
            _found(pool, pool.states, step, condition) for pool in self._pools
        )

    def refute(self, step: Transition, question: Question) -> bool:
        """Whether some state refutes the question, which is about a rule or a change of it."""
        if question.bits or question.invariants is None:
            return False
        wrong = And(*question.given, Or(*(~claim for _, claim in question.parts)))
        return any(_found(pool, pool.few, step, wrong) for pool in self._pools)


def _gathered(system: System, setting: Setting) -> _Pool:
    allowed = attrs.evolve(setting.scope, rules=lambda name, _: name not in setting.without)
    free, limited = Executor.of(system, setting.scope), Executor.of(system, allowed)
    start = limited.changed(limited.initial(), **setting.start)
    runners = [limited.runner(start), free.runner(start)]
    generator = random.Random(setting.seed)
    by_rule: defaultdict[str, list[tuple[FlatState, tuple[int, ...]]]] = defaultdict(list)
    states: list[FlatState] = []
    for number in range(setting.steps // STRIDE):
        which = number % len(runners)
        runner, executor = runners[which], (limited, free)[which]
        runner.walk(generator, STRIDE, lambda _: None)
        if not runner.enabled:
            runner.load(start)
        state = runner.state()
        names = set()
        for index in runner.enabled:
            step = executor.instances[index]
            kept = by_rule[step.name]
            if step.name not in names and len(kept) < STATES:
                names.add(step.name)
                kept.append((state, step.values))
        if names or generator.random() < 2 * STATES * STRIDE / setting.steps:
            states.append(state)
    return _Pool(free, by_rule, states, generator.sample(states, min(STATES, len(states))))


def _found(pool: _Pool, states: Sequence[FlatState], step: Transition, wrong: Bool) -> bool:
    """Whether a condition holds in a state in which the rule may be taken, or in one of the others.

    It may be so for any values of what it is about.
    """
    executor = pool.executor
    own = [item.name for item in step.parameters]
    known = {
        item.name for item in executor.layout.system.variables
    } | executor.scope.constants().keys()
    free = sorted({term.name for term in variables(wrong)} - known - set(own))
    try:
        test = _compiled(executor, wrong, [*own, *free])
    except ValueError:
        return False  # it has no meaning on plain values
    return any(
        test(state, *values, *chosen)
        for state, values in _places(pool, states, step)
        for chosen in _values(pool, state, free)
    )


def _compiled(executor: Executor, condition: Bool, names: Sequence[str]) -> Callable[..., bool]:
    renamed = {name: f"s{number}" for number, name in enumerate(names)}
    symbols = {
        term: symbol(f"?{renamed[term.name]}", Sort.NUMBER)
        for term in variables(condition)
        if term.name in renamed
    }
    return executor.compile(substitute(condition, symbols), tuple(renamed.values()))


def _places(
    pool: _Pool, states: Sequence[FlatState], step: Transition
) -> Iterator[tuple[FlatState, tuple[int, ...]]]:
    """States and parameters in which the rule may be taken; then others, drawn at random."""
    yield from pool.by_rule.get(step.rule.name, ())
    generator = random.Random(0)
    ranges = [pool.executor.scope.values(item.choice) for item in step.rule.parameters]
    for state in states:
        yield state, tuple(generator.choice(values) for values in ranges)


def _values(pool: _Pool, state: FlatState, names: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Values of symbols, all of them at once: one after the other of what each ranges over."""
    ranges = [_range(pool, state, name) for name in names]
    most = max((len(values) for values in ranges), default=1)
    cycles = [itertools.cycle(values) for values in ranges]
    for _ in range(most):
        yield tuple(next(cycle) for cycle in cycles)


def _range(pool: _Pool, state: FlatState, name: str) -> Sequence[int]:
    choice = RANGES.get(name.strip("?'"))
    if choice is not None:
        return pool.executor.scope.values(choice)
    if name.startswith((ANY, "?")):
        return (0, 1, 2)
    return sorted({value for value in state if type(value) is int})
