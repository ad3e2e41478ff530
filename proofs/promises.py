"""From promises to questions for a solver: helpers can act, ranks fall."""

from __future__ import annotations

from collections.abc import Sequence

from engine.induction import after, state_symbols
from engine.leads_to import Case, Process, Promise
from engine.protocol import System
from engine.rules import Transition
from engine.terms import (
    FALSE,
    TRUE,
    And,
    Bool,
    Implies,
    Number,
    Or,
    Sort,
    Term,
    constant,
    substitute,
    variables,
)
from engine.terms import symbol as make_symbol

__all__ = [
    "can_help",
    "concerns",
    "parameters_of",
    "premise_holds",
    "rank_falls",
    "rank_is_natural",
]


def parameters_of(promise: Promise) -> tuple[Number, ...]:
    """The symbols that stand for what the promise speaks of."""
    return tuple(make_symbol(f"any {name}", Sort.NUMBER) for name in promise.parameters)  # type: ignore[misc]


def premise_holds(promise: Promise) -> Bool:
    """The premise without the goal: where there is something to show."""
    s, arguments = state_symbols(), parameters_of(promise)
    return promise.premise(s, *arguments) & ~promise.goal(s, *arguments)


def exclusive(cases: Sequence[Case]) -> list[tuple[Case, Bool]]:
    """Each case with the condition that it is the first to apply."""
    result: list[tuple[Case, Bool]] = []
    earlier: Bool = FALSE
    for case in cases:
        result.append((case, case.condition & ~earlier))
        earlier = earlier | case.condition
    return result


def able(system: System, process: Process) -> Bool:
    """Some step of the process can be taken."""
    guards = []
    for step in system.transitions:
        if step.rule.fair != process.fair:
            continue
        guard = step.guard
        if process.index is not None:
            own = step.parameters[0]
            guard = substitute(guard, {own: process.index})
        guards.append(guard)
    if not guards:
        raise ValueError(f"no rule belongs to the fair process {process.fair!r}")
    return Or(*guards)


def can_help(system: System, promise: Promise) -> Bool:
    """Wherever the promise has something to show, the helper of the case can act."""
    s, arguments = state_symbols(), parameters_of(promise)
    claims = []
    for case, applies in exclusive(promise.cases(s, *arguments)):
        helper = case.helper
        if isinstance(helper, Process):
            claims.append(Implies(applies, able(system, helper)))
        else:
            premise = helper.promise.premise(s, *helper.arguments)
            claims.append(Implies(applies, premise))
    covered = Or(*(case.condition for case in promise.cases(s, *arguments)))
    return Implies(premise_holds(promise), And(covered, *claims))


def rank_is_natural(promise: Promise) -> Bool:
    """No part of the rank is negative."""
    s, arguments = state_symbols(), parameters_of(promise)
    parts = (constant(0) <= part for part in promise.rank(s, *arguments))
    return Implies(premise_holds(promise), And(*parts))


def falls(before: Sequence[Number], later: Sequence[Number]) -> tuple[Bool, Bool]:
    """Whether the rank falls, and whether it stays the same."""
    falling: Bool = FALSE
    equal: Bool = TRUE
    for old, new in zip(before, later, strict=True):
        falling = falling | equal & (new < old)
        equal = equal & (new == old)
    return falling, equal


def rank_falls(promise: Promise, step: Transition) -> Bool:
    """What the step must do to the rank, to the case and to its helper."""
    s, arguments = state_symbols(), parameters_of(promise)

    def then(claim: Bool) -> Bool:
        return after(step, claim)

    def moved(value: Number) -> Number:
        return after(step, value)

    before = promise.rank(s, *arguments)
    later = [moved(part) for part in before]
    falling, equal = falls(before, later)
    goal = then(promise.goal(s, *arguments))
    premise = then(promise.premise(s, *arguments))
    kept = []
    for case, applies in exclusive(promise.cases(s, *arguments)):
        helper = case.helper
        same = [then(applies)]
        if isinstance(helper, Process):
            if helper.index is not None:
                same.append(moved(helper.index) == helper.index)
            if step.rule.fair == helper.fair:
                mine = TRUE if helper.index is None else step.parameters[0] == helper.index
                same.append(~mine)
        else:
            same += [moved(item) == item for item in helper.arguments]
            same.append(~then(helper.promise.goal(s, *helper.arguments)))
        kept.append(Implies(applies, And(*same)))
    return Implies(
        And(premise_holds(promise), step.guard),
        goal | premise & (falling | equal & And(*kept)),
    )


def concerns(promise: Promise, step: Transition) -> bool:
    """Whether the step changes what the proof speaks of, or belongs to a helper."""
    s, arguments = state_symbols(), parameters_of(promise)
    cases = promise.cases(s, *arguments)
    terms: list[Term] = [premise_holds(promise), *promise.rank(s, *arguments)]
    for case in cases:
        terms.append(case.condition)
        helper = case.helper
        if isinstance(helper, Process):
            if helper.fair == step.rule.fair:
                return True
            terms += [] if helper.index is None else [helper.index]
        else:
            terms += [*helper.arguments, helper.promise.goal(s, *helper.arguments)]
    return any(name.name in step.updates for term in terms for name in variables(term))
