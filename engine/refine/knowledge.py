"""What is known on one way through the code, and what follows from it.

Known are conditions that hold (because the code went that way, because somebody promises it, or
because it was proved), and at certain moments the invariant: of the state at that moment, at the
indices that a question mentions, as `engine.induction` does. Assuming less can only make a proof
fail.

A question is asked of a solver that keeps what it was told before, along one way. `unknown` means
*not proved* to whoever proves, and *possible* to whoever asks which ways there are. Another solver
can be asked for a second opinion of whatever Z3 excludes, from the same assertions as text.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import z3
from z3 import z3core

from engine.claims import Claim
from engine.induction import fresh, index_terms, statement
from engine.refine.instances import Instances
from engine.refine.values import LOW, low
from engine.refine.z3_terms import Z3Terms
from engine.solvers import OPTIONS, Answer, ask
from engine.terms import (
    And,
    Bool,
    Number,
    Term,
    constant,
    next_index,
    ring_size,
    substitute,
    variables,
)

__all__ = ["Knowledge", "Moment", "base_name"]

LOGIC: Final = "(set-logic QF_UFLIA)\n"
SAID: Final = {
    Answer.UNSATISFIABLE: z3.Z3_L_FALSE,
    Answer.SATISFIABLE: z3.Z3_L_TRUE,
    Answer.UNKNOWN: z3.Z3_L_UNDEF,
}
EFFORT: Final = {"possible": 1_500_000, "follows": 40_000_000}
"""How much work a solver may do for an answer, by its own count."""


def base_name(name: str) -> str:
    """The variable that a symbol is a value of: `tx.prod#12` is one of `tx.prod`."""
    return name.partition("#")[0]


@functools.cache
def _triggers(symbols: Any, item: Claim) -> frozenset[str]:
    """The array variables that a claim reads directly at its own index."""
    index = fresh(item.indices[0])
    found: dict[str, dict[Term, None]] = {}
    index_terms([statement(symbols, item, index)], set(), found)
    return frozenset(name for name, terms in found.items() if index in terms)


@attrs.define(eq=False)
class Moment:
    """A state in which claims are known to hold.

    Attributes:
        symbols: The state of symbols that claims are made of.
        values: What each symbol stands for at this moment.
        claims: What holds of it.
    """

    symbols: Any
    values: Mapping[Term, Term]
    claims: Sequence[Claim]
    _done: dict[Term, Term] = attrs.field(factory=dict)
    _at: dict[tuple[str, Term | None], Bool] = attrs.field(factory=dict)
    _mentions: dict[tuple[str, Term | None], dict[str, dict[Term, None]]] = attrs.field(
        factory=dict
    )
    _places: dict[tuple[Term, Term], tuple[Mapping[Term, Term], dict[Term, Term]]] = attrs.field(
        factory=dict
    )

    @functools.cached_property
    def instances(self) -> Instances:
        """The claims as Z3's own."""
        return Instances(_Z3, self.symbols, self.values)

    def at(self, item: Claim, term: Number | None = None) -> Bool:
        """A claim, at an index if it has one."""
        key = (item.name, term)
        if key not in self._at:
            self._at[key] = substitute(*self._stated(item, term))
        return self._at[key]

    def mentions(self, item: Claim, term: Number | None = None) -> Mapping[str, Iterable[Term]]:
        """By variable: the terms at which a claim reads it, or what it reads was written."""
        key = (item.name, term)
        if key not in self._mentions:
            self._mentions[key] = self._mentioned(item, term)
        return self._mentions[key]

    def _mentioned(self, item: Claim, term: Number | None) -> dict[str, dict[Term, None]]:
        claim, values, done = self._stated(item, term)
        found: dict[str, dict[Term, None]] = {}
        for name, terms in _INDICES.of(claim).items():
            indices = (substitute(index, values, done) for index in terms)
            found.setdefault(name, {}).update(dict.fromkeys(indices))
        for variable in variables(claim):
            for name, terms in _INDICES.of(values.get(variable, variable)).items():
                found.setdefault(name, {}).update(dict.fromkeys(terms))
        return found

    def lows(self, item: Claim, term: Number | None = None) -> list[Term]:
        """The numbers whose low bits a claim speaks of, or what is read in it does."""
        claim, values, done = self._stated(item, term)
        own = _INDICES.of(claim).get(LOW.name, ())
        return [*self._lows, *(substitute(number, values, done) for number in own)]

    @functools.cached_property
    def _lows(self) -> list[Term]:
        each = (_INDICES.of(value).get(LOW.name, ()) for value in self.values.values())
        return list(dict.fromkeys(itertools.chain.from_iterable(each)))

    def _stated(
        self, item: Claim, term: Number | None
    ) -> tuple[Bool, Mapping[Term, Term], dict[Term, Term]]:
        if term is None:
            return statement(self.symbols, item), self.values, self._done
        index = fresh(item.indices[0])
        if (index, term) not in self._places:
            # What several claims say of an index is put into words once.
            self._places[index, term] = {**self.values, index: term}, {}
        return (statement(self.symbols, item, index), *self._places[index, term])


class _Indices:
    """By variable: the terms at which it is read or written in some terms."""

    def __init__(self) -> None:
        self._of: dict[Term, dict[str, tuple[Term, ...]]] = {}

    def of(self, root: Term) -> dict[str, tuple[Term, ...]]:
        if root not in self._of:
            raw: dict[str, dict[Term, None]] = {}
            index_terms([root], set(), raw)
            found: dict[str, dict[Term, None]] = {}
            for name, terms in raw.items():
                found.setdefault(base_name(name), {}).update(terms)
            self._of[root] = {name: tuple(terms) for name, terms in found.items()}
        return self._of[root]


_INDICES: Final = _Indices()
_Z3: Final = Z3Terms()
_Instance = tuple[Moment, Claim, Number | None]


class Knowledge:
    """Everything that is known at the end of a way.

    Attributes:
        facts: The conditions that hold.
        moments: Where the invariant is known.
        questions: How often a solver was asked.
    """

    def __init__(
        self,
        seeds: Any,
        seed: int = 0,
        first: frozenset[str] | None = None,
        size: int | None = None,
        solver: str = "z3",
    ) -> None:
        """Begin with nothing.

        Args:
            seeds: Gives the indices of a kind at which claims are assumed whatever is asked.
            seed: The solver's.
            first: The claims that are assumed at first; all of them if these do not do.
            size: The ring size; None for any.
            solver: Who must say, too, that something follows, or is impossible, after Z3 does.
        """
        self._second = solver if solver != "z3" else ""
        self._size = size
        self._first = first
        self.facts: list[Bool] = []
        self.moments: list[tuple[int, Moment]] = []
        self.questions = 0
        self._seeds = seeds
        self._seed = seed
        self._literal: set[Term] = set()
        self._solver: z3.Solver | None = None
        self._told: set[Term] = set()
        self._lows: set[Term] = set()
        self._instantiated: set[tuple[int, str, Term | None]] = set()
        self._witness: Any = None

    # What is known

    def assume(self, condition: Bool) -> None:
        """From here on `condition` is known."""
        self.facts.append(condition)
        parts = condition.arguments if condition.operation == "and" else (condition,)
        self._literal.update(parts)

    def forget(self) -> None:
        """Nothing is known any more."""
        self.facts, self.moments = [], []
        self._literal, self._told, self._lows, self._instantiated = set(), set(), set(), set()
        self._solver = self._witness = None

    def begin_moment(self, moment: Moment) -> None:
        """From here on the claims of a moment are known."""
        self.moments.append((len(self.facts), moment))

    def simplified(self, condition: Bool) -> Bool:
        """The condition without what is known word for word."""
        parts = condition.arguments if condition.operation == "and" else (condition,)
        left = [part for part in parts if part not in self._literal]
        for part in left:
            if ~part in self._literal:  # type: ignore[operator]
                return constant_false()
            if part.operation == "or" and any(item in self._literal for item in part.arguments):
                left = [item for item in left if item is not part]
        return And(*left)  # type: ignore[arg-type]

    # What follows

    def possible(self, condition: Bool) -> bool:
        """False only if what is known excludes it."""
        if self._witness is not None and self._says(condition):
            return True
        return bool(self._ask([condition], 1, "possible") != z3.unsat)

    def follows(self, claim: Bool, *, at_once: bool = False) -> z3.CheckSatResult:
        """z3.unsat: the claim follows from what is known; `at_once`: without trying hard."""
        answer = z3.unknown
        for rounds in (1,) if at_once else (1, 2):
            answer = self._ask([~claim], rounds, "follows")
            if answer == z3.unsat:
                break
        return answer

    def consistent(self) -> z3.CheckSatResult:
        """z3.sat: some state has all that is known, the invariant at all indices mentioned."""
        return self._ask([], 1, "follows")

    def _says(self, condition: Bool) -> bool:
        """Whether the state that was found last, for a question before, fits this one too."""
        try:
            model = self._witness
            return all(
                z3.is_true(model.eval(_Z3.expression(item), model_completion=True))
                for item in (condition, *self.facts[self._witnessed :])
            )
        except z3.Z3Exception:
            return False

    def _ask(self, extra: Sequence[Bool], rounds: int, effort: str) -> z3.CheckSatResult:
        traced = sys.gettrace()
        sys.settrace(None)  # nothing of the code is run here, and tracing costs
        try:
            return self._answer(extra, rounds, effort)
        finally:
            sys.settrace(traced)

    def _answer(self, extra: Sequence[Bool], rounds: int, effort: str) -> z3.CheckSatResult:
        solver = self._current()
        self._tell(self.facts)
        instances = self._instances(extra, rounds)
        if rounds == 1:
            self._tell_instances(instances)
        solver.push()
        try:
            fresh_lows = self._tell(extra, keep=False)
            if rounds > 1:  # for this question only: so many would slow down all that come
                claims = (moment.at(item, term) for moment, item, term in instances)
                fresh_lows |= self._tell(claims, keep=False)
            self.questions += 1
            solver.set("rlimit", EFFORT[effort])
            answer = solver.check()
            if answer == z3.sat:
                self._witness = solver.model()
                self._witnessed = len(self.facts)
            elif answer == z3.unsat and self._second:
                said = ask(self._second, LOGIC + solver.to_smt2(), self._seed)
                answer = z3.CheckSatResult(SAID[said])
        finally:
            solver.pop()
        self._lows -= fresh_lows
        return answer

    def _current(self) -> z3.Solver:
        if self._solver is None:
            self._solver = z3.SimpleSolver()
            self._solver.set("random_seed", self._seed)
            self._solver.set("arith.solver", OPTIONS["z3"]["arith.solver"])
            if self._size is not None:
                self._solver.add(z3.Int("N") == self._size)
        return self._solver

    def _tell(self, claims: Iterable[Bool], keep: bool = True) -> set[Term]:
        solver = self._current()
        context = solver.ctx.ref()
        new: set[Term] = set()
        for claim in claims:
            if claim in self._told:
                continue
            if keep:
                self._told.add(claim)
            z3core.Z3_solver_assert(context, solver.solver, _Z3(claim))
            new |= self._tell_lows(_INDICES.of(claim).get(LOW.name, ()))
        return new

    def _tell_lows(self, numbers: Iterable[Term]) -> set[Term]:
        """What is known of the low bits of numbers; returns those of which that is new."""
        solver = self._current()
        new = [number for number in dict.fromkeys(numbers) if number not in self._lows]
        self._lows.update(new)
        for number in new:
            for axiom in _low_bits(number):  # type: ignore[arg-type]
                z3core.Z3_solver_assert(solver.ctx.ref(), solver.solver, _Z3(axiom))
        return set(new)

    def _tell_instances(self, instances: Iterable[_Instance]) -> None:
        solver = self._current()
        for moment, item, term in instances:
            if (id(moment), item.name, term) not in self._instantiated:
                self._instantiated.add((id(moment), item.name, term))
                made = moment.instances.of(item, term)
                z3core.Z3_solver_assert(solver.ctx.ref(), solver.solver, made)
                self._tell_lows(moment.lows(item, term))

    def _instances(self, extra: Sequence[Bool], rounds: int) -> list[_Instance]:
        """The invariant of the last moments, at the indices that the question mentions."""
        found: dict[str, dict[Term, None]] = {}
        out: dict[_Instance, None] = {}
        since = self.moments[-1][0] if self.moments else 0
        moments = [
            (moment, [item for item in moment.claims if rounds > 1 or self._comes_first(item)])
            for _, moment in self._recent()
        ]

        def notice(mentioned: Mapping[str, Iterable[Term]]) -> None:
            for name, terms in mentioned.items():
                found.setdefault(name, {}).update(dict.fromkeys(terms))

        for root in (*self.facts[since:], *extra):
            notice(_INDICES.of(root))
        for moment, claims in moments:
            for item in claims:
                if not item.indices:
                    out[moment, item, None] = None
                    notice(moment.mentions(item))
        for _ in range(rounds):
            new: dict[_Instance, None] = {}
            for moment, claims in moments:
                for item in claims:
                    if not item.indices:
                        continue
                    terms = dict.fromkeys(self._seeds(item.indices[0], moment))
                    for name in sorted(_triggers(moment.symbols, item)):
                        terms.update(found.get(name, {}))
                    new.update(dict.fromkeys((moment, item, term) for term in terms))
            for moment, item, term in new:
                if rounds > 1 and (moment, item, term) not in out:
                    notice(_INDICES.of(moment.at(item, term)))
            out.update(new)
        return list(out)

    def _comes_first(self, item: Claim) -> bool:
        return self._first is None or item.name.partition(",")[0] in self._first

    def _recent(self) -> list[tuple[int, Moment]]:
        """The last moment, and the last one at which more than the invariant is known."""
        if not self.moments:
            return []
        most = max(len(moment.claims) for _, moment in self.moments)
        full = [item for item in self.moments if len(item[1].claims) == most]
        return [full[-1]] if full[-1] is self.moments[-1] else [full[-1], self.moments[-1]]


def constant_false() -> Bool:
    """What can never be."""
    from engine.terms import FALSE

    return FALSE


def _low_bits(number: Number) -> list[Bool]:
    """What is used of `x & (N - 1)`: its range, that 0 stays 0, and that one more is the next slot.

    That N is a power of two makes these true; `proofs` asks so in bit vectors.
    """
    bits = low(number)
    claims = [And(constant(0) <= bits, bits < ring_size())]
    if number.operation == "add" and number.arguments[1] is constant(1):
        before: Any = number.arguments[0]
        claims += [
            bits == next_index(low(before)),
            constant(0) <= low(before),
            low(before) < ring_size(),
        ]
    if number.operation == "sub" and number.arguments[1] is constant(1):
        before = number.arguments[0]
        claims += [
            low(before) == next_index(bits),
            constant(0) <= low(before),
            low(before) < ring_size(),
        ]
    if number is constant(0):
        claims.append(bits == 0)
    return claims
