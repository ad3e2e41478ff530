"""The messages of the vfio-user protocol as data: bytes in, bytes out, and nothing else.

A message is a header of 16 bytes and a body. Whatever arrives is checked here: a length, flag or
number that no correct client sends is a `ProtocolError`, and the client is to be ended. What a
correct client may send but this card does not grant is not decided here.

Numbers are little endian. The protocol says: as on the host, which amounts to the same wherever
virtual machines and this card have been seen together.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import attrs

__all__ = [
    "MAX_FDS",
    "MAX_TRANSFER",
    "Body",
    "Command",
    "DeviceInfo",
    "DmaAccess",
    "DmaMap",
    "DmaUnmap",
    "Empty",
    "Header",
    "IrqAction",
    "IrqData",
    "IrqInfo",
    "IrqSet",
    "ProtocolError",
    "RegionAccess",
    "RegionInfo",
    "Version",
    "parse",
    "parse_header",
]

MAX_TRANSFER: Final = 1 << 20
"""Bytes that one message may read or write, unless the peer wants fewer."""
MAX_FDS: Final = 8
"""File descriptors that may come with one message."""
_MAX_REQUEST: Final = 4096
"""Bytes of the longest request's body: what the largest region takes, and a long version string."""
_MAX_COUNT: Final = 1 << 64


class ProtocolError(Exception):
    """The peer sent what no correct peer sends; the message says what."""


class Command(enum.IntEnum):
    """What a message is about."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13


FROM_SERVER: Final = frozenset({Command.DMA_READ, Command.DMA_WRITE})
"""Commands that the server gives and the client answers."""


# The header

_HEADER: Final = struct.Struct("<HHIII")
_REPLY: Final = 0x1
_TYPE: Final = 0xF
_NO_REPLY: Final = 0x10
_ERROR: Final = 0x20


@attrs.frozen
class Header:
    """What stands before every body.

    Attributes:
        id: Chosen by the sender of a command, repeated in the reply.
        command: What it is about; may be a number that `Command` does not know.
        length: Bytes of the body.
        reply: It answers a command.
        no_reply: It is a command that wants no answer.
        error: It answers that the command failed.
        errno: Why, as an `errno` number.
    """

    size: ClassVar[int] = _HEADER.size

    id: int
    command: int
    length: int = 0
    reply: bool = False
    no_reply: bool = False
    error: bool = False
    errno: int = 0

    def pack(self) -> bytes:
        """Its bytes."""
        flags = self.reply * _REPLY | self.no_reply * _NO_REPLY | self.error * _ERROR
        return _HEADER.pack(self.id, self.command, _HEADER.size + self.length, flags, self.errno)

    def answer(self, length: int = 0, errno: int = 0) -> Header:
        """The header of the reply to this command: one with a body, or an error."""
        return Header(self.id, self.command, length, reply=True, error=bool(errno), errno=errno)

    def __str__(self) -> str:
        known = self.command in Command.__members__.values()
        name = Command(self.command).name if known else f"command {self.command}"
        return f"reply to {name}" if self.reply else name


def parse_header(data: bytes) -> Header:
    """The header that 16 bytes stand for, if a message of its length may be received.

    Raises:
        ProtocolError: No peer sends such a message.
    """
    number, command, size, flags, errno = _HEADER.unpack(data)
    kind = flags & _TYPE
    reply = kind == _REPLY
    if kind not in (0, _REPLY):
        raise ProtocolError(f"a message is a command or a reply (type 0 or 1), not of type {kind}")
    if flags & ~(_TYPE | _NO_REPLY | _ERROR):
        raise ProtocolError(f"the flags of a message are not known: {flags:#x}")
    if size < _HEADER.size:
        raise ProtocolError(f"a message has at least {_HEADER.size} bytes, not {size}")
    header = Header(
        number,
        command,
        size - _HEADER.size,
        reply=reply,
        no_reply=not reply and bool(flags & _NO_REPLY),
        error=reply and bool(flags & _ERROR),
        errno=errno,
    )
    limit = DmaAccess.codec.size + MAX_TRANSFER if reply else _MAX_REQUEST
    if header.length > limit:
        raise ProtocolError(
            f"the body of a message ({header}) has at most {limit} bytes, not {header.length}"
        )
    return header


# Bodies

BodyType = TypeVar("BodyType", bound="Body")


@attrs.frozen
class Body:
    """What follows a header: numbers of fixed widths, in the order of the attributes.

    A class whose last attribute is `data` ends with bytes of any number.
    """

    codec: ClassVar[struct.Struct] = struct.Struct("")
    ends_with_data: ClassVar[bool] = False

    @classmethod
    def unpack(cls: type[BodyType], data: bytes) -> BodyType:
        """The body that `data` stands for.

        Raises:
            ProtocolError: It cannot be one.
        """
        fixed = cls.codec.size
        if len(data) < fixed or (len(data) > fixed and not cls.ends_with_data):
            least = "at least " if cls.ends_with_data else ""
            raise ProtocolError(f"{cls.__name__} has {least}{fixed} bytes, not {len(data)}")
        tail = (data[fixed:],) if cls.ends_with_data else ()
        body = cls(*cls.codec.unpack_from(data), *tail)
        body.check()
        return body

    def pack(self) -> bytes:
        """Its bytes."""
        values = attrs.astuple(self, recurse=False)
        tail = values[-1] if self.ends_with_data else b""
        return self.codec.pack(*values[: len(values) - self.ends_with_data]) + bytes(tail)

    def check(self) -> None:
        """Raise `ProtocolError` if no correct peer sends these numbers."""

    def _check_argsz(self, argsz: int) -> None:
        if argsz < self.codec.size:
            raise ProtocolError(
                f"argsz of {type(self).__name__} is at least {self.codec.size}, not {argsz}"
            )


@attrs.frozen
class Empty(Body):
    """Nothing."""


@attrs.frozen
class Version(Body):
    """The protocol's version, and what the sender is capable of, as JSON that ends with NUL."""

    codec = struct.Struct("<HH")
    ends_with_data = True

    major: int
    minor: int
    data: bytes = b""

    @classmethod
    def of(cls, major: int, minor: int, capabilities: Mapping[str, object]) -> Version:
        """The version with these capabilities."""
        text = json.dumps({"capabilities": capabilities}, separators=(",", ":"))
        return cls(major, minor, text.encode() + b"\0")

    def check(self) -> None:
        """The text must be one, with numbers where numbers belong."""
        self.capability("max_data_xfer_size", MAX_TRANSFER, least=1)
        self.capability("max_msg_fds", 1, least=0)

    def capability(self, name: str, default: int, *, least: int) -> int:
        """The number that the sender gave for a capability, or the default.

        Raises:
            ProtocolError: It gave something else.
        """
        value = self._capabilities().get(name, default)
        if type(value) is not int or value < least:
            raise ProtocolError(f"{name} must be a number from {least} on")
        return value

    def _capabilities(self) -> dict[str, Any]:
        if not self.data:
            return {}
        if self.data[-1]:
            raise ProtocolError("the version's text does not end with NUL")
        try:
            text = json.loads(self.data[:-1])
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the version's text is not JSON") from error
        found = text.get("capabilities", {}) if isinstance(text, dict) else None
        if not isinstance(found, dict):
            raise ProtocolError("the version's text names no capabilities")
        return found


@attrs.frozen
class DmaMap(Body):
    """From now on the card may reach memory of the client.

    Attributes:
        argsz: Bytes of this body.
        flags: 1: the card may read; 2: it may write.
        offset: Where the memory begins in the file that comes along, if one does.
        address: Its bus address.
        size: Its bytes.
    """

    codec = struct.Struct("<IIQQQ")
    READ: ClassVar[int] = 1
    WRITE: ClassVar[int] = 2

    argsz: int
    flags: int
    offset: int
    address: int
    size: int

    def check(self) -> None:
        """Memory lies within 64 bits of addresses, and is something."""
        self._check_argsz(self.argsz)
        if self.flags & ~(self.READ | self.WRITE):
            raise ProtocolError(f"the flags of a map are not known: {self.flags:#x}")
        if not 0 < self.size <= _MAX_COUNT - self.address:
            raise ProtocolError(
                f"a map of {self.size} bytes at {self.address:#x} does not fit into 64 bits"
            )
        if self.offset + self.size > _MAX_COUNT >> 1:
            raise ProtocolError(f"no file has {self.size} bytes at offset {self.offset}")


@attrs.frozen
class DmaUnmap(Body):
    """From now on the card may not reach memory of the client any more.

    Attributes:
        argsz: Bytes of the longest reply that is wanted.
        flags: 2: all memory, address and size being 0.
        address: Its bus address.
        size: Its bytes.
    """

    codec = struct.Struct("<IIQQ")
    ALL: ClassVar[int] = 2

    argsz: int
    flags: int
    address: int
    size: int

    def check(self) -> None:
        """Memory lies within 64 bits of addresses."""
        self._check_argsz(self.argsz)
        if self.flags & ~self.ALL:
            raise ProtocolError(f"the flags of an unmap are not known: {self.flags:#x}")
        if self.flags and (self.address or self.size):
            raise ProtocolError("an unmap of all memory names neither address nor size")
        if self.size > _MAX_COUNT - self.address:
            raise ProtocolError(
                f"an unmap of {self.size} bytes at {self.address:#x} does not fit into 64 bits"
            )


@attrs.frozen
class DeviceInfo(Body):
    """What the device is: a PCI function (2) that can be reset (1), so many regions, interrupts."""

    codec = struct.Struct("<IIII")
    RESET: ClassVar[int] = 1
    PCI: ClassVar[int] = 2

    argsz: int
    flags: int = 0
    regions: int = 0
    irqs: int = 0

    def check(self) -> None:
        """There is room for the reply."""
        self._check_argsz(self.argsz)


@attrs.frozen
class RegionInfo(Body):
    """What a region is: readable (1), writable (2), so many bytes."""

    codec = struct.Struct("<IIIIQQ")
    READ: ClassVar[int] = 1
    WRITE: ClassVar[int] = 2

    argsz: int
    flags: int = 0
    index: int = 0
    cap_offset: int = 0
    size: int = 0
    offset: int = 0

    def check(self) -> None:
        """There is room for the reply."""
        self._check_argsz(self.argsz)


@attrs.frozen
class IrqInfo(Body):
    """What an interrupt type is: told by eventfd (1), maskable (2), masks itself (4), how many."""

    codec = struct.Struct("<IIII")
    EVENTFD: ClassVar[int] = 1
    MASKABLE: ClassVar[int] = 2
    AUTOMASKED: ClassVar[int] = 4

    argsz: int
    flags: int = 0
    index: int = 0
    count: int = 0

    def check(self) -> None:
        """There is room for the reply."""
        self._check_argsz(self.argsz)


class IrqData(enum.IntEnum):
    """What comes with an `IrqSet`."""

    NONE = 1
    BOOL = 2
    EVENTFD = 4


class IrqAction(enum.IntEnum):
    """What is to be done with interrupts."""

    MASK = 8
    UNMASK = 16
    TRIGGER = 32


@attrs.frozen
class IrqSet(Body):
    """What becomes of the interrupts `start` to `start + count - 1` of a type.

    Attributes:
        argsz: Bytes of this body.
        flags: One of `IrqData` and one of `IrqAction`.
        index: The type.
        start: The first one.
        count: How many.
        data: With `IrqData.BOOL`, a byte for each: whether it is meant.
    """

    codec = struct.Struct("<IIIII")
    ends_with_data = True

    argsz: int
    flags: int
    index: int
    start: int
    count: int
    data: bytes = b""

    @property
    def kind(self) -> IrqData:
        """What comes along."""
        return IrqData(self.flags & 7)

    @property
    def action(self) -> IrqAction:
        """What is to be done."""
        return IrqAction(self.flags & ~7)

    def check(self) -> None:
        """Exactly one kind of data and one action, and a byte for each interrupt or none."""
        self._check_argsz(self.argsz)
        try:
            kind, _ = self.kind, self.action
        except ValueError as error:
            raise ProtocolError(
                f"the flags of an interrupt setting must name one kind of data and one action, "
                f"not {self.flags:#x}"
            ) from error
        wanted = self.count if kind is IrqData.BOOL else 0
        if len(self.data) != wanted:
            raise ProtocolError(
                f"an interrupt setting of this kind ends with {wanted} bytes, not {len(self.data)}"
            )


@attrs.frozen
class RegionAccess(Body):
    """A read or write of a region, or the answer. What reads, and the answer to a write, carry no
    data."""  # noqa: D205, D209

    codec = struct.Struct("<QII")
    ends_with_data = True

    offset: int
    region: int
    count: int
    data: bytes = b""


@attrs.frozen
class DmaAccess(Body):
    """A read or write of the client's memory, or the answer."""

    codec = struct.Struct("<QQ")
    ends_with_data = True

    address: int
    count: int
    data: bytes = b""


_REQUESTS: Final[dict[int, type[Body]]] = {
    Command.VERSION: Version,
    Command.DMA_MAP: DmaMap,
    Command.DMA_UNMAP: DmaUnmap,
    Command.DEVICE_GET_INFO: DeviceInfo,
    Command.DEVICE_GET_REGION_INFO: RegionInfo,
    Command.DEVICE_GET_IRQ_INFO: IrqInfo,
    Command.DEVICE_SET_IRQS: IrqSet,
    Command.REGION_READ: RegionAccess,
    Command.REGION_WRITE: RegionAccess,
    Command.DEVICE_RESET: Empty,
}


def parse(command: int, data: bytes) -> Body | None:
    """The body of a client's command; None if there is no such command for a client to give.

    Raises:
        ProtocolError: The body cannot be one.
    """
    kind = _REQUESTS.get(command)
    if kind is None:
        return None
    body = kind.unpack(data)
    if isinstance(body, RegionAccess):
        wanted = body.count if command == Command.REGION_WRITE else 0
        if len(body.data) != wanted:
            raise ProtocolError(
                f"{Command(command).name} ends with {wanted} bytes, not {len(body.data)}"
            )
    return body
