"""What the driver has written to a slot that it is about to hand over."""

from __future__ import annotations

from typing import Final

from impl.memory import Purpose
from impl.packet import FIELDS, Outgoing
from judge.filters import Filters
from judge.judge import Deviation, Judge
from judge.peek import Rings
from judge.words import BUFFER_SIZE
from model.layout import LIMITS, Command, CommandSlot, unpack
from model.state import Label

__all__ = ["SlotCheck"]

PAGE: Final = LIMITS.page_size


class SlotCheck:
    """Compares what stands in a slot with what the call wants.

    Attributes:
        packets: What each thread sends.
    """

    def __init__(self, judge: Judge, rings: Rings, filters: Filters) -> None:
        self.packets: dict[int, tuple[Outgoing, ...]] = {}
        self._judge = judge
        self._now = judge.now
        self._rings = rings
        self._filters = filters

    def check(self, t: int, slot: int, sent: int) -> None:
        """Thread t is about to hand a slot over, `sent` packets after its first.

        Raises:
            Deviation: Something else stands in the slot than the call wants.
        """
        owed = self._judge.owed_owners
        match self._now["threads_pc"][t]:
            case Label.TX_OWNER:
                self._check_packet(t, slot, self.packets[t][owed.get(slot, sent)])
            case Label.TX_DOORBELL if slot in owed:
                self._check_packet(t, slot, self.packets[t][owed[slot]])
            case Label.CMD_OWNER:
                self._check_command(t, slot)
            case Label.RX_REPOST | Label.INIT_RX:
                self._check_buffers(t, slot)

    def _check_packet(self, t: int, slot: int, packet: Outgoing) -> None:
        lengths, destination, pointers = self._fields("tx", slot)
        wanted = tuple(min(max(packet.size - at, 0), PAGE) for at in range(0, BUFFER_SIZE, PAGE))
        if lengths != wanted:
            self._wrong(t, f"lengths {lengths} in transmit slot {slot}, and not {wanted}")
        if destination != packet.destination:
            self._wrong(
                t,
                f"destination {destination:#010x} in transmit slot {slot}, and not "
                f"{packet.destination:#010x}",
            )
        self._check_pointers(t, slot, lengths, pointers, Purpose.TRANSMIT_BUFFERS)

    def _fields(self, ring: str, slot: int) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """Lengths, destination and pointers of a packet slot."""
        values = FIELDS.codec.unpack(self._rings.fields(ring, slot))
        return values[: LIMITS.buffers], values[LIMITS.buffers], values[-LIMITS.buffers :]

    def _check_buffers(self, t: int, slot: int) -> None:
        lengths, _, pointers = self._fields("rx", slot)
        if lengths != (PAGE,) * LIMITS.buffers:
            self._wrong(t, f"lengths {lengths} in receive slot {slot}, and not {PAGE} each")
        self._check_pointers(t, slot, lengths, pointers, Purpose.RECEIVE_BUFFERS)

    def _check_pointers(
        self,
        t: int,
        slot: int,
        lengths: tuple[int, ...],
        pointers: tuple[int, ...],
        purpose: Purpose,
    ) -> None:
        buffers = self._rings.region(purpose)
        for page, (length, pointer) in enumerate(zip(lengths, pointers, strict=True)):
            right = buffers.bus_address(slot * BUFFER_SIZE + page * PAGE)
            if length and pointer != right:
                self._wrong(
                    t,
                    f"pointer {page} of slot {slot} is {pointer:#x}, and its page of the "
                    f"{purpose.value} is at {right:#x}",
                )

    def _check_command(self, t: int, slot: int) -> None:
        command = unpack(CommandSlot, self._rings.command(slot))
        wanted = Command(self._now["threads_kind"][t])
        if command.type != wanted:
            self._wrong(t, f"command {command.type} in slot {slot}, and not {wanted.name}")
        if wanted in {Command.ADDFILT, Command.RMFILT}:
            right = self._filters.of(self._now["threads_key"][t])
            if (command.filtmask, command.filtaddr) != right:
                self._wrong(
                    t,
                    f"{wanted.name} of mask {command.filtmask:#010x}, address "
                    f"{command.filtaddr:#010x}, and not of {right[0]:#010x}, {right[1]:#010x}",
                )

    def _wrong(self, t: int, what: str) -> None:
        raise Deviation(f"{self._judge.who(t)}: hands over {what}")
