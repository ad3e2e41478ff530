"""That something will happen under weak fairness: promises, and ranks that fall.

A promise says that wherever its premise holds its goal is reached. The proof names, for each case,
*who helps*: a process that cannot be left for ever with a step that it could take (weak fairness),
or an earlier promise. It is enough to show that

* in every case the helper can act (this is deadlock freedom), and
* no step of anybody raises the rank, a step of the helper lowers it, and what does not lower it
  leaves case and helper as they are,

where the rank is a tuple of natural numbers compared from the left. Earlier promises may help:
where one is named its premise holds and its goal is still open, and when it reaches its goal the
rank must have fallen. The rule is the one of UNITY and of Manna and Pnueli for "leads to" by
well-founded induction; that it is enough is a lemma of its own (`engine.liveness_rule`).
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs

from engine.claims import Invariant
from engine.induction import after
from engine.liveness_rule import LIVENESS_RULE, lemmas
from engine.protocol import Protocol, System
from engine.question import INVARIANT, Entry, follows
from engine.rules import Transition
from engine.terms import (
    FALSE,
    TRUE,
    And,
    Bool,
    If,
    Implies,
    Number,
    Or,
    Sort,
    Term,
    constant,
    substitute,
    symbol,
    variables,
)

__all__ = [
    "Case",
    "Helper",
    "Process",
    "Promise",
    "RelianceError",
    "Relies",
    "can_help",
    "check_order",
    "concerns",
    "count",
    "helper_entry",
    "obligations",
    "parameters_of",
    "position",
    "premise_holds",
    "rank_falls",
    "rank_is_natural",
]

Place = TypeVar("Place", bound=int)


class RelianceError(ValueError):
    """A promise relies on one that it may not rely on; says which, and what to write instead."""


@attrs.frozen(eq=False)
class Process:
    """A weakly fair process helps: all rules whose `fair` is this name, at this index if any."""

    fair: str
    index: Number | None = None


@attrs.frozen(eq=False)
class Relies:
    """An earlier promise helps, for these arguments.

    It stands before the promise that it helps, its premise holds and its goal is open wherever the
    case applies, and it assumes no more (`Promise.without`).
    """

    promise: Promise
    arguments: tuple[Number, ...]


Helper: TypeAlias = Process | Relies


@attrs.frozen(eq=False)
class Case:
    """While `condition` holds (and no earlier case does), `helper` brings the goal nearer."""

    name: str
    condition: Bool
    helper: Helper


@attrs.frozen(eq=False)
class Promise:
    """A "leads to" property and its proof.

    Attributes:
        name: Its name in reports.
        property: The user's property that it serves.
        parameters: What it speaks of: names such as "t" (any thread) and "n" (any request).
        premise, goal, rank, cases: Functions of the state and the parameters.
        without: Rules assumed not to happen, with the reason; the promise is conditional on that.
        example: Where a run is to show that the premise arises: the variable that a parameter is
            taken from. For those left out, every thread, slot or key is tried.
    """

    name: str
    property: str
    parameters: tuple[str, ...]
    premise: Callable[..., Bool]
    goal: Callable[..., Bool]
    rank: Callable[..., tuple[Number, ...]]
    cases: Callable[..., list[Case]]
    without: Mapping[str, str] = attrs.field(factory=dict)
    example: Mapping[str, str] = attrs.field(factory=dict)

    @builtins.property
    def meaning(self) -> str:
        """What is promised, in one line."""
        return (self.premise.__doc__ or "").strip().split("\n")[0]


def count(*conditions: Bool) -> Number:
    """How many of `conditions` hold."""
    total = constant(0)
    for condition in conditions:
        total = total + If(condition, 1, 0)
    return total


def position(value: Number, table: Mapping[Place, int]) -> Number:
    """What `table` says for `value`, a label for instance; 0 for those that it leaves out."""
    result = constant(0)
    for key, place in table.items():
        result = If(value == key, place, result)
    return result


# The questions


def parameters_of(promise: Promise) -> tuple[Number, ...]:
    """The symbols that stand for what the promise speaks of."""
    return tuple(symbol(f"any {name}", Sort.NUMBER) for name in promise.parameters)  # type: ignore[misc]


def premise_holds(protocol: Protocol, promise: Promise) -> Bool:
    """The premise without the goal: where there is something to show."""
    parts = _parts(protocol, promise)
    return parts.premise & ~parts.goal


def open_for(helper: Relies, s: Any) -> Bool:
    """The promise relied on has something to bring about, for these arguments.

    Its premise holds and its goal does not: a goal that is reached already would be reached
    again by nobody, and so bring nothing nearer.
    """
    promise, arguments = helper.promise, helper.arguments
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
    s, arguments = system.protocol.symbols, parameters_of(promise)
    claims = []
    for case, applies in exclusive(promise.cases(s, *arguments)):
        helper = case.helper
        if isinstance(helper, Process):
            claims.append(Implies(applies, able(system, helper)))
        else:
            claims.append(Implies(applies, open_for(helper, s)))
    covered = Or(*(case.condition for case in promise.cases(s, *arguments)))
    return Implies(premise_holds(system.protocol, promise), And(covered, *claims))


def rank_is_natural(protocol: Protocol, promise: Promise) -> Bool:
    """No part of the rank is negative."""
    s, arguments = protocol.symbols, parameters_of(promise)
    parts = (constant(0) <= part for part in promise.rank(s, *arguments))
    return Implies(premise_holds(protocol, promise), And(*parts))


def falls(before: Sequence[Number], later: Sequence[Number]) -> tuple[Bool, Bool]:
    """Whether the rank falls, and whether it stays the same."""
    falling: Bool = FALSE
    equal: Bool = TRUE
    for old, new in zip(before, later, strict=True):
        falling = falling | equal & (new < old)
        equal = equal & (new == old)
    return falling, equal


@attrs.frozen(eq=False)
class _Parts:
    """What a promise says of one state, which is the same for each step that is asked about."""

    premise: Bool
    goal: Bool
    rank: tuple[Number, ...]
    cases: Sequence[tuple[Case, Bool]]


@functools.cache
def _parts(protocol: Protocol, promise: Promise) -> _Parts:
    s, arguments = protocol.symbols, parameters_of(promise)
    return _Parts(
        promise.premise(s, *arguments),
        promise.goal(s, *arguments),
        promise.rank(s, *arguments),
        exclusive(promise.cases(s, *arguments)),
    )


def rank_falls(protocol: Protocol, promise: Promise, step: Transition) -> Bool:
    """What the step must do to the rank, to the case and to its helper."""
    s = protocol.symbols

    def then(claim: Bool) -> Bool:
        return after(step, claim)

    def moved(value: Number) -> Number:
        return after(step, value)

    parts = _parts(protocol, promise)
    falling, equal = falls(parts.rank, [moved(part) for part in parts.rank])
    goal = then(parts.goal)
    premise = then(parts.premise)
    kept = []
    for case, applies in parts.cases:
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
        And(premise_holds(protocol, promise), step.guard),
        goal | premise & (falling | equal & And(*kept)),
    )


def concerns(protocol: Protocol, promise: Promise, step: Transition) -> bool:
    """Whether the step changes what the proof speaks of, or belongs to a helper."""
    names, processes = _speaks_of(protocol, promise)
    return step.rule.fair in processes or not names.isdisjoint(step.updates)


@functools.cache
def _speaks_of(protocol: Protocol, promise: Promise) -> tuple[frozenset[str], frozenset[str]]:
    """The variables that the proof of a promise speaks of, and the fair processes that help."""
    s, parts = protocol.symbols, _parts(protocol, promise)
    terms: list[Term] = [premise_holds(protocol, promise), *parts.rank]
    processes: set[str] = set()
    for case, _ in parts.cases:
        terms.append(case.condition)
        helper = case.helper
        if isinstance(helper, Process):
            processes.add(helper.fair)
            terms += [] if helper.index is None else [helper.index]
        else:
            terms += [*helper.arguments, helper.promise.goal(s, *helper.arguments)]
    names = frozenset(name.name for term in terms for name in variables(term))
    return names, frozenset(processes)


def relied_on(protocol: Protocol, promise: Promise) -> tuple[str, ...]:
    """The properties of the promises that help this one."""
    cases = promise.cases(protocol.symbols, *parameters_of(promise))
    helpers = (case.helper.promise for case in cases if isinstance(case.helper, Relies))
    return tuple(dict.fromkeys(helper.property for helper in helpers))


def check_order(system: System, promises: Sequence[Promise]) -> None:
    """Raise `RelianceError` if a promise relies on one that it may not rely on.

    Two promises that relied on each other would prove nothing. Nor may one rely on a promise that
    holds only if some rules do not happen, unless it says the same of itself. What has to hold in
    each state, that the other one's premise does and its goal does not, is asked in `can_help`.
    """
    s = system.protocol.symbols
    for place, promise in enumerate(promises):
        for case in promise.cases(s, *parameters_of(promise)):
            if isinstance(case.helper, Relies):
                _check_reliance(promise, case, case.helper, promises[:place], promises)


def _check_reliance(
    promise: Promise,
    case: Case,
    helper: Relies,
    earlier: Sequence[Promise],
    promises: Sequence[Promise],
) -> None:
    other = helper.promise
    where = f"promise {promise.name} (case {case.name!r})"
    if other is promise:
        raise RelianceError(
            f"{where} relies on itself, which proves nothing; "
            "name a process, or a promise that stands before it"
        )
    if all(other is not item for item in promises):
        raise RelianceError(
            f"{where} relies on {other.name}, which is not among the promises to be proved; "
            f"write {other.name} before {promise.name}"
        )
    if all(other is not item for item in earlier):
        raise RelianceError(
            f"{where} relies on {other.name}, which stands after it; "
            f"write {other.name} before {promise.name}, unless that relies on this one in turn: "
            "promises that rely on each other prove nothing"
        )
    if len(helper.arguments) != len(other.parameters):
        raise RelianceError(
            f"{where} relies on {other.name} for {len(helper.arguments)} arguments; "
            f"write one for each of ({', '.join(other.parameters)})"
        )
    more = [name for name in other.without if name not in promise.without]
    if more:
        raise RelianceError(
            f"{where} relies on {other.name}, which assumes that there is no {', '.join(more)}; "
            f"write the same in `without` of {promise.name}"
        )


def helper_entry(system: System, promise: Promise, invariants: Sequence[Invariant]) -> Entry:
    """Of a promise: somebody can help."""
    return Entry(
        f"promise/{promise.name}/helper", promise.property, "deadlock",
        f"somebody can help: {promise.meaning}",
        follows("helper", invariants, can_help, system, promise),
        stands_on=(INVARIANT, LIVENESS_RULE, *relied_on(system.protocol, promise)),
    )  # fmt: skip


def obligations(
    system: System, promises: Sequence[Promise], invariants: Sequence[Invariant]
) -> Iterator[Entry]:
    """Of each promise: somebody can help, ranks are natural numbers, no step raises the rank.

    Besides, once for all promises, that this is enough (`engine.liveness_rule`). Raises
    `RelianceError` if a promise relies on one that it may not rely on.
    """
    check_order(system, promises)
    if promises:
        yield from lemmas()
    protocol = system.protocol
    for promise in promises:
        name = f"promise/{promise.name}"
        stands_on = (INVARIANT, LIVENESS_RULE, *relied_on(protocol, promise))
        yield helper_entry(system, promise, invariants)
        yield Entry(
            f"{name}/rank", promise.property, "liveness",
            f"ranks are natural numbers: {promise.meaning}",
            follows("rank", invariants, rank_is_natural, protocol, promise), stands_on=stands_on,
        )  # fmt: skip
        for step in system.transitions:
            if step.rule.name in promise.without or not concerns(protocol, promise, step):
                continue
            yield Entry(
                f"{name}/step/{step.rule.name}", promise.property, "liveness",
                f"no step back by: {step.rule.meaning}",
                follows("rank", invariants, rank_falls, protocol, promise, step),
                together=name, stands_on=stands_on,
            )  # fmt: skip
