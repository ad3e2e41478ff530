"""The solver's meaning of a term: SMT-LIB 2 text, in integers or in machine words.

`--smt2` writes the text to files: what can be read is what is solved. (A solver is asked first with
only those assertions of it that an earlier proof needed, which assumes less.) Arrays are functions
of an index, and what is read of a changed one is spelt out (`engine.arrays`). In integer arithmetic
numbers and array indices are unbounded and the ring size N is any number from 1 on. In machine
arithmetic every number is a word, of 32 bits unless the protocol says otherwise: sums and
differences wrap around, comparison is unsigned, and N is 1 << shift for the shifts that exist.
Words are written as integers with their wrapping spelt out, because solvers decide that many times
faster than the same question in bit vectors; the meaning is the same.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from engine.arrays import spelt_out
from engine.terms import Bool, Sort, Term
from engine.terms import ring_size as ring_size_symbol

__all__ = ["Arithmetic", "Machine", "script"]


class Arithmetic(enum.Enum):
    """What a number is to the solver."""

    INTEGER = "integer"
    MACHINE = "machine"


@attrs.frozen
class Machine:
    """What numbers are in machine arithmetic.

    Attributes:
        bits: How wide a counter is.
        shifts: The ring sizes that exist are 1 << shift, for each of these.
    """

    bits: int = 32
    shifts: tuple[int, ...] = tuple(range(13))

    @property
    def modulus(self) -> int:
        """The number of values that a counter has."""
        return 1 << self.bits


DEFAULT: Final = Machine()
_NAMES: Final = {
    "not": "not", "and": "and", "or": "or", "equal": "=", "if": "ite",
    "less": "<", "add": "+", "sub": "-",
}  # fmt: skip

_BIT_NAMES: Final = _NAMES | {"less": "bvult", "add": "bvadd", "sub": "bvsub"}


class _Writer:
    """Writes terms as text; a subterm that occurs twice is defined once."""

    def __init__(self, arithmetic: Arithmetic, bits: bool, machine: Machine) -> None:
        self.arithmetic = arithmetic
        self.machine = machine
        self.bits = bits
        self.names = _BIT_NAMES if bits else _NAMES
        number = f"(_ BitVec {machine.bits})" if bits else "Int"
        self.sorts = {
            Sort.BOOL: "() Bool",
            Sort.NUMBER: f"() {number}",
            Sort.BOOL_ARRAY: f"({number}) Bool",
            Sort.NUMBER_ARRAY: f"({number}) {number}",
        }
        self.texts: dict[Term, str] = {}
        self.lines: list[str] = []
        self.words: list[str] = []

    def define(self, roots: Sequence[Term]) -> None:
        """Write the definitions that `roots` need; `texts` then holds how to refer to them."""
        uses: dict[Term, int] = {}
        order: list[Term] = []
        for root in roots:
            self._visit(root, uses, order)
            uses[root] += 1
        machine = self.arithmetic is Arithmetic.MACHINE and not self.bits
        for term in order:
            text = self._expression(term)
            wraps = machine and term.operation in ("add", "sub", "low_bits")
            leaf = term.operation in ("symbol", "select") and term.sort is Sort.NUMBER
            if term.arguments and (uses[term] > 1 or wraps or (machine and leaf)):
                text = self._name(term.sort, text)
            if machine and leaf:
                self.words.append(text)
            self.texts[term] = text

    def _name(self, sort: Sort, text: str) -> str:
        name = f"d{len(self.lines)}"
        self.lines.append(f"(define-fun {name} {self.sorts[sort]} {text})")
        return name

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
            self.lines.append(f"(declare-fun |{term.name}| {self.sorts[term.sort]})")
            return f"|{term.name}|"
        if operation == "constant":
            if term.sort is Sort.BOOL:
                return "true" if term.value else "false"
            return self.literal(term.value)
        parts = [self.texts[item] for item in term.arguments]
        if operation == "select":
            return f"({' '.join(parts)})"
        if operation == "low_bits":
            return self._low_bits(parts[0])
        if self.arithmetic is Arithmetic.MACHINE and not self.bits and operation in ("add", "sub"):
            return self._wrapped(operation, parts)
        return f"({self.names[operation]} {' '.join(parts)})"

    def literal(self, value: int) -> str:
        """A number, written out."""
        if self.bits:
            return f"(_ bv{value % self.machine.modulus} {self.machine.bits})"
        return str(value) if value >= 0 else f"(- {-value})"

    def _low_bits(self, counter: str) -> str:
        if not self.bits:
            raise ValueError("low bits have a meaning in bit vectors only")
        return f"(bvand {counter} (bvsub |N| {self.literal(1)}))"

    def _wrapped(self, operation: str, parts: list[str]) -> str:
        exact = self._name(Sort.NUMBER, f"({_NAMES[operation]} {' '.join(parts)})")
        modulus = self.machine.modulus
        if operation == "add":
            return f"(ite (< {exact} {modulus}) {exact} (- {exact} {modulus}))"
        return f"(ite (<= 0 {exact}) {exact} (+ {exact} {modulus}))"


def script(
    arithmetic: Arithmetic,
    assertions: Iterable[Bool],
    *,
    ring_size: int | None = None,
    bits: bool = False,
    machine: Machine = DEFAULT,
    comment: str = "",
    labels: Mapping[Bool, str] | None = None,
) -> str:
    """An SMT-LIB 2 text that asks whether all `assertions` can hold together.

    Args:
        arithmetic: What numbers are.
        assertions: Terms over state variables, parameters and constants.
        ring_size: One that exists, or None for every ring size.
        bits: Write words as bit vectors; for questions about the bits of a word.
        machine: How wide a word is, and which ring sizes exist.
        comment: What the question is, for a reader of the file.
        labels: Names for some of the assertions, by which a solver can say that it needed them.
    """
    called = tuple((labels or {}).items())
    return _written(arithmetic, tuple(assertions), ring_size, bits, machine, comment, called)


@functools.lru_cache(maxsize=16)
def _written(
    arithmetic: Arithmetic,
    assertions: tuple[Bool, ...],
    ring_size: int | None,
    bits: bool,
    machine: Machine,
    comment: str,
    labels: tuple[tuple[Bool, str], ...],
) -> str:
    """The text of `script`; the last few are remembered, for who asks two solvers."""
    named = {spelt_out(term): label for term, label in labels}
    terms = list(dict.fromkeys(map(spelt_out, assertions)))
    writer = _Writer(arithmetic, bits, machine)
    writer.define([ring_size_symbol(), *terms])
    lines = [f"; {line}" for line in comment.splitlines()]
    lines.append(f"(set-logic {'QF_UFBV' if bits else 'QF_UFLIA'})")
    lines += writer.lines
    if ring_size is not None:
        lines.append(f"(assert (= |N| {writer.literal(ring_size)}))")
    elif arithmetic is Arithmetic.INTEGER:
        lines.append("(assert (>= |N| 1))")
    else:
        sizes = (f"(= |N| {writer.literal(1 << shift)})" for shift in machine.shifts)
        lines.append(f"(assert (or {' '.join(sizes)}))")
    lines += [f"(assert (and (<= 0 {word}) (< {word} {machine.modulus})))" for word in writer.words]
    for term in terms:
        label = named.get(term)
        text = writer.texts[term]
        lines.append(f"(assert {text})" if label is None else f"(assert (! {text} :named {label}))")
    lines.append("(check-sat)")
    return "\n".join(lines) + "\n"
