"""The control calls of the character device: their ioctl numbers on Linux."""

from __future__ import annotations

import struct
from typing import Final

from model.layout import IOCTLS, Ioctl

__all__ = [
    "ADD_MCAST",
    "CANCEL",
    "FOREVER",
    "GET_INFO",
    "GET_READY",
    "NO_PACKET",
    "READY",
    "RM_MCAST",
    "SET_TIMEOUT",
    "TIMEOUT",
    "number_of",
]

_WRITE: Final = 1
"""The caller gives what the call carries (asm-generic/ioctl.h)."""
_READ: Final = 2
"""The caller takes it."""


def _number(direction: int, group: str, number: int, size: int) -> int:
    """The number that Linux' _IO, _IOR or _IOW makes; BSD's have the directions elsewhere."""
    return direction << 30 | size << 16 | ord(group) << 8 | number


def number_of(call: Ioctl) -> int:
    """The number of a call of the datasheet's."""
    direction = _READ if call.name.startswith("GET") else _WRITE
    return _number(direction, call.group, call.number, call.carries.size)


GET_INFO, ADD_MCAST, RM_MCAST = (number_of(call) for call in IOCTLS)

# Further calls, which the datasheet does not have: what the driver's own calls need over a file.

TIMEOUT: Final = struct.Struct("<I")
FOREVER: Final = 0xFFFF_FFFF
"""Milliseconds that stand for no limit."""
SET_TIMEOUT: Final = _number(_WRITE, "z", 128, TIMEOUT.size)
"""How many milliseconds calls of this open file may wait; then they end with ETIMEDOUT."""
CANCEL: Final = _number(0, "z", 129, 0)
"""End all calls of this open file that wait, now and later, with ECANCELED."""
READY: Final = struct.Struct("<II")
NO_PACKET: Final = 0xFFFF_FFFF
GET_READY: Final = _number(_READ, "z", 130, READY.size)
"""Bytes of the next packet's payload, or `NO_PACKET`; and how many packets could be queued."""
