"""What a state is made of: variables with a name, a sort, a value at power-on and a meaning.

@attrs.define(eq=False)
class Box(Group):
    sent: Number = number("number of requests handed over")
    full: Array[Bool] = flags(Domain.SLOT, "the slot is the device's")
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from engine.terms import FALSE, TRUE, Array, Domain, Sort, Term, constant, symbol

__all__ = [
    "Group",
    "Variable",
    "changed",
    "contents",
    "describe",
    "flag",
    "flags",
    "number",
    "numbers",
    "symbolic",
]

VARIABLE: Final = "variable"
"""Where a field of a group keeps the `Variable` that it is."""


@attrs.frozen
class Variable:
    """A state variable: dotted name, sort, what indexes it, initial value, and what it means.

    `history`: it is kept because properties speak of it; no rule reads it to decide anything.
    """

    name: str
    sort: Sort
    domain: Domain | None
    initial: int
    meaning: str
    history: bool = False

    @property
    def term(self) -> Term:
        """The symbol that stands for the variable's present value."""
        return symbol(self.name, self.sort)


def _field(sort: Sort, domain: Domain | None, initial: int, meaning: str, history: bool) -> Any:
    variable = Variable("", sort, domain, int(initial), meaning, history)
    return attrs.field(metadata={VARIABLE: variable})


def flag(meaning: str, initial: bool = False, *, history: bool = False) -> Any:
    """A state variable that is a truth value."""
    return _field(Sort.BOOL, None, initial, meaning, history)


def number(meaning: str, initial: int = 0, *, history: bool = False) -> Any:
    """A state variable that is a number."""
    return _field(Sort.NUMBER, None, initial, meaning, history)


def flags(domain: Domain, meaning: str, initial: bool = False, *, history: bool = False) -> Any:
    """A state variable that holds a truth value for each slot, thread, ticket or key."""
    return _field(Sort.BOOL_ARRAY, domain, initial, meaning, history)


def numbers(domain: Domain, meaning: str, initial: int = 0, *, history: bool = False) -> Any:
    """A state variable that holds a number for each slot, thread, ticket or key."""
    return _field(Sort.NUMBER_ARRAY, domain, initial, meaning, history)


@attrs.define(eq=False)
class Group:
    """A named part of the state; its attributes are state variables or further groups."""


def describe(kind: type[Group], prefix: str = "") -> Iterator[Variable]:
    """All state variables of a state class, in order of declaration."""
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if VARIABLE in field.metadata:
            yield attrs.evolve(field.metadata[VARIABLE], name=prefix + field.name)
        else:
            yield from describe(field.type, f"{prefix}{field.name}.")


def symbolic(kind: type[Any], prefix: str = "") -> Any:
    """A state object whose every variable is its own symbol."""
    values: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if VARIABLE in field.metadata:
            sort: Sort = field.metadata[VARIABLE].sort
            term = symbol(prefix + field.name, sort)
            values[field.name] = Array(term) if sort.is_array else term
        else:
            values[field.name] = symbolic(field.type, f"{prefix}{field.name}.")
    return kind(**values)


def changed(kind: type[Any], updates: Mapping[str, Term]) -> Any:
    """A state object whose every variable is its own symbol, but for those that are given."""
    state = symbolic(kind)
    for name, term in updates.items():
        *groups, last = name.split(".")
        group = functools.reduce(getattr, groups, state)
        setattr(group, last, Array(term) if term.sort.is_array else term)
    return state


def contents(state: Group, prefix: str = "") -> Iterator[tuple[str, Term]]:
    """Each variable's name and present term."""
    for field in attrs.fields(type(state)):
        if field.name.startswith("_"):
            continue
        value = getattr(state, field.name)
        if isinstance(value, Group):
            yield from contents(value, f"{prefix}{field.name}.")
        else:
            variable = field.metadata[VARIABLE]
            yield prefix + field.name, _term(prefix + field.name, value, variable.sort)


_HOW_TO_SET: Final = {
    Sort.BOOL: "give it True, False or a condition",
    Sort.NUMBER: "give it a number, or a sum of numbers",
    Sort.BOOL_ARRAY: "set one element, variable[index] = ..., or all, variable.fill(...)",
    Sort.NUMBER_ARRAY: "set one element, variable[index] = ..., or all, variable.fill(...)",
}


def _term(name: str, value: object, sort: Sort) -> Term:
    term = value.term if isinstance(value, Array) else value
    if isinstance(term, Term) and term.sort is sort:
        return term
    if sort is Sort.BOOL and isinstance(value, bool):
        return TRUE if value else FALSE
    if sort is Sort.NUMBER and isinstance(value, int) and not isinstance(value, bool):
        return constant(value)
    raise TypeError(f"sets {name} ({sort.value}) to {term!r}; {_HOW_TO_SET[sort]}")
