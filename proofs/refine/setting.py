"""What the driver's lines are followed by: the duct card's specification."""

from __future__ import annotations

import functools
from typing import Final

from engine.refine.beside import Setting
from engine.refine.rely import needs_lock, rely_of
from engine.rules import Transition
from engine.table import say, table_of
from impl.runtime import WaitQueue
from judge.judge import ELSEWHERE, UNSEEN
from model.state import Label
from model.system import DUCT, specification
from proofs.invariants import INVARIANTS

__all__ = ["FIRST", "PROVIDED", "setting", "without_lock"]

RETURNS: Final = (*(Label.EXIT, Label.STOPPED, Label.FLUSHED, Label.STARTED, Label.ADDED_UNICAST),)
"""Where a thread goes on after a command, as `threads.return_to` says."""
PROVIDED: Final = frozenset({"room for a posted write", "register writes in order"})
"""Parts of guards that the machine sees to: register writes wait until there is room for them."""
FIRST: Final = frozenset({
    "lock.tickets", "lock.queued", "lock.critical", "threads.labels", "threads.return_to",
    "threads.batch", "threads.peek", "threads.asleep", "calls.counted", "tx.counters",
    "cmd.counters", "tx.slot-free", "cmd.slot-free", "tx.waiter", "cmd.waiter", "tx.filling",
    "cmd.filling", "tx.caller", "cmd.caller", "tx.doorbells-issued", "cmd.doorbells-issued",
    "tx.doorbell-issuer", "cmd.doorbell-issuer", "rx.counters", "rx.slot-held", "rx.slot-given",
    "rx.reader", "tx.taking", "cmd.taking", "cmd.speculated-status", "rx.speculated-header",
    "rx.speculated-owner", "tx.speculated-owner", "cmd.speculated-owner", "tx.waiters",
    "cmd.waiters", "rx.waiters", "tx.queue-place", "cmd.queue-place", "rx.queue-place",
    "rx.sleeper", "life.state", "life.rings", "results.said", "results.handed-over",
    "results.answer", "results.answering", "results.told", "life.bases", "rx.readable",
    "rx.slot-filled",
})  # fmt: skip
"""What the lines mostly need of the invariant: assumed first, and all where this does not do."""


def without_lock(step: Transition) -> bool:
    """Whether a step is taken without the lock, or by who is no thread."""
    threads, lock = DUCT.symbols.threads, DUCT.symbols.lock
    return not needs_lock(
        step, lambda own: (~threads.asleep[own], threads.ticket[own] == lock.serving)
    )


@functools.cache
def setting() -> Setting:
    """The specification, as it is beside the driver's lines."""
    system = specification()
    return Setting(
        system=system,
        table=table_of(system, without=ELSEWHERE, unseen=UNSEEN),
        invariant=tuple(item for item in INVARIANTS if not item.machine_only),
        locked=rely_of(system, lambda step: not without_lock(step)),
        free=rely_of(system),
        provided=PROVIDED,
        returns=RETURNS,
        say=lambda seen: say(seen, WaitQueue),
    )
