"""The hub: it has the net, and everything that a member sends goes to all members.

Who is the hub is decided by a lock on the file PATH.lock, which the system takes back from a
process that ends, however it ends. So there is one hub at a time, and a socket that an earlier one
left at PATH is nobody's. The file itself stays.

One thread does everything. A member that does not read keeps nobody waiting: so many packets wait
for it, and what comes on top of them is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import socket
from collections import deque
from typing import Final, final

import attrs

from emulator.net import Ductnet
from emulator.packet import NetPacket
from emulator.services import attach_services
from emulator.shared_net.frames import MAX_FRAME, WELCOME, decode, encode
from emulator.socket_server import SocketServer
from emulator.unix_socket import ListeningSocket

__all__ = ["Hub"]

_LOG: Final = logging.getLogger(__name__)
WAITING: Final = 1024
"""Packets that may wait for one member."""


@attrs.define(eq=False)
class _Member:
    """A member, as a station of the hub's net."""

    socket: socket.socket
    selector: selectors.BaseSelector
    _waiting: deque[bytes] = attrs.field(factory=deque, init=False)

    def deliver(self, packet: NetPacket) -> None:
        """Send the packet to the member, or keep it until there is room."""
        if len(self._waiting) < WAITING:
            self._waiting.append(encode(packet))
            self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        try:
            while self._waiting:
                self.socket.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            pass
        except OSError:  # it has gone, which shows when it is read from
            self._waiting.clear()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        self.selector.modify(self.socket, events, self)


@final
class Hub(SocketServer):
    """The hub at a path, running until `close`. `claim` makes one.

    When it is closed, members find that it is lost, and one of them takes its place.
    """

    def __init__(self, path: str, lock: int) -> None:
        super().__init__(ListeningSocket.at(path, socket.SOCK_SEQPACKET), "ductnet hub")
        self._lock = lock
        self._net = Ductnet()
        attach_services(self._net)
        self.start()

    @classmethod
    def claim(cls, path: str) -> Hub | None:
        """Be the hub at `path`; None if somebody is.

        Raises:
            OSError: There can be none.
        """
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, lock)
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError:
            os.close(lock)
            raise

    def not_listening(self) -> None:
        """Let others be the hub.

        Who has the lock puts a socket of its own at the path, so the old one goes before; and
        members go after, since each may want to be the next hub.
        """
        os.close(self._lock)

    def came(self, client: socket.socket) -> None:
        """Let a member in."""
        member = _Member(client, self.selector)
        self.keep(client, member)
        self._net.attach(member)
        with contextlib.suppress(OSError):  # it has left again
            client.send(WELCOME)

    def writable(self, member: _Member, /) -> None:
        """Send what waits for a member."""
        member.flush()

    def readable(self, member: _Member, /) -> None:
        """Hand on what a member sends, or see that it has gone."""
        try:
            frame = member.socket.recv(MAX_FRAME + 1)
        except BlockingIOError:
            return
        except OSError:
            frame = b""
        try:
            if frame:
                self._net.send(decode(frame))
                return
        except ValueError as error:
            _LOG.warning("a member was made to leave the net: %s", error)
        self._net.detach(member)
        self.let_go(member.socket)
