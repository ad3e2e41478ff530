"""A running system that is told which step comes next: each rule is compiled once, for all sizes.

`Runner` keeps the set of all enabled steps at hand, so as to pick from it. Whoever knows the next
step, because somebody else has just taken it, only needs to ask whether that one may be taken. So
nothing is listed here, whatever the number of slots and threads, and the parameters of a rule may
have any value: a step is the name of a rule and the values of its parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, Final, TypeAlias

import attrs

from engine.codegen import Source
from engine.protocol import System
from engine.rules import Choice, Transition
from engine.scope import FlatState, Layout, Scope
from engine.terms import And, Sort, Term, constant, substitute, symbol
from engine.updates import UpdateWriter, mangled, put, state_of

__all__ = ["Step", "Stepper"]

INDENT: Final = "    "
Step: TypeAlias = tuple[Any, ...]
"""The name of a rule, then the value of each parameter."""


class Stepper:
    """A system at a scope, in some state that changes in place.

    Attributes:
        layout: Where everything stands in a state. It lists no steps.
        now: The present value of every variable, by its `mangled` name. To be read only.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        self._code = _code_of(system, scope)
        self.layout = self._code.layout
        self._module: dict[str, Any] = {}
        self._guards: dict[str, Callable[..., bool]] = {}
        self._updates: dict[str, Callable[..., None]] = {}
        self.now: Mapping[str, Any] = self._module
        self.load(self.layout.initial())

    # State in, state out

    def load(self, state: FlatState) -> None:
        """Go to `state`."""
        put(self.layout, self._module, state)

    def state(self) -> FlatState:
        """The present state as a value."""
        return state_of(self.layout, self._module)

    def set(self, name: str, value: int | bool) -> None:
        """Give a variable that is no array another value, from outside the rules."""
        self._module[mangled(name)] = value

    # Steps

    def transition(self, rule: str) -> Transition:
        """The rule of that name as terms. Raises `KeyError` if there is none."""
        return self._code.rules[rule]

    def is_enabled(self, step: Step) -> bool:
        """Whether a step may be taken now. Raises `KeyError` if there is no such rule."""
        rule, *values = step
        guard = self._guards.get(rule)
        if guard is None:
            guard = self._guards[rule] = self._function(self._code.guard(rule))
        return guard(*values)

    def fire(self, step: Step) -> None:
        """Take a step. Whether it is enabled is up to the caller."""
        rule, *values = step
        update = self._updates.get(rule)
        if update is None:
            update = self._updates[rule] = self._function(self._code.updates(rule))
        update(*values)

    def term(self, rule: str, what: str, term: Term) -> Callable[..., Any]:
        """A term over the state and the rule's parameters, as a function of these.

        `what` names it among the terms of the rule.
        """
        return self._function(self._code.term(rule, what, term))

    def _function(self, code: Code) -> Callable[..., Any]:
        exec(code.text, self._module)  # noqa: S102 - source made here, of terms
        function: Callable[..., Any] = self._module[code.name]
        return function


@attrs.frozen(eq=False)
class Code:
    """A function in Python, compiled: what it is called, and the statement that defines it."""

    name: str
    text: CodeType


class RuleCode:
    """The rules of a system at a scope as code, each written when it is asked for first.

    Attributes:
        layout: Where everything stands in a state.
        rules: The rules by name.
    """

    def __init__(self, system: System, scope: Scope) -> None:
        self.layout = Layout.without_steps(system, scope)
        self.rules: Mapping[str, Transition] = {item.rule.name: item for item in system.transitions}
        self._written: dict[tuple[str, str], Code] = {}

    def guard(self, name: str) -> Code:
        """Whether a step of the rule may be taken. Raises `KeyError` if there is no such rule."""
        return self._once(name, "guard", self._guard_lines)

    def updates(self, name: str) -> Code:
        """What a step of the rule changes. Raises `KeyError` if there is no such rule."""
        return self._once(name, "updates", self._update_lines)

    def term(self, name: str, what: str, term: Term) -> Code:
        """The value of a term. Raises `KeyError` if there is no such rule."""
        return self._once(name, what, lambda _: self._term_lines(term))

    def _once(self, name: str, what: str, lines: Callable[[Transition], list[str]]) -> Code:
        code = self._written.get((name, what))
        if code is None:
            rule = self.rules[name]
            code = self._written[name, what] = _compiled(rule, what, lines(rule))
        return code

    def _sizes(self) -> dict[Term, Term]:
        constants = self.layout.scope.constants().items()
        return {symbol(name, Sort.NUMBER): constant(value) for name, value in constants}

    def _guard_lines(self, rule: Transition) -> list[str]:
        guard = rule.guard
        if any(parameter.choice is Choice.USER for parameter in rule.rule.parameters):
            guard = And(guard, self.layout.scope.may_begin())
        return self._term_lines(guard)

    def _term_lines(self, term: Term) -> list[str]:
        source = Source(self.layout, _name)
        special = substitute(term, self._sizes())
        return [*source.share([special]), f"return {source.expression(special)}"]

    def _update_lines(self, rule: Transition) -> list[str]:
        cache: dict[Term, Term] = {}
        updates = {
            name: substitute(term, self._sizes(), cache) for name, term in rule.updates.items()
        }
        return UpdateWriter(Source(self.layout, _name)).statements(updates)


@functools.lru_cache(maxsize=16)
def _code_of(system: System, scope: Scope) -> RuleCode:
    """The code of all steppers at these sizes: it says nothing about any state."""
    return RuleCode(system, scope)


def _compiled(rule: Transition, what: str, lines: list[str]) -> Code:
    name = f"{what}_{mangled(rule.rule.name)}"
    parameters = ", ".join(_name(f"?{item.name}") for item in rule.rule.parameters)
    body = "\n".join(INDENT + line for line in lines or ["pass"])
    text = f"def {name}({parameters}):\n{body}\n"
    return Code(name, compile(text, f"<{name}>", "exec"))


def _name(variable: str) -> str:
    """A variable, or a parameter, as a Python identifier."""
    return mangled(variable.replace("?", "p_"))
