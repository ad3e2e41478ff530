"""The whole system: every rule of every part, lifted to terms once."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import attrs

from model import device_spec, driver_spec, thread_spec
from model.memory_spec import memory_rules
from model.ring_spec import ring_rules
from model.rules import Rule, Transition, Variable, describe, transition
from model.state import State

__all__ = ["System", "all_rules", "specification"]


@attrs.frozen(eq=False)
class System:
    """A set of rules and the transitions that they mean."""

    variables: tuple[Variable, ...]
    transitions: tuple[Transition, ...]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> System:
        """The system with these rules."""
        return cls(tuple(describe(State)), tuple(transition(rule, State) for rule in rules))

    def named(self, name: str) -> Transition:
        """The transition of the rule with this name. Raises `KeyError` if there is none."""
        for item in self.transitions:
            if item.rule.name == name:
                return item
        raise KeyError(name)


def all_rules() -> list[Rule]:
    """Every rule of the specification, in the order host, memory, card."""
    return [
        *driver_spec.BOOK.rules,
        *ring_rules(),
        *thread_spec.BOOK.rules,
        *memory_rules(),
        *device_spec.BOOK.rules,
    ]


@functools.cache
def specification() -> System:
    """The specification as it stands, without any fault."""
    return System.of(all_rules())
