"""How an obligation is decided.

An obligation is decided by showing that its negation contradicts the invariant. The invariant is
assumed first where the question mentions an index, then also where those assumptions do; assuming
more is only ever tried because assuming less did not suffice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any, Final

import attrs

from engine.claims import Invariant
from engine.induction import Instantiator
from engine.obligations import Catalogue, Obligation, Verdict
from engine.question import Question
from engine.smt import Arithmetic
from engine.smt import script as write_script
from engine.solvers import Answer, ask, essential
from engine.terms import Bool, Or
from engine.theory import Theory

__all__ = ["ROUNDS", "answer_of", "discharge", "script"]

ROUNDS: Final = (1, 2, 3)
"""How often the indices that assumed instances mention are assumed in turn, try by try."""
AT_ONCE: Final = 8
"""How many conjuncts a solver is asked about in one query where more would be too many for it."""
RESULTS: Final = {
    Answer.UNSATISFIABLE: "proved",
    Answer.SATISFIABLE: "refuted",
    Answer.UNKNOWN: "unknown",
}
"""What an answer to the negation of an obligation says of it."""


def discharge(
    known: Catalogue,
    obligation: Obligation,
    *,
    solver: str = "z3",
    seed: int = 0,
    ring_size: int | None = None,
) -> Verdict:
    """Decide an obligation. A refuted one names the conjuncts that do not follow.

    Raises:
        KeyError: no obligation has this id.
        SolverError: the solver failed.
    """
    start = time.perf_counter()
    entry = known.entries[obligation.id]
    if entry.witness is not None:
        detail = entry.witness()
        return Verdict("refuted" if detail else "proved", time.perf_counter() - start, detail)
    if entry.text:
        answer = ask(solver, entry.text, seed)
        return Verdict(RESULTS[answer], time.perf_counter() - start)
    decider = _Decider(
        known.theory, Arithmetic(obligation.arithmetic), ring_size, solver=solver, seed=seed
    )
    if entry.together and solver == "z3":
        seconds = _decide_together(known, known.group(entry.id), decider)
        if seconds is not None:
            return Verdict("proved", seconds)
    assert entry.question is not None
    question = entry.question()
    answer = decider.decide(question)
    if answer is Answer.UNSATISFIABLE:
        return Verdict("proved", time.perf_counter() - start)
    broken = [
        name
        for name, claim in question.parts
        if len(question.parts) == 1
        or decider.decide(attrs.evolve(question, parts=((name, claim),)))
        is not Answer.UNSATISFIABLE
    ]
    return Verdict(RESULTS[answer], time.perf_counter() - start, ", ".join(broken))


def answer_of(
    theory: Theory, question: Question, arithmetic: Arithmetic, rounds: tuple[int, ...] = ROUNDS
) -> Answer:
    """What Z3 says of the negation of a question about a theory: unsatisfiable means proved."""
    return _Decider(theory, arithmetic, None).decide(question, rounds)


def script(known: Catalogue, obligation: Obligation, *, ring_size: int | None = None) -> str:
    """The SMT-LIB text of an obligation: unsatisfiable means proved.

    A vacuity check is a run, not a question; its text says so and is trivially unsatisfiable.
    """
    entry = known.entries[obligation.id]
    if entry.text:
        return f"; {obligation.id}\n; {obligation.meaning}\n; unsat: proved\n{entry.text}"
    if entry.question is None:
        return f"; {obligation.id}: decided by a run of the specification, not by a solver\n"
    comment = f"{obligation.id} ({obligation.arithmetic})\n{obligation.meaning}\nunsat: proved"
    decider = _Decider(known.theory, Arithmetic(obligation.arithmetic), ring_size)
    (text,) = decider.scripts(entry.question(), comment, rounds=(2,))
    return text


@attrs.frozen
class _Decider:
    """Decides questions about a theory, in one arithmetic and by one solver."""

    theory: Theory
    arithmetic: Arithmetic
    ring_size: int | None
    solver: str = "z3"
    seed: int = 0

    def decide(self, question: Question, rounds: tuple[int, ...] = ROUNDS) -> Answer:
        """Whether the negation contradicts the invariant (unsatisfiable: proved)."""
        if all(claim.operation == "constant" and claim.value for _, claim in question.parts):
            return Answer.UNSATISFIABLE
        if self.solver == "cvc5" and len(question.parts) > AT_ONCE:
            return self._decide_in_parts(question)
        answer = Answer.UNKNOWN
        for text in self.scripts(question, rounds=rounds):
            asked = text if self.solver == "z3" else essential(text, self.seed)
            answer = ask(self.solver, asked, self.seed)
            if answer is Answer.UNSATISFIABLE:
                break
            if answer is Answer.UNKNOWN and len(question.parts) > AT_ONCE:
                # Too much at once: what is asked of a few at a time may still be decided.
                return self._decide_in_parts(question)
        return answer

    def _decide_in_parts(self, question: Question) -> Answer:
        """Decide a question with many conjuncts a few of them at a time."""
        for first in range(0, len(question.parts), AT_ONCE):
            some = question.parts[first : first + AT_ONCE]
            answer = self.decide(attrs.evolve(question, parts=some))
            if answer is not Answer.UNSATISFIABLE:
                return answer
        return Answer.UNSATISFIABLE

    def scripts(
        self, question: Question, comment: str = "", rounds: tuple[int, ...] = ROUNDS
    ) -> Iterator[str]:
        """The question as SMT-LIB text, with more and more of the invariant assumed."""
        negation = Or(*(~claim for _, claim in question.parts))
        asked = [*question.given, negation]
        if question.invariants is None:
            yield self._write(question, asked, comment)
            return
        symbols = self.theory.protocol.symbols
        for depth in rounds:
            assumed = _instantiator(symbols, question.invariants, depth).hypotheses(asked)
            yield self._write(question, [*assumed, *asked], comment)

    def _write(self, question: Question, terms: list[Bool], comment: str) -> str:
        return write_script(
            self.arithmetic,
            [*self._sizes(), *terms],
            ring_size=self.ring_size,
            bits=question.bits,
            machine=self.theory.protocol.machine,
            comment=comment,
        )

    def _sizes(self) -> list[Bool]:
        """What is assumed of sizes, and in machine arithmetic of how much is outstanding."""
        symbols = self.theory.protocol.symbols
        bounds = list(self.theory.bounds(symbols))
        if self.arithmetic is Arithmetic.MACHINE:
            most = self.theory.protocol.machine.modulus // 2
            bounds += [number < most for number in self.theory.outstanding(symbols)]
        return bounds


@functools.cache
def _instantiator(symbols: Any, invariants: tuple[Invariant, ...], rounds: int) -> Instantiator:
    return Instantiator(symbols, invariants, rounds)


def _decide_together(known: Catalogue, group: str, decider: _Decider) -> float | None:
    """Seconds for each member if all of a group are proved by one query, else None."""
    key = (group, decider)
    if key not in known.decided:
        known.decided[key] = _ask_together(known, group, decider)
    return known.decided[key]


def _ask_together(known: Catalogue, group: str, decider: _Decider) -> float | None:
    start = time.perf_counter()
    members = known.groups[group]
    questions = [question() for name in members if (question := known.entries[name].question)]
    together = attrs.evolve(
        questions[0], parts=tuple(part for question in questions for part in question.parts)
    )
    if decider.decide(together, rounds=ROUNDS[:1]) is Answer.UNSATISFIABLE:
        return (time.perf_counter() - start) / len(members)
    return None
