"""A failure of the card, and of an open: what the driver knows of it is true."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook
from engine.terms import Bool, Implies
from model.state import Flags, Label, Life, State
from proofs.invariants.phases import AFTER_RESET, at_step

__all__ = ["BOOK"]

BOOK: Final = InvariantBook()


@BOOK.invariant("life.failure")
def life_failure(s: State) -> Bool:
    """A known failure is the card's present state, or a reset is under way or still to be done."""
    error = s.card.flags == Flags.ERROR
    after_reset = at_step(s, *AFTER_RESET)
    return Implies(
        s.driver.failed,
        error | ~after_reset & (s.driver.needs_reset | at_step(s, Label.POLL)),
    )


@BOOK.invariant("life.answer")
def life_answer(s: State) -> Bool:
    """An open that is undone again knows that it failed."""
    undone = (s.driver.life == Life.CLOSING) | at_step(s, Label.CLOSED)
    return Implies(undone & s.driver.opening, s.driver.aborting)
