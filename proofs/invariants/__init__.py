"""What is true in every reachable state: the conjuncts of the inductive invariant.

A conjunct alone is rarely inductive; together they are, and `engine.induction` asks whether every
rule keeps each one. The files go from the bottom up, in the order of the list below. `labels` and
`phases` state nothing; they hold words that several others use.
"""

from __future__ import annotations

from typing import Final

from engine.claims import Invariant
from proofs.invariants import (
    engines,
    failure,
    life,
    lock,
    memory,
    receive,
    requests,
    results,
    speculation,
    takeover,
    threads,
    waiting,
)
from proofs.invariants.labels import filling
from proofs.invariants.life import submitted
from proofs.invariants.phases import conducting, phase
from proofs.invariants.threads import inside_call

__all__ = [
    "INVARIANTS",
    "conducting",
    "filling",
    "inside_call",
    "phase",
    "submitted",
]

INVARIANTS: Final[tuple[Invariant, ...]] = (
    *lock.BOOK.invariants,
    *threads.BOOK.invariants,
    *requests.BOOK.invariants,
    *engines.BOOK.invariants,
    *receive.BOOK.invariants,
    *speculation.BOOK.invariants,
    *waiting.LINES.invariants,
    *waiting.BOOK.invariants,
    *takeover.BOOK.invariants,
    *life.BOOK.invariants,
    *memory.BOOK.invariants,
    *failure.BOOK.invariants,
    *results.BOOK.invariants,
)
