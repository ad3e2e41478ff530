"""Every call ends, except a read on a card that works and has no packet."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Promise, Relies, position
from engine.terms import TRUE, Bool, If, Number
from model.ring_spec import HOLDING, call_must_end
from model.state import Label, State
from model.thread_spec import at
from proofs.invariants import inside_call
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import ORDER, batch
from proofs.ranking.receive import HOLD
from proofs.ranking.waits import TURN, WAIT

__all__ = ["CALL", "in_call", "waits_for_packet"]


def waits_for_packet(s: State, t: Number) -> Bool:
    """A reader waits for a packet on a card that works: the one wait that may last."""
    return at(s, t, Label.RX_OWNER) & ~call_must_end(s, t)


def in_call(s: State, t: Number) -> Bool:
    """Thread t is in a call to send, to receive or to change filters."""
    entering = at(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER)
    return entering | inside_call(s, t)


def _call_premise(s: State, t: Number) -> Bool:
    """Every call to send, receive or change filters ends, except a read that waits for a packet."""
    return in_call(s, t) & ~waits_for_packet(s, t)


def _call_cases(s: State, t: Number) -> list[Case]:
    return [
        Case("turn to send", at(s, t, Label.TX_TURN), Relies(TURN["tx"], (t,))),
        Case("turn to command", at(s, t, Label.CMD_TURN), Relies(TURN["cmd"], (t,))),
        Case("packet sent", at(s, t, Label.TX_WAIT), Relies(WAIT["tx"], (t,))),
        Case("command executed", at(s, t, Label.CMD_WAIT), Relies(WAIT["cmd"], (t,))),
        Case("slot given back", at(s, t, *HOLDING), Relies(HOLD, (t,))),
        Case("woken to end", s.threads.asleep[t], thread(t)),
        Case("goes on", TRUE, lock(t)),
    ]


def _stage_of_call(s: State, t: Number) -> Number:
    label = s.threads.pc[t]
    return If(at(s, t, *HOLDING), ORDER[Label.RX_FIRST_WORD], position(label, ORDER))


CALL: Final = Promise(
    name="call",
    property="calls-end",
    parameters=("t",),
    premise=_call_premise,
    goal=lambda s, t: ~_call_premise(s, t),
    rank=lambda s, t: (
        batch(s, t),
        _stage_of_call(s, t),
        If(at(s, t, Label.RX_OWNER) & s.threads.asleep[t], 1, 0),
    ),
    cases=_call_cases,
)
