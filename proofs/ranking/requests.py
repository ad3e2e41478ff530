"""Requests: each is executed, and its completion reaches the driver."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Process, Promise, position
from engine.terms import TRUE, And, Bool, If, Number, constant
from model.device_spec import running
from model.ring_spec import COMMAND, TRANSMIT, RingOperations
from model.state import Stage, State
from model.thread_spec import holder
from proofs.ranking.handlers import EVENT, call_cases, call_of_handler, will_look
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import ENGINE, ORDER, RECEIVE_ENGINE, part_of_round, rounds_left
from proofs.ranking.stores import bell_cases, bell_held_up, bell_slot, slot_pending

__all__ = ["REQUESTS", "working"]


def working(ops: RingOperations, s: State) -> Bool:
    """The card serves the ring."""
    ring = ops.ring(s)
    on = And(ring.live, running(s))
    return on & s.card.started & ~s.card.stopping if ops is TRANSMIT else on


def with_card(ops: RingOperations, s: State, n: Number) -> Bool:
    """The card has still to return request n."""
    ring = ops.ring(s)
    return ring.prod - n <= ring.prod - ring.dev


def next_doorbell_arrived(ops: RingOperations, s: State) -> Bool:
    """The doorbell of the request that the card must serve next has reached it."""
    ring = ops.ring(s)
    return ring.prod - ring.doorbells_arrived < ring.prod - ring.dev


def _rest_of_transmit_engine(s: State) -> Number:
    """How much the transmit engine may still do after a STOP was fetched, with the present slot."""
    looking = s.tx.stage == Stage.LOOK
    vain = looking & ~s.tx.owner[s.tx.dev_i]
    return If(
        s.tx.dev != s.tx.prod,
        position(s.tx.stage, ENGINE) + If(vain, 2, 0),
        If(looking, 1, 0),
    )


def _request(ops: RingOperations) -> Promise:
    def premise(s: State, n: Number) -> Bool:
        """Every request handed over completes and the driver learns of it, or the card fails."""
        ring = ops.ring(s)
        return And(
            working(ops, s),
            constant(0) <= n - ring.cons,
            n - ring.cons < ring.prod - ring.cons,
        )

    def goal(s: State, n: Number) -> Bool:
        return ~premise(s, n)

    def rank(s: State, n: Number) -> tuple[Number, ...]:
        ring = ops.ring(s)
        card = with_card(ops, s, n)
        arrived = next_doorbell_arrived(ops, s)
        unrung = ring.prod - ring.doorbells_posted
        rings = unrung != 0
        none_posted = ring.doorbells_arrived == ring.doorbells_posted
        unannounced = card & ~arrived
        hand = card & arrived
        stopping = hand & (ring.stage == Stage.STOPPING) if ops is COMMAND else ~TRUE
        look = will_look(ops, s)
        return (
            If(card, 1, 0),
            If(card, n - ring.dev, n - ring.cons),
            If(unannounced, ring.dev + 1 - ring.doorbells_arrived, 0),
            If(unannounced & rings & none_posted, 1, 0),
            If(unannounced & ~none_posted & bell_held_up(ops, s),
               slot_pending(ops, s, bell_slot(ops, s)), 0),
            If(hand, position(ring.stage, ENGINE), 0),
            If(stopping, s.tx.prod - s.tx.dev, 0),
            If(stopping, _rest_of_transmit_engine(s), 0),
            If(stopping, position(s.rx.stage, RECEIVE_ENGINE), 0),
            If(card | look, 0, call_of_handler(s, ring.event)),
            If(~card & look, position(s.threads.pc[EVENT], ORDER), 0),
            If(~card & look, rounds_left(s, EVENT), 0),
            If(~card & look, part_of_round(s, EVENT), 0),
        )  # fmt: skip

    def cases(s: State, n: Number) -> list[Case]:
        ring = ops.ring(s)
        card = with_card(ops, s, n)
        arrived = next_doorbell_arrived(ops, s)
        unannounced = card & ~arrived
        hand = card & arrived
        listed = [
            *bell_cases(ops, s, unannounced),
            Case("doorbell issued", unannounced, lock(holder(s))),
        ]
        if ops is COMMAND:
            stopping = hand & (ring.stage == Stage.STOPPING)
            listed += [
                Case("transmit engine rests", stopping & (s.tx.stage != Stage.IDLE),
                     Process("tx.engine")),
                Case("receive engine rests", stopping & (s.rx.stage != Stage.IDLE),
                     Process("rx.engine")),
            ]  # fmt: skip
        listed.append(Case("engine", hand, Process(f"{ops.name}.engine")))
        listed.append(Case("handler takes", will_look(ops, s), thread(EVENT)))
        return [*listed, *call_cases(s, ops.name, ring.event)]

    return Promise(
        name=f"{ops.name}-request",
        property="requests-complete",
        parameters=("n",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
        example={"n": f"{ops.name}.cons"},
    )


REQUESTS: Final = {ops.name: _request(ops) for ops in (TRANSMIT, COMMAND)}
