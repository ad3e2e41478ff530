"""From rules and invariants to questions: what must be shown, and what may be assumed.

To show that a rule keeps a conjunct, assume the whole invariant before the step, the rule's guard,
and the conjunct's negation after the step: no state may satisfy all three. An invariant that speaks
of every slot is assumed at the slots that the question itself mentions, and so for threads, tickets
and filters; assuming less can only make a proof fail, never make a wrong one succeed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from engine.claims import Invariant
from engine.rules import Transition, symbolic
from engine.terms import Bool, Number, Sort, Term, TermType, substitute, symbol, variables
from model.state import State

__all__ = [
    "Instantiator",
    "after",
    "fresh",
    "index_terms",
    "preserves",
    "state_symbols",
    "statement",
    "touched",
]

FRESH: Final = {
    "slot": "any slot",
    "thread": "any thread",
    "counter": "any ticket",
    "key": "any filter",
}


def fresh(index: str) -> Number:
    """The symbol that stands for an arbitrary slot, thread, ticket or filter."""
    return symbol(FRESH[index], Sort.NUMBER)  # type: ignore[return-value]


@functools.cache
def state_symbols() -> State:
    """The state in which every variable is its own symbol. Statements only read it."""
    state: State = symbolic(State)
    return state


@functools.cache
def statement(item: Invariant, *indices: Number) -> Bool:
    """The conjunct, of the present state, at `indices`."""
    return item.body(state_symbols(), *indices)


def after(step: Transition, claim: TermType) -> TermType:
    """`claim`, of the state after `step`, as a term over the state before it."""
    changes: dict[Term, Term] = {}
    for name, term in step.updates.items():
        sort = term.sort
        changes[symbol(name, sort)] = term
    return substitute(claim, changes)


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
        invariants: The conjuncts to assume.
        rounds: How often the indices that assumed instances mention are assumed in turn.
    """

    invariants: Sequence[Invariant]
    rounds: int = 2
    _triggers: dict[str, frozenset[str]] = attrs.field(factory=dict, init=False)

    def triggers(self, item: Invariant) -> frozenset[str]:
        """The array variables that the conjunct reads directly at its own index."""
        known = self._triggers.get(item.name)
        if known is None:
            index = fresh(item.indices[0])
            found: dict[str, dict[Term, None]] = {}
            index_terms([statement(item, index)], set(), found)
            known = frozenset(name for name, terms in found.items() if index in terms)
            self._triggers[item.name] = known
        return known

    def hypotheses(self, question: Sequence[Term]) -> list[Bool]:
        """The invariant, at every index that `question` mentions."""
        assumed: dict[Bool, None] = {}
        for item in self.invariants:
            if not item.indices:
                assumed[statement(item)] = None
        seen: set[Term] = set()
        found: dict[str, dict[Term, None]] = {}
        done: set[tuple[str, Term]] = set()
        index_terms(question, seen, found)
        index_terms(assumed, seen, found)
        for _ in range(self.rounds):
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
                    new.append(statement(item, term))
            for claim in new:
                assumed[claim] = None
            index_terms(new, seen, found)
        return list(assumed)


def touched(item: Invariant, step: Transition) -> bool:
    """Whether the step changes a variable that the conjunct reads."""
    claim = statement(item, *map(fresh, item.indices))
    return any(term.name in step.updates for term in variables(claim))


def preserves(step: Transition, item: Invariant) -> tuple[Bool, Bool]:
    """The conjunct before and after the step, at an arbitrary index."""
    claim = statement(item, *map(fresh, item.indices))
    return claim, after(step, claim)
