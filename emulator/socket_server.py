"""One thread that serves everybody who connects to a socket at a path."""

from __future__ import annotations

import abc
import logging
import selectors
import socket
import time
from threading import Thread
from typing import Any, Final

from emulator.unix_socket import ListeningSocket

__all__ = ["SocketServer"]

_LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 0.1
"""Seconds to wait when the system has no room for another connection."""


class SocketServer(abc.ABC):
    """Serves a socket from `start` until `close`. All that it does is done by its one thread.

    No socket is ever waited for but by the selector, so that nobody can keep the others waiting.

    Args:
        listening: Where others connect; it is closed with the server.
        name: What the thread is called.

    Attributes:
        selector: What the thread waits with; each of those who connected is there by `keep`.
    """

    def __init__(self, listening: ListeningSocket, name: str) -> None:
        self._listening = listening
        self._listening.socket.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self._listening.socket, selectors.EVENT_READ)
        self.selector.register(self._woken, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def close(self) -> None:
        """Let everybody go, and remove the socket. Returns when that is done."""
        self._wake.close()
        self._thread.join()

    # What a kind of server does

    @abc.abstractmethod
    def came(self, client: socket.socket) -> None:
        """Somebody connected: `keep` the socket, which does not block, or close it."""

    @abc.abstractmethod
    def readable(self, known: Any, /) -> None:
        """Somebody sent something, or has gone."""

    def writable(self, known: Any, /) -> None:  # noqa: B027 - nobody is, unless the selector was asked
        """There is room for what waits to be sent to somebody."""

    def not_listening(self) -> None:  # noqa: B027 - most kinds have nothing to do
        """The path is free again, and everybody is still connected."""

    # For those kinds

    @property
    def served(self) -> int:
        """How many are connected."""
        return len(self.selector.get_map()) - 2

    def keep(self, client: socket.socket, known: object) -> None:
        """From now on `readable` is called when there is reason to.

        Args:
            client: The socket.
            known: What it is called with.
        """
        self.selector.register(client, selectors.EVENT_READ, known)

    def let_go(self, client: socket.socket) -> None:
        """Close a socket that was kept."""
        self.selector.unregister(client)
        client.close()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._listening.close()
            self.not_listening()
            for key in list(self.selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            self.selector.close()

    def _turn(self) -> bool:
        """Do what there is to be done. False if that is to end."""
        for key, events in self.selector.select():
            if key.fileobj is self._woken:
                return False
            if key.fileobj is self._listening.socket:
                self._accept()
            else:
                if events & selectors.EVENT_WRITE:
                    self.writable(key.data)
                if events & selectors.EVENT_READ:
                    self.readable(key.data)
        return True

    def _accept(self) -> None:
        try:
            client, _ = self._listening.socket.accept()
        except BlockingIOError:  # it has left again
            return
        except OSError as error:
            _LOG.error("nobody can be let in at %s: %s", self._listening.path, error.strerror)
            time.sleep(_PAUSE)
            return
        client.setblocking(False)
        self.came(client)
