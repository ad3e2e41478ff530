"""Waiting: queues of callers, events that announce something, and nobody who sleeps in vain."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, within
from engine.terms import And, Bool, Implies, Number, constant
from model.device_spec import running
from model.properties import (
    announced,
    completion_waits,
    failure_polled,
    failure_seen,
    life_sleeper,
    precise_readiness,
    request_sleeper,
)
from model.ring_spec import COMMAND, TRANSMIT, RingOperations, call_must_end
from model.state import EVENT_THREAD, Label, State
from model.thread_spec import at, holder, lock_is_held
from model.words import SCAN
from proofs.invariants.labels import filling
from proofs.invariants.takeover import once_reset

__all__ = ["BOOK"]

BOOK: Final = InvariantBook(TRANSMIT, COMMAND)


# Queues of callers


@BOOK.for_each_ring("waiters")
def line_counters(ops: RingOperations, s: State) -> Bool:
    """The place whose turn it is exists and was not given up, except while somebody moves on."""
    queue = ops.ring(s).waiters
    return And(
        constant(0) <= queue.next - queue.head,
        Implies(
            queue.cancelled[queue.head] & (queue.head != queue.next),
            lock_is_held(s) & at(s, holder(s), ops.leave),
        ),
    )


@BOOK.for_each_ring("queue-place", "thread")
def line_place(ops: RingOperations, s: State, t: Number) -> Bool:
    """Each caller that waits for a slot has a place of its own in the queue."""
    queue = ops.ring(s).waiters
    place = s.threads.queue_position[t]
    return Implies(
        at(s, t, ops.turn, ops.cancel, ops.doorbell, *filling(ops)),
        And(
            within(place, queue.head, queue.next - queue.head),
            queue.waiter[place] == t,
            ~queue.cancelled[place],
        ),
    )


@BOOK.for_each_ring("queue-member", "counter")
def line_member(ops: RingOperations, s: State, j: Number) -> Bool:
    """Each place in the queue that was not given up belongs to a caller."""
    queue = ops.ring(s).waiters
    t = queue.waiter[j]
    return Implies(
        within(j, queue.head, queue.next - queue.head) & ~queue.cancelled[j],
        And(
            at(s, t, ops.turn, ops.cancel, ops.doorbell, *filling(ops)),
            s.threads.queue_position[t] == j,
        ),
    )


# Events and sleeping


@BOOK.for_each_ring("completion-announced")
def completion_announced(ops: RingOperations, s: State) -> Bool:
    """A completion that the driver has not taken is announced, or the handler will still look."""
    return Implies(completion_waits(ops, s), announced(ops, s, ops.ring(s).event))


@BOOK.invariant("rx.delivery-announced")
def delivery_announced(s: State) -> Bool:
    """A packet that waits is announced, or the handler will find it, or readers will look.

    Whoever found no packet, by a load that came too early, will be called again.
    """
    ring = s.rx
    event = constant(EVENT_THREAD)
    announced = ring.due | ring.event | at(s, event, Label.READ_EVENTS)
    ahead = at(s, holder(s), Label.RX_HEADER)
    missed = ring.owner_speculated & ring.speculated_owner & (~ahead | (ring.dev != ring.cons + 1))
    return Implies(
        And(ring.live, running(s), ring.dev != ring.cons),
        And(announced | ring.ready | at(s, event, *SCAN), Implies(missed, announced)),
    )


@BOOK.invariant("rx.readable")
def readable(s: State) -> Bool:
    """The card is readable only while a packet waits, or while readers must end."""
    return precise_readiness(s)


@BOOK.invariant("card.interrupt-raised")
@once_reset
def interrupt_raised(s: State) -> Bool:
    """A pending event bit has its interrupt, or the handler is about to read it."""
    return Implies(
        s.tx.event | s.cmd.event | s.rx.event,
        s.card.raising | s.card.vector0 | at(s, constant(EVENT_THREAD), Label.READ_EVENTS),
    )


@BOOK.invariant("card.fatal-announced")
def fatal_announced(s: State) -> Bool:
    """A fatal error is known to the driver or about to be."""
    return failure_seen(s)


@BOOK.invariant("rx.failure-polled")
def receive_failure_polled(s: State) -> Bool:
    """Pollers of a card that failed are told."""
    return failure_polled(s)


@BOOK.for_each_ring("sleeper", "thread")
def sleeper(ops: RingOperations, s: State, t: Number) -> Bool:
    """Nobody sleeps unwoken although its condition holds; who may not wait does not sleep."""
    may_wait = Implies(at(s, t, ops.turn) & s.threads.asleep[t], ~s.threads.nonblocking[t])
    return And(may_wait, request_sleeper(ops, s, t))


@BOOK.invariant("rx.sleeper", "thread")
def receive_sleeper(s: State, t: Number) -> Bool:
    """No reader sleeps on a card that failed or is being closed."""
    return And(
        Implies(
            at(s, t, Label.RX_OWNER) & s.threads.asleep[t],
            ~s.threads.nonblocking[t] & (s.rx.ready | ~call_must_end(s, t)),
        ),
    )


BOOK.invariant("life.sleeper", "thread")(life_sleeper)
