"""Open and close end, and after a fatal error the card can be used again."""

from __future__ import annotations

from typing import Final

from engine.leads_to import Case, Promise, Relies, position
from engine.terms import TRUE, And, Bool, If, Implies, Number, Or, constant, one_of
from model.device_spec import running
from model.ring_spec import COMMAND_LABELS
from model.state import Flags, Label, Life, Result, Stage, State
from model.thread_spec import at
from proofs.invariants import phase, submitted
from proofs.ranking.calls import CALL, waits_for_packet
from proofs.ranking.handlers import EVENT, FATAL_KNOWN
from proofs.ranking.lock import lock, thread
from proofs.ranking.measures import ORDER, script
from proofs.ranking.requests import REQUESTS
from proofs.ranking.waits import TURN, WAIT

__all__ = ["LIFE", "RECOVERY"]

# Open and close end


def _life_premise(s: State) -> Bool:
    """Every open and close that has begun its work ends, whatever the card does."""
    return one_of(s.driver.life, (Life.OPENING, Life.CLOSING))


def _life_rank(s: State) -> tuple[Number, ...]:
    c = s.driver.conductor
    asleep = s.threads.asleep[c]
    leaving = at(s, c, Label.LEAVE)
    draining = at(s, c, Label.DRAIN) & ~s.driver.failed & (s.tx.cons != s.tx.prod)
    last_call = s.driver.list[0]
    drained = at(s, c, Label.DRAIN) & ~draining
    free = leaving & (s.driver.inside == 0) | drained
    return (
        If(s.driver.life == Life.OPENING, 1, 0),
        script(s, c),
        If(at(s, c, *COMMAND_LABELS), position(s.threads.pc[c], ORDER), 0),
        If(leaving, s.driver.inside, 0),
        If(leaving & (s.driver.inside != 0) & waits_for_packet(s, last_call), 1, 0),
        If(at(s, c, Label.DRAIN), If(draining, If(running(s), 2, 1), 0), 0),
        If(draining & running(s), s.tx.prod - s.tx.cons, 0),
        If(free & asleep, If(s.threads.wake_life[c], 1, 2), 0),
    )


def _life_cases(s: State) -> list[Case]:
    c = s.driver.conductor
    asleep = s.threads.asleep[c]
    leaving = at(s, c, Label.LEAVE)
    draining = at(s, c, Label.DRAIN) & ~s.driver.failed & (s.tx.cons != s.tx.prod)
    resting = at(s, c, Label.LEAVE, Label.DRAIN) & asleep
    return [
        Case("calls end", leaving & (s.driver.inside != 0), Relies(CALL, (s.driver.list[0],))),
        Case("packets are sent", draining & running(s), Relies(REQUESTS["tx"], (s.tx.cons,))),
        Case("failure becomes known", draining, Relies(FATAL_KNOWN, ())),
        Case("woken", resting & s.threads.wake_life[c], thread(c)),
        Case("handler will wake", resting, lock(EVENT)),
        Case("turn to command", at(s, c, Label.CMD_TURN), Relies(TURN["cmd"], (c,))),
        Case("command executed", at(s, c, Label.CMD_WAIT), Relies(WAIT["cmd"], (c,))),
        Case("goes on", TRUE, lock(c)),
    ]


LIFE: Final = Promise(
    name="life",
    property="open-and-close-end",
    parameters=(),
    premise=_life_premise,
    goal=lambda s: ~_life_premise(s),
    rank=_life_rank,
    cases=_life_cases,
)

# After a fatal error the card can be used again


def _answers_are_good(s: State) -> Bool:
    """Every command of the opening conductor is answered OK, so far."""
    c, cmd = s.driver.conductor, s.cmd
    commanding = at(s, c, *COMMAND_LABELS)
    answered = at(s, c, Label.STARTED, Label.ADDED_UNICAST)
    sent = submitted(s, c)
    answering = one_of(cmd.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    executed = (cmd.dev == cmd.prod) | answering
    returned = cmd.dev == cmd.prod
    before_filter = Or(
        phase(s, Label.READ_BACK, Label.START, Label.STARTED, Label.ADD_UNICAST),
        phase(s, Label.ADDED_UNICAST) & commanding & ~(sent & executed),
    )
    waiting = commanding & sent & ~s.threads.completed[c]
    return And(
        Implies(
            phase(
                s,
                *(Label.READ_BACK, Label.START, Label.STARTED),
                *(Label.ADD_UNICAST, Label.ADDED_UNICAST),
            ),
            (constant(0) <= cmd.prod - cmd.dev) & (cmd.prod - cmd.dev <= 1),
        ),
        Implies(commanding & ~sent | at(s, c, Label.ADD_UNICAST), cmd.dev == cmd.prod),
        Implies(before_filter, s.card.filter_count == 0),
        Implies(commanding, s.threads.result[c] == Result.NONE),
        Implies(commanding & s.threads.completed[c], s.threads.status[c] == Result.OK),
        Implies(answered, s.threads.result[c] == Result.OK),
        Implies(waiting & answering, cmd.computed_status == Result.OK),
        Implies(waiting & (cmd.stage == Stage.WRITE_OWNER), cmd.status[cmd.dev_i] == Result.OK),
        Implies(waiting & returned, cmd.status[s.threads.slot[c]] == Result.OK),
        Implies(
            waiting & returned & cmd.status_speculated & (cmd.cons + 1 == cmd.prod),
            cmd.speculated_status == Result.OK,
        ),
    )


def _recovery_premise(s: State) -> Bool:
    """An open that resets the card succeeds, if the card does not fail again meanwhile."""
    c = s.driver.conductor
    resetting = at(s, c, Label.RESET) | at(s, c, Label.POLL) & (s.card.flags != Flags.ERROR)
    works = running(s) | at(s, c, Label.BUS_MASTER) & (s.card.flags == Flags.CLEAR)
    return And(
        s.driver.life == Life.OPENING,
        ~at(s, c, Label.CLOSED),
        resetting | works & ~s.driver.failed & _answers_are_good(s),
    )


RECOVERY: Final = Promise(
    name="recovery",
    property="recoverability",
    parameters=(),
    premise=_recovery_premise,
    goal=lambda s: s.driver.life == Life.OPEN,
    rank=_life_rank,
    cases=_life_cases,
    without={
        "card.fatal_error": "the card does not fail again while it is being opened",
        "give_up_reset": "the card finishes the reset before the driver's patience ends",
        "interrupt": "no signal interrupts the open",
    },
)
