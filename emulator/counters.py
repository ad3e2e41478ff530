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
        dma_writes: Memory accesses of the card that wrote.
        interrupts: Vectors delivered.
        lost: Packets for the card that found its input queue full.
        dropped: Packets for which it had no receive slot (RXDROP).
        steps: Steps that the card took.
    """

    register_reads: int = 0
    register_writes: int = 0
    dma_reads: int = 0
    dma_writes: int = 0
    interrupts: int = 0
    lost: int = 0
    dropped: int = 0
    steps: int = 0
