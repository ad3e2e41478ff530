"""Which thread of the specification a real thread is, from one call to the next."""

from __future__ import annotations

import threading
from typing import Final

from judge.accesses import Accesses
from judge.judge import Deviation, Judge
from model.state import EVENT_THREAD, FATAL_THREAD
from monitor.verdict import Verdict

__all__ = ["USERS", "Callers"]

USERS: Final = 256
"""Calls that may be under way at once; with more the monitor gives up."""
FIRST_USER: Final = 2


class Callers:
    """Lends a thread of the specification to each call, and takes it back at the end."""

    def __init__(self, judge: Judge, accesses: Accesses, verdict: Verdict) -> None:
        self._now = judge.now
        self._accesses = accesses
        self._verdict = verdict
        self._users = judge.spec.scope.users
        self._mine: dict[int, int] = {}
        self._free = list(range(FIRST_USER + self._users - 1, FIRST_USER - 1, -1))
        self._signals: set[int] = set()
        self._heedless: set[int] = set()

    def present(self) -> int | None:
        """The thread that the calling thread is; None outside of calls."""
        return self._mine.get(threading.get_ident())

    def me(self) -> int:
        """The same. Raises `Deviation` outside of calls: nothing is accessed there."""
        t = self.present()
        if t is None:
            raise Deviation("an access to the card outside of any call")
        return t

    def serves(self, vector: int) -> None:
        """The calling thread is the handler of a vector."""
        self._mine[threading.get_ident()] = EVENT_THREAD if vector == 0 else FATAL_THREAD

    def begins(
        self, sizes: tuple[int, ...], rule: str, *parameters: int, heedless: bool = False
    ) -> int | None:
        """The calling thread begins a call; returns the thread of the specification that it is.

        Args:
            sizes: The bytes of each packet that it sends.
            rule: The rule that the call begins with.
            parameters: Its parameters behind the thread.
            heedless: The call goes on whatever is found.
        """
        if self._verdict.over:
            return None
        if not self._free:
            self._verdict.give_up(f"more than {self._users} calls are under way at once")
            return None
        t = self._free.pop()
        self._mine[threading.get_ident()] = t
        self._signals.discard(t)
        if heedless:
            self._heedless.add(t)
        self._accesses.begin(t, sizes, rule, t, *parameters)
        return t

    def acts_for_holder(self, slot: int) -> int | None:
        """The calling thread gives a receive slot back; returns the thread that took the packet."""
        if self._verdict.over:
            return None
        t: int = self._now["rx_holder"][slot]
        self._mine[threading.get_ident()] = t
        return t

    def pauses(self) -> None:
        """The calling thread holds a slot from now on, and its call has not ended."""
        self._mine.pop(threading.get_ident(), None)

    def ends(self, t: int) -> None:
        """A call has ended."""
        self._mine.pop(threading.get_ident(), None)
        self._heedless.discard(t)
        self._free.append(t)

    def was_struck(self, t: int) -> bool:
        """Whether a signal struck while the call slept, or waited for the lock."""
        return t in self._signals

    def struck(self, _error: BaseException) -> None:
        """A signal handler has raised in the calling thread."""
        t = self.present()
        if t is not None:
            self._signals.add(t)

    def refuses_sleep(self) -> bool:
        """Whether the calling thread must not sleep, since something was wrong."""
        if self._verdict.deviation is None:
            return False
        t = self.present()
        return t is not None and t not in self._heedless
