"""The terms that the specification is written in, and their meaning on plain values.

A rule of the specification computes with `Bool`, `Number` and `Array` terms. A term is a tree of
operations over state variables; it has three meanings, all derived from the same tree:

* plain Python values (`evaluate` here, compiled by `engine.executor`),
* unbounded integers and arrays for a solver (`engine.smt`),
* 32-bit machine words that wrap around, for a solver (`engine.smt`).

Two rules keep the three in agreement:

* Counters wrap in machine arithmetic. Never order two counters with `<`: order their *distance*
  (`producer - consumer < size`), which is what a driver does as well.
* Python's `and`, `or`, `not` and `if` do not work on terms and raise `TypeError`; write `&`, `|`,
  `~` and `If`.
"""

from __future__ import annotations

import collections
import copy
import enum
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

__all__ = [
    "FALSE",
    "TRUE",
    "And",
    "Array",
    "Bool",
    "Domain",
    "If",
    "Iff",
    "Implies",
    "Number",
    "Or",
    "Sort",
    "Term",
    "conjuncts",
    "constant",
    "evaluate",
    "low_bits",
    "mark",
    "next_index",
    "one_of",
    "ring_size",
    "substitute",
    "symbol",
    "variables",
    "wrap",
]


class Sort(enum.Enum):
    """What a term stands for."""

    BOOL = "bool"
    NUMBER = "number"
    BOOL_ARRAY = "array of bool"
    NUMBER_ARRAY = "array of number"

    # Part of the key of every term: Python's own, which hashes the name, is a call each time.
    __hash__ = object.__hash__

    @property
    def is_array(self) -> bool:
        """Whether the term is a map from numbers."""
        return self in (Sort.BOOL_ARRAY, Sort.NUMBER_ARRAY)


class Domain(enum.Enum):
    """What indexes an array. Solvers see every number; an execution needs to know how many."""

    SLOT = "slot of a ring"
    THREAD = "thread"
    COUNTER = "counter that never stops (a ticket); an execution keeps the outstanding ones only"
    KEY = "opaque key, such as a filter"


class Term:
    """A node of a term; made by the operators, `If`, `symbol` and `constant`, never directly.

    Terms with the same structure are the same object, so `is` compares structure and a shared
    subterm is translated once.
    """

    __slots__ = ("__weakref__", "arguments", "name", "operation", "sort", "value")

    operation: str
    arguments: tuple[Term, ...]
    sort: Sort
    name: str
    value: int

    def __bool__(self) -> bool:
        raise TypeError(
            "a specification term has no truth value of its own: "
            "write &, |, ~ and If instead of and, or, not and if"
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        if self.operation == "constant":
            return str(bool(self.value) if self.sort is Sort.BOOL else self.value)
        if self.operation == "symbol":
            return self.name
        return f"{self.operation}({', '.join(map(repr, self.arguments))})"


BoolLike: TypeAlias = "Bool | bool"
NumberLike: TypeAlias = "Number | int"


class Bool(Term):
    """A truth value. `~a`, `a & b`, `a | b`, `a == b`, `a != b`."""

    __slots__ = ()
    __hash__ = Term.__hash__

    def __and__(self, other: BoolLike) -> Bool:
        return And(self, other)

    def __or__(self, other: BoolLike) -> Bool:
        return Or(self, other)

    __rand__ = __and__
    __ror__ = __or__

    def __invert__(self) -> Bool:
        if self.operation == "constant":
            return FALSE if self.value else TRUE
        if self.operation == "not":
            return _bool(self.arguments[0])
        return _bool(_make("not", (self,), Sort.BOOL))

    def __eq__(self, other: object) -> Bool:  # type: ignore[override]
        return Iff(self, other)  # type: ignore[arg-type]

    def __ne__(self, other: object) -> Bool:  # type: ignore[override]
        return ~Iff(self, other)  # type: ignore[arg-type]


class Number(Term):
    """A natural number: an index, a counter, an identity, or one of a few named values.

    `a - b` is the distance from b up to a. It wraps in machine arithmetic and the specification
    only uses it where a is not behind b.
    """

    __slots__ = ()
    __hash__ = Term.__hash__

    def __add__(self, other: NumberLike) -> Number:
        right = _number(other)
        if right.operation == "constant" and right.value == 0:
            return self
        if self.operation == "constant" and right.operation == "constant":
            return constant(self.value + right.value)
        if (
            self.operation == "add"
            and right.operation == "constant"
            and self.arguments[1].operation == "constant"
        ):
            return _number(self.arguments[0]) + (self.arguments[1].value + right.value)
        return _number(_make("add", (self, right), Sort.NUMBER))

    def __sub__(self, other: NumberLike) -> Number:
        right = _number(other)
        if right is self:
            return constant(0)
        if right.operation == "constant" and right.value == 0:
            return self
        if self.operation == "constant" and right.operation == "constant":
            return constant(self.value - right.value)
        return _number(_make("sub", (self, right), Sort.NUMBER))

    def __eq__(self, other: object) -> Bool:  # type: ignore[override]
        right = _number(other)
        if right is self:
            return TRUE
        if self.operation == "constant" and right.operation == "constant":
            return TRUE if self.value == right.value else FALSE
        for one, two in ((self, right), (right, self)):
            if one.operation == "if" and two.operation == "constant":
                condition, then, otherwise = one.arguments
                if then.operation == "constant" or otherwise.operation == "constant":
                    return If(_bool(condition), _number(then) == two, _number(otherwise) == two)
        return _bool(_make("equal", (self, right), Sort.BOOL))

    def __ne__(self, other: object) -> Bool:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: NumberLike) -> Bool:
        right = _number(other)
        if right is self:
            return FALSE
        if self.operation == "constant" and right.operation == "constant":
            return TRUE if self.value < right.value else FALSE
        return _bool(_make("less", (self, right), Sort.BOOL))

    def __le__(self, other: NumberLike) -> Bool:
        return ~(_number(other) < self)

    def __gt__(self, other: NumberLike) -> Bool:
        return _number(other) < self

    def __ge__(self, other: NumberLike) -> Bool:
        return ~(self < other)


class _ArrayTerm(Term):
    """A map from numbers to truth values or numbers."""

    __slots__ = ()


Element = TypeVar("Element", "Bool", "Number")
TermType = TypeVar("TermType", bound="Term")


class Array(Generic[Element]):
    """A state variable that holds one element for each slot, thread, ticket or key.

    `array[i]` reads, `array[i] = value` updates, `array.fill(value)` sets every element. The
    object stands for the variable during one rule; `term` is its present contents.
    """

    __slots__ = ("term",)

    def __init__(self, term: Term) -> None:
        self.term = term

    def __getitem__(self, index: NumberLike) -> Element:
        return select(self.term, _number(index))  # type: ignore[return-value]

    def __setitem__(self, index: NumberLike, value: Element | bool | int) -> None:
        element = (
            _bool_like(value)  # type: ignore[arg-type]
            if self.term.sort is Sort.BOOL_ARRAY
            else _number(value)
        )
        self.term = _make("store", (self.term, _number(index), element), self.term.sort)

    def fill(self, value: Element | bool | int) -> None:
        """Set every element to `value`."""
        element = (
            _bool_like(value)  # type: ignore[arg-type]
            if self.term.sort is Sort.BOOL_ARRAY
            else _number(value)
        )
        self.term = _make("fill", (element,), self.term.sort)

    def choose_fill(self, condition: BoolLike, value: Element | bool | int) -> None:
        """Set every element to `value` where `condition` holds; nothing changes elsewhere."""
        before = self.term
        self.fill(value)
        test = _bool_like(condition)
        if test.operation == "constant":
            self.term = self.term if test.value else before
        else:
            self.term = _make("if", (test, self.term, before), before.sort)


_CLASSES: Final[Mapping[Sort, type[Term]]] = {
    Sort.BOOL: Bool,
    Sort.NUMBER: Number,
    Sort.BOOL_ARRAY: _ArrayTerm,
    Sort.NUMBER_ARRAY: _ArrayTerm,
}
# Interning table: a cache of immutable values, not state. Same structure, same object.
_TERMS: Final[dict[tuple[object, ...], Term]] = {}


def _make(
    operation: str, arguments: tuple[Term, ...], sort: Sort, name: str = "", value: int = 0
) -> Term:
    key = (operation, tuple(map(id, arguments)), sort, name, value)
    found = _TERMS.get(key)
    if found is None:
        found = object.__new__(_CLASSES[sort])
        found.operation = operation
        found.arguments = arguments
        found.sort = sort
        found.name = name
        found.value = value
        _TERMS[key] = found
    return found


def symbol(name: str, sort: Sort) -> Term:
    """A state variable, parameter or constant that has a name."""
    return _make("symbol", (), sort, name=name)


def constant(value: int) -> Number:
    """A fixed number."""
    return _make("constant", (), Sort.NUMBER, value=int(value))  # type: ignore[return-value]


TRUE: Final[Bool] = _make("constant", (), Sort.BOOL, value=1)  # type: ignore[assignment]
FALSE: Final[Bool] = _make("constant", (), Sort.BOOL, value=0)  # type: ignore[assignment]


def _bool(term: Term) -> Bool:
    if not isinstance(term, Bool):
        raise TypeError(f"expected a truth value, not {term!r}")
    return term


def _bool_like(value: BoolLike | Term) -> Bool:
    if isinstance(value, bool):
        return TRUE if value else FALSE
    return _bool(value)


def _number(value: object) -> Number:
    if isinstance(value, Number):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a number, not {value!r}")
    return constant(value)


def select(array: Term, index: Number) -> Term:
    """What an array holds at an index, simplified."""
    while True:
        if array.operation == "fill":
            return array.arguments[0]
        if array.operation == "store":
            base, stored_at, stored = array.arguments
            if stored_at is index:
                return stored
            if stored_at.operation == "constant" and index.operation == "constant":
                array = base
                continue
        if array.operation == "if":
            test, then, otherwise = array.arguments
            one, two = select(then, index), select(otherwise, index)
            return If(_bool(test), one, two)  # type: ignore[call-overload,no-any-return]
        break
    sort = Sort.BOOL if array.sort is Sort.BOOL_ARRAY else Sort.NUMBER
    return _make("select", (array, index), sort)


def _junction(operation: str, parts: Iterable[BoolLike], neutral: Bool, absorbing: Bool) -> Bool:
    flat: dict[Term, None] = {}
    for part in parts:
        term = _bool_like(part)
        if term is absorbing:
            return absorbing
        if term is neutral:
            continue
        for item in term.arguments if term.operation == operation else (term,):
            flat[item] = None
    for item in flat:
        if item.operation == "not" and item.arguments[0] in flat:
            return absorbing
    if not flat:
        return neutral
    if len(flat) == 1:
        return _bool(next(iter(flat)))
    return _bool(_make(operation, tuple(flat), Sort.BOOL))


def And(*parts: BoolLike) -> Bool:  # noqa: N802 - the operators of a logic are capitalised
    """All of `parts`; true when there are none."""
    return _junction("and", parts, TRUE, FALSE)


def Or(*parts: BoolLike) -> Bool:  # noqa: N802
    """At least one of `parts`; false when there are none."""
    return _junction("or", parts, FALSE, TRUE)


def Implies(premise: BoolLike, conclusion: BoolLike) -> Bool:  # noqa: N802
    """`conclusion` wherever `premise`."""
    return Or(~_bool_like(premise), conclusion)


def Iff(one: BoolLike, two: BoolLike) -> Bool:  # noqa: N802
    """`one` exactly where `two`."""
    left, right = _bool_like(one), _bool_like(two)
    if left is right:
        return TRUE
    for this, that in ((left, right), (right, left)):
        if this.operation == "constant":
            return that if this.value else ~that
    return _bool(_make("equal", (left, right), Sort.BOOL))


@overload
def If(condition: BoolLike, then: BoolLike, otherwise: BoolLike) -> Bool: ...  # type: ignore[overload-overlap]
@overload
def If(condition: BoolLike, then: NumberLike, otherwise: NumberLike) -> Number: ...
def If(  # noqa: N802
    condition: BoolLike, then: BoolLike | NumberLike, otherwise: BoolLike | NumberLike
) -> Term:
    """`then` where `condition` holds, `otherwise` elsewhere."""
    test = _bool_like(condition)
    if isinstance(then, (Bool, bool)) and isinstance(otherwise, (Bool, bool)):
        truth, untruth = _bool_like(then), _bool_like(otherwise)
        if test.operation == "constant":
            return truth if test.value else untruth
        if truth is untruth:
            return truth
        return Or(And(test, truth), And(~test, untruth))
    one, two = _number(then), _number(otherwise)
    if test.operation == "constant":
        return one if test.value else two
    if one is two:
        return one
    return _make("if", (test, one, two), Sort.NUMBER)


def conjuncts(guard: Term) -> tuple[Term, ...]:
    """The conditions that together make up `guard`."""
    if guard.operation == "and":
        return tuple(part for item in guard.arguments for part in conjuncts(item))
    if guard.operation == "not" and guard.arguments[0].operation == "or":
        return tuple(
            part for item in guard.arguments[0].arguments for part in conjuncts(~_bool(item))
        )
    if guard.operation == "constant" and guard.value:
        return ()
    return (guard,)


def one_of(value: Number, choices: Iterable[int]) -> Bool:
    """Whether `value` is one of the fixed numbers `choices`."""
    return Or(*(value == choice for choice in choices))


def ring_size() -> Number:
    """The number of slots in each ring, written N: any power of two from 1 to 4096."""
    return symbol("N", Sort.NUMBER)  # type: ignore[return-value]


def next_index(index: Number) -> Number:
    """The slot after slot `index`: the first one follows the last one."""
    return If(index + 1 == ring_size(), 0, index + 1)


def wrap(index: Number, start: Number) -> Number:
    """How many slots the walk goes from slot `start` to slot `index`: 0 to N - 1."""
    return If(index < start, index + ring_size() - start, index - start)


def low_bits(counter: Number) -> Number:
    """`counter & (N - 1)`: how a driver gets a slot from a counter. Machine arithmetic only."""
    return _make("low_bits", (counter,), Sort.NUMBER)  # type: ignore[return-value]


def variables(term: Term, seen: dict[Term, None] | None = None) -> dict[Term, None]:
    """The symbols that `term` mentions, in order of first appearance."""
    found: dict[Term, None] = {}
    visited: set[Term] = set()
    stack = [term]
    while stack:
        node = stack.pop()
        if node in visited:
            continue
        visited.add(node)
        if node.operation == "symbol":
            found[node] = None
        stack.extend(node.arguments)
    if seen is not None:
        seen.update(found)
    return found


@functools.cache
def mark(term: Term) -> str:
    """A short text that says which term it is, the same in every run and process.

    Of a thousand terms two share one with a chance of one in ten thousand: good for names, not for
    proofs.
    """
    parts = (term.operation, term.sort.value, term.name, term.value, *map(mark, term.arguments))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def substitute(
    term: TermType, values: Mapping[Term, Term], cache: dict[Term, Term] | None = None
) -> TermType:
    """`term` with each symbol in `values` replaced, simplified on the way."""
    done: dict[Term, Term] = {} if cache is None else cache
    return _substitute(term, values, done)  # type: ignore[return-value]


def _substitute(term: Term, values: Mapping[Term, Term], done: dict[Term, Term]) -> Term:
    known = done.get(term)
    if known is not None:
        return known
    if term.operation == "symbol":
        result = values.get(term, term)
    elif not term.arguments:
        result = term
    else:
        result = rebuilt(term, tuple(_substitute(item, values, done) for item in term.arguments))
    done[term] = result
    return result


def rebuilt(term: Term, arguments: tuple[Any, ...]) -> Term:
    """The term's operation on other arguments, simplified."""
    if all(new is old for new, old in zip(arguments, term.arguments, strict=True)):
        return term
    rebuild: Callable[..., Term] | None = _REBUILD.get(term.operation)
    if rebuild is not None:
        return rebuild(*arguments)
    return _make(term.operation, arguments, term.sort)


_REBUILD: Final[Mapping[str, Callable[..., Term]]] = {
    "not": lambda a: ~a,
    "and": And,
    "or": Or,
    "if": lambda c, a, b: _make("if", (c, a, b), a.sort) if a.sort.is_array else If(c, a, b),
    "equal": lambda a, b: a == b,
    "less": lambda a, b: a < b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "select": select,
}


def evaluate(term: Term, values: Mapping[str, Any]) -> Any:
    """The value of `term` when each symbol has the plain value that `values` gives it.

    Slow and obvious: the reference against which the compiled form is tested. Arrays are sequences
    or dictionaries; `N` must be among `values`. An array that was filled is a dictionary that
    knows every index, since values do not tell how many there are.
    """
    arguments = [evaluate(item, values) for item in term.arguments]
    match term.operation:
        case "constant":
            return bool(term.value) if term.sort is Sort.BOOL else term.value
        case "symbol":
            return values[term.name]
        case "not":
            return not arguments[0]
        case "and":
            return all(arguments)
        case "or":
            return any(arguments)
        case "equal":
            return arguments[0] == arguments[1]
        case "less":
            return arguments[0] < arguments[1]
        case "add":
            return arguments[0] + arguments[1]
        case "sub":
            return arguments[0] - arguments[1]
        case "if":
            return arguments[1] if arguments[0] else arguments[2]
        case "select":
            return arguments[0][arguments[1]]
        case "store":
            if isinstance(arguments[0], dict):
                changed = copy.copy(arguments[0])
                changed[arguments[1]] = arguments[2]
                return changed
            updated = list(arguments[0])
            updated[arguments[1]] = arguments[2]
            return tuple(updated)
        case "fill":
            return collections.defaultdict(lambda: arguments[0])
        case "low_bits":
            return arguments[0] & (values["N"] - 1)
    raise ValueError(f"{term.operation!r} has no meaning on plain values")
