"""Where a fault is looked for: who takes part, how the run begins, which steps may be taken.

A search through everything that a device and several users can do would take long and show little.
So each fault names a scenario: a few parts of the system at work, from a point that everybody knows
("the device is open", say). What leads to that point is a run of the same faulty system from
power-on, made of *acts*, and part of the trace; from there on every interleaving of the scenario's
steps is searched, shortest first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs

from engine.executor import Executor, Path, run_to_rest
from engine.protocol import System
from engine.scope import FlatState, Scope
from engine.terms import Bool

__all__ = ["Act", "Scenario", "happens", "in_turn", "lacking", "rests", "until"]

Act: TypeAlias = Callable[[Executor, FlatState], tuple[FlatState, Path]]
"""A part of a run's beginning."""


def happens(rule: str, **parameters: int) -> Act:
    """One step."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        step = executor.find(rule, **parameters)
        return executor.fire(state, step), (step,)

    return act


def rests() -> Act:
    """Everything that must happen does, until nothing is left that must."""
    return run_to_rest


def in_turn(*acts: Act) -> Act:
    """Several acts, one after the other."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        path: Path = ()
        for one in acts:
            state, more = one(executor, state)
            path += more
        return state, path

    return act


def until(condition: Callable[[Any], Bool]) -> Act:
    """What must happen does, until the condition holds."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        symbols = executor.layout.system.protocol.symbols
        return run_to_rest(executor, state, until=executor.compile(condition(symbols)))

    return act


def lacking(rules: Collection[str], act: Act) -> Act:
    """The act, while some steps that may happen do not: a slow device, or stores that linger."""

    def slow(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        system = executor.layout.system
        names = {item.rule.name for item in system.transitions} - set(rules)
        return act(Executor.of(system, attrs.evolve(executor.scope, rules=names)), state)

    return slow


@attrs.frozen(eq=False)
class Scenario:
    """Where a fault is looked for.

    Attributes:
        rules: The steps that may be taken in the search, besides those that a fault adds.
        acts: What happens before the search, from power-on.
        story: The same in words.
        limits: Choices that are left out: rule, then parameter, to the values that it may have.
        sizes: The scope of the search, but for the ring size: that is tried as the fault says.
        start: Variables that differ from their values at power-on, by name.
    """

    rules: frozenset[str]
    acts: tuple[Act, ...] = ()
    story: str = ""
    limits: Mapping[str, Mapping[str, tuple[int, ...]]] = attrs.field(factory=dict)
    sizes: Scope = Scope()
    start: Mapping[str, Any] = attrs.field(factory=dict)

    def scope(self, ring_size: int) -> Scope:
        """The scenario's sizes, with every rule allowed."""
        return attrs.evolve(self.sizes, ring_size=ring_size)

    def begin(self, system: System, ring_size: int) -> tuple[FlatState, FlatState, Path]:
        """Power-on, the state in which the search begins, and the path between the two."""
        executor = Executor.of(system, self.scope(ring_size))
        first = executor.changed(executor.initial(), **self.start)
        state, path = in_turn(*self.acts)(executor, first)
        return first, state, path

    def restricted(self, system: System, ring_size: int, usual: System) -> Executor:
        """The system with the steps of the scenario, and those that the usual one does not have."""
        names = {item.rule.name for item in usual.transitions}

        def allowed(rule: str, parameters: Mapping[str, int]) -> bool:
            if rule in names and rule not in self.rules:
                return False
            limits = self.limits.get(rule, {})
            return all(parameters[name] in values for name, values in limits.items())

        return Executor.of(system, attrs.evolve(self.scope(ring_size), rules=allowed))
