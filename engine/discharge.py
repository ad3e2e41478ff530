"""How an obligation is decided.

An obligation is decided by showing that its negation contradicts the invariant. The invariant is
assumed first where a hint says that it is needed (`engine.hints`), then where the question mentions
an index, then also where those assumptions do; assuming more is only ever tried because assuming
less did not suffice. What was proved in an earlier run, letter by letter, is not asked again
(`engine.answers`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from engine.answers import Answers, key_of
from engine.claims import Invariant
from engine.hints import Hint
from engine.induction import Instantiator
from engine.obligations import Catalogue, Obligation, Verdict
from engine.question import Circumstances, Entry, Question
from engine.smt import Arithmetic
from engine.smt import script as write_script
from engine.solvers import Answer, ask, core, narrowed
from engine.spare import Spare
from engine.terms import Bool, Or
from engine.theory import Theory

__all__ = ["NOTHING", "ROUNDS", "Past", "answer_of", "discharge", "find_hint", "script"]

ROUNDS: Final = (1, 2, 3)
"""How often the indices that assumed instances mention are assumed in turn, try by try."""
AT_ONCE: Final = 8
"""How many conjuncts a solver is asked about in one query where more were too many for it."""
RESULTS: Final = {
    Answer.UNSATISFIABLE: "proved",
    Answer.SATISFIABLE: "refuted",
    Answer.UNKNOWN: "unknown",
}
"""What an answer to the negation of an obligation says of it."""


@attrs.frozen(eq=False)
class Past:
    """What earlier runs have left, none of which can change a verdict.

    Attributes:
        hints: What proofs needed, by topic (`engine.question.Entry.topic`).
        answers: What is proved already; None to ask everything anew.
    """

    hints: Mapping[str, Hint] = attrs.field(factory=dict)
    answers: Answers | None = None


NOTHING: Final = Past()
"""Everything is asked anew, and as a whole."""


def discharge(
    known: Catalogue,
    obligation: Obligation,
    *,
    solver: str = "z3",
    seed: int = 0,
    ring_size: int | None = None,
    past: Past = NOTHING,
    paired: bool = False,
    spare: Spare | None = None,
) -> Verdict:
    """Decide an obligation. A refuted one names the conjuncts that do not follow.

    `paired`: cvc5 is asked the same after z3, which therefore says at once what it needs.
    `spare`: processors that may be used besides this one.

    Raises:
        KeyError: no obligation has this id.
        SolverError: the solver failed.
    """
    start = time.perf_counter()
    entry = known.entries[obligation.id]
    if entry.witness is not None:
        detail, kept = _run(entry, past.answers)
        return Verdict("refuted" if detail else "proved", time.perf_counter() - start, detail, kept)
    if entry.decide is not None:
        around = Circumstances(ring_size, seed, past.answers, spare, solver)
        result, detail, kept = entry.decide(around)
        return Verdict(result, time.perf_counter() - start, detail, kept)
    decider = _Decider(
        known.theory, Arithmetic(obligation.arithmetic), ring_size, solver, seed, past, paired
    )
    if entry.text:
        found = decider.ask(entry.text, narrow=False)
        return Verdict(RESULTS[found.answer], time.perf_counter() - start, kept=found.kept)
    hint = past.hints.get(entry.topic)
    if entry.together:
        verdict = _decide_together(known, entry, decider, hint)
        if verdict is not None:
            return verdict
    question = known.question(entry.id)
    found = decider.decide(question, hint)
    if found.answer is Answer.UNSATISFIABLE:
        return Verdict("proved", time.perf_counter() - start, kept=found.kept)
    broken = ", ".join(decider.broken(question, hint))
    return Verdict(RESULTS[found.answer], time.perf_counter() - start, broken)


def _run(entry: Entry, answers: Answers | None) -> tuple[str, bool]:
    """What a run lacks, empty if nothing; and whether it is an earlier run that lacked nothing."""
    assert entry.witness is not None
    if answers is None or entry.basis is None:
        return entry.witness(), False
    key = entry.basis()
    if key in answers:
        return "", True
    missing = entry.witness()
    if not missing:
        answers.add(key)
    return missing, False


def answer_of(
    theory: Theory,
    question: Question,
    arithmetic: Arithmetic,
    rounds: tuple[int, ...] = ROUNDS,
    hint: Hint | None = None,
) -> Answer:
    """What Z3 says of the negation of a question about a theory: unsatisfiable means proved.

    Which conjuncts do not follow is of no interest, so all are asked together as deep as need be.
    """
    decider = _Decider(theory, arithmetic, None)
    answer = decider.decide(question, hint, ()).answer
    for depth in rounds:
        if answer is Answer.UNSATISFIABLE:
            break
        answer = decider.decide(question, None, (depth,)).answer
    return answer


def find_hint(known: Catalogue, obligation: Obligation, *, seed: int = 0) -> Hint | None:
    """What the proof of an obligation needs, found by asking it as a whole.

    None if it is not proved, or takes no hypotheses to prove. Where a group is decided at once,
    this is what the group needs.
    """
    entry = known.entries[obligation.id]
    if entry.question is None:
        return None
    decider = _Decider(known.theory, Arithmetic(obligation.arithmetic), None, seed=seed)
    names = known.groups[known.group(entry.id)] if entry.together else [entry.id]
    key = ("hint", *names, decider)
    if key not in known.decided:
        known.decided[key] = decider.needed(_all_of(known, names)) if names[1:] else None
    if known.decided[key] is None:
        return decider.needed(known.question(entry.id))
    found: Hint = known.decided[key]
    return found


def script(known: Catalogue, obligation: Obligation, *, ring_size: int | None = None) -> str:
    """The SMT-LIB text of an obligation: unsatisfiable means proved.

    A vacuity check is a run, not a question; its text says so and is trivially unsatisfiable.
    """
    entry = known.entries[obligation.id]
    if entry.text:
        return f"; {obligation.id}\n; {obligation.meaning}\n; unsat: proved\n{entry.text}"
    if entry.question is None:
        how = "a run of the specification" if entry.decide is None else "runs of the code"
        return f"; {obligation.id}: decided by {how}, not by a question\n"
    comment = f"{obligation.id} ({obligation.arithmetic})\n{obligation.meaning}\nunsat: proved"
    decider = _Decider(known.theory, Arithmetic(obligation.arithmetic), ring_size)
    return decider.script(known.question(entry.id), 2, comment=comment)


@attrs.frozen
class _Found:
    """What came of a question, and whether all that it took was proved in an earlier run."""

    answer: Answer
    kept: bool = False


@attrs.frozen
class _Decider:
    """Decides questions about a theory, in one arithmetic and by one solver.

    Attributes:
        not_proved: What was asked and not proved, by its key: it is asked again when the conjuncts
            are named that do not follow.
    """

    theory: Theory
    arithmetic: Arithmetic
    ring_size: int | None
    solver: str = "z3"
    seed: int = 0
    past: Past = NOTHING
    paired: bool = False
    not_proved: dict[str, Answer] = attrs.field(factory=dict, eq=False)

    def ask(self, text: str, *, narrow: bool = True) -> _Found:
        """What the solver says of a text, or has said in an earlier run.

        `narrow`: each assertion of the text is a line, so it can be cut down.
        """
        answers = self.past.answers
        key = key_of(self.solver, text, self.seed)
        if answers is not None and key in answers:
            return _Found(Answer.UNSATISFIABLE, kept=True)
        if key in self.not_proved:
            return _Found(self.not_proved[key])
        answer = self._said(text, narrow)
        if answer is not Answer.UNSATISFIABLE:
            self.not_proved[key] = answer
        elif answers is not None:
            answers.add(key)
        return _Found(answer)

    def _said(self, text: str, narrow: bool) -> Answer:
        """What the solver says. What z3 does not need takes cvc5 long, so it is left out there."""
        if not narrow or (self.solver == "z3" and not self.paired):
            return ask(self.solver, text, self.seed)
        part = narrowed(text, self.seed)
        if part is None:
            return ask(self.solver, text, self.seed)
        # Who says what z3 needs has refuted the text.
        return Answer.UNSATISFIABLE if self.solver == "z3" else ask("cvc5", part, self.seed)

    def decide(
        self, question: Question, hint: Hint | None, rounds: tuple[int, ...] = ROUNDS
    ) -> _Found:
        """Whether the negation contradicts the invariant (unsatisfiable: proved)."""
        if all(claim.operation == "constant" and claim.value for _, claim in question.parts):
            return _Found(Answer.UNSATISFIABLE)
        if question.invariants is None:
            return self.ask(self.script(question, 0))
        if hint is not None:
            found = self.ask(self.script(question, hint.rounds, hint.needed))
            if found.answer is Answer.UNSATISFIABLE:
                return found
        found = _Found(Answer.UNKNOWN)
        for depth in rounds:
            found = self.ask(self.script(question, depth))
            if found.answer is Answer.UNSATISFIABLE:
                break
            refuted = found.answer is Answer.SATISFIABLE and depth == rounds[-1]
            if len(question.parts) > 1 and not refuted:
                # More is assumed only for the conjuncts that need it, and what is too much for a
                # solver together it may know of a few.
                return self._decide_in_parts(question, hint, rounds)
        return found

    def _decide_in_parts(
        self, question: Question, hint: Hint | None, rounds: tuple[int, ...]
    ) -> _Found:
        """Decide a question a few of its conjuncts at a time."""
        kept = True
        for some in _parts(question):
            found = self.decide(some, hint, rounds)
            if found.answer is not Answer.UNSATISFIABLE:
                return found
            kept = kept and found.kept
        return _Found(Answer.UNSATISFIABLE, kept)

    def broken(self, question: Question, hint: Hint | None) -> list[str]:
        """The conjuncts that do not follow, of a question that is not proved."""
        if len(question.parts) == 1:
            return [question.parts[0][0]]
        return [
            name
            for some in _parts(question)
            if self.decide(some, hint).answer is not Answer.UNSATISFIABLE
            for name in self.broken(some, hint)
        ]

    def needed(self, question: Question) -> Hint | None:
        """A hint for the question; None if it is not proved, or without any hypothesis."""
        for depth in ROUNDS if question.invariants is not None else ():
            needed = self._core(question, depth)
            if needed is not None:
                return Hint(needed, depth)
        return None

    def _core(self, question: Question, rounds: int) -> frozenset[str] | None:
        """The names of the hypotheses that z3 needs; None if they do not do."""
        if question.invariants is None:
            return None
        names = self._hypotheses(question, rounds)
        labels = {claim: f"h{number}" for number, claim in enumerate(names)}
        found = core(self.script(question, rounds, labels=labels), self.seed)
        if found is None:
            return None
        return frozenset(name for claim, name in names.items() if labels[claim] in found)

    def script(
        self,
        question: Question,
        rounds: int,
        needed: frozenset[str] | None = None,
        *,
        comment: str = "",
        labels: Mapping[Bool, str] | None = None,
    ) -> str:
        """The question as SMT-LIB text.

        Args:
            question: What is asked.
            rounds: How often the indices that assumed instances mention are assumed in turn.
            needed: Names of the hypotheses that are assumed; all of them if this is None.
            comment: What the question is, for a reader of the text.
            labels: Names for some of the assertions, by which a solver says what it needs.
        """
        assumed = self._hypotheses(question, rounds) if question.invariants is not None else {}
        return write_script(
            self.arithmetic,
            [
                *self._sizes(),
                *(claim for claim, name in assumed.items() if needed is None or name in needed),
                *_asked(question),
            ],
            ring_size=self.ring_size,
            bits=question.bits,
            machine=self.theory.protocol.machine,
            comment=comment,
            labels=labels,
        )

    def _hypotheses(self, question: Question, rounds: int) -> Mapping[Bool, str]:
        """What may be assumed of the invariant, and what each part of that is called."""
        assert question.invariants is not None
        instances = _instantiator(self.theory.protocol.symbols, question.invariants, rounds)
        return instances.hypotheses(_asked(question))

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


def _parts(question: Question) -> Iterator[Question]:
    """The question, a few of its conjuncts at a time; one at a time if they are few."""
    size = AT_ONCE if len(question.parts) > AT_ONCE else 1
    for first in range(0, len(question.parts), size):
        yield attrs.evolve(question, parts=question.parts[first : first + size])


def _asked(question: Question) -> list[Bool]:
    """What is given, and the negation of what is claimed."""
    return [*question.given, Or(*(~claim for _, claim in question.parts))]


def _together(known: Catalogue, group: str) -> Question:
    """Whether everything holds that the members of a group ask; of the last group, at once."""
    last = known.decided.get("together")
    if last is None or last[0] != group:
        last = known.decided["together"] = group, _all_of(known, known.groups[group])
    question: Question = last[1]
    return question


def _all_of(known: Catalogue, names: Sequence[str]) -> Question:
    """Whether everything holds that these questions ask, which assume the same."""
    questions = [known.question(name) for name in names]
    return attrs.evolve(
        questions[0], parts=tuple(part for question in questions for part in question.parts)
    )


def _decide_together(
    known: Catalogue, entry: Entry, decider: _Decider, hint: Hint | None
) -> Verdict | None:
    """The verdict on each member of a group if one query proves all of them, else None."""
    group = known.group(entry.id)
    key = (group, decider)
    if key not in known.decided:
        start = time.perf_counter()
        found = decider.decide(_together(known, group), hint, ROUNDS[:1])
        seconds = (time.perf_counter() - start) / len(known.groups[group])
        proved = found.answer is Answer.UNSATISFIABLE
        known.decided[key] = Verdict("proved", seconds, kept=found.kept) if proved else None
    verdict: Verdict | None = known.decided[key]
    return verdict
