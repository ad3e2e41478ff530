"""The emulated card plugged into the host under test: its registers one way, its DMA the other."""

from __future__ import annotations

import attrs

from emulator.bus import BusError
from emulator.card import Card
from model.layout import IDENTITY, Register
from properties.simulation.host import CardPort
from properties.simulation.weak_memory import WeakMemory

__all__ = ["EmulatedPort", "VisibleMemory"]


@attrs.define(eq=False)
class VisibleMemory:
    """What the card reaches: memory as it is visible."""

    memory: WeakMemory

    def read(self, address: int, size: int) -> bytes:
        """Bytes from a bus address on. Raises `BusError` where there is no memory."""
        return bytes(self._reach(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Write bytes from a bus address on. Raises `BusError` where there is no memory."""
        self._reach(address, len(data))[:] = data

    def _reach(self, address: int, size: int) -> memoryview:
        found = self.memory.find(address, size)
        if found is None:
            raise BusError(address, size)
        region, offset = found
        return memoryview(region.visible)[offset : offset + size]


@attrs.define(eq=False)
class EmulatedPort(CardPort):
    """The card's registers and interrupts."""

    card: Card

    def read(self, register: Register) -> int:
        """Read a register."""
        return self.card.read(register)

    def write(self, register: Register, value: int) -> None:
        """A register write arrives."""
        self.card.write(register, value)

    def enable_bus_master(self) -> None:
        """The card may access memory from now on."""
        self.card.bus_master = True

    def raised(self, vector: int) -> bool:
        """The vector was raised and not delivered yet."""
        return self.card.vector1 if vector == IDENTITY.fatal_vector else self.card.vector0

    def deliver(self, vector: int) -> None:
        """The vector is delivered."""
        if vector == IDENTITY.fatal_vector:
            self.card.vector1 = False
        else:
            self.card.vector0 = False
