"""What is left to do: of a call, of open or close, of a loop, of a slot for an engine."""

from __future__ import annotations

from typing import Final

from engine.leads_to import position
from engine.terms import If, Number, constant, one_of, ring_size
from model.ring_spec import COMMAND_LABELS, RECEIVE, TRANSMIT
from model.state import Label, Life, Stage, State
from model.thread_spec import at
from proofs.invariants import filling

__all__ = [
    "ENGINE",
    "ORDER",
    "RECEIVE_ENGINE",
    "batch",
    "opening",
    "part_of_round",
    "rounds_left",
    "script",
]

SCRIPT: Final = {
    label: 60 - place
    for place, label in enumerate(
        (
            Label.OPEN_ENTER, Label.CLOSE_ENTER, Label.LEAVE, Label.DRAIN, Label.STOP,
            Label.STOPPED, Label.FLUSH, Label.FLUSHED, Label.RESET, Label.POLL, Label.BUS_MASTER,
            Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE, Label.FREE, Label.INIT_TX,
            Label.INIT_FENCE, Label.BASE, Label.READ_BACK, Label.START, Label.STARTED,
            Label.ADD_UNICAST,
            Label.ADDED_UNICAST, Label.OPENED, Label.CLOSED,
        )
    )
}  # fmt: skip
"""How far open or close has come: the higher, the more is left to do."""
SCRIPT_ALL: Final = SCRIPT | {
    Label.INIT_POINTER: SCRIPT[Label.INIT_TX],
    Label.INIT_RX: SCRIPT[Label.INIT_TX],
}
"""The same, for the steps between too: a slot is set up in three steps."""
ORDER: Final = {
    Label.WRITE_ENTER: 60,
    Label.FILTER_ENTER: 60,
    Label.READ_ENTER: 60,
    Label.TX_TURN: 50, Label.CMD_TURN: 50,
    Label.TX_FIRST_WORD: 49,
    Label.TX_LAST_WORD: 48,
    Label.TX_FIELDS: 47, Label.CMD_FIELDS: 47,
    Label.TX_OWNER: 46, Label.CMD_OWNER: 46,
    Label.TX_DOORBELL: 45, Label.CMD_DOORBELL: 45,
    Label.TX_CANCEL: 44, Label.CMD_CANCEL: 44,
    Label.TX_LEAVE_QUEUE: 43, Label.CMD_LEAVE_QUEUE: 43,
    Label.TX_WAIT: 42, Label.CMD_WAIT: 42,
    Label.TX_ABANDON: 41, Label.CMD_ABANDON: 41,
    Label.RX_OWNER: 41,
    Label.RX_HEADER: 40, Label.RX_CANCEL: 40,
    Label.RX_LEAVE_QUEUE: 39, Label.RX_NEXT: 39,
    Label.RX_FIRST_WORD: 38,
    Label.RX_LAST_WORD: 37,
    Label.RX_POINTER: 36,
    Label.RX_REPOST: 35,
    Label.READ_EVENTS: 30,
    Label.CMD_SCAN: 29, Label.CMD_RECLAIM: 29,
    Label.TX_SCAN: 28, Label.TX_RECLAIM: 28,
    Label.RX_READY: 27,
    Label.EXIT: 10,
}  # fmt: skip
"""How far a call or a handler has come: the higher, the more is left to do."""


def script(s: State, t: Number) -> Number:
    """How much of open or close is left for thread t; 0 for others."""
    label, back = s.threads.pc[t], s.threads.return_to[t]
    commanding = at(s, t, *COMMAND_LABELS)
    return If(commanding, position(back, SCRIPT_ALL), position(label, SCRIPT_ALL))


def opening(s: State, t: Number) -> Number:
    """An open that fails turns into a close, never the other way round."""
    return If(at(s, t, Label.OPEN_ENTER), 2, If(s.driver.life == Life.OPENING, 1, 0))


def batch(s: State, t: Number) -> Number:
    """Packets that thread t has still to send after the present one."""
    sending = at(s, t, Label.WRITE_ENTER, Label.TX_TURN, *filling(TRANSMIT), Label.TX_DOORBELL)
    return If(sending, s.threads.more[t], 0)


def rounds_left(s: State, t: Number) -> Number:
    """How many rounds the loop that thread t is in has left at most."""
    label = s.threads.pc[t]
    result = constant(0)
    walking = (Label.CMD_INIT, Label.CMD_FENCE, Label.FREE, Label.INIT_TX, Label.INIT_POINTER,
               Label.INIT_RX, Label.INIT_FENCE)  # fmt: skip
    for labels, left in (
        ((Label.TX_LEAVE_QUEUE,), s.tx.waiters.next - s.tx.waiters.head),
        ((Label.CMD_LEAVE_QUEUE,), s.cmd.waiters.next - s.cmd.waiters.head),
        (RECEIVE.leaving, s.rx.waiters.next - s.rx.waiters.head),
        ((Label.CMD_SCAN, Label.CMD_RECLAIM), s.cmd.prod - s.cmd.cons),
        ((Label.TX_SCAN, Label.TX_RECLAIM), s.tx.prod - s.tx.cons),
        ((Label.POLL,), s.driver.polls),
        (walking, ring_size() - s.driver.cursor),
    ):
        result = If(one_of(label, labels), left, result)
    return result


def part_of_round(s: State, t: Number) -> Number:
    """How much of the present round of the loop is left."""
    return position(
        s.threads.pc[t],
        {
            Label.CMD_SCAN: 1,
            Label.TX_SCAN: 1,
            Label.INIT_TX: 2,
            Label.INIT_POINTER: 1,
        },
    )


ENGINE: Final = {
    Stage.IDLE: 9,
    Stage.LOOK: 8,
    Stage.FETCH: 7,
    Stage.READ_FIRST_WORD: 6,
    Stage.READ_LAST_WORD: 5,
    Stage.SEND: 4,
    Stage.EXECUTE: 6,
    Stage.STOPPING: 5,
    Stage.WRITE_STATUS: 4,
    Stage.WRITE_OWNER: 1,
}
"""How much of a slot is left for a request ring's engine."""
RECEIVE_ENGINE: Final = {
    Stage.LOOK: 7,
    Stage.FETCH: 6,
    Stage.WRITE_FIRST_WORD: 5,
    Stage.WRITE_LAST_WORD: 4,
    Stage.WRITE_HEADER: 3,
    Stage.WRITE_OWNER: 2,
}
"""How much of a packet is left for the receive engine; IDLE counts as nothing."""
