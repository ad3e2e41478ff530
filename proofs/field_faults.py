"""Defects of real drivers for this card, each as a small change of the specification.

Two drivers for the card are public: the reference driver (R) and an independent one (I). The
defects were found by reading the drivers against the datasheet, not by running them. Each change
below makes the specification do what that driver does; everything else stays as specified.
"""

from __future__ import annotations

from typing import Final

from model.algebra import And, Bool, If, Number, Or, constant, next_index, ring_size
from model.ring_spec import COMMAND, TRANSMIT, RequestProgram, call_must_end, my_turn
from model.rules import Choice, Parameter
from model.state import NOBODY, POLLS, Flags, Label, Life, Outcome, Stage, State
from model.thread_spec import at, draw_ticket, get_up, holds, release, sleep
from proofs.fault_case import Case, Fault
from proofs.fault_changes import (
    also,
    as_if_locked,
    both,
    leaves,
    never,
    replace,
    then,
    thread_rule,
    without_barrier,
)
from proofs.scenarios import (
    CLOSING,
    COMMANDING,
    DEADLOCK_FREEDOM,
    FAILING,
    HANDLER,
    RECEIVING,
    RESETTING,
    SENDING,
    Scenario,
    calls,
    happens,
    opens,
    rests,
    until,
)

__all__ = ["FIELD"]

USER: Final = constant(2)
OTHER: Final = constant(3)
CALLS: Final = "What the character device offers"
BLOCKING: Final = {"nonblocking": (0,)}
ONE_FILTER: Final = {"begin_filter": {"remove": (0,)}}


def reader_sleeps(s: State) -> Bool:
    """User 2 sleeps until a packet comes."""
    return s.threads.asleep[USER] & at(s, USER, Label.RX_OWNER)


def end_call(s: State, t: Number, outcome: Outcome) -> None:
    """Return from open or close."""
    s.threads.outcome[t] = outcome
    s.threads.label[t] = Label.IDLE
    release(s)


# Receiving


def index_not_advanced(s: State, t: Number) -> None:
    """Load the header; the index goes on to the next slot, except after an empty packet."""
    s.rx.cons_i = If(s.threads.copied[t] == 0, s.threads.slot[t], s.rx.cons_i)


ZERO_LENGTH_STALL: Final = Case(
    Fault(
        "zero-length-stall",
        "R",
        "an empty packet is handed back without advancing the receive index",
        """
        A packet of length 0 is legal. When the driver finds one it has nothing to copy, so it
        takes a shortcut: it gives the slot back to the card and returns, but skips the line that
        advances its receive index. Driver and card now disagree about which slot comes next: the
        driver waits for the card to fill slot 0 again, while the card, which walks the ring in
        order, puts the next packet into slot 1. The interrupt for that packet wakes the reader, it
        looks at slot 0, finds it still owned by the card, and sleeps again. The packet lies in
        slot 1, nobody looks there, and nothing wakes the reader until the card has gone all the way
        round; then packets come out in the wrong order. With a single slot the next slot is the
        same one, so the mistake shows from two slots on.
        """,
        "no-lost-packet",
    ),
    then("rx.take_packet", index_not_advanced),
    Scenario(RECEIVING, limits={"begin_read": BLOCKING}, words=(9999, 0)),
    shows=reader_sleeps,
    settles=True,
)


def index_never_set(s: State, t: Number) -> None:
    """Store the pointers again; after an empty packet, those that an index never set leads to."""
    slot = s.threads.slot[t]
    s.rx.pointer_new[slot] = If(s.threads.copied[t] == 0, ring_size(), slot)


WILD_POINTER: Final = Case(
    Fault(
        "wild-pointer-recycle",
        "R",
        "an empty packet's slot gets its buffer pointers from an index that was never set",
        """
        Before a slot goes back to the card its buffer pointers must be stored again. On the path
        for packets of length 0 the driver copies them from its table of buffers with a loop index
        that this path never set, so the slot then points to whatever the index happens to lead to.
        The next packet that the card puts into this slot is written there: into memory that the
        slot does not own.
        """,
        "buffer-ownership",
    ),
    then("rx.restore_pointer", index_never_set),
    Scenario(RECEIVING, limits={"begin_read": BLOCKING}, words=(9999, 0)),
)


def indices_equal(s: State) -> Bool:
    """After the first packet, reduced indices look alike: the ring seems empty."""
    return s.rx.cons != s.rx.first


def found_unless_equal(s: State, t: Number) -> None:
    """Load the owner byte, unless the two receive indices are equal."""
    s.require(~indices_equal(s))


def sees_equal_indices(s: State, t: Number) -> None:
    """The two receive indices are equal, so the ring seems empty: sleep."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & indices_equal(s))
    s.rx.ready = s.rx.ready & False
    sleep(s, t)


DEAD_AFTER_ONE: Final = Case(
    Fault(
        "dead-after-one",
        "I",
        "after the first packet both receive indices are reduced alike and stay equal for ever",
        """
        The driver keeps two receive indices and takes the ring for empty when they are equal. After
        the first packet it reduces both modulo the ring size in the same statement, which makes
        them equal, and from then on they move together. Packets keep arriving and interrupts keep
        waking the reader, but it compares the indices, finds them equal, and sleeps again.
        """,
        "no-lost-packet",
    ),
    both(
        then("rx.packet_found", found_unless_equal),
        also(thread_rule("rx.indices_equal", sees_equal_indices, "Rings: Receive")),
    ),
    Scenario(
        RECEIVING - {"rx.write_head", "rx.write_tail", "rx.copy_head", "rx.copy_tail"},
        limits={"begin_read": BLOCKING, "rx.arrive": {"length": (0,)}},
        words=(9999, 0),
    ),
    shows=reader_sleeps,
    settles=True,
)

ACQUIRE_TOO_EARLY: Final = Case(
    Fault(
        "acquire-too-early",
        "I",
        "the load barrier stands before the owner byte is read, not after it",
        """
        The reader must load the owner byte first and the packet afterwards. The driver has a load
        barrier, but puts it before the load of the owner byte, where it orders nothing that
        matters. On a machine that may satisfy loads early the header can be read while the card
        still owns the slot; then the owner byte is read, says HOST, and the driver trusts the stale
        header: length and addresses of whatever lay in the slot before.
        """,
        "receive-fifo",
    ),
    without_barrier("load_header_early", "acquire: owner before header"),
    Scenario(RECEIVING | {"load_header_early"}, limits={"begin_read": BLOCKING}),
    shows=lambda s: at(s, USER, Label.RX_HEAD, Label.RX_TAIL, Label.RX_POINTER),
)


def loads_length_again(s: State, t: Number) -> None:
    """Load the length once more, and copy that many bytes."""
    s.threads.copied[t] = s.rx.length[s.threads.slot[t]]


DOUBLE_FETCH: Final = Case(
    Fault(
        "double-fetch",
        "I",
        "a length is read from shared memory, checked, and read again to be used",
        """
        The driver checks that the length in the slot is not larger than the slot's buffers. To copy
        the packet it reads the length from the slot again. The slot lies in memory that the card
        can write: a faulty or hostile card changes the length between the two loads, and the driver
        copies past the end of the buffers with a length that it never checked.
        """,
        "bounds",
    ),
    then("rx.copy_head", loads_length_again),
    Scenario(
        RECEIVING | {"rx.lie"}, limits={"begin_read": BLOCKING}, words=(1500, 20000), lies=True
    ),
)


def trusts_payload(s: State, t: Number, inside: Number) -> None:
    """Load the header, and copy as many bytes as a length inside the payload says."""
    s.threads.copied[t] = inside
    s.threads.outcome[t] = Outcome.OK
    s.threads.label[t] = Label.RX_HEAD


UNCHECKED_LENGTH: Final = Case(
    Fault(
        "unchecked-length",
        "I",
        "a length inside the received payload is trusted",
        """
        The payload of a packet carries a length of its own, written by whoever sent the packet. The
        driver copies that many bytes to the reader without comparing it with what the card
        received. Anybody on the net can make the driver read past the end of the buffers.
        """,
        "bounds",
    ),
    then("rx.take_packet", trusts_payload, Parameter("inside", Choice.WORD)),
    Scenario(RECEIVING, limits={"begin_read": BLOCKING}, words=(1500, 20000)),
)


# Commands and their results


def reads_result_late(s: State, t: Number) -> None:
    """A sleeper gets up; the caller of a command reads the error byte in its old slot now."""
    threads = s.threads
    late = at(s, t, Label.CMD_WAIT) & threads.answered[t]
    slot = threads.slot[t]
    threads.answer[t] = If(late, s.cmd.result[slot], threads.answer[t])
    threads.code[t] = If(late, s.cmd.code[slot], threads.code[t])


RESULT_OF_ANOTHER: Final = Case(
    Fault(
        "result-of-another",
        "R",
        "a command's error byte is read after a sleep, when its slot may carry another command",
        """
        A caller submits a command and sleeps. When it wakes it reads the error byte from its slot.
        But the interrupt handler has taken the slot back already, and nothing keeps it: with enough
        callers (65 on a ring of 64 slots) another command has reused it. The caller returns the
        other command's result as its own.
        """,
        "own-result",
    ),
    then("wake", reads_result_late),
    Scenario(COMMANDING, limits=ONE_FILTER, users=2),
)


def tells_everyone(s: State, t: Number) -> None:
    """Take the slot back; the result goes to one variable that all callers read."""
    waiter = s.cmd.tag[s.cmd.cons_i]
    del waiter


SHARED_RESULT: Final = Case(
    Fault(
        "shared-result",
        "I",
        "all callers share one variable for the result of the last command",
        """
        The interrupt handler stores the result of each command in one variable of the driver, and a
        caller that wakes reads it from there. If another command completes before the first caller
        gets to run, the variable holds the later command's result, and the first caller returns
        that.
        """,
        "own-result",
    ),
    lambda system: replace("cmd.take", _take_for_all(system.named("cmd.take").rule.body))(system),
    Scenario(COMMANDING, limits=ONE_FILTER, users=2),
)
