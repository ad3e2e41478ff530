"""Which access of the driver is which step of the specification.

At each label of a thread's program the specification allows certain steps. Some are accesses that
show on the outside: a store, a load, a register access, taking and giving up the lock, sleeping.
Others are the driver's own business and take no access; they are taken as soon as they may be, for
a thread that holds the lock. Nothing else is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from impl.runtime import WaitQueue
from model.state import Label

__all__ = ["ACCESSES", "SILENT", "Access", "say"]

Access: TypeAlias = tuple[str, str]
"""What is done, and to what: `("store", "tx.fields")`, `("sleep", "SENDERS")`."""

UNLOCK: Final = ("unlock", "")
LOCK: Final = ("lock", "")
FENCE: Final = ("fence", "")


def sleeps(channel: WaitQueue) -> Access:
    """The access of starting to sleep on a channel."""
    return "sleep", channel.name


def _request(
    name: str, labels: Mapping[str, Label], channel: WaitQueue
) -> dict[Label, dict[Access, tuple[str, ...]]]:
    return {
        labels["turn"]: {sleeps(channel): (f"{name}.wait_for_turn",)},
        labels["fields"]: {("store", f"{name}.fields"): (f"{name}.store_fields",)},
        labels["owner"]: {("store", f"{name}.owner DEVICE"): (f"{name}.store_owner",)},
        labels["doorbell"]: {("doorbell", name): (f"{name}.ring_doorbell",)},
        labels["wait"]: {sleeps(channel): (f"{name}.wait_for_completion",)},
        labels["reclaim"]: {
            ("load", f"{name}.owner HOST"): (f"{name}.completion_found",),
            ("load", f"{name}.owner DEVICE"): (f"{name}.no_completion",),
        },
    }


_TRANSMIT: Final = {
    "turn": Label.TX_TURN,
    "fields": Label.TX_FIELDS,
    "owner": Label.TX_OWNER,
    "doorbell": Label.TX_DOORBELL,
    "wait": Label.TX_WAIT,
    "reclaim": Label.TX_SCAN,
}
_COMMAND: Final = {
    "turn": Label.CMD_TURN,
    "fields": Label.CMD_FIELDS,
    "owner": Label.CMD_OWNER,
    "doorbell": Label.CMD_DOORBELL,
    "wait": Label.CMD_WAIT,
    "reclaim": Label.CMD_SCAN,
}

ACCESSES: Final[Mapping[Label, Mapping[Access, tuple[str, ...]]]] = {
    **_request("tx", _TRANSMIT, WaitQueue.SENDERS),
    **_request("cmd", _COMMAND, WaitQueue.COMMANDS),
    Label.WRITE_ENTER: {UNLOCK: ("turn_away",)},
    Label.READ_ENTER: {UNLOCK: ("turn_away",)},
    Label.FILTER_ENTER: {UNLOCK: ("turn_away",)},
    Label.TX_FIRST_WORD: {("store", "tx.first_word"): ("tx.store_first_word",)},
    Label.TX_LAST_WORD: {("store", "tx.last_word"): ("tx.store_last_word",)},
    Label.RX_OWNER: {
        ("load", "rx.owner HOST"): ("rx.packet_found",),
        ("load", "rx.owner DEVICE"): ("rx.nothing_to_read",),
    },
    Label.RX_HEADER: {("load", "rx.header"): ("rx.receive_packet", "rx.peek_packet")},
    Label.RX_NEXT: {
        ("load", "rx.owner HOST"): ("rx.look_at_next",),
        ("load", "rx.owner DEVICE"): ("rx.look_at_next",),
    },
    Label.RX_FIRST_WORD: {("load", "rx.first_word"): ("rx.copy_first_word",)},
    Label.RX_LAST_WORD: {("load", "rx.last_word"): ("rx.copy_last_word",)},
    Label.RX_POINTER: {("restore", "rx.pointer"): ("rx.refill_pointer",)},
    Label.RX_REPOST: {("store", "rx.owner DEVICE"): ("rx.repost",)},
    Label.EXIT: {UNLOCK: ("exit_call",)},
    Label.OPEN_ENTER: {sleeps(WaitQueue.LIFE): ("open_waits",), UNLOCK: ("open_shared",)},
    Label.CLOSE_ENTER: {UNLOCK: ("close_shared", "close_nothing")},
    Label.LEAVE: {sleeps(WaitQueue.LIFE): ("wait_for_leavers",)},
    Label.DRAIN: {sleeps(WaitQueue.LIFE): ("drain",)},
    Label.RESET: {("arrive", "RST"): ("write_reset",)},
    Label.POLL: {("read", "FLAGS"): ("reset_done", "poll_again", "give_up_reset")},
    Label.CMD_INIT: {("store", "cmd.owner HOST"): ("init_command_slot",)},
    Label.CMD_FENCE: {FENCE: ("fence_command_slot",)},
    Label.CMD_BASE: {("write", "command base"): ("write_command_base",)},
    Label.FREE: {("free", ""): ("free_slot",)},
    Label.INIT_TX: {("store", "tx.owner HOST"): ("init_transmit_slot",)},
    Label.INIT_POINTER: {("store", "rx.pointer"): ("init_receive_pointer",)},
    Label.INIT_RX: {("store", "rx.owner DEVICE"): ("init_receive_owner",)},
    Label.INIT_FENCE: {FENCE: ("fence_packet_slot",)},
    Label.BASE: {("write", "packet bases"): ("write_packet_bases",)},
    Label.OPENED: {UNLOCK: ("opened",)},
    Label.CLOSED: {UNLOCK: ("closed",)},
    Label.EVENT_IDLE: {LOCK: ("event_interrupt",)},
    Label.READ_EVENTS: {("read", "EVFLAGS"): ("read_events",)},
    Label.CMD_RECLAIM: {("load", "cmd.status_sequence"): ("cmd.reclaim",)},
    Label.RX_READY: {
        ("load", "rx.owner HOST"): ("mark_readable",),
        ("load", "rx.owner DEVICE"): ("no_packet_waits",),
    },
    Label.FATAL_IDLE: {LOCK: ("fatal_interrupt",)},
    Label.MARK_FAILED: {("read", "FLAGS"): ("mark_failed",)},
}
"""At each label, the accesses that are steps, and the rules that they may be."""

SILENT: Final[Mapping[Label, tuple[str, ...]]] = {
    Label.WRITE_ENTER: ("enter_write",),
    Label.READ_ENTER: ("enter_read",),
    Label.FILTER_ENTER: ("enter_filter",),
    Label.TX_TURN: ("tx.claim", "tx.refuse"),
    Label.TX_DOORBELL: ("tx.next_of_batch",),
    Label.TX_LEAVE_QUEUE: ("tx.skip_cancelled", "tx.leave_queue"),
    Label.TX_WAIT: ("tx.completed", "tx.give_up_waiting"),
    Label.TX_CANCEL: ("tx.cancel_waiting",),
    Label.TX_ABANDON: ("tx.abandon",),
    Label.TX_SCAN: ("tx.no_completion",),
    Label.TX_RECLAIM: ("tx.reclaim",),
    Label.CMD_TURN: ("cmd.claim", "cmd.refuse"),
    Label.CMD_LEAVE_QUEUE: ("cmd.skip_cancelled", "cmd.leave_queue"),
    Label.CMD_WAIT: ("cmd.completed", "cmd.give_up_waiting"),
    Label.CMD_CANCEL: ("cmd.cancel_waiting",),
    Label.CMD_ABANDON: ("cmd.abandon",),
    Label.CMD_SCAN: ("cmd.no_completion",),
    Label.RX_OWNER: ("rx.read_must_end", "rx.nothing_to_read"),
    Label.RX_NEXT: ("rx.look_at_next",),
    Label.RX_READY: ("no_packet_waits",),
    Label.OPEN_ENTER: ("open_first",),
    Label.CLOSE_ENTER: ("close_last",),
    Label.LEAVE: ("all_left",),
    Label.DRAIN: ("drained", "stop_draining"),
    Label.STOP: ("submit_stop",),
    Label.STOPPED: ("stop_completed",),
    Label.FLUSH: ("submit_flush",),
    Label.FLUSHED: ("flush_completed",),
    Label.START: ("submit_start",),
    Label.STARTED: ("start_completed",),
    Label.ADD_UNICAST: ("submit_unicast",),
    Label.ADDED_UNICAST: ("unicast_completed",),
}
"""At each label, the steps that take no access."""


def say(access: Access) -> str:
    """An access in words."""
    what, which = access
    match what:
        case "lock":
            return "ask for the lock"
        case "unlock":
            return "give up the lock"
        case "doorbell":
            return f"ring the {which} doorbell"
        case "sleep":
            return f"sleep for {WaitQueue[which].value}"
        case "fence":
            return "fence"
        case "free":
            return "free memory"
        case "arrive":
            return f"the write of {which} to FLAGS arrives"
        case "restore":
            return f"store {which}"
    return f"{what} {which}"
