"""A card that is reached through the kernel: what UIO and VFIO have in common.

Each of the two puts such a device together of its parts.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from typing import Final, Protocol

from impl.barriers import Barriers
from impl.config_space import BUS_MASTER, ConfigSpace
from impl.interrupts import Interrupts, Wake
from impl.kernel import RegisterWindow
from impl.mapped import MappedRegion
from impl.memory import Device, DmaRegion, Purpose
from impl.watchdog import Watchdog
from model.layout import EVFLAGS, FLAGS, IDENTITY, Register, is_fatal

__all__ = ["DmaMemory", "HardwareDevice"]

EVENTS: Final = IDENTITY.event_vector
FATAL: Final = IDENTITY.fatal_vector


class DmaMemory(Protocol):
    """Where regions come from."""

    def allocate(self, size: int, purpose: Purpose) -> MappedRegion:
        """A new region of at least `size` bytes. Raises `OSError` if there is no memory for it."""
        ...

    def free(self, region: MappedRegion) -> None:
        """Let the card reach the region no more."""
        ...


class HardwareDevice(Device):
    """A real card.

    Args:
        address: What it was opened by.
        registers: Its registers.
        config: Its configuration space; its Bus Master bit is clear.
        memory: Where its DMA memory comes from.
        interrupts: Its interrupts.
        barriers: The barriers of this machine.
        advice: What to check if interrupts are lost.
        teardown: What is to be done at close, after the last wait has ended. The device takes it
            over as soon as nothing can go wrong any more.
    """

    def __init__(
        self,
        address: str,
        *,
        registers: RegisterWindow,
        config: ConfigSpace,
        memory: DmaMemory,
        interrupts: Interrupts,
        barriers: Barriers,
        advice: str,
        teardown: contextlib.ExitStack,
    ) -> None:
        self.address = address
        self._by_width = {32: registers.words, 64: registers.double_words}
        self.words = registers.words
        self._config = config
        self._memory = memory
        self._interrupts = interrupts
        # A call less for each, of which a packet takes four.
        self.acquire = barriers.acquire  # type: ignore[method-assign]
        self.release = barriers.release  # type: ignore[method-assign]
        self.release_loads = barriers.release_loads  # type: ignore[method-assign]
        self._barriers = barriers
        # An event may be taken note of before its interrupt was sent, which is then withdrawn; an
        # error stays until a reset.
        self._watchdogs = {
            EVENTS: Watchdog(address, EVENTS, limit=3, advice=advice),
            FATAL: Watchdog(address, FATAL, limit=1, advice=advice),
        }
        self._regions: set[DmaRegion] = set()
        self._failed = False
        self._closed = False
        self._closing = threading.Lock()
        # The last wait ends before anything else is done.
        teardown.callback(interrupts.close)
        self._teardown = teardown.pop_all()

    # Memory

    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        """A new region of at least `size` bytes. Raises `OSError` if there is no memory for it."""
        self._require_open()
        region = self._memory.allocate(size, purpose)
        self._regions.add(region)
        return region

    def free(self, region: DmaRegion) -> None:
        """Give a region back. Raises `ValueError` if it is not this card's, or was freed before."""
        if self._closed:
            return
        if not isinstance(region, MappedRegion) or region not in self._regions:
            raise ValueError("the region is not this card's, or was freed before")
        self._regions.remove(region)
        self._memory.free(region)

    # Barriers

    def acquire(self) -> None:
        """No later load is satisfied before an earlier load or register read."""
        self._barriers.acquire()

    def release(self) -> None:
        """No later store becomes visible before an earlier store."""
        self._barriers.release()

    def release_loads(self) -> None:
        """No later store becomes visible before an earlier load or register read is satisfied."""
        self._barriers.release_loads()

    def before_register_write(self) -> None:
        """No later register write reaches the card before an earlier store is visible to it."""
        self._barriers.before_register_write()

    def fence(self) -> None:
        """Return when every earlier store is visible to the card."""
        self._barriers.fence()

    # Registers

    def read(self, register: Register) -> int:
        """Read a register."""
        self._require_open()
        value = self._by_width[register.width][register.offset // register.size]
        if register is EVFLAGS:
            if value:
                self._watchdogs[EVENTS].saw_reason()
        elif register is FLAGS:
            self._look_at(value)
        return value

    def _look_at(self, flags: int) -> None:
        failed = is_fatal(flags)
        if failed and not self._failed:
            self._watchdogs[FATAL].saw_reason()
        if failed != self._failed:
            self._failed = failed
            self._interrupts.set_failed(failed)

    def write(self, register: Register, value: int) -> None:
        """Write a register."""
        self._require_open()
        self._by_width[register.width][register.offset // register.size] = value

    # Bus mastering

    def enable_bus_master(self) -> None:
        """Let the card access memory and raise vectors. Raises `OSError` if the kernel refuses."""
        self._require_open()
        self._config.change_command(set_bits=BUS_MASTER)

    # Interrupts

    def wait_for_interrupt(self, vector: int) -> bool:
        """Wait until the card raises `vector`, or for a while; False when the device was closed.

        A wait that ends without an interrupt is one for no reason, which drivers have to bear with
        in any case (`impl.watchdog`).
        """
        watchdog = self._watchdogs.get(vector)
        if watchdog is None:
            raise ValueError(f"the card has vectors 0 to {IDENTITY.vectors - 1}, not {vector}")
        wake = self._interrupts.wait(vector, watchdog.patience)
        watchdog.woken(by_interrupt=wake is Wake.INTERRUPT)
        return wake is not Wake.CLOSED

    def close(self) -> None:
        """Let go of the card, which reaches no memory any more. Idempotent."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._regions.clear()
            self._teardown.close()

    def _require_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, f"{self.address} was closed")
