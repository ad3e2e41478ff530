"""The receive engine: from the net to a slot of the receive ring.

A slot's buffers hold what its lengths say, which may be less than a packet. That shows only when
the slot is read; the packet is dropped then, RXJUMBO, and the slot is used for the next one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import attrs

from emulator.buffers import first_half, write_buffers
from emulator.packet import NetPacket
from emulator.ring_engine import Engine
from model.layout import LIMITS, PACKET_SLOT, Owner, PacketSlot, unpack
from model.state import Flags, Stage

__all__ = ["Arrival", "ReceiveEngine"]

_LENGTH: Final = PACKET_SLOT.part("pktlen")
_ADDRESSES: Final = PACKET_SLOT.part("dest", "src")


class Arrival(enum.Enum):
    """What became of a packet that came from the net."""

    TAKEN = "the receive engine has it"
    IGNORED = "no filter accepts it"
    JUMBO = "longer than any slot's buffers: dropped, RXJUMBO"
    NOT_NOW = "the receive engine is busy, or packet traffic is off"


@attrs.define(eq=False)
class ReceiveEngine(Engine):
    """The engine of the receive ring.

    Attributes:
        arriving: The packet in hand.
        slot: The slot's fields as fetched.
        no_slot: RXDROP in EVFLAGS.
        jumbo: RXJUMBO in EVFLAGS.
    """

    arriving: NetPacket = attrs.field(default=NetPacket(0, 0), init=False)
    slot: PacketSlot = attrs.field(default=PacketSlot(Owner.HOST), init=False)
    no_slot: bool = attrs.field(default=False, init=False)
    jumbo: bool = attrs.field(default=False, init=False)

    @property
    def dropped(self) -> bool:
        """RXDROP or RXJUMBO in EVFLAGS."""
        return self.no_slot or self.jumbo

    def forget(self) -> None:
        """What a reset does."""
        super().forget()
        self.no_slot = False
        self.jumbo = False

    def stages(self) -> dict[Stage, Callable[[], None]]:
        """The step at each stage."""
        return {
            Stage.LOOK: self.examine,
            Stage.FETCH: self.fetch,
            Stage.WRITE_FIRST_WORD: self.write_first_word,
            Stage.WRITE_LAST_WORD: self.write_last_word,
            Stage.WRITE_HEADER: self.write_header,
            Stage.WRITE_OWNER: self.complete,
        }

    def add_steps(self, steps: list[str]) -> None:
        """Append the name of the step that the engine may take, while the card works."""
        if self.stage is not Stage.IDLE:
            steps.append(self.next[self.stage])

    def may_arrive(self) -> bool:
        """Whether the engine is at rest and may take a packet."""
        card = self.card
        return (
            self.stage is Stage.IDLE
            and card.started
            and not card.stopping
            and card.flags is Flags.CLEAR
        )

    def arrive(self, packet: NetPacket) -> Arrival:
        """A packet arrives from the net."""
        if not self.may_arrive():
            return Arrival.NOT_NOW
        if not self.card.accepts(packet.destination):
            return Arrival.IGNORED
        if len(packet.payload) > LIMITS.max_packet:
            self._drop_jumbo()
            return Arrival.JUMBO
        self.arriving = packet
        self.stage = Stage.LOOK
        return Arrival.TAKEN

    def examine(self) -> None:
        """Read the owner byte: a slot of the card's is filled; without one the packet drops."""
        if self.owned():
            self.stage = Stage.FETCH
        else:
            self.stage = Stage.IDLE
            self.no_slot = True
            self.card.raising = True

    def fetch(self) -> None:
        """Read the slot's buffer pointers and lengths."""
        self.slot = unpack(PacketSlot, self.read_slot())
        size = len(self.arriving.payload)
        if size > sum(self.slot.length):
            self.stage = Stage.IDLE
            self._drop_jumbo()
        else:
            self.stage = Stage.WRITE_FIRST_WORD if size else Stage.WRITE_HEADER

    def write_first_word(self) -> None:
        """Write the first half of the payload, the longer one, to the buffers."""
        payload = self.arriving.payload
        write_buffers(self.card.dma, self.slot, 0, payload[: first_half(len(payload))])
        self.stage = Stage.WRITE_LAST_WORD

    def write_last_word(self) -> None:
        """Write the second half of the payload to the buffers."""
        payload = self.arriving.payload
        half = first_half(len(payload))
        write_buffers(self.card.dma, self.slot, half, payload[half:])
        self.stage = Stage.WRITE_HEADER

    def write_header(self) -> None:
        """Write length, destination and source to the slot."""
        packet = self.arriving
        self.write_slot(_LENGTH, len(packet.payload))
        self.write_slot(_ADDRESSES, packet.destination, packet.source)
        self.stage = Stage.WRITE_OWNER

    def complete(self) -> None:
        """Write owner = HOST: the packet is the host's."""
        self.return_slot()

    def _drop_jumbo(self) -> None:
        self.jumbo = True
        self.card.raising = True
