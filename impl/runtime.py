"""Thread interface of the driver: one lock, sleeping and waking, time, readiness.

The driver's lines are the same over real threads (`impl.threads`) and under test, where a scheduler
is behind these operations and decides who goes next.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable

__all__ = ["CancelledError", "ExpiredError", "Runtime", "WaitQueue"]


class WaitQueue(enum.Enum):
    """What sleepers wait for. Whoever makes it true wakes all of them."""

    # The hash of a member's name takes longer than all else that a wake-up of nobody does.
    __hash__ = object.__hash__

    SENDERS = "a transmit slot, or the completion of a packet"
    COMMANDS = "a command slot, or the completion of a command"
    READERS = "a packet"
    LIFE = "the end of an open, a close, or a call under way"


class ExpiredError(Exception):
    """A sleep reached its deadline."""


class CancelledError(Exception):
    """A sleep was ended because the handle that it belongs to was closed or interrupted."""


class Runtime(abc.ABC):
    """The lock of one card, its queues, the clock, and the card's readiness.

    The lock goes to threads in the order in which they ask for it: no bound on waiting could be
    promised otherwise.
    """

    @abc.abstractmethod
    def lock(self) -> None:
        """Wait for the lock. No signal ends that: see `impl.shield`."""

    @abc.abstractmethod
    def unlock(self) -> None:
        """Give the lock to the next in line."""

    def unlock_soon(self) -> None:
        """Give up the lock, as far as the caller is concerned, until `relock`.

        Others may have it from here on. They may also have to wait until `relock` or `unlock`: then
        they are slow, which they may be anyway.
        """
        self.unlock()

    def relock(self) -> bool:
        """Have the lock again, after all who asked for it before; whether any did.

        Whoever asks while nobody else has had it asks a moment later, as far as anybody can tell.
        Returns with the lock. No signal ends that.
        """
        self.lock()
        return True

    @abc.abstractmethod
    def sleep(self, queue: WaitQueue, deadline: float | None = None, handle: object = None) -> None:
        """Give up the lock and wait for `queue`, in one step; return with the lock.

        It may return spuriously.

        Args:
            queue: What to wait for.
            deadline: When to stop waiting, in seconds of `now`; None: never.
            handle: The handle on whose behalf the caller sleeps; see `cancel`.

        Raises:
            ExpiredError: The deadline passed.
            CancelledError: `cancel` or `interrupt` was called for `handle`.
            BaseException: Whatever a signal handler raises. The lock is held in every case.
        """

    @abc.abstractmethod
    def wake(self, queue: WaitQueue) -> None:
        """Wake everyone who sleeps on `queue`. The caller holds the lock."""

    @abc.abstractmethod
    def cancel(self, handle: object) -> None:
        """End all sleeps on behalf of `handle`, now and later. The caller holds the lock."""

    @abc.abstractmethod
    def interrupt(self, handle: object) -> None:
        """The same as `cancel`, from a thread that does not hold the lock and makes no call."""

    @abc.abstractmethod
    def now(self) -> float:
        """The time in seconds since some moment; it never goes back."""

    @abc.abstractmethod
    def pause(self, seconds: float) -> None:
        """Do nothing for a while, keeping the lock."""

    @abc.abstractmethod
    def set_readable(self, yes: bool) -> None:
        """Show to pollers whether a packet may wait. The caller holds the lock."""

    @abc.abstractmethod
    def set_writable(self, yes: bool) -> None:
        """Show to pollers whether a transmit slot is free. The caller holds the lock."""

    @abc.abstractmethod
    def fileno(self) -> int:
        """A new file descriptor that polls as readable and writable as the card is.

        The caller closes it. It is for polling only.
        """

    @abc.abstractmethod
    def start(self, name: str, body: Callable[[], None]) -> None:
        """Run `body` in a thread of the driver's own."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what the runtime holds, once nobody polls, sleeps or runs any more."""
