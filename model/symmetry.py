"""In which numbers states of the duct card may differ and still be alike."""

from __future__ import annotations

from typing import Final

from engine.symmetry import Log, Numbering, Queue, Symmetry
from model.ring_spec import COMMAND, RECEIVE, TRANSMIT
from model.thread_spec import LOCKED

__all__ = ["SYMMETRY"]

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
                f"{ops.name}.waiters.next",
                f"{ops.name}.waiters.head",
                (f"{ops.name}.waiters.cancelled", f"{ops.name}.waiters.waiter"),
                "threads.queue_position",
                frozenset(map(int, ops.in_line)),
                asleep=True,
            )
            for ops in (TRANSMIT, COMMAND, RECEIVE)
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
