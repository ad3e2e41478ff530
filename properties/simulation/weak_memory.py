"""Memory as weak as the driver supports, on real bytes (datasheet, Order of memory accesses).

A store waits among the *pending* ones until it becomes visible to the card, in any order that no
barrier forbids. The host sees its own stores at once; the card sees what is visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from impl.memory import Purpose
from judge.words import Piece, StrayAccessError, touched

__all__ = ["Store", "WeakMemory", "WeakRegion", "pieces"]

GRANULE: Final = 1 << 24
"""Each region begins at a bus address of its own, a multiple of this."""


@attrs.define(eq=False)
class WeakRegion:
    """DMA memory: the bytes that the card sees, and what they are for."""

    purpose: Purpose
    bus: int
    visible: bytearray
    freed: bool = False


@attrs.define(eq=False)
class Store:
    """A store that the card does not see yet. Stores in `after` become visible before it."""

    region: WeakRegion
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
        self.regions: dict[int, WeakRegion] = {}
        self.pending: list[Store] = []
        self._fill = fill
        self._made = 0

    # Regions

    def allocate(self, size: int, purpose: Purpose) -> WeakRegion:
        """A region full of the fill byte, at a bus address that was never used before."""
        self._made += 1
        region = WeakRegion(purpose, self._made * GRANULE, bytearray(self._fill * size))
        self.regions[self._made] = region
        return region

    def free(self, region: WeakRegion) -> None:
        """Take a region out of the card's reach."""
        region.freed = True
        del self.regions[region.bus // GRANULE]

    def find(self, address: int, size: int) -> tuple[WeakRegion, int] | None:
        """The region and offset that a bus address leads to; None where there is none."""
        region = self.regions.get(address // GRANULE)
        if region is None:
            return None
        offset = address - region.bus
        return (region, offset) if offset + size <= len(region.visible) else None

    # The host

    def host_view(self, region: WeakRegion, offset: int, size: int) -> bytes:
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
        self, region: WeakRegion, piece: Piece, data: bytes, thread: int, after: tuple[Store, ...]
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

    def is_pending(self, word: str, slot: int) -> bool:
        """Some store to that word of the slot is not visible yet."""
        return any(store.piece.slot == slot and word in store.piece.words for store in self.pending)


def pieces(
    region: WeakRegion, offset: int, size: int, *, stores: bool, payload: int
) -> Iterator[Piece]:
    """The words that an access touches; see `judge.words.touched`.

    Raises:
        StrayAccessError: It is none that the specification knows, or the memory was freed.
    """
    if region.freed:
        raise StrayAccessError(f"access to the {region.purpose.value}, which was freed")
    yield from touched(region.purpose, offset, size, stores=stores, payload=payload)
