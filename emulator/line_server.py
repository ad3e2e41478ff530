"""Lines of text at a UNIX socket: each client says one and gets one.

One thread serves all clients, and none of them can keep it: what a client sends is kept up to the
end of one line, and one that does not read its answers is made to leave. A client may be silent for
as long as it likes. An empty line has no answer, so whoever takes over a channel on which half a
line was left can end that one.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable
from threading import Thread
from typing import Final

import attrs

from emulator.unix_socket import ListeningSocket

__all__ = ["MAX_LINE", "LineServer"]

_LOG: Final = logging.getLogger(__name__)
MAX_LINE: Final = 1024
"""Bytes of the longest line that a client may send, without its end."""
_MAX_CLIENTS: Final = 16
_PAUSE: Final = 0.1
"""Seconds to wait when the system has no room for another connection."""


class _MadeToLeaveError(Exception):
    """A client does what none may do; the message says what."""


@attrs.define(eq=False)
class _Client:
    """A client, and the beginning of a line that is not over yet."""

    number: int
    socket: socket.socket
    begun: bytes = b""


class LineServer:
    """Serves lines at a path, from now on until `close`.

    Args:
        path: Where the socket is to be.
        answer: Called with each line, returns the one to answer. One call at a time.

    Raises:
        OSError: There can be no socket: another server has it (EADDRINUSE), or something else.
    """

    def __init__(self, path: str, answer: Callable[[str], str]) -> None:
        self._path = path
        self._answer = answer
        self._count = 0
        self._clients: set[_Client] = set()
        self._listening = ListeningSocket.at(path, socket.SOCK_STREAM)
        self._listening.socket.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening.socket, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, name=f"lines at {path}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let all clients go, and remove the socket."""
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._listening.close()
            for client in self._clients:
                client.socket.close()
            self._woken.close()
            self._selector.close()

    def _turn(self) -> bool:
        """Do what there is to be done. False if that is to end."""
        for key, _ in self._selector.select():
            if key.fileobj is self._woken:
                return False
            if isinstance(key.data, _Client):
                self._serve(key.data)
            else:
                self._accept()
        return True

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.socket.accept()
        except BlockingIOError:  # it has left again
            return
        except OSError as error:
            _LOG.error("nobody can be let in at %s: %s", self._path, error.strerror)
            time.sleep(_PAUSE)
            return
        self._count += 1
        if len(self._clients) >= _MAX_CLIENTS:
            _LOG.warning(
                "bench %d was not let in: %d are served at a time", self._count, _MAX_CLIENTS
            )
            accepted.close()
            return
        accepted.setblocking(False)
        client = _Client(self._count, accepted)
        self._clients.add(client)
        self._selector.register(accepted, selectors.EVENT_READ, client)
        _LOG.info("bench %d came", client.number)

    def _serve(self, client: _Client) -> None:
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
        self._clients.remove(client)
        self._selector.unregister(client.socket)
        client.socket.close()

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
