"""A call under way: who makes it, whether it may wait, and what a signal does to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["Call"]


class Call:
    """One system call on the device, from the request to the reply.

    Attributes:
        flags: The file's status flags at this moment (O_NONBLOCK and the like).
        offset: Bytes that earlier requests of the same system call transferred; see `OpenFile`.
        uid, gid, pid: Who calls.
    """

    def __init__(
        self, *, flags: int = 0, offset: int = 0, uid: int = 0, gid: int = 0, pid: int = 0
    ) -> None:
        self.flags = flags
        self.offset = offset
        self.uid, self.gid, self.pid = uid, gid, pid
        self._mutex = threading.Lock()
        self._interrupted = False
        self._ended = False
        self._react: Callable[[], None] | None = None

    @property
    def blocking(self) -> bool:
        """Whether the call may wait."""
        return not self.flags & os.O_NONBLOCK

    @property
    def interrupted(self) -> bool:
        """Whether a signal came for the caller. Whoever waits should end with EINTR."""
        return self._interrupted

    def on_interrupt(self, react: Callable[[], None]) -> None:
        """Have a function called when a signal comes; at once if one came before.

        It is called at most once, in another thread, and never after the call has ended. It must
        not wait for the call.
        """
        with self._mutex:
            if not self._interrupted:
                self._react = react
                return
        react()

    def interrupt(self) -> None:
        """A signal came for the caller."""
        with self._mutex:
            if self._interrupted or self._ended:
                return
            self._interrupted = True
            if self._react is not None:
                self._react()

    def end(self) -> None:
        """The call has ended: no signal matters any more."""
        with self._mutex:
            self._ended = True
            self._react = None
