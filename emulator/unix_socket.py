"""Sockets at paths: taking a path over from a process that is no more, and giving it up."""

from __future__ import annotations

import errno
import os
import stat
from socket import AF_UNIX, SocketKind, socket

import attrs

__all__ = ["ListeningSocket"]


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
            OSError: Somebody listens there (EADDRINUSE), something else is there (EEXIST), or the
                system refuses.
        """
        _remove_what_was_left(path, kind)
        listener = socket(AF_UNIX, kind)
        try:
            listener.bind(path)
            listener.listen()
            return cls(path, listener, _place(path))
        except OSError as error:
            listener.close()
            # Of a path that is too long, Python says nothing but that.
            raise OSError(
                error.errno or errno.ENAMETOOLONG, error.strerror or str(error), path
            ) from error

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
