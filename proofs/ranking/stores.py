"""Stores and doorbells under way: how many there are, and who brings them on."""

from __future__ import annotations

from engine.leads_to import Case, Process, count
from engine.terms import And, Bool, Number
from model.ring_spec import TRANSMIT, RingOperations
from model.state import Label, State
from model.thread_spec import at

__all__ = [
    "bases_case",
    "bell_cases",
    "bell_held_up",
    "bell_slot",
    "bells_awaited",
    "drain_cases",
    "receive_drain_cases",
    "receive_pending",
    "slot_pending",
]


def slot_pending(ops: RingOperations, s: State, k: Number) -> Number:
    """Stores to slot k of a request ring that are not visible yet, and a read that one awaits."""
    ring = ops.ring(s)
    words = [ring.owner_pending[k], ring.fields_pending[k]]
    if ops is TRANSMIT:
        words += [s.tx.first_word_pending[k], s.tx.last_word_pending[k]]
    else:
        words.append(s.driver.read_unanswered)
    return count(*words)


def receive_pending(s: State, k: Number) -> Number:
    """Stores to receive slot k that are not visible yet."""
    return count(s.rx.owner_pending[k], s.rx.pointer_pending[k])


def drain_cases(ops: RingOperations, s: State, k: Number, when: Bool) -> list[Case]:
    """A pending store to slot k becomes visible: words first, then the owner byte."""
    ring = ops.ring(s)
    cases = [
        Case(f"{ops.name} fields", when & ring.fields_pending[k],
             Process(f"{ops.name}.fields_visible", k))
    ]  # fmt: skip
    if ops is TRANSMIT:
        cases += [
            Case("tx head", when & s.tx.first_word_pending[k], Process("tx.first_word_visible", k)),
            Case("tx tail", when & s.tx.last_word_pending[k], Process("tx.last_word_visible", k)),
        ]
    else:
        cases.append(bases_case(when & ring.owner_pending[k] & s.driver.read_unanswered))
    cases.append(
        Case(f"{ops.name} owner", when & ring.owner_pending[k],
             Process(f"{ops.name}.owner_visible", k))
    )  # fmt: skip
    return cases


def bases_case(when: Bool) -> Case:
    """The packet rings' addresses arrive, and a read behind them is answered."""
    return Case("packet bases", when, Process("packet_bases_arrive"))


def receive_drain_cases(s: State, k: Number, when: Bool) -> list[Case]:
    """A pending store to receive slot k becomes visible."""
    return [
        Case("rx pointer", when & s.rx.pointer_pending[k], Process("rx.pointer_visible", k)),
        Case("rx owner", when & s.rx.owner_pending[k], Process("rx.owner_visible", k)),
    ]


def bell_slot(ops: RingOperations, s: State) -> Number:
    """The slot that the oldest doorbell under way names."""
    ring = ops.ring(s)
    return ring.doorbell_value[ring.doorbells_arrived]


def bell_held_up(ops: RingOperations, s: State) -> Bool:
    """The oldest doorbell under way waits for its slot's owner byte."""
    ring = ops.ring(s)
    slot = bell_slot(ops, s)
    return And(ring.owner_pending[slot], ring.sequence[slot] == ring.doorbells_arrived)


def bell_cases(ops: RingOperations, s: State, when: Bool) -> list[Case]:
    """A doorbell under way arrives, once its slot's owner byte is visible."""
    ring = ops.ring(s)
    waiting = when & (ring.doorbells_arrived != ring.doorbells_posted)
    return [
        *drain_cases(ops, s, bell_slot(ops, s), waiting & bell_held_up(ops, s)),
        Case(f"{ops.name} doorbell", waiting, Process(f"{ops.name}.doorbell_arrives")),
    ]


def bells_awaited(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t waits for doorbells of this ring to arrive."""
    ring = ops.ring(s)
    own = at(s, t, ops.doorbell)
    fence = (Label.RESET, Label.BASE) if ops is TRANSMIT else (Label.RESET,)
    return own | at(s, t, *fence) & (ring.doorbells_arrived != ring.doorbells_posted)
