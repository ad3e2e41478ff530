"""Where the bytes of a client's memory are: in files that it hands over, or with the client only.

Whatever the client does, the card must neither be killed nor wait for ever.

* A file can shrink under a mapping, and whoever touches what is gone is killed. So only a file that
  is sealed against that is mapped, as a virtual machine's memory is by default; others are read and
  written by calls, which fail instead. Either way both sides see the same bytes.
* Only files that lie in memory are taken (memfd, tmpfs, hugetlbfs). Reading any other may take as
  long as the client likes, if the file system is its own.
* A file is opened and mapped once, however many maps lie in it. A virtual machine with an IOMMU
  maps its memory page by page, and there are neither descriptors nor mappings for so many.
"""

from __future__ import annotations

import abc
import errno
import fcntl
import mmap
import os
from typing import Final

import attrs

from emulator.vfio_user.connection import Connection, Refused
from emulator.vfio_user.protocol import Command, DmaAccess, DmaMap, ProtocolError

__all__ = ["Backing", "Files", "Messages"]

_MAX_FILES: Final = 256
"""Files that a client may have open at a time."""
_ANY_SIZE: Final = 1 << 63
_Key = tuple[int, int, int]
"""Device, inode and access mode of a file."""


class Backing(abc.ABC):
    """Where the bytes of a map are. Raises `OSError` if they cannot be moved."""

    @abc.abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset` of the map."""

    @abc.abstractmethod
    def write(self, offset: int, data: bytes) -> None:
        """Store all of `data` from `offset` on."""

    def close(self) -> None:  # noqa: B027 - messages have nothing to let go of
        """Let go of them."""


@attrs.define(eq=False)
class Messages(Backing):
    """Memory that only the client reaches.

    Args:
        connection: The way to it.
        address: The bus address at which the map begins.
        most: Bytes that one message moves.
    """

    _connection: Connection
    _address: int
    _most: int

    def read(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`. Raises `ProtocolError` if others come."""
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
        """Store all of `data` from `offset` on."""
        for start in range(0, len(data), self._most):
            part = data[start : start + self._most]
            # The answer's body, if there is one, repeats what was asked.
            self._ask(Command.DMA_WRITE, DmaAccess(self._address + offset + start, len(part), part))

    def _ask(self, command: Command, body: DmaAccess) -> bytes:
        try:
            return self._connection.ask(command, body)
        except Refused as error:
            raise OSError(error.errno, str(error)) from error


# Files


@attrs.define(eq=False)
class _File(abc.ABC):
    """A file, with all maps that lie in it.

    Attributes:
        size: Bytes of it that can be reached.
        users: Number of these maps.
    """

    size: int
    users: int = attrs.field(default=0, init=False)

    @abc.abstractmethod
    def read(self, start: int, size: int) -> bytes: ...

    @abc.abstractmethod
    def write(self, start: int, data: bytes) -> None: ...

    @abc.abstractmethod
    def close(self) -> None: ...


@attrs.define(eq=False)
class _Mapped(_File):
    """A file that cannot shrink, as memory of this process."""

    _memory: mmap.mmap

    def read(self, start: int, size: int) -> bytes:
        return self._memory[start : start + size]

    def write(self, start: int, data: bytes) -> None:
        self._memory[start : start + len(data)] = data

    def close(self) -> None:
        self._memory.close()


@attrs.define(eq=False)
class _ByCalls(_File):
    """A file that may shrink at any time, or that there is no room to map."""

    _fd: int

    def read(self, start: int, size: int) -> bytes:
        data = os.pread(self._fd, size, start)
        if len(data) < size:
            raise _error(errno.EFAULT)
        return data

    def write(self, start: int, data: bytes) -> None:
        # A write past the end would make the file longer.
        if os.fstat(self._fd).st_size < start + len(data):
            raise _error(errno.EFAULT)
        if os.pwrite(self._fd, data, start) < len(data):
            raise _error(errno.EFAULT)

    def close(self) -> None:
        os.close(self._fd)


@attrs.frozen(eq=False)
class _InFile(Backing):
    """A part of a file."""

    _files: Files
    _key: _Key
    _file: _File
    _start: int

    def read(self, offset: int, size: int) -> bytes:
        return self._file.read(self._start + offset, size)

    def write(self, offset: int, data: bytes) -> None:
        self._file.write(self._start + offset, data)

    def close(self) -> None:
        self._files.let_go(self._key, self._file)


@attrs.define(eq=False)
class Files:
    """The files that a client has handed over and that maps lie in."""

    _known: dict[_Key, _File] = attrs.field(factory=dict, init=False)
    _open: int = attrs.field(default=0, init=False)

    def backing(self, fd: int, wanted: DmaMap) -> Backing:
        """The bytes that a map names in a file, whose descriptor stays the caller's.

        Raises:
            ProtocolError: The descriptor is not one of such memory.
            OSError: There is no room for another file.
        """
        seals = _seals(fd)
        status = os.fstat(fd)
        end = wanted.offset + wanted.size
        if end > status.st_size:
            raise ProtocolError(
                f"a map of {wanted.size} bytes at offset {wanted.offset} reaches past the end of a "
                f"file of {status.st_size} bytes"
            )
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        if access == os.O_WRONLY or (access == os.O_RDONLY and wanted.flags & DmaMap.WRITE):
            raise ProtocolError("the file descriptor of a map does not allow what the map allows")
        key = (status.st_dev, status.st_ino, access)
        file = self._known.get(key)
        if file is None or file.size < end:  # a file may have grown since it was mapped
            if self._open >= _MAX_FILES:
                raise _error(errno.ENOSPC)
            file = _opened(fd, status.st_size, access, seals)
            self._open += 1
            self._known[key] = file
        file.users += 1
        return _InFile(self, key, file, wanted.offset)

    def let_go(self, key: _Key, file: _File) -> None:
        """One map less lies in a file; one without maps is closed."""
        file.users -= 1
        if file.users:
            return
        if self._known[key] is file:
            del self._known[key]
        self._open -= 1
        file.close()


def _seals(fd: int) -> int:
    """The seals of a file. Asked first: it reaches no file system but those that know of seals."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ProtocolError(
            "the file descriptor of a map is not one of memory: a memfd, or a file of tmpfs or "
            "hugetlbfs"
        ) from error


def _opened(fd: int, size: int, access: int, seals: int) -> _File:
    if seals & fcntl.F_SEAL_SHRINK:
        writes = mmap.PROT_WRITE if access == os.O_RDWR else 0
        try:
            return _Mapped(size, mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | writes))
        except (OSError, ValueError, OverflowError):
            pass  # too large to be mapped, or sealed against being written
    return _ByCalls(_ANY_SIZE, os.dup(fd))


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
