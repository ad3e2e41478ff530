"""The card: registers, command execution, the three engines, interrupts, fatal error and reset.

Each ring has an engine that walks it in order and keeps its own index. The specification allows
whatever the datasheet leaves open: an engine may look at a slot before its doorbell arrives or only
afterwards, and stops at the slot that the newest doorbell named; events may be delayed and merged;
interrupts may be spurious; transmit slots that STOP finds may be sent or left; the card
may fail at any moment. It writes memory in program order, one word a step.

A run begins with whatever card a predecessor has left: all that it keeps may be anything
(`model.system`), its engines may be at work on rings that are somebody else's memory by now. As
long as its Bus Master bit is clear it accesses no memory, and a reset makes it forget all of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.rules import Choice, Parameter, Party, RuleBook
from engine.terms import FALSE, TRUE, And, Array, Bool, If, Number, constant, next_index, ring_size
from engine.words import Word
from model.layout import Command
from model.state import (
    CAPACITY,
    FILTER_TABLE,
    Flags,
    ReceiveRing,
    RequestRing,
    Result,
    Stage,
    State,
)
from model.words import CMD, HOST, RX, TX

if TYPE_CHECKING:
    from model.ring_spec import RingOperations

__all__ = [
    "BOOK",
    "card_resets",
    "receive_doorbell",
    "receive_packet_bases",
    "running",
]

BOOK: Final = RuleBook()
CARD: Final = Party.DEVICE
REGISTERS: Final = "Registers"
COMMANDS: Final = "Rings: commands"
KEY: Final = Parameter("key", Choice.KEY)
LENGTH: Final = Parameter("length", Choice.WORD)


def running(s: State) -> Bool:
    """The card works: no fatal error, no reset under way, and it may access memory."""
    return (s.card.flags == Flags.CLEAR) & s.card.bus_master


# Fatal errors and reset


def fail(s: State, when: Bool) -> None:
    """Set an error bit: the card halts and raises vector 1."""
    s.card.flags = If(when, Flags.ERROR, s.card.flags)
    s.card.vector1 = s.card.vector1 | when


def protocol_error(s: State, when: Bool) -> None:
    """The driver broke the protocol: FLAGS.SEQ."""
    s.card.sequence_error = s.card.sequence_error | when
    fail(s, when)


@BOOK.rule(REGISTERS, CARD, name="card.fatal_error")
def fatal_error(s: State) -> None:
    """The card fails: it halts, sets FLAGS.HWERR and raises vector 1."""
    s.require(s.card.flags != Flags.ERROR)
    fail(s, TRUE)


def card_resets(s: State) -> None:
    """What writing FLAGS.RST does: everything is forgotten, no ring is scanned any more."""
    card = s.card
    card.was_reset = TRUE
    card.flags = constant(Flags.RESETTING)
    card.started = FALSE
    card.stopping = FALSE
    card.raising = FALSE
    card.filters.fill(0)
    card.filter_count = constant(0)
    card.asked.fill(0)
    card.asked_count = constant(0)
    rings: tuple[RequestRing, ...] = (s.tx, s.cmd)
    for ring in rings:
        ring.stage = constant(Stage.IDLE)
        ring.look = FALSE
        ring.due = FALSE
        ring.event = FALSE
        ring.based = FALSE
        ring.dev_i = constant(0)
    s.rx.stage = constant(Stage.IDLE)
    s.rx.due = FALSE
    s.rx.event = FALSE
    s.rx.dropped = FALSE
    s.rx.based = FALSE
    s.rx.dev_i = constant(0)


@BOOK.rule(REGISTERS, CARD, fair="card", name="card.reset_over")
def reset_over(s: State) -> None:
    """The reset is over: FLAGS reads 0."""
    s.require(s.card.flags == Flags.RESETTING)
    s.card.flags = constant(Flags.CLEAR)


# Events and interrupts


def _set_event(s: State, source: RequestRing | ReceiveRing) -> None:
    s.require(running(s) & source.due)
    source.due = FALSE
    source.event = TRUE
    s.card.raising = TRUE


@BOOK.rule("Rings: Events", CARD, fair="tx.event", name="tx.set_event")
def tx_set_event(s: State) -> None:
    """Set TXCOMP, after the completion is visible."""
    _set_event(s, s.tx)


@BOOK.rule("Rings: Events", CARD, fair="cmd.event", name="cmd.set_event")
def cmd_set_event(s: State) -> None:
    """Set CMDCOMP, after the completion is visible."""
    _set_event(s, s.cmd)


@BOOK.rule("Rings: Events", CARD, fair="rx.event", name="rx.set_event")
def rx_set_event(s: State) -> None:
    """Set RXCOMP, after the packet is visible."""
    _set_event(s, s.rx)


@BOOK.rule("Rings: Events", CARD, fair="vector0", name="card.raise_vector0")
def raise_vector0(s: State) -> None:
    """Raise vector 0 for the event bits set so far."""
    s.require(s.card.raising)
    s.card.raising = FALSE
    s.card.vector0 = TRUE


@BOOK.rule("Rings: Events", Party.ENVIRONMENT, name="card.spurious_vector0")
def spurious_vector0(s: State) -> None:
    """Vector 0 is raised although nothing happened."""
    s.require(~s.card.vector0)
    s.card.vector0 = TRUE


@BOOK.rule("Rings: Events", Party.ENVIRONMENT, name="card.withdraw_vector0")
def withdraw_vector0(s: State) -> None:
    """No event bit is left, so the interrupt may go away unserved (INTx follows EVFLAGS)."""
    idle = ~(s.tx.event | s.cmd.event | s.rx.event | s.rx.dropped)
    s.require((s.card.raising | s.card.vector0) & idle)
    s.card.raising = FALSE
    s.card.vector0 = FALSE


# The doorbell


def receive_doorbell(ops: RingOperations, s: State, slot: Number) -> None:
    """DBELL was written: look at the ring, up to the slot named."""
    ring = ops.ring(s)
    works = s.card.flags == Flags.CLEAR
    legal = And(ring.based, slot < ring_size())
    ring.look = If(works & legal, TRUE, ring.look)
    ring.doorbell_i = If(works & legal, slot, ring.doorbell_i)
    protocol_error(s, works & ~legal)


def receive_packet_bases(s: State) -> None:
    """TXBASE, TXSHIFT, RXBASE and RXSHIFT were written: the packet rings are known."""
    protocol_error(s, s.card.started & running(s))
    s.tx.based = TRUE
    s.rx.based = TRUE


# The transmit engine


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.look")
def tx_look(s: State) -> None:
    """A doorbell rang: forget it, then look at the slot at the card's index."""
    s.require(running(s) & s.card.started & ~s.card.stopping)
    s.require((s.tx.stage == Stage.IDLE) & s.tx.look)
    s.tx.look = FALSE
    s.tx.stage = constant(Stage.LOOK)


@BOOK.rule("Rings: Transmit", CARD, name="tx.look_ahead")
def tx_look_ahead(s: State) -> None:
    """Look at the next slot without a doorbell, or finish a slot although a STOP was fetched."""
    s.require(running(s) & s.card.started & (s.tx.stage == Stage.IDLE))
    s.require(~s.card.stopping | s.load(TX.owner, s.tx.dev_i, when=s.card.stopping))
    s.tx.stage = constant(Stage.LOOK)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.examine")
def tx_examine(s: State) -> None:
    """Read the owner byte: only a slot of the card's is touched."""
    s.require(running(s) & (s.tx.stage == Stage.LOOK))
    s.tx.stage = If(s.load(TX.owner, s.tx.dev_i), Stage.FETCH, Stage.IDLE)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.fetch")
def tx_fetch(s: State) -> None:
    """Read the slot's fields: length and buffer pointers."""
    slot = s.tx.dev_i
    s.require(running(s) & (s.tx.stage == Stage.FETCH))
    fields, zero = s.load(TX.fields, slot)
    s.tx.seen_fields = fields
    s.tx.seen_zero = zero
    s.tx.stage = If(zero, Stage.SEND, Stage.READ_FIRST_WORD)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.read_first_word")
def tx_read_first_word(s: State) -> None:
    """Read an early word of the payload."""
    slot = s.tx.dev_i
    s.require(running(s) & (s.tx.stage == Stage.READ_FIRST_WORD))
    s.tx.seen_first_word = s.load(TX.first_word, slot)
    s.tx.stage = constant(Stage.READ_LAST_WORD)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.read_last_word")
def tx_read_last_word(s: State) -> None:
    """Read a late word of the payload."""
    slot = s.tx.dev_i
    s.require(running(s) & (s.tx.stage == Stage.READ_LAST_WORD))
    s.tx.seen_last_word = s.load(TX.last_word, slot)
    s.tx.stage = constant(Stage.SEND)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.send")
def tx_send(s: State) -> None:
    """Put the packet on the net."""
    s.require(running(s) & (s.tx.stage == Stage.SEND))
    s.tx.sent = s.tx.sent + 1
    s.tx.stage = constant(Stage.WRITE_OWNER)


def _return_slot(s: State, ring: RequestRing, owner: Word) -> None:
    slot = ring.dev_i
    s.store(owner, slot, owner=HOST)
    ring.look = ring.look | (slot != ring.doorbell_i)
    ring.dev = ring.dev + 1
    ring.dev_i = next_index(slot)
    ring.due = TRUE
    ring.stage = constant(Stage.IDLE)


@BOOK.rule("Rings: Transmit", CARD, fair="tx.engine", name="tx.complete")
def tx_complete(s: State) -> None:
    """Write owner = HOST; go on unless this was the slot that the newest doorbell named."""
    s.require(running(s) & (s.tx.stage == Stage.WRITE_OWNER))
    _return_slot(s, s.tx, TX.owner)


# The command engine


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.look")
def cmd_look(s: State) -> None:
    """A doorbell rang: forget it, then look at the slot at the card's index."""
    s.require(running(s) & s.cmd.based & (s.cmd.stage == Stage.IDLE) & s.cmd.look)
    s.cmd.look = FALSE
    s.cmd.stage = constant(Stage.LOOK)


@BOOK.rule(COMMANDS, CARD, name="cmd.look_ahead")
def cmd_look_ahead(s: State) -> None:
    """Look at the next slot without a doorbell."""
    s.require(running(s) & s.cmd.based & (s.cmd.stage == Stage.IDLE))
    s.cmd.stage = constant(Stage.LOOK)


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.examine")
def cmd_examine(s: State) -> None:
    """Read the owner byte: only a slot of the card's is touched."""
    s.require(running(s) & (s.cmd.stage == Stage.LOOK))
    s.cmd.stage = If(s.load(CMD.owner, s.cmd.dev_i), Stage.FETCH, Stage.IDLE)


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.fetch")
def cmd_fetch(s: State) -> None:
    """Read the slot's fields: the command, its mask and address."""
    slot = s.cmd.dev_i
    s.require(running(s) & (s.cmd.stage == Stage.FETCH))
    fields, kind, key = s.load(CMD.fields, slot)
    s.cmd.seen_fields = fields
    s.cmd.seen_kind = kind
    s.cmd.seen_key = key
    s.cmd.stage = constant(Stage.EXECUTE)


def _answer(kind: Number, key: Number, filters: Array[Number], count: Number) -> Number:
    add = If(count < FILTER_TABLE, Result.OK, Result.ENOSPC)
    remove = If(filters[key] != 0, Result.OK, Result.ENOENT)
    return If(
        kind == Command.ADDFILT,
        add,
        If(kind == Command.RMFILT, remove, Result.OK),
    )


def _change_filters(kind: Number, key: Number, filters: Array[Number], count: Number) -> Number:
    """Apply a command to a filter table; returns the new number of entries."""
    added = And(kind == Command.ADDFILT, count < FILTER_TABLE)
    removed = And(kind == Command.RMFILT, filters[key] != 0)
    flushed = kind == Command.FLUSHFILT
    present = filters[key]
    filters[key] = If(added, present + 1, If(removed, present - 1, present))
    filters.choose_fill(flushed, 0)
    return If(flushed, 0, If(added, count + 1, If(removed, count - 1, count)))


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.execute")
def cmd_execute(s: State) -> None:
    """Execute the command fetched; STOP first lets the packet engines come to rest."""
    card, cmd = s.card, s.cmd
    s.require(running(s) & (cmd.stage == Stage.EXECUTE))
    kind, key = cmd.seen_kind, cmd.seen_key
    start, stop = kind == Command.START, kind == Command.STOP
    broken = start & (card.started | ~s.tx.based | ~s.rx.based) | stop & ~card.started
    slot = cmd.dev_i
    cmd.computed_status = _answer(kind, key, card.filters, card.filter_count)
    card.filter_count = _change_filters(kind, key, card.filters, card.filter_count)
    card.asked_count = _change_filters(
        cmd.kind_new[slot], cmd.key_new[slot], card.asked, card.asked_count
    )
    # START puts the card's packet indices back to slot 0, which carries the next request.
    starts = start & ~broken
    card.started = card.started | starts
    s.tx.dev_i = If(starts, 0, s.tx.dev_i)
    s.rx.dev_i = If(starts, 0, s.rx.dev_i)
    s.tx.look = If(starts, FALSE, s.tx.look)
    card.stopping = card.stopping | stop & ~broken
    cmd.stage = If(stop, Stage.STOPPING, Stage.WRITE_STATUS)
    protocol_error(s, broken)


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.stopped")
def cmd_stopped(s: State) -> None:
    """Both packet engines are at rest: packet traffic is off."""
    s.require(running(s) & (s.cmd.stage == Stage.STOPPING))
    s.require((s.tx.stage == Stage.IDLE) & (s.rx.stage == Stage.IDLE))
    s.card.started = FALSE
    s.card.stopping = FALSE
    s.cmd.stage = constant(Stage.WRITE_STATUS)


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.write_status")
def cmd_write_status(s: State) -> None:
    """Write the error byte."""
    slot = s.cmd.dev_i
    s.require(running(s) & (s.cmd.stage == Stage.WRITE_STATUS))
    s.store(CMD.status, slot, status_sequence=s.cmd.seen_fields, status=s.cmd.computed_status)
    s.cmd.stage = constant(Stage.WRITE_OWNER)


@BOOK.rule(COMMANDS, CARD, fair="cmd.engine", name="cmd.complete")
def cmd_complete(s: State) -> None:
    """Write owner = HOST; go on unless this was the slot that the newest doorbell named."""
    s.require(running(s) & (s.cmd.stage == Stage.WRITE_OWNER))
    _return_slot(s, s.cmd, CMD.owner)


# The receive engine


@BOOK.rule("Rings: Receive", Party.ENVIRONMENT, KEY, LENGTH, name="rx.arrive")
def rx_arrive(s: State, key: Number, length: Number) -> None:
    """A packet that a filter accepts arrives from the net.

    A filter is one opaque key; `model.layout.filter_accepts` says which packets it lets through.
    """
    s.require(running(s) & s.card.started & ~s.card.stopping & (s.rx.stage == Stage.IDLE))
    s.require((s.card.filters[key] != 0) & (length <= CAPACITY))
    s.rx.arriving = length
    s.rx.stage = constant(Stage.LOOK)


@BOOK.rule("Rings: Receive", Party.ENVIRONMENT, name="rx.arrive_jumbo")
def rx_arrive_jumbo(s: State) -> None:
    """A packet longer than a slot's buffers arrives and is dropped: RXJUMBO."""
    s.require(running(s) & s.card.started & ~s.card.stopping & (s.rx.stage == Stage.IDLE))
    s.rx.dropped = TRUE
    s.card.raising = TRUE


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.examine")
def rx_examine(s: State) -> None:
    """Read the owner byte: a slot of the card's is filled; without one the packet is dropped."""
    s.require(running(s) & (s.rx.stage == Stage.LOOK))
    mine = s.load(RX.owner, s.rx.dev_i)
    s.rx.stage = If(mine, Stage.FETCH, Stage.IDLE)
    s.rx.dropped = s.rx.dropped | ~mine
    s.card.raising = s.card.raising | ~mine


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.fetch")
def rx_fetch(s: State) -> None:
    """Read the slot's buffer pointer."""
    slot = s.rx.dev_i
    s.require(running(s) & (s.rx.stage == Stage.FETCH))
    s.rx.target = s.load(RX.pointer, slot)
    s.rx.stage = If(s.rx.arriving == 0, Stage.WRITE_HEADER, Stage.WRITE_FIRST_WORD)


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.write_first_word")
def rx_write_first_word(s: State) -> None:
    """Write an early word of the payload to the buffer."""
    s.require(running(s) & (s.rx.stage == Stage.WRITE_FIRST_WORD))
    s.store(RX.first_word, s.rx.target, first_word=s.rx.dev)
    s.rx.stage = constant(Stage.WRITE_LAST_WORD)


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.write_last_word")
def rx_write_last_word(s: State) -> None:
    """Write a late word of the payload to the buffer."""
    s.require(running(s) & (s.rx.stage == Stage.WRITE_LAST_WORD))
    s.store(RX.last_word, s.rx.target, last_word=s.rx.dev)
    s.rx.stage = constant(Stage.WRITE_HEADER)


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.write_header")
def rx_write_header(s: State) -> None:
    """Write length, destination and source to the slot."""
    slot = s.rx.dev_i
    s.require(running(s) & (s.rx.stage == Stage.WRITE_HEADER))
    s.store(RX.header, slot, header=s.rx.dev, length=s.rx.arriving)
    s.rx.stage = constant(Stage.WRITE_OWNER)


@BOOK.rule("Rings: Receive", CARD, fair="rx.engine", name="rx.complete")
def rx_complete(s: State) -> None:
    """Write owner = HOST: the packet is the host's."""
    slot = s.rx.dev_i
    s.require(running(s) & (s.rx.stage == Stage.WRITE_OWNER))
    s.store(RX.owner, slot, owner=HOST)
    s.rx.dev = s.rx.dev + 1
    s.rx.dev_i = next_index(slot)
    s.rx.due = TRUE
    s.rx.stage = constant(Stage.IDLE)


@BOOK.rule("Rings: Receive", Party.ENVIRONMENT, Parameter("k", Choice.SLOT), LENGTH, name="rx.lie")
def rx_lie(s: State, k: Number, length: Number) -> None:
    """A faulty or hostile card overwrites a length, whoever owns the slot."""
    s.require(s.card.lies)
    s.store(RX.header, k, length=length)
