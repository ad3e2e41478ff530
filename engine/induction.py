"""That the invariant is inductive: true at power-on, and kept by every step.

To show that a rule keeps a conjunct, assume the whole invariant before the step, the rule's guard,
and the conjunct's negation after the step: no state may satisfy all three. An invariant that speaks
of every slot is assumed at the slots that the question itself mentions, and so for threads, tickets
and keys; assuming less can only make a proof fail, never make a wrong one succeed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from engine.claims import Claim, Invariant
from engine.protocol import Protocol, System
from engine.question import INVARIANT, Entry, Question
from engine.rules import Transition
from engine.smt import Arithmetic
from engine.terms import (
    FALSE,
    TRUE,
    Array,
    Bool,
    Number,
    Sort,
    Term,
    TermType,
    constant,
    mark,
    substitute,
    symbol,
    variables,
)
from engine.variables import describe

__all__ = [
    "FRESH",
    "Instantiator",
    "after",
    "anywhere",
    "at_power_on",
    "fresh",
    "initial_question",
    "obligations",
    "statement",
    "step_question",
    "touched",
]

FRESH: Final = {
    "slot": "any slot",
    "thread": "any thread",
    "counter": "any ticket",
    "key": "any key",
}


def fresh(index: str) -> Number:
    """The symbol that stands for an arbitrary slot, thread, ticket or key."""
    return symbol(FRESH[index], Sort.NUMBER)  # type: ignore[return-value]


# Claims before a step, after it, and at power-on


@functools.cache
def statement(s: Any, item: Claim, *indices: Number) -> Bool:
    """The claim, of state `s`, at `indices`."""
    return item.body(s, *indices)


def anywhere(s: Any, item: Claim) -> Bool:
    """The claim, of state `s`, at an arbitrary index."""
    return statement(s, item, *map(fresh, item.indices))


def touched(s: Any, item: Claim, step: Transition) -> bool:
    """Whether the step changes a variable that the claim reads."""
    return any(term.name in step.updates for term in variables(anywhere(s, item)))


def after(step: Transition, claim: TermType) -> TermType:
    """`claim`, of the state after `step`, as a term over the state before it."""
    changes, done = _changes(step)
    return substitute(claim, changes, done)


@functools.lru_cache(maxsize=4)
def _changes(step: Transition) -> tuple[Mapping[Term, Term], dict[Term, Term]]:
    """What the step makes of each variable, and of the terms that were looked at so far."""
    return {symbol(name, term.sort): term for name, term in step.updates.items()}, {}


@functools.cache
def _power_on(protocol: Protocol) -> dict[Term, Term]:
    """What each variable is at power-on, but for those that may be anything."""
    values: dict[Term, Term] = {}
    for variable in describe(protocol.state):
        if variable.name in protocol.arbitrary:
            continue
        flag = variable.sort in (Sort.BOOL, Sort.BOOL_ARRAY)
        value: Term = (TRUE if variable.initial else FALSE) if flag else constant(variable.initial)
        if variable.sort.is_array:
            array: Array[Bool] = Array(symbol(variable.name, variable.sort))
            array.fill(value)  # type: ignore[arg-type]
            for index, own in protocol.start.get(variable.name, {}).items():
                array[index] = own
            value = array.term
        values[variable.term] = value
    return values


def at_power_on(protocol: Protocol, claim: Bool) -> Bool:
    """`claim`, of the state at power-on."""
    return substitute(claim, _power_on(protocol))


# What is assumed


def array_root(array: Term) -> Iterator[str]:
    """The names of the state variables that an array term is made from."""
    stack = [array]
    while stack:
        node = stack.pop()
        if node.operation == "symbol":
            yield node.name
        elif node.operation == "store":
            stack.append(node.arguments[0])
        elif node.operation == "if":
            stack.extend(node.arguments[1:])


def index_terms(roots: Iterable[Term], seen: set[Term], found: dict[str, dict[Term, None]]) -> None:
    """Add to `found`, by array variable, the terms at which `roots` read or write it."""
    stack = [root for root in roots if root not in seen]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.operation in ("select", "store"):
            for name in array_root(node.arguments[0]):
                found.setdefault(name, {})[node.arguments[1]] = None
        stack.extend(node.arguments)


@attrs.define
class Instantiator:
    """Assumes the invariant at the indices that a question mentions.

    Attributes:
        symbols: The state that a question speaks of.
        invariants: The conjuncts to assume.
        rounds: How often the indices that assumed instances mention are assumed in turn.
    """

    symbols: Any
    invariants: Sequence[Invariant]
    rounds: int = 2
    _triggers: dict[str, frozenset[str]] = attrs.field(factory=dict, init=False)
    _last: dict[tuple[Term, ...], dict[Bool, str]] = attrs.field(factory=dict, init=False)

    def triggers(self, item: Invariant) -> frozenset[str]:
        """The array variables that the conjunct reads directly at its own index."""
        known = self._triggers.get(item.name)
        if known is None:
            index = fresh(item.indices[0])
            found: dict[str, dict[Term, None]] = {}
            index_terms([statement(self.symbols, item, index)], set(), found)
            known = frozenset(name for name, terms in found.items() if index in terms)
            self._triggers[item.name] = known
        return known

    def hypotheses(self, question: Sequence[Term]) -> Mapping[Bool, str]:
        """The invariant, at every index that `question` mentions, and what each instance is called.

        The name is made of the conjunct's and of its index, and is the same in every question.
        """
        key = tuple(question)  # asked again at once in the other arithmetic
        if key not in self._last:
            self._last.clear()
            self._last[key] = self._hypotheses(question)
        return self._last[key]

    def _hypotheses(self, question: Sequence[Term]) -> dict[Bool, str]:
        assumed: dict[Bool, str] = {}
        for item in self.invariants:
            if not item.indices:
                assumed[statement(self.symbols, item)] = item.name
        seen: set[Term] = set()
        found: dict[str, dict[Term, None]] = {}
        done: set[tuple[str, Term]] = set()
        index_terms(question, seen, found)
        index_terms(assumed, seen, found)
        for left in reversed(range(self.rounds)):
            new: list[Bool] = []
            for item in self.invariants:
                if not item.indices:
                    continue
                terms: dict[Term, None] = {}
                for name in sorted(self.triggers(item)):
                    terms.update(found.get(name, {}))
                for term in terms:
                    if (item.name, term) in done:
                        continue
                    done.add((item.name, term))
                    claim = statement(self.symbols, item, term)
                    if claim not in assumed:
                        assumed[claim] = f"{item.name}@{mark(term)}"
                        new.append(claim)
            if left:
                index_terms(new, seen, found)
        return assumed


# The questions


def initial_question(protocol: Protocol, item: Invariant) -> Question:
    """The conjunct holds at power-on; about the bits of counters it is asked in bits."""
    claim = anywhere(protocol.symbols, item)
    parts = ((item.name, at_power_on(protocol, claim)),)
    return Question((), parts, None, bits=item.machine_only)


def step_question(
    s: Any,
    step: Transition,
    items: Iterable[Invariant],
    assumed: tuple[Invariant, ...],
    bits: bool = False,
) -> Question:
    """The rule keeps every one of `items`."""
    given: list[Bool] = [step.guard]
    parts = []
    for item in items:
        if not touched(s, item, step):
            continue
        before = anywhere(s, item)
        later = after(step, before)
        if before is not later:
            given.append(before)
            parts.append((item.name, later))
    return Question(tuple(given), tuple(parts), assumed, bits)


def obligations(
    system: System, invariants: Sequence[Invariant], bit_lemmas: Sequence[str]
) -> Iterator[Entry]:
    """The invariant at power-on, and each step of the system: `initial`, `step`, `index`.

    Args:
        system: The system.
        invariants: All conjuncts.
        bit_lemmas: Those that are assumed, by name and in this order, for what is asked in bits.
    """
    s = system.protocol.symbols
    ordinary = tuple(item for item in invariants if not item.machine_only)
    masks = tuple(item for item in invariants if item.machine_only)
    named = {item.name: item for item in ordinary}
    for_bits = (*masks, *(named[name] for name in bit_lemmas))
    for item in ordinary:
        yield Entry(
            f"initial/{item.name}", INVARIANT, "lemma", f"at power-on: {item.meaning}",
            functools.partial(initial_question, system.protocol, item),
        )  # fmt: skip
    for item in masks:
        yield Entry(
            f"initial/{item.name}", "indices", "lemma", f"at power-on: {item.meaning}",
            functools.partial(initial_question, system.protocol, item),
            arithmetics=(Arithmetic.MACHINE,),
        )  # fmt: skip
    for step in system.transitions:
        name = step.rule.name
        if any(touched(s, item, step) for item in ordinary):
            yield Entry(
                f"step/{name}", INVARIANT, "safety", f"kept by: {step.rule.meaning}",
                functools.partial(step_question, s, step, ordinary, ordinary),
            )  # fmt: skip
        if any(touched(s, item, step) for item in masks):
            yield Entry(
                f"index/{name}", "indices", "lemma",
                f"indices stay masked counters: {step.rule.meaning}",
                functools.partial(step_question, s, step, masks, for_bits, bits=True),
                arithmetics=(Arithmetic.MACHINE,),
            )  # fmt: skip
