"""Nothing is proved of nothing: every rule happens and every premise arises in some run.

The witnesses are random runs of the executable specification from power-on, with fixed seeds, in
several settings: with a card that fails often, with several users, with a card that lies.
"""

from __future__ import annotations

import functools
import random
from typing import Final

import attrs

from engine.executor import Executor
from engine.rules import Choice, Parameter, parameter_symbol
from engine.scope import FlatState
from engine.terms import Bool, Sort, Term, substitute, symbol
from model.scope import Scope
from model.system import specification

__all__ = ["Setting", "premise_witness", "rule_witness", "rules_seen"]


@attrs.frozen
class Setting:
    """A size of system to run, and for how long."""

    ring_size: int
    users: int
    polls: int
    lies: bool
    without: frozenset[str]
    steps: int
    seed: int


FAILURES: Final = frozenset({"card.fatal_error", "interrupt", "interrupt_open", "begin_close"})
"""What would keep a random run from ever getting far."""
SETTINGS: Final = (
    Setting(4, users=3, polls=1, lies=False, without=FAILURES, steps=100_000, seed=1),
    Setting(4, users=3, polls=2, lies=True, without=FAILURES - {"interrupt", "begin_close"},
            steps=100_000, seed=2),
    Setting(1, users=4, polls=1, lies=False, without=FAILURES - {"interrupt"} | {"rx.arrive"},
            steps=100_000, seed=3),
    Setting(2, users=3, polls=1, lies=False, seed=4, steps=100_000,
            without=FAILURES - {"begin_close", "interrupt"}
            | {"begin_read", "begin_filter", "stop_draining", "tx.send"}),
    Setting(1, users=4, polls=1, lies=False, seed=5, steps=100_000,
            without=FAILURES - {"begin_close"} | {"begin_write", "begin_read", "begin_filter"}),
)  # fmt: skip
STRIDE: Final = 500
"""Steps between two states that are looked at."""
TAIL: Final = 150
"""Steps of the unrestricted run that goes on from each such state."""


@functools.cache
def _executor(setting: Setting, restricted: bool = False) -> Executor:
    without = setting.without if restricted else frozenset()
    scope = Scope(
        ring_size=setting.ring_size,
        users=setting.users,
        polls=setting.polls,
        rules=lambda name, _: name not in without,
    )
    return Executor.of(specification(), scope)


@functools.cache
def _samples(setting: Setting) -> tuple[frozenset[str], tuple[FlatState, ...]]:
    """The rules that happened in the runs of a setting, and states sampled along them."""
    executor, free = _executor(setting, restricted=True), _executor(setting)
    runner = executor.runner(executor.changed(executor.initial(), card__lies=setting.lies))
    branch = free.runner(free.initial())
    generator = random.Random(setting.seed)
    states: list[FlatState] = []
    names: set[str] = set()
    for _ in range(setting.steps // STRIDE):
        taken: set[int] = set()
        runner.walk(generator, STRIDE, taken.add)
        names |= {executor.instances[number].name for number in taken}
        branch.load(runner.state())
        taken.clear()
        branch.walk(generator, TAIL, taken.add)
        names |= {free.instances[number].name for number in taken}
        states += [runner.state(), branch.state()]
    return frozenset(names), tuple(states)


@functools.cache
def rules_seen() -> frozenset[str]:
    """The rules that happened in the runs, as many runs as it takes."""
    names = {step.rule.name for step in specification().transitions}
    seen: frozenset[str] = frozenset()
    for setting in SETTINGS:
        seen |= _samples(setting)[0]
        if seen >= names:
            break
    return seen


def rule_witness(name: str) -> str:
    """An empty text if the rule happened in some run, else what is missing."""
    return "" if name in rules_seen() else f"no run reached {name}"


def premise_witness(name: str, premise: Bool) -> str:
    """An empty text if the premise held in some sampled state, else what is missing."""
    return "" if _held(name, premise) else f"no run reached the premise of {name}"


OLDEST: Final = {"tx-request": "tx.cons", "cmd-request": "cmd.cons", "rx-delivery": "rx.cons"}
"""For a premise that speaks of any request: the one to look for."""


def _held(name: str, premise: Bool) -> bool:
    t = parameter_symbol(Parameter("t", Choice.THREAD))
    values: dict[Term, Term] = {symbol("any t", Sort.NUMBER): t}
    if name in OLDEST:
        values[symbol("any n", Sort.NUMBER)] = symbol(OLDEST[name], Sort.NUMBER)
    never = ~substitute(premise, values)
    for setting in SETTINGS:
        fails_to_arise = _executor(setting).predicate(never, t=Choice.THREAD)
        if not all(fails_to_arise(state) for state in _samples(setting)[1]):
            return True
    return False
