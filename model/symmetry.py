"""In which numbers states of the duct card may differ and still be alike."""

from __future__ import annotations

from typing import Final

from engine.symmetry import Log, Numbering, Queue, Symmetry
from model.state import Label
from model.thread_spec import LOCKED

__all__ = ["SYMMETRY"]

WAITING: Final = {
    "tx": (
        Label.TX_TURN,
        Label.TX_FIRST_WORD,
        Label.TX_LAST_WORD,
        Label.TX_FIELDS,
        Label.TX_OWNER,
        Label.TX_DOORBELL,
        Label.TX_CANCEL,
    ),
    "cmd": (
        Label.CMD_TURN,
        Label.CMD_FIELDS,
        Label.CMD_OWNER,
        Label.CMD_DOORBELL,
        Label.CMD_CANCEL,
    ),
}
"""Where a caller has a position in the queue of those that want a slot."""

SYMMETRY: Final = Symmetry(
    asleep="threads.asleep",
    queues=(
        Queue(
            "lock.next",
            "lock.serving",
            ("lock.waiter",),
            "threads.ticket",
            frozenset(map(int, LOCKED)),
            asleep=False,
        ),
        *(
            Queue(
                f"{ring}.waiters.next",
                f"{ring}.waiters.head",
                (f"{ring}.waiters.cancelled", f"{ring}.waiters.waiter"),
                "threads.queue_position",
                frozenset(map(int, labels)),
                asleep=True,
            )
            for ring, labels in WAITING.items()
        ),
    ),
    logs=tuple(
        Log(
            f"{ring}.doorbell_value",
            oldest=f"{ring}.doorbells_arrived",
            newest=f"{ring}.doorbells_posted",
            base=f"{ring}.cons",
        )
        for ring in ("tx", "cmd")
    ),
    numberings=(
        Numbering(
            ("tx.cons", "tx.doorbells_arrived", "tx.dev", "tx.doorbells_posted", "tx.prod",
             "tx.sent"),
            ("tx.sequence", "tx.fields", "tx.first_word", "tx.last_word",
             "tx.seen_fields", "tx.seen_first_word", "tx.seen_last_word"),
        ),
        Numbering(
            ("cmd.cons", "cmd.doorbells_arrived", "cmd.dev", "cmd.doorbells_posted", "cmd.prod"),
            ("cmd.sequence", "cmd.fields", "cmd.status_sequence", "cmd.speculated_sequence",
             "cmd.seen_fields"),
        ),
        Numbering(
            ("rx.cons", "rx.dev"),
            ("rx.header", "rx.first_word", "rx.last_word", "rx.speculated_sequence"),
        ),
    ),
    unread=(
        "tx.first", "cmd.first", "rx.first",
        "threads.request", "threads.completed_sequence", "threads.packet", "threads.got",
        "threads.got_first_word", "threads.got_last_word", "threads.length", "threads.handed",
        "threads.batch",
    ),
)  # fmt: skip
