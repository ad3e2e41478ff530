"""The solver's meaning of a term: SMT-LIB 2 text, in integers or in machine words.

Both solvers are given the same text, and `--smt2` writes it to files: what can be read is what is
solved. In integer arithmetic numbers and array indices are unbounded and the ring size N is any
number from 1 on. In machine arithmetic every number is a 32-bit word, sums and differences wrap
around, comparison is unsigned, and N is 1 << shift for any shift from 0 to 12.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final

from model.algebra import Bool, Sort, Term

__all__ = ["WORD_BITS", "Arithmetic", "script"]

WORD_BITS: Final = 32
MAX_SHIFT: Final = 12


class Arithmetic(enum.Enum):
    """What a number is to the solver."""

    INTEGER = "integer"
    MACHINE = "machine"

    @property
    def sort(self) -> str:
        """The name of the sort of numbers."""
        return "Int" if self is Arithmetic.INTEGER else f"(_ BitVec {WORD_BITS})"

    def sort_of(self, sort: Sort) -> str:
        """The name of a term's sort."""
        match sort:
            case Sort.BOOL:
                return "Bool"
            case Sort.NUMBER:
                return self.sort
            case Sort.BOOL_ARRAY:
                return f"(Array {self.sort} Bool)"
            case Sort.NUMBER_ARRAY:
                return f"(Array {self.sort} {self.sort})"

    def literal(self, value: int) -> str:
        """A number, written out."""
        if self is Arithmetic.MACHINE:
            return f"#x{value % (1 << WORD_BITS):0{WORD_BITS // 4}x}"
        return str(value) if value >= 0 else f"(- {-value})"


_INTEGER: Final = {
    "not": "not", "and": "and", "or": "or", "equal": "=", "if": "ite",
    "select": "select", "store": "store", "less": "<", "add": "+", "sub": "-",
}  # fmt: skip
_MACHINE: Final = _INTEGER | {"less": "bvult", "add": "bvadd", "sub": "bvsub"}


class _Writer:
    """Writes terms as text; a subterm that occurs twice is defined once."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.names = _MACHINE if arithmetic is Arithmetic.MACHINE else _INTEGER
        self.texts: dict[Term, str] = {}
        self.lines: list[str] = []

    def define(self, roots: Sequence[Term]) -> None:
        uses: dict[Term, int] = {}
        order: list[Term] = []
        for root in roots:
            self._visit(root, uses, order)
        for root in roots:
            uses[root] = uses.get(root, 0) + 1
        for term in order:
            text = self._expression(term)
            if term.arguments and uses[term] > 1:
                name = f"d{len(self.lines)}"
                sort = self.arithmetic.sort_of(term.sort)
                self.lines.append(f"(define-fun {name} () {sort} {text})")
                text = name
            self.texts[term] = text

    def _visit(self, root: Term, uses: dict[Term, int], order: list[Term]) -> None:
        if root in uses:
            return
        uses[root] = 0
        stack: list[tuple[Term, int]] = [(root, 0)]
        while stack:
            term, position = stack.pop()
            if position < len(term.arguments):
                stack.append((term, position + 1))
                child = term.arguments[position]
                if child in uses:
                    uses[child] += 1
                else:
                    uses[child] = 1
                    stack.append((child, 0))
            else:
                order.append(term)

    def _expression(self, term: Term) -> str:
        operation = term.operation
        if operation == "symbol":
            sort = self.arithmetic.sort_of(term.sort)
            self.lines.append(f"(declare-const |{term.name}| {sort})")
            return f"|{term.name}|"
        if operation == "constant":
            if term.sort is Sort.BOOL:
                return "true" if term.value else "false"
            return self.arithmetic.literal(term.value)
        parts = [self.texts[item] for item in term.arguments]
        if operation == "fill":
            return f"((as const {self.arithmetic.sort_of(term.sort)}) {parts[0]})"
        if operation == "low_bits":
            if self.arithmetic is Arithmetic.INTEGER:
                raise ValueError("low bits have a meaning in machine arithmetic only")
            one = self.arithmetic.literal(1)
            return f"(bvand {parts[0]} (bvsub |N| {one}))"
        return f"({self.names[operation]} {' '.join(parts)})"


def script(
    arithmetic: Arithmetic,
    assertions: Iterable[Bool],
    *,
    ring_size: int | None = None,
    comment: str = "",
) -> str:
    """An SMT-LIB 2 text that asks whether all `assertions` can hold together.

    Args:
        arithmetic: What numbers are.
        assertions: Terms over state variables, parameters and constants.
        ring_size: A power of two from 1 to 4096, or None for every ring size.
        comment: What the question is, for a reader of the file.
    """
    terms = list(assertions)
    writer = _Writer(arithmetic)
    size = writer.arithmetic
    from model.algebra import symbol

    n = symbol("N", Sort.NUMBER)
    writer.define([n, *terms])
    lines = [f"; {line}" for line in comment.splitlines()]
    lines.append("(set-logic ALL)")
    lines += writer.lines
    if ring_size is not None:
        lines.append(f"(assert (= |N| {size.literal(ring_size)}))")
    elif arithmetic is Arithmetic.INTEGER:
        lines.append("(assert (>= |N| 1))")
    else:
        lines.append(f"(declare-const shift {size.sort})")
        lines.append(f"(assert (bvule shift {size.literal(MAX_SHIFT)}))")
        lines.append(f"(assert (= |N| (bvshl {size.literal(1)} shift)))")
    lines += [f"(assert {writer.texts[term]})" for term in terms]
    lines.append("(check-sat)")
    return "\n".join(lines) + "\n"
