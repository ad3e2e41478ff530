"""Every rule changed mechanically: does anything that is proved notice?

A mutant is the specification with one part of one rule changed: a condition dropped or negated, a
constant off by one (another label, if it is one), the branches of an `If` exchanged, an assignment
or a declared operation left out. What is asked of it are the obligations whose question differs
from that of the specification; the others are the same to the last letter, and proved already. A
mutant of which all are proved *survives*: either the specification says too little there, or the
change means nothing. That it does the same as the rule wherever the invariant holds is asked of a
solver, and proves the latter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from engine import deadlock, induction, leads_to, races, steps
from engine.declarations import RuleError
from engine.discharge import ROUNDS, answer_of
from engine.hints import Hint
from engine.possible import shown
from engine.protocol import System
from engine.question import BOTH, Entry, Question
from engine.rules import Transition
from engine.samples import Samples
from engine.solvers import Answer
from engine.terms import (
    FALSE,
    TRUE,
    And,
    Array,
    Bool,
    Implies,
    Or,
    Sort,
    Term,
    constant,
    substitute,
    symbol,
)
from engine.theory import Theory
from engine.witnesses import Witnesses

__all__ = ["SAME", "Mutant", "changed", "does_the_same", "killer", "mutants"]

SAME: Final = "the same"
"""What is said of a mutant that is one in text only: in no state does it do anything else."""

_ELSEWHERE: Final = ("initial/", "rule/")
"""Obligations that speak of no step."""


@attrs.frozen(eq=False)
class Mutant:
    """One rule, changed in one place.

    Attributes:
        place: What is changed: a guard, an assignment or an operation.
        change: How.
        step: The rule as it is then.
    """

    place: str
    change: str
    step: Transition

    @property
    def name(self) -> str:
        """What it is called, the same in each run."""
        return f"{self.step.rule.name}: {self.place}: {self.change}"

    def within(self, system: System) -> System:
        """The system with this rule in place of its own."""
        own = self.step.rule.name
        steps = (self.step if item.rule.name == own else item for item in system.transitions)
        return attrs.evolve(system, transitions=tuple(steps))


# The changes


def mutants(step: Transition) -> Iterator[Mutant]:
    """Every mutant of a rule. One that is simplified to what the rule was is left out."""
    guards, updates, operations = step.guards, step.updates, step.operations
    for number, guard in enumerate(guards):
        place = f"guard {guard.name or number}"
        rest = guards[:number], guards[number + 1 :]
        yield Mutant(place, "dropped", attrs.evolve(step, guards=(*rest[0], *rest[1])))
        for change, condition in _changes(guard.condition):
            assert isinstance(condition, Bool)
            altered = attrs.evolve(guard, condition=condition)
            yield Mutant(place, change, attrs.evolve(step, guards=(*rest[0], altered, *rest[1])))
    for name, value in updates.items():
        others = {other: term for other, term in updates.items() if other != name}
        yield Mutant(name, "dropped", attrs.evolve(step, updates=others))
        for change, term in _changes(value):
            yield Mutant(name, change, attrs.evolve(step, updates={**updates, name: term}))
    for number, operation in enumerate(operations):
        place = f"{operation.kind.value} {operation.name}".strip()
        rest_of = (*operations[:number], *operations[number + 1 :])
        yield Mutant(f"{place} ({number})", "dropped", attrs.evolve(step, operations=rest_of))


def _changes(root: Term) -> Iterator[tuple[str, Term]]:
    """Each small change of a term, and the term with it; a part that occurs twice changes twice."""
    seen: set[Term] = set()
    for number, node in enumerate(_parts(root)):
        for change, other in _alternatives(node):
            altered = substitute(root, {}, {node: other})
            if altered is not root and altered not in seen:
                seen.add(altered)
                yield f"{change} (part {number})", altered


def _parts(root: Term) -> list[Term]:
    """The parts of a term, itself first."""
    found: dict[Term, None] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(reversed(node.arguments))
    return list(found)


def _alternatives(node: Term) -> Iterator[tuple[str, Term]]:
    """What stands in place of a part of a term."""
    arguments = node.arguments
    match node.operation:
        case "constant" if node.sort is Sort.NUMBER:
            yield f"{node.value} becomes {node.value + 1}", constant(node.value + 1)
        case "constant":
            yield f"{node!r} becomes {not node.value}", FALSE if node.value else TRUE
        case "and" | "or":
            junction = And if node.operation == "and" else Or
            for number in range(len(arguments)):
                rest: list[Bool] = [*arguments[:number], *arguments[number + 1 :]]  # type: ignore[list-item]
                yield f"{node.operation} without its part {number}", junction(*rest)
        case "if":
            condition = arguments[0]
            negated: Bool = ~condition  # type: ignore[operator]
            yield "branches exchanged", substitute(node, {}, {condition: negated})
        case "less":
            left, right = arguments
            yield "less or equal", ~(right < left)  # type: ignore[operator]
        case "store":
            yield "not stored", arguments[0]
    if isinstance(node, Bool) and node.operation in ("select", "symbol", "equal", "less"):
        yield "negated", ~node


# What is asked


def changed(theory: Theory, mutant: Mutant) -> Iterator[tuple[Entry, Question]]:
    """The obligations of a mutant whose question is another one, or that are new.

    Of a question of which the same is given as before, only the parts that are new are asked. What
    speaks of one step is made for that step alone, which is many times faster than making the whole
    catalogue.
    """
    system = theory.specification()
    original = system.named(mutant.step.rule.name)
    moves = mutant.step.guard is not original.guard
    known = _questions(theory, original.rule.name)
    for entry in _about(theory, mutant.within(system), mutant.step, moves):
        assert entry.question is not None
        question = entry.question()
        old = known(entry.id)
        parts = question.parts if old is None else _new_parts(old, question)
        if parts:
            yield entry, attrs.evolve(question, parts=parts)


@functools.lru_cache(maxsize=1)
def _questions(theory: Theory, rule: str) -> Callable[[str], Question | None]:
    """The questions of the specification that may depend on a rule, made when one is asked for."""
    system = theory.specification()
    entries = {entry.id: entry for entry in _about(theory, system, system.named(rule), moves=True)}

    @functools.cache
    def question(name: str) -> Question | None:
        entry = entries.get(name)
        return None if entry is None or entry.question is None else entry.question()

    return question


def _about(theory: Theory, system: System, step: Transition, moves: bool) -> Iterator[Entry]:
    """The obligations that may depend on a step; `moves`: those on who can move are among them."""
    alone = attrs.evolve(system, transitions=(step,))
    assumed, name = theory.ordinary, step.rule.name
    of_one = [
        *induction.obligations(alone, theory.invariants, theory.bit_lemmas),
        *steps.obligations(alone, theory.steps, assumed),
        *races.lifetimes(alone, assumed),
        *leads_to.obligations(alone, theory.promises, assumed),
    ]
    for entry in of_one:
        if not entry.id.startswith(_ELSEWHERE) and not entry.id.endswith(("/helper", "/rank")):
            yield entry
    for entry in races.races(system, assumed):
        if name in entry.id.split("/"):
            yield entry
    if not moves:
        return
    yield from deadlock.obligations(system, theory.undone, theory.movers, assumed)
    for promise in theory.promises:
        yield leads_to.helper_entry(system, promise, assumed)


def _new_parts(old: Question, new: Question) -> tuple[tuple[str, Bool], ...]:
    """What the new question asks and the old one does not. Terms that are alike are one object."""
    given = set(map(id, new.given))
    if any(id(claim) not in given for claim in old.given):
        return new.parts
    known = {id(claim) for _, claim in old.parts}
    return tuple((name, claim) for name, claim in new.parts if id(claim) not in known)


def does_the_same(theory: Theory, mutant: Mutant) -> bool:
    """Whether it is proved that the changed rule and the rule do the same, given the invariant."""
    step, own = mutant.step, theory.specification().named(mutant.step.rule.name)
    if step.operations != own.operations:
        return False
    claims = [("guard", step.guard == own.guard)]
    anywhere: Any = symbol("any index", Sort.NUMBER)
    for name, term in {**own.updates, **step.updates}.items():
        before = symbol(name, term.sort)
        one, two = (each.updates.get(name, before) for each in (own, step))
        if term.sort.is_array:
            one, two = Array(one)[anywhere], Array(two)[anywhere]
        same: Any = one == two
        claims.append((name, Implies(own.guard, same)))
    question = Question((), tuple(claims), theory.ordinary)
    return all(
        answer_of(theory, question, arithmetic) is Answer.UNSATISFIABLE for arithmetic in BOTH
    )


def killer(
    theory: Theory,
    mutant: Mutant,
    samples: Samples,
    *,
    runs: bool = True,
    exact: bool = False,
    hints: Mapping[str, Hint] | None = None,
) -> str:
    """What notices the mutant: an obligation, or the check of declarations.

    SAME if it is none, and "" if nothing notices it.

    Each question is asked in the first arithmetic that it has. That it has a counterexample is
    believed where as much of the invariant is assumed as in the files of `--smt2`; the last try of
    a proof assumes more, takes five times as long as all else, and is made if `exact` is true. What
    proofs of the specification needed (`hints`, by topic) is mostly enough for those of a mutant.
    Random runs in which the changed rule has to happen are made if `runs` is true, or if it may be
    taken in none of the states that the specification reaches in `samples`.
    """
    rounds = ROUNDS if exact else ROUNDS[:2]
    try:
        theory.protocol.check(mutant.step)
    except RuleError:
        return "declarations"
    for entry, question in changed(theory, mutant):
        hint = (hints or {}).get(entry.topic)
        answer = answer_of(theory, question, entry.arithmetics[0], rounds, hint)
        if answer is not Answer.UNSATISFIABLE:
            return entry.id
    if does_the_same(theory, mutant):
        return SAME
    system = mutant.within(theory.specification())
    for item in theory.possible:
        if item.rule == mutant.step.rule.name and not shown(system, samples, item):
            return f"vacuity/possible/{item.rule}/{item.name}"
    name = mutant.step.rule.name
    seldom = runs or not samples.reach(mutant.step, mutant.step.guard)
    if seldom and Witnesses(system, theory.settings).rule(name):
        return f"vacuity/rule/{name}"
    return ""
