"""A socket at which clients find the card, one at a time.

Whatever a client does, the next one finds the card as after power-on. Who comes while another is
served waits.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Final

from emulator.running import RunningCard
from emulator.unix_socket import ListeningSocket
from emulator.vfio_user.connection import ClientGone, Connection
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.function import PciFunction
from emulator.vfio_user.protocol import ProtocolError
from emulator.vfio_user.session import Session

__all__ = ["Server"]

_LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 0.1
"""Seconds to wait when the system has no room for another connection."""


class Server:
    """Serves a card at a socket. The socket exists when the server does.

    Args:
        path: Where the socket is to be.
        running: The card, which nobody else uses.
        memory: The memory that it reaches.

    Attributes:
        path: The path.
        clients: How many clients came so far.
        gone: How many of them are gone, and leave the card as after power-on.

    Raises:
        OSError: There can be no socket: another server has it (EADDRINUSE), or something else.
    """

    def __init__(self, path: str, running: RunningCard, memory: ClientMemory) -> None:
        self.path = path
        self.clients = 0
        self.gone = 0
        self._function = PciFunction(running)
        self._memory = memory
        self._connection: Connection | None = None
        self._stopping = False
        self._listening = ListeningSocket.at(path, socket.SOCK_STREAM)

    def serve(self) -> None:
        """Serve one client after the other, until `stop` is called."""
        while not self._stopping:
            try:
                client, _ = self._listening.socket.accept()
            except OSError as error:
                if not self._stopping:
                    _LOG.error("no client can be accepted: %s", error.strerror)
                    time.sleep(_PAUSE)
                continue
            self.clients += 1
            self._serve_client(Connection(client), self.clients)

    def stop(self) -> None:
        """Let `serve` return. Does not wait, and may be called by a signal's handler."""
        self._stopping = True
        with contextlib.suppress(OSError):  # it is closed already
            self._listening.socket.shutdown(socket.SHUT_RDWR)
        connection = self._connection
        if connection:
            connection.shut_down()

    def close(self) -> None:
        """Remove the socket, unless another one is in its place. Call it when `serve` is over."""
        self._listening.close()

    def _serve_client(self, connection: Connection, number: int) -> None:
        self._connection = connection
        if self._stopping:
            connection.shut_down()
        _LOG.info("client %d came", number)
        try:
            Session(connection, self._function, self._memory).serve()
        except ClientGone as error:
            _LOG.info("client %d has gone: %s", number, error)
        except ProtocolError as error:
            _LOG.warning("client %d was made to leave: %s", number, error)
        except Exception:
            # A mistake of ours: it must not keep others from being served.
            _LOG.exception("client %d was made to leave by a mistake of the server", number)
        finally:
            self._connection = None
            self.gone += 1
