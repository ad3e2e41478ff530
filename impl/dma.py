"""Who owns DMA memory, and when it may be freed.

The card may write to memory that it was told of for as long as it runs. Memory of the packet rings
is therefore given back only in exchange for *evidence* that the card is done with it: an answered
STOP, or a finished reset. Evidence cannot be made otherwise, and nothing else frees memory.
"""

from __future__ import annotations

import contextlib
from typing import Final, final

import attrs

from impl.memory import Device, DmaRegion, Purpose
from impl.request import Request
from model.layout import COMMAND_SLOT, LIMITS, PACKET_SLOT

__all__ = ["PacketMemory", "ResetFinished", "StopCompleted", "command_ring"]

BUFFER_SIZE: Final = LIMITS.buffers * LIMITS.page_size
"""Bytes of buffers that belong to a packet slot."""


@final
@attrs.frozen
class StopCompleted:
    """The card answered STOP: from then on it touches neither packet ring nor any buffer.

    Attributes:
        request: The STOP. Raises `ValueError` unless the card returned it with error byte 0.
    """

    request: Request = attrs.field()

    @request.validator
    def _good(self, _: object, request: Request) -> None:
        if not request.done or request.result:
            raise ValueError(f"the card did not stop ({request}): it may still write")


@final
@attrs.frozen
class ResetFinished:
    """The card finished a reset: it has forgotten every address that it was told.

    Attributes:
        flags: What FLAGS read as. Raises `ValueError` unless it is 0.
    """

    flags: int = attrs.field()

    @flags.validator
    def _clear(self, _: object, value: int) -> None:
        if value != 0:
            raise ValueError(f"the reset is not over (FLAGS {value:#x}): the card may still write")


def command_ring(device: Device, slots: int) -> DmaRegion:
    """Memory for the command ring. The card may write to it until it is let go of altogether."""
    return device.allocate(slots * COMMAND_SLOT.size, Purpose.COMMAND_RING)


@final
class PacketMemory:
    """The packet rings and all their buffers: allocated together, freed together.

    Attributes:
        transmit_ring, receive_ring: `slots` slots each.
        transmit_buffers, receive_buffers: Four pages for each slot, in the order of the slots.
    """

    def __init__(self, device: Device, slots: int) -> None:
        self._device = device
        self._regions: list[DmaRegion] = []
        try:
            self.transmit_ring = self._allocate(slots * PACKET_SLOT.size, Purpose.TRANSMIT_RING)
            self.transmit_buffers = self._allocate(slots * BUFFER_SIZE, Purpose.TRANSMIT_BUFFERS)
            self.receive_ring = self._allocate(slots * PACKET_SLOT.size, Purpose.RECEIVE_RING)
            self.receive_buffers = self._allocate(slots * BUFFER_SIZE, Purpose.RECEIVE_BUFFERS)
        except BaseException:
            # The card was not told of any of it yet.
            self._free_all()
            raise

    def _allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        region = self._device.allocate(size, purpose)
        self._regions.append(region)
        return region

    def free(self, evidence: StopCompleted | ResetFinished) -> None:
        """Give all of it back, which `evidence` allows. Views that users hold stay readable."""
        if not isinstance(evidence, StopCompleted | ResetFinished):
            raise TypeError(f"memory is freed for evidence that the card is done, not {evidence!r}")
        # Stores that are still under way must not meet the memory's next owner.
        self._device.fence()
        self._free_all()

    def _free_all(self) -> None:
        # Each of them, whatever becomes of the others.
        with contextlib.ExitStack() as steps:
            while self._regions:
                steps.callback(self._device.free, self._regions.pop(0))
