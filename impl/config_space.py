"""The command register in the PCI configuration space of the card (PCI Local Bus 3.0, 6.2.2)."""

from __future__ import annotations

import threading
from typing import Final

import attrs

from impl.kernel import Kernel

__all__ = ["BUS_MASTER", "INTERRUPT_DISABLE", "MEMORY_SPACE", "ConfigSpace"]

_COMMAND: Final = 0x04

MEMORY_SPACE: Final = 1 << 1
"""The card answers at the addresses of its BARs."""
BUS_MASTER: Final = 1 << 2
"""The card may access memory and raise MSI-X."""
INTERRUPT_DISABLE: Final = 1 << 10
"""The card does not raise INTx."""


@attrs.frozen
class ConfigSpace:
    """Configuration space, which a descriptor reaches from offset `base` on."""

    _kernel: Kernel
    _descriptor: int
    _base: int = 0
    _changing: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def change_command(self, *, set_bits: int = 0, clear_bits: int = 0) -> None:
        """Set and clear bits of the command register, if they are not as wanted already.

        Raises `OSError` if the kernel does not let us.
        """
        place = self._base + _COMMAND
        with self._changing:
            before = int.from_bytes(self._kernel.read_at(self._descriptor, 2, place), "little")
            after = before & ~clear_bits | set_bits
            if after != before:
                self._kernel.write_at(self._descriptor, after.to_bytes(2, "little"), place)
