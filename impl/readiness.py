"""A file descriptor that polls as the card is: readable, writable, both or neither.

It is one end of a socket pair whose other end the driver keeps. A byte on its way to the user's end
makes that readable; a full buffer on its way from the user's end makes that unwritable. Only
changes cost a system call.
"""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from typing import final

__all__ = ["Readiness"]

CHUNK = 1 << 16
READABLE, WRITABLE, USERS, DRIVERS = range(4)


@final
class Readiness:
    """What pollers see. At first neither readable nor writable.

    Attributes:
        shown: Whether they see it as readable, and as writable; the descriptors of the users' end
            and of the driver's, -1 once they are closed.
    """

    def __init__(self) -> None:
        self._users, self._drivers = socket.socketpair()
        # What the kernel in C looks at as well, and where it changes what is shown: a number each.
        self.shown = array("i", [False, True, self._users.fileno(), self._drivers.fileno()])
        try:
            for end in (self._users, self._drivers):
                end.setblocking(False)
            self._users.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            self.set_writable(False)
        except BaseException:
            self.close()
            raise

    def set_readable(self, yes: bool) -> None:
        """Make the descriptor poll as readable, or not."""
        if yes == self.shown[READABLE]:
            return
        # A user who reads the descriptor harms only himself.
        with contextlib.suppress(BlockingIOError):
            if yes:
                self._drivers.send(b"\0")
            else:
                self._users.recv(1)
        self.shown[READABLE] = yes

    def set_writable(self, yes: bool) -> None:
        """Make the descriptor poll as writable, or not."""
        if yes == self.shown[WRITABLE]:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                if yes:
                    self._drivers.recv(CHUNK)
                else:
                    self._users.send(b"\0" * CHUNK)
        self.shown[WRITABLE] = yes

    def duplicate(self) -> int:
        """A descriptor of its own for one user, who closes it."""
        return os.dup(self._users.fileno())

    def close(self) -> None:
        """Close both ends; duplicates poll as readable then, with nothing to read."""
        self.shown[USERS] = self.shown[DRIVERS] = -1
        with contextlib.closing(self._drivers):
            self._users.close()
