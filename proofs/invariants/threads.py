"""Threads: where each may be, what it knows there, and the list of those inside a call."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, within
from engine.terms import And, Bool, Iff, Implies, Number, Or, constant, one_of
from model.ring_spec import (
    COMMAND,
    COMMAND_LABELS,
    HOLDING,
    QUEUEING,
    TRANSMIT,
    TRANSMIT_LABELS,
)
from model.state import EVENT_THREAD, FATAL_THREAD, NOBODY, Label, Result, State
from model.thread_spec import SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_RX, SLEEPS_TX, at
from proofs.invariants.labels import (
    CONDUCTOR_LABELS,
    EVENT_LABELS,
    FATAL_LABELS,
    filling,
)

__all__ = ["BOOK", "inside_call"]

BOOK: Final = InvariantBook()


@BOOK.invariant("threads.labels", "thread")
def thread_labels(s: State, t: Number) -> Bool:
    """Each of the two handlers runs its own program and nobody else does; no thread is NOBODY."""
    return And(
        one_of(s.threads.pc[t], Label),
        Implies(t == NOBODY, at(s, t, Label.IDLE)),
        Iff(t == EVENT_THREAD, at(s, t, *EVENT_LABELS)),
        Iff(t == FATAL_THREAD, at(s, t, *FATAL_LABELS)),
    )


@BOOK.invariant("threads.return_to", "thread")
def thread_back(s: State, t: Number) -> Bool:
    """A command returns to the end of a call or to a step of open or close."""
    conducting = one_of(
        s.threads.return_to[t], (Label.STOPPED, Label.FLUSHED, Label.STARTED, Label.ADDED_UNICAST)
    )
    return And(
        Implies(
            at(s, t, *COMMAND_LABELS),
            (s.threads.return_to[t] == Label.EXIT) | conducting & ~s.threads.nonblocking[t],
        ),
        Implies(
            at(s, t, *TRANSMIT_LABELS, *QUEUEING, *HOLDING, Label.WRITE_ENTER, Label.FILTER_ENTER,
               Label.READ_ENTER, Label.EXIT),
            s.threads.return_to[t] == Label.EXIT,
        ),
        Implies(
            at(s, t, *COMMAND_LABELS, Label.FILTER_ENTER, Label.OPEN_ENTER, Label.CLOSE_ENTER)
            | at(s, t, *CONDUCTOR_LABELS),
            ~s.threads.nonblocking[t],
        ),
        Implies(
            at(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER, Label.TX_TURN,
               Label.CMD_TURN, Label.RX_OWNER, Label.RX_HEADER, Label.TX_DOORBELL,
               Label.CMD_DOORBELL, *filling(TRANSMIT), *filling(COMMAND))
            | at(s, t, Label.TX_WAIT, Label.CMD_WAIT),
            s.threads.result[t] == Result.NONE,
        ),
        Implies(
            at(s, t, Label.TX_CANCEL, Label.CMD_CANCEL, Label.TX_ABANDON, Label.CMD_ABANDON),
            s.threads.result[t] != Result.NONE,
        ),
        Implies(
            at(s, t, Label.TX_CANCEL, Label.CMD_CANCEL, Label.TX_ABANDON, Label.CMD_ABANDON,
               Label.TX_LEAVE_QUEUE, Label.CMD_LEAVE_QUEUE),
            s.threads.result[t] != Result.OK,
        ),
        Implies(
            at(s, t, Label.TX_WAIT, Label.CMD_WAIT, Label.TX_ABANDON, Label.CMD_ABANDON),
            ~s.threads.nonblocking[t],
        ),
    )  # fmt: skip


@BOOK.invariant("threads.batch", "thread")
def thread_batch(s: State, t: Number) -> Bool:
    """A batch has no fewer than no packets left."""
    return constant(0) <= s.threads.more[t]


@BOOK.invariant("threads.peek", "thread")
def thread_peek(s: State, t: Number) -> Bool:
    """A reader that only looks takes nothing."""
    return Implies(
        s.threads.peek[t],
        at(s, t, Label.IDLE, Label.READ_ENTER, *QUEUEING, Label.EXIT),
    )


@BOOK.invariant("threads.asleep", "thread")
def thread_asleep(s: State, t: Number) -> Bool:
    """Threads sleep only where the program says so."""
    return Implies(s.threads.asleep[t], at(s, t, *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_LIFE, *SLEEPS_RX))


# The list of threads inside a call


def inside_call(s: State, t: Number) -> Bool:
    """Thread t is inside a call to send, to receive or to change filters."""
    return Or(
        at(s, t, *TRANSMIT_LABELS, *QUEUEING, *HOLDING, Label.EXIT),
        And(at(s, t, *COMMAND_LABELS), s.threads.return_to[t] == Label.EXIT),
    )


@BOOK.invariant("calls.counted", "thread")
def calls_counted(s: State, t: Number) -> Bool:
    """Each thread inside a call stands in the list once, where it says."""
    place = s.threads.inside_position[t]
    return And(
        constant(0) <= s.driver.inside,
        Implies(
            inside_call(s, t),
            And(within(place, constant(0), s.driver.inside), s.driver.list[place] == t),
        ),
    )


@BOOK.invariant("calls.listed", "counter")
def calls_listed(s: State, j: Number) -> Bool:
    """The list holds threads inside a call only."""
    t = s.driver.list[j]
    return Implies(
        within(j, constant(0), s.driver.inside),
        And(inside_call(s, t), s.threads.inside_position[t] == j),
    )
