"""The in-process backend: addresses `emulated:` and `emulated:NAME`.

`open_emulated` is what the driver calls. Behind it stands a `Laboratory`, in which cards exist from
the first time they are named, all on one net, and keep their power, so that whoever opens an
address again meets the same card, in whatever state it was left. The module keeps one laboratory
for the process; tests may have their own.

    device = open_emulated("a")
    default().card("a").fail()
"""

from __future__ import annotations

import errno
import os
import re
import threading
import zlib
from typing import Final

import attrs

from emulator.card_state import DEFAULT_HWADDR
from emulator.counters import Counters
from emulator.memory import AddressSpace
from emulator.net import Ductnet
from emulator.running import RunningCard
from emulator.services import attach_services
from impl.memory import Device, DmaRegion, Purpose
from model.layout import IDENTITY, SERVICES, UNICAST, Register

__all__ = ["EmulatedDevice", "Laboratory", "default", "open_emulated"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]*")


@attrs.define(eq=False)
class _Interrupts:
    """Vectors that were raised and that nobody waited for yet."""

    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _raised: set[int] = attrs.field(factory=set, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def take_up(self, vector: int) -> None:
        with self._changed:
            self._raised.add(vector)
            self._changed.notify_all()

    def wait(self, vector: int) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or vector in self._raised)
            if self._closed:
                return False
            self._raised.remove(vector)
            return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class EmulatedDevice(Device):
    """An emulated card as the driver reaches it. `Laboratory.open` makes one.

    Attributes:
        address: What it was opened by.
        memory: The memory that the card reaches.
    """

    def __init__(self, laboratory: Laboratory, name: str) -> None:
        self.address = f"emulated:{name}"
        self._laboratory = laboratory
        self._name = name
        self._card = laboratory.card(name)
        self.memory = laboratory.memory(name)
        self._interrupts = _Interrupts()
        self._closed = False
        self._closing = threading.Lock()
        self._card.connect(self._interrupts.take_up)

    @property
    def counters(self) -> Counters:
        """What was counted so far, as it is now."""
        return attrs.evolve(self._card.counters)

    # Memory

    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        """A new region of at least `size` bytes, filled with garbage."""
        self._require_open()
        return self.memory.allocate(size, purpose)

    def free(self, region: DmaRegion) -> None:
        """Give a region back; the card reaches it no more."""
        if not self._closed:
            self.memory.free(region)

    # Barriers. Card and driver are threads of one interpreter, whose lock is handed over between
    # any two of their accesses. So every access is visible to the other side when it is made, in
    # the order of the program, and register writes are not posted. An interpreter without that
    # lock would need real barriers here.

    def acquire(self) -> None:
        """Nothing: no load is ever early."""

    def release(self) -> None:
        """Nothing: stores are visible in program order."""

    def release_loads(self) -> None:
        """Nothing: no load is ever late."""

    def before_register_write(self) -> None:
        """Nothing: stores are visible in program order."""

    def fence(self) -> None:
        """Nothing: stores are visible at once."""

    # Registers

    def read(self, register: Register) -> int:
        """Read a register."""
        self._require_open()
        return self._card.read(register)

    def write(self, register: Register, value: int) -> None:
        """Write a register."""
        self._require_open()
        self._card.write(register, value)

    # Bus mastering

    def enable_bus_master(self) -> None:
        """Let the card access memory and raise vectors."""
        self._require_open()
        self._card.set_bus_master(True)

    # Interrupts

    def wait_for_interrupt(self, vector: int) -> bool:
        """Wait until the card raises `vector`; False when the device was closed instead."""
        if not 0 <= vector < IDENTITY.vectors:
            raise ValueError(f"the card has vectors 0 to {IDENTITY.vectors - 1}, not {vector}")
        return self._interrupts.wait(vector)

    def close(self) -> None:
        """Let go of the card, which keeps its power but reaches no memory. Idempotent."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._card.set_bus_master(False)
            self._card.connect(None)
            self.memory.free_all()
            self._interrupts.close()
            # Last, since from here on somebody else may open the card.
            self._laboratory.let_go(self._name)

    def _require_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, f"{self.address} was closed")


@attrs.frozen(eq=False)
class _Place:
    """Where a card stands in the laboratory."""

    card: RunningCard
    memory: AddressSpace


class Laboratory:
    """Emulated cards by name, on one net with the services of the public test network.

    Attributes:
        net: The net.
    """

    def __init__(self) -> None:
        self.net = Ductnet()
        attach_services(self.net)
        self._places: dict[str, _Place] = {}
        self._open: dict[str, EmulatedDevice] = {}
        self._lock = threading.RLock()

    def card(self, name: str = "") -> RunningCard:
        """The card of this name, running; it begins to exist when it is first named.

        Raises:
            ValueError: It cannot be a name.
        """
        return self._place(name).card

    def memory(self, name: str = "") -> AddressSpace:
        """The memory that this card reaches."""
        return self._place(name).memory

    def open(self, name: str = "") -> EmulatedDevice:
        """Open a card for a driver. One driver at a time has it.

        Raises:
            ValueError: It cannot be a name.
            OSError: The card is open (EBUSY).
        """
        with self._lock:
            if name in self._open:
                raise OSError(errno.EBUSY, f"{os.strerror(errno.EBUSY)}: emulated:{name}")
            device = EmulatedDevice(self, name)
            self._open[name] = device
            return device

    def let_go(self, name: str) -> None:
        """The device that has the card was closed."""
        with self._lock:
            del self._open[name]

    def power_off(self) -> None:
        """Close and switch off everything."""
        with self._lock:
            devices, places = list(self._open.values()), list(self._places.values())
            self._places.clear()
        for device in devices:
            device.close()
        for place in places:
            place.card.power_off()

    def _place(self, name: str) -> _Place:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"the name of an emulated card consists of letters, digits, - and _, not {name!r}"
            )
        with self._lock:
            place = self._places.get(name)
            if place is None:
                counters = Counters()
                memory = AddressSpace(counters)
                card = RunningCard(
                    memory, self.net, hwaddr=self._new_hwaddr(name), counters=counters
                )
                place = self._places[name] = _Place(card, memory)
            return place

    def _new_hwaddr(self, name: str) -> int:
        """A unicast address that nothing else on the net has; mostly the same one for a name."""
        taken = {place.card.card.hwaddr for place in self._places.values()}
        taken |= {service.address for service in SERVICES}
        if not name:
            return DEFAULT_HWADDR
        taken.add(DEFAULT_HWADDR)
        address = zlib.crc32(name.encode()) & UNICAST
        while address in taken:
            address = address + 1 & UNICAST
        return address


_LABORATORY: Final = Laboratory()


def default() -> Laboratory:
    """The laboratory of this process."""
    return _LABORATORY


def open_emulated(rest: str) -> Device:
    """Open the card at address `emulated:` + `rest`, in the laboratory of this process.

    Raises:
        ValueError: `rest` is neither empty nor a name.
        OSError: The card is open already (EBUSY).
    """
    return _LABORATORY.open(rest)
