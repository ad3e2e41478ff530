"""The client's memory as the card reaches it.

A client names its memory by bus address. With a file descriptor, the card reaches that memory in
the file itself; without one, it asks the client to move each run of bytes.

A file can shrink under a mapping, and whoever touches what is gone is killed. So only a file that
is sealed against that is mapped, as a virtual machine's memory is by default; others are read and
written by calls, which fail instead. Either way both sides see the same bytes.

All calls, of the card and of the client, must come with the card standing still in between:
`RunningCard.held` is that lock. So memory that was unmapped is not touched any more when `unmap`
returns.
"""

from __future__ import annotations

import abc
import errno
import fcntl
import mmap
import os
import stat
from bisect import bisect_right
from typing import Final

import attrs

from emulator.bus import BusError
from emulator.counters import Counters
from emulator.vfio_user.connection import ClientGone, Connection, Refused
from emulator.vfio_user.protocol import (
    MAX_TRANSFER,
    Command,
    DmaAccess,
    DmaMap,
    DmaUnmap,
    ProtocolError,
)

__all__ = ["ClientMemory"]

_MAX_MAPS: Final = 65535
"""Maps that a client may have at a time; the protocol's number."""


class _Backing(abc.ABC):
    """Where the bytes of a map are. Raises `OSError` if they cannot be moved."""

    @abc.abstractmethod
    def read(self, offset: int, size: int) -> bytes: ...

    @abc.abstractmethod
    def write(self, offset: int, data: bytes) -> None: ...

    def close(self) -> None:  # noqa: B027 - most have something to let go of, messages have not
        """Let go of them."""


@attrs.frozen(eq=False)
class _Mapped(_Backing):
    """A file that cannot shrink, as memory of this process."""

    _memory: mmap.mmap

    def read(self, offset: int, size: int) -> bytes:
        return self._memory[offset : offset + size]

    def write(self, offset: int, data: bytes) -> None:
        self._memory[offset : offset + len(data)] = data

    def close(self) -> None:
        self._memory.close()


@attrs.frozen(eq=False)
class _File(_Backing):
    """A file that may shrink at any time."""

    _fd: int
    _start: int

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, self._start + offset)
        if len(data) < size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def write(self, offset: int, data: bytes) -> None:
        end = self._start + offset + len(data)
        # A write past the end would make the file longer.
        if os.fstat(self._fd).st_size < end:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        if os.pwrite(self._fd, data, self._start + offset) < len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def close(self) -> None:
        os.close(self._fd)


@attrs.define(eq=False)
class _Messages(_Backing):
    """Memory that only the client reaches."""

    _connection: Connection
    _address: int
    _most: int

    def read(self, offset: int, size: int) -> bytes:
        done = bytearray()
        while len(done) < size:
            count = min(size - len(done), self._most)
            asked = DmaAccess(self._address + offset + len(done), count)
            answer = DmaAccess.unpack(self._ask(Command.DMA_READ, asked))
            if (answer.address, answer.count, len(answer.data)) != (asked.address, count, count):
                raise ProtocolError(f"{count} bytes were to be read, and others came")
            done += answer.data
        return bytes(done)

    def write(self, offset: int, data: bytes) -> None:
        for start in range(0, len(data), self._most):
            part = data[start : start + self._most]
            # The answer's body, if there is one, repeats what was asked.
            self._ask(Command.DMA_WRITE, DmaAccess(self._address + offset + start, len(part), part))

    def _ask(self, command: Command, body: DmaAccess) -> bytes:
        try:
            return self._connection.ask(command, body)
        except Refused as error:
            raise OSError(error.errno, str(error)) from error


@attrs.frozen(eq=False)
class _Map:
    address: int
    size: int
    flags: int
    backing: _Backing

    @property
    def end(self) -> int:
        return self.address + self.size


@attrs.define(eq=False)
class ClientMemory:
    """The memory that a client lets the card reach (`emulator.bus.Dma`).

    It begins with no client, and reaches nothing.

    Attributes:
        counters: Where the card's accesses are counted.
    """

    counters: Counters = attrs.field(factory=Counters)
    _maps: list[_Map] = attrs.field(factory=list, init=False, repr=False)
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
        place = bisect_right(self._maps, wanted.address, key=lambda known: known.address)
        before, after = self._maps[max(place - 1, 0) : place], self._maps[place : place + 1]
        overlaps = any(known.end > wanted.address for known in before)
        if overlaps or any(known.address < wanted.address + wanted.size for known in after):
            raise _error(errno.EEXIST)
        if len(self._maps) >= _MAX_MAPS:
            raise _error(errno.ENOSPC)
        if fd is not None:
            backing = _backing_of(fd, wanted)
        elif self._connection:
            backing = _Messages(self._connection, wanted.address, self._most)
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
        met = [known for known in self._maps if known.address < end and start < known.end]
        if any(known.address < start or end < known.end for known in met):
            raise _error(errno.EINVAL)
        if met:
            self._maps = [known for known in self._maps if known not in met]
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
        place = bisect_right(self._maps, address, key=lambda known: known.address) - 1
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


def _backing_of(fd: int, wanted: DmaMap) -> _Backing:
    """The bytes that a map names in a file."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ProtocolError("the file descriptor of a map is not one of a file or of memory")
    if wanted.offset + wanted.size > status.st_size:
        raise ProtocolError(
            f"a map of {wanted.size} bytes at offset {wanted.offset} reaches past the end of a "
            f"file of {status.st_size} bytes"
        )
    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    if access == os.O_WRONLY or (access == os.O_RDONLY and wanted.flags & DmaMap.WRITE):
        raise ProtocolError("the file descriptor of a map does not allow what the map allows")
    if wanted.offset % mmap.ALLOCATIONGRANULARITY == 0 and _cannot_shrink(fd):
        protection = mmap.PROT_READ
        if wanted.flags & DmaMap.WRITE:
            protection |= mmap.PROT_WRITE
        try:
            return _Mapped(
                mmap.mmap(fd, wanted.size, mmap.MAP_SHARED, protection, offset=wanted.offset)
            )
        except (ValueError, OverflowError) as error:
            raise _error(errno.EINVAL) from error
    return _File(os.dup(fd), wanted.offset)


def _cannot_shrink(fd: int) -> bool:
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # a file that cannot be sealed
        return False
