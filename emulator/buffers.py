"""The buffers that a packet slot points to, as one run of bytes.

Pointers and lengths are the host's, and nothing of them is trusted: an address that cannot be
reached is FLTR, since it came from a descriptor. A buffer of length 0 is skipped, and its pointer
with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator.bus import BusError, Dma
from emulator.card_state import FatalError
from model.layout import FLTR, PacketSlot

__all__ = ["first_half", "pieces", "read_buffers", "write_buffers"]


def first_half(size: int) -> int:
    """How many of a packet's bytes are read or written first, the larger part of them."""
    return (size + 1) // 2


def pieces(slot: PacketSlot, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Where `size` bytes from byte `start` on lie: bus address and length of each piece, in order.

    Pieces end with the last buffer, however many bytes are asked for.
    """
    for pointer, length in zip(slot.pointer, slot.length, strict=True):
        if size <= 0:
            return
        if start < length:
            count = min(length - start, size)
            yield pointer + start, count
            size -= count
            start = 0
        else:
            start -= length


def read_buffers(dma: Dma, slot: PacketSlot, start: int, size: int) -> bytes:
    """Read `size` bytes of a packet from byte `start` on. Raises `FatalError`: FLTR."""
    try:
        return b"".join(dma.read(address, count) for address, count in pieces(slot, start, size))
    except BusError as error:
        raise FatalError(FLTR) from error


def write_buffers(dma: Dma, slot: PacketSlot, start: int, data: bytes) -> None:
    """Write `data` as the bytes of a packet from byte `start` on. Raises `FatalError`: FLTR."""
    done = 0
    try:
        for address, count in pieces(slot, start, len(data)):
            dma.write(address, data[done : done + count])
            done += count
    except BusError as error:
        raise FatalError(FLTR) from error
