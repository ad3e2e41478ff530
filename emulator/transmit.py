"""The transmit engine: from a slot of the transmit ring to the net.

The payload is read in two halves, since the specification reads an early and a late word of it. A
packet of more than 16384 bytes is no packet; the datasheet has no error bit for it, so it is HWERR.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from emulator.buffers import first_half, read_buffers
from emulator.card_state import FatalError
from emulator.packet import NetPacket
from emulator.ring_engine import RequestEngine
from model.layout import HWERR, LIMITS, Owner, PacketSlot, unpack
from model.state import Stage

__all__ = ["TransmitEngine"]


@attrs.define(eq=False)
class TransmitEngine(RequestEngine):
    """The engine of the transmit ring.

    Attributes:
        slot: The slot's fields as fetched.
        size: Bytes of the packet.
        head: The first half of the payload, the longer one, as read.
        tail: The second half, as read.
    """

    slot: PacketSlot = attrs.field(default=PacketSlot(Owner.HOST), init=False)
    size: int = attrs.field(default=0, init=False)
    head: bytes = attrs.field(default=b"", init=False)
    tail: bytes = attrs.field(default=b"", init=False)

    def stages(self) -> dict[Stage, Callable[[], None]]:
        """The step at each stage."""
        return {
            Stage.LOOK: self.examine,
            Stage.FETCH: self.fetch,
            Stage.READ_FIRST_WORD: self.read_first_word,
            Stage.READ_LAST_WORD: self.read_last_word,
            Stage.SEND: self.send,
            Stage.WRITE_OWNER: self.complete,
        }

    def add_steps(self, steps: list[str]) -> None:
        """Append the names of the steps that the engine may take, while the card works."""
        card = self.card
        if self.stage is not Stage.IDLE:
            steps.append(self.next[self.stage])
        elif card.started:
            if not card.stopping:
                if self.look:
                    steps.append("tx.look")
                steps.append("tx.look_ahead")
            elif card.bus_master and self._left_over():
                steps.append("tx.look_ahead")

    def _left_over(self) -> bool:
        """Whether STOP finds a slot of the card's, which it may finish or leave.

        A look that finds nothing must not keep STOP waiting, so the guard itself reads the byte.
        """
        try:
            return self.owned()
        except FatalError:
            return False

    def fetch(self) -> None:
        """Read the slot's fields: length and buffer pointers."""
        self.slot = unpack(PacketSlot, self.read_slot())
        self.size = sum(self.slot.length)
        if self.size > LIMITS.max_packet:
            raise FatalError(HWERR)
        self.head = self.tail = b""
        self.stage = Stage.READ_FIRST_WORD if self.size else Stage.SEND

    def read_first_word(self) -> None:
        """Read the first half of the payload."""
        self.head = read_buffers(self.card.dma, self.slot, 0, first_half(self.size))
        self.stage = Stage.READ_LAST_WORD

    def read_last_word(self) -> None:
        """Read the second half of the payload."""
        half = first_half(self.size)
        self.tail = read_buffers(self.card.dma, self.slot, half, self.size - half)
        self.stage = Stage.SEND

    def send(self) -> None:
        """Put the packet on the net, from the card's own address whatever the slot says."""
        card = self.card
        self.stage = Stage.WRITE_OWNER
        card.transmit(NetPacket(self.slot.dest, card.hwaddr, self.head + self.tail))
