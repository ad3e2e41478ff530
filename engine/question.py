"""What an obligation asks of a solver, before any arithmetic is chosen.

A question is a list of claims, of which each must follow from what is given and from the invariant.
An `Entry` is a question with a name: what a kind of obligation contributes to the catalogue
(`engine.obligations`).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from engine.answers import Answers
from engine.claims import Invariant
from engine.smt import Arithmetic
from engine.spare import Spare
from engine.terms import Bool

__all__ = ["BOTH", "INVARIANT", "Circumstances", "Entry", "Question", "follows"]

INVARIANT: Final = "invariant"
"""The property that the invariant is one."""
BOTH: Final = (Arithmetic.INTEGER, Arithmetic.MACHINE)


@attrs.frozen(eq=False)
class Question:
    """What an obligation asks: does `claim` follow? `parts` are its named conjuncts.

    Attributes:
        given: What may be assumed besides the invariant.
        parts: The claims, by name; all must follow.
        invariants: The conjuncts that may be assumed; None for none (the claim is absolute).
        bits: Ask in bit vectors (the question is about the bits of a word).
    """

    given: tuple[Bool, ...]
    parts: tuple[tuple[str, Bool], ...]
    invariants: tuple[Invariant, ...] | None
    bits: bool = False


def follows(
    name: str, invariants: Sequence[Invariant], claim: Callable[..., Bool], *arguments: Any
) -> Callable[[], Question]:
    """Makes the question whether a claim follows from the invariant, once somebody asks.

    The claim is what `claim` makes of `arguments`; `name` is what it is called if it does not.
    """
    return lambda: Question((), ((name, claim(*arguments)),), tuple(invariants))


@attrs.frozen(eq=False)
class Circumstances:
    """Under which circumstances an obligation that is no question to a solver is decided.

    Attributes:
        ring_size: One of a fixed size, or None for every size.
        seed: The solvers' seed.
        answers: What is proved already; None to ask everything anew.
        spare: Processors that may be used besides this one.
        solver: Who must say that what is shown follows.
    """

    ring_size: int | None = None
    seed: int = 0
    answers: Answers | None = None
    spare: Spare | None = None
    solver: str = "z3"


@attrs.frozen(eq=False)
class Entry:
    """An obligation without its arithmetic, and how it is decided.

    Attributes:
        id: Its name.
        property: The property that it belongs to.
        kind: safety, liveness, deadlock, vacuity, lemma or code.
        meaning: What is asked, in one line.
        question: Makes the question; None for what a run decides, or what `text` asks.
        witness: Looks for a run; an empty text if there is one, else what is missing.
        arithmetics: The arithmetics in which it is asked.
        together: Entries with the same text here share most of what is assumed: they are decided
            some dozen at a time. Each by itself where it is empty.
        stands_on: The properties without which the answer means nothing: what it assumes.
        text: What is asked, as SMT-LIB text, where it is about no state of the protocol.
        basis: Gives the digest of all that the outcome of `witness` depends on; None to have it
            run every time.
        decide: Decides it otherwise: gives result, detail, and whether an earlier run proved it.
    """

    id: str
    property: str
    kind: str
    meaning: str
    question: Callable[[], Question] | None
    witness: Callable[[], str] | None = None
    arithmetics: tuple[Arithmetic, ...] = BOTH
    together: str = ""
    stands_on: tuple[str, ...] = (INVARIANT,)
    text: str = ""
    basis: Callable[[], str] | None = None
    decide: Callable[[Circumstances], tuple[str, str, bool]] | None = None

    @builtins.property
    def topic(self) -> str:
        """What a hint for it is filed under: for the steps of a promise it is one."""
        return self.together or self.id
