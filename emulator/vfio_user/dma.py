"""The client's memory as the card reaches it.

A client names its memory by bus address, map by map. With a file descriptor, the card reaches that
memory in the file itself; without one, it asks the client to move each run of bytes.

All calls, of the card and of the client, must come with the card standing still in between:
`RunningCard.held` is that lock. So memory that was unmapped is not touched any more when `unmap`
returns.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left, bisect_right
from typing import Final

import attrs

from emulator.bus import BusError
from emulator.counters import Counters
from emulator.vfio_user.backing import Backing, Files, Messages
from emulator.vfio_user.connection import ClientGone, Connection
from emulator.vfio_user.protocol import MAX_TRANSFER, DmaMap, DmaUnmap, ProtocolError

__all__ = ["ClientMemory"]

_MAX_MAPS: Final = 65535
"""Maps that a client may have at a time; the protocol's number."""


@attrs.frozen(eq=False)
class _Map:
    address: int
    size: int
    flags: int
    backing: Backing

    @property
    def end(self) -> int:
        return self.address + self.size


def _address(known: _Map) -> int:
    return known.address


def _end(known: _Map) -> int:
    return known.end


@attrs.define(eq=False)
class ClientMemory:
    """The memory that a client lets the card reach (`emulator.bus.Dma`).

    It begins with no client, and reaches nothing.

    Attributes:
        counters: Where the card's accesses are counted.
    """

    counters: Counters = attrs.field(factory=Counters)
    _maps: list[_Map] = attrs.field(factory=list, init=False, repr=False)
    _files: Files = attrs.field(factory=Files, init=False, repr=False)
    _connection: Connection | None = attrs.field(default=None, init=False, repr=False)
    _most: int = attrs.field(default=MAX_TRANSFER, init=False)

    # What the client says

    def connect(self, connection: Connection, most: int = MAX_TRANSFER) -> None:
        """Reach memory of this client from now on.

        Args:
            connection: The way to it.
            most: Bytes that it moves in one message.
        """
        self._connection = connection
        self._most = min(most, MAX_TRANSFER)

    def disconnect(self) -> None:
        """Reach nothing any more."""
        for known in self._maps:
            known.backing.close()
        self._maps.clear()
        self._connection = None

    def map(self, wanted: DmaMap, fd: int | None = None) -> None:
        """Reach what the client names, in a file if there is a descriptor. It stays the caller's.

        Raises:
            OSError: It overlaps what is mapped (EEXIST), or there is no room for it.
            ProtocolError: The descriptor is not one of such memory.
        """
        place = bisect_right(self._maps, wanted.address, key=_address)
        before, after = self._maps[max(place - 1, 0) : place], self._maps[place : place + 1]
        overlaps = any(known.end > wanted.address for known in before)
        if overlaps or any(known.address < wanted.address + wanted.size for known in after):
            raise _error(errno.EEXIST)
        if len(self._maps) >= _MAX_MAPS:
            raise _error(errno.ENOSPC)
        backing: Backing
        if fd is not None:
            backing = self._files.backing(fd, wanted)
        elif self._connection:
            backing = Messages(self._connection, wanted.address, self._most)
        else:
            raise _error(errno.ENOTCONN)
        self._maps.insert(place, _Map(wanted.address, wanted.size, wanted.flags, backing))

    def unmap(self, wanted: DmaUnmap) -> None:
        """Reach nothing in a range any more; nothing needs to have been mapped there.

        Raises:
            OSError: The range cuts a map in two (EINVAL).
        """
        start, end = wanted.address, wanted.address + wanted.size
        if wanted.flags & DmaUnmap.ALL:
            start, end = 0, 1 << 64
        first = bisect_right(self._maps, start, key=_end)
        met = self._maps[first : bisect_left(self._maps, end, key=_address)]
        if met and (met[0].address < start or end < met[-1].end):
            raise _error(errno.EINVAL)
        del self._maps[first : first + len(met)]
        for known in met:
            known.backing.close()

    # What the card says (`emulator.bus.Dma`)

    def read(self, address: int, size: int) -> bytes:
        """The `size` bytes from `address` on."""
        self.counters.count_dma_read(size)
        pieces = self._pieces(address, size, DmaMap.READ)
        try:
            return b"".join(known.backing.read(offset, count) for known, offset, count in pieces)
        except (OSError, ClientGone, ProtocolError) as error:
            raise self._failed(error, address, size) from error

    def write(self, address: int, data: bytes) -> None:
        """Store all of `data` from `address` on. A client that refuses a part may have the rest."""
        self.counters.count_dma_write(len(data))
        done = 0
        pieces = self._pieces(address, len(data), DmaMap.WRITE)
        try:
            for known, offset, count in pieces:
                known.backing.write(offset, data[done : done + count])
                done += count
        except (OSError, ClientGone, ProtocolError) as error:
            raise self._failed(error, address, len(data)) from error

    def _pieces(self, address: int, size: int, right: int) -> list[tuple[_Map, int, int]]:
        """Where the bytes are: map, offset in it and length of each piece, in order."""
        pieces = []
        place = bisect_right(self._maps, address, key=_address) - 1
        at, end = address, address + size
        while at < end:
            known = self._maps[place] if 0 <= place < len(self._maps) else None
            if not known or not known.address <= at < known.end or not known.flags & right:
                raise BusError(address, size)
            count = min(end, known.end) - at
            pieces.append((known, at - known.address, count))
            at += count
            place += 1
        return pieces

    def _failed(self, error: Exception, address: int, size: int) -> BusError:
        if isinstance(error, ProtocolError) and self._connection:
            self._connection.end(error)
        return BusError(address, size)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
