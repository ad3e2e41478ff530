"""The request rings: counters, indices, slots, callers and doorbells."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, apart, slot_exists, within
from engine.terms import (
    TRUE,
    And,
    Bool,
    If,
    Implies,
    Number,
    Or,
    constant,
    low_bits,
    next_index,
    ring_size,
    wrap,
)
from model.device_spec import running
from model.ring_spec import COMMAND, TRANSMIT, RingOperations
from model.state import NOBODY, POSTED, Label, RequestRing, Result, Stage, State
from model.thread_spec import at, holder, lock_is_held
from proofs.invariants.labels import filling

__all__ = ["BOOK", "finished", "outstanding", "words_pending"]

BOOK: Final = InvariantBook(TRANSMIT, COMMAND)


# Counters and indices


def outstanding(ring: RequestRing) -> Number:
    """Requests handed over and not taken back."""
    return ring.prod - ring.cons


def finished(ring: RequestRing) -> Number:
    """Requests that the card returned and the driver has not taken back."""
    return ring.dev - ring.cons


def engine_on(ops: RingOperations, s: State) -> Bool:
    """The card may walk the ring: its index follows the counters."""
    return s.card.started & s.card.was_reset if ops is TRANSMIT else s.cmd.live


@BOOK.for_each_ring("counters")
def request_counters(ops: RingOperations, s: State) -> Bool:
    """cons <= dev <= prod <= cons + N, and the indices follow."""
    ring, n = ops.ring(s), ring_size()
    return And(
        constant(0) <= outstanding(ring),
        outstanding(ring) <= n,
        slot_exists(ring.prod_i),
        slot_exists(ring.cons_i),
        apart(ring.prod_i, ring.cons_i, outstanding(ring)),
        Implies(~ring.live, ring.cons == ring.prod),
        Implies(
            ring.live,
            And(
                constant(0) <= finished(ring),
                finished(ring) <= outstanding(ring),
                constant(0) <= ring.prod - ring.dev,
                ring.based if ops is COMMAND else ring.based | s.card.bases_posted,
            ),
        ),
        Implies(
            engine_on(ops, s),
            And(ring.live, slot_exists(ring.dev_i), apart(ring.dev_i, ring.cons_i, finished(ring))),
        ),
    )


@BOOK.for_each_ring("indices-are-masked-counters", machine_only=True)
def request_masks(ops: RingOperations, s: State) -> Bool:
    """Each index is the low bits of its counter since set-up: what a driver computes."""
    ring = ops.ring(s)
    return Implies(
        ring.live,
        And(
            ring.prod_i == low_bits(ring.prod - ring.first),
            ring.cons_i == low_bits(ring.cons - ring.first),
            Implies(engine_on(ops, s), ring.dev_i == low_bits(ring.dev - ring.first)),
        ),
    )


# Slots


def words_pending(ops: RingOperations, s: State, k: Number) -> Bool:
    """Some word of slot k other than the owner byte is still in the store buffer."""
    pending = ops.ring(s).fields_pending[k]
    if ops is TRANSMIT:
        pending = pending | s.tx.first_word_pending[k] | s.tx.last_word_pending[k]
    return pending


def payload_stored(s: State, k: Number, word: str, request: Number) -> Bool:
    """The payload word of slot k is `request`'s, in memory or on the way there."""
    pending, memory = getattr(s.tx, f"{word}_pending"), getattr(s.tx, word)
    stored: Bool = pending[k] | (memory[k] == request)
    return stored


def fields_stored(ops: RingOperations, s: State, k: Number, request: Number) -> Bool:
    """The fields of slot k are `request`'s, in memory or on the way there."""
    ring = ops.ring(s)
    right = ring.fields[k] == request
    if ops is COMMAND:
        right = right & (s.cmd.kind[k] == s.cmd.kind_new[k]) & (s.cmd.key[k] == s.cmd.key_new[k])
    else:
        right = right & (s.tx.zero[k] == s.tx.zero_new[k])
    return ring.fields_pending[k] | right


@BOOK.for_each_ring("slot-returned", "slot")
def slot_returned(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot that the card returned is the host's, and its result is the request's own."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    result = s.cmd.status_sequence[k] == ring.cons + offset if ops is COMMAND else TRUE
    return Implies(
        And(ring.live, slot_exists(k), offset < finished(ring)),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            ~words_pending(ops, s, k),
            ring.sequence[k] == ring.cons + offset,
            result,
        ),
    )


@BOOK.for_each_ring("slot-handed-over", "slot")
def slot_handed_over(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot handed over is the card's as soon as its owner byte is visible, complete by then."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    request = ring.cons + offset
    stored = fields_stored(ops, s, k, request)
    if ops is TRANSMIT:
        stored = stored & (
            s.tx.zero_new[k]
            | payload_stored(s, k, "first_word", request)
            & payload_stored(s, k, "last_word", request)
        )
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            finished(ring) <= offset,
            offset < outstanding(ring),
        ),
        And(
            ring.sequence[k] == request,
            ring.owner_new[k],
            ring.owner_pending[k] != ring.owner[k],
            Implies(ring.owner[k], ~words_pending(ops, s, k)),
            stored,
        ),
    )


@BOOK.for_each_ring("slot-doorbell-arrived", "slot")
def slot_doorbell_arrived(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot whose doorbell reached the card is visibly the card's."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    arrived = ring.prod - ring.doorbells_arrived < outstanding(ring) - offset
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            finished(ring) <= offset,
            offset < outstanding(ring),
            arrived,
        ),
        ~ring.owner_pending[k],
    )


@BOOK.for_each_ring("slot-free", "slot")
def slot_free(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot not handed over is the host's; only the one being filled in has pending stores."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    labels = filling(ops)[1:]
    return Implies(
        And(ring.live, slot_exists(k), outstanding(ring) <= offset),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            Implies(
                words_pending(ops, s, k),
                And(k == ring.prod_i, lock_is_held(s), at(s, holder(s), *labels)),
            ),
        ),
    )


@BOOK.for_each_ring("waiter", "slot")
def slot_waiter(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot's waiter is the thread whose request the slot carries; free slots have none."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    t = ring.waiter[k]
    waits = And(
        offset < outstanding(ring),
        queued(ops, s, t) & ~s.threads.nonblocking[t],
        s.threads.slot[t] == k,
        s.threads.request[t] == ring.cons + offset,
        ~s.threads.completed[t],
    )
    return Implies(And(slot_exists(k), t != NOBODY), waits)


@BOOK.for_each_ring("filling", "thread")
def slot_filling(ops: RingOperations, s: State, t: Number) -> Bool:
    """Whoever fills in a slot works on the next one to be handed over, which is the host's."""
    ring = ops.ring(s)
    slot = ring.prod_i
    always = And(
        ring.live,
        outstanding(ring) < ring_size(),
        s.threads.slot[t] == slot,
        s.threads.request[t] == ring.prod,
        ring.sequence[slot] == ring.prod,
        ring.waiters.head == s.threads.queue_position[t],
        ring.waiters.head != ring.waiters.next,
        s.threads.result[t] == Result.NONE,
        ~s.threads.completed[t],
        ring.doorbells_posted == ring.prod,
    )
    parts = [Implies(at(s, t, *filling(ops)), always)]
    if ops is TRANSMIT:
        parts += [
            Implies(at(s, t, Label.TX_OWNER), s.tx.zero_new[slot] == s.threads.zero[t]),
            Implies(at(s, t, Label.TX_FIRST_WORD, Label.TX_LAST_WORD), ~s.threads.zero[t]),
            Implies(
                at(s, t, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER) & ~s.threads.zero[t],
                payload_stored(s, slot, "first_word", ring.prod),
            ),
            Implies(
                at(s, t, Label.TX_FIELDS, Label.TX_OWNER) & ~s.threads.zero[t],
                payload_stored(s, slot, "last_word", ring.prod),
            ),
        ]
    else:
        parts.append(
            Implies(
                at(s, t, Label.CMD_OWNER),
                (s.cmd.kind_new[slot] == s.threads.kind[t])
                & (s.cmd.key_new[slot] == s.threads.key[t]),
            )
        )
    parts.append(Implies(at(s, t, ops.owner), fields_stored(ops, s, slot, ring.prod)))
    return And(*parts)


def queued(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t has handed a request over and its call has not ended."""
    return at(s, t, ops.doorbell, ops.wait, ops.abandon) | at(s, t, ops.leave) & (
        s.threads.result[t] == Result.NONE
    )


@BOOK.for_each_ring("caller", "thread")
def request_caller(ops: RingOperations, s: State, t: Number) -> Bool:
    """A caller's request is outstanding until it was answered, with the request's own result."""
    ring = ops.ring(s)
    slot, request = s.threads.slot[t], s.threads.request[t]
    offset = request - ring.cons
    return And(
        Implies(
            queued(ops, s, t) & ~s.threads.nonblocking[t],
            And(
                ring.live,
                Implies(s.threads.completed[t], s.threads.completed_sequence[t] == request),
                Implies(s.threads.completed[t], s.threads.status[t] != Result.NONE),
                Implies(
                    ~s.threads.completed[t],
                    And(
                        constant(0) <= offset,
                        offset < outstanding(ring),
                        slot_exists(slot),
                        wrap(slot, ring.cons_i) == offset,
                        ring.waiter[slot] == t,
                    ),
                ),
            ),
        ),
    )


@BOOK.invariant("calls.own-result", "thread")
def calls_own_result(s: State, t: Number) -> Bool:
    """An answer is the answer to the caller's own request."""
    return Implies(s.threads.completed[t], s.threads.completed_sequence[t] == s.threads.request[t])


# Doorbells


@BOOK.for_each_ring("doorbells-issued")
def doorbells_issued(ops: RingOperations, s: State) -> Bool:
    """Every request handed over has its doorbell issued before the lock is given up."""
    ring = ops.ring(s)
    return And(
        constant(0) <= ring.doorbells_posted - ring.doorbells_arrived,
        ring.doorbells_posted - ring.doorbells_arrived <= POSTED,
        Implies(~ring.based, ring.doorbells_arrived == ring.doorbells_posted),
        Or(
            ring.doorbells_posted == ring.prod,
            And(
                ring.prod == ring.doorbells_posted + 1,
                lock_is_held(s),
                at(s, holder(s), ops.doorbell),
            ),
        ),
    )


@BOOK.for_each_ring("doorbell-issuer", "thread")
def doorbell_issuer(ops: RingOperations, s: State, t: Number) -> Bool:
    """Whoever is about to ring names the slot that it has just handed over."""
    ring = ops.ring(s)
    slot = s.threads.slot[t]
    return Implies(
        at(s, t, ops.doorbell),
        And(
            ring.live,
            ring.prod == ring.doorbells_posted + 1,
            ring.cons != ring.prod,
            s.threads.request[t] == ring.doorbells_posted,
            ring.waiter[slot] == If(s.threads.nonblocking[t], NOBODY, t),
            slot_exists(slot),
            next_index(slot) == ring.prod_i,
            ring.waiters.head == s.threads.queue_position[t],
            ring.waiters.head != ring.waiters.next,
        ),
    )


@BOOK.for_each_ring("doorbell-on-its-way", "counter")
def doorbell_on_its_way(ops: RingOperations, s: State, j: Number) -> Bool:
    """A doorbell names the slot of its own request."""
    ring = ops.ring(s)
    slot = ring.doorbell_value[j]
    return Implies(
        within(j, ring.doorbells_arrived, ring.doorbells_posted - ring.doorbells_arrived),
        And(
            slot_exists(slot),
            Implies(
                ring.live & (ring.prod - j <= outstanding(ring)),
                And(wrap(slot, ring.cons_i) == j - ring.cons, ring.sequence[slot] == j),
            ),
        ),
    )


@BOOK.for_each_ring("doorbell-arrived")
def doorbell_arrived(ops: RingOperations, s: State) -> Bool:
    """The index that the card heard last is that of the newest request it heard of."""
    ring = ops.ring(s)
    return And(
        Implies(
            ring.live & running(s) & (ring.prod - ring.doorbells_arrived < outstanding(ring)),
            And(
                slot_exists(ring.doorbell_i),
                wrap(ring.doorbell_i, ring.cons_i) == ring.doorbells_arrived - ring.cons - 1,
            ),
        ),
        Implies(
            ring.live
            & running(s)
            & engine_on(ops, s)
            & (ring.prod - ring.doorbells_arrived < ring.prod - ring.dev),
            ring.look | (ring.stage != Stage.IDLE),
        ),
    )
