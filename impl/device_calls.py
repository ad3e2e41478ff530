"""The control calls of the character device: their ioctl numbers on Linux."""

from __future__ import annotations

from typing import Final

from model.layout import IOCTLS, Ioctl

__all__ = ["ADD_MCAST", "GET_INFO", "RM_MCAST", "number_of"]

_WRITE: Final = 1
"""The caller gives what the call carries (asm-generic/ioctl.h)."""
_READ: Final = 2
"""The caller takes it."""


def number_of(call: Ioctl) -> int:
    """The number that Linux' _IOR or _IOW makes; BSD's have the directions elsewhere."""
    direction = _READ if call.name.startswith("GET") else _WRITE
    return direction << 30 | call.carries.size << 16 | ord(call.group) << 8 | call.number


GET_INFO, ADD_MCAST, RM_MCAST = (number_of(call) for call in IOCTLS)
