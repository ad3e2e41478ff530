"""What stands in the rings, looked at beside the driver's own loads.

To load a byte of memory changes nothing, so the monitor may look wherever it wants to know what the
card has done. It never looks at registers: reading those has effects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from impl.memory import DmaRegion, Purpose
from impl.packet import FIELDS, HEADER, Header, unpack_header
from model.layout import COMMAND_SLOT, PACKET_SLOT, Owner

__all__ = ["Rings"]

PURPOSES: Final = {
    "cmd": Purpose.COMMAND_RING,
    "tx": Purpose.TRANSMIT_RING,
    "rx": Purpose.RECEIVE_RING,
}
SIZES: Final = {"cmd": COMMAND_SLOT.size, "tx": PACKET_SLOT.size, "rx": PACKET_SLOT.size}
ERROR: Final = COMMAND_SLOT["error"]


class Rings:
    """The memory of the three rings, as far as it is allocated.

    Attributes:
        acquire: The load barrier, which stands between an owner byte and what is behind it.
    """

    def __init__(self) -> None:
        self.acquire: Callable[[], None] = lambda: None
        self._regions: dict[Purpose, DmaRegion] = {}

    def add(self, region: DmaRegion) -> None:
        """A region was allocated."""
        self._regions[region.purpose] = region

    def remove(self, region: DmaRegion) -> None:
        """A region is about to be freed."""
        if self._regions.get(region.purpose) is region:
            del self._regions[region.purpose]

    def __contains__(self, ring: str) -> bool:
        return PURPOSES[ring] in self._regions

    def region(self, purpose: Purpose) -> DmaRegion:
        """The region that there is for a purpose. Raises `KeyError` if there is none."""
        return self._regions[purpose]

    def owner(self, ring: str, slot: int) -> int:
        """The owner byte of a slot."""
        return self._regions[PURPOSES[ring]].load(slot * SIZES[ring], 1)

    def has_completion(self, ring: str, slot: int) -> bool:
        """The owner byte says that the slot is the host's; what is behind it may be looked at."""
        if self.owner(ring, slot) != Owner.HOST:
            return False
        self.acquire()
        return True

    def header(self, slot: int) -> Header:
        """What the card wrote of a packet."""
        data = self._bytes("rx", slot, HEADER.offset, HEADER.size)
        return unpack_header(data)

    def error(self, slot: int) -> int:
        """The error byte of a command."""
        return self._bytes("cmd", slot, ERROR.offset, ERROR.width)[0]

    def fields(self, ring: str, slot: int) -> bytes:
        """What the host wrote to a packet slot: lengths, addresses, pointers."""
        return self._bytes(ring, slot, FIELDS.offset, FIELDS.size)

    def command(self, slot: int) -> bytes:
        """A whole command slot."""
        return self._bytes("cmd", slot, 0, COMMAND_SLOT.size)

    def _bytes(self, ring: str, slot: int, offset: int, size: int) -> bytes:
        return self._regions[PURPOSES[ring]].load_bulk(slot * SIZES[ring] + offset, size)
