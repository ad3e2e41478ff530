"""The ownership ring: how requests and packets change hands between host and card.

A ring is a circle of slots in memory that host and card share. The first byte of a slot names its
owner; only the owner may touch the rest of the slot and the buffers that it points to. Storing the
owner byte hands everything over at once, so no lock is needed between the two. What is needed is
*order*: the bytes that are handed over must be visible before the owner byte is, and must not be
read before the owner byte was. Each place where a barrier enforces that is marked `s.barrier`.

This file follows one request around a **request ring** (CMD or TX; the two work alike):

    queue up -> claim -> store words -> store owner -> ring doorbell -> wait
                 ^ next packet of a batch <-'
                 card: look -> fetch -> ... -> write owner            (device_spec)
    handler: completion found -> reclaim -> tell the waiter

and one packet around the **receive ring**:

    card: fill a slot, write owner
    handler: load owner -> readable, or the first in line is woken
    reader: queue up -> load owner -> receive packet -> next one's turn -> copy -> repost
                                   -> peek           -> next one's turn

Counters `prod`, `dev` and `cons` say how many requests the host handed over, the card returned, and
the host took back: `cons <= dev <= prod <= cons + N`. Indices follow them around the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from engine.rules import THREAD, Choice, Parameter, Party, Rule, bind
from engine.terms import FALSE, TRUE, And, Array, Bool, If, Number, constant, next_index, ring_size
from engine.words import Word
from model.state import (
    CAPACITY,
    EVENT_THREAD,
    NOBODY,
    POSTED,
    Label,
    Life,
    RequestRing,
    Result,
    State,
    WaiterQueue,
)
from model.thread_spec import COMMANDS, READERS, SENDERS, draw_ticket, holds, sleep, unlock
from model.words import CMD, DEVICE, HOST, RX, TX

__all__ = [
    "COMMAND",
    "COMMAND_LABELS",
    "HOLDING",
    "QUEUEING",
    "RECEIVE",
    "TRANSMIT",
    "TRANSMIT_LABELS",
    "ZERO",
    "QueueOperations",
    "RingOperations",
    "announce_packet",
    "call_must_end",
    "first_in_line",
    "join_queue",
    "nobody_in_line",
    "packet_waits",
    "ring_rules",
]

ZERO: Final = Parameter("zero", Choice.FLAG)
"""Whether the packet to send is empty."""
TRANSMIT_LABELS: Final = (
    Label.TX_TURN,
    Label.TX_FIRST_WORD,
    Label.TX_LAST_WORD,
    Label.TX_FIELDS,
    Label.TX_OWNER,
    Label.TX_DOORBELL,
    Label.TX_LEAVE_QUEUE,
    Label.TX_WAIT,
    Label.TX_CANCEL,
    Label.TX_ABANDON,
)
"""Labels of a request on the transmit ring, from its turn to its end."""
COMMAND_LABELS: Final = (
    Label.CMD_TURN,
    Label.CMD_FIELDS,
    Label.CMD_OWNER,
    Label.CMD_DOORBELL,
    Label.CMD_LEAVE_QUEUE,
    Label.CMD_WAIT,
    Label.CMD_CANCEL,
    Label.CMD_ABANDON,
)
"""Labels of a request on the command ring, from its turn to its end."""


@attrs.frozen(kw_only=True)
class QueueOperations:
    """What differs between the queues of the three rings: names, labels, wait queue.

    Attributes:
        name: The ring's name.
        section: The datasheet section that its rules follow.
        waiters: The queue itself.
        wait_queue: Where those in line sleep.
        woken: By thread: it was woken there.
        turn: Where a caller waits for its turn.
        cancel: Where it gives its place up.
        leave: Where it leaves the queue.
        leaving: Where whoever leaves the queue skips places that were given up.
        in_line: Where a caller has a place in the queue.
    """

    name: str
    section: str
    waiters: Callable[[State], WaiterQueue]
    wait_queue: str
    woken: Callable[[State], Array[Bool]]
    turn: Label
    cancel: Label
    leave: Label
    leaving: tuple[Label, ...]
    in_line: tuple[Label, ...]


@attrs.frozen(kw_only=True)
class RingOperations(QueueOperations):
    """What differs between the two request rings besides their queues: labels and words."""

    ring: Callable[[State], RequestRing]
    owner_byte: Word
    fields: Word
    first_word: Label
    owner: Label
    doorbell: Label
    wait: Label
    abandon: Label
    scan: Label
    reclaim: Label
    scanned: Label


TRANSMIT: Final = RingOperations(
    name="tx",
    section="Rings: Transmit",
    waiters=lambda s: s.tx.waiters,
    leaving=(Label.TX_LEAVE_QUEUE,),
    in_line=(
        Label.TX_TURN,
        Label.TX_FIRST_WORD,
        Label.TX_LAST_WORD,
        Label.TX_FIELDS,
        Label.TX_OWNER,
        Label.TX_DOORBELL,
        Label.TX_CANCEL,
    ),
    ring=lambda s: s.tx,
    owner_byte=TX.owner,
    fields=TX.fields,
    wait_queue=SENDERS,
    woken=lambda s: s.threads.wake_tx,
    turn=Label.TX_TURN,
    first_word=Label.TX_FIRST_WORD,
    owner=Label.TX_OWNER,
    doorbell=Label.TX_DOORBELL,
    leave=Label.TX_LEAVE_QUEUE,
    wait=Label.TX_WAIT,
    cancel=Label.TX_CANCEL,
    abandon=Label.TX_ABANDON,
    scan=Label.TX_SCAN,
    reclaim=Label.TX_RECLAIM,
    scanned=Label.RX_READY,
)
COMMAND: Final = RingOperations(
    name="cmd",
    section="Rings: commands",
    waiters=lambda s: s.cmd.waiters,
    leaving=(Label.CMD_LEAVE_QUEUE,),
    in_line=(
        Label.CMD_TURN,
        Label.CMD_FIELDS,
        Label.CMD_OWNER,
        Label.CMD_DOORBELL,
        Label.CMD_CANCEL,
    ),
    ring=lambda s: s.cmd,
    owner_byte=CMD.owner,
    fields=CMD.fields,
    wait_queue=COMMANDS,
    woken=lambda s: s.threads.wake_cmd,
    turn=Label.CMD_TURN,
    first_word=Label.CMD_FIELDS,
    owner=Label.CMD_OWNER,
    doorbell=Label.CMD_DOORBELL,
    leave=Label.CMD_LEAVE_QUEUE,
    wait=Label.CMD_WAIT,
    cancel=Label.CMD_CANCEL,
    abandon=Label.CMD_ABANDON,
    scan=Label.CMD_SCAN,
    reclaim=Label.CMD_RECLAIM,
    scanned=Label.TX_SCAN,
)
RECEIVE: Final = QueueOperations(
    name="rx",
    section="Rings: Receive",
    waiters=lambda s: s.rx.waiters,
    wait_queue=READERS,
    woken=lambda s: s.threads.wake_rx,
    turn=Label.RX_OWNER,
    cancel=Label.RX_CANCEL,
    leave=Label.RX_LEAVE_QUEUE,
    leaving=(Label.RX_LEAVE_QUEUE, Label.RX_NEXT),
    in_line=(Label.RX_OWNER, Label.RX_HEADER, Label.RX_CANCEL),
)


def call_must_end(s: State, t: Number) -> Bool:
    """The card failed, or it is being closed and t is not the thread that closes it."""
    return s.driver.failed | And(s.driver.life != Life.OPEN, s.threads.return_to[t] == Label.EXIT)


def wake_queue(ops: QueueOperations, s: State, when: Bool = TRUE) -> None:
    """Wake everyone who waits for the ring: for a turn, or for a completion."""
    s.wakes(ops.wait_queue, when=when)
    ops.woken(s).choose_fill(when, True)


# A caller waits for its turn, and for a free slot or a packet


def join_queue(ops: QueueOperations, s: State, t: Number) -> None:
    """Take the last place in the queue of callers that want a slot, or a packet."""
    queue = ops.waiters(s)
    s.threads.queue_position[t] = queue.next
    queue.waiter[queue.next] = t
    queue.cancelled[queue.next] = False
    queue.next = queue.next + 1


def nobody_in_line(queue: WaiterQueue) -> Bool:
    """The queue is empty."""
    return queue.head == queue.next


def first_in_line(ops: QueueOperations, s: State, t: Number) -> Bool:
    """It is the turn of thread t, which is in the queue."""
    return ops.waiters(s).head == s.threads.queue_position[t]


def my_turn(ops: QueueOperations, s: State, t: Number) -> Bool:
    """Thread t is first in the queue and a slot is free: consumer bounds producer.

    On the receive ring the first may look whether a packet waits.
    """
    first = first_in_line(ops, s, t)
    if not isinstance(ops, RingOperations):
        return first
    ring = ops.ring(s)
    return And(first, ring.prod - ring.cons < ring_size())


def claim(ops: RingOperations, s: State, t: Number) -> None:
    """The first in the queue finds a free slot and starts to fill it in."""
    s.require(holds(s, t, ops.turn) & ~call_must_end(s, t) & my_turn(ops, s, t))
    ring = ops.ring(s)
    slot = ring.prod_i
    s.threads.slot[t] = slot
    s.threads.request[t] = ring.prod
    s.threads.completed[t] = False
    ring.sequence[slot] = ring.prod
    if ops is TRANSMIT:
        s.threads.pc[t] = If(s.threads.zero[t], Label.TX_FIELDS, Label.TX_FIRST_WORD)
    else:
        s.threads.pc[t] = ops.first_word


def wait_for_turn(ops: QueueOperations, s: State, t: Number) -> None:
    """It is not the caller's turn, or the ring is full: sleep."""
    s.require(holds(s, t, ops.turn) & ~call_must_end(s, t) & ~my_turn(ops, s, t))
    s.require(~s.threads.nonblocking[t])
    sleep(s, t, ops.wait_queue)


def refuse(ops: QueueOperations, s: State, t: Number) -> None:
    """The caller may not wait, or must not go on: it leaves the queue with an error."""
    end = call_must_end(s, t)
    s.require(holds(s, t, ops.turn))
    s.require(end | s.threads.nonblocking[t] & ~my_turn(ops, s, t))
    s.threads.result[t] = If(end, Result.EIO, Result.EAGAIN)
    s.threads.pc[t] = ops.cancel


def cancel_waiting(ops: QueueOperations, s: State, t: Number) -> None:
    """Give the caller's place up: the last one is there no more, another is marked as given up.

    Whoever leaves the queue skips the places so marked.
    """
    s.require(holds(s, t, ops.cancel))
    queue, place = ops.waiters(s), s.threads.queue_position[t]
    last = place + 1 == queue.next
    queue.cancelled[place] = ~last
    queue.next = If(last, place, queue.next)
    s.threads.pc[t] = ops.leave


def skip_cancelled(ops: QueueOperations, s: State, t: Number) -> None:
    """The place whose turn it is was given up: the next one's turn."""
    queue = ops.waiters(s)
    s.require(holds(s, t, *ops.leaving) & ~nobody_in_line(queue) & queue.cancelled[queue.head])
    queue.head = queue.head + 1


def none_to_skip(queue: WaiterQueue) -> Bool:
    """The queue is empty, or the place whose turn it is was not given up."""
    return nobody_in_line(queue) | ~queue.cancelled[queue.head]


def leave_queue(ops: RingOperations, s: State, t: Number) -> None:
    """Wake the queue, then wait for the completion or, if there is nothing to wait for, return."""
    s.require(holds(s, t, ops.leave) & none_to_skip(ops.waiters(s)))
    wake_queue(ops, s)
    queued = s.threads.result[t] == Result.NONE
    waits = queued & ~s.threads.nonblocking[t]
    s.threads.pc[t] = If(waits, ops.wait, s.threads.return_to[t])
    s.threads.result[t] = If(queued & ~waits, Result.OK, s.threads.result[t])


# The host fills in a slot and hands it over


def store_first_word(s: State, t: Number) -> None:
    """Store an early word of the payload."""
    s.require(holds(s, t, Label.TX_FIRST_WORD))
    s.store(TX.first_word, s.tx.prod_i)
    s.threads.pc[t] = Label.TX_LAST_WORD


def store_last_word(s: State, t: Number) -> None:
    """Store a late word of the payload."""
    s.require(holds(s, t, Label.TX_LAST_WORD))
    s.store(TX.last_word, s.tx.prod_i)
    s.threads.pc[t] = Label.TX_FIELDS


def store_fields(ops: RingOperations, s: State, t: Number) -> None:
    """Store the slot's fields."""
    fields = Label.TX_FIELDS if ops is TRANSMIT else Label.CMD_FIELDS
    s.require(holds(s, t, fields))
    if ops is TRANSMIT:
        s.store(TX.fields, s.tx.prod_i, zero=s.threads.zero[t])
    else:
        s.store(CMD.fields, s.cmd.prod_i, kind=s.threads.kind[t], key=s.threads.key[t])
    s.threads.pc[t] = ops.owner


def store_owner(ops: RingOperations, s: State, t: Number) -> None:
    """Store owner = DEVICE: from here on the slot and its buffers are the card's."""
    s.require(holds(s, t, ops.owner))
    ring = ops.ring(s)
    slot = ring.prod_i
    s.store(ops.owner_byte, slot, owner=DEVICE)
    ring.waiter[slot] = If(s.threads.nonblocking[t], NOBODY, t)
    if ops is TRANSMIT:
        s.threads.handed[t] = s.threads.handed[t] + 1
    ring.prod = ring.prod + 1
    ring.prod_i = next_index(slot)
    s.threads.pc[t] = ops.doorbell


def ring_doorbell(ops: RingOperations, s: State, t: Number) -> None:
    """Write the slot's index to DBELL (a posted write: it reaches the card later)."""
    post_doorbell(ops, s, t)
    if ops is TRANSMIT:
        s.require(s.threads.more[t] == 0)
    _turn_is_over(ops, s)
    s.threads.pc[t] = ops.leave


def _turn_is_over(ops: QueueOperations, s: State) -> None:
    queue = ops.waiters(s)
    queue.head = queue.head + 1


def post_doorbell(ops: RingOperations, s: State, t: Number) -> None:
    """Issue the doorbell of the slot just handed over."""
    s.require(holds(s, t, ops.doorbell))
    ring = ops.ring(s)
    s.require(ring.doorbells_posted - ring.doorbells_arrived < POSTED, "room for a posted write")
    s.rings_doorbell(ops.name, s.threads.slot[t])
    ring.doorbell_value[ring.doorbells_posted] = s.threads.slot[t]
    ring.doorbells_posted = ring.doorbells_posted + 1


def next_of_batch(s: State, t: Number, zero: Number) -> None:
    """Ring the doorbell, and go on to the next packet of the batch while it is the caller's turn.

    A driver may write DBELL once for several packets, before it sleeps or gives up the lock: to the
    card that write is the same as the doorbells of all of them, arriving at one moment. The caller
    waits for the last packet only, since packets are sent in order. If it must leave before (the
    ring is full and it may not wait, a signal, a failure) part of the batch has been sent.
    """
    post_doorbell(TRANSMIT, s, t)
    threads = s.threads
    s.require(threads.more[t] != 0)
    s.tx.waiter[threads.slot[t]] = NOBODY
    threads.more[t] = threads.more[t] - 1
    threads.zero[t] = zero != 0
    threads.pc[t] = Label.TX_TURN


# The caller waits for the completion of its own request


def wait_for_completion(ops: RingOperations, s: State, t: Number) -> None:
    """The request is still on its way: sleep."""
    s.require(holds(s, t, ops.wait) & ~s.threads.completed[t] & ~call_must_end(s, t))
    sleep(s, t, ops.wait_queue)


def completed(ops: RingOperations, s: State, t: Number) -> None:
    """The handler took the completion of this very request: return its result."""
    s.require(holds(s, t, ops.wait) & s.threads.completed[t])
    s.threads.result[t] = s.threads.status[t]
    s.threads.pc[t] = s.threads.return_to[t]


def give_up_waiting(ops: RingOperations, s: State, t: Number) -> None:
    """The card failed or is being closed: the call ends with EIO."""
    s.require(holds(s, t, ops.wait) & ~s.threads.completed[t] & call_must_end(s, t))
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = ops.abandon


def abandon(ops: RingOperations, s: State, t: Number) -> None:
    """The caller leaves; the request stays in flight and nobody is told of its completion."""
    s.require(holds(s, t, ops.abandon))
    waiter = ops.ring(s).waiter
    slot = s.threads.slot[t]
    waiter[slot] = If(s.threads.completed[t], waiter[slot], NOBODY)
    s.threads.pc[t] = s.threads.return_to[t]


# The event handler takes slots back


def completion_found(ops: RingOperations, s: State, t: Number) -> None:
    """Load the owner byte of the oldest request's slot: the card returned it."""
    ring = ops.ring(s)
    s.require(holds(s, t, ops.scan) & (t == EVENT_THREAD))
    outstanding = ring.cons != ring.prod
    owner = s.load(ops.owner_byte, ring.cons_i, HOST, when=outstanding)
    s.require(outstanding & ~owner)
    s.threads.pc[t] = ops.reclaim


def no_completion(ops: RingOperations, s: State, t: Number) -> None:
    """Nothing is outstanding, or the oldest request is still the card's: done with this ring."""
    ring = ops.ring(s)
    s.require(holds(s, t, ops.scan) & (t == EVENT_THREAD))
    owner = s.load(ops.owner_byte, ring.cons_i, DEVICE, when=ring.cons != ring.prod)
    s.require((ring.cons == ring.prod) | owner)
    s.threads.pc[t] = ops.scanned


def reclaim(ops: RingOperations, s: State, t: Number) -> None:
    """Take the slot back: advance the consumer, tell the waiter, then wake the sleepers."""
    ring = ops.ring(s)
    s.require(holds(s, t, ops.reclaim) & (t == EVENT_THREAD))
    slot = ring.cons_i
    waiter = ring.waiter[slot]
    threads = s.threads
    sequence: Number = ring.cons
    status: Number = constant(Result.OK)
    if ops is COMMAND:
        sequence, status = s.load(CMD.status, slot)
    told = waiter != NOBODY
    threads.completed[waiter] = If(told, True, threads.completed[waiter])
    threads.completed_sequence[waiter] = If(told, sequence, threads.completed_sequence[waiter])
    threads.status[waiter] = If(told, status, threads.status[waiter])
    ring.waiter[slot] = NOBODY
    ring.cons = ring.cons + 1
    ring.cons_i = next_index(slot)
    wake_queue(ops, s)
    threads.pc[t] = ops.scan


def _request_rules(ops: RingOperations) -> list[Rule]:
    bodies: list[Callable[..., None]] = [
        claim,
        wait_for_turn,
        refuse,
        cancel_waiting,
        skip_cancelled,
        leave_queue,
        store_fields,
        store_owner,
        ring_doorbell,
        wait_for_completion,
        completed,
        give_up_waiting,
        abandon,
        completion_found,
        no_completion,
        reclaim,
    ]
    return [
        Rule(
            f"{ops.name}.{body.__name__}",
            Party.HOST,
            ops.section,
            (THREAD,),
            "thread",
            bind(body, ops),
        )
        for body in bodies
    ]


# The receive ring: a reader takes a packet and gives the slot back

HOLDING: Final = (
    Label.RX_NEXT,
    Label.RX_FIRST_WORD,
    Label.RX_LAST_WORD,
    Label.RX_POINTER,
    Label.RX_REPOST,
)
"""Labels at which a reader holds a receive slot."""
QUEUEING: Final = (Label.RX_OWNER, Label.RX_HEADER, Label.RX_CANCEL, Label.RX_LEAVE_QUEUE)
"""Labels at which a reader is in the queue, or leaves it, and holds no slot."""


def packet_waits(s: State, value: int | None = None, when: Bool = TRUE) -> Bool:
    """The slot at cons holds a packet, by its owner byte as loaded; no slow reader holds it.

    Args:
        s: The state.
        value: What the owner byte must be, where it is loaded: see `Recorder.load`.
        when: The byte is loaded only if this holds, and if no reader holds the slot.
    """
    slot = s.rx.cons_i
    held = s.rx.held[slot]
    owner: Bool = s.load(RX.owner, slot, value, when=when & ~held)
    return ~held & ~owner


def announce_packet(s: State, waits: Bool) -> None:
    """A packet waits, or none: if somebody is in line wake the line, else the card is readable."""
    alone = nobody_in_line(s.rx.waiters)
    wake_queue(RECEIVE, s, waits & ~alone)
    s.rx.ready = s.rx.ready | waits & alone


def packet_found(s: State, t: Number) -> None:
    """The first in line loads the owner byte: the card filled the slot, no slow reader holds it."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & my_turn(RECEIVE, s, t))
    s.require(packet_waits(s, HOST))
    s.threads.pc[t] = Label.RX_HEADER


def nothing_to_read(s: State, t: Number) -> None:
    """No packet: not readable any more; give the turn up with EAGAIN, or sleep until woken."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & my_turn(RECEIVE, s, t))
    s.require(~packet_waits(s, DEVICE))
    s.rx.ready = FALSE
    threads = s.threads
    returns = threads.nonblocking[t]
    s.sleeps(READERS, when=~returns)
    threads.result[t] = If(returns, Result.EAGAIN, threads.result[t])
    threads.pc[t] = If(returns, Label.RX_CANCEL, Label.RX_OWNER)
    threads.asleep[t] = ~returns
    threads.wake_rx[t] = threads.wake_rx[t] & returns
    s.lock.serving = If(returns, s.lock.serving, s.lock.serving + 1)


def wait_for_readers(s: State, t: Number) -> None:
    """It is not the reader's turn: sleep."""
    wait_for_turn(RECEIVE, s, t)
    s.rx.owner_speculated = FALSE


def leave_readers(s: State, t: Number) -> None:
    """Leave with what is known: that a packet waits, or none; look if a signal came between.

    Who peeked has seen one. Who may not wait has seen none, or was not the first in line. Where
    readers must end all of them were woken.
    """
    s.require(holds(s, t, Label.RX_LEAVE_QUEUE) & none_to_skip(s.rx.waiters))
    result = s.threads.result[t]
    interrupted = result == Result.EINTR
    found = packet_waits(s, when=interrupted)
    announce_packet(s, If(interrupted, found, result != Result.EAGAIN))
    s.rx.owner_speculated = FALSE
    s.threads.pc[t] = Label.EXIT


def peek_packet(s: State, t: Number) -> None:
    """Load the header once, check its length, and return that; the packet stays where it is."""
    s.require(holds(s, t, Label.RX_HEADER) & s.threads.peek[t])
    sequence, length = s.load(RX.header, s.rx.cons_i)
    s.rx.owner_speculated = FALSE
    s.threads.got[t] = sequence
    s.threads.length[t] = length
    s.threads.result[t] = If(length <= CAPACITY, Result.OK, Result.EIO)
    _turn_is_over(RECEIVE, s)
    s.threads.pc[t] = Label.RX_LEAVE_QUEUE


def receive_packet(s: State, t: Number) -> None:
    """Load the header once, check its length, and hold the slot; the turn is over."""
    s.require(holds(s, t, Label.RX_HEADER) & ~s.threads.peek[t])
    ring = s.rx
    slot = ring.cons_i
    sequence, length = s.load(RX.header, slot)
    legal = length <= CAPACITY
    s.threads.slot[t] = slot
    s.threads.packet[t] = ring.cons
    s.threads.got[t] = sequence
    s.threads.copied[t] = If(legal, length, 0)
    s.threads.result[t] = If(legal, Result.OK, Result.EIO)
    ring.held[slot] = True
    ring.holder[slot] = t
    ring.cons = ring.cons + 1
    ring.cons_i = next_index(slot)
    _turn_is_over(RECEIVE, s)
    s.threads.pc[t] = Label.RX_NEXT


def look_at_next(s: State, t: Number) -> None:
    """Load the next slot's owner byte: whether a packet waits for the next in line, or pollers.

    Nobody has closed the card, nor noticed a failure, since the lock was taken: so no poller loses
    what tells it that readers must end.
    """
    s.require(holds(s, t, Label.RX_NEXT) & none_to_skip(s.rx.waiters))
    waits = packet_waits(s)
    s.rx.ready = FALSE
    announce_packet(s, waits)
    s.threads.pc[t] = If(s.threads.copied[t] != 0, Label.RX_FIRST_WORD, Label.RX_POINTER)
    unlock(s)


def copy_first_word(s: State, t: Number) -> None:
    """Copy an early word of the payload to the caller."""
    s.require(s.threads.pc[t] == Label.RX_FIRST_WORD)
    slot = s.threads.slot[t]
    s.threads.got_first_word[t] = s.load(RX.first_word, slot)
    s.threads.pc[t] = Label.RX_LAST_WORD


def copy_last_word(s: State, t: Number) -> None:
    """Copy a late word of the payload to the caller."""
    s.require(s.threads.pc[t] == Label.RX_LAST_WORD)
    slot = s.threads.slot[t]
    s.threads.got_last_word[t] = s.load(RX.last_word, slot)
    s.threads.pc[t] = Label.RX_POINTER


def refill_pointer(s: State, t: Number) -> None:
    """Store the slot's own buffer into its pointers again, then ask for the lock."""
    s.require(s.threads.pc[t] == Label.RX_POINTER)
    slot = s.threads.slot[t]
    s.store(RX.pointer, slot, pointer=slot)
    s.threads.pc[t] = Label.RX_REPOST
    draw_ticket(s, t)


def repost(s: State, t: Number) -> None:
    """Store owner = DEVICE: the slot and its buffer are the card's again."""
    s.require(holds(s, t, Label.RX_REPOST))
    slot = s.threads.slot[t]
    s.store(RX.owner, slot, owner=DEVICE)
    s.rx.held[slot] = False
    s.threads.pc[t] = Label.EXIT


def keep(s: State, t: Number) -> None:
    """The card failed or is being closed: leave; the next initialisation sets the slot right.

    Nothing is lost by that: no further packet is wanted, and the slot stays the host's.
    """
    s.require(holds(s, t, Label.RX_REPOST) & call_must_end(s, t))
    s.threads.pc[t] = Label.EXIT


def keep_untouched(s: State, t: Number) -> None:
    """The same, without having stored the pointers: only ask for the lock, to leave.

    To look without the lock is safe: a call that must end goes on having to.
    """
    s.require((s.threads.pc[t] == Label.RX_POINTER) & call_must_end(s, t))
    s.threads.pc[t] = Label.EXIT
    draw_ticket(s, t)


def _receive_rules() -> list[Rule]:
    bodies: list[Callable[..., None]] = [
        packet_found,
        nothing_to_read,
        peek_packet,
        receive_packet,
        look_at_next,
        copy_first_word,
        copy_last_word,
        refill_pointer,
        repost,
        keep,
        keep_untouched,
    ]
    in_line = {
        "wait_for_turn": wait_for_readers,
        "refuse": bind(refuse, RECEIVE),
        "cancel_waiting": bind(cancel_waiting, RECEIVE),
        "skip_cancelled": bind(skip_cancelled, RECEIVE),
        "leave_queue": leave_readers,
    }
    named = in_line | {body.__name__: body for body in bodies}
    return [
        Rule(f"rx.{name}", Party.HOST, RECEIVE.section, (THREAD,), "thread", body)
        for name, body in named.items()
    ]


def ring_rules() -> list[Rule]:
    """All rules of this file."""
    payload = [
        Rule(f"tx.{body.__name__}", Party.HOST, TRANSMIT.section, (THREAD,), "thread", body)
        for body in (store_first_word, store_last_word)
    ]
    batch = Rule(
        "tx.next_of_batch", Party.HOST, TRANSMIT.section, (THREAD, ZERO), "thread", next_of_batch
    )
    return [
        *payload,
        *_request_rules(TRANSMIT),
        batch,
        *_request_rules(COMMAND),
        *_receive_rules(),
    ]
