"""The registers of a hostile card, and the bounds that the driver keeps to whatever they say."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from impl.dma import BUFFER_SIZE
from impl.memory import Purpose
from impl.packet import HEADER, Header, unpack_header
from judge.words import Piece, StrayAccessError
from model.layout import FLAGS, PACKET_SLOT, Register
from properties.simulation.card_port import EmulatedPort
from properties.simulation.host import CardPort, JudgedHost
from properties.simulation.threads import HostThread
from properties.simulation.weak_memory import WeakRegion

__all__ = ["BoundsReferee", "HostilePort", "Seen"]


@attrs.define(eq=False)
class HostilePort(CardPort):
    """The card's registers and interrupts.

    Attributes:
        flags: What FLAGS reads as, one after the other.
        others: What all other registers read as.
        vectors: Those that were raised.
        behaves: FLAGS reads 0 as long as this holds.
        instead: Where a card stands instead, once there is one.
    """

    flags: Iterator[int]
    others: Iterator[int]
    vectors: set[int] = attrs.field(factory=set)
    behaves: bool = False
    instead: EmulatedPort | None = None

    def read(self, register: Register) -> int:
        """What it reads as now."""
        if self.instead is not None:
            return self.instead.read(register)
        if register is FLAGS:
            return 0 if self.behaves else next(self.flags)
        return next(self.others)

    def write(self, register: Register, value: int) -> None:
        """Nothing follows from a write, unless a card stands here."""
        if self.instead is not None:
            self.instead.write(register, value)

    def enable_bus_master(self) -> None:
        """A hostile card accesses memory whenever it likes; a card that stands here, now."""
        if self.instead is not None:
            self.instead.enable_bus_master()

    def raised(self, vector: int) -> bool:
        """Whether a vector was raised and not delivered yet."""
        if self.instead is not None:
            return self.instead.raised(vector)
        return vector in self.vectors

    def deliver(self, vector: int) -> None:
        """The vector is delivered."""
        self.vectors.discard(vector)
        if self.instead is not None:
            self.instead.deliver(vector)


@attrs.define(eq=False)
class Seen:
    """What a call has seen of the card's memory: the last header, and payload."""

    header: Header | None = None
    slot: int = -1
    offset: int = -1
    payload: bytes = b""


class BoundsReferee(JudgedHost):
    """Sees to it that every access stays within its slot and its region; keeps what was loaded."""

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}

    def begin(self, thread: HostThread) -> None:
        """The thread begins a call."""
        self.seen[thread.number] = Seen()

    def payload(self, thread: HostThread) -> int:  # noqa: ARG002
        """No packet is longer than its buffers."""
        return BUFFER_SIZE

    def store(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:  # noqa: ARG002
        """Stores stay within their region."""
        _check_within(region, piece)

    def load(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:
        """Loads stay within their region, and are remembered."""
        _check_within(region, piece)
        seen = self.seen.get(thread.number)
        if seen is None:
            return
        if piece.words == ("rx.header",):
            whole = bytes(HEADER.size)
            begin = piece.offset % PACKET_SLOT.size - HEADER.offset
            whole = whole[:begin] + data + whole[begin + len(data) :]
            seen.header, seen.slot = unpack_header(whole), piece.slot
            seen.offset, seen.payload = -1, b""
        elif region.purpose is Purpose.RECEIVE_BUFFERS:
            if seen.offset + len(seen.payload) != piece.offset:
                seen.offset, seen.payload = piece.offset, b""
            seen.payload += data


def _check_within(region: WeakRegion, piece: Piece) -> None:
    if piece.offset < 0 or piece.offset + piece.size > len(region.visible):
        raise StrayAccessError(
            f"bytes {piece.offset} to {piece.offset + piece.size - 1} of the "
            f"{region.purpose.value}, which has {len(region.visible)}"
        )
