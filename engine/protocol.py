"""What a specification hands the engine besides its rules, as data; and a system of rules.

    PROTOCOL = Protocol("mailbox", State, labels=Label, phrases={...})
    SYSTEM = PROTOCOL.system(rules)

Nothing in the engine knows a card: whatever it has to know of one stands in its `Protocol`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from engine.declarations import RuleError, check, place_of
from engine.phrases import Phrases, phrase_of
from engine.rules import Recorder, Rule, Transition, transition
from engine.smt import Machine
from engine.symmetry import Symmetry
from engine.variables import Variable, describe, symbolic
from engine.words import Word

__all__ = ["Protocol", "System"]


@attrs.frozen(eq=False)
class Protocol:
    """What all systems that speak of one kind of state have in common.

    Attributes:
        name: What it is called.
        state: The class of states.
        pc: The array that holds each thread's program counter.
        labels: The values of a program counter.
        start: Elements of arrays that differ from the variable's initial value at power-on.
        arbitrary: Variables that may hold anything at power-on, such as memory.
        machine: How wide a counter is, and which ring sizes exist.
        symmetry: Which states differ in nothing that a step can notice.
        phrases: What steps and changes are called where people read them.
        words: The words of memory that host and device share.
    """

    name: str
    state: type[Recorder]
    labels: type[enum.IntEnum]
    pc: str = "threads.pc"
    start: Mapping[str, Mapping[int, int]] = attrs.field(factory=dict)
    arbitrary: frozenset[str] = frozenset()
    machine: Machine = Machine()
    symmetry: Symmetry = Symmetry()
    phrases: Phrases = attrs.field(factory=Phrases)
    words: tuple[Word, ...] = ()

    @functools.cached_property
    def symbols(self) -> Any:
        """The state in which every variable is its own symbol. Claims are made of it, only read."""
        return symbolic(self.state)

    def system(self, rules: Iterable[Rule]) -> System:
        """The system with these rules. Raises `RuleError` if one does not say what it does."""
        return System(tuple(describe(self.state)), tuple(map(self.lift, rules)), self)

    def lift(self, rule: Rule) -> Transition:
        """A rule as terms over this protocol's state.

        Raises:
            RuleError: It does not say what it does (`engine.declarations`).
        """
        try:
            lifted = transition(rule, self.state)
        except (AttributeError, TypeError, ValueError) as error:
            raise RuleError(f"{place_of(rule)}: {error}") from error
        check(lifted, describe(self.state), self.words, self.pc, self.labels)
        return lifted


@attrs.frozen(eq=False)
class System:
    """A set of rules and the transitions that they mean."""

    variables: tuple[Variable, ...]
    transitions: tuple[Transition, ...]
    protocol: Protocol

    @functools.cached_property
    def phrases(self) -> Phrases:
        """How runs of the system are told: what the protocol says, else what its rules do."""
        known = self.protocol.phrases
        derived = {step.rule.name: phrase_of(step) for step in self.transitions}
        steps = {name: phrase for name, phrase in derived.items() if phrase}
        return attrs.evolve(known, steps={**steps, **known.steps})

    def named(self, name: str) -> Transition:
        """The transition of the rule with this name. Raises `KeyError` if there is none."""
        for item in self.transitions:
            if item.rule.name == name:
                return item
        raise KeyError(name)
