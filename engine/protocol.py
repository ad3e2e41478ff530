"""What a specification hands the engine besides its rules, as data; and a system of rules.

    PROTOCOL = Protocol("mailbox", State, labels=Label, phrases=Phrases(...))
    SYSTEM = PROTOCOL.system(rules)

Nothing in the engine knows a card: whatever it has to know of one stands in its `Protocol`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from engine.declarations import RuleError, at_fault, check, place_of, suggested
from engine.phrases import Phrases, phrase_of
from engine.rules import Kind, Party, Recorder, Rule, Transition, transition
from engine.smt import Machine
from engine.symmetry import Symmetry
from engine.terms import Domain
from engine.variables import Variable, describe, symbolic
from engine.weak_memory import lateness_name, speculation_name, visible_name
from engine.word_check import WordError, check_words
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
        declared: Variables that a rule changes if, and only if, it declares one of these kinds of
            operation, such as the lock's.
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
    declared: Mapping[str, tuple[Kind, ...]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Raise `ValueError` if it names what the state does not have."""
        known = {item.name: item for item in describe(self.state)}
        for what, names in (
            ("pc", [self.pc]),
            ("start", self.start),
            ("arbitrary", self.arbitrary),
            ("declared", self.declared),
        ):
            for name in sorted(set(names) - known.keys()):
                raise ValueError(
                    f"protocol {self.name}: {what} names {name}, which is no variable of "
                    f"{self.state.__name__}{suggested(name, known)}"
                )
        if known[self.pc].domain is not Domain.THREAD:
            raise ValueError(
                f"protocol {self.name}: {self.pc} must hold a number for each thread; declare it "
                "with numbers(Domain.THREAD, ...)"
            )
        check_words(self.words, known)

    @functools.cached_property
    def symbols(self) -> Any:
        """The state in which every variable is its own symbol. Claims are made of it, only read."""
        return symbolic(self.state)

    def system(self, rules: Iterable[Rule]) -> System:
        """The system with these rules.

        Raises:
            RuleError: One does not say what it does, or two have one name.
            WordError: Memory takes no step with a word that the host stores or loads.
        """
        stated = tuple(rules)
        named: dict[str, Rule] = {}
        for rule in stated:
            if rule.name in named:
                raise RuleError(
                    f"{place_of(rule)}: {place_of(named[rule.name])} has this name, too; give one "
                    "of them another, by name="
                )
            named[rule.name] = rule
        lifted = tuple(map(self.lift, stated))
        self._memory_takes_its_steps(lifted)
        return System(tuple(describe(self.state)), lifted, self)

    def lift(self, rule: Rule) -> Transition:
        """A rule as terms over this protocol's state.

        Raises:
            RuleError: It does not say what it does (`engine.declarations`).
        """
        try:
            lifted = transition(rule, self.state, self.words)
        except (AttributeError, TypeError, ValueError) as error:
            names = (item.name for item in describe(self.state))
            raise at_fault(rule, error, names) from error
        self.check(lifted)
        return lifted

    def check(self, lifted: Transition) -> None:
        """Raise `RuleError` if a rule does not say what it does (`engine.declarations`)."""
        variables = describe(self.state)
        check(lifted, variables, self.words, self.pc, self.labels, self.declared)

    def _memory_takes_its_steps(self, steps: Sequence[Transition]) -> None:
        names = {step.rule.name for step in steps}
        touched = {
            (item.kind, item.name)
            for step in steps
            if step.rule.party is Party.HOST
            for item in step.operations
        }
        for word in self.words:
            stored = word.buffered and (Kind.STORE, word.path) in touched
            ahead = word.speculation is not None and (Kind.LOAD, word.path) in touched
            if stored and visible_name(word) not in names:
                raise WordError(
                    f"word {word.path} ({word.place}): no step makes its stores visible; add "
                    "visible_rule(word, section) to the rules"
                )
            if ahead and speculation_name(word) not in names:
                raise WordError(
                    f"word {word.path} ({word.place}): no step satisfies its loads early; add "
                    "speculation_rule(word, section) to the rules"
                )
            late = word.lateness is not None and (Kind.LOAD, word.path) in touched
            if late and lateness_name(word) not in names:
                raise WordError(
                    f"word {word.path} ({word.place}): no step satisfies its loads late; add "
                    "lateness_rule(word, section) to the rules"
                )


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
