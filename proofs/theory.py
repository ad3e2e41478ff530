"""Everything that is proved of the duct card, for the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.deadlock import DEADLOCK_FREEDOM
from engine.faults import FaultCase
from engine.races import NO_ACCESS_AFTER_FREE, RACE_FREEDOM
from engine.rules import Choice
from engine.terms import And, Bool, Number, Or, constant
from engine.theory import Theory
from engine.witnesses import Setting
from model.device_spec import running
from model.outcomes import STEPS
from model.properties import PROPERTIES
from model.ring_spec import COMMAND, TRANSMIT
from model.scope import Scope
from model.state import EVENT_THREAD, FATAL_THREAD, POLLS, POSTED, Flags, Label, Stage, State
from model.system import DUCT, specification
from model.thread_spec import at, holder, queued_for_lock
from proofs.assumptions import assumption_lines
from proofs.invariants import INVARIANTS, conducting
from proofs.possible import POSSIBLE
from proofs.ranking import PROMISES, bell_slot, in_call, waits_for_packet, working
from proofs.refine.obligations import MEANINGS, lines
from proofs.scenarios import FIRST_USER

__all__ = ["THEORY"]


HINTS: Final = Path(__file__).with_name("hints.txt")
"""What earlier proofs needed; `python -m proofs.check --write-hints` writes it anew."""
ANSWERS: Final = Path(__file__).resolve().parent.parent / ".proof-answers"
"""What is proved already, on this machine."""


# What there is to prove


def undone(s: State, t: Number, k: Number) -> dict[str, Bool]:
    """The ways in which something is still to be done, for any thread t and slot k."""
    quiet_reader = waits_for_packet(s, t)
    return {
        "lock": queued_for_lock(s, t),
        "call": in_call(s, t) & ~quiet_reader,
        "reader": And(
            quiet_reader, s.rx.live, s.card.flags == Flags.CLEAR, s.rx.dev != s.rx.cons
        ),
        "open or close": conducting(s, t),
        "store": Or(
            *(ops.ring(s).owner_pending[k] | ops.ring(s).fields_pending[k]
              for ops in (TRANSMIT, COMMAND)),
            s.tx.first_word_pending[k], s.tx.last_word_pending[k],
            s.rx.owner_pending[k], s.rx.pointer_pending[k],
        ),
        "doorbell": Or(
            *(ring.doorbells_arrived != ring.doorbells_posted for ring in (s.tx, s.cmd))
        ),
        "request": Or(
            *(working(ops, s) & (ops.ring(s).prod != ops.ring(s).cons)
              for ops in (TRANSMIT, COMMAND))
        ),
        "arrival": running(s) & (s.rx.stage != Stage.IDLE),
        "interrupt": s.card.vector0 & at(s, constant(EVENT_THREAD), Label.EVENT_IDLE)
        | s.card.vector1 & at(s, constant(FATAL_THREAD), Label.FATAL_IDLE),
        "failure": s.card.was_reset & (s.card.flags == Flags.ERROR) & ~s.driver.failed,
    }  # fmt: skip


def movers(s: State, t: Number, k: Number) -> Mapping[Choice, Sequence[Number]]:
    """The threads and slots that matter where something is to be done."""
    return {
        Choice.THREAD: (
            t, holder(s), constant(EVENT_THREAD), constant(FATAL_THREAD),
            s.driver.conductor, s.driver.list[0],
            *(ring.waiters.waiter[ring.waiters.head] for ring in (s.tx, s.cmd, s.rx)),
        ),
        Choice.SLOT: (
            k, s.driver.cursor, bell_slot(TRANSMIT, s), bell_slot(COMMAND, s),
            s.tx.dev_i, s.cmd.dev_i,
        ),
    }  # fmt: skip


def outstanding(s: State) -> tuple[Number, ...]:
    """Tickets, places and opens that are out at any time, and register writes under way."""
    return (
        s.lock.next - s.lock.serving,
        s.tx.waiters.next - s.tx.waiters.head,
        s.cmd.waiters.next - s.cmd.waiters.head,
        s.rx.waiters.next - s.rx.waiters.head,
        s.driver.inside,
        s.driver.handles,
        POSTED,
    )


BIT_LEMMAS: Final = (
    *("tx.counters", "cmd.counters", "rx.counters"),
    *("tx.filling", "cmd.filling", "tx.engine", "cmd.engine", "rx.reader", "rx.engine"),
    *("tx.taking", "cmd.taking", "life.conductor", "life.rings", "life.commands", "life.takeover"),
)
"""What the masked indices need to know of who advances them, and when."""


# Witnesses that nothing is proved of nothing

FAILURES: Final = frozenset({"card.fatal_error", "interrupt", "interrupt_open", "begin_close"})
"""What would keep a random run from ever getting far."""
UNASKED: Final = frozenset({
    "card.spurious_vector0", "spurious_wakeup", "cmd.look_ahead", "rx.arrive_jumbo",
})  # fmt: skip
"""What may happen at any time, so that a random run does little else."""
LEFT_RUNNING: Final = {
    "card.flags": Flags.ERROR, "card.started": True, "cmd.based": True, "cmd.look": True,
    "tx.stage": Stage.FETCH, "rx.stage": Stage.WRITE_FIRST_WORD, "cmd.stage": Stage.EXECUTE,
    "tx.dev_i": 3, "rx.dev_i": 2, "cmd.dev_i": 1, "tx.due": True, "rx.event": True,
}  # fmt: skip
"""A card that a predecessor has left in the middle of its work, and that failed afterwards."""
SETTINGS: Final = (
    Setting(Scope(4, users=3, polls=1), LEFT_RUNNING, without=FAILURES, seed=1),
    Setting(Scope(4, users=3, polls=2), {"card.lies": True}, seed=2,
            without=FAILURES - {"interrupt", "begin_close"}),
    Setting(Scope(1, users=4, polls=1), seed=3, without=FAILURES - {"interrupt"} | {"rx.arrive"}),
    Setting(Scope(2, users=3, polls=1), seed=4,
            without=FAILURES - {"begin_close", "interrupt"}
            | {"begin_read", "begin_filter", "stop_draining", "tx.send"}),
    Setting(Scope(1, users=4, polls=1), seed=5,
            without=FAILURES - {"begin_close"} | {"begin_write", "begin_read", "begin_filter"}),
    Setting(Scope(1, users=1, polls=1, counts=(0,)), seed=6, steps=70_000,
            without=FAILURES - {"begin_close"} | UNASKED
            | {"begin_read", "begin_filter", "rx.arrive", "tx.look", "tx.look_ahead"}),
)  # fmt: skip
"""With a card that was left running, one that lies, one that fails often, one that does not send;
with several users."""


# Faults


def cases() -> Sequence[FaultCase]:
    """All faults, which only those who look for them need."""
    from proofs import faults

    return faults.cases()


def tickets(s: State, scope: Scope) -> Iterator[Number]:
    """Doorbells that may be under way: what a property of any doorbell is looked at for."""
    for ring in (s.tx, s.cmd):
        for ahead in range(scope.posted):
            yield ring.doorbells_arrived + ahead


def _owed(s: State, scope: Scope) -> Bool:
    """Some call sleeps that has something coming: any but a reader while no packet waits."""
    threads = s.threads
    packet = s.rx.dev != s.rx.cons
    return Or(
        *(
            threads.asleep[t] & ((threads.pc[t] != Label.RX_OWNER) | packet)
            for t in map(constant, range(FIRST_USER, scope.threads))
        )
    )


def stuck(s: State, scope: Scope) -> Bool:
    """Every user sleeps or is idle, and a call sleeps that is owed something."""
    threads = s.threads
    everyone = map(constant, range(FIRST_USER, scope.threads))
    quiet = And(*(threads.asleep[t] | (threads.pc[t] == Label.IDLE) for t in everyone))
    return And(quiet, _owed(s, scope))


NO_RACE: Final = (
    "Host and card never touch the same word at once, one of them writing, but for owner bytes."
)
"""What race freedom says of this card."""

VERDICTS: Final[Mapping[str, str]] = {
    DEADLOCK_FREEDOM: "While a call has something coming, some party can move.",
    RACE_FREEDOM: NO_RACE,
    NO_ACCESS_AFTER_FREE: "The host touches no slot or buffer that was freed.",
    "recoverability": "After any fatal error the card can be used again.",
    "requests-complete": "Every request completes, and its caller learns of it, or of a failure.",
    "open-and-close-end": "An open or close that has begun its work ends, whatever the card does.",
}
"""Promises that are not statements about one state alone, and what the verdict of a run says."""


THEORY: Final = Theory(
    place="proofs.theory:THEORY",
    program="proofs.check",
    package="duct-driver",
    description="Prove the specification of card and driver, and catch every fault.",
    protocol=DUCT,
    specification=specification,
    invariants=INVARIANTS,
    properties=PROPERTIES,
    steps=STEPS,
    possible=POSSIBLE,
    promises=PROMISES,
    undone=undone,
    movers=movers,
    bounds=lambda s: (POSTED >= 1, POLLS >= 1),
    outstanding=outstanding,
    bit_lemmas=BIT_LEMMAS,
    settings=SETTINGS,
    cases=cases,
    stuck=stuck,
    tickets=tickets,
    meanings={RACE_FREEDOM: NO_RACE, **MEANINGS},
    kinds=(lines,),
    verdicts=VERDICTS,
    assumptions=assumption_lines,
    hints=HINTS,
    answers=ANSWERS,
)
