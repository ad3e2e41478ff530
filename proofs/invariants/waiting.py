"""Waiting: queues of callers, events that announce something, and nobody who sleeps in vain."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, within
from engine.terms import And, Bool, Implies, Number, Or, constant
from model.properties import (
    announced,
    completion_waits,
    failure_polled,
    failure_seen,
    first_reader_acts,
    life_sleeper,
    packet_waits_for_taker,
    precise_readiness,
    readers_move_on,
    request_sleeper,
)
from model.ring_spec import (
    COMMAND,
    RECEIVE,
    TRANSMIT,
    QueueOperations,
    RingOperations,
    call_must_end,
    nobody_in_line,
)
from model.state import EVENT_THREAD, Label, Result, State
from model.thread_spec import at, holder, lock_is_held
from model.words import SCAN
from proofs.invariants.takeover import once_reset

__all__ = ["BOOK", "LINES"]

LINES: Final = InvariantBook(TRANSMIT, COMMAND, RECEIVE)
BOOK: Final = InvariantBook(TRANSMIT, COMMAND)


# Queues of callers


@LINES.for_each_ring("waiters")
def line_counters(ops: QueueOperations, s: State) -> Bool:
    """The place whose turn it is exists and was not given up, except while somebody moves on."""
    queue = ops.waiters(s)
    return And(
        constant(0) <= queue.next - queue.head,
        Implies(
            queue.cancelled[queue.head] & ~nobody_in_line(queue),
            lock_is_held(s) & at(s, holder(s), *ops.leaving),
        ),
    )


@LINES.for_each_ring("queue-place", "thread")
def line_place(ops: QueueOperations, s: State, t: Number) -> Bool:
    """Each caller that waits for a slot or a packet has a place of its own in the queue."""
    queue = ops.waiters(s)
    place = s.threads.queue_position[t]
    return Implies(
        at(s, t, *ops.in_line),
        And(
            within(place, queue.head, queue.next - queue.head),
            queue.waiter[place] == t,
            ~queue.cancelled[place],
        ),
    )


@LINES.for_each_ring("queue-member", "counter")
def line_member(ops: QueueOperations, s: State, j: Number) -> Bool:
    """Each place in the queue that was not given up belongs to a caller."""
    queue = ops.waiters(s)
    t = queue.waiter[j]
    return Implies(
        within(j, queue.head, queue.next - queue.head) & ~queue.cancelled[j],
        And(
            at(s, t, *ops.in_line),
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
    """A packet that waits is announced, or the handler will find it, or a reader in line will look.

    Whoever found no packet, by a load that came too early, will be called again.
    """
    ring = s.rx
    event = constant(EVENT_THREAD)
    announced = ring.due | ring.event | at(s, event, Label.READ_EVENTS)
    ahead = at(s, holder(s), Label.RX_HEADER)
    missed = ring.owner_speculated & ring.speculated_owner & (~ahead | (ring.dev != ring.cons + 1))
    known = Or(
        announced,
        ring.ready,
        at(s, event, *SCAN),
        readers_move_on(s),
        first_reader_acts(s),
    )
    return Implies(packet_waits_for_taker(s), And(known, Implies(missed, announced)))


@BOOK.invariant("rx.readable")
def readable(s: State) -> Bool:
    """The card is readable only while a packet waits for anybody, or while readers must end."""
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
    """No reader sleeps unwoken on a card that failed or is being closed.

    Pollers of such a card are told, and so those who leave the line need not tell them.
    """
    return And(
        Implies(
            at(s, t, Label.RX_OWNER) & s.threads.asleep[t],
            ~s.threads.nonblocking[t] & (s.threads.wake_rx[t] | ~call_must_end(s, t)),
        ),
        Implies(at(s, t, *RECEIVE.in_line) & call_must_end(s, t), s.rx.ready),
        Implies(
            at(s, t, Label.RX_CANCEL) & (s.threads.result[t] != Result.EINTR),
            (s.threads.ticket[t] == s.lock.serving) & ~s.threads.asleep[t],
        ),
    )


BOOK.invariant("life.sleeper", "thread")(life_sleeper)
