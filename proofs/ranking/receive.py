"""Packets received: each finds a slot, and a reader that waits for it."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Process, Promise, position
from engine.terms import TRUE, And, Bool, If, Number
from model.device_spec import running
from model.properties import readers_move_on
from model.ring_spec import HOLDING, call_must_end
from model.state import Label, Stage, State
from model.thread_spec import at, holder
from proofs.ranking.handlers import EVENT
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import ORDER, RECEIVE_ENGINE, rounds_left

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
    rank=lambda s, t: (position(s.threads.pc[t], ORDER), rounds_left(s, t)),
    cases=lambda s, t: [
        Case("gives back", at(s, t, Label.RX_REPOST), lock(t)),
        Case("copies", TRUE, thread(t)),
    ],
)


def _delivery_premise(s: State, t: Number) -> Bool:
    """A reader in line gets a packet once as many have come as readers stand before it.

    Nobody who came later delays it. Unless the card fails or is closed.
    """
    ahead = s.threads.queue_position[t] - s.rx.waiters.head
    return And(
        s.rx.live,
        running(s),
        ~call_must_end(s, t),
        at(s, t, Label.RX_OWNER),
        ahead < s.rx.dev - s.rx.cons,
    )


def _outdated(s: State) -> Bool:
    """Reader or handler will find no packet, by a load of the next slot's owner that came early."""
    return s.rx.owner_speculated & s.rx.speculated_owner & ~at(s, holder(s), Label.RX_HEADER)


def _delivery_parts(s: State) -> tuple[Bool, Bool, Number]:
    """The first place was given up, its reader has to look, and who that is."""
    queue = s.rx.waiters
    gone, first = queue.cancelled[queue.head], queue.waiter[queue.head]
    return gone, ~gone & at(s, first, Label.RX_OWNER), first


def _delivery_rank(s: State, t: Number) -> tuple[Number, ...]:
    stale = _outdated(s)
    gone, looks, first = _delivery_parts(s)
    asleep, woken = s.threads.asleep[first], s.threads.wake_rx[first]
    unwoken = looks & asleep & ~woken
    active = ~at(s, EVENT, Label.EVENT_IDLE)
    chain = If(active, 1, If(s.rx.event, If(s.card.vector0, 2, 3), 4))
    return (
        s.threads.queue_position[t] - s.rx.waiters.head,
        If(stale, 1, 0),
        If(stale, 0, If(looks, If(unwoken, 4, If(asleep, 3, 2)), If(gone, 0, 1))),
        If(~stale & unwoken, If(readers_move_on(s), 0, chain), 0),
    )


def _delivery_cases(s: State, t: Number) -> list[Case]:
    gone, looks, first = _delivery_parts(s)
    return [
        Case("outdated look ends", _outdated(s), lock(holder(s))),
        Case("line moves on", gone, lock(holder(s))),
        Case("first leaves the line", ~looks, lock(first)),
        Case("first looks", ~s.threads.asleep[first], lock(first)),
        Case("first wakes", s.threads.wake_rx[first], thread(first)),
        Case("first is woken", readers_move_on(s), lock(holder(s))),
        Case("handler runs", ~at(s, EVENT, Label.EVENT_IDLE), lock(EVENT)),
        Case("vector 0 delivered", s.rx.event & s.card.vector0, thread(EVENT)),
        Case("vector 0 raised", s.rx.event, Process("vector0")),
        Case("event bit set", TRUE, Process("rx.event")),
    ]


DELIVERY: Final = Promise(
    name="rx-delivery",
    property="packets-delivered",
    parameters=("t",),
    premise=_delivery_premise,
    goal=lambda s, t: ~_delivery_premise(s, t),
    rank=_delivery_rank,
    cases=_delivery_cases,
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
