"""Sockets at paths: taking a path over from a process that is no more, and giving it up.

A socket is at its path only when it listens, so whoever sees it can connect.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from socket import AF_UNIX, SocketKind, socket
from typing import Final

import attrs

__all__ = ["ListeningSocket"]

_LONGEST: Final = 107
"""Bytes of the longest path of a socket: see unix(7)."""


@attrs.frozen(eq=False)
class ListeningSocket:
    """A socket that listens at a path. `at` makes one.

    Attributes:
        path: The path.
        socket: The socket.
    """

    path: str
    socket: socket
    _place: tuple[int, int]

    @classmethod
    def at(cls, path: str, kind: SocketKind) -> ListeningSocket:
        """Listen at `path`, where a process that is no more may have left a socket.

        Raises:
            OSError: Somebody listens there (EADDRINUSE), something else is there (EEXIST), the path
                is too long (ENAMETOOLONG), or the system refuses.
        """
        _remove_what_was_left(path, kind)
        listener = socket(AF_UNIX, kind)
        try:
            _listen(listener, path)
            return cls(path, listener, _place(path))
        except OSError as error:
            listener.close()
            raise OSError(error.errno, error.strerror or str(error), path) from error

    def close(self) -> None:
        """Listen no more. The path is free again, unless something else is there by now."""
        try:
            if _place(self.path) == self._place:
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        self.socket.close()


def _place(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _listen(listener: socket, path: str) -> None:
    """Listen, and then be at a path."""
    if len(os.fsencode(path)) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, f"the path of a socket has at most {_LONGEST} bytes")
    before = os.path.join(os.path.dirname(path), f".{secrets.token_hex(2)}")
    listener.bind(before)
    try:
        listener.listen()
        os.link(before, path)
    finally:
        os.unlink(before)


def _remove_what_was_left(path: str, kind: SocketKind) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something that is not a socket is there", path)
    with socket(AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:  # whatever it is, somebody listens
            pass
    raise OSError(errno.EADDRINUSE, "another process listens at this socket", path)
