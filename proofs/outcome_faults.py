"""Callers that are told what is not so, each as a small change of the specification.

Nothing is lost, torn or freed too early here, and everybody gets on. What is wrong is what somebody
is told, so only properties about outcomes notice.
"""

from __future__ import annotations

from typing import Final

from engine.faults import FaultCase
from engine.mutations import both, leads, leaves, replace, then
from engine.scenario import happens, until
from engine.terms import TRUE, If, Number, constant
from model.device_spec import running
from model.faults import described
from model.ring_spec import (
    RECEIVE,
    TRANSMIT,
    call_must_end,
    my_turn,
    packet_waits,
    post_doorbell,
)
from model.state import CAPACITY, NOBODY, UNICAST, Command, Label, Result, Stage, State
from model.thread_spec import at, holds, unlock
from model.words import CMD, DEVICE
from proofs.scenarios import (
    CLOSING,
    COMMANDING,
    EMPTY,
    FAILING,
    OPENING,
    RESETTING,
    SENDING,
    USER,
    closes,
    commanding,
    fails,
    opens,
    receiving,
    scenario,
    sending,
)

__all__ = ["OUTCOMES"]

REMOVING: Final = scenario(COMMANDING, limits={"begin_filter": {"remove": (1,)}})
"""A user removes filters, of which the card has none but its own address."""


# Sending


def returns_at_once(s: State, t: Number) -> None:
    """Wake the queue and return: the packet is queued, whether the call may wait or not."""
    waits, slot = at(s, t, Label.TX_WAIT), s.threads.slot[t]
    s.threads.result[t] = If(waits, Result.OK, s.threads.result[t])
    s.threads.pc[t] = If(waits, Label.EXIT, s.threads.pc[t])
    s.tx.waiter[slot] = If(waits, NOBODY, s.tx.waiter[slot])


RETURNS_WHEN_QUEUED: Final = FaultCase(
    described("returns-when-queued"), then("tx.leave_queue", returns_at_once), sending()
)


def stops_after_two(s: State, t: Number) -> None:
    """Ring the doorbell of the last packet of the batch, or of the second one."""
    post_doorbell(TRANSMIT, s, t)
    s.require((s.threads.more[t] == 0) | (s.threads.handed[t] == 2))
    s.threads.more[t] = 0
    s.tx.waiters.head = s.tx.waiters.head + 1
    s.threads.pc[t] = Label.TX_LEAVE_QUEUE


def goes_on_to_second(s: State, t: Number, zero: Number) -> None:
    """Ring the doorbell, and go on to the second packet of the batch."""
    s.require(s.threads.handed[t] != 2)


BATCH_STOPS_SHORT: Final = FaultCase(
    described("batch-stops-short"),
    both(
        replace("tx.ring_doorbell", stops_after_two),
        then("tx.next_of_batch", goes_on_to_second),
    ),
    scenario(
        SENDING | {"tx.next_of_batch"},
        limits={**EMPTY, "tx.next_of_batch": {"zero": (1,)}},
        counts=(2,),
    ),
    sizes=(2,),
)


def may_wait(s: State, t: Number) -> None:
    """The sender gets a place in the queue for a slot, and will wait for its turn in any case."""
    s.threads.nonblocking[t] = False


WAITS_ANYWAY: Final = FaultCase(
    described("waits-anyway"), then("enter_write", may_wait), scenario(SENDING), sizes=(1,)
)


def full_is_failed(s: State, t: Number) -> None:
    """The call leaves the queue with EIO, whether the card failed or the ring is full."""
    s.threads.result[t] = Result.EIO


FULL_RING_IS_AN_ERROR: Final = FaultCase(
    described("full-ring-is-an-error"),
    then("tx.refuse", full_is_failed),
    scenario(
        SENDING | {"tx.refuse", "tx.cancel_waiting"},
        limits={"begin_write": {"zero": (1,), "nonblocking": (1,)}},
    ),
    sizes=(1,),
)


def forgets_signal(s: State, t: Number) -> None:
    """The call ends; if a signal ended it, it says that all went well."""
    interrupted = s.threads.result[t] == Result.EINTR
    s.threads.result[t] = If(interrupted, Result.OK, s.threads.result[t])


INTERRUPTION_SAYS_OK: Final = FaultCase(
    described("interruption-says-ok"),
    then("exit_call", forgets_signal),
    sending("interrupt", "tx.abandon", "tx.cancel_waiting"),
)


# Receiving


def copies_less(s: State, t: Number) -> None:
    """Load the header once, check its length, and copy all but the last byte."""
    copied = s.threads.copied[t]
    s.threads.copied[t] = If(copied == 0, 0, copied - 1)


COPIES_TOO_LITTLE: Final = FaultCase(
    described("copies-too-little"), then("rx.receive_packet", copies_less), receiving(words=(1500,))
)


def wake_up_ends_read(s: State, t: Number) -> None:
    """A sleeper that was woken gets up; if it wanted a packet its call ends with EINTR."""
    reading = at(s, t, Label.RX_OWNER)
    s.threads.result[t] = If(reading, Result.EINTR, s.threads.result[t])
    s.threads.pc[t] = If(reading, Label.RX_CANCEL, s.threads.pc[t])


WAKE_UP_ENDS_CALL: Final = FaultCase(
    described("wake-up-ends-call"), then("wake", wake_up_ends_read), receiving()
)


def does_not_wait(s: State, t: Number) -> None:
    """No packet: not readable any more; return EAGAIN, although the call may wait."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & my_turn(RECEIVE, s, t))
    s.require(~packet_waits(s, DEVICE))
    s.rx.ready = s.rx.ready & False
    s.threads.result[t] = Result.EAGAIN
    s.threads.pc[t] = Label.RX_CANCEL


NEVER_WAITS: Final = FaultCase(
    described("never-waits"), replace("rx.nothing_to_read", does_not_wait), receiving()
)


def arrives_for_anybody(s: State, key: Number, length: Number) -> None:
    """A packet arrives from the net, whatever the filters say."""
    s.require(running(s) & s.card.started & ~s.card.stopping & (s.rx.stage == Stage.IDLE))
    s.require(length <= CAPACITY)
    s.rx.arriving = length
    s.rx.stage = constant(Stage.LOOK)


FOR_A_STRANGER: Final = FaultCase(
    described("for-a-stranger"), replace("rx.arrive", arrives_for_anybody), receiving(words=(1500,))
)


# Commands


def takes_it_for_done(s: State, t: Number) -> None:
    """The handler took the completion of this very request: all went well."""
    s.threads.result[t] = Result.OK


RESULT_NOT_LOOKED_AT: Final = FaultCase(
    described("result-not-looked-at"), then("cmd.completed", takes_it_for_done), REMOVING
)


def says_it_was_there(s: State) -> None:
    """Write the error byte: no error, where a filter was to be removed."""
    ring = s.cmd
    s.require(running(s) & (ring.stage == Stage.WRITE_STATUS))
    status = If(ring.seen_kind == Command.RMFILT, Result.OK, ring.computed_status)
    s.store(CMD.status, ring.dev_i, status_sequence=ring.seen_fields, status=status)
    ring.stage = constant(Stage.WRITE_OWNER)


REMOVES_WHAT_IS_NOT_THERE: Final = FaultCase(
    described("removes-what-is-not-there"), replace("cmd.write_status", says_it_was_there), REMOVING
)


def says_it_is_full(s: State) -> None:
    """Execute the command fetched; say of a group's filter that there was no room for it."""
    adds = (s.cmd.seen_kind == Command.ADDFILT) & (s.cmd.seen_key != UNICAST)
    s.cmd.computed_status = If(adds, Result.ENOSPC, s.cmd.computed_status)


NO_SPACE_WITH_SPACE: Final = FaultCase(
    described("no-space-with-space"), then("cmd.execute", says_it_is_full), commanding()
)


# Open and close


def open_is_well(s: State, t: Number) -> None:
    """The card is open already: say OK, though it has failed and nothing is counted."""
    s.threads.result[t] = Result.OK


FAILED_OPEN_SAYS_OK: Final = FaultCase(
    described("failed-open-says-ok"),
    then("open_shared", open_is_well),
    scenario(
        frozenset({"begin_open", "open_shared"}),
        acts=(opens(), fails()),
        story="user 2 opens the card and it fails",
    ),
    sizes=(1,),
)


def forgets_own_address(s: State, t: Number) -> None:
    """START was answered: the card is open."""
    goes_on = at(s, t, Label.ADD_UNICAST)
    s.threads.pc[t] = If(goes_on, Label.OPENED, s.threads.pc[t])


OWN_ADDRESS_FORGOTTEN: Final = FaultCase(
    described("own-address-forgotten"),
    then("start_completed", forgets_own_address),
    scenario(
        OPENING,
        acts=(happens("begin_open", t=2), until(lambda s: at(s, USER, Label.STARTED))),
        story="user 2 opens the card and sends START, which is answered",
    ),
    sizes=(1,),
)

RESET_INSTEAD_OF_STOP: Final = FaultCase(
    described("reset-instead-of-stop"),
    leads("drained", Label.RESET, "All packets were sent, or the card failed: reset it."),
    scenario(
        CLOSING,
        acts=(opens(), closes(lambda s: at(s, USER, Label.DRAIN))),
        story="user 2 opens the card and closes it; no call is under way",
    ),
    sizes=(1,),
)


# Waiting and interrupts

SPINS: Final = FaultCase(
    described("spins"),
    leaves(
        "tx.wait_for_turn",
        "threads.wake_tx",
        "It is not the caller's turn: give up the lock, and look again although nobody woke it.",
    ),
    sending(users=2),
    sizes=(1,),
)

EVENTS_NOT_READ: Final = FaultCase(
    described("events-not-read"),
    both(
        *(
            leaves("read_events", f"{ring}.event", "Look at all rings, without reading EVFLAGS.")
            for ring in ("tx", "cmd", "rx")
        )
    ),
    sending(),
    sizes=(1,),
)

# The card


def sends_whatever_flags_say(s: State) -> None:
    """Put the packet on the net, although the card may have failed meanwhile."""
    s.require(s.card.bus_master & (s.tx.stage == Stage.SEND))
    s.tx.sent = s.tx.sent + 1
    s.tx.stage = constant(Stage.WRITE_OWNER)


SENDS_AFTER_FAILURE: Final = FaultCase(
    described("sends-after-failure"),
    replace("tx.send", sends_whatever_flags_say),
    sending("card.fatal_error"),
)


def looks_at_the_next(s: State) -> None:
    """Write owner = HOST, and go on, whichever slot the newest doorbell named."""
    s.tx.look = TRUE


LOOKS_FOR_EVER: Final = FaultCase(
    described("looks-for-ever"), then("tx.complete", looks_at_the_next), sending()
)


EVENT_SURVIVES_RESET: Final = FaultCase(
    described("event-survives-reset"),
    leaves("write_reset", "rx.due", "Write FLAGS.RST; the card still has a packet to report."),
    scenario(
        RESETTING | OPENING,
        acts=(),
        story="",
        card={"rx.due": True},
    ),
    sizes=(1,),
)


# The lock


def turned_away_in_line(s: State, t: Number) -> None:
    """The card has failed: the call ends with EIO, and does not wait for the lock."""
    s.require(at(s, t, Label.WRITE_ENTER) & s.driver.failed)
    s.threads.result[t] = Result.EIO
    s.threads.pc[t] = Label.IDLE
    unlock(s)


TURNS_AWAY_UNLOCKED: Final = FaultCase(
    described("turns-away-unlocked"),
    replace("turn_away", turned_away_in_line),
    scenario(
        SENDING | FAILING | {"turn_away"},
        acts=(opens(), fails()),
        story="user 2 opens the card and it fails",
        users=2,
    ),
    sizes=(1,),
)


OUTCOMES: Final[tuple[FaultCase, ...]] = (
    WAITS_ANYWAY,
    RETURNS_WHEN_QUEUED,
    BATCH_STOPS_SHORT,
    COPIES_TOO_LITTLE,
    FOR_A_STRANGER,
    RESULT_NOT_LOOKED_AT,
    REMOVES_WHAT_IS_NOT_THERE,
    NO_SPACE_WITH_SPACE,
    WAKE_UP_ENDS_CALL,
    NEVER_WAITS,
    FULL_RING_IS_AN_ERROR,
    INTERRUPTION_SAYS_OK,
    FAILED_OPEN_SAYS_OK,
    OWN_ADDRESS_FORGOTTEN,
    RESET_INSTEAD_OF_STOP,
    SPINS,
    EVENTS_NOT_READ,
    SENDS_AFTER_FAILURE,
    LOOKS_FOR_EVER,
    EVENT_SURVIVES_RESET,
    TURNS_AWAY_UNLOCKED,
)
