"""Groups of labels: where the threads are that do one kind of work."""

from __future__ import annotations

from typing import Final

from model.ring_spec import TRANSMIT, RingOperations
from model.state import Label
from model.thread_spec import SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_RX, SLEEPS_TX, UNLOCKED

__all__ = [
    "CONDUCTOR_LABELS",
    "CRITICAL",
    "EVENT_LABELS",
    "FATAL_LABELS",
    "filling",
]

WAITING_LABELS: Final = (
    Label.WRITE_ENTER,
    Label.READ_ENTER,
    Label.FILTER_ENTER,
    Label.CLOSE_ENTER,
    Label.TX_CANCEL,
    Label.TX_ABANDON,
    Label.CMD_CANCEL,
    Label.CMD_ABANDON,
    Label.RX_CANCEL,
    Label.RX_REPOST,
    Label.READ_EVENTS,
    Label.MARK_FAILED,
    Label.EXIT,
    *SLEEPS_TX,
    *SLEEPS_CMD,
    *SLEEPS_LIFE,
    *SLEEPS_RX,
    *UNLOCKED,
)
"""Labels at which a thread may be without the lock: it awaits it, sleeps or needs none."""
CRITICAL: Final = tuple(label for label in Label if label not in WAITING_LABELS)
"""Labels that a thread only ever is at while it holds the lock."""
EVENT_LABELS: Final = (
    Label.EVENT_IDLE,
    Label.READ_EVENTS,
    Label.CMD_SCAN,
    Label.CMD_RECLAIM,
    Label.TX_SCAN,
    Label.TX_RECLAIM,
    Label.RX_READY,
)
"""Labels of the handler of vector 0."""
FATAL_LABELS: Final = (Label.FATAL_IDLE, Label.MARK_FAILED)
"""Labels of the handler of vector 1."""
CONDUCTOR_LABELS: Final = tuple(label for label in Label if Label.LEAVE <= label <= Label.CLOSED)
"""Labels of the one thread that opens or closes the card, except those of its commands."""


def filling(ops: RingOperations) -> tuple[Label, ...]:
    """Labels at which a slot is claimed and not handed over."""
    if ops is TRANSMIT:
        return (Label.TX_FIRST_WORD, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER)
    return (Label.CMD_FIELDS, Label.CMD_OWNER)
