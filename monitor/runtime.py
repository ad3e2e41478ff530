"""The driver's lock, sleeps and wake-ups, told to an observer.

The lock orders nearly everything. It is told that a thread has it after it has it, and that a
thread gives it up before it does, so that what is told is in an order in which it happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from impl.errors import SpecificationError
from impl.runtime import CancelledError, ExpiredError, Runtime, WaitQueue
from monitor.observer import Observer

__all__ = ["WatchedRuntime"]


@final
class WatchedRuntime(Runtime):
    """The lock of one card, its queues and its readiness."""

    def __init__(self, inner: Runtime, observer: Observer) -> None:
        self._inner = inner
        self._observer = observer

    def lock(self) -> None:
        """Wait for the lock."""
        try:
            self._inner.lock()
        except BaseException as error:
            self._observer.callers.struck(error)
            raise
        try:
            with self._observer.mutex:
                self._observer.tell(self._observer.locked)
        except BaseException:
            # A signal struck: whoever does not get the lock must not have it.
            self._observer.verdict.give_up("a signal struck while an access was judged")
            self._inner.unlock()
            raise

    def unlock(self) -> None:
        """Give the lock to the next in line."""
        try:
            with self._observer.mutex:
                self._observer.tell(self._observer.unlocks)
            self.alarm_if_due()
        finally:
            self._inner.unlock()

    def sleep(self, queue: WaitQueue, deadline: float | None = None, handle: object = None) -> None:
        """Give up the lock and wait for `queue`, in one step; return with the lock."""
        observer = self._observer
        ending: BaseException | None = None
        with observer.mutex:
            observer.tell(observer.sleeps, queue, handle)
        self.alarm_if_due()
        self._refuse_sleep()
        try:
            self._inner.sleep(queue, deadline, handle)
        except BaseException as error:
            ending = error
            if not isinstance(error, ExpiredError | CancelledError):
                observer.callers.struck(error)
        with observer.mutex:
            observer.tell(observer.got_up, ending)
        self._refuse_sleep()
        if ending is not None:
            raise ending

    def wake(self, queue: WaitQueue) -> None:
        """Wake everyone who sleeps on `queue`."""
        with self._observer.mutex:
            self._observer.tell(self._observer.woke, queue)
        self._inner.wake(queue)

    def cancel(self, handle: object) -> None:
        """End all sleeps on behalf of `handle`, now and later."""
        with self._observer.mutex:
            self._observer.tell(self._observer.cancelled, handle)
        self._inner.cancel(handle)

    def interrupt(self, handle: object) -> None:
        """The same, from a thread that does not hold the lock and makes no call."""
        with self._observer.mutex:
            self._observer.tell(self._observer.cancelled, handle)
        self._inner.interrupt(handle)

    def now(self) -> float:
        """The time in seconds since some moment."""
        return self._inner.now()

    def pause(self, seconds: float) -> None:
        """Do nothing for a while, keeping the lock."""
        self._inner.pause(seconds)

    def set_readable(self, yes: bool) -> None:
        """Show to pollers whether a packet may wait."""
        self._observer.readable = yes
        self._inner.set_readable(yes)

    def set_writable(self, yes: bool) -> None:
        """Show to pollers whether a transmit slot is free."""
        self._observer.writable = yes
        self._inner.set_writable(yes)

    def fileno(self) -> int:
        """A new file descriptor that polls as readable and writable as the card is."""
        return self._inner.fileno()

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Run `body` in a thread of the driver's own."""
        self._inner.start(name, body)

    def close(self) -> None:
        """Let go of what the runtime holds."""
        self._inner.close()

    # When something was wrong

    def _refuse_sleep(self) -> None:
        if self._observer.callers.refuses_sleep():
            raise SpecificationError(self._observer.verdict.told)

    def alarm_if_due(self) -> None:
        """Wake everyone once something was wrong. The caller holds the lock."""
        if self._observer.verdict.take_alarm():
            for queue in WaitQueue:
                self._inner.wake(queue)
            self._inner.set_readable(True)
            self._inner.set_writable(True)

    def alarm(self) -> None:
        """The same, for a caller that does not hold the lock."""
        if self._observer.verdict.alarming:
            self._inner.lock()
            self.alarm_if_due()
            self._inner.unlock()
