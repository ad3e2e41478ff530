"""The memory of rings: freed when it is not in use, initialised before it is."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, slot_exists
from engine.terms import And, Bool, Implies, Number, Or
from model.driver_spec import rx_pending, tx_pending
from model.ring_spec import TRANSMIT
from model.state import Label, Life, State
from proofs.invariants.phases import at_step
from proofs.invariants.requests import words_pending

__all__ = ["BOOK"]

BOOK: Final = InvariantBook()


@BOOK.invariant("memory.exists", "slot")
def memory_exists(s: State, k: Number) -> Bool:
    """Rings in use exist, and no store is on its way to memory that was freed."""
    legal = slot_exists(k)
    return And(
        Implies(legal & s.tx.live, s.tx.exists[k]),
        Implies(legal & s.rx.live, s.rx.exists[k]),
        Implies(legal & tx_pending(s, k), s.tx.exists[k]),
        Implies(legal & rx_pending(s, k), s.rx.exists[k]),
    )


@BOOK.invariant("memory.free", "slot")
def memory_free(s: State, k: Number) -> Bool:
    """Freed slots are free: no buffer, no store on its way, no reader."""
    driver = s.driver
    c = driver.cursor
    freed = Or(
        (driver.life == Life.CLOSED) & ~driver.needs_reset,
        at_step(s, Label.CLOSED) & ~driver.needs_reset,
        at_step(s, Label.FREE) & (k < c),
        at_step(s, Label.INIT_TX) & (c <= k),
        at_step(s, Label.INIT_POINTER, Label.INIT_RX) & (c < k),
    )
    receive_freed = freed | at_step(s, Label.INIT_POINTER) & (c <= k)
    legal = slot_exists(k)
    return And(
        Implies(legal & freed, ~s.tx.exists[k] & ~tx_pending(s, k)),
        Implies(legal & receive_freed, ~s.rx.exists[k] & ~rx_pending(s, k)),
    )


@BOOK.invariant("memory.initialised", "slot")
def memory_initialised(s: State, k: Number) -> Bool:
    """Slots that were initialised: transmit slots are the host's, receive slots the card's."""
    c = s.driver.cursor
    all_done = at_step(s, Label.INIT_FENCE, Label.BASE)
    transmit = Or(
        all_done,
        at_step(s, Label.INIT_TX) & (k < c),
        at_step(s, Label.INIT_POINTER, Label.INIT_RX) & (k <= c),
    )
    receive = all_done | at_step(s, Label.INIT_TX, Label.INIT_POINTER, Label.INIT_RX) & (k < c)
    pointer = receive | at_step(s, Label.INIT_RX) & (k == c)
    fenced = at_step(s, Label.BASE) | at_step(s, Label.INIT_FENCE) & (k < c)
    legal = slot_exists(k)
    tx, rx = s.tx, s.rx
    return And(
        Implies(
            legal & transmit,
            And(
                tx.exists[k],
                ~tx.owner_new[k],
                tx.owner_pending[k] | ~tx.owner[k],
                ~words_pending(TRANSMIT, s, k),
            ),
        ),
        Implies(
            legal & pointer,
            And(
                rx.exists[k],
                ~rx.held[k],
                rx.pointer_new[k] == k,
                rx.pointer_pending[k] | (rx.pointer[k] == k),
            ),
        ),
        Implies(
            legal & receive,
            And(
                rx.owner_new[k],
                rx.owner_pending[k] | rx.owner[k] & ~rx.pointer_pending[k],
            ),
        ),
        Implies(legal & fenced, ~tx_pending(s, k) & ~rx_pending(s, k)),
    )


@BOOK.invariant("memory.command-ring", "slot")
def command_ring_initialised(s: State, k: Number) -> Bool:
    """Slots of the command ring that were initialised are the host's, and no old store is left."""
    c = s.driver.cursor
    done = at_step(s, Label.CMD_FENCE, Label.CMD_BASE) | at_step(s, Label.CMD_INIT) & (k < c)
    fenced = at_step(s, Label.CMD_BASE) | at_step(s, Label.CMD_FENCE) & (k < c)
    setting_up = at_step(s, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE)
    untouched = ~s.cmd.live & ~setting_up | at_step(s, Label.CMD_INIT) & (c <= k)
    legal = slot_exists(k)
    return And(
        Implies(legal & untouched, ~s.cmd.owner_pending[k] & ~s.cmd.fields_pending[k]),
        Implies(
            legal & done,
            And(
                ~s.cmd.owner_new[k],
                s.cmd.owner_pending[k] | ~s.cmd.owner[k],
                ~s.cmd.fields_pending[k],
            ),
        ),
        Implies(legal & fenced, ~s.cmd.owner_pending[k]),
    )
