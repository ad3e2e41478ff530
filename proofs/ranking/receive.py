"""Packets received: each finds a slot, and a reader that waits for it."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Process, Promise, position
from engine.terms import TRUE, And, Bool, If, Number
from model.device_spec import running
from model.ring_spec import HOLDING, call_must_end
from model.state import Label, Stage, State
from model.thread_spec import at, holder
from proofs.ranking.handlers import EVENT
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import ORDER, RECEIVE_ENGINE

__all__ = ["ACCEPTANCE", "DELIVERY", "HOLD"]


def _hold_premise(s: State, t: Number) -> Bool:
    """A reader that took a packet copies it and gives the slot back."""
    return at(s, t, *HOLDING)


HOLD: Final = Promise(
    name="rx-hold",
    property="packets-delivered",
    parameters=("t",),
    premise=_hold_premise,
    goal=lambda s, t: ~at(s, t, *HOLDING),
    rank=lambda s, t: (position(s.threads.pc[t], ORDER),),
    cases=lambda s, t: [
        Case("gives back", at(s, t, Label.RX_REPOST), lock(t)),
        Case("copies", TRUE, thread(t)),
    ],
)


def _delivery_premise(s: State, n: Number, t: Number) -> Bool:
    """Every packet received reaches a waiting reader, unless the card fails or is closed."""
    return And(
        s.rx.live,
        running(s),
        ~call_must_end(s, t),
        s.rx.cons == n,
        s.rx.dev != n,
        at(s, t, Label.RX_OWNER),
    )


def _outdated(s: State) -> Bool:
    """Reader or handler will find no packet, by a load of the next slot's owner that came early."""
    return s.rx.owner_speculated & s.rx.speculated_owner & ~at(s, holder(s), Label.RX_HEADER)


def _delivery_rank(s: State, n: Number, t: Number) -> tuple[Number, ...]:
    stale = _outdated(s)
    asleep = s.threads.asleep[t]
    unready = asleep & ~s.rx.ready
    active = ~at(s, EVENT, Label.EVENT_IDLE)
    chain = If(active, 1, If(s.rx.event, If(s.card.vector0, 2, 3), 4))
    return (
        If(stale, 1, 0),
        If(stale, 0, If(unready, 2, If(asleep, 1, 0))),
        If(~stale & unready, chain, 0),
    )


def _delivery_cases(s: State, n: Number, t: Number) -> list[Case]:
    stale = _outdated(s)
    asleep = s.threads.asleep[t]
    return [
        Case("outdated look ends", stale, lock(holder(s))),
        Case("reader looks", ~asleep, lock(t)),
        Case("reader wakes", s.rx.ready, thread(t)),
        Case("handler runs", ~at(s, EVENT, Label.EVENT_IDLE), lock(EVENT)),
        Case("vector 0 delivered", s.rx.event & s.card.vector0, thread(EVENT)),
        Case("vector 0 raised", s.rx.event, Process("vector0")),
        Case("event bit set", TRUE, Process("rx.event")),
    ]


DELIVERY: Final = Promise(
    name="rx-delivery",
    property="packets-delivered",
    parameters=("n", "t"),
    premise=_delivery_premise,
    goal=lambda s, n, t: ~_delivery_premise(s, n, t),
    rank=_delivery_rank,
    cases=_delivery_cases,
    example={"n": "rx.cons"},
)


def _acceptance_premise(s: State) -> Bool:
    """A packet that arrives while a slot is the card's fills that slot; else it is dropped."""
    return running(s) & (s.rx.stage != Stage.IDLE)


ACCEPTANCE: Final = Promise(
    name="rx-acceptance",
    property="packets-accepted",
    parameters=(),
    premise=_acceptance_premise,
    goal=lambda s: ~_acceptance_premise(s),
    rank=lambda s: (position(s.rx.stage, RECEIVE_ENGINE),),
    cases=lambda s: [Case("engine", TRUE, Process("rx.engine"))],
)
