"""The card's way to memory, whatever memory that is."""

from __future__ import annotations

from typing import Protocol

__all__ = ["BusError", "Dma"]


class BusError(Exception):
    """Nothing answers at an address that the card reads or writes."""

    def __init__(self, address: int, size: int) -> None:
        super().__init__(f"no memory answers for {size} bytes at bus address {address:#x}")
        self.address = address
        self.size = size


class Dma(Protocol):
    """Memory as the card reaches it, by bus address.

    The card hands on addresses as it finds them, so any number from 0 on may come, even one of more
    than 64 bits where a ring reaches past the end. A call either moves all of its bytes or raises
    `BusError` and moves none. What a `write` moves is visible before any later `write` is.
    """

    def read(self, address: int, size: int) -> bytes:
        """The `size` bytes from `address` on."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Store all of `data` from `address` on."""
        ...
