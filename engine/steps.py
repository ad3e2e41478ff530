"""Claims about steps: what no single state shows, such as how a call ends and when.

A property of every step is a function of the state before it, of the state after it, and of who
takes it. It is asked of each rule that changes something of which the claim reads the value after
the step (`property/NAME/RULE`), and once of all the others together, after which everything is as
it was (`property/NAME/others`). What may be assumed before a step is the invariant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from engine.claims import ANY, By, Invariant, StepProperty
from engine.declarations import stands_at
from engine.executor import Executor
from engine.induction import fresh
from engine.protocol import Protocol, System
from engine.question import Entry, Question
from engine.rules import THREAD, Choice, Party, Transition, parameter_symbol
from engine.scope import FlatState, Instance
from engine.terms import (
    FALSE,
    Array,
    Bool,
    Number,
    Or,
    Sort,
    Term,
    constant,
    substitute,
    symbol,
    variables,
)
from engine.variables import changed, symbolic

__all__ = ["BadStep", "breaking", "claim", "concerned", "obligations"]

BadStep: TypeAlias = Callable[[FlatState, Instance], bool]
"""Whether a step, taken in a state, breaks a claim."""
LATER: Final = "later: "
RANGES: Final = {"slot": Choice.SLOT, "thread": Choice.THREAD, "key": Choice.KEY}
"""What a claim's index ranges over in a run."""


def claim(protocol: Protocol, item: StepProperty, step: Transition, *indices: Number) -> Bool:
    """What the property says of a step that is taken by this rule."""
    names = (parameter.name for parameter in step.rule.parameters)
    by = By(step.rule.party, dict(zip(names, step.parameters, strict=True)))
    later = changed(protocol.state, step.updates)
    return item.body(protocol.symbols, later, by, *indices)


@functools.cache
def _looks_at(protocol: Protocol, item: StepProperty) -> frozenset[str]:
    """The variables of which the property reads the value after the step."""
    later = symbolic(protocol.state, LATER)
    indices = [fresh(index) for index in item.indices]
    bodies = [item.body(protocol.symbols, later, By(party), *indices) for party in Party]
    read = (term.name for body in bodies for term in variables(body))
    return frozenset(name.removeprefix(LATER) for name in read if name.startswith(LATER))


def concerned(system: System, item: StepProperty) -> Iterator[Transition]:
    """The rules that change something of which the property reads the value after the step."""
    names = _looks_at(system.protocol, item)
    return (step for step in system.transitions if not names.isdisjoint(step.updates))


# In proofs


def _cases(protocol: Protocol, item: StepProperty, step: Transition) -> list[tuple[str, Bool]]:
    """What there is to show of a step, by cases; those that hold by their form are left out.

    A claim about any thread is about the one that takes the step, whose label is known, or about
    another one, of which the step changes little.
    """
    says = claim(protocol, item, step, *map(fresh, item.indices))
    cases = [(item.name, says)]
    if any(one.name == THREAD.name for one in step.rule.parameters):
        taker = parameter_symbol(THREAD)
        known: dict[Term, Term] = {}
        labels = stands_at(step, protocol.pc)
        if labels is not None and len(labels) == 1:
            pc: Array[Number] = Array(symbol(protocol.pc, Sort.NUMBER_ARRAY))
            known[pc[taker]] = constant(*labels)
        if item.indices == ("thread",):
            thread = fresh("thread")
            own = substitute(substitute(says, {thread: taker}), {}, {**known})
            other = _of_another(says, taker, thread)
            same = thread == taker
            cases = [(item.name, own), (f"{item.name}, of another", same | other)]
        else:
            cases = [(item.name, substitute(says, {}, known))]
    return [(name, one) for name, one in cases if one.operation != "constant" or not one.value]


def _of_another(says: Bool, taker: Number, thread: Number) -> Bool:
    """What is said of a thread that is not the one that takes the step."""
    same: dict[Term, Term] = {thread == taker: FALSE}
    stack: list[Term] = [says]
    seen: set[Term] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend(node.arguments)
        if node.operation == "select" and node.arguments[1] is thread:
            array = node.arguments[0]
            while array.operation == "store" and array.arguments[1] is taker:
                array = array.arguments[0]
            same[node] = Array(array)[thread]
    return substitute(says, {}, same)


def _step_question(
    step: Transition, cases: Sequence[tuple[str, Bool]], assumed: tuple[Invariant, ...]
) -> Question:
    return Question((step.guard,), tuple(cases), assumed)


def _still_question(
    protocol: Protocol, item: StepProperty, assumed: tuple[Invariant, ...]
) -> Question:
    s = protocol.symbols
    indices = [fresh(index) for index in item.indices]
    return Question(
        (),
        tuple((party.value, item.body(s, s, By(party), *indices)) for party in Party),
        assumed,
    )


def obligations(
    system: System, properties: Sequence[StepProperty], invariants: Sequence[Invariant]
) -> Iterator[Entry]:
    """Of each property and each rule: a step of the rule is as the property says."""
    protocol, assumed = system.protocol, tuple(invariants)
    for item in properties:
        yield Entry(
            f"property/{item.name}/others", item.name, "safety",
            f"{item.meaning} Steps that change nothing that this is about",
            functools.partial(_still_question, protocol, item, assumed),
        )  # fmt: skip
        for step in concerned(system, item):
            cases = _cases(protocol, item, step)
            if not cases:
                continue
            yield Entry(
                f"property/{item.name}/{step.rule.name}", item.name, "safety",
                f"{item.meaning} By: {step.rule.meaning}",
                functools.partial(_step_question, step, cases, assumed),
            )  # fmt: skip


# In runs


def breaking(executor: Executor, item: StepProperty) -> BadStep:
    """Whether a step of a run breaks the property, at some index of the scope."""
    system = executor.layout.system
    rules = {step.rule.name for step in concerned(system, item)}
    tests: dict[tuple[Any, ...], Callable[[FlatState], bool]] = {}

    def breaks(state: FlatState, step: Instance) -> bool:
        if step.name not in rules:
            return False
        key = (step.name, *step.values)
        if key not in tests:
            tests[key] = executor.compile(_violation(executor, item, step))
        return tests[key](state)

    return breaks


def _violation(executor: Executor, item: StepProperty, step: Instance) -> Bool:
    protocol, scope = executor.layout.system.protocol, executor.scope
    if not item.indices:
        found = [~claim(protocol, item, step.transition)]
    else:
        (index,) = item.indices
        values = map(constant, scope.values(RANGES[index]))
        found = [~claim(protocol, item, step.transition, value) for value in values]
    says = substitute(Or(*found), step.replacing)
    choices = [term for term in variables(says) if term.name.startswith(ANY)]
    return substitute(says, dict.fromkeys(choices, constant(0)))
