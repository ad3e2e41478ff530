"""What will happen: promises under weak fairness, each with a rank that cannot fall for ever.

Requests, callers and threads are arbitrary: `n` is any request, `t` any thread. A promise may rely
on earlier ones only, and so do the files, in the order of the list below. `measures` and `stores`
promise nothing; they hold parts of ranks and cases that several others use.
"""

from __future__ import annotations

from typing import Final

from engine.leads_to import Promise
from proofs.ranking.calls import CALL, in_call, waits_for_packet
from proofs.ranking.handlers import FATAL_KNOWN
from proofs.ranking.life import LIFE, RECOVERY
from proofs.ranking.lock import LOCK
from proofs.ranking.receive import ACCEPTANCE, DELIVERY, HOLD
from proofs.ranking.requests import REQUESTS, working
from proofs.ranking.stores import bell_slot
from proofs.ranking.waits import TURN, WAIT

__all__ = [
    "PROMISES",
    "bell_slot",
    "in_call",
    "waits_for_packet",
    "working",
]

PROMISES: Final[tuple[Promise, ...]] = (
    LOCK,
    FATAL_KNOWN,
    *REQUESTS.values(),
    *TURN.values(),
    *WAIT.values(),
    HOLD,
    DELIVERY,
    ACCEPTANCE,
    CALL,
    LIFE,
    RECOVERY,
)
