"""The receive ring: its slots, its readers and its engine."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, apart, slot_exists
from engine.terms import And, Bool, If, Implies, Number, constant, low_bits, one_of, ring_size, wrap
from model.properties import looked
from model.ring_spec import HOLDING, QUEUEING, call_must_end
from model.state import CAPACITY, Label, Life, Result, Stage, State
from model.thread_spec import at
from proofs.invariants.takeover import once_reset

__all__ = ["BOOK"]

BOOK: Final = InvariantBook()


def packets_waiting(s: State) -> Number:
    """Packets that the card delivered and no reader has taken."""
    return s.rx.dev - s.rx.cons


@BOOK.invariant("rx.counters")
def receive_counters(s: State) -> Bool:
    """cons <= dev <= cons + N, and the indices follow."""
    ring, n = s.rx, ring_size()
    return And(
        slot_exists(ring.cons_i),
        Implies(
            ring.live,
            And(
                constant(0) <= packets_waiting(s),
                packets_waiting(s) <= n,
                ring.based | s.card.bases_posted,
            ),
        ),
        Implies(
            s.card.started & s.card.was_reset,
            And(slot_exists(ring.dev_i), apart(ring.dev_i, ring.cons_i, packets_waiting(s))),
        ),
    )


@BOOK.invariant("rx.indices-are-masked-counters", machine_only=True)
def receive_masks(s: State) -> Bool:
    """Each index is the low bits of its counter since set-up: what a driver computes."""
    ring = s.rx
    return Implies(
        ring.live,
        And(
            ring.cons_i == low_bits(ring.cons - ring.first),
            Implies(s.card.started, ring.dev_i == low_bits(ring.dev - ring.first)),
        ),
    )


@BOOK.invariant("rx.slot-filled", "slot")
def slot_filled(s: State, k: Number) -> Bool:
    """A slot that the card filled is the host's, and all its words are the packet's own."""
    ring = s.rx
    offset = wrap(k, ring.cons_i)
    packet = ring.cons + offset
    return Implies(
        And(ring.live, slot_exists(k), offset < packets_waiting(s)),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            ~ring.pointer_pending[k],
            ~ring.held[k],
            ring.header[k] == packet,
            Implies(
                ~s.card.lies,
                And(
                    ring.length[k] <= CAPACITY,
                    Implies(
                        ring.length[k] != 0,
                        (ring.first_word[k] == packet) & (ring.last_word[k] == packet),
                    ),
                ),
            ),
        ),
    )


@BOOK.invariant("rx.slot-held", "slot")
def slot_held(s: State, k: Number) -> Bool:
    """A slot that a reader holds is the host's and no other reader's, unless readers must end."""
    ring = s.rx
    t = ring.holder[k]
    must_end = s.driver.failed | (s.driver.life == Life.CLOSING)
    return Implies(
        And(ring.live, slot_exists(k), ring.held[k]),
        And(
            packets_waiting(s) <= wrap(k, ring.cons_i),
            ~ring.owner[k],
            ~ring.owner_pending[k],
            Implies(
                ~must_end,
                And(
                    at(s, t, *HOLDING),
                    s.threads.slot[t] == k,
                    Implies(ring.pointer_pending[k], at(s, t, Label.RX_REPOST)),
                ),
            ),
        ),
    )


@BOOK.invariant("rx.slot-given", "slot")
def slot_given(s: State, k: Number) -> Bool:
    """A slot given to the card points to its own buffer by the time its owner byte is visible."""
    ring = s.rx
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            packets_waiting(s) <= wrap(k, ring.cons_i),
            ~ring.held[k],
        ),
        And(
            ring.owner_new[k],
            ring.owner_pending[k] != ring.owner[k],
            ring.pointer_new[k] == k,
            ring.pointer_pending[k] | (ring.pointer[k] == k),
            Implies(ring.owner[k], ~ring.pointer_pending[k]),
        ),
    )


@BOOK.invariant("rx.reader", "thread")
def reader(s: State, t: Number) -> Bool:
    """A reader that took a packet holds its slot, and what it read is that packet."""
    ring, threads = s.rx, s.threads
    slot, packet = threads.slot[t], threads.packet[t]
    honest = ~s.card.lies & (threads.copied[t] != 0)
    return And(
        Implies(
            at(s, t, *HOLDING),
            And(
                ring.live,
                slot_exists(slot),
                ring.held[slot],
                ring.holder[slot] == t,
                threads.got[t] == packet,
                threads.copied[t] <= CAPACITY,
            ),
        ),
        Implies(at(s, t, Label.RX_FIRST_WORD, Label.RX_LAST_WORD), threads.copied[t] != 0),
        Implies(
            at(s, t, *HOLDING) & honest,
            (ring.first_word[slot] == packet) & (ring.last_word[slot] == packet),
        ),
        Implies(
            at(s, t, Label.RX_LAST_WORD, Label.RX_POINTER, Label.RX_REPOST) & honest,
            threads.got_first_word[t] == packet,
        ),
        Implies(
            at(s, t, Label.RX_POINTER, Label.RX_REPOST) & honest,
            threads.got_last_word[t] == packet,
        ),
        Implies(
            at(s, t, Label.RX_REPOST),
            (ring.pointer_new[slot] == slot)
            & (ring.pointer_pending[slot] | (ring.pointer[slot] == slot)),
        ),
        Implies(
            at(s, t, Label.RX_HEADER),
            And(ring.live, ring.dev != ring.cons, ~ring.held[ring.cons_i]),
        ),
        Implies(at(s, t, *QUEUEING), ring.live),
        Implies(at(s, t, Label.RX_HEADER, Label.RX_NEXT), ~call_must_end(s, t)),
        Implies(at(s, t, Label.RX_CANCEL) & (threads.result[t] == Result.EIO), call_must_end(s, t)),
        Implies(at(s, t, Label.RX_HEADER), ring.waiters.head == threads.queue_position[t]),
        Implies(
            at(s, t, Label.RX_LEAVE_QUEUE)
            & ~one_of(threads.result[t], (Result.EINTR, Result.EAGAIN)),
            call_must_end(s, t) & ring.ready | threads.peek[t] & (ring.dev != ring.cons),
        ),
    )


@BOOK.invariant("rx.late-loads", "thread")
def late_loads(s: State, t: Number) -> Bool:
    """A reader that leaves has its packet, also if its loads come as late as they may."""
    ring, threads = s.rx, s.threads
    slot, packet = threads.slot[t], threads.packet[t]
    read = threads.copied[t] != 0
    leaving = at(s, t, Label.EXIT) & read
    with_lock = (threads.ticket[t] == s.lock.serving) & ~threads.asleep[t]
    loading = ring.held[slot] | ring.owner_pending[slot]
    return And(
        Implies(read, at(s, t, Label.IDLE, *HOLDING, Label.EXIT)),
        Implies(
            leaving,
            And(
                ring.live,
                slot_exists(slot),
                If(ring.held[slot], ring.holder[slot] == t, with_lock),
                threads.got[t] == packet,
                threads.copied[t] <= CAPACITY,
            ),
        ),
        Implies(
            leaving & ~s.card.lies,
            (threads.got_first_word[t] == packet) & (threads.got_last_word[t] == packet),
        ),
        Implies(
            leaving & loading & ~s.card.lies,
            (ring.first_word[slot] == packet) & (ring.last_word[slot] == packet),
        ),
    )


@BOOK.invariant("rx.looked", "thread")
def reader_looked(s: State, t: Number) -> Bool:
    """What a reader learned without taking it is the next packet, as long as it has the lock."""
    ring, threads = s.rx, s.threads
    return Implies(
        looked(s, t),
        And(
            threads.ticket[t] == s.lock.serving,
            ~threads.asleep[t],
            ring.live,
            ring.dev != ring.cons,
            threads.got[t] == ring.cons,
            threads.length[t] <= CAPACITY,
            s.card.lies | (threads.length[t] == ring.length[ring.cons_i]),
        ),
    )


@BOOK.invariant("rx.engine")
@once_reset
def receive_engine(s: State) -> Bool:
    """The receive engine writes to the buffers of a slot of the card's only."""
    ring, stage = s.rx, s.rx.stage
    writing = one_of(
        stage,
        (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER),
    )
    busy = writing | (stage == Stage.FETCH)
    payload = ring.arriving != 0
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, s.card.started & (ring.arriving <= CAPACITY)),
        Implies(
            busy,
            And(
                ring.owner[ring.dev_i],
                packets_waiting(s) < ring_size(),
                ~ring.held[ring.dev_i],
            ),
        ),
        Implies(writing, ring.target == ring.dev_i),
        Implies(one_of(stage, (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD)), payload),
        Implies(
            one_of(stage, (Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER)) & payload,
            ring.first_word[ring.target] == ring.dev,
        ),
        Implies(
            one_of(stage, (Stage.WRITE_HEADER, Stage.WRITE_OWNER)) & payload,
            ring.last_word[ring.target] == ring.dev,
        ),
        Implies(
            stage == Stage.WRITE_OWNER,
            And(
                ring.header[ring.dev_i] == ring.dev,
                s.card.lies | (ring.length[ring.dev_i] == ring.arriving),
            ),
        ),
    )
