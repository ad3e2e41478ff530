"""Bytes and numbers of packets: the pure part of the driver, free of memory and threads."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs

from impl.errors import CardError, InvalidArgumentError, PacketTooLongError
from impl.memory import Data
from impl.shield import interruptible
from model.layout import LIMITS, PACKET_SLOT, USER_HEADER, is_multicast

__all__ = [
    "ADDRESSED",
    "FIELDS",
    "HEADER",
    "Header",
    "Message",
    "Outgoing",
    "Packet",
    "Payload",
    "check_filter",
    "check_payload",
    "check_received",
    "check_word",
    "header_words",
    "index_of",
    "message_of",
    "outgoing",
    "pack_addressed",
    "pack_fields",
    "parse_message",
    "split",
    "unpack_header",
]

Payload: TypeAlias = Data | Sequence[Data]
"""The bytes of a packet: one buffer, or several that are sent one after the other."""

WORD_LIMIT: Final = 1 << 32
FIELDS: Final = PACKET_SLOT.part("length", "dest", "pointer")
"""What the host writes of a packet slot: from the lengths to the pointers. The source, which is the
card's own, is written as 0."""
ADDRESSED: Final = PACKET_SLOT.part("length", "dest", "src")
"""The beginning of it, up to the source; what follows is the same for all packets of a slot."""
HEADER: Final = PACKET_SLOT.part("pktlen", "dest", "src")
"""What the host reads of a receive slot, in one load: from the packet's length to its source."""

_MESSAGE: Final = USER_HEADER.codec
_MOST: Final = LIMITS.max_packet
_PAGE: Final = LIMITS.page_size
_ADDRESSED: Final = ADDRESSED.codec.pack

header_words: Final[Callable[[Data], tuple[int, int, int]]] = HEADER.codec.unpack
"""Length, destination and source of a packet: the `HEADER` bytes of its slot."""


@attrs.frozen
class Packet:
    """A packet that was received.

    Attributes:
        source: Hardware address of its sender.
        destination: Address that it was sent to: the card's own, or a multicast address.
        payload: 0 to 16384 bytes.
    """

    source: int
    destination: int
    payload: bytes


# These two are made for each packet, and a frozen one takes three times as long.


@attrs.define
class Outgoing:
    """A packet to be sent: its bytes lie in several buffers, one after the other.

    Attributes:
        destination: Address that it goes to.
        buffers: Where its bytes are.
        size: How many there are.
    """

    destination: int
    buffers: tuple[Data, ...]
    size: int


@attrs.define
class Header:
    """What the card says of a packet: untrusted until `check_received` has seen it."""

    length: int
    destination: int
    source: int


@attrs.frozen
class Message:
    """A packet as the character device takes it: the destination and the payload behind it."""

    destination: int
    payload: memoryview


def index_of(counter: int, slots: int) -> int:
    """The slot of request number `counter` on a ring of `slots` slots, a power of two."""
    return counter & (slots - 1)


def split(size: int) -> tuple[int, int, int, int]:
    """How many of `size` payload bytes (0 to 16384) each of the four page-sized buffers takes.

    The buffers are filled in order, none is left out before the last one used; one that is not
    used has length 0.
    """
    first = min(size, _PAGE)
    second = min(size - first, _PAGE)
    third = min(size - first - second, _PAGE)
    return first, second, third, size - first - second - third


def pack_fields(lengths: Sequence[int], destination: int, pointers: Sequence[int]) -> bytes:
    """The bytes of a packet slot from its lengths to its pointers."""
    return FIELDS.codec.pack(*lengths, destination, *pointers)


def pack_addressed(size: int, destination: int) -> bytes:
    """The bytes of a packet slot from its lengths, of a payload, to its source, which is 0."""
    if size <= _PAGE:
        return _ADDRESSED(size, 0, 0, 0, destination, 0)
    return _ADDRESSED(*split(size), destination, 0)


def unpack_header(data: Data) -> Header:
    """What the card wrote of a packet: the `HEADER` bytes of its slot."""
    return Header(*header_words(data))


# Checks


def check_word(value: int, what: str) -> int:
    """`value` if it is a number of 32 bits. Raises `InvalidArgumentError` otherwise.

    What is no whole number at all is a `TypeError`.
    """
    if not hasattr(value, "__index__"):
        raise TypeError(
            f"{what} is a number from 0 to 0xffffffff, not {value!r}{_as_number(value)}"
        )
    if not 0 <= value < WORD_LIMIT:
        raise InvalidArgumentError(f"{what} is a number from 0 to 0xffffffff, not {value:#x}")
    return value


def _as_number(value: object) -> str:
    """What may have been meant by a text in place of an address."""
    try:
        return f"; did you mean {int(str(value), 16):#x}?" if isinstance(value, str) else ""
    except ValueError:
        return ""


def check_payload(size: int) -> int:
    """`size` if a packet can carry so many bytes. Raises `PacketTooLongError` otherwise."""
    if size > _MOST:
        raise PacketTooLongError(f"a packet carries at most {_MOST} bytes, and {size} were given")
    return size


def check_received(length: int) -> int:
    """`length` if a slot's buffers hold so many bytes. Raises `CardError` otherwise."""
    if length > _MOST:
        raise CardError(
            f"the card announced a packet of {length} bytes, but a receive slot holds {_MOST}"
        )
    return length


def check_filter(mask: int, address: int) -> tuple[int, int]:
    """Mask and address if they make a multicast filter: bit 31 is set in both.

    Raises `InvalidArgumentError` otherwise.
    """
    check_word(mask, "a filter's mask")
    check_word(address, "a filter's address")
    if not is_multicast(mask & address):
        raise InvalidArgumentError(
            "a multicast filter has bit 31 set in mask and address, "
            f"and mask {mask:#010x}, address {address:#010x} were given"
        )
    return mask, address


# The character device's messages


@interruptible
def outgoing(destination: int, payload: Payload) -> Outgoing:
    """The packet that carries `payload`, one buffer or several.

    Raises:
        InvalidArgumentError: The destination does not fit 32 bits.
        PacketTooLongError: There are more bytes than a packet carries.
        TypeError: The destination is no number, or the payload is not made of bytes.
    """
    if type(payload) is bytes and type(destination) is int:
        size = len(payload)
        if size <= _MOST and 0 <= destination < WORD_LIMIT:
            # By far the most frequent, and good as it is.
            return Outgoing(destination, (payload,), size)
    parts = [payload] if isinstance(payload, bytes | bytearray | memoryview) else payload
    try:
        buffers = tuple(memoryview(part).cast("B") for part in parts)
    except TypeError as error:
        given: object = payload
        hint = "; a text becomes bytes by encode()" if isinstance(given, str) else ""
        raise TypeError(
            f"a payload is bytes, or a list of them, not {reprlib.repr(given)}{hint}"
        ) from error
    size = check_payload(sum(map(len, buffers)))
    return Outgoing(check_word(destination, "a destination"), buffers, size)


def parse_message(data: Data) -> Message:
    """What a message for the character device's `write` says: a 16-byte header and the payload.

    Raises:
        InvalidArgumentError: It is shorter than the header, or the header names another length.
        PacketTooLongError: The payload is longer than 16384 bytes.
    """
    view = memoryview(data).cast("B")
    if len(view) < USER_HEADER.size:
        raise InvalidArgumentError(
            f"a message begins with a header of {USER_HEADER.size} bytes, "
            f"and it has {len(view)} bytes"
        )
    payload = view[USER_HEADER.size :]
    check_payload(len(payload))
    _, destination, length = _MESSAGE.unpack(view[: USER_HEADER.size])
    if length != len(payload):
        raise InvalidArgumentError(
            f"the header announces {length} bytes of payload, and {len(payload)} follow"
        )
    return Message(destination, payload)


def message_of(packet: Packet) -> bytes:
    """The message that the character device's `read` gives for a packet."""
    header = _MESSAGE.pack(packet.source, packet.destination, len(packet.payload))
    return header + packet.payload
