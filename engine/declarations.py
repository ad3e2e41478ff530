"""Whether a rule says what it does: its terms are compared with what it declares.

A specification is only as good as what it does not leave out. So each rule is checked when it is
lifted, and a mistake is told with the rule, its file and line, and what to write instead:

* it touches a shared word, or a store that is not visible yet, and declares no load or store of it,
  or of another slot;
* the host changes memory past its store buffer;
* it changes a variable that goes with an operation, such as the lock's, and does not declare that;
* it reads history to decide something;
* it stands at two program counters, or at none although the program of a thread takes it.

What a body says wrongly by itself (a word that the protocol does not have, say) is told where it
says it, by `engine.rules`.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from engine import places
from engine.rules import THREAD, Kind, Party, Rule, Transition, parameter_symbol
from engine.terms import Number, Sort, Term, conjuncts, symbol, variables
from engine.variables import Variable
from engine.words import Word

__all__ = ["RuleError", "at_fault", "check", "place_of", "stands_at", "suggested"]

CALLS: Final = {Kind.LOAD: "load", Kind.STORE: "store", Kind.ALLOCATE: "allocate"}


class RuleError(ValueError):
    """A rule does not say what it does, or cannot be what was meant."""


def place_of(rule: Rule, error: BaseException | None = None) -> str:
    """The rule's name, file and line: the line that led to an error, if one is given."""
    line = places.of_error(error) if error is not None else ""
    line = line or places.of_body(rule.body) or rule.place
    return f"rule {rule.name} ({line})" if line else f"rule {rule.name}"


def suggested(name: str, known: Iterable[str]) -> str:
    """`"; did you mean a?"`, or "" if nothing known is close to a name.

    Dotted names of one group are compared by their last part.
    """
    group, _, own = name.rpartition(".")
    alike = {item.rpartition(".")[2]: item for item in known if item.rpartition(".")[0] == group}
    if not alike:
        alike, own = {item: item for item in known}, name
    close = difflib.get_close_matches(own, list(alike), n=1)
    return f"; did you mean {alike[close[0]]}?" if close else ""


def at_fault(rule: Rule, error: Exception, names: Iterable[str]) -> RuleError:
    """What is wrong with a rule whose body raised an error. `names`: the state's variables."""
    what = str(error)
    if missing := re.fullmatch(r"'(\w+)' object has no attribute '(\w+)'", what):
        known = (name.rpartition(".")[2] for name in names)
        what = f"{missing[1]} has no {missing[2]}{suggested(missing[2], known)}"
    return RuleError(f"{place_of(rule, error)}: {what}")


def check(
    step: Transition,
    all_variables: Iterable[Variable],
    words: Sequence[Word],
    pc: str,
    labels: type[enum.IntEnum],
    declared: Mapping[str, tuple[Kind, ...]],
) -> None:
    """Raise `RuleError` if a rule does not say what it does."""
    try:
        _declares_what_it_touches(step, words)
        _declares_what_it_changes(step, declared)
        _reads_no_history(step, {item.name for item in all_variables if item.history})
        _stands_somewhere(step, pc, labels)
    except RuleError as error:
        raise RuleError(f"{place_of(step.rule)}: {error}") from None


# Shared words


def _declares_what_it_touches(step: Transition, words: Sequence[Word]) -> None:
    conditions = [guard.condition for guard in step.guards if not guard.barrier]
    barriers = [guard.condition for guard in step.guards if guard.barrier]
    conditions += [item.when for item in step.operations]
    read = _reads([*conditions, *step.updates.values()])
    awaited = _reads(barriers)
    for word in words:
        for name in word.variables():
            for index in {**read.get(name, {}), **awaited.get(name, {})}:
                _must_be_declared(step, word, index, f"reads {name}", (Kind.LOAD,))
            for place in _written_at(step, name):
                _may_change(step, word, name, place)
        if word.pending and step.rule.party is not Party.MEMORY:
            name = f"{word.ring}.{word.pending}"
            for index in read.get(name, ()):
                _must_be_declared(step, word, index, f"reads {name}", (Kind.LOAD, Kind.STORE))
            for place in _written_at(step, name):
                _must_be_declared(step, word, place, f"changes {name}", (Kind.STORE,))


def _may_change(step: Transition, word: Word, name: str, index: Term | None) -> None:
    kinds = (Kind.STORE, Kind.ALLOCATE)
    _must_be_declared(step, word, index, f"changes {name}", kinds)
    allocated = any(
        item.kind is Kind.ALLOCATE and item.name == word.path for item in step.operations
    )
    if step.rule.party is Party.HOST and not allocated:
        raise RuleError(
            f"changes {name} past the store buffer; write s.store({word.path}, "
            f"{_text(index)}, ...) alone, and let memory make it visible"
        )


def _must_be_declared(
    step: Transition, word: Word, index: Term | None, does: str, kinds: tuple[Kind, ...]
) -> None:
    declared = [
        item.slot for item in step.operations if item.kind in kinds and item.name == word.path
    ]
    if index is not None and any(slot is index for slot in declared):
        return
    call = f"s.{CALLS[kinds[0]]}({word.path}, {_text(index)}, ...)"
    if not declared:
        raise RuleError(
            f"{does}, a part of the shared word {word.path}, in silence; write {call} instead"
        )
    slots = ", ".join(_text(slot) for slot in declared)
    raise RuleError(
        f"{does} at {_text(index)}, and declares slot {slots} of the shared word {word.path}; "
        f"write {call}"
    )


def _text(term: Term | None) -> str:
    """A term as it may have been written."""
    if term is None:
        return "every slot"
    if term.operation == "select":
        array, index = term.arguments
        return f"{_text(array)}[{_text(index)}]"
    return repr(term).replace("?", "")


def _reads(roots: Iterable[Term]) -> dict[str, dict[Term, None]]:
    """The indices at which terms read arrays, by the array's name."""
    found: dict[str, dict[Term, None]] = {}
    seen: set[Term] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.arguments)
            if node.operation == "select":
                array, index = node.arguments
                found.setdefault(_root(array), {})[index] = None
    return found


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


# Locks, and whatever else is both changed and declared


def _declares_what_it_changes(step: Transition, declared: Mapping[str, tuple[Kind, ...]]) -> None:
    kinds = {item.kind for item in step.operations}
    for name, needed in declared.items():
        calls = " or ".join(f"s.{kind.value}s(...)" for kind in needed)
        changes, says = name in step.updates, not kinds.isdisjoint(needed)
        if changes and not says:
            raise RuleError(f"changes {name} in silence; write {calls} too")
        if says and not changes:
            said = " and ".join(kind.value for kind in needed if kind in kinds)
            raise RuleError(f"declares {said}, and does not change {name}")


# History


def _reads_no_history(step: Transition, history: set[str]) -> None:
    def read(terms: Iterable[Term]) -> set[str]:
        return {item.name for term in terms for item in variables(term)} & history

    deciding = [guard.condition for guard in step.guards]
    deciding += [item.when for item in step.operations]
    if found := read(deciding):
        raise RuleError(
            f"reads history to decide what happens: {', '.join(sorted(found))}; let it read what "
            "the host or the device knows, or declare the variable without history=True"
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
    standing = stands_at(step, pc)
    if standing is None:
        _is_in_no_program(step, pc, labels)
    elif not standing:
        demanded = " and ".join(_demanded(step, pc, labels))
        raise RuleError(
            f"stands at two program counters: {demanded}; a thread is at one at a time, so write a "
            "rule for each"
        )


def _demanded(step: Transition, pc: str, labels: type[enum.IntEnum]) -> Iterable[str]:
    """The program counters that each part of the guard asks for, each once."""
    thread, array = parameter_symbol(THREAD), symbol(pc, Sort.NUMBER_ARRAY)
    names = {label.value: label.name for label in labels}
    parts = [part for guard in step.guards for part in conjuncts(guard.condition)]
    found = [values for part in parts if (values := _values(part, array, thread))]
    return dict.fromkeys(
        " or ".join(names.get(value, str(value)) for value in sorted(values)) for values in found
    )


def _is_in_no_program(step: Transition, pc: str, labels: type[enum.IntEnum]) -> None:
    taken = any(item.name == THREAD.name for item in step.rule.parameters)
    if taken and step.rule.party is Party.HOST:
        label = f"{labels.__name__}.{next(iter(labels)).name}"
        raise RuleError(
            f"stands at no program counter, and a thread's program takes it; write "
            f"s.require(s.{pc}[{THREAD.name}] == {label}), or whichever it is"
        )
