"""The card through Linux UIO: `uio:0000:00:05.0`, `uio:3301:2000`, or `uio:` for the only card.

The function is bound to `uio_pci_generic` (`ductctl bind uio`). Registers are mapped through sysfs,
memory comes from huge pages, and the one interrupt line, INTx, stands for both vectors; a function
without an interrupt is polled. Nothing confines the card to the memory that it was given, so all of
this is for root: `vfio:` is the better way wherever there is an IOMMU.

Files and their meaning: the kernel's Documentation/driver-api/uio-howto.rst and
Documentation/PCI/sysfs-pci.rst.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Final

from impl.barriers import Barriers
from impl.config_space import BUS_MASTER, INTERRUPT_DISABLE, MEMORY_SPACE, ConfigSpace
from impl.errors import CardInUseError, NotPermittedError, NotSetUpError
from impl.hardware import HardwareDevice
from impl.huge_pages import PAGE_MAP, HugePageMemory
from impl.interrupts import Clock, Interrupts, SharedLine
from impl.kernel import Kernel, linux
from impl.memory import Device
from impl.opening import opened
from impl.pci import PciFunction, find_card
from model.layout import IDENTITY

__all__ = ["open_uio", "open_uio_on"]

DRIVER: Final = "uio_pci_generic"
LOCKDOWN: Final = "/sys/kernel/security/lockdown"
INTERVALS: Final = (0.001, 0.01)
"""Seconds between two looks at a card without an interrupt: for events, for fatal errors."""
INTERRUPT_COUNT: Final = 4
"""Bytes that are read from the device: how many interrupts there were."""
ADVICE: Final = (
    "Check that the line in /proc/interrupts counts, and that no other driver of a shared line "
    "has disabled it (dmesg: nobody cared)."
)


def open_uio(rest: str) -> Device:
    """Open the card at address `uio:` + `rest`.

    Raises:
        DuctError: It cannot be reached; the message says what to do.
    """
    return open_uio_on(linux(), rest)


def open_uio_on(kernel: Kernel, rest: str) -> Device:
    """Open a card that `kernel` knows. Raises what `open_uio` does."""
    barriers = Barriers.of_this_machine()
    function = find_card(kernel.root, rest)
    _check(kernel, function)
    with contextlib.ExitStack() as undo:
        sysfs = f"/sys/bus/pci/devices/{function.address}"
        device = opened(kernel, undo, f"/dev/{function.uio_name}")
        if not kernel.lock(device):
            raise CardInUseError(
                f"{function.address} is in use: another process has /dev/{function.uio_name}, or "
                "this one has it by another address"
            )
        config = ConfigSpace(kernel, opened(kernel, undo, f"{sysfs}/config"))
        # The file begins with the page in which the BAR begins, which may be another device's too.
        registers = kernel.map_registers(
            opened(kernel, undo, f"{sysfs}/resource0"),
            IDENTITY.bar0_size,
            function.bar0.start % mmap.PAGESIZE,
        )
        undo.callback(registers.close)
        memory = HugePageMemory(kernel, opened(kernel, undo, PAGE_MAP, os.O_RDONLY))
        # A card that a killed driver left running goes on as soon as it may.
        config.change_command(set_bits=MEMORY_SPACE, clear_bits=BUS_MASTER)
        undo.callback(config.change_command, clear_bits=BUS_MASTER)
        interrupts: Interrupts = Clock(INTERVALS)
        if function.interrupt_line:
            interrupts = SharedLine(
                device,
                take=lambda: kernel.read(device, INTERRUPT_COUNT),
                enable=lambda: config.change_command(clear_bits=INTERRUPT_DISABLE),
            )
        undo.callback(interrupts.close)
        return HardwareDevice(
            f"uio:{function.address}",
            registers=registers,
            config=config,
            memory=memory,
            interrupts=interrupts,
            barriers=barriers,
            advice=ADVICE,
            teardown=undo,
        )


def _check(kernel: Kernel, function: PciFunction) -> None:
    """The function can be driven through UIO, or an error says why not."""
    address = function.address
    if function.driver != DRIVER or function.uio_name is None:
        raise NotSetUpError(
            f"{address} is bound to {function.driver or 'no driver'}, not to {DRIVER}; run: "
            f"ductctl bind uio {address}"
        )
    lockdown = _lockdown(kernel)
    if lockdown != "none":
        raise NotPermittedError(
            f"the kernel is locked down ({lockdown}), so that no program may map the registers of "
            f"a card; use vfio:{address}, or boot without lockdown (Secure Boot off)"
        )
    if function.iommu_type not in {None, "identity"}:
        raise NotSetUpError(
            f"the IOMMU translates what {address} accesses (type {function.iommu_type} of group "
            f"{function.iommu_group}), so the physical addresses that UIO uses would fault; use "
            f"vfio:{address}, or boot with iommu.passthrough=1"
        )


def _lockdown(kernel: Kernel) -> str:
    """How far the kernel is locked down: none, integrity or confidentiality."""
    try:
        text = kernel.path(LOCKDOWN).read_text(encoding="ascii")
    except OSError as error:
        # Kernels without lockdown have no such file; it is for root to read in some.
        if error.errno in {errno.ENOENT, errno.EACCES, errno.EPERM}:
            return "none"
        raise
    return text.partition("[")[2].partition("]")[0] or "none"
