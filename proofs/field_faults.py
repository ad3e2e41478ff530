"""Defects of real drivers for this card, each as a small change of the specification.

Two drivers for the card are public: the reference driver (R) and an independent one (I). The
defects were found by reading the drivers against the datasheet, not by running them. Each change
below makes the specification do what that driver does; everything else stays as specified.
"""

from __future__ import annotations

from typing import Final

from engine.mutations import (
    also,
    both,
    leaves,
    never,
    only_when,
    replace,
    then,
    thread_rule,
    unlocked,
    without_barrier,
)
from engine.rules import Choice, Parameter
from engine.terms import And, Bool, If, Number, constant, ring_size
from model.ring_spec import COMMAND, TRANSMIT, call_must_end, my_turn, reclaim
from model.state import Flags, Label, Life, Result, Stage, State
from model.thread_spec import at, draw_ticket, get_up, holds, sleep, unlock
from proofs.fault_case import Case, Fault
from proofs.scenarios import (
    CLOSING,
    COMMANDING,
    DEADLOCK_FREEDOM,
    FAILING,
    READING,
    RECEIVING,
    RESETTING,
    SENDING,
    Scenario,
    calls,
    happens,
    lacking,
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


def end_call(s: State, t: Number, outcome: Result) -> None:
    """Return from open or close."""
    s.threads.result[t] = outcome
    s.threads.pc[t] = Label.IDLE
    unlock(s)


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
        order, puts the next packet into slot 1. The interrupt for that packet tells readers to
        look. The reader looks at slot 0, finds it owned by the card, and sleeps. The packet lies in
        slot 1, nobody looks there, and nothing wakes the reader until the card has gone all the way
        round the ring; then packets come out in the wrong order. With a single slot the next slot
        is the same one, so the mistake shows from two slots on.
        """,
        "no-lost-packet",
    ),
    then("rx.receive_packet", index_not_advanced),
    Scenario(RECEIVING, limits={"begin_read": READING}, words=(9999, 0)),
    sizes=(2,),
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
    then("rx.refill_pointer", index_never_set),
    Scenario(RECEIVING, limits={"begin_read": READING}, words=(9999, 0)),
)


def indices_equal(s: State) -> Bool:
    """After the first packet, reduced indices look alike: the ring seems empty."""
    return s.rx.cons != s.rx.first


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
        only_when(
            "rx.packet_found",
            lambda s: ~indices_equal(s),
            "The two receive indices differ: load the owner byte.",
        ),
        also(thread_rule("rx.indices_equal", sees_equal_indices, "Rings: Receive")),
    ),
    Scenario(
        RECEIVING
        - {"rx.write_first_word", "rx.write_last_word", "rx.copy_first_word", "rx.copy_last_word"},
        limits={"begin_read": READING, "rx.arrive": {"length": (0,)}},
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
    without_barrier("rx.speculate_header", "acquire: owner before header"),
    Scenario(RECEIVING | {"rx.speculate_header"}, limits={"begin_read": READING}),
    shows=lambda s: at(s, USER, Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER),
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
    then("rx.copy_first_word", loads_length_again),
    Scenario(
        RECEIVING | {"rx.lie"}, limits={"begin_read": READING}, words=(1500, 20000), lies=True
    ),
)


def trusts_payload(s: State, t: Number, inside: Number) -> None:
    """Load the header, and copy as many bytes as a length inside the payload says."""
    s.threads.copied[t] = inside
    s.threads.result[t] = Result.OK


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
    then("rx.receive_packet", trusts_payload, Parameter("inside", Choice.WORD)),
    Scenario(RECEIVING, limits={"begin_read": READING}, words=(1500, 20000)),
)


# Commands and their results


def reads_result_late(s: State, t: Number) -> None:
    """The command has completed: read the error byte in the slot that it used, and return it."""
    slot = s.threads.slot[t]
    s.threads.completed_sequence[t] = s.cmd.status_sequence[slot]
    s.threads.result[t] = s.cmd.status[slot]


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
    then("cmd.completed", reads_result_late),
    Scenario(COMMANDING, limits=ONE_FILTER, users=2),
)


def tells_everyone(s: State, t: Number) -> None:
    """Take the slot back; the result goes to one variable that all callers read."""
    slot = s.cmd.cons_i
    reclaim(COMMAND, s, t)
    s.threads.completed_sequence.fill(s.cmd.status_sequence[slot])
    s.threads.status.fill(s.cmd.status[slot])


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
    replace("cmd.reclaim", tells_everyone),
    Scenario(COMMANDING, limits=ONE_FILTER, users=2),
)


def closing(s: State, t: Number) -> Bool:
    """The card is being closed, and not by t."""
    return And(s.driver.life != Life.OPEN, s.threads.return_to[t] == Label.EXIT)


def waits_whatever_failed(s: State, t: Number) -> None:
    """The command ring is full: sleep, without a look at whether the card has failed."""
    s.require(holds(s, t, Label.CMD_TURN) & ~closing(s, t) & ~my_turn(COMMAND, s, t))
    sleep(s, t)


def refuses_when_closing(s: State, t: Number) -> None:
    """The card is being closed: the caller leaves the line with an error."""
    s.require(holds(s, t, Label.CMD_TURN) & closing(s, t))
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = Label.CMD_CANCEL


SUBMIT_IGNORES_FATAL: Final = Case(
    Fault(
        "submit-ignores-fatal",
        "R",
        "the wait for a free command slot does not look at the fatal flag",
        """
        A caller finds the command ring full and sleeps until a slot is free. When the card fails
        the fatal handler wakes everybody, but this loop asks one question only: is there a free
        slot? There is none, and there never will be, because a card that failed returns no slot.
        The caller sleeps again, for ever.
        """,
        DEADLOCK_FREEDOM,
    ),
    both(
        replace("cmd.wait_for_turn", waits_whatever_failed),
        replace("cmd.refuse", refuses_when_closing),
    ),
    Scenario(
        COMMANDING | FAILING | {"cmd.give_up_waiting", "cmd.abandon", "turn_away"},
        limits=ONE_FILTER,
        users=2,
    ),
    sizes=(1,),
)


# Sending


def own_slot_is_cards(s: State, t: Number) -> Bool:
    """What the sender sees as owner of the slot that it used, true = DEVICE."""
    slot = s.threads.slot[t]
    return If(s.tx.owner_pending[slot], s.tx.owner_new[slot], s.tx.owner[slot])


def waits_for_slot(s: State, t: Number) -> None:
    """The slot that carried the packet is the card's: sleep."""
    s.require(holds(s, t, Label.TX_WAIT) & own_slot_is_cards(s, t) & ~call_must_end(s, t))
    sleep(s, t)


def slot_is_free(s: State, t: Number) -> None:
    """The slot that carried the packet is the host's: the packet was sent."""
    s.require(holds(s, t, Label.TX_WAIT) & ~own_slot_is_cards(s, t))
    s.threads.result[t] = Result.OK
    s.threads.pc[t] = s.threads.return_to[t]


WAITS_FOR_ANOTHER: Final = Case(
    Fault(
        "waits-for-another",
        "R",
        "a blocking write waits until its slot is the host's, which may carry a later packet",
        """
        A blocking write returns when its packet was sent. The driver decides that by looking at the
        owner of the slot that it used. When the writer wakes, somebody else may have put a later
        packet into the same slot already, so the slot is the card's again and the writer sleeps
        again. On a busy ring this can go on for ever, although its own packet left long ago.
        """,
        "requests-complete",
    ),
    both(
        replace("tx.wait_for_completion", waits_for_slot),
        replace("tx.completed", slot_is_free),
    ),
    Scenario(
        SENDING,
        acts=(
            opens(),
            happens("begin_write", t=2, zero=1, nonblocking=0, more=0),
            until(lambda s: s.threads.asleep[USER]),
        ),
        story="user 2 opens the card, sends a packet, and sleeps until it is sent",
        limits={"begin_write": {"t": (3,), "zero": (1,), "nonblocking": (1,)}},
        users=2,
    ),
    sizes=(1,),
    keeps=lambda s: at(s, USER, Label.TX_WAIT) & s.threads.completed[USER],
)


def wakes_and_unlocks(s: State, t: Number) -> None:
    """Load the owner byte: the card returned the slot. Wake the senders and drop the lock."""
    s.threads.wake_tx.fill(True)
    unlock(s)


def advances_later(s: State, t: Number) -> None:
    """Take the slot back: only now advance the consumer; nobody is woken any more."""
    draw_ticket(s, t)


WAKE_BEFORE_ADVANCE: Final = Case(
    Fault(
        "wake-before-advance",
        "R",
        "the transmit handler wakes writers and drops the lock before it advances its index",
        """
        A writer sleeps because the ring is full. The handler finds that the card has sent a packet,
        wakes the writers, drops the lock, and only then counts the slot as free. The writer gets
        the lock in between, still sees a full ring, and sleeps again. Now the handler advances its
        index: the slot is free, and nobody tells the writer. It sleeps until another packet
        completes; on a ring with one slot there is none.
        """,
        "no-lost-wake-up",
    ),
    both(
        then("tx.completion_found", wakes_and_unlocks),
        leaves("tx.reclaim", "threads.wake_tx", ""),
        unlocked("tx.reclaim", ""),
        then("tx.reclaim", advances_later),
    ),
    Scenario(SENDING, limits={"begin_write": {"zero": (1,)}}, users=2),
    sizes=(1,),
    shows=lambda s: s.threads.asleep[OTHER] & at(s, OTHER, Label.TX_TURN),
    settles=True,
)


# Sleeping


def only_unlocks(s: State, t: Number) -> None:
    """The request is still on its way: drop the lock, in order to sleep next."""
    s.require(holds(s, t, Label.CMD_WAIT) & ~s.threads.completed[t] & ~call_must_end(s, t))
    unlock(s)


def falls_asleep(s: State, t: Number) -> None:
    """Start to wait for a wake-up, the lock being dropped already."""
    dropped = s.threads.ticket[t] < s.lock.serving
    s.require(at(s, t, Label.CMD_WAIT) & ~s.threads.asleep[t] & dropped)
    s.threads.asleep[t] = True
    s.threads.wake_cmd[t] = False


UNLOCK_THEN_SLEEP: Final = Case(
    Fault(
        "unlock-then-sleep",
        "I",
        "a caller checks its condition, drops the lock, and then starts to sleep",
        """
        A caller looks whether its command has completed; it has not, so the caller drops the lock
        and goes to sleep: two steps. If the command completes between the two, the handler takes
        the lock, finds nobody sleeping whom it could wake, and is done. Then the caller falls
        asleep, waiting for a wake-up that has come and gone. Dropping the lock and starting to wait
        must be one step.
        """,
        "no-lost-wake-up",
    ),
    both(
        replace("cmd.wait_for_completion", only_unlocks),
        also(thread_rule("cmd.fall_asleep", falls_asleep, CALLS)),
    ),
    Scenario(COMMANDING, limits=ONE_FILTER),
    settles=True,
)


# Open and close


def starts_closing(s: State, t: Number) -> None:
    """The last close: no new calls; only the channel of open and close is woken."""
    s.require(holds(s, t, Label.CLOSE_ENTER) & (s.driver.handles == 1))
    s.driver.handles = constant(0)
    s.driver.opens = s.driver.opens - 1
    s.driver.life = constant(Life.CLOSING)
    s.driver.conductor = t
    s.threads.wake_life.fill(True)
    s.threads.pc[t] = Label.LEAVE


WRONG_CHANNEL: Final = Case(
    Fault(
        "wrong-channel",
        "R",
        "a close wakes other channels than the ones that readers and writers sleep on",
        """
        The last close must wait until all calls have left the driver, so it wakes whoever sleeps in
        one. But it signals a channel on which no reader or writer sleeps. The reader goes on
        waiting for a packet, the close waits for the reader, and neither ever moves.
        """,
        DEADLOCK_FREEDOM,
    ),
    replace("close_last", starts_closing),
    Scenario(
        (RECEIVING - {"rx.arrive"}) | {"begin_close", "close_last", "wait_for_leavers", "all_left"},
        users=2,
    ),
)


def close_is_not_passed_on(s: State, t: Number) -> None:
    """Others still have the card open: the system does not call the driver."""
    s.driver.opens = s.driver.opens + 1


def close_only_counts(s: State, t: Number) -> None:
    """The last close, and the driver counts other opens still: it counts one less, no more."""
    s.require(holds(s, t, Label.CLOSE_ENTER) & (s.driver.handles == 1) & (s.driver.opens != 1))
    s.driver.handles = s.driver.handles - 1
    s.driver.opens = s.driver.opens - 1
    end_call(s, t, Result.OK)


LAST_CLOSE_COUNTS: Final = only_when(
    "close_last",
    lambda s: s.driver.opens == 1,
    "The last close, and the driver's count reaches zero: the card is going to be stopped.",
)
OPEN_COUNT: Final = Case(
    Fault(
        "open-count",
        "R, I",
        "opens are counted one by one, but the system calls close once, at the last close",
        """
        The driver adds one to its count at every open and takes one off at every close. But the
        system calls a character device's close routine only once, when the last user has closed it.
        After two opens the count is two, the only close brings it to one, and the driver believes
        that somebody still uses the card: it is never stopped again.
        """,
        "opens-counted",
    ),
    both(
        then("close_shared", close_is_not_passed_on),
        LAST_CLOSE_COUNTS,
        also(thread_rule("close_counts", close_only_counts, CALLS)),
    ),
    Scenario(CLOSING | {"begin_open", "open_shared"}, users=2),
    shows=lambda s: s.driver.handles == 0,
    sizes=(1,),
)


def counts_first(s: State, t: Number) -> None:
    """The card is open already: count the open, then see whether the card has failed."""
    s.driver.opens = If(s.driver.failed, s.driver.opens + 1, s.driver.opens)


OPEN_LEAK: Final = Case(
    Fault(
        "open-leak",
        "I",
        "a failed open leaves its count behind",
        """
        The driver counts an open before it knows whether the open succeeds, and the error path does
        not take the count back. After one failed open the count is one too high for ever: the last
        close does not bring it to zero, and the card is never stopped.
        """,
        "opens-counted",
    ),
    both(
        then("open_shared", counts_first),
        LAST_CLOSE_COUNTS,
        also(thread_rule("close_counts", close_only_counts, CALLS)),
    ),
    Scenario(CLOSING | FAILING | {"begin_open", "open_shared"}, users=2),
    shows=lambda s: s.driver.handles == 0,
    sizes=(1,),
)


def was_opened(s: State) -> Bool:
    """The transmit ring was set up before."""
    return s.tx.prod != 0


def keeps_slot(s: State, t: Number) -> None:
    """The transmit ring was set up at an earlier open: leave the slot as it is."""
    s.require(holds(s, t, Label.INIT_TX) & was_opened(s))
    s.tx.exists[s.driver.cursor] = True
    s.threads.pc[t] = Label.INIT_POINTER


def next_slot_is_cards(s: State) -> Bool:
    """What the sender sees as owner of the next slot, true = DEVICE."""
    slot = s.tx.prod_i
    return If(s.tx.owner_pending[slot], s.tx.owner_new[slot], s.tx.owner[slot])


def waits_for_hosts_slot(s: State, t: Number) -> None:
    """It is not the caller's turn, or the next slot is the card's: sleep."""
    s.require(holds(s, t, Label.TX_TURN) & ~call_must_end(s, t) & ~s.threads.nonblocking[t])
    s.require(~my_turn(TRANSMIT, s, t) | next_slot_is_cards(s))
    sleep(s, t)


STALE_OWNER_REOPEN: Final = Case(
    Fault(
        "stale-owner-reopen",
        "R",
        "the transmit ring is not initialised again on open; slots that STOP left stay the card's",
        """
        STOP may leave transmit slots untouched that the card has not sent yet: their owner byte
        still says DEVICE. The driver initialises the transmit ring once and not at every open, so
        after a close and another open the first slot seems to belong to the card. The first write
        waits for the card to return it. The card has no reason to: it was stopped, and no doorbell
        will ring for this slot.
        """,
        DEADLOCK_FREEDOM,
    ),
    both(
        only_when(
            "init_transmit_slot",
            lambda s: ~was_opened(s),
            "Allocate and initialise a transmit slot, at the first open only.",
        ),
        also(thread_rule("keep_transmit_slot", keeps_slot, "Rings")),
        only_when(
            "tx.claim",
            lambda s: ~next_slot_is_cards(s),
            "The first in line finds a slot that is the host's and starts to fill it in.",
        ),
        replace("tx.wait_for_turn", waits_for_hosts_slot),
    ),
    Scenario(
        SENDING,
        acts=(
            opens(),
            lacking({"tx.look"}, calls("begin_write", zero=1, nonblocking=1, more=0)),
            happens("begin_close", t=2),
            lacking({"tx.look"}, until(lambda s: holds(s, USER, Label.DRAIN))),
            happens("stop_draining", t=2),
            lacking({"tx.look"}, rests()),
            calls("begin_open"),
        ),
        story="user 2 opens the card, sends a packet without waiting, closes before the card "
        "has looked at it, and opens again",
        limits={"begin_write": BLOCKING},
    ),
    sizes=(1,),
)


# Stopping


def frees_at_once(s: State, t: Number, good: Bool) -> None:
    """Go on to free the buffers, unless all went well."""
    s.driver.life = If(good, s.driver.life, Life.CLOSING)
    s.driver.cursor = constant(0)
    s.threads.pc[t] = If(good, s.threads.pc[t], Label.FREE)


def frees_unless_started(s: State, t: Number) -> None:
    """If START failed or was interrupted: free the buffers."""
    frees_at_once(s, t, s.threads.result[t] == Result.OK)


def frees_unless_filtered(s: State, t: Number) -> None:
    """If the filter command failed or was interrupted: free the buffers."""
    frees_at_once(s, t, s.threads.result[t] == Result.OK)


FREE_WHILE_STARTED: Final = Case(
    Fault(
        "free-while-started",
        "R",
        "when an open fails after START, the buffers are freed without STOP",
        """
        An open sends START and then adds the card's own address as a filter. If the filter command
        fails, or a signal interrupts one of the two waits, the driver frees the ring's buffers and
        returns an error. But the card has started, or will as soon as it gets to the command, and
        nobody tells it to stop: the next packet is written into memory that belongs to somebody
        else by now.
        """,
        "no-dma-after-free",
    ),
    both(
        then("start_completed", frees_unless_started),
        then("unicast_completed", frees_unless_filtered),
    ),
    Scenario(
        COMMANDING | RECEIVING | {"interrupt", "cmd.abandon", "unicast_completed", "free_slot"},
        acts=(
            happens("begin_open", t=2),
            until(lambda s: at(s, USER, Label.ADD_UNICAST)),
            until(lambda s: at(s, USER, Label.CMD_WAIT) & s.threads.asleep[USER]),
        ),
        story="user 2 opens the card; START is done; the filter command is on its way",
    ),
    shows=lambda s: s.rx.stage == Stage.WRITE_FIRST_WORD,
    sizes=(1,),
)


def signal_ends_wait(s: State, t: Number) -> None:
    """A signal ends the wait for STOP."""
    s.require(s.threads.asleep[t] & at(s, t, Label.CMD_WAIT))
    s.require(s.driver.life == Life.CLOSING)
    s.threads.result[t] = Result.EINTR
    s.threads.pc[t] = Label.CMD_ABANDON
    get_up(s, t)


def frees_anyway(s: State, t: Number) -> None:
    """Go on to free the buffers, whatever became of STOP."""
    stopped = s.threads.result[t] == Result.OK
    s.driver.cursor = constant(0)
    s.threads.pc[t] = If(stopped, s.threads.pc[t], Label.FREE)


STOP_FAILED_FREE: Final = Case(
    Fault(
        "stop-failed-free",
        "R",
        "close frees the buffers even when STOP did not complete",
        """
        The last close sends STOP and waits for the answer. If the wait ends early, by a signal say,
        the driver goes on all the same: it frees the buffers and reports the card closed. The card
        has not executed STOP yet. A packet that arrives now is written into freed memory.
        """,
        "no-dma-after-free",
    ),
    both(
        also(thread_rule("interrupt_stop", signal_ends_wait, CALLS)),
        then("stop_completed", frees_anyway),
    ),
    Scenario(
        (COMMANDING | RECEIVING | CLOSING | {"cmd.abandon"}) - {"begin_read", "begin_filter"},
        acts=(
            opens(),
            happens("begin_close", t=2),
            until(lambda s: at(s, USER, Label.CMD_WAIT) & s.threads.asleep[USER]),
        ),
        story="user 2 opens the card and closes it again; STOP is on its way",
    ),
    shows=lambda s: s.rx.stage == Stage.WRITE_FIRST_WORD,
    sizes=(1,),
)


def detaches(s: State, t: Number) -> None:
    """All packets were sent: free the receive buffers; the card is not told."""
    s.driver.cursor = constant(0)
    s.threads.pc[t] = Label.FREE


RX_BEFORE_START: Final = Case(
    Fault(
        "rx-before-start",
        "I",
        "receive slots are the card's from attach on, and freed at detach without STOP or reset",
        """
        The driver allocates the receive buffers, hands them to the card and programs the ring when
        it attaches, before anybody opens the card, and frees them when it detaches. It sends
        neither STOP nor a reset before it frees them, so the card still owns every slot and keeps
        filling buffers that are gone.
        """,
        "no-dma-after-free",
    ),
    then("drained", detaches),
    Scenario((RECEIVING | CLOSING) - {"begin_read"}),
    shows=lambda s: s.rx.stage == Stage.WRITE_FIRST_WORD,
    sizes=(1,),
)


# Failing and coming back


def refuses_for_ever(s: State, t: Number) -> None:
    """The card failed once: open returns EIO."""
    s.require(holds(s, t, Label.OPEN_ENTER) & (s.driver.life == Life.CLOSED) & s.driver.failed)
    end_call(s, t, Result.EIO)


def stays_refused(s: State) -> Bool:
    """The card works, and all that user 2 gets from it is EIO."""
    refused = at(s, USER, Label.IDLE) & (s.threads.result[USER] == Result.EIO)
    works = (s.card.flags == Flags.CLEAR) & ~s.card.vector1
    return And(works, s.driver.failed, at(s, USER, Label.OPEN_ENTER) | refused)


FATAL_IS_FOREVER: Final = Case(
    Fault(
        "fatal-is-forever",
        "R",
        "the fatal handler sets a flag that nothing ever clears",
        """
        When the card reports a fatal error the driver sets a flag that makes every call fail. After
        the last close the card is reset, successfully, and could be used again. But nothing clears
        the flag: every open from now on returns EIO, until the machine is restarted.
        """,
        "recoverability",
    ),
    both(
        leaves(
            "reset_done", "driver.failed", "FLAGS reads 0: the card works again, the flag stays"
        ),
        only_when(
            "open_first",
            lambda s: ~s.driver.failed,
            "The first open starts the card, if it never failed.",
        ),
        also(thread_rule("open_refused", refuses_for_ever, CALLS)),
    ),
    Scenario(
        frozenset({"begin_open", "open_first"}),
        acts=(
            opens(),
            happens("card.fatal_error"),
            rests(),
            calls("begin_close"),
        ),
        story="user 2 opens the card, it fails, user 2 closes it and it is reset",
    ),
    sizes=(1,),
    keeps=stays_refused,
)


def polls_for_ever(s: State, t: Number) -> None:
    """FLAGS does not read 0 yet: read it again, however often that was; RST after an error."""
    s.require(holds(s, t, Label.POLL) & (s.card.flags != Flags.CLEAR))
    s.card.flags = constant(Flags.RESETTING)


RESET_SPINS: Final = Case(
    Fault(
        "reset-spins",
        "R",
        "a reset is waited for in a loop that has no end in practice",
        """
        After writing RST the driver reads FLAGS until it is 0, up to 2^32 times, inside the
        interrupt handler with the lock held. If the card does not come back, because it is dead or
        fails again each time, the machine hangs: no other thread gets the lock and no call ends.
        """,
        "open-and-close-end",
    ),
    both(replace("poll_again", polls_for_ever), never("give_up_reset")),
    Scenario(
        RESETTING | FAILING,
        acts=(
            opens(),
            happens("card.fatal_error"),
            rests(),
            happens("begin_close", t=2),
            until(lambda s: at(s, USER, Label.POLL)),
        ),
        story="user 2 opens the card, it fails, user 2 closes it and writes FLAGS.RST",
    ),
    sizes=(1,),
    keeps=lambda s: at(s, USER, Label.POLL),
)

FIELD: Final[tuple[Case, ...]] = (
    ZERO_LENGTH_STALL,
    WILD_POINTER,
    FATAL_IS_FOREVER,
    FREE_WHILE_STARTED,
    STOP_FAILED_FREE,
    RESULT_OF_ANOTHER,
    WAITS_FOR_ANOTHER,
    WAKE_BEFORE_ADVANCE,
    WRONG_CHANNEL,
    OPEN_COUNT,
    STALE_OWNER_REOPEN,
    SUBMIT_IGNORES_FATAL,
    RESET_SPINS,
    ACQUIRE_TOO_EARLY,
    DEAD_AFTER_ONE,
    UNLOCK_THEN_SLEEP,
    DOUBLE_FETCH,
    UNCHECKED_LENGTH,
    SHARED_RESULT,
    RX_BEFORE_START,
    OPEN_LEAK,
)
