"""What callers are told: what a call knows of its result on the way to it."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, slot_exists
from engine.terms import And, Bool, Implies, Number, Or, constant, one_of, wrap
from model.ring_spec import COMMAND, COMMAND_LABELS, HOLDING, TRANSMIT, TRANSMIT_LABELS
from model.state import Command, Label, Life, Result, Stage, State
from model.thread_spec import at
from proofs.invariants.labels import filling
from proofs.invariants.phases import at_step
from proofs.invariants.requests import finished, queued

__all__ = ["BOOK", "answers"]

BOOK: Final = InvariantBook()


def answers(kind: Number, status: Number) -> Bool:
    """A card may answer `status` to a command of that kind."""
    return And(
        one_of(status, (Result.OK, Result.ENOSPC, Result.ENOENT)),
        Implies(status == Result.ENOSPC, kind == Command.ADDFILT),
        Implies(status == Result.ENOENT, kind == Command.RMFILT),
    )


@BOOK.invariant("results.said", "thread")
def results_said(s: State, t: Number) -> Bool:
    """A call has no result before it is said, and one when it ends."""
    result = s.threads.result[t]
    return And(
        Implies(at(s, t, Label.OPEN_ENTER, Label.CLOSE_ENTER, Label.LEAVE), result == Result.NONE),
        Implies(
            at(s, t, Label.EXIT, Label.RX_CANCEL, Label.RX_LEAVE_QUEUE, *HOLDING),
            result != Result.NONE,
        ),
        Implies(
            at(s, t, Label.RX_CANCEL), one_of(result, (Result.EIO, Result.EAGAIN, Result.EINTR))
        ),
        Implies(
            at(s, t, *TRANSMIT_LABELS),
            one_of(result, (Result.NONE, Result.EIO, Result.EAGAIN, Result.EINTR)),
        ),
        Implies(at(s, t, *COMMAND_LABELS), one_of(result, (Result.NONE, Result.EIO, Result.EINTR))),
        Implies(
            at(s, t, Label.STOPPED, Label.STARTED, Label.FLUSHED, Label.ADDED_UNICAST),
            one_of(result, (Result.EIO, Result.EINTR)) | answers(s.threads.kind[t], result),
        ),
    )


@BOOK.invariant("results.handed-over", "thread")
def results_handed_over(s: State, t: Number) -> Bool:
    """A call to send knows how many of its packets were handed over."""
    ring, threads = s.tx, s.threads
    done = threads.handed[t] + threads.more[t]
    handed = queued(TRANSMIT, s, t)
    return And(
        constant(0) <= threads.handed[t],
        Implies(at(s, t, Label.WRITE_ENTER), threads.handed[t] == 0),
        Implies(
            at(s, t, Label.WRITE_ENTER, Label.TX_TURN, *filling(TRANSMIT)),
            done + 1 == threads.batch[t],
        ),
        Implies(handed, done == threads.batch[t]),
        Implies(handed & ~at(s, t, Label.TX_DOORBELL), threads.more[t] == 0),
        Implies(
            handed & at(s, t, Label.TX_LEAVE_QUEUE),
            (threads.request[t] + 1 == ring.prod) & (ring.doorbells_posted == ring.prod),
        ),
    )


# Answers of the card


@BOOK.invariant("results.answer", "slot")
def results_answer(s: State, k: Number) -> Bool:
    """The answer to a command that was returned is one that a card may give."""
    ring = s.cmd
    return Implies(
        And(ring.live, slot_exists(k), wrap(k, ring.cons_i) < finished(ring)),
        answers(ring.kind_new[k], ring.status[k]),
    )


@BOOK.invariant("results.answering")
def results_answering(s: State) -> Bool:
    """The answer that the card is about to write, or that was loaded early, is one of these."""
    ring = s.cmd
    computed = one_of(ring.stage, (Stage.STOPPING, Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    return And(
        Implies(s.card.was_reset & computed, answers(ring.seen_kind, ring.computed_status)),
        Implies(ring.status_speculated, ring.speculated_status == ring.status[ring.cons_i]),
    )


@BOOK.invariant("results.told", "thread")
def results_told(s: State, t: Number) -> Bool:
    """A caller that was told of the completion was told a result that can be."""
    threads, slot = s.threads, s.threads.slot[t]
    return And(
        Implies(
            queued(COMMAND, s, t),
            Or(
                And(threads.completed[t], answers(threads.kind[t], threads.status[t])),
                And(
                    ~threads.completed[t],
                    s.cmd.kind_new[slot] == threads.kind[t],
                    s.cmd.key_new[slot] == threads.key[t],
                ),
            ),
        ),
        Implies(
            queued(TRANSMIT, s, t) & ~threads.nonblocking[t] & threads.completed[t],
            threads.status[t] == Result.OK,
        ),
    )


# Open and close


@BOOK.invariant("results.close")
def results_close(s: State) -> Bool:
    """A close that did not stop the card knows it."""
    driver = s.driver
    return And(
        Implies(driver.life == Life.OPENING, driver.opening),
        Implies(
            (driver.life == Life.CLOSING) & ~driver.opening,
            driver.aborting == (at_step(s, Label.CLOSED) & driver.needs_reset),
        ),
    )
