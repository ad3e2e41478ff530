"""Loads satisfied early: what a processor read ahead of time is still right when it is used."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook
from engine.terms import And, Bool, If, Implies, Or, constant, next_index
from model.ring_spec import COMMAND, TRANSMIT, RingOperations
from model.state import EVENT_THREAD, Label, Result, State
from model.thread_spec import at, holder, lock_is_held
from model.words import LOOKING, SCAN
from proofs.invariants.requests import finished, outstanding

__all__ = ["BOOK"]

BOOK: Final = InvariantBook(TRANSMIT, COMMAND)


@BOOK.for_each_ring("speculated-owner")
def speculated_owner(ops: RingOperations, s: State) -> Bool:
    """An owner byte loaded early that says HOST is still right when it is used."""
    ring = ops.ring(s)
    window: tuple[Label, ...] = (Label.CMD_SCAN, Label.CMD_RECLAIM)
    if ops is TRANSMIT:
        window = (*window, Label.TX_SCAN, Label.TX_RECLAIM)
    taking = at(s, constant(EVENT_THREAD), ops.reclaim)
    done = If(taking, finished(ring) > 1, finished(ring) != 0)
    return Implies(
        ring.owner_speculated,
        And(
            at(s, constant(EVENT_THREAD), *window),
            ring.live,
            Implies(taking, outstanding(ring) != 1),
            ring.cons != ring.prod,
            Implies(~ring.speculated_owner, done),
        ),
    )


@BOOK.for_each_ring("taking")
def taking_slot(ops: RingOperations, s: State) -> Bool:
    """The handler takes back only what the card has returned."""
    ring = ops.ring(s)
    return Implies(at(s, constant(EVENT_THREAD), ops.reclaim), And(ring.live, finished(ring) != 0))


@BOOK.invariant("cmd.speculated-status")
def status_speculated(s: State) -> Bool:
    """A result loaded early is the command's own."""
    ring = s.cmd
    return Implies(
        ring.status_speculated,
        And(
            at(s, constant(EVENT_THREAD), Label.CMD_RECLAIM),
            ring.speculated_sequence == ring.cons,
            ring.speculated_status != Result.NONE,
        ),
    )


@BOOK.invariant("rx.speculated-owner")
def early_rx_owner(s: State) -> Bool:
    """An owner byte loaded early that says HOST is still right when it is used."""
    ring = s.rx
    ahead = at(s, holder(s), Label.RX_HEADER)
    following = next_index(ring.cons_i)
    packet = If(
        ahead,
        Or(following == ring.cons_i, ring.held[following], ring.dev != ring.cons + 1),
        ring.held[ring.cons_i] | (ring.dev != ring.cons),
    )
    return Implies(
        ring.owner_speculated,
        And(
            lock_is_held(s),
            ring.live,
            at(s, holder(s), *LOOKING, *SCAN),
            Implies(~ring.speculated_owner, packet),
        ),
    )


@BOOK.invariant("rx.speculated-header")
def header_speculated(s: State) -> Bool:
    """A header loaded early is the packet's own."""
    ring = s.rx
    slot = ring.cons_i
    return Implies(
        ring.header_speculated,
        And(
            lock_is_held(s),
            at(s, holder(s), Label.RX_HEADER),
            ring.speculated_sequence == ring.cons,
            s.card.lies | (ring.speculated_length == ring.length[slot]),
        ),
    )
