"""A member of a shared net: what a card is attached to instead of a net of its own process."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from typing import Final

from emulator.net import Stations
from emulator.packet import NetPacket
from emulator.shared_net.frames import MAX_FRAME, WELCOME, decode, encode
from emulator.shared_net.hub import Hub

__all__ = ["SharedNet"]

_LOG: Final = logging.getLogger(__name__)
_PATIENCE: Final = struct.pack("ll", 0, 50_000)
"""Seconds and microseconds that a packet may wait for the hub to read; it is lost then."""
_PAUSE: Final = 0.05
"""Seconds between two attempts to join."""
_WELCOME_COMES: Final = 1.0
"""Seconds that a hub has to let a member in."""
_FIRST: Final = 5.0
"""Seconds until whoever joins for the first time gives up."""


class SharedNet(Stations):
    """The net at a path, as the stations of this process see it (`emulator.net.Net`).

    Args:
        path: Where the processes meet. PATH.lock beside it says who is the hub.

    Attributes:
        lost: Packets of this process that never reached the hub.

    Raises:
        OSError: Nobody can meet there.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.lost = 0
        self._hub: Hub | None = None
        self._closed = threading.Event()
        try:
            self._socket = self._join(time.monotonic() + _FIRST)
        except BaseException:
            self._give_up_hub()
            raise
        self._thread = threading.Thread(target=self._run, name="ductnet", daemon=True)
        self._thread.start()

    @property
    def is_hub(self) -> bool:
        """Whether this process has the net."""
        return self._hub is not None

    def send(self, packet: NetPacket) -> None:
        """Put a packet on the net. It is lost if nobody reads it soon."""
        try:
            self._socket.send(encode(packet))
        except OSError:  # no hub, or one that is busy with something else
            self.lost += 1

    def close(self) -> None:
        """Leave the net."""
        with self._lock:
            self._closed.set()
            with contextlib.suppress(OSError):  # the hub was lost just now
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self._listen()
                self._socket.close()
                if not self._closed.is_set():
                    _LOG.warning("the hub of the net at %s was lost", self._path)
                    self._rejoin()
        finally:
            self._socket.close()
            self._give_up_hub()

    def _listen(self) -> None:
        """Hand on what comes from the hub, until it is lost."""
        while True:
            try:
                packet = decode(self._socket.recv(MAX_FRAME))
            except (OSError, ValueError):
                return
            for station in self.stations:
                station.deliver(packet)

    def _rejoin(self) -> None:
        while not self._closed.is_set():
            try:
                joined = self._join(time.monotonic())
            except OSError:
                self._closed.wait(_PAUSE)
                continue
            with self._lock:
                self._socket = joined
                if self._closed.is_set():
                    joined.shutdown(socket.SHUT_RDWR)
            _LOG.info("joined the net at %s again", self._path)
            return

    def _give_up_hub(self) -> None:
        if self._hub:
            self._hub.close()
            self._hub = None

    def _join(self, deadline: float) -> socket.socket:
        """Be the hub if nobody is, and connect to whoever is."""
        while True:
            if not self._hub:
                self._hub = Hub.claim(self._path)
            joined = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            joined.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
            try:
                joined.connect(self._path)
                # Until the hub has let it in it would miss what others send.
                joined.settimeout(_WELCOME_COMES)
                if joined.recv(MAX_FRAME) != WELCOME:
                    raise ConnectionResetError(f"the hub of the net at {self._path} was lost")
                joined.settimeout(None)
                return joined
            except OSError:
                joined.close()
                # Who has just become the hub has no socket yet.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE)
