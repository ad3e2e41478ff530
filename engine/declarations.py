"""Whether a rule says what it does: its terms are compared with what it declares.

A specification is only as good as what it does not leave out. So each rule is checked when it is
lifted, and a mistake is told with the rule, its file and line, and what to write instead:

* it touches a shared word and declares no load or store of it, or of another slot;
* it names a word that the protocol does not declare;
* it reads history to decide something;
* it stands at two program counters.
"""

from __future__ import annotations

import enum
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from engine.rules import THREAD, Kind, Party, Rule, Transition, parameter_symbol
from engine.terms import Number, Sort, Term, conjuncts, symbol, variables
from engine.variables import Variable
from engine.words import Word

__all__ = ["RuleError", "check", "place_of", "stands_at"]

TOUCHES: Final = {Kind.LOAD: "load", Kind.STORE: "store", Kind.ALLOCATE: "allocate"}


class RuleError(ValueError):
    """A rule does not say what it does, or cannot be what was meant."""


def place_of(rule: Rule) -> str:
    """The rule's name, file and line."""
    body: Callable[..., Any] = rule.body
    while isinstance(body, functools.partial):
        body = body.func
    body = inspect.unwrap(body)
    code = getattr(body, "__code__", None)
    if code is None:
        return f"rule {rule.name}"
    file = os.path.relpath(code.co_filename)
    where = f"{code.co_filename if file.startswith(os.pardir) else file}:{code.co_firstlineno}"
    return f"rule {rule.name} ({where})"


def check(
    step: Transition,
    all_variables: Iterable[Variable],
    words: Sequence[Word],
    pc: str,
    labels: type[enum.IntEnum],
) -> None:
    """Raise `RuleError` if a rule does not say what it does."""
    try:
        _words_are_known(step, words)
        for word in words:
            _is_declared(step, word)
        _reads_no_history(step, {item.name for item in all_variables if item.history})
        _stands_somewhere(step, pc, labels)
    except RuleError as error:
        raise RuleError(f"{place_of(step.rule)}: {error}") from None


# Shared words


def _words_are_known(step: Transition, words: Sequence[Word]) -> None:
    known = {word.path for word in words}
    for item in step.operations:
        if item.kind in TOUCHES and item.name not in known:
            raise RuleError(
                f"{item.kind.value}s {item.name}, which is no word of the protocol; declared are "
                f"{', '.join(sorted(known)) or 'none'}; add it to the words of the Protocol"
            )


def _is_declared(step: Transition, word: Word) -> None:
    for name in word.variables():
        for read in _read_at(step, name):
            _must_be_declared(step, word, name, read, "reads", (Kind.LOAD,))
        for index in _written_at(step, name):
            _must_be_declared(step, word, name, index, "changes", (Kind.STORE, Kind.ALLOCATE))
    if word.pending and step.rule.party is not Party.MEMORY:
        for index in _written_at(step, f"{word.ring}.{word.pending}"):
            _must_be_declared(step, word, f"{word.ring}.{word.pending}", index, "changes",
                              (Kind.STORE,))  # fmt: skip


def _must_be_declared(
    step: Transition, word: Word, name: str, index: Term | None, does: str, kinds: tuple[Kind, ...]
) -> None:
    declared = [
        item.slot for item in step.operations if item.kind in kinds and item.name == word.path
    ]
    if index is not None and any(slot is index for slot in declared):
        return
    call = f"s.{TOUCHES[kinds[0]]}({word.path}, slot, ...)"
    if not declared:
        raise RuleError(
            f"{does} {name}, which holds the shared word {word.path}, in silence; write {call} "
            "instead"
        )
    raise RuleError(
        f"{does} {name} at {index!r}, and declares slot {', '.join(map(repr, declared))} of the "
        f"shared word {word.path}; write {call} for that slot"
    )


def _parts(step: Transition) -> Iterator[Term]:
    yield from (guard.condition for guard in step.guards)
    yield from step.updates.values()


def _nodes(roots: Iterable[Term]) -> Iterator[Term]:
    seen: set[Term] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.arguments)


def _read_at(step: Transition, name: str) -> Iterator[Term]:
    """The indices at which a step reads a variable."""
    for node in _nodes(_parts(step)):
        if node.operation == "select" and _root(node.arguments[0]) == name:
            yield node.arguments[1]


def _root(array: Term) -> str:
    while array.operation == "store":
        array = array.arguments[0]
    return array.name if array.operation == "symbol" else ""


def _written_at(step: Transition, name: str) -> Iterator[Term | None]:
    """The indices at which a step changes a variable; None: everywhere."""
    term = step.updates.get(name)
    while term is not None and term.operation != "symbol":
        if term.operation != "store":
            yield None
            return
        yield term.arguments[1]
        term = term.arguments[0]


# History


def _reads_no_history(step: Transition, history: set[str]) -> None:
    def read(terms: Iterable[Term]) -> set[str]:
        return {item.name for term in terms for item in variables(term)} & history

    for guard in step.guards:
        if found := read([guard.condition]):
            raise RuleError(
                f"reads history to decide whether it may happen: {', '.join(sorted(found))}; "
                "let it read what the host or the device knows, or declare the variable without "
                "history=True"
            )
    for name, term in step.updates.items():
        if name not in history and (found := read([term])):
            raise RuleError(
                f"reads history to change {name}: {', '.join(sorted(found))}; let it read what the "
                "host or the device knows, or declare the variable without history=True"
            )


# Program counters


def stands_at(step: Transition, pc: str) -> frozenset[int] | None:
    """The program counters at which a thread takes the step, by its guards; None: at any.

    The thread is the rule's parameter `t`. Empty if the guards contradict each other.
    """
    if not any(item.name == THREAD.name for item in step.rule.parameters):
        return None
    array = symbol(pc, Sort.NUMBER_ARRAY)
    thread = parameter_symbol(THREAD)
    possible: frozenset[int] | None = None
    for guard in step.guards:
        for part in conjuncts(guard.condition):
            values = _values(part, array, thread)
            if values is not None:
                possible = values if possible is None else possible & values
    return possible


def _values(part: Term, array: Term, thread: Number) -> frozenset[int] | None:
    """The values of the thread's program counter for which a condition can hold."""
    if part.operation == "or":
        found = [_values(item, array, thread) for item in part.arguments]
        if any(item is None for item in found):
            return None
        return frozenset().union(*(item for item in found if item is not None))
    if part.operation == "and":
        known = [item for item in (_values(one, array, thread) for one in part.arguments)
                 if item is not None]  # fmt: skip
        return frozenset.intersection(*known) if known else None
    if part.operation == "equal":
        one, two = part.arguments
        for left, right in ((one, two), (two, one)):
            is_pc = left.operation == "select" and left.arguments[0] is array
            if is_pc and left.arguments[1] is thread and right.operation == "constant":
                return frozenset({right.value})
    return None


def _stands_somewhere(step: Transition, pc: str, labels: type[enum.IntEnum]) -> None:
    if stands_at(step, pc) != frozenset():
        return
    demanded = []
    thread, array = parameter_symbol(THREAD), symbol(pc, Sort.NUMBER_ARRAY)
    for guard in step.guards:
        for part in conjuncts(guard.condition):
            values = _values(part, array, thread)
            if values:
                demanded.append(" or ".join(labels(value).name for value in sorted(values)))
    raise RuleError(
        f"stands at two program counters: {' and '.join(dict.fromkeys(demanded))}; a thread is at "
        "one at a time, so write a rule for each"
    )
