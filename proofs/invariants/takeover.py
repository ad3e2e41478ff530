"""Taking over a card: before it was reset nothing is known of it, and it accesses nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from engine.claims import InvariantBook
from engine.terms import And, Bool, Implies, Number
from model.state import Label, Life, State
from proofs.invariants.phases import AFTER_RESET, at_step

__all__ = ["BOOK", "once_reset"]

BOOK: Final = InvariantBook()


def once_reset(body: Callable[..., Bool]) -> Callable[..., Bool]:
    """The conjunct, of a card that this driver has reset; of any other card it says nothing."""

    @functools.wraps(body)
    def conjunct(s: State, *indices: Number) -> Bool:
        return Implies(s.card.was_reset, body(s, *indices))

    return conjunct


@BOOK.invariant("life.takeover")
def life_takeover(s: State) -> Bool:
    """The first thing that the driver does to a card is to reset it; then it may access memory."""
    driver, card = s.driver, s.card
    return And(
        Implies(
            ~card.was_reset,
            And(
                ~card.bus_master,
                driver.needs_reset,
                ~s.tx.live,
                ~s.rx.live,
                ~s.cmd.live,
                (driver.life == Life.CLOSED) | at_step(s, Label.RESET),
            ),
        ),
        Implies(s.cmd.live | at_step(s, *AFTER_RESET[1:]), card.bus_master),
    )
