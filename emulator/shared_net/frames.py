"""Packets as records of a socket: destination, source, payload. Pure."""

from __future__ import annotations

import struct
from typing import Final

from emulator.packet import NetPacket

__all__ = ["MAX_FRAME", "WELCOME", "decode", "encode"]

_HEADER: Final = struct.Struct("<II")
MAX_FRAME: Final = 1 << 16
"""Bytes of the longest record. A card's packets are shorter by far."""
WELCOME: Final = b"\0"
"""The first record that a member gets: from now on it hears every packet. No packet is so short."""


def encode(packet: NetPacket) -> bytes:
    """The record for a packet. Raises `ValueError` if it is too long for one."""
    frame = _HEADER.pack(packet.destination, packet.source) + packet.payload
    if len(frame) > MAX_FRAME:
        raise ValueError(f"a packet of {len(packet.payload)} bytes is too long for the shared net")
    return frame


def decode(frame: bytes) -> NetPacket:
    """The packet that a record stands for. Raises `ValueError` if it stands for none."""
    if not _HEADER.size <= len(frame) <= MAX_FRAME:
        raise ValueError(f"a record has {_HEADER.size} to {MAX_FRAME} bytes, not {len(frame)}")
    destination, source = _HEADER.unpack_from(frame)
    return NetPacket(destination, source, frame[_HEADER.size :])
