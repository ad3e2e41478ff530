"""The driver around the rings: calls, interrupt handlers, open, close, failure and recovery.

A user's call begins (`begin_*`, whenever a user likes), asks for the lock, and runs through the
steps that its labels name until it is IDLE again. The steps on a ring are in `ring_spec`.

Only one thread at a time opens or closes the card: the conductor. Its steps are those from LEAVE to
CLOSED. Memory is freed only after the card has answered STOP or has finished a reset; if a reset
fails too, the memory is kept and the next open tries again. The card may access memory only once
the first open has reset it.
"""

from __future__ import annotations

from typing import Final

from engine.rules import THREAD, USER, Choice, Parameter, Party, RuleBook
from engine.terms import FALSE, TRUE, And, Bool, If, Number, constant, ring_size
from model.device_spec import card_resets
from model.layout import Command
from model.ring_spec import (
    COMMAND,
    RECEIVE,
    TRANSMIT,
    ZERO,
    announce_packet,
    join_queue,
    packet_waits,
)
from model.state import (
    NOBODY,
    POLLS,
    UNICAST,
    Flags,
    Label,
    Life,
    Result,
    State,
)
from model.thread_spec import (
    COMMANDS,
    LIFE,
    READERS,
    SENDERS,
    at,
    draw_ticket,
    enter_call,
    holds,
    leave_call,
    sleep,
    unlock,
    user,
    wake_everyone,
    woken_on,
)
from model.words import CMD, DEVICE, HOST, RX, TX

__all__ = ["BOOK", "events_served"]

BOOK: Final = RuleBook()
DRIVER: Final = Party.HOST
REGISTERS: Final = "Registers"
TAKEOVER: Final = "Power-on and takeover"
CALLS: Final = "What the character device offers"
NONBLOCKING: Final = Parameter("nonblocking", Choice.FLAG)
MORE: Final = Parameter("more", Choice.COUNT)
PEEK: Final = Parameter("peek", Choice.FLAG)
KIND: Final = Parameter("remove", Choice.FLAG)
KEY: Final = Parameter("key", Choice.KEY)
GARBAGE: Final = Parameter("garbage", Choice.WORD)
STALE: Final = Parameter("stale", Choice.FLAG)


# Users begin calls


def _begin(s: State, t: Number, label: Label) -> None:
    s.require(at(s, t, Label.IDLE) & user(t))
    s.threads.result[t] = Result.NONE
    s.threads.return_to[t] = Label.EXIT
    s.threads.nonblocking[t] = False
    s.threads.peek[t] = False
    s.threads.copied[t] = 0
    s.threads.pc[t] = label
    draw_ticket(s, t)


@BOOK.rule(CALLS, Party.ENVIRONMENT, USER, ZERO, NONBLOCKING, MORE)
def begin_write(s: State, t: Number, zero: Number, nonblocking: Number, more: Number) -> None:
    """A user sends a packet, or a batch of several."""
    _begin(s, t, Label.WRITE_ENTER)
    s.require(constant(0) <= more)
    s.threads.zero[t] = zero != 0
    s.threads.more[t] = more
    s.threads.handed[t] = 0
    s.threads.batch[t] = more + 1
    s.threads.nonblocking[t] = nonblocking != 0


@BOOK.rule(CALLS, Party.ENVIRONMENT, USER, NONBLOCKING, PEEK)
def begin_read(s: State, t: Number, nonblocking: Number, peek: Number) -> None:
    """A user asks for a packet, or only for the length of the next one."""
    _begin(s, t, Label.READ_ENTER)
    s.threads.peek[t] = peek != 0
    s.threads.nonblocking[t] = nonblocking != 0


@BOOK.rule(CALLS, Party.ENVIRONMENT, USER, KIND, KEY)
def begin_filter(s: State, t: Number, remove: Number, key: Number) -> None:
    """A user adds or removes a multicast filter."""
    _begin(s, t, Label.FILTER_ENTER)
    s.require(key != UNICAST)
    s.threads.kind[t] = If(remove != 0, Command.RMFILT, Command.ADDFILT)
    s.threads.key[t] = key


@BOOK.rule(CALLS, Party.ENVIRONMENT, USER)
def begin_open(s: State, t: Number) -> None:
    """A user opens the card."""
    _begin(s, t, Label.OPEN_ENTER)


@BOOK.rule(CALLS, Party.ENVIRONMENT, USER)
def begin_close(s: State, t: Number) -> None:
    """A user closes one of its opens."""
    _begin(s, t, Label.CLOSE_ENTER)
    s.require(s.driver.handles != 0)


# Calls enter and leave


def usable(s: State) -> Bool:
    """Calls are served."""
    return And(s.driver.life == Life.OPEN, ~s.driver.failed)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def turn_away(s: State, t: Number) -> None:
    """The card is not open or has failed: the call ends with EIO."""
    s.require(holds(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER) & ~usable(s))
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = Label.IDLE
    unlock(s)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def enter_write(s: State, t: Number) -> None:
    """The sender gets a place in the queue for a slot."""
    s.require(holds(s, t, Label.WRITE_ENTER) & usable(s))
    enter_call(s, t)
    join_queue(TRANSMIT, s, t)
    s.threads.pc[t] = Label.TX_TURN


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def enter_filter(s: State, t: Number) -> None:
    """The caller gets a place in the queue for a command slot."""
    s.require(holds(s, t, Label.FILTER_ENTER) & usable(s))
    enter_call(s, t)
    join_queue(COMMAND, s, t)
    s.threads.pc[t] = Label.CMD_TURN


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def enter_read(s: State, t: Number) -> None:
    """The reader gets a place in the queue for a packet."""
    s.require(holds(s, t, Label.READ_ENTER) & usable(s))
    enter_call(s, t)
    join_queue(RECEIVE, s, t)
    s.threads.pc[t] = Label.RX_OWNER


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def exit_call(s: State, t: Number) -> None:
    """The call ends; the last one to leave a card that is being closed wakes whoever closes it."""
    s.require(holds(s, t, Label.EXIT))
    leave_call(s, t)
    closing = s.driver.life == Life.CLOSING
    s.wakes(LIFE, when=closing)
    s.threads.wake_life.choose_fill(closing, True)
    s.threads.pc[t] = Label.IDLE
    unlock(s)


# The event handler (vector 0)


@BOOK.rule("Rings: Events", DRIVER, THREAD, fair="thread")
def event_interrupt(s: State, t: Number) -> None:
    """Vector 0 is delivered: the handler asks for the lock."""
    s.require(at(s, t, Label.EVENT_IDLE) & s.card.vector0)
    s.card.vector0 = FALSE
    s.threads.pc[t] = Label.READ_EVENTS
    draw_ticket(s, t)


@BOOK.rule("Rings: Events", DRIVER, THREAD, fair="thread")
def read_events(s: State, t: Number) -> None:
    """Read EVFLAGS, which clears it, and do not rely on what it says: look at all rings."""
    s.require(holds(s, t, Label.READ_EVENTS))
    s.reads_register("EVFLAGS")
    s.tx.event = FALSE
    s.cmd.event = FALSE
    s.rx.event = FALSE
    s.rx.dropped = FALSE
    s.threads.pc[t] = Label.CMD_SCAN


@BOOK.rule("Rings: Events", DRIVER, THREAD, fair="thread")
def mark_readable(s: State, t: Number) -> None:
    """Load the next receive slot's owner byte: a packet waits; wake readers, or tell pollers."""
    s.require(holds(s, t, Label.RX_READY) & s.rx.live & packet_waits(s, HOST))
    announce_packet(s, TRUE)
    events_served(s, t)


@BOOK.rule("Rings: Events", DRIVER, THREAD, fair="thread")
def no_packet_waits(s: State, t: Number) -> None:
    """No packet waits, or the receive ring is not in use: it may be freed, so do not look; done."""
    s.require(holds(s, t, Label.RX_READY) & ~(s.rx.live & packet_waits(s, DEVICE, when=s.rx.live)))
    events_served(s, t)


def events_served(s: State, t: Number) -> None:
    """Wake whoever drains the card."""
    s.rx.owner_speculated = FALSE
    s.wakes(LIFE)
    s.threads.wake_life.fill(True)
    s.threads.pc[t] = Label.EVENT_IDLE
    unlock(s)


# The fatal handler (vector 1)


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def fatal_interrupt(s: State, t: Number) -> None:
    """Vector 1 is delivered: the handler asks for the lock."""
    s.require(at(s, t, Label.FATAL_IDLE) & s.card.vector1)
    s.card.vector1 = FALSE
    s.threads.pc[t] = Label.MARK_FAILED
    draw_ticket(s, t)


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def mark_failed(s: State, t: Number) -> None:
    """Read FLAGS; if it names an error, every call ends with EIO and every sleeper wakes."""
    s.require(holds(s, t, Label.MARK_FAILED))
    s.reads_register("FLAGS")
    error = s.card.flags == Flags.ERROR
    s.driver.failed = s.driver.failed | error
    for queue in (SENDERS, COMMANDS, READERS, LIFE):
        s.wakes(queue, when=error)
        woken_on(s, queue).choose_fill(error, True)
    s.rx.ready = s.rx.ready | error
    s.threads.pc[t] = Label.FATAL_IDLE
    unlock(s)


# Open and close


def _finish(s: State, t: Number, outcome: Number | int) -> None:
    s.threads.result[t] = outcome
    s.threads.pc[t] = Label.IDLE
    unlock(s)


def _walk_ring(s: State, t: Number, again: Label, then: Label | Number) -> None:
    """One slot done: go to the next one, or on to what follows the last one."""
    last = s.driver.cursor + 1 == ring_size()
    s.threads.pc[t] = If(last, then, again)
    s.driver.cursor = If(last, 0, s.driver.cursor + 1)


def _submit(s: State, t: Number, command: Command, back: Label) -> None:
    s.threads.kind[t] = command
    s.threads.key[t] = UNICAST
    s.threads.return_to[t] = back
    s.threads.result[t] = Result.NONE
    s.threads.completed[t] = False
    join_queue(COMMAND, s, t)
    s.threads.pc[t] = Label.CMD_TURN


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def open_shared(s: State, t: Number) -> None:
    """The card is open already: share it, unless it has failed."""
    driver = s.driver
    s.require(holds(s, t, Label.OPEN_ENTER) & (driver.life == Life.OPEN))
    driver.opens = If(driver.failed, driver.opens, driver.opens + 1)
    driver.handles = If(driver.failed, driver.handles, driver.handles + 1)
    _finish(s, t, If(driver.failed, Result.EIO, Result.OK))


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def open_waits(s: State, t: Number) -> None:
    """Somebody else opens or closes the card: wait until that is over."""
    life = s.driver.life
    s.require(holds(s, t, Label.OPEN_ENTER))
    s.require((life == Life.OPENING) | (life == Life.CLOSING))
    sleep(s, t, LIFE)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def open_first(s: State, t: Number) -> None:
    """The first open starts the card; one that failed or was never used is reset first."""
    driver = s.driver
    s.require(holds(s, t, Label.OPEN_ENTER) & (driver.life == Life.CLOSED))
    dirty = driver.needs_reset | driver.failed
    driver.life = constant(Life.OPENING)
    driver.conductor = t
    driver.opening = TRUE
    driver.aborting = FALSE
    driver.cursor = constant(0)
    driver.polls = POLLS
    s.threads.pc[t] = If(dirty, Label.RESET, Label.INIT_TX)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def close_shared(s: State, t: Number) -> None:
    """Others still have the card open: only count."""
    s.require(holds(s, t, Label.CLOSE_ENTER) & (s.driver.handles > 1))
    s.driver.handles = s.driver.handles - 1
    s.driver.opens = s.driver.opens - 1
    _finish(s, t, Result.OK)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def close_nothing(s: State, t: Number) -> None:
    """Another thread closed the same open in the meantime."""
    s.require(holds(s, t, Label.CLOSE_ENTER) & (s.driver.handles == 0))
    _finish(s, t, Result.EBADF)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def close_last(s: State, t: Number) -> None:
    """The last close: no new calls, and those under way are woken to end."""
    s.require(holds(s, t, Label.CLOSE_ENTER) & (s.driver.handles == 1))
    s.driver.handles = constant(0)
    s.driver.opens = s.driver.opens - 1
    s.driver.life = constant(Life.CLOSING)
    s.driver.conductor = t
    s.driver.opening = FALSE
    s.driver.aborting = FALSE
    wake_everyone(s)
    s.threads.pc[t] = Label.LEAVE


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def wait_for_leavers(s: State, t: Number) -> None:
    """Calls are still under way: sleep until the last one has left."""
    s.require(holds(s, t, Label.LEAVE) & (s.driver.inside != 0))
    sleep(s, t, LIFE)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def all_left(s: State, t: Number) -> None:
    """No call is under way any more."""
    s.require(holds(s, t, Label.LEAVE) & (s.driver.inside == 0))
    s.threads.pc[t] = Label.DRAIN


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def drain(s: State, t: Number) -> None:
    """Packets are still being sent: sleep until the handler has taken back another slot."""
    s.require(holds(s, t, Label.DRAIN) & ~s.driver.failed & (s.tx.cons != s.tx.prod))
    sleep(s, t, LIFE)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def drained(s: State, t: Number) -> None:
    """All packets were sent, or the card failed."""
    s.require(holds(s, t, Label.DRAIN) & (s.driver.failed | (s.tx.cons == s.tx.prod)))
    s.driver.polls = POLLS
    s.threads.pc[t] = If(s.driver.failed, Label.RESET, Label.STOP)


@BOOK.rule(CALLS, Party.ENVIRONMENT, THREAD)
def stop_draining(s: State, t: Number) -> None:
    """Sending takes too long: stop the card with packets still on the ring."""
    s.require(holds(s, t, Label.DRAIN) & ~s.driver.failed)
    s.threads.pc[t] = Label.STOP


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def submit_stop(s: State, t: Number) -> None:
    """Tell the card to STOP."""
    s.require(holds(s, t, Label.STOP))
    _submit(s, t, Command.STOP, Label.STOPPED)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def stop_completed(s: State, t: Number) -> None:
    """Only an answered STOP lets the buffers go; anything else needs a reset."""
    s.require(holds(s, t, Label.STOPPED))
    s.driver.polls = POLLS
    s.threads.pc[t] = If(s.threads.result[t] == Result.OK, Label.FLUSH, Label.RESET)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def submit_flush(s: State, t: Number) -> None:
    """Tell the card to FLUSHFILT."""
    s.require(holds(s, t, Label.FLUSH))
    _submit(s, t, Command.FLUSHFILT, Label.FLUSHED)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def flush_completed(s: State, t: Number) -> None:
    """No filter is left: the packet rings are detached and can be freed."""
    s.require(holds(s, t, Label.FLUSHED))
    good = s.threads.result[t] == Result.OK
    s.driver.polls = POLLS
    s.driver.cursor = constant(0)
    s.threads.pc[t] = If(good, Label.FREE, Label.RESET)
    _retire_packet_rings(s, good)


def _retire_packet_rings(s: State, when: Bool) -> None:
    s.tx.live = s.tx.live & ~when
    s.rx.live = s.rx.live & ~when
    s.tx.cons = If(when, s.tx.prod, s.tx.cons)
    s.tx.cons_i = If(when, s.tx.prod_i, s.tx.cons_i)


# Reset


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def write_reset(s: State, t: Number) -> None:
    """Write FLAGS.RST: the card forgets everything, and the driver all that was outstanding."""
    s.require(holds(s, t, Label.RESET))
    s.require(
        (s.tx.doorbells_arrived == s.tx.doorbells_posted)
        & (s.cmd.doorbells_arrived == s.cmd.doorbells_posted)
        & ~s.card.bases_posted,
        "register writes in order",
    )
    s.register_write_arrives("RST to FLAGS")
    card_resets(s)
    _retire_packet_rings(s, TRUE)
    s.cmd.live = FALSE
    s.cmd.cons = s.cmd.prod
    s.cmd.cons_i = s.cmd.prod_i
    s.threads.pc[t] = Label.POLL


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def reset_done(s: State, t: Number) -> None:
    """FLAGS reads 0: the card knows no address any more."""
    s.require(holds(s, t, Label.POLL) & (s.card.flags == Flags.CLEAR))
    s.reads_register("FLAGS")
    s.driver.failed = FALSE
    s.threads.pc[t] = Label.BUS_MASTER


@BOOK.rule(TAKEOVER, DRIVER, THREAD, fair="thread")
def enable_bus_master(s: State, t: Number) -> None:
    """Set the Bus Master bit: only now may the card access memory; set up its command ring."""
    s.require(holds(s, t, Label.BUS_MASTER))
    s.writes_register("Bus Master")
    s.card.bus_master = TRUE
    s.driver.cursor = constant(0)
    s.threads.pc[t] = Label.CMD_INIT


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def poll_again(s: State, t: Number) -> None:
    """FLAGS does not read 0 yet; if it names a new error, write RST once more."""
    s.require(holds(s, t, Label.POLL) & (s.card.flags != Flags.CLEAR) & (s.driver.polls != 0))
    s.reads_register("FLAGS")
    s.card.flags = constant(Flags.RESETTING)
    s.driver.polls = s.driver.polls - 1


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def give_up_reset(s: State, t: Number) -> None:
    """The card does not come back: keep the memory, fail the call; the next open tries again."""
    s.require(holds(s, t, Label.POLL) & (s.card.flags != Flags.CLEAR) & (s.driver.polls == 0))
    s.reads_register("FLAGS")
    s.driver.needs_reset = TRUE
    s.driver.aborting = TRUE
    s.threads.pc[t] = Label.CLOSED


@BOOK.rule("Rings", DRIVER, THREAD, fair="thread")
def init_command_slot(s: State, t: Number) -> None:
    """Store owner = HOST to a slot of the command ring.

    No barrier is needed first: doorbells arrive after the stores that they announce, and the reset
    was written after them, so no older store to the ring is pending.
    """
    s.require(holds(s, t, Label.CMD_INIT))
    s.store(CMD.owner, s.driver.cursor, owner=HOST)
    _walk_ring(s, t, Label.CMD_INIT, Label.CMD_FENCE)


@BOOK.rule("Rings", DRIVER, THREAD, fair="thread")
def fence_command_slot(s: State, t: Number) -> None:
    """A full barrier, one slot a step: the stores to this slot are visible."""
    s.require(holds(s, t, Label.CMD_FENCE))
    s.fences()
    s.barrier("command ring before its base", ~s.cmd.owner_pending[s.driver.cursor])
    _walk_ring(s, t, Label.CMD_FENCE, Label.CMD_BASE)


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def write_command_base(s: State, t: Number) -> None:
    """Write CMDBASE and CMDSHIFT, from slot 0 on; then free what a failure left over."""
    s.require(holds(s, t, Label.CMD_BASE))
    s.writes_register("command base")
    s.cmd.prod_i = constant(0)
    s.cmd.cons_i = constant(0)
    s.cmd.first = s.cmd.prod
    s.cmd.dev = s.cmd.prod
    s.cmd.based = TRUE
    s.cmd.live = TRUE
    s.driver.needs_reset = FALSE
    s.driver.cursor = constant(0)
    s.threads.pc[t] = Label.FREE


# Memory of the packet rings


@BOOK.rule("Rings", DRIVER, THREAD, fair="thread")
def free_slot(s: State, t: Number) -> None:
    """Free a slot's buffers, all stores to them being visible."""
    slot = s.driver.cursor
    s.require(holds(s, t, Label.FREE))
    s.frees()
    s.barrier("stores before transmit memory is freed", ~tx_pending(s, slot))
    s.barrier("stores before receive memory is freed", ~rx_pending(s, slot))
    s.tx.exists[slot] = False
    s.rx.exists[slot] = False
    closing = s.driver.life == Life.CLOSING
    _walk_ring(s, t, Label.FREE, If(closing, Label.CLOSED, Label.INIT_TX))


def tx_pending(s: State, slot: Number) -> Bool:
    """Some store to the transmit slot is not visible yet."""
    ring = s.tx
    return (
        ring.owner_pending[slot]
        | ring.fields_pending[slot]
        | ring.first_word_pending[slot]
        | ring.last_word_pending[slot]
    )


def rx_pending(s: State, slot: Number) -> Bool:
    """Some store to the receive slot is not visible yet."""
    return s.rx.owner_pending[slot] | s.rx.pointer_pending[slot]


@BOOK.rule("Rings", DRIVER, THREAD, GARBAGE, STALE, fair="thread")
def init_transmit_slot(s: State, t: Number, garbage: Number, stale: Number) -> None:
    """Allocate a transmit slot, whose memory holds anything, and store owner = HOST."""
    ring, slot = s.tx, s.driver.cursor
    s.require(holds(s, t, Label.INIT_TX))
    ring.exists[slot] = True
    s.allocate(TX.owner, slot, owner=stale != 0)
    s.allocate(TX.fields, slot, fields=garbage, zero=garbage != 0)
    s.allocate(TX.first_word, slot, first_word=garbage)
    s.allocate(TX.last_word, slot, last_word=garbage)
    s.store(TX.owner, slot, owner=HOST)
    ring.waiter[slot] = NOBODY
    s.threads.pc[t] = Label.INIT_POINTER


@BOOK.rule("Rings", DRIVER, THREAD, GARBAGE, STALE, fair="thread")
def init_receive_pointer(s: State, t: Number, garbage: Number, stale: Number) -> None:
    """Allocate a receive slot, whose memory holds anything, and store its buffer pointers."""
    ring, slot = s.rx, s.driver.cursor
    s.require(holds(s, t, Label.INIT_POINTER))
    ring.exists[slot] = True
    s.allocate(RX.owner, slot, owner=stale != 0)
    s.allocate(RX.pointer, slot, pointer=garbage)
    s.allocate(RX.header, slot, header=garbage, length=garbage)
    s.allocate(RX.first_word, slot, first_word=garbage)
    s.allocate(RX.last_word, slot, last_word=garbage)
    s.store(RX.pointer, slot, pointer=slot)
    ring.held[slot] = False
    s.threads.pc[t] = Label.INIT_RX


@BOOK.rule("Rings", DRIVER, THREAD, fair="thread")
def init_receive_owner(s: State, t: Number) -> None:
    """Store owner = DEVICE to the receive slot: it is the card's once traffic starts."""
    s.require(holds(s, t, Label.INIT_RX))
    s.store(RX.owner, s.driver.cursor, owner=DEVICE)
    _walk_ring(s, t, Label.INIT_TX, Label.INIT_FENCE)


@BOOK.rule("Rings", DRIVER, THREAD, fair="thread")
def fence_packet_slot(s: State, t: Number) -> None:
    """A full barrier, one slot a step: the stores to this slot are visible."""
    slot = s.driver.cursor
    s.require(holds(s, t, Label.INIT_FENCE))
    s.fences()
    s.barrier("transmit ring before its base", ~tx_pending(s, slot))
    s.barrier("receive ring before its base", ~rx_pending(s, slot))
    _walk_ring(s, t, Label.INIT_FENCE, Label.BASE)


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def write_packet_bases(s: State, t: Number) -> None:
    """Write TXBASE, TXSHIFT, RXBASE and RXSHIFT, which arrive later; start at slot 0."""
    s.require(holds(s, t, Label.BASE))
    s.writes_register("packet bases")
    s.require(s.tx.doorbells_arrived == s.tx.doorbells_posted, "register writes in order")
    s.card.bases_posted = TRUE
    s.tx.prod_i = constant(0)
    s.tx.cons_i = constant(0)
    s.tx.first = s.tx.prod
    s.tx.dev = s.tx.prod
    s.tx.sent = s.tx.prod
    s.tx.live = TRUE
    s.rx.cons_i = constant(0)
    s.rx.first = s.rx.cons
    s.rx.dev = s.rx.cons
    s.rx.live = TRUE
    s.rx.ready = s.driver.failed
    s.threads.pc[t] = Label.READ_BACK


@BOOK.rule(REGISTERS, DRIVER, THREAD, fair="thread")
def read_back(s: State, t: Number) -> None:
    """Read HWADDR: it is answered when the rings' addresses have arrived."""
    s.require(holds(s, t, Label.READ_BACK))
    s.reads_register("HWADDR")
    s.driver.read_unanswered = s.card.bases_posted
    s.threads.pc[t] = Label.START


# Starting packet traffic


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def submit_start(s: State, t: Number) -> None:
    """Tell the card to START."""
    s.require(holds(s, t, Label.START))
    _submit(s, t, Command.START, Label.STARTED)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def start_completed(s: State, t: Number) -> None:
    """A START that failed or was interrupted may have started the card: reset it first."""
    s.require(holds(s, t, Label.STARTED))
    good = s.threads.result[t] == Result.OK
    s.driver.polls = POLLS
    s.driver.aborting = ~good
    s.driver.life = If(good, s.driver.life, Life.CLOSING)
    s.threads.pc[t] = If(good, Label.ADD_UNICAST, Label.RESET)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def submit_unicast(s: State, t: Number) -> None:
    """Tell the card to receive packets for its own address."""
    s.require(holds(s, t, Label.ADD_UNICAST))
    _submit(s, t, Command.ADDFILT, Label.ADDED_UNICAST)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def unicast_completed(s: State, t: Number) -> None:
    """If the filter command failed the card is running: stop it, or reset it, before freeing."""
    s.require(holds(s, t, Label.ADDED_UNICAST))
    good = s.threads.result[t] == Result.OK
    s.driver.polls = POLLS
    s.driver.aborting = ~good
    s.driver.life = If(good, s.driver.life, Life.CLOSING)
    s.threads.pc[t] = If(good, Label.OPENED, If(s.driver.failed, Label.RESET, Label.STOP))


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def opened(s: State, t: Number) -> None:
    """The card is open."""
    s.require(holds(s, t, Label.OPENED))
    s.driver.life = constant(Life.OPEN)
    s.driver.opens = s.driver.opens + 1
    s.driver.handles = s.driver.handles + 1
    s.wakes(LIFE)
    s.threads.wake_life.fill(True)
    _finish(s, t, Result.OK)


@BOOK.rule(CALLS, DRIVER, THREAD, fair="thread")
def closed(s: State, t: Number) -> None:
    """The card is closed: after a last close, or after an open that failed."""
    s.require(holds(s, t, Label.CLOSED))
    s.driver.life = constant(Life.CLOSED)
    s.wakes(LIFE)
    s.threads.wake_life.fill(True)
    _finish(s, t, If(s.driver.aborting, Result.EIO, Result.OK))
    s.driver.aborting = FALSE
