"""Hardware access interface: DMA memory, barriers, registers, bus mastering, interrupts.

Rings and buffers use only these operations, and nothing else of the driver reaches the card. Behind
them may be an emulated card, a real one, or a test that treats every operation as a point where
anything else may happen first.

Nothing is promised about order but what a barrier orders (datasheet, Order of memory accesses):
stores become visible to the card in any order, loads may be satisfied early or late, and a register
write may overtake the stores before it.
"""

from __future__ import annotations

import abc
import enum
from typing import Any, Protocol, TypeAlias

from model.layout import Register

__all__ = ["Data", "Device", "DmaRegion", "Octets", "Purpose", "Words"]

Data: TypeAlias = bytes | bytearray | memoryview
"""Anything that holds bytes one after the other."""


class Purpose(enum.Enum):
    """What a region of DMA memory is for."""

    COMMAND_RING = "command ring"
    TRANSMIT_RING = "transmit ring"
    TRANSMIT_BUFFERS = "transmit buffers"
    RECEIVE_RING = "receive ring"
    RECEIVE_BUFFERS = "receive buffers"


class Octets(Protocol):
    """The bytes of a region, in the fewest calls that Python has for an access.

    An index loads or stores one byte, in one access. A slice is what the bulk words are: it loads
    or stores any number of bytes, in no particular order. Where memory is mapped this is a
    memoryview, and where accesses are judged it is an object that says each of them.
    """

    def __getitem__(self, place: Any, /) -> Any: ...

    def __setitem__(self, place: Any, value: Any, /) -> None: ...


class Words(Protocol):
    """Registers of one width, by index; each item access is one access of that width."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class DmaRegion(abc.ABC):
    """Memory that host and card share: `size` bytes, page aligned, contents arbitrary at first.

    Offsets and sizes are in bytes; an access that leaves the region raises `IndexError`. Numbers
    are little endian. A load or store of 1, 2, 4 or 8 bytes at a multiple of its width is one
    access: nobody sees half of it. The bulk words move any number of bytes, of one slot or of
    many, in no particular order.

    Attributes:
        purpose: What it is for.
        size: Its bytes.
        octets: The same bytes, one by one and in slices, for what is done for each packet.
    """

    purpose: Purpose
    size: int
    octets: Octets

    @abc.abstractmethod
    def bus_address(self, offset: int = 0) -> int:
        """The address by which the card knows the byte at `offset`.

        Bus addresses are contiguous within a page, and throughout a ring.
        """

    @abc.abstractmethod
    def load(self, offset: int, width: int) -> int:
        """The number of `width` bytes at `offset`."""

    @abc.abstractmethod
    def store(self, offset: int, width: int, value: int) -> None:
        """Store a number of `width` bytes at `offset`."""

    @abc.abstractmethod
    def load_bulk(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes from `offset` on."""

    @abc.abstractmethod
    def store_bulk(self, offset: int, data: Data) -> None:
        """Store all of `data` from `offset` on."""

    @abc.abstractmethod
    def view(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on as they are, not copied; read-only."""


class Device(abc.ABC):
    """The card as the driver reaches it, without access to memory at first.

    Attributes:
        words: Its registers of 32 bits, by index, where they are mapped and storing an item is all
            that `write` does; otherwise None.
    """

    words: Words | None = None

    # Memory

    @abc.abstractmethod
    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        """A new region of at least `size` bytes. Raises `OSError` if there is no memory for it."""

    @abc.abstractmethod
    def free(self, region: DmaRegion) -> None:
        """Give a region back. Only `impl.dma` does so, with evidence that the card is done.

        Views of the region that are still held stay readable; the card reaches it no more.
        """

    # Barriers

    @abc.abstractmethod
    def acquire(self) -> None:
        """No later load is satisfied before an earlier load or register read (`dma_rmb()`)."""

    @abc.abstractmethod
    def release(self) -> None:
        """No later store becomes visible before an earlier store (Linux: `dma_wmb()`)."""

    @abc.abstractmethod
    def release_loads(self) -> None:
        """No later store becomes visible before an earlier load or register read is satisfied.

        Linux has no primitive of just this meaning: `dma_mb()` gives it, and on arm64 `dma_rmb()`,
        which `readl()` contains, does so too.
        """

    @abc.abstractmethod
    def before_register_write(self) -> None:
        """No later register write reaches the card before an earlier store is visible to it.

        Linux: `wmb()`. `writel()` contains it, or on arm64 the weaker `dma_wmb()`.
        """

    @abc.abstractmethod
    def fence(self) -> None:
        """Return when every earlier store is visible to the card (Linux: `mb()`)."""

    # Registers

    @abc.abstractmethod
    def read(self, register: Register) -> int:
        """Read a register, in one access of its width; register writes before it arrive first."""

    @abc.abstractmethod
    def write(self, register: Register, value: int) -> None:
        """Write a register, in one access of its width. It arrives later, after those before it."""

    # Bus mastering

    @abc.abstractmethod
    def enable_bus_master(self) -> None:
        """Let the card access memory and raise vectors, from now on until the device is closed.

        Before that it does neither, whatever it was doing when the device was opened: a driver that
        was killed may have left it with addresses of memory that is somebody else's by now. So it
        is reset first (datasheet, Power-on and takeover).
        """

    # Interrupts

    @abc.abstractmethod
    def wait_for_interrupt(self, vector: int) -> bool:
        """Wait until the card raises `vector`; False when the device was closed instead."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the card: it reaches no memory, and whoever waits for an interrupt returns."""
