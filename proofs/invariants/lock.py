"""The lock: one holder at a time, first come, first served."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, within
from engine.terms import And, Bool, Implies, Number, constant
from model.state import State
from model.thread_spec import at, queued_for_lock
from proofs.invariants.labels import CRITICAL

__all__ = ["BOOK"]

BOOK: Final = InvariantBook()


@BOOK.invariant("lock.tickets")
def lock_tickets(s: State) -> Bool:
    """No more tickets were served than drawn."""
    return constant(0) <= s.lock.next - s.lock.serving


@BOOK.invariant("lock.queued", "thread")
def lock_in_line(s: State, t: Number) -> Bool:
    """A thread that holds or awaits the lock has an outstanding ticket of its own."""
    ticket = s.threads.ticket[t]
    return Implies(
        queued_for_lock(s, t),
        And(
            within(ticket, s.lock.serving, s.lock.next - s.lock.serving),
            s.lock.waiter[ticket] == t,
        ),
    )


@BOOK.invariant("lock.ticket-held", "counter")
def lock_ticket_held(s: State, j: Number) -> Bool:
    """Each outstanding ticket belongs to a thread that holds or awaits the lock."""
    t = s.lock.waiter[j]
    return Implies(
        within(j, s.lock.serving, s.lock.next - s.lock.serving),
        And(queued_for_lock(s, t), s.threads.ticket[t] == j),
    )


@BOOK.invariant("lock.critical", "thread")
def lock_critical(s: State, t: Number) -> Bool:
    """A thread in the middle of a critical section holds the lock."""
    return Implies(
        at(s, t, *CRITICAL), And(s.threads.ticket[t] == s.lock.serving, ~s.threads.asleep[t])
    )
