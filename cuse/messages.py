"""The structures that travel over /dev/cuse, byte for byte (Linux, include/uapi/linux/fuse.h).

A request is an `InHeader` and, by its opcode, one of the structures whose names end with `In`, and
maybe data. A reply is an `OutHeader`, a structure whose name ends with `Out`, and maybe data; one
that reports an error is the header alone. All numbers are in the machine's byte order, and the
machines that Linux runs on today are little endian.
"""

from __future__ import annotations

import enum
import struct
from typing import ClassVar, Final, Self

import attrs

__all__ = [
    "IN_HEADER_SIZE",
    "NOTIFY_POLL",
    "CuseInitIn",
    "CuseInitOut",
    "FileFlag",
    "InHeader",
    "InitFlag",
    "InterruptIn",
    "IoctlIn",
    "IoctlOut",
    "MalformedError",
    "Message",
    "NotifyPollOut",
    "Opcode",
    "OpenIn",
    "OpenOut",
    "OutHeader",
    "PollFlag",
    "PollIn",
    "PollOut",
    "ReadIn",
    "ReleaseIn",
    "WriteIn",
    "WriteOut",
]


class MalformedError(Exception):
    """Bytes that are not the message that they should be. Says which and why."""


class Opcode(enum.IntEnum):
    """What a request asks for. The kernel sends a CUSE server no others."""

    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    INTERRUPT = 36
    IOCTL = 39
    POLL = 40
    CUSE_INIT = 4096


class FileFlag(enum.IntFlag):
    """What a server says of a file that it opened."""

    DIRECT_IO = 1 << 0
    NONSEEKABLE = 1 << 2


class InitFlag(enum.IntFlag):
    """What kernel and server agree on."""

    UNRESTRICTED_IOCTL = 1 << 0


class PollFlag(enum.IntFlag):
    """What else is asked for when a file is polled."""

    SCHEDULE_NOTIFY = 1 << 0


NOTIFY_POLL: Final = 1
"""In place of an error in the header of what is not a reply: somebody should poll again."""


class Message:
    """A structure.

    Attributes:
        FORMAT: Its fields in the order of the attributes, and the bytes in between.
    """

    FORMAT: ClassVar[struct.Struct]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The structure that `data` begins with. Raises `MalformedError` if it is too short."""
        if len(data) < cls.FORMAT.size:
            raise MalformedError(
                f"{cls.__name__} has {cls.FORMAT.size} bytes, and {len(data)} came"
            )
        return cls(*cls.FORMAT.unpack_from(data))

    def encode(self) -> bytes:
        """Its bytes. Raises `struct.error` if a field's value does not fit the field."""
        return self.FORMAT.pack(*attrs.astuple(self))  # type: ignore[arg-type]


@attrs.frozen
class InHeader(Message):
    """What every request begins with.

    Attributes:
        length: Bytes of the request, this header included.
        opcode: What is asked for.
        unique: The request's number, which the reply repeats.
        node: Nothing, for devices.
        uid, gid, pid: Who asks.
    """

    FORMAT = struct.Struct("<IIQQIII4x")
    length: int
    opcode: int
    unique: int
    node: int = 0
    uid: int = 0
    gid: int = 0
    pid: int = 0


IN_HEADER_SIZE: Final = InHeader.FORMAT.size


@attrs.frozen
class OutHeader(Message):
    """What every reply begins with.

    Attributes:
        length: Bytes of the reply, this header included.
        error: 0, or an errno made negative; for what is not a reply, its kind.
        unique: The number of the request; 0 for what is not a reply.
    """

    FORMAT = struct.Struct("<IiQ")
    length: int
    error: int
    unique: int


@attrs.frozen
class CuseInitIn(Message):
    """The kernel's offer: the version of the protocol that it speaks, and `InitFlag`s."""

    FORMAT = struct.Struct("<II4xI")
    major: int
    minor: int
    flags: int


@attrs.frozen
class CuseInitOut(Message):
    """The server's answer; `NAME=VALUE` strings follow, each ended by a zero byte.

    Attributes:
        major, minor: The version that is spoken.
        flags: `InitFlag`s.
        max_read, max_write: Bytes of the longest READ and WRITE; longer calls become several.
        device_major, device_minor: The device's number; 0 and 0: the kernel chooses.
    """

    FORMAT = struct.Struct("<II4xIIIII40x")
    major: int
    minor: int
    flags: int
    max_read: int
    max_write: int
    device_major: int = 0
    device_minor: int = 0


@attrs.frozen
class OpenIn(Message):
    """Open the device; `flags` as open(2) has them."""

    FORMAT = struct.Struct("<II")
    flags: int
    open_flags: int = 0


@attrs.frozen
class OpenOut(Message):
    """The number that the server gave the open file, and `FileFlag`s."""

    FORMAT = struct.Struct("<QI4x")
    file: int
    open_flags: int = 0


@attrs.frozen
class ReleaseIn(Message):
    """The last descriptor of an open file is closed."""

    FORMAT = struct.Struct("<QIIQ")
    file: int
    flags: int = 0
    release_flags: int = 0
    lock_owner: int = 0


@attrs.frozen
class ReadIn(Message):
    """Read at most `size` bytes; `flags` are the file's status flags at this moment.

    `offset` counts within one call: it is not 0 where an earlier READ of the same call was answered
    in full and the caller's buffer has room for more.
    """

    FORMAT = struct.Struct("<QQIIQI4x")
    file: int
    offset: int
    size: int
    read_flags: int = 0
    lock_owner: int = 0
    flags: int = 0


@attrs.frozen
class WriteIn(Message):
    """Write the `size` bytes that follow; the rest is as in `ReadIn`."""

    FORMAT = struct.Struct("<QQIIQI4x")
    file: int
    offset: int
    size: int
    write_flags: int = 0
    lock_owner: int = 0
    flags: int = 0


@attrs.frozen
class WriteOut(Message):
    """How many bytes were written."""

    FORMAT = struct.Struct("<I4x")
    size: int


@attrs.frozen
class IoctlIn(Message):
    """An ioctl; the `in_size` bytes that the caller's argument points to follow.

    Attributes:
        file: Of which open file.
        flags: About callers of 32 bits and the like.
        command: The whole ioctl number.
        argument: The caller's third argument.
        in_size: Bytes that the caller gives: the number's size, if its direction says so.
        out_size: Bytes that the caller takes.
    """

    FORMAT = struct.Struct("<QIIQII")
    file: int
    flags: int
    command: int
    argument: int
    in_size: int = 0
    out_size: int = 0


@attrs.frozen
class IoctlOut(Message):
    """What the ioctl returns; the bytes that the caller takes follow."""

    FORMAT = struct.Struct("<iIII")
    result: int = 0
    flags: int = 0
    in_iovs: int = 0
    out_iovs: int = 0


@attrs.frozen
class PollIn(Message):
    """Which of `events` are so?

    Attributes:
        file: Which open file.
        handle: What a notification names.
        flags: `PollFlag`s: whether a notification is wanted when more becomes so.
        events: As poll(2) has them.
    """

    FORMAT = struct.Struct("<QQII")
    file: int
    handle: int
    flags: int = 0
    events: int = 0


@attrs.frozen
class PollOut(Message):
    """The events that are so."""

    FORMAT = struct.Struct("<I4x")
    events: int


@attrs.frozen
class InterruptIn(Message):
    """A signal came for whoever waits for the answer to request `unique`."""

    FORMAT = struct.Struct("<Q")
    unique: int


@attrs.frozen
class NotifyPollOut(Message):
    """Whoever polls the file with this handle should poll again."""

    FORMAT = struct.Struct("<Q")
    handle: int
