"""A file descriptor that polls as the card is: readable, writable, both or neither.

It is one end of a socket pair whose other end the driver keeps. A byte on its way to the user's end
makes that readable; a full buffer on its way from the user's end makes that unwritable. Only
changes cost a system call.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import final

__all__ = ["Readiness"]

CHUNK = 1 << 16


@final
class Readiness:
    """What pollers see. At first neither readable nor writable."""

    def __init__(self) -> None:
        self._users, self._drivers = socket.socketpair()
        self._readable = False
        self._writable = True
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
        if yes == self._readable:
            return
        # A user who reads the descriptor harms only himself.
        with contextlib.suppress(BlockingIOError):
            if yes:
                self._drivers.send(b"\0")
            else:
                self._users.recv(1)
        self._readable = yes

    def set_writable(self, yes: bool) -> None:
        """Make the descriptor poll as writable, or not."""
        if yes == self._writable:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                if yes:
                    self._drivers.recv(CHUNK)
                else:
                    self._users.send(b"\0" * CHUNK)
        self._writable = yes

    def duplicate(self) -> int:
        """A descriptor of its own for one user, who closes it."""
        return os.dup(self._users.fileno())

    def close(self) -> None:
        """Close both ends; duplicates poll as readable then, with nothing to read."""
        with contextlib.closing(self._drivers):
            self._users.close()
