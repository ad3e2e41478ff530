"""How much traffic there is between host and emulated card."""

from __future__ import annotations

import attrs

__all__ = ["Counters"]


@attrs.define
class Counters:
    """What was counted since the card exists. Take a copy (`attrs.evolve`) to compare.

    Attributes:
        register_reads: Registers that the host read.
        register_writes: Registers that the host wrote.
        dma_reads: Memory accesses of the card that read.
        dma_read_bytes: Bytes that these asked for.
        dma_writes: Memory accesses of the card that wrote.
        dma_written_bytes: Bytes that these carried.
        interrupts: Vectors delivered.
        interrupts_muted: Vectors that were not, since the card was told to lose them.
        transmitted: Packets that the card put on the net.
        received: Packets that it handed to the host.
        lost: Packets for the card that found its input queue full.
        dropped: Packets for which it had no receive slot (RXDROP).
        steps: Steps that the card took.
    """

    register_reads: int = 0
    register_writes: int = 0
    dma_reads: int = 0
    dma_read_bytes: int = 0
    dma_writes: int = 0
    dma_written_bytes: int = 0
    interrupts: int = 0
    interrupts_muted: int = 0
    transmitted: int = 0
    received: int = 0
    lost: int = 0
    dropped: int = 0
    steps: int = 0

    def count_dma_read(self, size: int) -> None:
        """The card reads `size` bytes of memory, or tries to."""
        self.dma_reads += 1
        self.dma_read_bytes += size

    def count_dma_write(self, size: int) -> None:
        """The card writes `size` bytes of memory, or tries to."""
        self.dma_writes += 1
        self.dma_written_bytes += size
