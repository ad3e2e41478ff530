"""The PCI function: the card's registers, configuration space and interrupts, as regions.

What the host's accesses mean:

* Registers take one access of their width; any other access to BAR0 writes nothing and reads zeros.
* The Memory Space bit is kept, and has no effect: which addresses lead to the BARs is the client's
  business, and one that has no addresses need not set it.
* The MSI-X table is memory that nothing depends on, since clients tell their vectors by eventfds.
* INTx is due while EVFLAGS is not 0, or FLAGS holds an error. A reset under way is no reason. A
  card that was told to lose its interrupts does not assert it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from emulator.running import RunningCard
from emulator.vfio_user import config_space
from emulator.vfio_user.config_space import BARS, MSIX_BAR, PBA_OFFSET, TABLE_SIZE, ConfigSpace
from emulator.vfio_user.interrupts import IRQS, Interrupts
from emulator.vfio_user.protocol import DeviceInfo, IrqInfo, IrqSet, RegionInfo
from model.layout import FLAGS, REGISTERS, RST, is_fatal

__all__ = ["PciFunction"]

_CONFIG: Final = 7
_REGIONS: Final = 9
_SIZES: Final = {**BARS, _CONFIG: config_space.SIZE}
_BY_PLACE: Final = {(register.offset, register.size): register for register in REGISTERS}


def _table_at_reset() -> bytearray:
    """Every vector is masked: bit 0 of the last word of its entry."""
    return bytearray((b"\0" * 12 + b"\1\0\0\0") * (TABLE_SIZE // 16))


class PciFunction:
    """The card on a PCI bus.

    Attributes:
        running: The card.
        config: Its configuration space.
        interrupts: Its interrupts.
    """

    def __init__(self, running: RunningCard) -> None:
        self.running = running
        self.config = ConfigSpace()
        self.interrupts = Interrupts(self.config, self._is_due)
        self._table = _table_at_reset()

    # What it is

    @staticmethod
    def info() -> DeviceInfo:
        """What the function is."""
        flags = DeviceInfo.RESET | DeviceInfo.PCI
        return DeviceInfo(DeviceInfo.codec.size, flags, _REGIONS, len(IRQS))

    @staticmethod
    def region_info(index: int) -> RegionInfo:
        """What a region is. Raises `OSError` (EINVAL) if there is none."""
        if index >= _REGIONS:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        size = _SIZES.get(index, 0)
        flags = RegionInfo.READ | RegionInfo.WRITE if size else 0
        return RegionInfo(RegionInfo.codec.size, flags, index, size=size)

    @staticmethod
    def irq_info(index: int) -> IrqInfo:
        """What a type of interrupts is. Raises `OSError` (EINVAL) if there is none."""
        if index not in IRQS:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        count, flags = IRQS[index]
        return IrqInfo(IrqInfo.codec.size, flags, index, count)

    # What the host does with it

    def connect(self) -> None:
        """Somebody is there to be told of interrupts. The card is as after power-on."""
        self.running.connect(self.interrupts.take_up)

    def disconnect(self) -> None:
        """Nobody is there. When this returns, the card accesses no memory and tells nobody."""
        self.interrupts.release()
        self.reset()
        self.running.connect(None)
        with self.running.held():
            self.interrupts.disconnect()

    def reset(self) -> None:
        """Be as after power-on; who is told of interrupts stays."""
        self.running.set_bus_master(False)
        with self.running.held() as card:
            card.write(FLAGS, RST.mask)
            card.take("card.reset_over")
            card.vector0 = card.vector1 = False
            self.config.reset()
            self._table = _table_at_reset()
            self.interrupts.forget()

    def set_irqs(self, wanted: IrqSet, fds: Sequence[int]) -> None:
        """Change who is told of interrupts. Raises what `Interrupts.set` does."""
        with self.running.held():
            self.interrupts.set(wanted, fds)

    def read(self, region: int, offset: int, count: int) -> bytes:
        """Read from a region. Raises `OSError` (EINVAL) outside of it."""
        self._check(region, offset, count)
        if region == _CONFIG:
            with self.running.held():
                self.interrupts.update()
                return self.config.read(offset, count)
        if region == MSIX_BAR:
            return self._read_msix(offset, count)
        register = _BY_PLACE.get((offset, count))
        value = self.running.read(register) if register else 0
        return value.to_bytes(count, "little")

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Write to a region. Raises `OSError` (EINVAL) outside of it."""
        self._check(region, offset, len(data))
        if region == _CONFIG:
            self._write_config(offset, data)
        elif region == MSIX_BAR:
            part = data[: max(TABLE_SIZE - offset, 0)]
            self._table[offset : offset + len(part)] = part
        elif register := _BY_PLACE.get((offset, len(data))):
            self.running.write(register, int.from_bytes(data, "little"))
            if self.interrupts.uses_intx:
                with self.running.held():
                    self.interrupts.update()

    def _check(self, region: int, offset: int, count: int) -> None:
        if offset + count > _SIZES.get(region, 0):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def _read_msix(self, offset: int, count: int) -> bytes:
        bar = bytearray(BARS[MSIX_BAR])
        bar[:TABLE_SIZE] = self._table
        bar[PBA_OFFSET : PBA_OFFSET + 8] = self.interrupts.pending.to_bytes(8, "little")
        return bytes(bar[offset : offset + count])

    def _write_config(self, offset: int, data: bytes) -> None:
        with self.running.held():
            before, had_msix = self.config.bus_master, self.config.msix
            self.config.write(offset, data)
            now = self.config.bus_master
            if had_msix and not self.config.msix:
                self.interrupts.forget()
            self.interrupts.update()
        if now != before:
            self.running.set_bus_master(now)

    def _is_due(self) -> bool:
        if self.running.silent:
            return False
        card = self.running.card
        events = card.tx.event or card.cmd.event or card.rx.event or card.rx.dropped
        return events or is_fatal(card.flag_bits)
