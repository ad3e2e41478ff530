"""DMA memory that is mapped into this process."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

from impl.memory import Data, DmaRegion, Purpose

__all__ = ["MappedRegion", "address_of", "whole_pages"]


def whole_pages(size: int, page: int) -> int:
    """`size` bytes rounded up to whole pages. Raises `ValueError` if it is not positive."""
    if size < 1:
        raise ValueError(f"a region has at least 1 byte, not {size}")
    return -(-size // page) * page


def address_of(mapping: mmap.mmap) -> int:
    """Where in this process a mapping begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


class MappedRegion(DmaRegion):
    """A region that consists of pieces of equal size, each contiguous for the card.

    The memory stays mapped as long as the region or a view of it exists.

    Attributes:
        purpose: What it is for.
        size: Its bytes.
        addresses: The bus address of each piece.
        octets: Its bytes.
    """

    octets: memoryview

    def __init__(
        self, purpose: Purpose, size: int, memory: mmap.mmap, addresses: Sequence[int]
    ) -> None:
        self.purpose = purpose
        self.size = size
        self.addresses = tuple(addresses)
        self._piece = len(memory) // len(self.addresses)
        self.octets = memoryview(memory)[:size]
        # An item of a cast view is loaded or stored in one access of its width; the only other way
        # that is, a struct, writes zeros first.
        self._words: dict[int, memoryview[int]] = {
            1: self.octets,
            2: self.octets.cast("H"),
            4: self.octets.cast("I"),
            8: self.octets.cast("Q"),
        }

    def bus_address(self, offset: int = 0) -> int:
        """The address by which the card knows the byte at `offset`."""
        self._check(offset, 1)
        piece, within = divmod(offset, self._piece)
        return self.addresses[piece] + within

    def load(self, offset: int, width: int) -> int:
        """The number of `width` bytes at `offset`."""
        words = self._aligned(offset, width)
        return words[offset // width]

    def store(self, offset: int, width: int, value: int) -> None:
        """Store a number of `width` bytes at `offset`."""
        words = self._aligned(offset, width)
        if not 0 <= value < 1 << 8 * width:
            raise ValueError(f"{value:#x} does not fit into {width} bytes")
        words[offset // width] = value

    def load_bulk(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes from `offset` on."""
        self._check(offset, size)
        return bytes(self.octets[offset : offset + size])

    def store_bulk(self, offset: int, data: Data) -> None:
        """Store all of `data` from `offset` on."""
        data = memoryview(data).cast("B")
        self._check(offset, len(data))
        self.octets[offset : offset + len(data)] = data

    def view(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on as they are, not copied; read-only."""
        self._check(offset, size)
        return self.octets[offset : offset + size].toreadonly()

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IndexError(
                f"{size} bytes at offset {offset} are not within the {self.size} bytes of a region "
                f"for {self.purpose.value}"
            )

    def _aligned(self, offset: int, width: int) -> memoryview[int]:
        words = self._words.get(width)
        if words is None:
            raise ValueError(f"a load or store is 1, 2, 4 or 8 bytes wide, not {width}")
        self._check(offset, width)
        if offset % width:
            raise ValueError(f"{width} bytes at offset {offset} are not aligned")
        return words
