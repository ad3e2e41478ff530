"""What the card's three engines have in common: a ring, an index, and one slot at a time.

An engine's methods are the steps of `model.device_spec`, under the same names, without their
guards: `Card.take` sees to those. A ring that cannot be reached shows when its memory is accessed,
not when its address is written, and is FLTB: the address came from a BAR register.
"""

from __future__ import annotations

from typing import Final

import attrs

from emulator.bus import BusError
from emulator.card_state import CardState, FatalError
from model.layout import FLTB, Owner, Ring
from model.state import Stage

__all__ = ["Engine", "RequestEngine"]

_DEVICE: Final = int(Owner.DEVICE)
_HOST_BYTE: Final = bytes([Owner.HOST])


@attrs.define(eq=False)
class Engine:
    """A ring and the engine that walks it; names and meanings are those of `model.state`.

    Attributes:
        card: What the engines share.
        ring: The ring, as the datasheet describes it.
        stage: What the engine does next.
        dev_i: The index of the slot that it is at.
        base: The ring's bus address.
        shift: log2 of its number of slots; 0 until it is written.
        based: The card was given the ring's address.
        due: A completion whose event bit is still to be set.
        event: The event bit.
    """

    card: CardState = attrs.field(repr=False)
    ring: Ring = attrs.field(repr=False)
    stage: Stage = attrs.field(default=Stage.IDLE, init=False)
    dev_i: int = attrs.field(default=0, init=False)
    base: int = attrs.field(default=0, init=False)
    shift: int = attrs.field(default=0, init=False)
    based: bool = attrs.field(default=False, init=False)
    due: bool = attrs.field(default=False, init=False)
    event: bool = attrs.field(default=False, init=False)

    def forget(self) -> None:
        """What a reset does."""
        self.stage = Stage.IDLE
        self.dev_i = 0
        self.base = 0
        self.shift = 0
        self.based = False
        self.due = False
        self.event = False

    def set_base(self, base: int) -> None:
        """The ring's address was written."""
        self.base = base
        self.based = True

    def set_shift(self, shift: int) -> None:
        """The ring's size was written. An index that lies beyond it wraps around."""
        self.shift = shift
        self.dev_i &= (1 << shift) - 1

    def set_event(self) -> None:
        """Set the event bit, after the completion is visible."""
        self.due = False
        self.event = True
        self.card.raising = True

    # The slot at the index

    def owned(self) -> bool:
        """Read the owner byte: whether the slot is the card's."""
        return self._read(0, 1)[0] == _DEVICE

    def read_slot(self) -> bytes:
        """Read the slot."""
        return self._read(0, self.ring.slot.size)

    def write_slot(self, offset: int, data: bytes) -> None:
        """Write a part of the slot."""
        try:
            self.card.dma.write(self._address(offset), data)
        except BusError as error:
            raise FatalError(FLTB) from error

    def return_slot(self) -> None:
        """Write owner = HOST and move on to the next slot."""
        self.write_slot(0, _HOST_BYTE)
        self.dev_i = self.dev_i + 1 & (1 << self.shift) - 1
        self.due = True
        self.stage = Stage.IDLE

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return self.card.dma.read(self._address(offset), size)
        except BusError as error:
            raise FatalError(FLTB) from error

    def _address(self, offset: int) -> int:
        return self.base + self.ring.slot.size * self.dev_i + offset


@attrs.define(eq=False)
class RequestEngine(Engine):
    """An engine that the host sends requests to: commands, or packets to send.

    Attributes:
        look: A doorbell rang and the card must look at the slot at its index.
        doorbell_i: The index that came with the newest doorbell.
    """

    look: bool = attrs.field(default=False, init=False)
    doorbell_i: int = attrs.field(default=0, init=False)

    def forget(self) -> None:
        """What a reset does."""
        super().forget()
        self.look = False

    def receive_doorbell(self, slot: int) -> bool:
        """Look at the ring, up to the slot named. False if there is no such slot."""
        if not self.based or slot >= 1 << self.shift:
            return False
        self.look = True
        self.doorbell_i = slot
        return True

    def begin(self) -> None:
        """A doorbell rang: forget it, then look at the slot at the index."""
        self.look = False
        self.stage = Stage.LOOK

    def begin_unasked(self) -> None:
        """Look at the next slot without a doorbell."""
        self.stage = Stage.LOOK

    def examine(self) -> None:
        """Read the owner byte: only a slot of the card's is touched."""
        self.stage = Stage.FETCH if self.owned() else Stage.IDLE

    def complete(self) -> None:
        """Write owner = HOST; go on unless this was the slot that the newest doorbell named."""
        slot = self.dev_i
        self.return_slot()
        self.look = self.look or slot != self.doorbell_i
