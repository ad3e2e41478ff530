"""Lines of text at a UNIX socket: each client says one and gets one.

One thread serves all clients, and none of them can keep it: what a client sends is kept up to the
end of one line, and one that does not read its answers is made to leave. A client may be silent for
as long as it likes. An empty line has no answer, so whoever takes over a channel on which half a
line was left can end that one.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final, final

import attrs

from emulator.socket_server import SocketServer
from emulator.unix_socket import ListeningSocket

__all__ = ["MAX_LINE", "LineServer"]

_LOG: Final = logging.getLogger(__name__)
MAX_LINE: Final = 1024
"""Bytes of the longest line that a client may send, without its end."""
_MAX_CLIENTS: Final = 16


class _MadeToLeaveError(Exception):
    """A client does what none may do; the message says what."""


@attrs.define(eq=False)
class _Client:
    """A client, and the beginning of a line that is not over yet."""

    number: int
    socket: socket.socket
    begun: bytes = b""


@final
class LineServer(SocketServer):
    """Serves lines at a path, from now on until `close`.

    Args:
        path: Where the socket is to be.
        answer: Called with each line, returns the one to answer. One call at a time.

    Raises:
        OSError: There can be no socket: another server has it (EADDRINUSE), or something else.
    """

    def __init__(self, path: str, answer: Callable[[str], str]) -> None:
        super().__init__(ListeningSocket.at(path, socket.SOCK_STREAM), f"lines at {path}")
        self._answer = answer
        self._count = 0
        self.start()

    def came(self, client: socket.socket) -> None:
        """Let a client in, unless too many are served."""
        self._count += 1
        if self.served >= _MAX_CLIENTS:
            _LOG.warning(
                "bench %d was not let in: %d are served at a time", self._count, _MAX_CLIENTS
            )
            client.close()
            return
        self.keep(client, _Client(self._count, client))
        _LOG.info("bench %d came", self._count)

    def readable(self, client: _Client, /) -> None:
        """Answer what a client says, or see that it has gone."""
        try:
            if self._receive(client):
                return
            where = " in the middle of a line" if client.begun else ""
            _LOG.info("bench %d has gone%s", client.number, where)
        except _MadeToLeaveError as error:
            _LOG.warning("bench %d was made to leave: %s", client.number, error)
        except Exception:
            # A mistake of ours: it must not keep others from being served.
            _LOG.exception("bench %d was made to leave by a mistake of the server", client.number)
        self.let_go(client.socket)

    def _receive(self, client: _Client) -> bool:
        """Answer what lines there are. False if the client has gone."""
        try:
            data = client.socket.recv(MAX_LINE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        *lines, client.begun = (client.begun + data).split(b"\n")
        for line in lines:
            text = _text(line)
            if text and not _send(client.socket, self._answer(text).encode() + b"\n"):
                return False
        if len(client.begun) > MAX_LINE:
            raise _MadeToLeaveError(f"a line has at most {MAX_LINE} bytes")
        return True


def _text(line: bytes) -> str:
    """The text of a line, without blanks around it."""
    if len(line) > MAX_LINE:
        raise _MadeToLeaveError(f"a line has at most {MAX_LINE} bytes")
    text = line.strip()
    if not all(0x20 <= byte < 0x7F for byte in text):
        raise _MadeToLeaveError("a line consists of printable ASCII characters")
    return text.decode("ascii")


def _send(client: socket.socket, data: bytes) -> bool:
    """Send an answer. False if the client has gone."""
    try:
        sent = client.send(data)
    except BlockingIOError:
        sent = 0
    except OSError:
        return False
    if sent < len(data):
        raise _MadeToLeaveError("it does not read its answers")
    return True
