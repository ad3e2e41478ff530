"""What the card's three engines have in common: a ring, an index, and one slot at a time.

An engine's methods are the steps of `model.device_spec`, under the same names, without their
guards: `Card.take` sees to those. `Engine.stages` says which of them comes at which stage. A ring
that cannot be reached shows when its memory is accessed, not when its address is written, and is
FLTB: the address came from a BAR register.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Final

import attrs

from emulator.bus import BusError
from emulator.card_state import CardState, FatalError
from model.layout import FLTB, PACKET_SLOT, Owner, Part, Ring
from model.state import Stage

__all__ = ["Engine", "RequestEngine"]

_DEVICE: Final = int(Owner.DEVICE)
_HOST: Final = int(Owner.HOST)
_OWNER: Final = PACKET_SLOT.part("owner")
"""The first byte of every slot, whichever ring it is on."""


@attrs.define(eq=False)
class Engine(abc.ABC):
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
        next: The name of the step at each stage.
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
    next: dict[Stage, str] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.next = {stage: self._name(do.__name__) for stage, do in self.stages().items()}

    @abc.abstractmethod
    def stages(self) -> dict[Stage, Callable[[], None]]:
        """The step at each stage."""

    def steps(self) -> dict[str, Callable[[], None]]:
        """The steps of its walk along the ring, by name, in a fixed order."""
        return {self._name(do.__name__): do for do in self.stages().values()}

    def _name(self, step: str) -> str:
        return f"{self.ring.name.lower()}.{step}"

    def forget(self) -> None:
        """What a reset does."""
        self.stage = Stage.IDLE
        self.dev_i = 0
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
        return self._read(_OWNER.size)[0] == _DEVICE

    def read_slot(self) -> bytes:
        """Read the slot."""
        return self._read(self.ring.slot.size)

    def write_slot(self, part: Part, *numbers: int) -> None:
        """Write a part of the slot, in one access."""
        try:
            self.card.dma.write(self._address() + part.offset, part.codec.pack(*numbers))
        except BusError as error:
            raise FatalError(FLTB) from error

    def return_slot(self) -> None:
        """Write owner = HOST and move on to the next slot."""
        self.write_slot(_OWNER, _HOST)
        self.dev_i = self.dev_i + 1 & (1 << self.shift) - 1
        self.due = True
        self.stage = Stage.IDLE

    def _read(self, size: int) -> bytes:
        try:
            return self.card.dma.read(self._address(), size)
        except BusError as error:
            raise FatalError(FLTB) from error

    def _address(self) -> int:
        return self.base + self.ring.offset(self.dev_i)


@attrs.define(eq=False)
class RequestEngine(Engine):
    """An engine that the host sends requests to: commands, or packets to send.

    Attributes:
        look: A doorbell rang and the card must look at the slot at its index.
        doorbell_i: The index that came with the newest doorbell.
    """

    look: bool = attrs.field(default=False, init=False)
    doorbell_i: int = attrs.field(default=0, init=False)

    def steps(self) -> dict[str, Callable[[], None]]:
        """The steps of its walk along the ring, by name, in a fixed order."""
        looks = {self._name("look"): self.begin, self._name("look_ahead"): self.begin_unasked}
        return {**looks, **super().steps()}

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
