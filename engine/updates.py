"""States that change in place, and what a step changes in them, as Python statements.

The terms of all updates mean values before the step. So whatever a later statement could change is
held in a local first, and only then is anything assigned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.codegen import Source
from engine.scope import FlatState, Layout
from engine.terms import Term

__all__ = ["CopyWriter", "UpdateWriter", "mangled", "put", "state_of"]

INDENT: Final = "    "


def mangled(name: str) -> str:
    """A variable's name as a Python identifier."""
    return name.replace(".", "_")


class UpdateWriter:
    """Writes the updates of one step. Variables are globals of their `mangled` names, arrays lists.

    Attributes:
        source: What terms are in Python.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._before: list[str] = []
        self._after: list[str] = []

    def statements(self, updates: Mapping[str, Term]) -> list[str]:
        """The statements, to stand at the beginning of a function; variables are globals."""
        scalars = [mangled(name) for name, term in updates.items() if not term.sort.is_array]
        head = [f"global {', '.join(scalars)}"] if scalars else []
        return [*head, *self.assignments(updates)]

    def assignments(self, updates: Mapping[str, Term]) -> list[str]:
        """The same without a declaration: whatever is assigned, every value is held before."""
        self._before += self.source.share(_parts(updates.values()))
        for name, term in updates.items():
            if term.sort.is_array:
                self._array(name, term, "")
            else:
                self._after.append(f"{mangled(name)} = {self._value(term)}")
        return [*self._before, *self._after]

    # For whoever has to know what is written

    def fills(self, name: str) -> None:
        """All elements of an array are assigned."""

    def touches(self, name: str, place: str) -> None:
        """An element of an array is assigned; `place` is its index in Python."""

    # Statements

    def _value(self, term: Term) -> str:
        """The term's value before the step, in a form that later assignments do not change."""
        if term.operation == "constant":
            return self.source.expression(term)
        return self._held(self.source.expression(term))

    def _held(self, expression: str) -> str:
        if expression.isidentifier() and expression in self.source.local.values():
            return expression
        if expression.isdigit():
            return expression
        name = f"x{len(self._before)}"
        self._before.append(f"{name} = {expression}")
        return name

    def _array(self, name: str, term: Term, margin: str) -> None:
        match term.operation:
            case "symbol":
                return
            case "store":
                base, index, value = term.arguments
                self._array(name, base, margin)
                place = self._held(self.source.index(name, index))
                self._after.append(f"{margin}{mangled(name)}[{place}] = {self._value(value)}")
                self.touches(name, place)
            case "fill":
                size = self.source.layout.scope.capacity(self.source.variable(name))
                everywhere = self._value(term.arguments[0])
                self._after.append(f"{margin}{mangled(name)}[:] = [{everywhere}] * {size}")
                self.fills(name)
            case "if":
                test, then, otherwise = term.arguments
                held = self._held(self.source.expression(test))
                for condition, branch in ((held, then), (f"not {held}", otherwise)):
                    if branch.operation != "symbol":
                        self._after.append(f"{margin}if {condition}:")
                        self._array(name, branch, margin + INDENT)
            case _:
                raise ValueError(f"cannot run an array update by {term.operation!r}")


class CopyWriter(UpdateWriter):
    """Writes the updates of a step into copies: what is read is never what is assigned."""

    def _held(self, expression: str) -> str:
        return expression


def _parts(terms: Iterable[Term]) -> list[Term]:
    """The numbers and truth values out of which array updates are made."""
    parts: list[Term] = []
    for term in terms:
        if not term.sort.is_array:
            parts.append(term)
        elif term.operation == "store":
            parts += _parts(term.arguments[:1])
            parts += term.arguments[1:]
        elif term.operation == "fill":
            parts += term.arguments
        elif term.operation == "if":
            parts.append(term.arguments[0])
            parts += _parts(term.arguments[1:])
    return parts


def put(layout: Layout, values: dict[str, Any], state: FlatState) -> None:
    """Give each variable, by its `mangled` name, the value that it has in a state."""
    for variable, value in zip(layout.system.variables, state, strict=True):
        name = mangled(variable.name)
        if variable.domain is None:
            values[name] = value
        elif name in values:
            # Whoever holds on to an array goes on seeing it.
            values[name][:] = value
        else:
            values[name] = list(value)


def state_of(layout: Layout, values: Mapping[str, Any]) -> FlatState:
    """The state in which each variable has the value that stands under its `mangled` name."""
    return tuple(
        values[mangled(variable.name)]
        if variable.domain is None
        else tuple(values[mangled(variable.name)])
        for variable in layout.system.variables
    )
