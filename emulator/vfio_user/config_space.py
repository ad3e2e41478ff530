"""The card's PCI configuration space: 256 bytes, and which bits of them the host may change.

Sizing needs no rule of its own: the low bits of a BAR cannot be written, so whoever writes ones
reads back its size. Nothing happens when a bit changes; whoever owns the space looks at it.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs

from model.layout import IDENTITY

__all__ = ["BARS", "MSIX_BAR", "PBA_OFFSET", "SIZE", "TABLE_SIZE", "ConfigSpace"]

SIZE: Final = 256
BARS: Final = {0: IDENTITY.bar0_size, 1: 4096}
"""Bytes of each BAR. The registers fill BAR0, so the MSI-X tables have a page of their own."""
MSIX_BAR: Final = 1
TABLE_SIZE: Final = 16 * IDENTITY.vectors
"""Bytes of the MSI-X table, at the start of its BAR."""
PBA_OFFSET: Final = 0x800
"""Where the MSI-X pending bits begin in the same BAR."""

_COMMAND: Final = 0x04
_STATUS: Final = 0x06
_REVISION: Final = 0x08
_BAR0: Final = 0x10
_SUBSYSTEM: Final = 0x2C
_CAPABILITIES: Final = 0x34
_INTERRUPT_LINE: Final = 0x3C
_INTERRUPT_PIN: Final = 0x3D
_MSIX: Final = 0x40
_MSIX_CONTROL: Final = _MSIX + 2

_NETWORK_OTHER: Final = 0x028000
_MSIX_CAPABILITY: Final = 0x11
_HAS_CAPABILITIES: Final = 1 << 4
_INTERRUPT_STATUS: Final = 1 << 3
_MEMORY: Final = 1 << 1
_BUS_MASTER: Final = 1 << 2
_INTERRUPT_DISABLE: Final = 1 << 10
_MSIX_ENABLE: Final = 1 << 15
_MSIX_MASK_ALL: Final = 1 << 14


def _at_reset() -> bytearray:
    space = bytearray(SIZE)
    struct.pack_into("<HH", space, 0, IDENTITY.vendor, IDENTITY.product)
    struct.pack_into("<H", space, _STATUS, _HAS_CAPABILITIES)
    struct.pack_into("<I", space, _REVISION, _NETWORK_OTHER << 8 | IDENTITY.revision)
    struct.pack_into("<HH", space, _SUBSYSTEM, IDENTITY.vendor, IDENTITY.product)
    space[_CAPABILITIES] = _MSIX
    space[_INTERRUPT_PIN] = IDENTITY.intx_pin
    struct.pack_into(
        "<BBHII",
        space,
        _MSIX,
        _MSIX_CAPABILITY,
        0,
        IDENTITY.vectors - 1,
        MSIX_BAR,
        PBA_OFFSET | MSIX_BAR,
    )
    return space


def _writable() -> int:
    mask = bytearray(SIZE)
    struct.pack_into("<H", mask, _COMMAND, _MEMORY | _BUS_MASTER | _INTERRUPT_DISABLE)
    for index, size in BARS.items():
        struct.pack_into("<I", mask, _BAR0 + 4 * index, 0x1_0000_0000 - size)
    mask[_INTERRUPT_LINE] = 0xFF
    struct.pack_into("<H", mask, _MSIX_CONTROL, _MSIX_ENABLE | _MSIX_MASK_ALL)
    return int.from_bytes(mask, "little")


_WRITABLE: Final = _writable()


@attrs.define
class ConfigSpace:
    """The configuration space, as it is after power-on until somebody writes to it.

    Attributes:
        interrupt: An interrupt by INTx is due; bit 3 of the status register shows it.
    """

    interrupt: bool = False
    _bytes: bytearray = attrs.field(factory=_at_reset, init=False, repr=False)

    def read(self, offset: int, count: int) -> bytes:
        """The `count` bytes at `offset`. Raises `IndexError` if there are none."""
        self._check(offset, count)
        self._bytes[_STATUS] = _HAS_CAPABILITIES | self.interrupt * _INTERRUPT_STATUS
        return bytes(self._bytes[offset : offset + count])

    def write(self, offset: int, data: bytes) -> None:
        """Change the bits that may be changed. Raises `IndexError` outside of the space."""
        self._check(offset, len(data))
        end = offset + len(data)
        mask = _WRITABLE >> 8 * offset
        new = int.from_bytes(data, "little") & mask
        old = int.from_bytes(self._bytes[offset:end], "little") & ~mask
        self._bytes[offset:end] = (old | new).to_bytes(len(data), "little")

    def reset(self) -> None:
        """Be as after power-on."""
        self._bytes[:] = _at_reset()

    @property
    def memory(self) -> bool:
        """The Memory Space bit: the BARs are decoded."""
        return self._bit(_COMMAND, _MEMORY)

    @property
    def bus_master(self) -> bool:
        """The Bus Master bit."""
        return self._bit(_COMMAND, _BUS_MASTER)

    @property
    def interrupt_disable(self) -> bool:
        """The Interrupt Disable bit: no INTx."""
        return self._bit(_COMMAND, _INTERRUPT_DISABLE)

    @property
    def msix(self) -> bool:
        """The MSI-X Enable bit."""
        return self._bit(_MSIX_CONTROL, _MSIX_ENABLE)

    def _bit(self, offset: int, mask: int) -> bool:
        return bool(int.from_bytes(self._bytes[offset : offset + 2], "little") & mask)

    @staticmethod
    def _check(offset: int, count: int) -> None:
        if offset < 0 or count < 0 or offset + count > SIZE:
            raise IndexError(
                f"{count} bytes at offset {offset} are not within the {SIZE} bytes of "
                f"configuration space"
            )
