"""Ductnet: a bus. Every packet reaches every station, its sender too."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

import attrs

from emulator.packet import NetPacket

__all__ = ["Ductnet", "Net", "Station", "Stations"]


class Station(Protocol):
    """Whatever listens on the net."""

    def deliver(self, packet: NetPacket) -> None:
        """A packet is on the net. Keep it or not, but do not wait for anything.

        It may be called from any thread, one packet after the other. Sending from here is allowed.
        """
        ...


class Net(Protocol):
    """What a card needs of a net."""

    def attach(self, station: Station) -> None:
        """Add a station."""
        ...

    def detach(self, station: Station) -> None:
        """Remove a station; a packet that is on the net just now may still reach it."""
        ...

    def send(self, packet: NetPacket) -> None:
        """Put a packet on the net. It may be delivered later."""
        ...


@attrs.define(eq=False)
class Stations:
    """Those who are attached to a net.

    Attributes:
        stations: Who they are. It is replaced and never changed in place.
    """

    stations: tuple[Station, ...] = attrs.field(default=(), init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def attach(self, station: Station) -> None:
        """Add a station."""
        with self._lock:
            self.stations = (*self.stations, station)

    def detach(self, station: Station) -> None:
        """Remove a station; a packet that is on the net just now may still reach it."""
        with self._lock:
            self.stations = tuple(other for other in self.stations if other is not station)


@attrs.define(eq=False)
class Ductnet(Stations):
    """A bus that any number of cards and services share, from any number of threads.

    All stations see all packets in the same order. One packet is on the bus at a time: what is sent
    meanwhile, by another thread or in answer to it, waits its turn.
    """

    _waiting: deque[NetPacket] = attrs.field(factory=deque, init=False, repr=False)
    _busy: bool = attrs.field(default=False, init=False)

    def send(self, packet: NetPacket) -> None:
        """Put a packet on the net. It may be delivered later, by whoever uses the net now."""
        with self._lock:
            self._waiting.append(packet)
            if self._busy:
                return
            self._busy = True
        while True:
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return
                packet = self._waiting.popleft()
                stations = self.stations
            try:
                for station in stations:
                    station.deliver(packet)
            except BaseException:
                # A broken station is its owner's business; the net goes on with the next packet.
                with self._lock:
                    self._busy = False
                raise
