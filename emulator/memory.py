"""Memory that host and emulated card share, with bus addresses of its own.

Each region has a window of 4 GiB of bus addresses, which is never used again: an address of a
region that was freed reaches nothing, for ever. In regions of buffers every other page of the
window is empty, since the driver may rely on contiguous addresses within a page only; a ring is
contiguous.

Loads and stores of up to 8 bytes are single C calls under the interpreter's lock, so neither side
sees half of one.
"""

from __future__ import annotations

import errno
import os
from struct import Struct
from typing import Final

import attrs

from emulator.bus import BusError
from emulator.counters import Counters
from impl.memory import Data, DmaRegion, Purpose
from model.layout import LIMITS, WORDS

__all__ = ["GARBAGE", "AddressSpace", "SharedRegion"]

GARBAGE: Final = 0xA5
"""What new memory is filled with: not zero, and no owner byte."""

_WINDOW_BITS: Final = 32
_OFFSET_MASK: Final = (1 << _WINDOW_BITS) - 1
_PAGE: Final = LIMITS.page_size
_SCATTERED: Final = frozenset({Purpose.TRANSMIT_BUFFERS, Purpose.RECEIVE_BUFFERS})


@attrs.define(eq=False)
class SharedRegion(DmaRegion):
    """A region of memory.

    Attributes:
        purpose: What it is for.
        size: Its bytes, a whole number of pages.
        window: The bus address at which its window starts.
        scattered: Every other page of the window is empty.
        content: Its bytes.
        octets: The same bytes, by the host's name for them.
    """

    purpose: Purpose
    size: int
    window: int
    scattered: bool = attrs.field(init=False)
    content: memoryview = attrs.field(init=False, repr=False)
    octets: memoryview = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.scattered = self.purpose in _SCATTERED
        self.content = self.octets = memoryview(bytearray([GARBAGE]) * self.size)

    # As the host sees it

    def bus_address(self, offset: int = 0) -> int:
        """The address by which the card knows the byte at `offset`."""
        self._check(offset, 1)
        return self.window + (offset + offset // _PAGE * _PAGE if self.scattered else offset)

    def load(self, offset: int, width: int) -> int:
        """The number of `width` bytes at `offset`."""
        value: int = self._word(offset, width).unpack_from(self.content, offset)[0]
        return value

    def store(self, offset: int, width: int, value: int) -> None:
        """Store a number of `width` bytes at `offset`."""
        word = self._word(offset, width)
        if not 0 <= value < 1 << 8 * width:
            raise ValueError(f"{value:#x} does not fit into {width} bytes")
        word.pack_into(self.content, offset, value)

    def load_bulk(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes from `offset` on."""
        self._check(offset, size)
        return bytes(self.content[offset : offset + size])

    def store_bulk(self, offset: int, data: Data) -> None:
        """Store all of `data` from `offset` on."""
        data = memoryview(data).cast("B")
        self._check(offset, len(data))
        self.content[offset : offset + len(data)] = data

    def view(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on as they are, not copied; read-only."""
        self._check(offset, size)
        return self.content[offset : offset + size].toreadonly()

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IndexError(
                f"{size} bytes at offset {offset} are not within the {self.size} bytes of a region "
                f"for {self.purpose.value}"
            )

    def _word(self, offset: int, width: int) -> Struct:
        word = WORDS.get(width)
        if word is None:
            raise ValueError(f"a load or store is 1, 2, 4 or 8 bytes wide, not {width}")
        self._check(offset, width)
        if offset % width:
            raise ValueError(f"{width} bytes at offset {offset} are not aligned")
        return word

    # As the card sees it

    def reach(self, offset: int, size: int) -> memoryview | None:
        """The `size` bytes that lie at an offset of the window, if the region has them all."""
        if self.scattered:
            page, within = divmod(offset, _PAGE)
            if page % 2 or within + size > _PAGE:
                return None
            offset = page // 2 * _PAGE + within
        return self.content[offset : offset + size] if offset + size <= self.size else None


@attrs.define(eq=False)
class AddressSpace:
    """All memory that one card reaches: the regions that it was given, by bus address.

    Attributes:
        counters: Where the card's accesses are counted.
    """

    counters: Counters = attrs.field(factory=Counters)
    _regions: dict[int, SharedRegion] = attrs.field(factory=dict, init=False, repr=False)
    _next: int = attrs.field(default=1, init=False)

    def allocate(self, size: int, purpose: Purpose) -> SharedRegion:
        """A new region, filled with garbage.

        Raises:
            ValueError: The size is not positive.
            OSError: There is no memory for it.
        """
        if size < 1:
            raise ValueError(f"a region has at least 1 byte, not {size}")
        pages = -(-size // _PAGE)
        if 2 * pages * _PAGE > _OFFSET_MASK:
            raise OSError(errno.ENOMEM, f"{os.strerror(errno.ENOMEM)}: {size} bytes")
        try:
            region = SharedRegion(purpose, pages * _PAGE, self._next << _WINDOW_BITS)
        except MemoryError as error:
            raise OSError(errno.ENOMEM, f"{os.strerror(errno.ENOMEM)}: {size} bytes") from error
        self._regions[self._next] = region
        self._next += 1
        return region

    @property
    def regions(self) -> tuple[SharedRegion, ...]:
        """Those that the card reaches now."""
        return tuple(self._regions.values())

    def free(self, region: DmaRegion) -> None:
        """Let the card reach a region no more. Raises `ValueError` if it does not anyway."""
        number = region.bus_address() >> _WINDOW_BITS
        if self._regions.get(number) is not region:
            raise ValueError("the region is not in this address space, or was freed before")
        del self._regions[number]

    def free_all(self) -> None:
        """Let the card reach nothing."""
        self._regions.clear()

    # What the card says (`emulator.bus.Dma`)

    def read(self, address: int, size: int) -> bytes:
        """The `size` bytes from `address` on."""
        self.counters.count_dma_read(size)
        return bytes(self._reach(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Store all of `data` from `address` on."""
        self.counters.count_dma_write(len(data))
        self._reach(address, len(data))[:] = data

    def _reach(self, address: int, size: int) -> memoryview:
        region = self._regions.get(address >> _WINDOW_BITS)
        found = None if region is None else region.reach(address & _OFFSET_MASK, size)
        if found is None:
            raise BusError(address, size)
        return found
