"""Defects of real drivers for this card, each as a small change of the specification.

`model.faults` says of each what that driver does. The change here makes the specification do it;
everything else stays as specified.
"""

from __future__ import annotations

from typing import Final

from engine.faults import FaultCase
from engine.mutations import (
    Mutation,
    also,
    both,
    leads,
    leaves,
    never,
    only_when,
    replace,
    then,
    thread_rule,
    without_barrier,
)
from engine.rules import Choice, Parameter
from engine.scenario import happens, lacking, rests, until
from engine.terms import And, Bool, If, Number, constant, ring_size
from model.faults import described
from model.ring_spec import COMMAND, TRANSMIT, call_must_end, claim, my_turn, reclaim
from model.state import Flags, Label, Life, Result, State
from model.thread_spec import (
    COMMANDS,
    READERS,
    SENDERS,
    at,
    draw_ticket,
    get_up,
    holds,
    sleep,
    unlock,
)
from model.words import CMD, RX, TX
from proofs.scenarios import (
    CLOSING,
    COMMANDING,
    FAILING,
    ONE_FILTER,
    OPENING,
    OTHER,
    READING,
    RECEIVING,
    RESETTING,
    SENDING,
    USER,
    calls,
    card_writes,
    closes,
    commanding,
    fails,
    opens,
    reader_copies,
    receiving,
    scenario,
    unlocked,
)

__all__ = ["FIELD"]

CALLS: Final = "What the character device offers"


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


ZERO_LENGTH_STALL: Final = FaultCase(
    described("zero-length-stall"),
    then("rx.receive_packet", index_not_advanced),
    receiving(words=(9999, 0)),
    sizes=(2,),
    shows=reader_sleeps,
    settles=True,
)


def index_never_set(s: State, t: Number) -> None:
    """Store the pointers again; after an empty packet, those that an index never set leads to."""
    slot = s.threads.slot[t]
    s.rx.pointer_new[slot] = If(s.threads.copied[t] == 0, ring_size(), slot)


WILD_POINTER: Final = FaultCase(
    described("wild-pointer-recycle"),
    then("rx.refill_pointer", index_never_set),
    receiving(words=(9999, 0)),
)


def indices_equal(s: State) -> Bool:
    """After the first packet, reduced indices look alike: the ring seems empty."""
    return s.rx.cons_i != 0


def sees_equal_indices(s: State, t: Number) -> None:
    """The two receive indices are equal, so the ring seems empty: sleep."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & indices_equal(s))
    s.rx.ready = s.rx.ready & False
    sleep(s, t, READERS)


DEAD_AFTER_ONE: Final = FaultCase(
    described("dead-after-one"),
    both(
        only_when(
            "rx.packet_found",
            lambda s: ~indices_equal(s),
            "The two receive indices differ: load the owner byte.",
        ),
        also(thread_rule("rx.indices_equal", sees_equal_indices, "Rings: Receive")),
    ),
    scenario(
        RECEIVING
        - {"rx.write_first_word", "rx.write_last_word", "rx.copy_first_word", "rx.copy_last_word"},
        limits={"begin_read": READING, "rx.arrive": {"length": (0,)}},
        words=(9999, 0),
    ),
    shows=reader_sleeps,
    settles=True,
)

ACQUIRE_TOO_EARLY: Final = FaultCase(
    described("acquire-too-early"),
    without_barrier("rx.speculate_header", "acquire: owner before header"),
    receiving("rx.speculate_header"),
    shows=reader_copies,
)


def loads_length_again(s: State, t: Number) -> None:
    """Load the length once more, and copy that many bytes."""
    _, s.threads.copied[t] = s.load(RX.header, s.threads.slot[t], early=False)


SHORT: Final = Parameter("short", Choice.FLAG)


def stays_after_short_read(s: State, t: Number, short: Number) -> None:
    """Load the header; the index goes on, except after a read that is shorter than a header."""
    s.rx.cons_i = If(short != 0, s.threads.slot[t], s.rx.cons_i)


SHORT_READ_STALL: Final = FaultCase(
    described("short-read-stall"),
    then("rx.receive_packet", stays_after_short_read, SHORT),
    receiving(words=(9999, 0)),
    sizes=(2,),
    shows=reader_sleeps,
    settles=True,
)


def trusts_reader(s: State, t: Number, room: Number) -> None:
    """Load the header, and copy as many bytes as the reader says that it has room for."""
    s.threads.copied[t] = room


NEGATIVE_LENGTH_READ: Final = FaultCase(
    described("negative-length-read"),
    then("rx.receive_packet", trusts_reader, Parameter("room", Choice.WORD)),
    receiving(words=(1500, 2**31)),
)

DOUBLE_FETCH: Final = FaultCase(
    described("double-fetch"),
    then("rx.copy_first_word", loads_length_again),
    receiving("rx.lie", words=(1500, 20000), lies=True),
)


def trusts_payload(s: State, t: Number, inside: Number) -> None:
    """Load the header, and copy as many bytes as a length inside the payload says."""
    s.threads.copied[t] = inside
    s.threads.result[t] = Result.OK


UNCHECKED_LENGTH: Final = FaultCase(
    described("unchecked-length"),
    then("rx.receive_packet", trusts_payload, Parameter("inside", Choice.WORD)),
    receiving(words=(1500, 20000)),
)


# Commands and their results


def reads_result_late(s: State, t: Number) -> None:
    """The command has completed: read the error byte in the slot that it used, and return it."""
    slot = s.threads.slot[t]
    sequence, status = s.load(CMD.status, slot, early=False)
    s.threads.completed_sequence[t] = sequence
    s.threads.result[t] = status


RESULT_OF_ANOTHER: Final = FaultCase(
    described("result-of-another"), then("cmd.completed", reads_result_late), commanding(users=2)
)


def tells_everyone(s: State, t: Number) -> None:
    """Take the slot back; the result goes to one variable that all callers read."""
    slot = s.cmd.cons_i
    reclaim(COMMAND, s, t)
    sequence, status = s.load(CMD.status, slot, early=False)
    s.threads.completed_sequence.fill(sequence)
    s.threads.status.fill(status)


SHARED_RESULT: Final = FaultCase(
    described("shared-result"), replace("cmd.reclaim", tells_everyone), commanding(users=2)
)


def closing(s: State, t: Number) -> Bool:
    """The card is being closed, and not by t."""
    return And(s.driver.life != Life.OPEN, s.threads.return_to[t] == Label.EXIT)


def waits_whatever_failed(s: State, t: Number) -> None:
    """The command ring is full: sleep, without a look at whether the card has failed."""
    s.require(holds(s, t, Label.CMD_TURN) & ~closing(s, t) & ~my_turn(COMMAND, s, t))
    sleep(s, t, COMMANDS)


def refuses_when_closing(s: State, t: Number) -> None:
    """The card is being closed: the caller leaves the queue with an error."""
    s.require(holds(s, t, Label.CMD_TURN) & closing(s, t))
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = Label.CMD_CANCEL


SUBMIT_IGNORES_FATAL: Final = FaultCase(
    described("submit-ignores-fatal"),
    both(
        replace("cmd.wait_for_turn", waits_whatever_failed),
        replace("cmd.refuse", refuses_when_closing),
    ),
    scenario(
        COMMANDING | FAILING | {"cmd.give_up_waiting", "cmd.abandon", "turn_away"},
        limits=ONE_FILTER,
        users=2,
    ),
    sizes=(1,),
)


def notes_index(s: State, t: Number) -> None:
    """The caller gets a place in the queue for a command slot, and notes the index of the next."""
    s.threads.slot[t] = s.cmd.prod_i


def uses_noted_index(s: State, t: Number) -> None:
    """The first in the queue finds that there is a free slot, and takes the one that it noted."""
    noted = s.threads.slot[t]
    claim(COMMAND, s, t)
    s.threads.slot[t] = noted
    s.cmd.prod_i = noted


SUBMITTERS: Final = (
    *("enter_filter", "submit_start", "submit_unicast", "submit_stop", "submit_flush"),
)
"""Rules by which a caller joins the queue for a command slot."""
STALE_COMMAND_INDEX: Final = FaultCase(
    described("stale-command-index"),
    both(
        *(then(rule, notes_index) for rule in SUBMITTERS),
        replace("cmd.claim", uses_noted_index),
    ),
    scenario(
        COMMANDING - {"begin_filter"},
        acts=(
            opens(),
            *(
                lacking({"cmd.look"}, calls("begin_filter", t, remove=0, key=1))
                for t in range(2, 6)
            ),
        ),
        story="user 2 opens the card; users 2 to 5 add filters, and the ring is full; "
        "the card has not looked",
        users=4,
    ),
    sizes=(2,),
)


# Sending


def is_cards(s: State, slot: Number) -> Bool:
    """What a sender sees as owner of a transmit slot, true = DEVICE."""
    owner: Bool = s.load(TX.owner, slot, early=False)
    return owner


def waits_for_slot(s: State, t: Number) -> None:
    """The slot that carried the packet is the card's: sleep."""
    s.require(holds(s, t, Label.TX_WAIT) & is_cards(s, s.threads.slot[t]) & ~call_must_end(s, t))
    sleep(s, t, SENDERS)


def slot_is_free(s: State, t: Number) -> None:
    """The slot that carried the packet is the host's: the packet was sent."""
    s.require(holds(s, t, Label.TX_WAIT) & ~is_cards(s, s.threads.slot[t]))
    s.threads.result[t] = Result.OK
    s.threads.pc[t] = s.threads.return_to[t]


WAITS_FOR_ANOTHER: Final = FaultCase(
    described("waits-for-another"),
    both(replace("tx.wait_for_completion", waits_for_slot), replace("tx.completed", slot_is_free)),
    scenario(
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


WAKE_BEFORE_ADVANCE: Final = FaultCase(
    described("wake-before-advance"),
    both(
        then("tx.completion_found", wakes_and_unlocks),
        leaves("tx.reclaim", "threads.wake_tx", ""),
        unlocked("tx.reclaim", ""),
        then("tx.reclaim", advances_later),
    ),
    scenario(SENDING, limits={"begin_write": {"zero": (1,)}}, users=2),
    sizes=(1,),
    shows=lambda s: s.threads.asleep[OTHER] & at(s, OTHER, Label.TX_TURN),
    settles=True,
)


def full_is_fine(s: State, t: Number) -> None:
    """The caller leaves the queue; if it was because the ring is full, the call says OK."""
    refused = s.threads.result[t] == Result.EAGAIN
    s.threads.result[t] = If(refused, Result.OK, s.threads.result[t])


PHANTOM_WRITE: Final = FaultCase(
    described("phantom-write"),
    then("tx.refuse", full_is_fine),
    scenario(
        SENDING | {"tx.refuse", "tx.cancel_waiting"},
        limits={"begin_write": {"zero": (1,), "nonblocking": (1,)}},
    ),
    sizes=(1,),
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


UNLOCK_THEN_SLEEP: Final = FaultCase(
    described("unlock-then-sleep"),
    both(
        replace("cmd.wait_for_completion", only_unlocks),
        also(thread_rule("cmd.fall_asleep", falls_asleep, CALLS)),
    ),
    commanding(),
    settles=True,
)


# Open and close


WRONG_CHANNEL: Final = FaultCase(
    described("wrong-channel"),
    both(
        leaves("close_last", "threads.wake_tx", ""),
        leaves("close_last", "threads.wake_cmd", ""),
        leaves(
            "close_last",
            "threads.wake_rx",
            "The last close: no new calls; only the channel of open and close is woken.",
        ),
    ),
    scenario(
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


LAST_CLOSE_COUNTS: Final = both(
    only_when(
        "close_last",
        lambda s: s.driver.opens == 1,
        "The last close, and the driver's count reaches zero: the card is going to be stopped.",
    ),
    also(thread_rule("close_counts", close_only_counts, CALLS)),
)
OPEN_COUNT: Final = FaultCase(
    described("open-count"),
    both(then("close_shared", close_is_not_passed_on), LAST_CLOSE_COUNTS),
    scenario(CLOSING | {"begin_open", "open_shared"}, users=2),
    shows=lambda s: s.driver.handles == 0,
    sizes=(1,),
)


def counts_first(s: State, t: Number) -> None:
    """The card is open already: count the open, then see whether the card has failed."""
    s.driver.opens = If(s.driver.failed, s.driver.opens + 1, s.driver.opens)


OPEN_LEAK: Final = FaultCase(
    described("open-leak"),
    both(then("open_shared", counts_first), LAST_CLOSE_COUNTS),
    scenario(CLOSING | FAILING | {"begin_open", "open_shared"}, users=2),
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


def waits_for_hosts_slot(s: State, t: Number) -> None:
    """It is not the caller's turn, or the next slot is the card's: sleep."""
    s.require(holds(s, t, Label.TX_TURN) & ~call_must_end(s, t) & ~s.threads.nonblocking[t])
    s.require(~my_turn(TRANSMIT, s, t) | is_cards(s, s.tx.prod_i))
    sleep(s, t, SENDERS)


STALE_OWNER_REOPEN: Final = FaultCase(
    described("stale-owner-reopen"),
    both(
        only_when(
            "init_transmit_slot",
            lambda s: ~was_opened(s),
            "Allocate and initialise a transmit slot, at the first open only.",
        ),
        also(thread_rule("keep_transmit_slot", keeps_slot, "Rings")),
        only_when(
            "tx.claim",
            lambda s: ~is_cards(s, s.tx.prod_i),
            "The first in the queue finds a slot that is the host's and starts to fill it in.",
        ),
        replace("tx.wait_for_turn", waits_for_hosts_slot),
    ),
    scenario(
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
        limits={"begin_write": {"nonblocking": (0,)}},
    ),
    sizes=(1,),
)


# Stopping


def frees_unless_well(rule: str, meaning: str) -> Mutation:
    """The thread goes on to free the buffers, unless its command ended well."""

    def body(s: State, t: Number) -> None:
        good = s.threads.result[t] == Result.OK
        s.driver.life = If(good, s.driver.life, Life.CLOSING)
        s.driver.cursor = constant(0)
        s.threads.pc[t] = If(good, s.threads.pc[t], Label.FREE)

    body.__doc__ = meaning
    return then(rule, body)


FREE_WHILE_STARTED: Final = FaultCase(
    described("free-while-started"),
    both(
        frees_unless_well(
            "start_completed", "If START failed or was interrupted: free the buffers."
        ),
        frees_unless_well(
            "unicast_completed",
            "If the filter command failed or was interrupted: free the buffers.",
        ),
    ),
    scenario(
        COMMANDING | RECEIVING | {"interrupt", "cmd.abandon", "unicast_completed", "free_slot"},
        acts=(
            happens("begin_open", t=2),
            until(lambda s: at(s, USER, Label.ADD_UNICAST)),
            until(lambda s: at(s, USER, Label.CMD_WAIT) & s.threads.asleep[USER]),
        ),
        story="user 2 opens the card; START is done; the filter command is on its way",
    ),
    shows=card_writes,
    sizes=(1,),
)


def signal_ends_wait(s: State, t: Number) -> None:
    """A signal ends the wait for STOP."""
    s.require(s.threads.asleep[t] & at(s, t, Label.CMD_WAIT))
    s.require(s.driver.life == Life.CLOSING)
    s.threads.result[t] = Result.EINTR
    s.threads.pc[t] = Label.CMD_ABANDON
    get_up(s, t)


STOP_FAILED_FREE: Final = FaultCase(
    described("stop-failed-free"),
    both(
        also(thread_rule("interrupt_stop", signal_ends_wait, CALLS)),
        frees_unless_well("stop_completed", "Go on to free the buffers, whatever became of STOP."),
    ),
    scenario(
        (COMMANDING | RECEIVING | CLOSING | {"cmd.abandon"}) - {"begin_read", "begin_filter"},
        acts=(opens(), closes(lambda s: at(s, USER, Label.CMD_WAIT) & s.threads.asleep[USER])),
        story="user 2 opens the card and closes it again; STOP is on its way",
    ),
    shows=card_writes,
    sizes=(1,),
)


def detaches(s: State, t: Number) -> None:
    """All packets were sent: free the receive buffers; the card is not told."""
    s.driver.cursor = constant(0)
    s.threads.pc[t] = Label.FREE


RX_BEFORE_START: Final = FaultCase(
    described("rx-before-start"),
    then("drained", detaches),
    scenario((RECEIVING | CLOSING) - {"begin_read"}),
    shows=card_writes,
    sizes=(1,),
)


CLOSE_LOSES_QUEUE: Final = FaultCase(
    described("close-loses-queue"),
    leads("all_left", Label.STOP, "No call is under way any more: on to STOP, whatever is queued."),
    scenario(
        SENDING | CLOSING,
        acts=(
            opens(),
            lacking({"tx.look"}, calls("begin_write", zero=1, nonblocking=1, more=0)),
        ),
        story="user 2 opens the card and sends a packet without waiting; the card has not looked",
    ),
    sizes=(1,),
)


def wakes_openers(s: State, t: Number) -> None:
    """No filter is left: the card counts as closed, and whoever waits to open it is woken."""
    good = s.threads.result[t] == Result.OK
    s.require(good)
    s.driver.life = constant(Life.CLOSED)
    s.threads.wake_life.fill(True)
    unlock(s)


def asks_to_free(s: State, t: Number) -> None:
    """Ask for the lock again, to free the rings."""
    s.require(at(s, t, Label.FREE) & (s.threads.ticket[t] < s.lock.serving))
    draw_ticket(s, t)


WAKE_BEFORE_FREE: Final = FaultCase(
    described("wake-before-free"),
    both(
        then("flush_completed", wakes_openers),
        also(thread_rule("ask_to_free", asks_to_free, CALLS)),
    ),
    scenario(
        COMMANDING | RECEIVING | CLOSING | OPENING,
        acts=(opens(), closes(lambda s: at(s, USER, Label.FLUSHED))),
        story="user 2 opens the card and closes it; STOP and FLUSHFILT are done",
        users=2,
    ),
    shows=card_writes,
    sizes=(1,),
)


# Failing and coming back


POLLERS_NOT_TOLD: Final = FaultCase(
    described("pollers-not-told"),
    leaves("mark_failed", "rx.ready", "Read FLAGS: it names an error. Sleeping calls are woken."),
    scenario(FAILING),
    sizes=(1,),
)


def refuses_for_ever(s: State, t: Number) -> None:
    """The card failed once: open returns EIO."""
    s.require(holds(s, t, Label.OPEN_ENTER) & (s.driver.life == Life.CLOSED) & s.driver.failed)
    end_call(s, t, Result.EIO)


def stays_refused(s: State) -> Bool:
    """The card works, and all that user 2 gets from it is EIO."""
    refused = at(s, USER, Label.IDLE) & (s.threads.result[USER] == Result.EIO)
    works = (s.card.flags == Flags.CLEAR) & ~s.card.vector1
    return And(works, s.driver.failed, at(s, USER, Label.OPEN_ENTER) | refused)


FATAL_IS_FOREVER: Final = FaultCase(
    described("fatal-is-forever"),
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
    scenario(
        frozenset({"begin_open", "open_first"}),
        acts=(opens(), fails(), calls("begin_close")),
        story="user 2 opens the card, it fails, user 2 closes it and it is reset",
    ),
    sizes=(1,),
    keeps=stays_refused,
)


def polls_for_ever(s: State, t: Number) -> None:
    """FLAGS does not read 0 yet: read it again, however often that was; RST after an error."""
    s.require(holds(s, t, Label.POLL) & (s.card.flags != Flags.CLEAR))
    s.card.flags = constant(Flags.RESETTING)


RESET_SPINS: Final = FaultCase(
    described("reset-spins"),
    both(replace("poll_again", polls_for_ever), never("give_up_reset")),
    scenario(
        RESETTING | FAILING,
        acts=(opens(), fails(), closes(lambda s: at(s, USER, Label.POLL))),
        story="user 2 opens the card, it fails, user 2 closes it and writes FLAGS.RST",
    ),
    sizes=(1,),
    keeps=lambda s: at(s, USER, Label.POLL),
)

FIELD: Final[tuple[FaultCase, ...]] = (
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
    STALE_COMMAND_INDEX,
    NEGATIVE_LENGTH_READ,
    SHORT_READ_STALL,
    PHANTOM_WRITE,
    POLLERS_NOT_TOLD,
    CLOSE_LOSES_QUEUE,
    WAKE_BEFORE_FREE,
)
