"""The waits of a caller end: for its turn and for its completion."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Promise, Relies
from engine.terms import TRUE, Bool, If, Number, constant, ring_size
from model.device_spec import running
from model.ring_spec import COMMAND, TRANSMIT, RingOperations, call_must_end
from model.state import Flags, State
from model.thread_spec import at, holder
from proofs.ranking.handlers import FATAL_KNOWN
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import batch
from proofs.ranking.requests import REQUESTS

__all__ = ["TURN", "WAIT"]


def woken(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t sleeps and was woken."""
    return s.threads.asleep[t] & ops.woken(s)[t]


def _turn(ops: RingOperations) -> Promise:
    def premise(s: State, t: Number) -> Bool:
        """Every caller in the queue gets a slot in its turn, or is told that it cannot."""
        return at(s, t, ops.turn)

    def goal(s: State, t: Number) -> Bool:
        return ~at(s, t, ops.turn)

    def parts(s: State, t: Number) -> tuple[Bool, Bool, Bool, Bool, Number]:
        queue = ops.ring(s).waiters
        ends = call_must_end(s, t)
        failing = ~ends & (s.card.flags != Flags.CLEAR)
        waits = ~ends & ~failing
        head = queue.waiter[queue.head]
        first = waits & ~queue.cancelled[queue.head] & at(s, head, ops.turn)
        full = first & (ops.ring(s).prod - ops.ring(s).cons == ring_size())
        return ends, failing, waits, full, head

    def rank(s: State, t: Number) -> tuple[Number, ...]:
        ends, failing, waits, full, head = parts(s, t)
        queue = ops.ring(s).waiters
        first = waits & ~full & ~queue.cancelled[queue.head] & at(s, head, ops.turn)
        return (
            If(waits, 2, If(failing, 1, 0)),
            If(ends & s.threads.asleep[t], 1, 0),
            If(waits, s.threads.queue_position[t] - queue.head, 0),
            If(waits & ~queue.cancelled[queue.head], batch(s, head), 0)
            if ops is TRANSMIT
            else constant(0),
            If(full, 1, 0),
            If(
                first,
                If(s.threads.asleep[head], If(woken(ops, s, head), 4, 5), 3),
                If(waits & ~full & ~queue.cancelled[queue.head], 1, 0),
            ),
        )

    def cases(s: State, t: Number) -> list[Case]:
        ends, failing, _, full, head = parts(s, t)
        ring = ops.ring(s)
        gone = ring.waiters.cancelled[ring.waiters.head]
        first = at(s, head, ops.turn)
        return [
            Case("woken to end", ends & s.threads.asleep[t], thread(t)),
            Case("told to end", ends, lock(t)),
            Case("failure becomes known", failing, Relies(FATAL_KNOWN, ())),
            Case("queue moves on", gone, lock(holder(s))),
            Case("first leaves the queue", ~first, lock(head)),
            Case("ring is full", full, Relies(REQUESTS[ops.name], (ring.cons,))),
            Case("first wakes", woken(ops, s, head), thread(head)),
            Case("first is woken", s.threads.asleep[head], lock(holder(s))),
            Case("first claims the slot", TRUE, lock(head)),
        ]

    return Promise(
        name=f"{ops.name}-turn",
        property="bounded-bypass",
        parameters=("t",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
    )


def _wait(ops: RingOperations) -> Promise:
    def premise(s: State, t: Number) -> Bool:
        """Every caller that waits for a completion gets it, or is told of the failure."""
        return at(s, t, ops.wait)

    def goal(s: State, t: Number) -> Bool:
        return ~at(s, t, ops.wait)

    def rank(s: State, t: Number) -> tuple[Number, ...]:
        over = s.threads.completed[t] | call_must_end(s, t)
        return (
            If(over, 0, If(running(s), 2, 1)),
            If(over & s.threads.asleep[t], 1, 0),
        )

    def cases(s: State, t: Number) -> list[Case]:
        over = s.threads.completed[t] | call_must_end(s, t)
        request = Relies(REQUESTS[ops.name], (s.threads.request[t],))
        return [
            Case("woken", over & s.threads.asleep[t], thread(t)),
            Case("returns", over, lock(t)),
            Case("request completes", running(s), request),
            Case("failure becomes known", TRUE, Relies(FATAL_KNOWN, ())),
        ]

    return Promise(
        name=f"{ops.name}-wait",
        property="requests-complete",
        parameters=("t",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
    )


TURN: Final = {ops.name: _turn(ops) for ops in (TRANSMIT, COMMAND)}
WAIT: Final = {ops.name: _wait(ops) for ops in (TRANSMIT, COMMAND)}
