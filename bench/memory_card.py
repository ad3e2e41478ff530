"""A card that costs nothing: ordinary memory, and whoever measures plays its part.

The driver finds what it would find above real hardware: mapped memory, the barriers of this
machine, registers. What the card does takes no time of the driver's, since it is done between two
measured pieces.
"""

from __future__ import annotations

import functools
import mmap
import threading
from collections.abc import Sequence
from typing import Final, final

from impl.barriers import Barriers
from impl.mapped import MappedRegion, whole_pages
from impl.memory import Device, DmaRegion, Purpose
from impl.packet import HEADER
from model.layout import (
    COMMAND_RING,
    COMMAND_SLOT,
    DBELL,
    EVFLAGS,
    FLAGS,
    HWADDR,
    IDENTITY,
    PACKET_SLOT,
    TRANSMIT_RING,
    VMAJ,
    VMIN,
    Owner,
    Register,
    doorbell,
    split_doorbell,
)

__all__ = ["MemoryCard"]

BYTES: Final = 4096
"""Of registers."""
OWN: Final = 0x34565CAB
FIRST_TRANSMIT_BELL: Final = doorbell(TRANSMIT_RING, 0)
SENDER: Final = 0xEC60


@functools.cache
def _header(size: int) -> bytes:
    """What the card writes of a packet: from its length to its source."""
    return HEADER.codec.pack(size, OWN, SENDER)


@final
class MemoryCard(Device):
    """The card. It answers commands when the doorbell rings, and the rest when it is told to."""

    def __init__(self) -> None:
        self._regions: dict[Purpose, MappedRegion] = {}
        self._next = 1 << 32
        # Where nothing is done behind the store, it is all that there is to a doorbell.
        self.words = memoryview(bytearray(BYTES)).cast("I")
        self._vectors = [threading.Semaphore(0) for _ in range(IDENTITY.vectors)]
        self._open = True
        self._arrived = 0
        self._returned = 0
        barriers = Barriers.of_this_machine()
        # As `impl.hardware` has them.
        self.acquire = barriers.acquire  # type: ignore[method-assign]
        self.release = barriers.release  # type: ignore[method-assign]
        self.release_loads = barriers.release_loads  # type: ignore[method-assign]
        self._barriers = barriers

    # What is done between two measured pieces

    def receives(self, count: int, size: int) -> None:
        """Packets of `size` bytes come in, into slots that are the card's."""
        self.receives_each([size] * count)

    def receives_each(self, sizes: Sequence[int]) -> None:
        """Packets of so many bytes each come in."""
        ring = self._regions[Purpose.RECEIVE_RING]
        octets, end = ring.octets, ring.size
        for number, size in enumerate(sizes, self._arrived):
            at = number * PACKET_SLOT.size % end
            if octets[at] != Owner.DEVICE:
                raise RuntimeError("a packet comes in, and its slot is not the card's")
            begin = at + HEADER.offset
            octets[begin : begin + HEADER.size] = _header(size)
            octets[at] = Owner.HOST
        self._arrived += len(sizes)

    def sends(self) -> int:
        """All that was handed over is sent; returns how many packets that were."""
        ring, before = self._regions[Purpose.TRANSMIT_RING], self._returned
        while ring.octets[at := self._returned * PACKET_SLOT.size % ring.size] == Owner.DEVICE:
            ring.octets[at] = Owner.HOST
            self._returned += 1
        return self._returned - before

    @property
    def doorbell(self) -> int:
        """What was written to it last."""
        return self.words[DBELL.offset // DBELL.size]

    @property
    def waiting(self) -> bool:
        """The last packet that came in has not been taken yet, or its slot not been given back."""
        at = (self._arrived - 1) * PACKET_SLOT.size % self._regions[Purpose.RECEIVE_RING].size
        return bool(self._regions[Purpose.RECEIVE_RING].octets[at] == Owner.HOST)

    def contents(self) -> dict[Purpose, bytes]:
        """All that the memory holds."""
        return {purpose: bytes(region.octets) for purpose, region in self._regions.items()}

    # Memory

    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        """A new region."""
        whole = whole_pages(size, mmap.PAGESIZE)
        memory = mmap.mmap(-1, whole, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.write(bytes(whole))
        if purpose is Purpose.RECEIVE_RING:
            self._arrived = 0
        elif purpose is Purpose.TRANSMIT_RING:
            self._returned = 0
        region = MappedRegion(purpose, size, memory, [self._next])
        self._regions[purpose] = region
        self._next += whole
        return region

    def free(self, region: DmaRegion) -> None:
        """Nothing: memory ends with its last view."""

    # Barriers

    def acquire(self) -> None:
        """That of this machine."""
        self._barriers.acquire()

    def release(self) -> None:
        """That of this machine."""
        self._barriers.release()

    def release_loads(self) -> None:
        """That of this machine."""
        self._barriers.release_loads()

    def before_register_write(self) -> None:
        """That of this machine."""
        self._barriers.before_register_write()

    def fence(self) -> None:
        """That of this machine."""
        self._barriers.fence()

    # Registers

    def read(self, register: Register) -> int:
        """Version and address; the others are 0."""
        # What is measured reads nothing else.
        if register is EVFLAGS:
            return 0
        for known, value in ((FLAGS, 0), (HWADDR, OWN), (VMAJ, 2), (VMIN, 1)):
            if register is known:
                return value
        raise ValueError(f"{register.name} is not read")

    def write(self, register: Register, value: int) -> None:
        """A doorbell of the command ring is answered at once."""
        if register is not DBELL:
            return
        self.words[DBELL.offset // DBELL.size] = value
        # A doorbell of the transmit ring is part of what is measured.
        if value >= FIRST_TRANSMIT_BELL:
            return
        ring, slot = split_doorbell(value)
        if ring is COMMAND_RING:
            memory = self._regions[Purpose.COMMAND_RING].octets
            memory[COMMAND_RING.offset(slot) + COMMAND_SLOT["error"].offset] = 0
            memory[COMMAND_RING.offset(slot)] = Owner.HOST
            self._vectors[IDENTITY.event_vector].release()

    def enable_bus_master(self) -> None:
        """Nothing."""

    # Interrupts

    def wait_for_interrupt(self, vector: int) -> bool:
        """Wait for a command's answer, or the end."""
        self._vectors[vector].acquire()
        return self._open

    def close(self) -> None:
        """End all waits."""
        self._open = False
        for vector in self._vectors:
            vector.release()
