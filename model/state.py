"""The state of the whole system: what memory, driver, threads and card hold.

Every variable has a meaning and a value at power-on. Three kinds of variable exist: what software
keeps, what hardware keeps, and *history*, kept because the properties speak of it. No rule reads
history to decide what to do, which is checked.

Requests and packets are numbered by counters that never restart. A word of memory holds the number
of the request that it was written for, so a lost, repeated, reordered, stale or torn word shows as
a number that differs from the one expected.
"""

from __future__ import annotations

import enum

import attrs

from engine.rules import Recorder
from engine.terms import Array, Bool, Domain, Number, Sort, symbol
from engine.variables import Group, flag, flags, number, numbers
from model.layout import LIMITS, Command

__all__ = [
    "EVENT_THREAD",
    "FATAL_THREAD",
    "NOBODY",
    "CardState",
    "Command",
    "CommandRing",
    "DriverState",
    "Flags",
    "Label",
    "Life",
    "ReceiveRing",
    "RequestRing",
    "Result",
    "Stage",
    "State",
    "Threads",
    "TransmitRing",
    "WaiterQueue",
]

SLOT, THREAD, COUNTER, KEY = Domain.SLOT, Domain.THREAD, Domain.COUNTER, Domain.KEY

EVENT_THREAD = 0
"""The thread that serves vector 0."""
FATAL_THREAD = 1
"""The thread that serves vector 1. Users are the threads from 2 on."""
NOBODY = 0xFFFF_FFFF
"""No thread's number: nobody waits for this slot's completion."""
UNICAST = 0
"""The filter of the card's own address: mask 0xffffffff, address HWADDR."""


class Label(enum.IntEnum):
    """Where a thread is in its program. The step of that name is what it does next."""

    IDLE = 0
    # a call to send
    WRITE_ENTER = 1
    TX_TURN = 2
    TX_FIRST_WORD = 3
    TX_LAST_WORD = 4
    TX_FIELDS = 5
    TX_OWNER = 6
    TX_DOORBELL = 7
    TX_LEAVE_QUEUE = 8
    TX_WAIT = 9
    TX_CANCEL = 10
    TX_ABANDON = 11
    # a command: a call to change filters, or a step of open and close
    FILTER_ENTER = 12
    CMD_TURN = 13
    CMD_FIELDS = 14
    CMD_OWNER = 15
    CMD_DOORBELL = 16
    CMD_LEAVE_QUEUE = 17
    CMD_WAIT = 18
    CMD_CANCEL = 19
    CMD_ABANDON = 20
    # a call to receive
    READ_ENTER = 21
    RX_OWNER = 22
    RX_HEADER = 23
    RX_CANCEL = 24
    RX_LEAVE_QUEUE = 25
    RX_NEXT = 26
    RX_FIRST_WORD = 27
    RX_LAST_WORD = 28
    RX_POINTER = 29
    RX_REPOST = 30
    # every call ends here
    EXIT = 31
    # open and close
    OPEN_ENTER = 32
    CLOSE_ENTER = 33
    LEAVE = 34
    DRAIN = 35
    STOP = 36
    STOPPED = 37
    FLUSH = 38
    FLUSHED = 39
    RESET = 40
    POLL = 41
    BUS_MASTER = 42
    CMD_INIT = 43
    CMD_FENCE = 44
    CMD_BASE = 45
    FREE = 46
    INIT_TX = 47
    INIT_POINTER = 48
    INIT_RX = 49
    INIT_FENCE = 50
    BASE = 51
    READ_BACK = 52
    START = 53
    STARTED = 54
    ADD_UNICAST = 55
    ADDED_UNICAST = 56
    OPENED = 57
    CLOSED = 58
    # the event handler
    EVENT_IDLE = 59
    READ_EVENTS = 60
    CMD_SCAN = 61
    CMD_RECLAIM = 62
    TX_SCAN = 63
    TX_RECLAIM = 64
    RX_READY = 65
    # the fatal handler
    FATAL_IDLE = 66
    MARK_FAILED = 67


class Result(enum.IntEnum):
    """How a call ended."""

    NONE = 0
    OK = 1
    EIO = 2
    EAGAIN = 3
    EINTR = 4
    ENOSPC = 5
    ENOENT = 6
    EBADF = 7


class Life(enum.IntEnum):
    """What the driver is doing with the card as a whole."""

    CLOSED = 0
    OPENING = 1
    OPEN = 2
    CLOSING = 3


class Flags(enum.IntEnum):
    """What register FLAGS reads as: nothing, some error bit, or RST."""

    CLEAR = 0
    ERROR = 1
    RESETTING = 2


class Stage(enum.IntEnum):
    """What one of the card's three engines does next."""

    IDLE = 0
    LOOK = 1
    FETCH = 2
    READ_FIRST_WORD = 3
    READ_LAST_WORD = 4
    SEND = 5
    EXECUTE = 6
    STOPPING = 7
    WRITE_STATUS = 8
    WRITE_OWNER = 9
    WRITE_FIRST_WORD = 10
    WRITE_LAST_WORD = 11
    WRITE_HEADER = 12


@attrs.define(eq=False)
class Lock(Group):
    """The driver's one lock, a ticket lock: threads get it in the order in which they ask."""

    next: Number = number("the next ticket to draw")
    serving: Number = number("the ticket that holds the lock; equal to next when it is free")
    waiter: Array[Number] = numbers(COUNTER, "the thread that drew this ticket")


@attrs.define(eq=False)
class WaiterQueue(Group):
    """Callers that want a slot of a ring, or the next packet, in order of arrival."""

    next: Number = number("the next place in the queue")
    head: Number = number("the place whose turn it is; equal to next when nobody waits")
    cancelled: Array[Bool] = flags(COUNTER, "the caller at this place gave up")
    waiter: Array[Number] = numbers(COUNTER, "the thread at this place", history=True)


@attrs.define(eq=False)
class RequestRing(Group):
    """A ring on which the host produces requests and the card returns them: CMD and TX."""

    waiters: WaiterQueue
    # what the driver keeps
    prod: Number = number("number of requests handed over; the next one's number")
    prod_i: Number = number("slot of request prod")
    cons: Number = number("number of requests whose slot the driver took back")
    cons_i: Number = number("slot of request cons")
    first: Number = number("number of the request that slot 0 carried at set-up", history=True)
    sequence: Array[Number] = numbers(SLOT, "number of the request last written to the slot")
    waiter: Array[Number] = numbers(SLOT, "thread to be told of the completion, or NOBODY", NOBODY)
    live: Bool = flag("the ring is initialised and the card knows it")
    # the store buffer: stores that the device may not see yet
    owner_new: Array[Bool] = flags(SLOT, "the owner byte last stored, true = DEVICE")
    owner_pending: Array[Bool] = flags(SLOT, "that store is not visible to the device yet")
    fields_pending: Array[Bool] = flags(SLOT, "the store of the fields is not visible yet")
    # posted register writes
    doorbells_posted: Number = number("number of doorbells that were written")
    doorbells_arrived: Number = number("number of doorbells that reached the card")
    doorbell_value: Array[Number] = numbers(COUNTER, "slot index that this doorbell carries")
    # memory
    owner: Array[Bool] = flags(SLOT, "the owner byte as the device sees it, true = DEVICE")
    fields: Array[Number] = numbers(SLOT, "the request that the slot's fields describe")
    # loads that the handler's processor satisfied early
    owner_speculated: Bool = flag("the owner byte of the next slot was loaded ahead of its turn")
    speculated_owner: Bool = flag("the value so loaded, true = DEVICE")
    # the card
    dev: Number = number("number of requests that the card returned")
    dev_i: Number = number("the card's index")
    look: Bool = flag("a doorbell rang and the card must look at the slot at its index")
    doorbell_i: Number = number("the index that came with the newest doorbell")
    stage: Number = number("what the ring's engine does next", Stage.IDLE)
    seen_fields: Number = number("the request that the fields fetched belong to")
    due: Bool = flag("a completion whose event bit is still to be set")
    event: Bool = flag("TXCOMP or CMDCOMP in EVFLAGS")
    based: Bool = flag("the card was given the ring's address")


@attrs.define(eq=False)
class TransmitRing(RequestRing):
    """The transmit ring. Payload words stand for any two words of the payload."""

    zero_new: Array[Bool] = flags(SLOT, "the length last stored is 0: no payload")
    zero: Array[Bool] = flags(SLOT, "the length as the device sees it is 0")
    first_word: Array[Number] = numbers(
        SLOT, "the packet that an early word of the buffer belongs to"
    )
    first_word_pending: Array[Bool] = flags(SLOT, "the store of that word is not visible yet")
    last_word: Array[Number] = numbers(SLOT, "the packet that a late word of the buffer belongs to")
    last_word_pending: Array[Bool] = flags(SLOT, "the store of that word is not visible yet")
    exists: Array[Bool] = flags(SLOT, "slot and buffers are allocated")
    seen_zero: Bool = flag("the length fetched is 0")
    seen_first_word: Number = number("the packet that the early payload word fetched belongs to")
    seen_last_word: Number = number("the packet that the late payload word fetched belongs to")
    sent: Number = number("packets put on the net since the ring was set up", history=True)


@attrs.define(eq=False)
class CommandRing(RequestRing):
    """The command ring."""

    kind_new: Array[Number] = numbers(SLOT, "the command last stored to the slot")
    key_new: Array[Number] = numbers(SLOT, "the filter last stored to the slot")
    kind: Array[Number] = numbers(SLOT, "the command as the device sees it")
    key: Array[Number] = numbers(SLOT, "the filter as the device sees it")
    status_sequence: Array[Number] = numbers(
        SLOT, "the command that the slot's error byte belongs to"
    )
    status: Array[Number] = numbers(SLOT, "the error byte, as an outcome")
    status_speculated: Bool = flag("the error byte was loaded ahead of its turn")
    speculated_sequence: Number = number("the command that the byte so loaded belongs to")
    speculated_status: Number = number("the byte so loaded")
    seen_kind: Number = number("the command fetched")
    seen_key: Number = number("the filter fetched")
    computed_status: Number = number("the answer to be written")


@attrs.define(eq=False)
class ReceiveRing(Group):
    """The receive ring: slots circulate between card and readers."""

    waiters: WaiterQueue
    # what the driver keeps
    cons: Number = number("number of packets taken by readers")
    cons_i: Number = number("slot of packet cons")
    first: Number = number("number of the packet that slot 0 carried at set-up", history=True)
    held: Array[Bool] = flags(SLOT, "a reader took the slot and has not, or will not, give it back")
    holder: Array[Number] = numbers(SLOT, "that reader", history=True)
    live: Bool = flag("the ring is initialised and the card knows it")
    ready: Bool = flag("readable: a packet waits that nobody is in line for, or readers must end")
    # the store buffer
    owner_new: Array[Bool] = flags(SLOT, "the owner byte last stored, true = DEVICE")
    owner_pending: Array[Bool] = flags(SLOT, "that store is not visible to the device yet")
    pointer_new: Array[Number] = numbers(SLOT, "the buffer last stored to the slot")
    pointer_pending: Array[Bool] = flags(SLOT, "that store is not visible yet")
    # memory
    owner: Array[Bool] = flags(SLOT, "the owner byte as the device sees it, true = DEVICE")
    pointer: Array[Number] = numbers(SLOT, "the buffer that the slot points to")
    header: Array[Number] = numbers(SLOT, "the packet that the slot's fields describe")
    length: Array[Number] = numbers(SLOT, "the packet's length in bytes, as the card wrote it")
    first_word: Array[Number] = numbers(SLOT, "the packet an early word of the buffer belongs to")
    last_word: Array[Number] = numbers(SLOT, "the packet a late word of the buffer belongs to")
    exists: Array[Bool] = flags(SLOT, "slot and buffer are allocated")
    # loads that the processor of a reader or of the handler satisfied early
    owner_speculated: Bool = flag(
        "the owner byte of the next slot to look at was loaded ahead of its turn"
    )
    speculated_owner: Bool = flag("the value so loaded, true = DEVICE")
    header_speculated: Bool = flag("the header at cons_i was loaded ahead of its turn")
    speculated_sequence: Number = number("the packet that the header so loaded belongs to")
    speculated_length: Number = number("the length so loaded")
    # the card
    dev: Number = number("number of packets that the card delivered")
    dev_i: Number = number("the card's index")
    stage: Number = number("what the receive engine does next", Stage.IDLE)
    target: Number = number("the buffer that the engine writes to")
    arriving: Number = number("length of the packet in hand")
    due: Bool = flag("a delivery whose event bit is still to be set")
    event: Bool = flag("RXCOMP in EVFLAGS")
    dropped: Bool = flag("RXDROP or RXJUMBO in EVFLAGS")
    based: Bool = flag("the card was given the ring's address")


@attrs.define(eq=False)
class CardState(Group):
    """What the card holds besides its rings' engines."""

    flags: Number = number("register FLAGS", Flags.CLEAR)
    sequence_error: Bool = flag("the driver broke the protocol (FLAGS.SEQ)", history=True)
    started: Bool = flag("packet traffic is on")
    stopping: Bool = flag("a STOP was fetched: nothing new is started")
    filters: Array[Number] = numbers(KEY, "entries of the filter table with this mask and address")
    filter_count: Number = number("entries of the filter table in use")
    raising: Bool = flag("vector 0 is still to be raised")
    vector0: Bool = flag("vector 0 was raised and not delivered yet")
    vector1: Bool = flag("vector 1 was raised and not delivered yet")
    asked: Array[Number] = numbers(KEY, "the filters that follow from commands alone", history=True)
    asked_count: Number = number("their number", history=True)
    lies: Bool = flag("the card may write any length at any time (never changes)")
    bases_posted: Bool = flag("the packet rings' addresses were written and did not arrive yet")
    bus_master: Bool = flag("the card may access memory")
    was_reset: Bool = flag("this driver has reset it: no address of others is left", history=True)


@attrs.define(eq=False)
class Threads(Group):
    """Each thread's own variables. There may be any number of threads."""

    pc: Array[Number] = numbers(THREAD, "the next step")
    ticket: Array[Number] = numbers(THREAD, "ticket for the lock")
    asleep: Array[Bool] = flags(THREAD, "waits for a wake-up, without the lock")
    result: Array[Number] = numbers(THREAD, "how the call ended")
    return_to: Array[Number] = numbers(THREAD, "where to go on after a command")
    nonblocking: Array[Bool] = flags(THREAD, "the call must not wait")
    peek: Array[Bool] = flags(THREAD, "the read only looks at the next packet")
    zero: Array[Bool] = flags(THREAD, "the packet to send has no payload")
    more: Array[Number] = numbers(THREAD, "packets to send after the present one: a batch")
    handed: Array[Number] = numbers(THREAD, "packets that the call has handed over")
    batch: Array[Number] = numbers(THREAD, "packets that the call was asked to send", history=True)
    kind: Array[Number] = numbers(THREAD, "the command to submit")
    key: Array[Number] = numbers(THREAD, "the filter to submit")
    queue_position: Array[Number] = numbers(THREAD, "place in the queue for a slot or a packet")
    request: Array[Number] = numbers(THREAD, "number of the request submitted", history=True)
    slot: Array[Number] = numbers(THREAD, "the slot that the call works on")
    completed: Array[Bool] = flags(THREAD, "the request's completion was taken")
    completed_sequence: Array[Number] = numbers(
        THREAD, "the command whose result was taken", history=True
    )
    status: Array[Number] = numbers(THREAD, "the result")
    packet: Array[Number] = numbers(THREAD, "number of the packet taken", history=True)
    got: Array[Number] = numbers(THREAD, "the packet that the header read belongs to")
    got_first_word: Array[Number] = numbers(
        THREAD, "the packet that the early payload word belongs to"
    )
    got_last_word: Array[Number] = numbers(
        THREAD, "the packet that the late payload word belongs to"
    )
    length: Array[Number] = numbers(THREAD, "length of the packet that a peek looked at, in bytes")
    copied: Array[Number] = numbers(THREAD, "bytes copied out of the slot's buffers")
    # sleeping: one wake-up flag for each thread and wait queue
    wake_tx: Array[Bool] = flags(THREAD, "woken on the wait queue of senders")
    wake_cmd: Array[Bool] = flags(THREAD, "woken on the wait queue of commands")
    wake_rx: Array[Bool] = flags(THREAD, "woken on the wait queue of readers")
    wake_life: Array[Bool] = flags(THREAD, "woken on the wait queue of open and close")
    # who is inside a call: a list without gaps, to count them
    inside_position: Array[Number] = numbers(
        THREAD, "the thread's place in the list inside", history=True
    )


@attrs.define(eq=False)
class DriverState(Group):
    """What the driver keeps for the card as a whole."""

    life: Number = number("closed, opening, open or closing", Life.CLOSED)
    failed: Bool = flag("a fatal error was seen; calls end with EIO")
    needs_reset: Bool = flag("the card must be reset before it is used", True)
    opens: Number = number("number of opens that the driver counts")
    handles: Number = number("number of opens that users hold")
    conductor: Number = number("the thread that opens or closes the card")
    aborting: Bool = flag("the open failed; the card is being stopped again")
    opening: Bool = flag("the conductor's call is an open", history=True)
    cursor: Number = number("slot that initialisation, fence or release is at")
    polls: Number = number("reads of FLAGS left before a reset is given up")
    read_unanswered: Bool = flag("the register read behind the rings' addresses is not answered")
    inside: Number = number("number of threads inside a call")
    list: Array[Number] = numbers(COUNTER, "the threads inside a call", history=True)


@attrs.define(eq=False)
class State(Recorder):
    """Everything."""

    lock: Lock
    tx: TransmitRing
    cmd: CommandRing
    rx: ReceiveRing
    card: CardState
    threads: Threads
    driver: DriverState


def constant_of(name: str) -> Number:
    """A size that never changes and is not fixed by the specification."""
    return symbol(name, Sort.NUMBER)  # type: ignore[return-value]


POSTED = constant_of("POSTED")
"""How many register writes may be under way at once: any number from 1 on."""
POLLS = constant_of("POLLS")
"""How often a reset reads FLAGS before it gives up: any number from 1 on."""
CAPACITY = LIMITS.max_packet
"""Bytes that a slot's four buffers hold."""
FILTER_TABLE = LIMITS.filters
"""Entries of the card's filter table (datasheet, Rings)."""
