"""The lock: whoever asks for it gets it and gives it back."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Process, Promise, Relies, count, position
from engine.terms import TRUE, Bool, If, Number, constant
from model.ring_spec import COMMAND, TRANSMIT
from model.state import Label, State
from model.thread_spec import at, holder, queued_for_lock
from proofs.ranking.measures import ORDER, batch, opening, part_of_round, rounds_left, script
from proofs.ranking.stores import (
    bases_case,
    bell_cases,
    bell_held_up,
    bell_slot,
    bells_awaited,
    drain_cases,
    receive_drain_cases,
    receive_pending,
    slot_pending,
)

__all__ = ["LOCK", "lock", "thread"]


def thread(t: Number) -> Process:
    """Thread t takes its next step."""
    return Process("thread", t)


def _lock_rank(s: State, t: Number) -> tuple[Number, ...]:
    h = holder(s)
    cursor = s.driver.cursor
    packets = at(s, h, Label.FREE, Label.INIT_FENCE)
    commands = at(s, h, Label.CMD_INIT, Label.CMD_FENCE)
    bells = If(at(s, h, Label.RESET), count(s.card.bases_posted), 0)
    held_up = constant(0)
    for ops in (TRANSMIT, COMMAND):
        ring = ops.ring(s)
        waits = bells_awaited(ops, s, h)
        bells = bells + If(waits, ring.doorbells_posted - ring.doorbells_arrived, 0)
        held_up = held_up + If(
            waits & (ring.doorbells_arrived != ring.doorbells_posted) & bell_held_up(ops, s),
            slot_pending(ops, s, bell_slot(ops, s)),
            0,
        )
    stores = If(
        packets,
        slot_pending(TRANSMIT, s, cursor) + receive_pending(s, cursor),
        If(commands, slot_pending(COMMAND, s, cursor), 0),
    )
    return (
        s.threads.ticket[t] - s.lock.serving,
        opening(s, h),
        script(s, h),
        batch(s, h),
        position(s.threads.pc[h], ORDER),
        rounds_left(s, h),
        part_of_round(s, h),
        bells,
        held_up + stores,
    )


def _lock_cases(s: State, t: Number) -> list[Case]:
    h = holder(s)
    cursor = s.driver.cursor
    packets = at(s, h, Label.FREE, Label.INIT_FENCE)
    commands = at(s, h, Label.CMD_INIT, Label.CMD_FENCE)
    cases = [
        *drain_cases(TRANSMIT, s, cursor, packets),
        *receive_drain_cases(s, cursor, packets),
        *drain_cases(COMMAND, s, cursor, commands),
        bases_case(at(s, h, Label.RESET) & s.card.bases_posted),
    ]
    for ops in (TRANSMIT, COMMAND):
        cases += bell_cases(ops, s, bells_awaited(ops, s, h))
    return [*cases, Case("holder", TRUE, thread(h))]


def _lock_premise(s: State, t: Number) -> Bool:
    """Whoever asks for the lock gets it and gives it back; a reset's polling ends as well."""
    return queued_for_lock(s, t)


LOCK: Final = Promise(
    name="lock",
    property="lock-progress",
    parameters=("t",),
    premise=_lock_premise,
    goal=lambda s, t: ~queued_for_lock(s, t),
    rank=_lock_rank,
    cases=_lock_cases,
)


def lock(t: Number) -> Relies:
    """Thread t gets the lock and gives it back."""
    return Relies(LOCK, (t,))
