"""The specification of the duct card as the judge of every access of a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import engine.judge
from engine.judge import CardDeviation, Deviation
from engine.stepper import Step
from impl.runtime import WaitQueue
from model.scope import Scope
from model.state import Label, Result
from model.system import specification

__all__ = ["CardDeviation", "Deviation", "Judge", "Specification"]

ELSEWHERE: Final = {
    "wake": "a sleeper is told of by the runtime, which knows why it woke",
    "rx.keep": "a choice that this driver never makes",
    "rx.keep_untouched": "a choice that this driver never makes",
}
"""Rules of the host that are not recognised by what its program does, and why."""
UNSEEN: Final = {
    "tx.next_of_batch": "its doorbell is the one that a later packet of the batch is announced by",
    "stop_draining": "a deadline passes, which the specification calls the environment's doing",
}
"""Rules that are silent although they declare something, or are not the host's, and why."""


class Specification(engine.judge.Specification):
    """The duct card's specification at fixed sizes, ready to judge one run after another."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(specification(), scope, without=ELSEWHERE, unseen=UNSEEN, queues=WaitQueue)


class Judge(engine.judge.Judge):
    """Follows one run of a driver and a card.

    Attributes:
        stale: Whether fresh memory looks as if it were the card's.
        owed_bells: By thread: packets handed over whose doorbell is the one of a later packet.
        owed_owners: Transmit slots that the specification has handed over while the driver fills in
            others, before it stores their owner bytes; and which packet of its batch is in each.
        next_is_empty: Says whether the next packet of a thread's batch has no payload (1) or has
            one (0).
    """

    next_is_empty: Callable[[int], int]

    def __init__(self, spec: Specification, *, stale: bool = False, lies: bool = False) -> None:
        super().__init__(spec, spec.executor.changed(spec.executor.initial(), card__lies=lies))
        self.stale = int(stale)
        self.owed_bells = [0] * spec.scope.threads
        self.owed_owners: dict[int, int] = {}
        self._expired = [False] * spec.scope.threads

    def pc(self, t: int) -> Label:
        """Where thread t is in its program."""
        return Label(self._pcs[t])

    def result(self, t: int) -> Result:
        """How the last call of thread t ended."""
        return Result(self.now["threads_result"][t])

    def holds_lock(self, t: int) -> bool:
        """Thread t has the ticket that is being served."""
        now = self.now
        return bool(
            now["threads_ticket"][t] == now["lock_serving"] != now["lock_next"]
            and not now["threads_asleep"][t]
        )

    def expired(self, t: int, yes: bool) -> None:
        """Whether the last sleep of thread t reached its deadline, or a signal ended it."""
        self._expired[t] = yes

    def silent_step(
        self, rule: str, t: int, silent_while: Callable[..., bool] | None
    ) -> Step | None:
        """The step by which thread t takes a rule unseen; None where it cannot."""
        if rule == "tx.next_of_batch":
            step = rule, t, self.next_is_empty(t)
            if self.stepper.is_enabled(step):
                self.owed_bells[t] += 1
            return step
        if rule == "stop_draining" and not self._expired[t]:
            return None
        return super().silent_step(rule, t, silent_while)

    def values(self, rule: str, t: int) -> tuple[int, ...]:
        """A step's parameters: the thread, and what memory held before it was allocated."""
        needs = self.spec.also_needs[rule]
        return (t, *[self.stale if name == "stale" else 0 for name in needs]) if needs else (t,)
