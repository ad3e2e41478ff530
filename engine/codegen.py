"""From terms to Python source: how the specification is made to run fast.

`Source` turns a term into a Python expression. What a variable is called in that expression is up
to the caller (an entry of a tuple, a global of a generated module). `decision` turns many guarded
cases into nested `if`s that ask each question once: first the value that most guards compare with
constants (a thread's label, an engine's stage), then the conditions that most guards share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import attrs

from engine.scope import Layout
from engine.terms import And, Bool, Domain, Sort, Term, conjuncts, constant, substitute
from engine.variables import Variable

__all__ = [
    "Guarded",
    "Reads",
    "Source",
    "decision",
    "reads",
    "root",
]

INDENT: Final = "    "


def root(term: Term) -> Term:
    """The state variable that an array term is an update of."""
    while term.operation != "symbol":
        term = term.arguments[1 if term.operation == "if" else 0]
    return term


@attrs.define
class Source:
    """Python expressions for terms of one layout.

    Attributes:
        layout: Tells the sizes of arrays.
        name_of: What a variable is called in the generated code.
        local: Terms that already have a local variable.
    """

    layout: Layout
    name_of: Callable[[str], str]
    local: dict[Term, str] = attrs.field(factory=dict)

    def variable(self, name: str) -> Variable:
        """The state variable with this name."""
        return self.layout.system.variables[self.layout.position[name]]

    def index(self, array: str, term: Term) -> str:
        """The position of element `term` in an array."""
        variable = self.variable(array)
        size = self.layout.scope.capacity(variable)
        if term.operation == "constant":
            return str(term.value % size)
        expression = self.expression(term)
        if variable.domain in (Domain.SLOT, Domain.COUNTER):
            return "0" if size == 1 else f"({expression} & {size - 1})"
        if term.operation == "symbol" and term.name.startswith("?"):
            return expression  # a parameter, which is in range
        return f"({expression} % {size})"

    def expression(self, term: Term) -> str:
        """Python source for a number or truth value."""
        known = self.local.get(term)
        if known is not None:
            return known
        arguments = term.arguments
        match term.operation:
            case "constant":
                return str(bool(term.value)) if term.sort is Sort.BOOL else str(term.value)
            case "symbol":
                return self.name_of(term.name)
            case "not":
                return self._negation(arguments[0])
            case "and":
                return f"({' and '.join(map(self.expression, arguments))})"
            case "or":
                return self._alternatives(arguments)
            case "equal":
                return self._binary("==", arguments)
            case "less":
                return self._binary("<", arguments)
            case "add":
                return self._binary("+", arguments)
            case "sub":
                return self._binary("-", arguments)
            case "if":
                test, then, otherwise = map(self.expression, arguments)
                return f"({then} if {test} else {otherwise})"
            case "select":
                return self._element(arguments[0], arguments[1])
            case "low_bits":
                return f"({self.expression(arguments[0])} & {self.layout.scope.ring_size - 1})"
        raise ValueError(f"{term.operation!r} has no meaning on plain values")

    def _binary(self, operator: str, arguments: Sequence[Term]) -> str:
        return f"({self.expression(arguments[0])} {operator} {self.expression(arguments[1])})"

    def _negation(self, term: Term) -> str:
        if term not in self.local:
            if term.operation == "equal":
                return self._binary("!=", term.arguments)
            if term.operation == "less":
                return self._binary(">=", term.arguments)
        return f"(not {self.expression(term)})"

    def _alternatives(self, parts: Sequence[Term]) -> str:
        """`x == 1 or x == 2` becomes `x in (1, 2)`."""
        compared: dict[Term, list[int]] = {}
        others: list[Term] = []
        for part in parts:
            pair = _comparison(part)
            if pair is None or part in self.local:
                others.append(part)
            else:
                compared.setdefault(pair[0], []).append(pair[1])
        sources: list[str] = []
        for term, values in compared.items():
            if len(values) == 1:
                sources.append(f"{self.expression(term)} == {values[0]}")
            else:
                sources.append(f"{self.expression(term)} in {{{', '.join(map(str, values))}}}")
        sources.extend(self.expression(part) for part in others)
        return f"({' or '.join(sources)})"

    def _element(self, array: Term, index: Term) -> str:
        name = root(array).name
        if array.operation == "symbol":
            return f"{self.name_of(name)}[{self.index(name, index)}]"
        if array.operation == "store":
            base, stored_at, stored = array.arguments
            here, there = self.index(name, index), self.index(name, stored_at)
            otherwise = self._element(base, index)
            return f"({self.expression(stored)} if {here} == {there} else {otherwise})"
        raise ValueError(f"cannot read an element of {array.operation!r}")

    def share(self, terms: Iterable[Term], prefix: str = "v") -> list[str]:
        """Assign what several of `terms` compute to locals, once; returns the assignments."""
        lines: list[str] = []
        for node in _shared(terms):
            if node not in self.local:
                name = f"{prefix}{len(self.local)}"
                lines.append(f"{name} = {self.expression(node)}")
                self.local[node] = name
        return lines


def _comparison(term: Term) -> tuple[Term, int] | None:
    """`(x, 3)` for the term `x == 3`."""
    if term.operation != "equal":
        return None
    left, right = term.arguments
    if left.operation == "constant" and left.sort is Sort.NUMBER:
        left, right = right, left
    if right.operation == "constant" and right.sort is Sort.NUMBER:
        return left, right.value
    return None


def _shared(terms: Iterable[Term]) -> list[Term]:
    """Subterms that are computed more than once and cost something, innermost first."""
    uses: Counter[Term] = Counter()
    order: list[Term] = []

    def visit(term: Term) -> None:
        uses[term] += 1
        if uses[term] > 1:
            return
        for argument in term.arguments:
            visit(argument)
        order.append(term)

    for term in terms:
        visit(term)
    return [
        term
        for term in order
        if uses[term] > 1
        and not term.sort.is_array
        and (term.operation in ("select", "if", "and", "or") or _depth(term) > 1)
    ]


def _depth(term: Term) -> int:
    return 1 + max((_depth(item) for item in term.arguments), default=-1)


@attrs.frozen
class Reads:
    """What a term depends on: whole variables, and elements with a fixed index."""

    whole: frozenset[str]
    elements: frozenset[tuple[str, int]]


def reads(terms: Iterable[Term]) -> Reads:
    """What `terms` depend on. An array read at an index that varies counts as a whole."""
    whole: set[str] = set()
    elements: set[tuple[str, int]] = set()
    seen: set[Term] = set()
    stack = list(terms)
    while stack:
        term = stack.pop()
        if term in seen:
            continue
        seen.add(term)
        if term.operation == "symbol":
            whole.add(term.name)
        elif term.operation == "select" and term.arguments[0].operation == "symbol":
            array, index = term.arguments
            if index.operation == "constant":
                elements.add((array.name, index.value))
            else:
                whole.add(array.name)
                stack.append(index)
        else:
            stack.extend(term.arguments)
    return Reads(frozenset(whole), frozenset(item for item in elements if item[0] not in whole))


@attrs.frozen(eq=False)
class Guarded:
    """What to do where a guard holds: lines of source."""

    guard: Bool
    lines: tuple[str, ...]


def _negated(term: Term) -> Bool:
    assert isinstance(term, Bool)
    return ~term


def decision(
    source: Source, cases: Sequence[Guarded], switched: frozenset[Term] = frozenset()
) -> list[str]:
    """Source that runs the lines of every case whose guard holds."""
    cases = [case for case in cases if case.guard.operation != "constant" or case.guard.value]
    if not cases:
        return []
    key = _switch(cases, switched)
    if key is not None:
        return _switch_source(source, cases, key, switched)
    shared = _most_shared(cases)
    if shared is not None:
        return _branch_source(source, cases, shared, switched)
    lines: list[str] = []
    for case in cases:
        lines += _guarded(source, case)
    return lines


def _guarded(source: Source, case: Guarded) -> list[str]:
    parts = conjuncts(case.guard)
    if not parts:
        return list(case.lines)
    repeated = set(_shared(parts))
    cheap = [part for part in parts if not _mentions(part, repeated)]
    dear = [part for part in parts if _mentions(part, repeated)]
    lines: list[str] = []
    margin = ""
    if cheap:
        lines.append(f"if {' and '.join(map(source.expression, cheap))}:")
        margin += INDENT
    if dear:
        known = dict(source.local)
        lines += [margin + line for line in source.share(dear, "g")]
        lines.append(f"{margin}if {' and '.join(map(source.expression, dear))}:")
        margin += INDENT
        source.local = known
    return lines + [margin + line for line in case.lines]


def _mentions(term: Term, nodes: set[Term]) -> bool:
    return bool(nodes) and (term in nodes or any(_mentions(item, nodes) for item in term.arguments))


def _possible(term: Term, key: Term) -> frozenset[int] | None:
    """The values of `key` without which `term` is false; None if there is no such limit."""
    match term.operation:
        case "equal":
            pair = _comparison(term)
            return frozenset({pair[1]}) if pair is not None and pair[0] is key else None
        case "and":
            limits = [_possible(part, key) for part in term.arguments]
            known = [item for item in limits if item is not None]
            return frozenset.intersection(*known) if known else None
        case "or":
            choices = [_possible(part, key) for part in term.arguments]
            some = [item for item in choices if item is not None]
            return frozenset[int]().union(*some) if len(some) == len(choices) else None
    return None


def _compared(term: Term) -> Iterator[Term]:
    pair = _comparison(term)
    if pair is not None:
        yield pair[0]
    elif term.operation in ("and", "or"):
        for part in term.arguments:
            yield from _compared(part)


def _switch(cases: Sequence[Guarded], switched: frozenset[Term]) -> Term | None:
    """The number that at least three guards compare with constants, if there is one."""
    counts: Counter[Term] = Counter()
    for case in cases:
        for key in dict.fromkeys(_compared(case.guard)):
            if key not in switched and _possible(case.guard, key) is not None:
                counts[key] += 1
    if not counts:
        return None
    key, count = counts.most_common(1)[0]
    return key if count >= 3 else None


def _switch_source(
    source: Source, cases: Sequence[Guarded], key: Term, switched: frozenset[Term]
) -> list[str]:
    free = [case for case in cases if _possible(case.guard, key) is None]
    bound: dict[int, list[Guarded]] = {}
    for case in cases:
        for value in _possible(case.guard, key) or ():
            special = substitute(case.guard, {}, {key: constant(value)})
            if special.operation != "constant" or special.value:
                bound.setdefault(value, []).append(Guarded(special, case.lines))
    values = sorted(bound)
    name = source.expression(key)
    lines: list[str] = []
    known = dict(source.local)
    if key not in source.local and key.operation != "symbol":
        name = f"k{len(source.local)}"
        lines.append(f"{name} = {source.expression(key)}")
        source.local[key] = name
    inner = switched | {key}

    def split(part: Sequence[int]) -> list[str]:
        if len(part) == 1:
            body = decision(source, bound[part[0]], inner)
            return [f"if {name} == {part[0]}:", *_indent(body or ["pass"])]
        middle = len(part) // 2
        return [
            f"if {name} < {part[middle]}:",
            *_indent(split(part[:middle])),
            "else:",
            *_indent(split(part[middle:])),
        ]

    if values:
        lines += split(values)
    source.local = known
    return lines + decision(source, free, inner)


def _most_shared(cases: Sequence[Guarded]) -> Term | None:
    counts: Counter[Term] = Counter()
    for case in cases:
        for part in conjuncts(case.guard):
            counts[part] += 1
    if not counts:
        return None
    best, count = counts.most_common(1)[0]
    return best if count >= 2 else None


def _branch_source(
    source: Source, cases: Sequence[Guarded], shared: Term, switched: frozenset[Term]
) -> list[str]:
    negated = _negated(shared)
    yes: list[Guarded] = []
    no: list[Guarded] = []
    free: list[Guarded] = []
    for case in cases:
        parts = conjuncts(case.guard)
        for chosen, condition in ((yes, shared), (no, negated)):
            if any(part is condition for part in parts):
                rest = And(*(_bool(part) for part in parts if part is not condition))
                chosen.append(Guarded(rest, case.lines))
                break
        else:
            free.append(case)
    lines = [
        f"if {source.expression(shared)}:",
        *_indent(decision(source, yes, switched) or ["pass"]),
    ]
    if no:
        lines += ["else:", *_indent(decision(source, no, switched) or ["pass"])]
    return lines + decision(source, free, switched)


def _bool(term: Term) -> Bool:
    assert isinstance(term, Bool)
    return term


def _indent(lines: Iterable[str]) -> list[str]:
    return [INDENT + line for line in lines]
