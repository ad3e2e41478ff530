"""Packets of a run in arrays, as a program that cares for speed has them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from impl.packet import Packet
from impl.packet_batch import PacketBatch

__all__ = ["room_for", "sendable", "taken"]

GAP = 3
"""Bytes that belong to nobody between two packets."""


def sendable(packets: Sequence[tuple[int, bytes]]) -> PacketBatch:
    """A batch of packets to be sent: destination and payload of each."""
    payloads, offsets = bytearray(GAP), array("Q")
    for _, payload in packets:
        offsets.append(len(payloads))
        payloads += payload + bytes(GAP)
    lengths = array("I", [len(payload) for _, payload in packets])
    destinations = array("I", [destination for destination, _ in packets])
    batch = PacketBatch(payloads, offsets, lengths, destinations=destinations)
    batch.filled = len(packets)
    return batch


def room_for(most: int) -> PacketBatch:
    """A batch that takes so many packets."""
    return PacketBatch(
        bytearray(most * PacketBatch.ROOM),
        array("Q", range(0, most * PacketBatch.ROOM, PacketBatch.ROOM)),
        array("I", [0] * most),
        destinations=array("I", [0] * most),
        sources=array("I", [0] * most),
    )


def taken(batch: PacketBatch) -> list[Packet]:
    """The packets that were received into a batch of `room_for`."""
    assert batch.sources is not None
    assert batch.destinations is not None
    return [
        Packet(
            batch.sources[number],
            batch.destinations[number],
            bytes(batch.payloads[batch.offsets[number] :][: batch.lengths[number]]),
        )
        for number in range(batch.filled)
    ]
