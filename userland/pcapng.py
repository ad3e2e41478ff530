"""Packets in a file that tcpdump and Wireshark read: pcapng, as far as it takes.

The format is that of the IETF's draft-ietf-opsawg-pcapng. A frame is the header that programs read
and write (source, destination, length, nothing: 32 bits each, little endian) and the payload. Its
link type is the first of those for private use.
"""

from __future__ import annotations

import enum
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, final

from model.layout import LIMITS, USER_HEADER

__all__ = ["LINK_TYPE", "Capture", "Direction", "frame_block", "opening_blocks"]

LINK_TYPE: Final = 147
"""DLT_USER0."""
LONGEST: Final = USER_HEADER.size + LIMITS.max_packet

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_ENHANCED_PACKET: Final = 6
_MAGIC: Final = 0x1A2B3C4D
_UNKNOWN_LENGTH: Final = -1
_IF_NAME: Final = 2
_IF_RESOLUTION: Final = 9
_FRAME_FLAGS: Final = 2
_NANOSECONDS: Final = b"\x09"


class Direction(enum.IntEnum):
    """Which way a packet went, as pcapng has it."""

    RECEIVED = 1
    SENT = 2


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def opening_blocks(interface: str) -> bytes:
    """What a file begins with: a section, and the interface that frames are from."""
    section = struct.pack("<IHHq", _MAGIC, 1, 0, _UNKNOWN_LENGTH)
    options = _option(_IF_NAME, interface.encode()) + _option(_IF_RESOLUTION, _NANOSECONDS)
    options += _option(0, b"")
    described = struct.pack("<HHI", LINK_TYPE, 0, LONGEST) + options
    return _block(_SECTION, section) + _block(_INTERFACE, described)


def frame_block(frame: bytes, direction: Direction, nanoseconds: int) -> bytes:
    """A frame that passed at a time, in nanoseconds since 1970."""
    high, low = divmod(nanoseconds, 1 << 32)
    body = struct.pack("<IIIII", 0, high, low, len(frame), len(frame)) + _padded(frame)
    body += _option(_FRAME_FLAGS, struct.pack("<I", direction)) + _option(0, b"")
    return _block(_ENHANCED_PACKET, body)


@final
class Capture:
    """A file that packets are written to. Any number of threads may.

    Args:
        path: The file; one that is there already is replaced.
        interface: Where the packets are from.
        limit: Bytes after which it is renamed to PATH.1, replacing an older one, and begun anew;
            None: it grows.
        clock: Nanoseconds since 1970.

    Attributes:
        path: The file.
        descriptor: Its descriptor; -1 when it is closed.

    Raises:
        OSError: The file cannot be written, now or later.
    """

    def __init__(
        self,
        path: Path,
        interface: str,
        limit: int | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._opening = opening_blocks(interface)
        self._limit = limit
        self._clock = clock
        self._mutex = threading.Lock()
        self._size = 0
        self.descriptor = -1
        self._begin()

    def write(self, frame: bytes, direction: Direction) -> None:
        """Write one packet with its header. A frame is never split between two files."""
        with self._mutex:
            block = frame_block(frame, direction, self._clock())
            size = self._size + len(block)
            if self._limit is not None and size > self._limit and self._size > len(self._opening):
                os.close(self.descriptor)
                self.descriptor = -1
                self.path.replace(f"{self.path}.1")
                self._begin()
            self._put(block)

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self.descriptor >= 0:
                os.close(self.descriptor)
                self.descriptor = -1

    def _begin(self) -> None:
        # What passes may be nobody else's business.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, 0o600)
        self._size = 0
        self._put(self._opening)

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self.descriptor, left) :]
        self._size += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
