"""What the parts of the card share: FLAGS, packet traffic, filters, interrupts, the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from emulator.bus import Dma
from emulator.packet import NetPacket
from model.layout import Bit, filter_accepts
from model.state import Flags

__all__ = ["DEFAULT_HWADDR", "CardState", "FatalError"]

DEFAULT_HWADDR: Final = 0x34565CAB
"""The hardware address of a card that was given no other."""


class FatalError(Exception):
    """What the card notices while it works, and halts for: `bit` is the bit of FLAGS to set."""

    def __init__(self, bit: Bit) -> None:
        super().__init__(bit.meaning)
        self.bit = bit


@attrs.define(eq=False, kw_only=True)
class CardState:
    """The state that the engines share; names and meanings are those of `model.state.CardState`.

    Attributes:
        dma: The way to memory.
        transmit: Takes the packets that the card sends.
        hwaddr: Register HWADDR.
        version: Registers VMAJ and VMIN.
        bus_master: The Bus Master bit of the PCI command register. While it is clear, steps that
            access memory or raise vector 0 wait.
        refuse_filters: An error byte that every ADDFILT is answered with, or 0 to obey.
        flag_bits: Register FLAGS.
        flags: The same, as the specification knows it.
        started: Packet traffic is on.
        stopping: A STOP was fetched: nothing new is started.
        filters: The filter table: mask and address of each entry. It is replaced and never changed
            in place, so that the net may look at it while the card works.
        raising: Vector 0 is still to be raised.
        vector0: Vector 0 was raised; whoever delivers it clears this.
        vector1: Vector 1 was raised; whoever delivers it clears this.
    """

    dma: Dma
    transmit: Callable[[NetPacket], None]
    hwaddr: int = DEFAULT_HWADDR
    version: tuple[int, int] = (2, 1)
    bus_master: bool = True
    refuse_filters: int = 0
    flag_bits: int = attrs.field(default=0, init=False)
    flags: Flags = attrs.field(default=Flags.CLEAR, init=False)
    started: bool = attrs.field(default=False, init=False)
    stopping: bool = attrs.field(default=False, init=False)
    filters: list[tuple[int, int]] = attrs.field(factory=list, init=False)
    raising: bool = attrs.field(default=False, init=False)
    vector0: bool = attrs.field(default=False, init=False)
    vector1: bool = attrs.field(default=False, init=False)

    def accepts(self, destination: int) -> bool:
        """Whether packet traffic is on and a filter lets packets for `destination` through."""
        return self.started and any(
            filter_accepts(mask, address, destination) for mask, address in self.filters
        )

    def halt(self, bit: Bit) -> None:
        """Set an error bit, which stops everything but a reset, and raise vector 1."""
        self.flag_bits = bit.mask
        self.flags = Flags.ERROR
        self.vector1 = True
