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
import threading
import time
from collections import deque
from typing import Final

import attrs

from emulator.net import Ductnet
from emulator.packet import Packet
from emulator.services import attach_services
from emulator.shared_net.frames import MAX_FRAME, WELCOME, decode, encode
from emulator.unix_socket import ListeningSocket

__all__ = ["Hub"]

_LOG: Final = logging.getLogger(__name__)
_WAITING: Final = 1024
"""Packets that may wait for one member."""
_PAUSE: Final = 0.1
"""Seconds to wait when the system has no room for another connection."""


@attrs.define(eq=False)
class _Member:
    """A member, as a station of the hub's net."""

    socket: socket.socket
    selector: selectors.BaseSelector
    _waiting: deque[bytes] = attrs.field(factory=deque, init=False)

    def deliver(self, packet: Packet) -> None:
        """Send the packet to the member, or keep it until there is room."""
        if len(self._waiting) < _WAITING:
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


class Hub:
    """The hub at a path, running. `claim` makes one."""

    def __init__(self, path: str, lock: int) -> None:
        self._lock = lock
        self._net = Ductnet()
        attach_services(self._net)
        self._selector = selectors.DefaultSelector()
        self._listening = ListeningSocket.at(path, socket.SOCK_SEQPACKET)
        self._listener = self._listening.socket
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="ductnet hub", daemon=True)
        self._thread.start()

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

    def close(self) -> None:
        """Be the hub no more: members find that it is lost, and one of them takes its place."""
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            # First the socket, then the lock: who has the lock puts a socket of its own there.
            # Members come last, since each may want to be the next hub.
            self._listening.close()
            os.close(self._lock)
            for key in list(self._selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            self._selector.close()

    def _turn(self) -> bool:
        """Do what there is to be done. False if that is to end."""
        for key, events in self._selector.select():
            if key.fileobj is self._woken:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.data, _Member):
                if events & selectors.EVENT_WRITE:
                    key.data.flush()
                if events & selectors.EVENT_READ:
                    self._receive(key.data)
        return True

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:  # it has left again
            return
        except OSError as error:
            _LOG.error("no member can join the net: %s", error.strerror)
            time.sleep(_PAUSE)
            return
        client.setblocking(False)
        member = _Member(client, self._selector)
        self._selector.register(client, selectors.EVENT_READ, member)
        self._net.attach(member)
        with contextlib.suppress(OSError):  # it has left again
            client.send(WELCOME)

    def _receive(self, member: _Member) -> None:
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
        self._selector.unregister(member.socket)
        member.socket.close()
