"""The card at the request rings: its two engines, its answers and its filters."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, slot_exists
from engine.terms import And, Bool, If, Implies, Number, one_of, wrap
from model.device_spec import running
from model.state import Command, Result, Stage, State
from proofs.invariants.requests import finished
from proofs.invariants.takeover import once_reset

__all__ = ["BOOK"]

BOOK: Final = InvariantBook()


@BOOK.invariant("tx.engine")
@once_reset
def transmit_engine(s: State) -> Bool:
    """The transmit engine works on a slot of the card's, and reads what belongs together."""
    ring, stage = s.tx, s.tx.stage
    slot = ring.dev_i
    busy = one_of(
        stage,
        (Stage.FETCH, Stage.READ_FIRST_WORD, Stage.READ_LAST_WORD, Stage.SEND, Stage.WRITE_OWNER),
    )
    fetched = busy & (stage != Stage.FETCH)
    head_read = one_of(stage, (Stage.READ_LAST_WORD, Stage.SEND, Stage.WRITE_OWNER))
    tail_read = one_of(stage, (Stage.SEND, Stage.WRITE_OWNER))
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, s.card.started),
        Implies(busy, And(ring.dev != ring.prod, ring.owner[slot])),
        Implies(fetched, (ring.seen_fields == ring.dev) & (ring.seen_zero == ring.zero[slot])),
        Implies(one_of(stage, (Stage.READ_FIRST_WORD, Stage.READ_LAST_WORD)), ~ring.seen_zero),
        Implies(head_read & ~ring.seen_zero, ring.seen_first_word == ring.dev),
        Implies(tail_read & ~ring.seen_zero, ring.seen_last_word == ring.dev),
        Implies(ring.live, ring.sent == If(stage == Stage.WRITE_OWNER, ring.dev + 1, ring.dev)),
    )


@BOOK.invariant("cmd.engine")
@once_reset
def command_engine(s: State) -> Bool:
    """The command engine works on a slot of the card's, and executes what was asked."""
    ring, stage = s.cmd, s.cmd.stage
    slot = ring.dev_i
    fetched = one_of(stage, (Stage.EXECUTE, Stage.STOPPING, Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    busy = fetched | (stage == Stage.FETCH)
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, ring.live),
        Implies(busy, And(ring.dev != ring.prod, ring.owner[slot])),
        Implies(
            fetched,
            And(
                ring.seen_fields == ring.dev,
                ring.seen_kind == ring.kind_new[slot],
                ring.seen_key == ring.key_new[slot],
            ),
        ),
        Implies(
            one_of(stage, (Stage.STOPPING, Stage.WRITE_STATUS, Stage.WRITE_OWNER)),
            ring.computed_status != Result.NONE,
        ),
        Implies(
            stage == Stage.WRITE_OWNER,
            (ring.status_sequence[slot] == ring.dev) & (ring.status[slot] == ring.computed_status),
        ),
        Implies(running(s), s.card.stopping == (stage == Stage.STOPPING)),
        Implies(s.card.stopping, s.card.started),
        Implies(stage == Stage.STOPPING, ring.seen_kind == Command.STOP),
        Implies(s.card.started, s.tx.live & s.rx.live & s.cmd.live & s.tx.based & s.rx.based),
    )


@BOOK.invariant("cmd.codes", "slot")
def command_codes(s: State, k: Number) -> Bool:
    """A returned command carries an answer."""
    return Implies(
        And(s.cmd.live, slot_exists(k), wrap(k, s.cmd.cons_i) < finished(s.cmd)),
        s.cmd.status[k] != Result.NONE,
    )


@BOOK.invariant("card.filters", "key")
@once_reset
def card_filters(s: State, key: Number) -> Bool:
    """The filter table is what the commands submitted make of it."""
    return And(
        s.card.filters[key] == s.card.asked[key],
        s.card.filter_count == s.card.asked_count,
    )
