"""The two handlers: a fatal error becomes known, and events bring the other one to the rings."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Process, Promise
from engine.terms import TRUE, Bool, If, Number, constant
from model.ring_spec import COMMAND, RingOperations
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label, State
from model.thread_spec import at
from proofs.ranking.lock import lock, thread

__all__ = ["EVENT", "FATAL_KNOWN", "call_cases", "call_of_handler", "will_look"]

EVENT: Final = constant(EVENT_THREAD)
FATAL: Final = constant(FATAL_THREAD)


def _fatal_premise(s: State) -> Bool:
    """A fatal error becomes known to the driver, unless a reset takes it away first."""
    return s.card.was_reset & (s.card.flags == Flags.ERROR) & ~s.driver.failed


FATAL_KNOWN: Final = Promise(
    name="fatal-known",
    property="failure-reported",
    parameters=(),
    premise=_fatal_premise,
    goal=lambda s: s.driver.failed | (s.card.flags != Flags.ERROR),
    rank=lambda s: (If(at(s, FATAL, Label.MARK_FAILED), 0, 1),),
    cases=lambda s: [
        Case("handler marks", at(s, FATAL, Label.MARK_FAILED), lock(FATAL)),
        Case("vector 1", TRUE, thread(FATAL)),
    ],
)


def will_look(ops: RingOperations, s: State) -> Bool:
    """The handler stands before its look at this ring and has no outdated value of it."""
    ring = ops.ring(s)
    before = (
        (Label.CMD_SCAN,) if ops is COMMAND else (Label.CMD_SCAN, Label.CMD_RECLAIM, Label.TX_SCAN)
    )
    stale = ring.owner_speculated & ring.speculated_owner
    return at(s, EVENT, *before) & ~stale | at(s, EVENT, ops.reclaim)


def call_of_handler(s: State, event: Bool) -> Number:
    """How far the call of the event handler has come: the lower, the nearer."""
    return If(
        at(s, EVENT, Label.READ_EVENTS),
        1,
        If(
            event,
            If(s.card.vector0, If(at(s, EVENT, Label.EVENT_IDLE), 2, 3), 4),
            5,
        ),
    )


def call_cases(s: State, source: str, event: Bool) -> list[Case]:
    """Whoever brings the call of the event handler forward."""
    called = event & s.card.vector0
    return [
        Case("handler reads events", at(s, EVENT, Label.READ_EVENTS), lock(EVENT)),
        Case("vector 0 delivered", called & at(s, EVENT, Label.EVENT_IDLE), thread(EVENT)),
        Case("handler still runs", called, lock(EVENT)),
        Case("vector 0 raised", event, Process("vector0")),
        Case("event bit set", TRUE, Process(f"{source}.event")),
    ]
