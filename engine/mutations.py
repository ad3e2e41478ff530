"""Small changes of the specification: what a fault is made of.

A change turns a system into another one. A `FaultCase` states its fault in these words, so that a
fault reads as what the faulty driver does differently and as nothing else:

    without_barrier("tx.owner_visible", "release: fields before owner")
    then("rx.receive_packet", index_not_advanced)      # the rule, and what is done differently
    leaves("tx.reclaim", "threads.wake_tx")            # the rule, except that it wakes nobody

The first line of a body's documentation is shown to whoever reads the counterexample.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from engine.protocol import System
from engine.rules import THREAD, Parameter, Party, Rule, Transition
from engine.terms import Array, Bool, Number

__all__ = [
    "Body",
    "Mutation",
    "also",
    "barriers",
    "both",
    "leads",
    "leaves",
    "never",
    "only_when",
    "pretends",
    "replace",
    "then",
    "thread_rule",
    "without_barrier",
]

Mutation: TypeAlias = Callable[[System], System]
"""Turns a system into the one with a fault."""
Body: TypeAlias = Callable[..., None]
"""What a rule does, see `engine.rules`."""


def _altered(system: System, rule: str, alter: Callable[[Transition], Transition]) -> System:
    old = system.named(rule)
    return attrs.evolve(
        system,
        transitions=tuple(alter(item) if item is old else item for item in system.transitions),
    )


def barriers(system: System) -> Iterator[tuple[str, str]]:
    """Every barrier of the system: the rule that it holds back, and its name."""
    for item in system.transitions:
        for guard in item.guards:
            if guard.barrier:
                yield item.rule.name, guard.name


def without_barrier(rule: str, barrier: str) -> Mutation:
    """The driver has no such barrier: what it held back may happen at once."""

    def change(system: System) -> System:
        def alter(item: Transition) -> Transition:
            kept = tuple(
                guard for guard in item.guards if not (guard.barrier and guard.name == barrier)
            )
            if len(kept) == len(item.guards):
                raise KeyError(f"rule {rule} has no barrier {barrier!r}")
            return attrs.evolve(item, guards=kept)

        return _altered(system, rule, alter)

    return change


def replace(rule: str, body: Body, *parameters: Parameter) -> Mutation:
    """The rule does what `body` says instead; `parameters` come after those that it has."""

    def change(system: System) -> System:
        def alter(item: Transition) -> Transition:
            extended = (*item.rule.parameters, *parameters)
            changed = attrs.evolve(item.rule, body=body, parameters=extended)
            return system.protocol.lift(changed)

        return _altered(system, rule, alter)

    return change


def then(rule: str, body: Body, *parameters: Parameter) -> Mutation:
    """The rule does what it did, and then what `body` says, which may undo part of it."""

    def change(system: System) -> System:
        first = system.named(rule).rule
        own = len(first.parameters)

        @functools.wraps(body)
        def whole(s: Any, *values: Number) -> None:
            first.body(s, *values[:own])
            body(s, *values)

        return replace(rule, whole, *parameters)(system)

    return change


def leads(rule: str, label: int, meaning: str) -> Mutation:
    """The rule does all that it did, and its thread goes on at another program counter."""

    def change(system: System) -> System:
        @functools.wraps(system.named(rule).rule.body)
        def body(s: Any, t: Number) -> None:
            group, name = _place(s, system.protocol.pc)
            getattr(group, name)[t] = label

        body.__doc__ = meaning
        return then(rule, body)(system)

    return change


def leaves(rule: str, variable: str, meaning: str) -> Mutation:
    """The rule does all that it did, except that it leaves `variable` alone."""

    def change(system: System) -> System:
        first = system.named(rule)
        if variable not in first.updates:
            raise KeyError(f"rule {rule} does not change {variable}")

        @functools.wraps(first.rule.body)
        def body(s: Any, *values: Number) -> None:
            group, name = _place(s, variable)
            old = getattr(group, name)
            kept = Array(old.term) if isinstance(old, Array) else old
            first.rule.body(s, *values)
            setattr(group, name, kept)

        body.__doc__ = meaning
        return replace(rule, body)(system)

    return change


def never(rule: str) -> Mutation:
    """The rule is gone: nobody does this any more."""

    def change(system: System) -> System:
        old = system.named(rule)
        return attrs.evolve(
            system, transitions=tuple(item for item in system.transitions if item is not old)
        )

    return change


def also(rule: Rule) -> Mutation:
    """There is one more thing that may happen."""

    def change(system: System) -> System:
        return attrs.evolve(system, transitions=(*system.transitions, system.protocol.lift(rule)))

    return change


def thread_rule(name: str, body: Body, section: str, party: Party = Party.HOST) -> Rule:
    """A further step of a thread's program."""
    fair = "thread" if party is Party.HOST else ""
    return Rule(name, party, section, (THREAD,), fair, body)


def both(*changes: Mutation) -> Mutation:
    """Several changes that make one fault."""

    def change(system: System) -> System:
        for part in changes:
            system = part(system)
        return system

    return change


def only_when(rule: str, condition: Callable[[Any], Bool], meaning: str) -> Mutation:
    """The rule happens only where the condition holds too."""

    def change(system: System) -> System:
        first = system.named(rule).rule

        @functools.wraps(first.body)
        def body(s: Any, *values: Number) -> None:
            s.require(condition(s))
            first.body(s, *values)

        body.__doc__ = meaning
        return replace(rule, body)(system)

    return change


def pretends(
    rule: str, variable: str, value: Callable[[Any, Number], Any], meaning: str
) -> Mutation:
    """The thread takes the step as if a variable, no array, had another value; it keeps its own."""

    def change(system: System) -> System:
        first = system.named(rule).rule

        @functools.wraps(first.body)
        def body(s: Any, t: Number, *values: Number) -> None:
            group, name = _place(s, variable)
            own = getattr(group, name)
            setattr(group, name, value(s, t))
            first.body(s, t, *values)
            setattr(group, name, own)

        body.__doc__ = meaning
        return replace(rule, body)(system)

    return change


def _place(s: Any, variable: str) -> tuple[Any, str]:
    """The group of the state that a variable is in, and its name there."""
    *groups, name = variable.split(".")
    return functools.reduce(getattr, groups, s), name
