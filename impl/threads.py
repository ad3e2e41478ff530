"""The runtime over real threads: a fair lock, sleepers, a clock, a pollable readiness."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
import weakref
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, final

import attrs

from impl.readiness import Readiness
from impl.runtime import CancelledError, ExpiredError, Runtime, WaitQueue
from impl.shield import PENDING, interruptible, take

__all__ = ["FairLock", "Lock", "Parts", "ThreadRuntime"]

LONGEST_WAIT: Final = threading.TIMEOUT_MAX


class Lock(Protocol):
    """A lock that threads get in the order in which they ask for it.

    Attributes:
        taken: Somebody has it.
        in_line: True if threads wait for it.
    """

    @property
    def taken(self) -> object: ...

    @property
    def in_line(self) -> object: ...

    def acquire(self) -> None: ...

    def release(self) -> None: ...


@final
class FairLock:
    """A lock that threads get in the order in which they ask for it.

    Where nobody is in line it is one lock of the interpreter's, taken and given back. Only who has
    it takes anybody out of the line. Each operation on that lock and on the line is one step to
    other threads, also where threads run without the interpreter's own lock; nothing else is asked
    of the interpreter.

    Attributes:
        in_line: Who waits for the lock.
    """

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self.in_line: deque[threading.Lock] = deque()

    @property
    def taken(self) -> bool:
        """Somebody has the lock."""
        return self._taken.locked()

    def acquire(self) -> None:
        """Wait for the lock."""
        if not self.in_line and self._taken.acquire(False):
            return
        turn = threading.Lock()
        turn.acquire()
        self.in_line.append(turn)
        if self._taken.acquire(False):
            # Whoever gave it back may have looked at the line before.
            self.release()
        turn.acquire()

    def release(self) -> None:
        """Give the lock to the next in line."""
        while not self.in_line:
            self._taken.release()
            # Somebody may have come into line who found it taken: nobody but this thread knows.
            if not self.in_line or not self._taken.acquire(False):
                return
        self.in_line.popleft().release()


@attrs.define(eq=False)
class _Sleeper:
    handle: object
    alarm: threading.Lock = attrs.field(factory=threading.Lock)
    cancelled: bool = False


@interruptible
def _alarmed(alarm: threading.Lock, timeout: float) -> bool:
    """Wait for an alarm; whether it went. The one place where a signal strikes a call."""
    while PENDING and take():
        pass
    return alarm.acquire(timeout=timeout)


@attrs.frozen(eq=False)
class Parts:
    """What the kernel in C has to know of a runtime to make a turn of its own (`impl.datapath`).

    Attributes:
        lock: The lock.
        sleepers_for_room, sleepers_for_life: Empty if nobody sleeps in these queues.
        shown: What pollers see; see `impl.readiness`.
    """

    lock: Lock
    sleepers_for_room: list[Any]
    sleepers_for_life: list[Any]
    shown: array[int]


@final
class ThreadRuntime(Runtime):
    """The words of `Runtime` over real threads. All sleepers' lists are guarded by the lock."""

    def __init__(self) -> None:
        self.lock_by(FairLock())
        self._sleepers: dict[WaitQueue, list[_Sleeper]] = {queue: [] for queue in WaitQueue}
        self._cancelled: weakref.WeakSet[Any] = weakref.WeakSet()
        self._readiness = Readiness()
        self._threads: list[threading.Thread] = []
        # Without a function of this class in between, which would take as long as they do.
        self.set_readable = self._readiness.set_readable  # type: ignore[method-assign]
        self.set_writable = self._readiness.set_writable  # type: ignore[method-assign]

    def lock_by(self, lock: Lock) -> None:
        """Have this lock in place of the one at hand, which nobody has yet."""
        self._lock = lock
        self.lock = lock.acquire  # type: ignore[method-assign]
        self.unlock = lock.release  # type: ignore[method-assign]

    @property
    def parts(self) -> Parts:
        return Parts(
            lock=self._lock,
            sleepers_for_room=self._sleepers[WaitQueue.SENDERS],
            sleepers_for_life=self._sleepers[WaitQueue.LIFE],
            shown=self._readiness.shown,
        )

    def lock(self) -> None:
        self._lock.acquire()

    def unlock(self) -> None:
        self._lock.release()

    def unlock_soon(self) -> None:
        # Nobody has it before `relock`, which costs the others a moment and this thread nothing.
        pass

    def relock(self) -> bool:
        if not self._lock.in_line:
            return False
        self._lock.release()
        self._lock.acquire()
        return True

    def sleep(self, queue: WaitQueue, deadline: float | None = None, handle: object = None) -> None:
        if handle is not None and handle in self._cancelled:
            raise CancelledError
        timeout = -1.0 if deadline is None else min(deadline - time.monotonic(), LONGEST_WAIT)
        if deadline is not None and timeout <= 0:
            raise ExpiredError
        sleeper = _Sleeper(handle)
        sleeper.alarm.acquire()
        self._sleepers[queue].append(sleeper)
        self._lock.release()
        try:
            woken = _alarmed(sleeper.alarm, timeout)
        finally:
            self._lock.acquire()
            with contextlib.suppress(ValueError):
                self._sleepers[queue].remove(sleeper)
        if sleeper.cancelled:
            raise CancelledError
        # Whoever was woken on the way from its deadline to the lock was woken.
        if not woken and sleeper.alarm.locked():
            raise ExpiredError

    def wake(self, queue: WaitQueue) -> None:
        sleepers = self._sleepers[queue]
        if not sleepers:
            return
        for sleeper in sleepers:
            sleeper.alarm.release()
        sleepers.clear()

    def cancel(self, handle: object) -> None:
        if handle is None:  # on behalf of nobody
            return
        self._cancelled.add(handle)
        for sleepers in self._sleepers.values():
            for sleeper in [item for item in sleepers if item.handle is handle]:
                sleeper.cancelled = True
                sleeper.alarm.release()
                sleepers.remove(sleeper)

    def interrupt(self, handle: object) -> None:
        self._lock.acquire()
        try:
            self.cancel(handle)
        finally:
            self._lock.release()

    def now(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def set_readable(self, yes: bool) -> None:
        self._readiness.set_readable(yes)

    def set_writable(self, yes: bool) -> None:
        self._readiness.set_writable(yes)

    def fileno(self) -> int:
        return self._readiness.duplicate()

    def start(self, name: str, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, name=f"duct {name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(errno.ENOMEM, f"the thread for {name} cannot be started") from error
        self._threads.append(thread)

    def close(self) -> None:
        try:
            for thread in self._threads:
                thread.join()
        finally:
            self._readiness.close()
