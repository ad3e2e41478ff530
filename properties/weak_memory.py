"""Memory as weak as the driver supports, on real bytes (datasheet, Order of memory accesses).

A store waits among the *pending* ones until it becomes visible to the card, in any order that no
barrier forbids. The host sees its own stores at once; the card sees what is visible. What a store
or load touches is told in the specification's words: the owner byte, the fields or the payload of a
slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from impl.memory import Purpose
from impl.packet import FIELDS, HEADER
from model.layout import COMMAND_SLOT, LIMITS, PACKET_SLOT

__all__ = ["Piece", "Region", "Store", "StrayAccessError", "WeakMemory", "pieces"]

GRANULE: Final = 1 << 24
"""Each region begins at a bus address of its own, a multiple of this."""
BUFFER_SIZE: Final = LIMITS.buffers * LIMITS.page_size
ERROR: Final = COMMAND_SLOT["error"].offset


class StrayAccessError(Exception):
    """An access to something that is no word of a slot, or that nobody may touch."""


@attrs.frozen
class Piece:
    """A part of an access: which words of which slot it belongs to, and its bytes in the region."""

    words: tuple[str, ...]
    slot: int
    offset: int
    size: int


@attrs.define(eq=False)
class Region:
    """DMA memory: the bytes that the card sees, and what they are for."""

    purpose: Purpose
    bus: int
    visible: bytearray
    freed: bool = False


@attrs.define(eq=False)
class Store:
    """A store that the card does not see yet. Stores in `after` become visible before it."""

    region: Region
    piece: Piece
    data: bytes
    thread: int
    after: tuple[Store, ...]
    visible: bool = False

    def ready(self) -> bool:
        """No barrier holds it back."""
        return all(store.visible for store in self.after)


class WeakMemory:
    """All regions, and the stores that the card does not see yet, in the order of issue."""

    def __init__(self, fill: bytes) -> None:
        self.regions: dict[int, Region] = {}
        self.pending: list[Store] = []
        self._fill = fill
        self._made = 0

    # Regions

    def allocate(self, size: int, purpose: Purpose) -> Region:
        """A region full of the fill byte, at a bus address that was never used before."""
        self._made += 1
        region = Region(purpose, self._made * GRANULE, bytearray(self._fill * size))
        self.regions[self._made] = region
        return region

    def free(self, region: Region) -> None:
        """Take a region out of the card's reach."""
        region.freed = True
        del self.regions[region.bus // GRANULE]

    def find(self, address: int, size: int) -> tuple[Region, int] | None:
        """The region and offset that a bus address leads to; None where there is none."""
        region = self.regions.get(address // GRANULE)
        if region is None:
            return None
        offset = address - region.bus
        return (region, offset) if offset + size <= len(region.visible) else None

    # The host

    def host_view(self, region: Region, offset: int, size: int) -> bytes:
        """What the host sees: its own stores before what is visible."""
        end = offset + size
        view = region.visible[offset:end]
        for store in self.pending:
            if store.region is region:
                begin = store.piece.offset
                for index in range(max(begin, offset), min(begin + len(store.data), end)):
                    view[index - offset] = store.data[index - begin]
        return bytes(view)

    def store(
        self, region: Region, piece: Piece, data: bytes, thread: int, after: tuple[Store, ...]
    ) -> Store:
        """Issue a store; stores to the same bytes keep their order."""
        begin, end = piece.offset, piece.offset + piece.size
        same = tuple(
            store
            for store in self.pending
            if store.region is region
            and store.piece.offset < end
            and begin < store.piece.offset + store.piece.size
        )
        store = Store(region, piece, data, thread, (*after, *same))
        self.pending.append(store)
        return store

    def make_visible(self, store: Store) -> None:
        """The card sees the store from now on."""
        begin = store.piece.offset
        store.region.visible[begin : begin + len(store.data)] = store.data
        store.visible = True
        self.pending.remove(store)

    def pending_of(self, thread: int) -> tuple[Store, ...]:
        """The stores of one thread that are not visible yet."""
        return tuple(store for store in self.pending if store.thread == thread)

    def still_pending(self, word: str, slot: int) -> bool:
        """Some store to that word of the slot is not visible yet."""
        return any(store.piece.slot == slot and word in store.piece.words for store in self.pending)


# What an access touches, in the words of the specification

_OWNERS: Final = {
    Purpose.COMMAND_RING: "cmd.owner",
    Purpose.TRANSMIT_RING: "tx.owner",
    Purpose.RECEIVE_RING: "rx.owner",
}


def pieces(
    region: Region, offset: int, size: int, *, stores: bool, payload: int
) -> Iterator[Piece]:
    """The words that an access touches.

    Args:
        region: The memory that is accessed.
        offset: First byte of the access in the region.
        size: Number of bytes.
        stores: Whether it is a store.
        payload: Bytes of the packet that the access belongs to, where it is one to a buffer.

    Raises:
        StrayAccessError: It is none that the specification knows.
    """
    if region.freed:
        raise StrayAccessError(f"access to the {region.purpose.value}, which was freed")
    purpose = region.purpose
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
        word = _OWNERS[purpose]
    elif purpose is Purpose.COMMAND_RING:
        if stores and begin >= 1:
            word = "cmd.fields"
        elif not stores and begin == ERROR and size == 1:
            word = "cmd.result"
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
    head, tail = f"{ring}.head", f"{ring}.tail"
    if payload == 1:
        yield Piece((head, tail), slot, offset, size)
        return
    middle = min(max((payload + 1) // 2, begin), end)
    if begin < middle:
        yield Piece((head,), slot, offset, middle - begin)
    if middle < end:
        yield Piece((tail,), slot, offset + middle - begin, end - middle)
