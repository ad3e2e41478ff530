"""What is promised: the safety properties, as statements about one state.

Each holds in every state that the system can reach, for every slot k and thread t. The proofs show
it; tests evaluate it along long runs; a fault is caught when one of these breaks.
Promises that something will happen are in `proofs.ranking`.
"""

from __future__ import annotations

from typing import Final

from engine.claims import Property, PropertyBook, slot_exists, within
from engine.terms import (
    And,
    Bool,
    Implies,
    Number,
    Or,
    constant,
    one_of,
    ring_size,
    wrap,
)
from model.device_spec import running
from model.driver_spec import rx_pending, tx_pending
from model.ring_spec import (
    COMMAND,
    HOLDING,
    RECEIVE,
    TRANSMIT,
    RingOperations,
    call_must_end,
    first_in_line,
    my_turn,
    nobody_in_line,
)
from model.state import (
    CAPACITY,
    EVENT_THREAD,
    FATAL_THREAD,
    UNICAST,
    Flags,
    Label,
    Life,
    Result,
    Stage,
    State,
)
from model.thread_spec import at, holder, lock_is_held
from model.words import SCAN

__all__ = ["PROPERTIES"]


BOOK: Final = PropertyBook()


@BOOK.property("flow-control")
def flow_control(s: State) -> Bool:
    """No ring in use holds more requests than slots, and nobody runs ahead of the other side."""
    n = ring_size()
    parts = [
        Implies(
            ring.live,
            And(
                constant(0) <= ring.dev - ring.cons,
                ring.dev - ring.cons <= ring.prod - ring.cons,
                ring.prod - ring.cons <= n,
            ),
        )
        for ring in (s.tx, s.cmd)
    ]
    waiting = s.rx.dev - s.rx.cons
    parts.append(Implies(s.rx.live, And(constant(0) <= waiting, waiting <= n)))
    return And(*parts)


@BOOK.property("transmit-fifo")
def transmit_fifo(s: State) -> Bool:
    """Packets are sent once each, in order, and whole: no stale or torn word leaves the card."""
    ring = s.tx
    sent = s.card.was_reset & one_of(ring.stage, (Stage.SEND, Stage.WRITE_OWNER))
    whole = ring.seen_zero | (ring.seen_first_word == ring.dev) & (ring.seen_last_word == ring.dev)
    return And(
        Implies(sent, (ring.seen_fields == ring.dev) & whole & (ring.dev != ring.prod)),
        Implies(
            ring.live & s.card.started,
            (ring.sent == ring.dev) | (ring.sent == ring.dev + 1),
        ),
    )


@BOOK.property("command-fifo")
def command_fifo(s: State) -> Bool:
    """Commands are executed once each, in order, and as they were submitted."""
    ring = s.cmd
    slot = ring.dev_i
    return Implies(
        s.card.was_reset & (ring.stage == Stage.EXECUTE),
        And(
            ring.dev != ring.prod,
            ring.seen_fields == ring.dev,
            ring.seen_kind == ring.kind_new[slot],
            ring.seen_key == ring.key_new[slot],
        ),
    )


def looked(s: State, t: Number) -> Bool:
    """Thread t has looked at the next packet, and left it where it is."""
    left = at(s, t, Label.RX_LEAVE_QUEUE, Label.EXIT)
    return And(left, s.threads.peek[t], s.threads.result[t] == Result.OK)


@BOOK.property("receive-fifo", "thread")
def receive_fifo(s: State, t: Number) -> Bool:
    """Packets reach readers once each, in order, and whole, and a peek tells the next one's length.

    Nobody reads a stale or torn word.
    """
    threads = s.threads
    packet = threads.packet[t]
    holding = at(s, t, *HOLDING)
    copied = at(s, t, Label.RX_POINTER, Label.RX_REPOST, Label.EXIT) & (threads.copied[t] != 0)
    return And(
        Implies(at(s, t, Label.RX_HEADER), s.rx.dev != s.rx.cons),
        Implies(holding, threads.got[t] == packet),
        Implies(looked(s, t), And(s.rx.dev != s.rx.cons, threads.got[t] == s.rx.cons)),
        Implies(looked(s, t) & ~s.card.lies, threads.length[t] == s.rx.length[s.rx.cons_i]),
        Implies(
            copied & ~s.card.lies,
            (threads.got_first_word[t] == packet) & (threads.got_last_word[t] == packet),
        ),
    )


@BOOK.property("own-result", "thread")
def own_result(s: State, t: Number) -> Bool:
    """A caller gets the result of its own command, and learns of its own packet's completion."""
    return Implies(s.threads.completed[t], s.threads.completed_sequence[t] == s.threads.request[t])


@BOOK.property("no-dma-after-free")
def no_dma_after_free(s: State) -> Bool:
    """The card touches no memory of the packet rings that was freed or never given to it."""
    transmitting = ~one_of(s.tx.stage, (Stage.IDLE,)) & running(s)
    receiving = ~one_of(s.rx.stage, (Stage.IDLE,)) & running(s)
    writing = one_of(s.rx.stage, (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD)) & running(s)
    return And(
        Implies(transmitting, s.tx.exists[s.tx.dev_i]),
        Implies(receiving, s.rx.exists[s.rx.dev_i]),
        Implies(writing, slot_exists(s.rx.target) & s.rx.exists[s.rx.target]),
    )


@BOOK.property("no-dma-before-reset")
def no_dma_before_reset(s: State) -> Bool:
    """The card may access memory only once it was reset: it knows no address of a predecessor."""
    return Implies(s.card.bus_master, s.card.was_reset)


@BOOK.property("no-store-after-free", "slot")
def no_store_after_free(s: State, k: Number) -> Bool:
    """No store of the host is on its way to memory that was freed."""
    return Implies(
        slot_exists(k),
        And(
            Implies(tx_pending(s, k), s.tx.exists[k]),
            Implies(rx_pending(s, k), s.rx.exists[k]),
        ),
    )


@BOOK.property("buffer-ownership")
def buffer_ownership(s: State) -> Bool:
    """The card writes packets only to the buffers of the slot that it owns and fills."""
    writing = one_of(
        s.rx.stage,
        (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER),
    )
    slot = s.rx.dev_i
    return Implies(
        writing & running(s),
        And(s.rx.target == slot, s.rx.owner[slot], ~s.rx.held[slot]),
    )


@BOOK.property("filters-by-command", "key")
def filters_by_command(s: State, key: Number) -> Bool:
    """The filter table is exactly what the commands submitted since the first reset make of it."""
    return Implies(s.card.was_reset, s.card.filters[key] == s.card.asked[key])


@BOOK.property("own-address")
def own_address(s: State) -> Bool:
    """A card that is open has the filter of its own address."""
    return Implies(s.driver.life == Life.OPEN, s.card.filters[UNICAST] != 0)


@BOOK.property("closed-is-stopped", "slot", "key")
def closed_is_stopped(s: State, k: Number, key: Number) -> Bool:
    """A closed card is stopped, without filters, with all packet memory freed, or needs a reset."""
    closed = (s.driver.life == Life.CLOSED) & ~s.driver.needs_reset
    return And(
        Implies(closed, ~s.card.started & (s.card.filters[key] == 0)),
        Implies(closed & slot_exists(k), ~s.tx.exists[k] & ~s.rx.exists[k]),
    )


@BOOK.property("opens-counted")
def opens_counted(s: State) -> Bool:
    """The card is open exactly while somebody has it open."""
    return And(
        s.driver.opens == s.driver.handles,
        (s.driver.life == Life.OPEN) == (s.driver.handles != 0),
    )


@BOOK.property("protocol-order")
def protocol_order(s: State) -> Bool:
    """The driver never breaks the card's protocol: FLAGS.SEQ is never set."""
    return ~s.card.sequence_error


def _doorbell_right(ops: RingOperations, s: State, j: Number) -> Bool:
    ring = ops.ring(s)
    slot = ring.doorbell_value[j]
    pending = And(
        constant(0) <= j - ring.doorbells_arrived,
        j - ring.doorbells_arrived < ring.doorbells_posted - ring.doorbells_arrived,
    )
    current = ring.live & (ring.prod - j <= ring.prod - ring.cons)
    return Implies(
        pending,
        slot_exists(slot) & Implies(current, wrap(slot, ring.cons_i) == j - ring.cons),
    )


@BOOK.property("doorbell-index", "counter")
def doorbell_index(s: State, j: Number) -> Bool:
    """Each doorbell names the slot just handed over."""
    return _doorbell_right(TRANSMIT, s, j) & _doorbell_right(COMMAND, s, j)


@BOOK.property("bounds", "thread")
def bounds(s: State, t: Number) -> Bool:
    """No reader copies, or is told of, more bytes than a slot holds, whatever the card writes."""
    holding = at(s, t, *HOLDING)
    return And(
        Implies(holding, s.threads.copied[t] <= CAPACITY),
        Implies(looked(s, t), s.threads.length[t] <= CAPACITY),
    )


@BOOK.property("mutual-exclusion", "thread")
def mutual_exclusion(s: State, t: Number) -> Bool:
    """Only the thread that holds the lock fills in, takes back or sets up a ring."""
    critical = at(
        s, t,
        Label.TX_FIRST_WORD, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER, Label.TX_DOORBELL,
        Label.CMD_FIELDS, Label.CMD_OWNER, Label.CMD_DOORBELL, Label.RX_HEADER, Label.RX_NEXT,
        Label.CMD_SCAN, Label.CMD_RECLAIM, Label.TX_SCAN, Label.TX_RECLAIM, Label.RX_READY,
        Label.RESET, Label.POLL, Label.BUS_MASTER, Label.CMD_INIT, Label.CMD_BASE, Label.FREE,
        Label.INIT_TX, Label.INIT_POINTER, Label.INIT_RX, Label.BASE, Label.READ_BACK,
    )  # fmt: skip
    return Implies(critical, lock_is_held(s) & (holder(s) == t))


@BOOK.property("turn-order", "thread")
def turn_order(s: State, t: Number) -> Bool:
    """Callers get slots in the order of their arrival: nobody is overtaken in the queue."""
    sending = at(s, t, Label.TX_FIRST_WORD, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER)
    commanding = at(s, t, Label.CMD_FIELDS, Label.CMD_OWNER)
    place = s.threads.queue_position[t]
    return And(
        Implies(sending, s.tx.waiters.head == place),
        Implies(commanding, s.cmd.waiters.head == place),
    )


@BOOK.property("reading-order", "thread")
def reading_order(s: State, t: Number) -> Bool:
    """Readers get packets in the order of their arrival: no reader overtakes an earlier one.

    Who is at a packet is the first in line, and the turn of whoever waits has not passed.
    """
    queue, place = s.rx.waiters, s.threads.queue_position[t]
    return And(
        Implies(at(s, t, Label.RX_HEADER), queue.head == place),
        Implies(at(s, t, Label.RX_OWNER), within(place, queue.head, queue.next - queue.head)),
    )


def request_sleeper(ops: RingOperations, s: State, t: Number) -> Bool:
    """Nobody sleeps unwoken on a request ring although what it waits for has happened."""
    unwoken = s.threads.asleep[t] & ~ops.woken(s)[t]
    moving_on = lock_is_held(s) & at(s, holder(s), ops.leave)
    return And(
        Implies(
            at(s, t, ops.turn) & unwoken,
            ~call_must_end(s, t) & (~my_turn(ops, s, t) | moving_on),
        ),
        Implies(
            at(s, t, ops.wait) & unwoken,
            ~call_must_end(s, t) & ~s.threads.completed[t],
        ),
    )


def life_sleeper(s: State, t: Number) -> Bool:
    """Nobody sleeps unwoken on the wait queue of open and close although its condition holds."""
    unwoken = s.threads.asleep[t] & ~s.threads.wake_life[t]
    handler_will_wake = at(
        s, constant(EVENT_THREAD), Label.TX_SCAN, Label.TX_RECLAIM, Label.RX_READY
    )
    return And(
        Implies(at(s, t, Label.LEAVE) & unwoken, s.driver.inside != 0),
        Implies(
            at(s, t, Label.DRAIN) & unwoken,
            ~s.driver.failed & ((s.tx.cons != s.tx.prod) | handler_will_wake),
        ),
        Implies(
            at(s, t, Label.OPEN_ENTER) & unwoken,
            one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ),
    )


@BOOK.property("no-lost-wake-up", "thread")
def no_lost_wake_up(s: State, t: Number) -> Bool:
    """No sender, command or close sleeps unwoken although what it waits for has happened."""
    requests = (request_sleeper(ops, s, t) for ops in (TRANSMIT, COMMAND))
    return And(*requests, life_sleeper(s, t))


def announced(ops: RingOperations, s: State, called: Bool) -> Bool:
    """The handler will still look at the ring, or is called to."""
    ring = ops.ring(s)
    event = constant(EVENT_THREAD)
    before = (
        (Label.CMD_SCAN,) if ops is COMMAND else (Label.CMD_SCAN, Label.CMD_RECLAIM, Label.TX_SCAN)
    )
    stale = ring.owner_speculated & ring.speculated_owner
    return Or(
        ring.due,
        called,
        at(s, event, Label.READ_EVENTS),
        at(s, event, *before) & ~stale,
        at(s, event, ops.reclaim) & (~stale | (ring.dev == ring.cons + 1)),
    )


@BOOK.property("no-lost-completion")
def no_lost_completion(s: State) -> Bool:
    """A completion is announced to the handler until the handler has reclaimed it."""
    raised = s.card.raising | s.card.vector0
    rings = ((ops, ops.ring(s)) for ops in (TRANSMIT, COMMAND))
    return And(
        *(
            Implies(completion_waits(ops, s), announced(ops, s, ring.event & raised))
            for ops, ring in rings
        )
    )


def completion_waits(ops: RingOperations, s: State) -> Bool:
    """The card has given slots back that the driver has not reclaimed."""
    ring = ops.ring(s)
    return And(ring.live, running(s), ring.dev != ring.cons)


def packet_waits_for_taker(s: State) -> Bool:
    """The card has delivered a packet that no reader has taken."""
    return And(s.rx.live, running(s), s.rx.dev != s.rx.cons)


def packet_announced(s: State) -> Bool:
    """The handler is about to look whether a packet waits, or is called to."""
    ring = s.rx
    event = constant(EVENT_THREAD)
    called = ring.event & (s.card.raising | s.card.vector0)
    stale = ring.owner_speculated & ring.speculated_owner
    looking = at(s, event, *SCAN) & ~stale
    return Or(ring.due, called, at(s, event, Label.READ_EVENTS), looking)


def readers_move_on(s: State) -> Bool:
    """Whoever holds the lock leaves the line of readers and will see to the next one's turn.

    Who says EAGAIN has no news for the next one.
    """
    t = holder(s)
    news = s.threads.result[t] != Result.EAGAIN
    leaves = at(s, t, Label.RX_NEXT) | at(s, t, Label.RX_LEAVE_QUEUE) & news
    return lock_is_held(s) & leaves


def first_reader_acts(s: State) -> Bool:
    """The first in line is awake or woken, and will look at the next packet or at who is next."""
    queue, threads = s.rx.waiters, s.threads
    t = queue.waiter[queue.head]
    looks = at(s, t, Label.RX_OWNER) & (~threads.asleep[t] | threads.wake_rx[t])
    interrupted = at(s, t, Label.RX_CANCEL) & (threads.result[t] == Result.EINTR)
    return And(
        ~nobody_in_line(queue),
        ~queue.cancelled[queue.head],
        looks | at(s, t, Label.RX_HEADER) | interrupted,
    )


@BOOK.property("no-lost-packet")
def no_lost_packet(s: State) -> Bool:
    """While a packet waits, the card is readable, or a reader or the handler is about to look."""
    known = Or(packet_announced(s), s.rx.ready, readers_move_on(s), first_reader_acts(s))
    return Implies(packet_waits_for_taker(s), known)


@BOOK.property("precise-readiness")
def precise_readiness(s: State) -> Bool:
    """The card is readable only while a packet waits that nobody is in line for.

    Or while readers must end. Who comes while it is readable says what is left, or that it is not,
    before it lets go of the lock.
    """
    queue, t = s.rx.waiters, holder(s)
    must_end = s.driver.failed | (s.driver.life == Life.CLOSING)
    taken = lock_is_held(s) & at(s, t, Label.RX_NEXT)
    looking = lock_is_held(s) & at(s, t, Label.RX_OWNER, Label.RX_HEADER)
    return Implies(
        And(s.rx.live, s.rx.ready, ~must_end),
        And(
            (s.rx.dev != s.rx.cons) | taken,
            nobody_in_line(queue) | looking & (queue.next == queue.head + 1),
        ),
    )


@BOOK.property("failure-polled")
def failure_polled(s: State) -> Bool:
    """A card that is known to have failed polls as readable: whoever watches it looks, and hears.

    No call need be under way for that.
    """
    return Implies(s.rx.live & s.driver.failed, s.rx.ready)


@BOOK.property("no-slot-lost", "slot")
def no_slot_lost(s: State, k: Number) -> Bool:
    """A receive slot that was taken is in the hands of a reader, unless readers must end."""
    t = s.rx.holder[k]
    must_end = s.driver.failed | (s.driver.life == Life.CLOSING)
    return Implies(
        And(s.rx.live, ~must_end, slot_exists(k), s.rx.held[k]),
        at(s, t, *HOLDING) & (s.threads.slot[t] == k),
    )


@BOOK.property("failure-seen")
def failure_seen(s: State) -> Bool:
    """A fatal error of a card that was reset is known to the driver, or vector 1 is on its way."""
    return Implies(
        s.card.was_reset & (s.card.flags == Flags.ERROR),
        s.driver.failed | s.card.vector1 | at(s, constant(FATAL_THREAD), Label.MARK_FAILED),
    )


@BOOK.property("reader-woken", "thread")
def reader_woken(s: State, t: Number) -> Bool:
    """No reader sleeps unwoken although its packet is there, or the card failed or is closed.

    Its packet is there when it is the first in line, one waits, and nobody is about to look.
    """
    unwoken = s.threads.asleep[t] & ~s.threads.wake_rx[t]
    its_packet = And(
        first_in_line(RECEIVE, s, t),
        packet_waits_for_taker(s),
        ~(packet_announced(s) | readers_move_on(s)),
    )
    return Implies(at(s, t, Label.RX_OWNER) & unwoken, ~call_must_end(s, t) & ~its_packet)


@BOOK.property("recoverability")
def recoverability(s: State) -> Bool:
    """A closed card that is known to have failed still says so, or is marked for a reset."""
    return Implies(
        And(s.driver.life == Life.CLOSED, s.driver.failed),
        s.driver.needs_reset | (s.card.flags == Flags.ERROR),
    )


@BOOK.property("opens-answered", "thread")
def opens_answered(s: State, t: Number) -> Bool:
    """An open that leaves the card closed says so: it returns EIO, never OK."""
    return Implies(at(s, t, Label.CLOSED) & s.driver.opening, s.driver.aborting)


PROPERTIES: Final[tuple[Property, ...]] = tuple(BOOK.properties)
"""All of them, in order."""
