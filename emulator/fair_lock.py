"""A lock that a thread in a loop cannot keep from the others."""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["FairLock"]


class FairLock:
    """A mutual exclusion lock with a door: whoever releases it and comes back finds the door taken.

    Plain locks let the thread that just released one take it again before a waiting thread has
    woken up. Here a waiting thread stands in the door, so the next turn is its own.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._inside = threading.Lock()

    def __enter__(self) -> None:
        with self._door:
            self._inside.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.release()
