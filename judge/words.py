"""What an access to DMA memory touches, in the words of the specification.

The specification knows an owner byte, the fields and the payload of a slot. An access of the driver
is to one of these words or to a part of it, and a bulk access to a payload may be to two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from engine.weak_memory import lateness_name, speculation_name
from impl.memory import Purpose
from impl.packet import FIELDS, HEADER
from model.layout import COMMAND_SLOT, LIMITS, PACKET_SLOT
from model.words import WORDS

__all__ = [
    "BUFFER_SIZE",
    "EARLY_RULES",
    "LATE_RULES",
    "OWNERS",
    "Piece",
    "StrayAccessError",
    "touched",
]

BUFFER_SIZE: Final = LIMITS.buffers * LIMITS.page_size
"""Bytes of buffers that belong to a packet slot."""
ERROR: Final = COMMAND_SLOT["error"].offset
OWNERS: Final = {
    Purpose.COMMAND_RING: "cmd.owner",
    Purpose.TRANSMIT_RING: "tx.owner",
    Purpose.RECEIVE_RING: "rx.owner",
}
"""The word that the first byte of each ring's slots is."""


EARLY_RULES: Final = {
    word.path: speculation_name(word) for word in WORDS if word.speculation is not None
}
"""Words that may be loaded early, and the rule that says when."""
LATE_RULES: Final = {word.path: lateness_name(word) for word in WORDS if word.lateness is not None}
"""Words that may be loaded late, and the rule that says how long."""


class StrayAccessError(Exception):
    """An access to something that is no word of a slot, or that nobody may touch."""


@attrs.frozen
class Piece:
    """A part of an access: which words of which slot it belongs to, and its bytes in the region."""

    words: tuple[str, ...]
    slot: int
    offset: int
    size: int


def touched(
    purpose: Purpose, offset: int, size: int, *, stores: bool, payload: int
) -> Iterator[Piece]:
    """The words that an access touches.

    Args:
        purpose: What the memory is for that is accessed.
        offset: First byte of the access in the region.
        size: Number of bytes.
        stores: Whether it is a store.
        payload: Bytes of the packet that the access belongs to, where it is one to a buffer.

    Raises:
        StrayAccessError: It is none that the specification knows.
    """
    match purpose:
        case Purpose.TRANSMIT_BUFFERS | Purpose.RECEIVE_BUFFERS:
            if stores != (purpose is Purpose.TRANSMIT_BUFFERS):
                raise StrayAccessError("the host writes only transmit buffers, reads only receive")
            yield from _payload("tx" if stores else "rx", offset, size, payload)
        case Purpose.COMMAND_RING:
            yield _slot_piece(purpose, offset, size, COMMAND_SLOT.size, stores=stores)
        case _:
            yield _slot_piece(purpose, offset, size, PACKET_SLOT.size, stores=stores)


def _slot_piece(purpose: Purpose, offset: int, size: int, slot_size: int, *, stores: bool) -> Piece:
    slot, begin = divmod(offset, slot_size)
    end = begin + size
    word = ""
    if end > slot_size:
        raise StrayAccessError(f"an access to the {purpose.value} goes beyond slot {slot}")
    if begin == 0 and size == 1:
        word = OWNERS[purpose]
    elif purpose is Purpose.COMMAND_RING:
        if stores and begin >= 1:
            word = "cmd.fields"
        elif not stores and begin == ERROR and size == 1:
            word = "cmd.status"
    elif stores and begin >= FIELDS.offset:
        word = "tx.fields" if purpose is Purpose.TRANSMIT_RING else "rx.pointer"
    elif (
        not stores
        and purpose is Purpose.RECEIVE_RING
        and begin >= HEADER.offset
        and end <= HEADER.offset + HEADER.size
    ):
        word = "rx.header"
    if not word:
        what = "store to" if stores else "load from"
        raise StrayAccessError(
            f"{what} bytes {begin} to {end - 1} of slot {slot} of the {purpose.value}"
        )
    return Piece((word,), slot, offset, size)


def _payload(ring: str, offset: int, size: int, payload: int) -> Iterator[Piece]:
    """The early and the late half of a packet stand for the two words of the specification."""
    slot, begin = divmod(offset, BUFFER_SIZE)
    end = begin + size
    if end > payload:
        raise StrayAccessError(
            f"bytes {begin} to {end - 1} of the buffers of slot {slot}, "
            f"but the packet has {payload} bytes"
        )
    head, tail = f"{ring}.first_word", f"{ring}.last_word"
    if payload == 1:
        yield Piece((head, tail), slot, offset, size)
        return
    middle = min(max((payload + 1) // 2, begin), end)
    if begin < middle:
        yield Piece((head,), slot, offset, middle - begin)
    if middle < end:
        yield Piece((tail,), slot, offset + middle - begin, end - middle)
