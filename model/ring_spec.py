"""The ownership ring: how requests and packets change hands between host and card.

A ring is a circle of slots in memory that host and card share. The first byte of a slot names its
owner; only the owner may touch the rest of the slot and the buffers that it points to. Storing the
owner byte hands everything over at once, so no lock is needed between the two. What is needed is
*order*: the bytes that are handed over must be visible before the owner byte is, and must not be
read before the owner byte was. Each place where a barrier enforces that is marked `s.barrier`.

This file follows one request around a **request ring** (CMD or TX; the two work alike):

    line up -> claim -> store words -> store owner -> ring doorbell -> wait
                 ^ next packet of a batch <-'
                 card: look -> fetch -> ... -> write owner            (device_spec)
    handler: reclaim -> take -> tell the waiter

and one packet around the **receive ring**:

    card: fill a slot, write owner
    handler: load owner -> readable
    reader: load owner -> take -> look at next -> copy -> give back
                       -> peek

Counters `prod`, `dev` and `cons` say how many requests the host handed over, the card returned, and
the host took back: `cons <= dev <= prod <= cons + N`. Indices follow them around the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from model.algebra import FALSE, TRUE, And, Array, Bool, If, Number, constant, next_index, ring_size
from model.rules import THREAD, Choice, Parameter, Party, Rule, bind
from model.state import (
    CAPACITY,
    EVENT_THREAD,
    NOBODY,
    POSTED,
    Label,
    Life,
    Outcome,
    RequestRing,
    State,
)
from model.thread_spec import draw_ticket, holds, release, sleep

__all__ = [
    "COMMAND",
    "HOLDING",
    "TRANSMIT",
    "ZERO",
    "RequestProgram",
    "call_must_end",
    "join_line",
    "packet_waits",
    "ring_rules",
]

ZERO: Final = Parameter("zero", Choice.FLAG)
"""Whether the packet to send is empty."""


@attrs.frozen
class RequestProgram:
    """What differs between the two request rings: names, labels, channel."""

    name: str
    section: str
    ring: Callable[[State], RequestRing]
    channel: Callable[[State], Array[Bool]]
    turn: Label
    first_word: Label
    owner: Label
    doorbell: Label
    next_in_line: Label
    wait: Label
    quit: Label
    abandon: Label
    reclaim: Label
    take: Label
    reclaimed: Label


TRANSMIT: Final = RequestProgram(
    name="tx",
    section="Rings: Transmit",
    ring=lambda s: s.tx,
    channel=lambda s: s.threads.wake_tx,
    turn=Label.TX_TURN,
    first_word=Label.TX_HEAD,
    owner=Label.TX_OWNER,
    doorbell=Label.TX_DOORBELL,
    next_in_line=Label.TX_NEXT_IN_LINE,
    wait=Label.TX_WAIT,
    quit=Label.TX_QUIT,
    abandon=Label.TX_ABANDON,
    reclaim=Label.TX_RECLAIM,
    take=Label.TX_TAKE,
    reclaimed=Label.RX_READY,
)
COMMAND: Final = RequestProgram(
    name="cmd",
    section="Rings: commands",
    ring=lambda s: s.cmd,
    channel=lambda s: s.threads.wake_cmd,
    turn=Label.CMD_TURN,
    first_word=Label.CMD_FIELDS,
    owner=Label.CMD_OWNER,
    doorbell=Label.CMD_DOORBELL,
    next_in_line=Label.CMD_NEXT_IN_LINE,
    wait=Label.CMD_WAIT,
    quit=Label.CMD_QUIT,
    abandon=Label.CMD_ABANDON,
    reclaim=Label.CMD_RECLAIM,
    take=Label.CMD_TAKE,
    reclaimed=Label.TX_RECLAIM,
)


def call_must_end(s: State, t: Number) -> Bool:
    """The card failed, or it is being closed and t is not the thread that closes it."""
    return s.driver.failed | And(s.driver.life != Life.OPEN, s.threads.back[t] == Label.EXIT)


# A caller waits for its turn and for a free slot


def join_line(p: RequestProgram, s: State, t: Number) -> None:
    """Take the last place in the line of callers that want a slot."""
    line = p.ring(s).line
    s.threads.place[t] = line.next
    line.who[line.next] = t
    line.gone[line.next] = False
    line.next = line.next + 1


def my_turn(p: RequestProgram, s: State, t: Number) -> Bool:
    """Thread t is first in line and a slot is free: the producer is bounded by the consumer."""
    ring = p.ring(s)
    return And(ring.line.head == s.threads.place[t], ring.prod - ring.cons < ring_size())


def claim(p: RequestProgram, s: State, t: Number) -> None:
    """The first in line finds a free slot and starts to fill it in."""
    s.require(holds(s, t, p.turn) & ~call_must_end(s, t) & my_turn(p, s, t))
    ring = p.ring(s)
    slot = ring.prod_i
    s.threads.slot[t] = slot
    s.threads.request[t] = ring.prod
    s.threads.answered[t] = False
    ring.tag[slot] = ring.prod
    if p is TRANSMIT:
        s.tx.zero[slot] = s.threads.zero[t]
        s.threads.label[t] = If(s.threads.zero[t], Label.TX_FIELDS, Label.TX_HEAD)
    else:
        s.threads.label[t] = p.first_word


def wait_for_turn(p: RequestProgram, s: State, t: Number) -> None:
    """It is not the caller's turn, or the ring is full: sleep."""
    s.require(holds(s, t, p.turn) & ~call_must_end(s, t) & ~my_turn(p, s, t))
    s.require(~s.threads.nonblocking[t])
    sleep(s, t)


def refuse(p: RequestProgram, s: State, t: Number) -> None:
    """The caller may not wait, or must not go on: it leaves the line with an error."""
    end = call_must_end(s, t)
    s.require(holds(s, t, p.turn))
    s.require(end | s.threads.nonblocking[t] & ~my_turn(p, s, t))
    s.threads.outcome[t] = If(end, Outcome.EIO, Outcome.EAGAIN)
    s.threads.label[t] = p.quit


def quit_line(p: RequestProgram, s: State, t: Number) -> None:
    """Mark the caller's place as given up; whoever leaves the line next skips it."""
    s.require(holds(s, t, p.quit))
    p.ring(s).line.gone[s.threads.place[t]] = True
    s.threads.label[t] = p.next_in_line


def skip_place(p: RequestProgram, s: State, t: Number) -> None:
    """The place whose turn it is was given up: the next one's turn."""
    line = p.ring(s).line
    s.require(holds(s, t, p.next_in_line) & (line.head != line.next) & line.gone[line.head])
    line.head = line.head + 1


def leave_line(p: RequestProgram, s: State, t: Number) -> None:
    """Wake the line, then wait for the completion or, if there is nothing to wait for, return."""
    line = p.ring(s).line
    s.require(holds(s, t, p.next_in_line))
    s.require((line.head == line.next) | ~line.gone[line.head])
    p.channel(s).fill(True)
    queued = s.threads.outcome[t] == Outcome.NONE
    waits = queued & ~s.threads.nonblocking[t]
    s.threads.label[t] = If(waits, p.wait, s.threads.back[t])
    s.threads.outcome[t] = If(queued & ~waits, Outcome.OK, s.threads.outcome[t])


# The host fills in a slot and hands it over


def store_head(s: State, t: Number) -> None:
    """Store an early word of the payload."""
    s.require(holds(s, t, Label.TX_HEAD))
    s.writes("tx", "head", s.tx.prod_i)
    s.tx.head_pending[s.tx.prod_i] = True
    s.threads.label[t] = Label.TX_TAIL


def store_tail(s: State, t: Number) -> None:
    """Store a late word of the payload."""
    s.require(holds(s, t, Label.TX_TAIL))
    s.writes("tx", "tail", s.tx.prod_i)
    s.tx.tail_pending[s.tx.prod_i] = True
    s.threads.label[t] = Label.TX_FIELDS


def store_fields(p: RequestProgram, s: State, t: Number) -> None:
    """Store the slot's fields."""
    fields = Label.TX_FIELDS if p is TRANSMIT else Label.CMD_FIELDS
    s.require(holds(s, t, fields))
    ring = p.ring(s)
    s.writes(p.name, "fields", ring.prod_i)
    ring.fields_pending[ring.prod_i] = True
    if p is COMMAND:
        s.cmd.kind_new[ring.prod_i] = s.threads.kind[t]
        s.cmd.key_new[ring.prod_i] = s.threads.key[t]
    s.threads.label[t] = p.owner


def store_owner(p: RequestProgram, s: State, t: Number) -> None:
    """Store owner = DEVICE: from here on the slot and its buffers are the card's."""
    s.require(holds(s, t, p.owner))
    ring = p.ring(s)
    slot = ring.prod_i
    s.writes(p.name, "owner", slot)
    ring.owner_new[slot] = True
    ring.owner_pending[slot] = True
    ring.waiter[slot] = If(s.threads.nonblocking[t], NOBODY, t)
    ring.prod = ring.prod + 1
    ring.prod_i = next_index(slot)
    s.threads.label[t] = p.doorbell


def ring_doorbell(p: RequestProgram, s: State, t: Number) -> None:
    """Write the slot's index to DBELL (a posted write: it reaches the card later)."""
    post_doorbell(p, s, t)
    if p is TRANSMIT:
        s.require(s.threads.more[t] == 0)
    line = p.ring(s).line
    line.head = line.head + 1
    s.threads.label[t] = p.next_in_line


def post_doorbell(p: RequestProgram, s: State, t: Number) -> None:
    """Issue the doorbell of the slot just handed over."""
    s.require(holds(s, t, p.doorbell))
    ring = p.ring(s)
    s.require(ring.rung - ring.heard < POSTED, "room for a posted write")
    ring.bell_value[ring.rung] = s.threads.slot[t]
    ring.rung = ring.rung + 1


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
    threads.label[t] = Label.TX_TURN


# The caller waits for the completion of its own request


def wait_for_completion(p: RequestProgram, s: State, t: Number) -> None:
    """The request is still on its way: sleep."""
    s.require(holds(s, t, p.wait) & ~s.threads.answered[t] & ~call_must_end(s, t))
    sleep(s, t)


def completed(p: RequestProgram, s: State, t: Number) -> None:
    """The handler took the completion of this very request: return its result."""
    s.require(holds(s, t, p.wait) & s.threads.answered[t])
    s.threads.outcome[t] = s.threads.code[t]
    s.threads.label[t] = s.threads.back[t]


def give_up_waiting(p: RequestProgram, s: State, t: Number) -> None:
    """The card failed or is being closed: the call ends with EIO."""
    s.require(holds(s, t, p.wait) & ~s.threads.answered[t] & call_must_end(s, t))
    s.threads.outcome[t] = Outcome.EIO
    s.threads.label[t] = p.abandon


def abandon(p: RequestProgram, s: State, t: Number) -> None:
    """The caller leaves; the request stays in flight and nobody is told of its completion."""
    s.require(holds(s, t, p.abandon))
    waiter = p.ring(s).waiter
    slot = s.threads.slot[t]
    waiter[slot] = If(s.threads.answered[t], waiter[slot], NOBODY)
    s.threads.label[t] = s.threads.back[t]


# The event handler takes slots back


def loaded_owner(p: RequestProgram, s: State) -> Bool:
    """What the handler's load of the owner byte at cons yields: true = DEVICE.

    A load that was satisfied early has its value already; otherwise the handler's own store to the
    slot, if it is still pending, is what it sees; otherwise memory.
    """
    ring = p.ring(s)
    slot = ring.cons_i
    s.reads(p.name, "owner", slot, when=ring.cons != ring.prod)
    present = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])
    return If(ring.early, ring.early_owner, present)


def reclaim_found(p: RequestProgram, s: State, t: Number) -> None:
    """Load the owner byte of the oldest request's slot: the card returned it."""
    ring = p.ring(s)
    s.require(holds(s, t, p.reclaim) & (t == EVENT_THREAD))
    s.require((ring.cons != ring.prod) & ~loaded_owner(p, s))
    ring.early = FALSE
    s.threads.label[t] = p.take


def reclaim_done(p: RequestProgram, s: State, t: Number) -> None:
    """Nothing is outstanding, or the oldest request is still the card's: done with this ring."""
    ring = p.ring(s)
    s.require(holds(s, t, p.reclaim) & (t == EVENT_THREAD))
    s.require((ring.cons == ring.prod) | loaded_owner(p, s))
    ring.early = FALSE
    s.threads.label[t] = p.reclaimed


def take(p: RequestProgram, s: State, t: Number) -> None:
    """Take the slot back: advance the consumer, tell the waiter, then wake the channel."""
    ring = p.ring(s)
    s.require(holds(s, t, p.take) & (t == EVENT_THREAD))
    slot = ring.cons_i
    waiter = ring.waiter[slot]
    threads = s.threads
    tag: Number = ring.cons
    code: Number = constant(Outcome.OK)
    if p is COMMAND:
        s.reads("cmd", "result", slot)
        tag = If(s.cmd.early_result, s.cmd.early_tag, s.cmd.result[slot])
        code = If(s.cmd.early_result, s.cmd.early_code, s.cmd.code[slot])
        s.cmd.early_result = FALSE
    told = waiter != NOBODY
    threads.answered[waiter] = If(told, True, threads.answered[waiter])
    threads.answer[waiter] = If(told, tag, threads.answer[waiter])
    threads.code[waiter] = If(told, code, threads.code[waiter])
    ring.waiter[slot] = NOBODY
    ring.cons = ring.cons + 1
    ring.cons_i = next_index(slot)
    p.channel(s).fill(True)
    threads.label[t] = p.reclaim


def _request_rules(p: RequestProgram) -> list[Rule]:
    bodies: list[Callable[..., None]] = [
        claim,
        wait_for_turn,
        refuse,
        quit_line,
        skip_place,
        leave_line,
        store_fields,
        store_owner,
        ring_doorbell,
        wait_for_completion,
        completed,
        give_up_waiting,
        abandon,
        reclaim_found,
        reclaim_done,
        take,
    ]
    return [
        Rule(f"{p.name}.{body.__name__}", Party.HOST, p.section, (THREAD,), "thread", bind(body, p))
        for body in bodies
    ]


# The receive ring: a reader takes a packet and gives the slot back

HOLDING: Final = (Label.RX_NEXT, Label.RX_HEAD, Label.RX_TAIL, Label.RX_POINTER, Label.RX_GIVE)
"""Labels at which a reader holds a receive slot."""


def loaded_rx_owner(s: State, when: Bool = TRUE) -> Bool:
    """What a load of the owner byte at cons by reader or handler yields: true = DEVICE."""
    ring = s.rx
    slot = ring.cons_i
    s.reads("rx", "owner", slot, when)
    present = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])
    return If(ring.early, ring.early_owner, present)


def packet_waits(s: State, when: Bool = TRUE) -> Bool:
    """The slot at cons holds a packet, by its owner byte as loaded; no slow reader holds it.

    `when`: the byte is loaded only if this holds.
    """
    return ~s.rx.held[s.rx.cons_i] & ~loaded_rx_owner(s, when)


def packet_found(s: State, t: Number) -> None:
    """Load the owner byte: the card filled the slot, and no slow reader still holds it."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t))
    s.require(packet_waits(s))
    s.rx.early = FALSE
    s.threads.label[t] = Label.RX_HEADER


def nothing_to_read(s: State, t: Number) -> None:
    """No packet: not readable any more; return EAGAIN or sleep until the handler says otherwise."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t))
    s.require(~packet_waits(s))
    s.rx.early = FALSE
    s.rx.ready = FALSE
    returns = s.threads.nonblocking[t]
    s.threads.outcome[t] = If(returns, Outcome.EAGAIN, s.threads.outcome[t])
    s.threads.label[t] = If(returns, Label.EXIT, Label.RX_OWNER)
    s.threads.asleep[t] = ~returns
    s.lock.serving = If(returns, s.lock.serving, s.lock.serving + 1)


def read_must_end(s: State, t: Number) -> None:
    """The card failed or is being closed: the call ends with EIO."""
    s.require(holds(s, t, Label.RX_OWNER) & call_must_end(s, t))
    s.rx.early = FALSE
    s.threads.outcome[t] = Outcome.EIO
    s.threads.label[t] = Label.EXIT


def load_header(s: State) -> tuple[Number, Number]:
    """Load the header at cons once: the packet that it belongs to, and its length."""
    ring = s.rx
    slot = ring.cons_i
    s.reads("rx", "header", slot)
    tag = If(ring.early_header, ring.early_tag, ring.header[slot])
    length = If(ring.early_header, ring.early_length, ring.length[slot])
    ring.early_header = FALSE
    return tag, length


def peek_packet(s: State, t: Number) -> None:
    """Load the header once, check its length, and return that; the packet stays where it is."""
    s.require(holds(s, t, Label.RX_HEADER) & s.threads.peek[t])
    tag, length = load_header(s)
    s.rx.early = FALSE
    s.threads.got[t] = tag
    s.threads.length[t] = length
    s.threads.outcome[t] = If(length <= CAPACITY, Outcome.OK, Outcome.EIO)
    s.threads.label[t] = Label.EXIT


def take_packet(s: State, t: Number) -> None:
    """Load the header once, check its length, and hold the slot."""
    s.require(holds(s, t, Label.RX_HEADER) & ~s.threads.peek[t])
    ring = s.rx
    slot = ring.cons_i
    tag, length = load_header(s)
    legal = length <= CAPACITY
    s.threads.slot[t] = slot
    s.threads.packet[t] = ring.cons
    s.threads.got[t] = tag
    s.threads.copied[t] = If(legal, length, 0)
    s.threads.outcome[t] = If(legal, Outcome.OK, Outcome.EIO)
    ring.held[slot] = True
    ring.holder[slot] = t
    ring.cons = ring.cons + 1
    ring.cons_i = next_index(slot)
    s.threads.label[t] = Label.RX_NEXT


def look_at_next(s: State, t: Number) -> None:
    """Load the next slot's owner byte: no packet, not readable any more; the next reader may go on.

    Nobody has closed the card, nor noticed a failure, since the lock was taken: so no reader loses
    the wake-up that tells it to end.
    """
    s.require(holds(s, t, Label.RX_NEXT))
    s.rx.ready = s.rx.ready & packet_waits(s)
    s.rx.early = FALSE
    s.threads.label[t] = If(s.threads.copied[t] != 0, Label.RX_HEAD, Label.RX_POINTER)
    release(s)


def copy_head(s: State, t: Number) -> None:
    """Copy an early word of the payload to the caller."""
    s.require(s.threads.label[t] == Label.RX_HEAD)
    slot = s.threads.slot[t]
    s.reads("rx", "head", slot)
    s.threads.got_head[t] = s.rx.head[slot]
    s.threads.label[t] = Label.RX_TAIL


def copy_tail(s: State, t: Number) -> None:
    """Copy a late word of the payload to the caller."""
    s.require(s.threads.label[t] == Label.RX_TAIL)
    slot = s.threads.slot[t]
    s.reads("rx", "tail", slot)
    s.threads.got_tail[t] = s.rx.tail[slot]
    s.threads.label[t] = Label.RX_POINTER


def restore_pointer(s: State, t: Number) -> None:
    """Store the slot's own buffer into its pointers again, then ask for the lock."""
    s.require(s.threads.label[t] == Label.RX_POINTER)
    slot = s.threads.slot[t]
    s.writes("rx", "pointer", slot)
    s.rx.pointer_new[slot] = slot
    s.rx.pointer_pending[slot] = True
    s.threads.label[t] = Label.RX_GIVE
    draw_ticket(s, t)


def give_back(s: State, t: Number) -> None:
    """Store owner = DEVICE: the slot and its buffer are the card's again."""
    s.require(holds(s, t, Label.RX_GIVE))
    slot = s.threads.slot[t]
    s.writes("rx", "owner", slot)
    s.rx.owner_new[slot] = True
    s.rx.owner_pending[slot] = True
    s.rx.held[slot] = False
    s.threads.label[t] = Label.EXIT


def keep(s: State, t: Number) -> None:
    """The card failed or is being closed: leave; the next initialisation sets the slot right.

    Nothing is lost by that: no further packet is wanted, and the slot stays the host's.
    """
    s.require(holds(s, t, Label.RX_GIVE) & call_must_end(s, t))
    s.threads.label[t] = Label.EXIT


def keep_untouched(s: State, t: Number) -> None:
    """The same, without having stored the pointers: only ask for the lock, to leave.

    To look without the lock is safe: a call that must end goes on having to.
    """
    s.require((s.threads.label[t] == Label.RX_POINTER) & call_must_end(s, t))
    s.threads.label[t] = Label.EXIT
    draw_ticket(s, t)


def _receive_rules() -> list[Rule]:
    bodies: list[Callable[..., None]] = [
        packet_found,
        nothing_to_read,
        read_must_end,
        peek_packet,
        take_packet,
        look_at_next,
        copy_head,
        copy_tail,
        restore_pointer,
        give_back,
        keep,
        keep_untouched,
    ]
    return [
        Rule(f"rx.{body.__name__}", Party.HOST, "Rings: Receive", (THREAD,), "thread", body)
        for body in bodies
    ]


def ring_rules() -> list[Rule]:
    """All rules of this file."""
    payload = [
        Rule(f"tx.{body.__name__}", Party.HOST, TRANSMIT.section, (THREAD,), "thread", body)
        for body in (store_head, store_tail)
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
