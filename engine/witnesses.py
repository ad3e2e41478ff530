"""Nothing is proved of nothing: every rule happens and every premise arises in some run.

The witnesses are random runs of the executable specification from power-on, with fixed seeds, in
the settings that a protocol gives: with a device that fails often, say, or with several users.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from engine.digest import digest, of_system, of_term
from engine.executor import Executor
from engine.leads_to import Promise, parameters_of, premise_holds
from engine.protocol import System
from engine.question import Entry
from engine.rules import Choice, Parameter, parameter_symbol
from engine.scope import FlatState, Scope
from engine.smt import Arithmetic
from engine.terms import Bool, Sort, Term, substitute, symbol

__all__ = ["Setting", "Witnesses", "obligations"]

STRIDE: Final = 500
"""Steps between two states that are looked at."""
TAIL: Final = 151
"""Steps of the unrestricted run that goes on from each such state. One number is even and the other
odd: what comes and goes step by step is seen both ways."""
CHOICES: Final = {"t": Choice.THREAD, "k": Choice.SLOT, "key": Choice.KEY}
"""What a promise's parameter ranges over, by its name."""


@attrs.frozen(eq=False)
class Setting:
    """A size of system to run, and for how long.

    Attributes:
        scope: The sizes; it leaves no rules out.
        start: Variables that differ from their values at power-on, by name.
        without: Rules that are left out, since a random run would never get far with them. From
            now and then on, a part of the run goes on with all rules.
        steps: How many steps the run has.
        seed: What its choices are drawn from.
    """

    scope: Scope = Scope()
    start: Mapping[str, Any] = attrs.field(factory=dict)
    without: frozenset[str] = frozenset()
    steps: int = 100_000
    seed: int = 1

    def digest(self, system: System) -> str:
        """The digest of all that the run of a system in this setting depends on."""
        start, without = sorted(self.start.items()), sorted(self.without)
        return digest(of_system(system, self.scope), start, without, self.steps, self.seed)


class _Run:
    """The random run of a system in a setting, made when it is first looked at."""

    def __init__(self, system: System, setting: Setting) -> None:
        self.system = system
        self.setting = setting

    @functools.cached_property
    def free(self) -> Executor:
        """The system in this setting, with all rules."""
        return Executor.of(self.system, self.setting.scope)

    @functools.cached_property
    def samples(self) -> tuple[frozenset[str], tuple[FlatState, ...]]:
        """The rules that happened in the run, and states sampled along it."""
        setting, free = self.setting, self.free
        allowed = attrs.evolve(setting.scope, rules=lambda name, _: name not in setting.without)
        executor = Executor.of(self.system, allowed)
        runner = executor.runner(executor.changed(executor.initial(), **setting.start))
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


class Witnesses:
    """Looks for witnesses in as many runs as it takes, one for each setting."""

    def __init__(self, system: System, settings: Sequence[Setting]) -> None:
        self._system = system
        self._runs = [_Run(system, setting) for setting in settings]

    @functools.cached_property
    def _basis(self) -> str:
        return digest(*(run.setting.digest(run.system) for run in self._runs))

    @functools.cached_property
    def rules_seen(self) -> frozenset[str]:
        """The rules that happened in the runs."""
        names = {step.rule.name for step in self._system.transitions}
        seen: frozenset[str] = frozenset()
        for run in self._runs:
            seen |= run.samples[0]
            if seen >= names:
                break
        return seen

    def rule(self, name: str) -> str:
        """An empty text if the rule happened in some run, else what is missing."""
        return "" if name in self.rules_seen else f"no run reached {name}"

    def rule_basis(self, name: str) -> str:
        """The digest of all that `rule` depends on."""
        return digest("rule", name, self._basis)

    def premise(self, promise: Promise) -> str:
        """An empty text if the premise held in some sampled state, else what is missing."""
        held = self._held(promise)
        return "" if held else f"no run reached the premise of {promise.name}"

    def premise_basis(self, promise: Promise) -> str:
        """The digest of all that `premise` depends on."""
        never, ranges = self._never(promise)
        return digest("premise", of_term(never), sorted(ranges.items()), self._basis)

    def _held(self, promise: Promise) -> bool:
        never, ranges = self._never(promise)
        for run in self._runs:
            fails_to_arise = run.free.predicate(never, **ranges)
            if not all(fails_to_arise(state) for state in run.samples[1]):
                return True
        return False

    def _never(self, promise: Promise) -> tuple[Bool, dict[str, Choice]]:
        """That the premise does not hold, and what its parameters range over."""
        values: dict[Term, Term] = {}
        ranges: dict[str, Choice] = {}
        for name, term in zip(promise.parameters, parameters_of(promise), strict=True):
            if name in promise.example:
                values[term] = symbol(promise.example[name], Sort.NUMBER)
            else:
                ranges[name] = CHOICES[name]
                values[term] = parameter_symbol(Parameter(name, CHOICES[name]))
        return ~substitute(premise_holds(self._system.protocol, promise), values), ranges


def obligations(
    system: System, promises: Sequence[Promise], settings: Sequence[Setting]
) -> Iterator[Entry]:
    """Of each rule that it happens in a run, and of each promise that its premise arises."""
    witnesses = Witnesses(system, settings)
    for step in system.transitions:
        yield Entry(
            f"vacuity/rule/{step.rule.name}", "vacuity", "vacuity",
            f"happens in a run from power-on: {step.rule.meaning}",
            None, functools.partial(witnesses.rule, step.rule.name), (Arithmetic.INTEGER,),
            stands_on=(), basis=functools.partial(witnesses.rule_basis, step.rule.name),
        )  # fmt: skip
    for promise in promises:
        yield Entry(
            f"vacuity/premise/{promise.name}", "vacuity", "vacuity",
            f"arises in a run from power-on: {promise.meaning}",
            None, functools.partial(witnesses.premise, promise), (Arithmetic.INTEGER,),
            stands_on=(), basis=functools.partial(witnesses.premise_basis, promise),
        )  # fmt: skip
