"""The card through Linux VFIO: `vfio:0000:00:05.0`, `vfio:3301:2000`, or `vfio:` for the only card.

The function is bound to `vfio-pci` (`ductctl bind vfio`). The IOMMU lets the card reach the memory
that the driver has given it and no other, for as long as the kernel knows that it is given, however
the process ends. Both MSI-X vectors arrive by eventfds. A process that may open the group's file in
`/dev/vfio` needs no other privilege.

The interface: linux/vfio.h and the kernel's Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
from typing import Final

import attrs

from impl.barriers import Barriers
from impl.config_space import BUS_MASTER, MEMORY_SPACE, ConfigSpace
from impl.errors import (
    CardInUseError,
    NoDmaMemoryError,
    NoSuchCardError,
    NotPermittedError,
    NotSetUpError,
)
from impl.hardware import HardwareDevice
from impl.interrupts import Vectors
from impl.iova import AddressRange, AddressSpace
from impl.kernel import HUGE_PAGE, Kernel, linux
from impl.mapped import MappedRegion, address_of, whole_pages
from impl.memory import Device, Purpose
from impl.opening import opened
from impl.pci import PciFunction, find_card
from impl.vfio import CONFIG_REGION, REGISTER_REGION, Container, Group, VfioDevice
from model.layout import IDENTITY, LIMITS

__all__ = ["open_vfio", "open_vfio_on"]

DRIVER: Final = "vfio-pci"
CONTAINER: Final = "/dev/vfio/vfio"
LOW_MEMORY: Final = AddressRange(1 << 20, 0xFEE0_0000 - 1)
"""What every IOMMU translates: all below the addresses that are interrupts on x86."""
LARGE: Final = HUGE_PAGE // 2
"""Bytes from which on a region takes whole huge pages."""
PAGE_ORDER: Final = mmap.PAGESIZE.bit_length() - 1
ADVICE: Final = "Check that the lines of vfio-msix in /proc/interrupts count."


def open_vfio(rest: str) -> Device:
    """Open the card at address `vfio:` + `rest`.

    Raises:
        DuctError: It cannot be reached; the message says what to do.
    """
    return open_vfio_on(linux(), rest)


def open_vfio_on(kernel: Kernel, rest: str) -> Device:
    """Open a card that `kernel` knows. Raises what `open_vfio` does."""
    barriers = Barriers.of_this_machine()
    function = find_card(kernel.root, rest)
    _check(function)
    # What is undone first was done last: the card stops, then its memory and descriptors go.
    with contextlib.ExitStack() as undo:
        container = Container(
            kernel, opened(kernel, undo, CONTAINER, missing="run: modprobe vfio-pci")
        )
        group = _join(kernel, undo, function, container)
        memory = IommuMemory(kernel, container)
        undo.callback(memory.free_all)
        device = _device(kernel, undo, function, group)
        config = ConfigSpace(kernel, device.descriptor, device.region(CONFIG_REGION).offset)
        registers = device.region(REGISTER_REGION)
        if not registers.mappable:
            raise NotSetUpError(
                f"the registers of {function.address} share a page with another device, so the "
                "kernel does not let them be mapped; boot with "
                f"pci=resource_alignment={PAGE_ORDER}@{function.address}"
            )
        window = kernel.map_registers(device.descriptor, IDENTITY.bar0_size, registers.offset)
        undo.callback(window.close)
        if device.can_reset:
            device.reset()
            undo.callback(device.reset)
        # Not every function can be reset by the kernel; what such a card was left doing ends with
        # the driver's own reset, before which it may access nothing.
        config.change_command(set_bits=MEMORY_SPACE, clear_bits=BUS_MASTER)
        undo.callback(config.change_command, clear_bits=BUS_MASTER)
        vectors = Vectors()
        undo.callback(vectors.close)
        device.set_vectors(vectors.descriptors)
        undo.callback(device.set_vectors, [])
        return HardwareDevice(
            f"vfio:{function.address}",
            registers=window,
            config=config,
            memory=memory,
            interrupts=vectors,
            barriers=barriers,
            advice=ADVICE,
            teardown=undo,
        )


def _check(function: PciFunction) -> None:
    """The function can be driven through VFIO, or an error says why not."""
    if function.driver != DRIVER:
        raise NotSetUpError(
            f"{function.address} is bound to {function.driver or 'no driver'}, not to {DRIVER}; "
            f"run: ductctl bind vfio {function.address}"
        )
    if function.iommu_group is None:
        raise NotSetUpError(
            f"{function.address} is behind no IOMMU, which VFIO takes; turn it on (BIOS: VT-d or "
            f"AMD-Vi; kernel: intel_iommu=on), or use uio:{function.address}"
        )


def _join(
    kernel: Kernel, undo: contextlib.ExitStack, function: PciFunction, container: Container
) -> Group:
    """The function's group, in the container."""
    if not container.is_supported:
        raise NotSetUpError(
            "this kernel's VFIO has no type 1 IOMMU; run: modprobe vfio_iommu_type1"
        )
    path = f"/dev/vfio/{function.iommu_group}"
    group = Group(kernel, opened(kernel, undo, path))
    if not group.is_viable:
        others = ", ".join(
            f"{member.address} ({member.driver})"
            for member in function.group_members
            if member.driver not in {None, DRIVER}
        )
        raise NotSetUpError(
            f"IOMMU group {function.iommu_group} cannot be used as long as kernel drivers have "
            f"other functions in it: {others or 'unknown'}; unbind these, or plug the card into "
            "another slot"
        )
    group.join(container)
    try:
        container.set_iommu()
    except PermissionError as error:
        raise NotPermittedError(
            "this machine does not keep a card from raising other devices' interrupts; turn "
            "interrupt remapping on (intremap=on), or, if you trust the card, load "
            "vfio_iommu_type1 with allow_unsafe_interrupts=1"
        ) from error
    return group


def _device(
    kernel: Kernel, undo: contextlib.ExitStack, function: PciFunction, group: Group
) -> VfioDevice:
    """The function itself, which has what a duct card has."""
    try:
        descriptor = group.device(function.address)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise CardInUseError(f"{function.address} is in use") from error
    undo.callback(kernel.close, descriptor)
    device = VfioDevice(kernel, descriptor)
    if device.msix_vectors != IDENTITY.vectors:
        raise NoSuchCardError(
            f"{function.address} has {device.msix_vectors} MSI-X vectors, and a duct card has "
            f"{IDENTITY.vectors}"
        )
    return device


@attrs.define(eq=False)
class IommuMemory:
    """Ordinary memory, which the IOMMU shows to the card at addresses of our choice.

    Args:
        kernel: The kernel.
        container: The IOMMU's address space.
    """

    _kernel: Kernel
    _container: Container
    _addresses: AddressSpace = attrs.field(init=False)
    _page: int = attrs.field(init=False)
    _mapped: dict[int, int] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        info = self._container.iommu_info()
        self._page = max(info.page, mmap.PAGESIZE, LIMITS.page_size)
        self._addresses = AddressSpace(info.ranges or [LOW_MEMORY], self._page)

    def allocate(self, size: int, purpose: Purpose) -> MappedRegion:
        """A new region, contiguous for the card.

        A large one takes whole huge pages, which the IOMMU maps as one: 2 entries instead of 512
        for the buffers of a usual ring, and as many fewer look-ups when the card uses them.
        """
        page = max(self._page, HUGE_PAGE) if size >= LARGE else self._page
        size = whole_pages(size, page)
        memory = self._kernel.map_memory(size)
        bus_address = self._addresses.allocate(size, page)
        if bus_address is None:
            raise NoDmaMemoryError(f"the IOMMU has no {size} addresses left")
        with contextlib.ExitStack() as undo:
            undo.callback(self._addresses.free, bus_address)
            region = MappedRegion(purpose, size, memory, [bus_address])
            try:
                self._container.map(address_of(memory), size, bus_address)
            except OSError as error:
                if error.errno != errno.ENOMEM:
                    raise
                raise NoDmaMemoryError(
                    f"{size >> 10} KiB of memory cannot be locked for the card; raise the limit "
                    "(ulimit -l, or LimitMEMLOCK= of a service)"
                ) from error
            undo.pop_all()
        self._mapped[bus_address] = size
        return region

    def free(self, region: MappedRegion) -> None:
        """Let the card reach the region no more. Its memory goes with the last view of it."""
        self._unmap(region.bus_address())

    def free_all(self) -> None:
        """Let the card reach nothing."""
        # Each of them, whatever becomes of the others.
        with contextlib.ExitStack() as steps:
            for bus_address in self._mapped:
                steps.callback(self._unmap, bus_address)

    def _unmap(self, bus_address: int) -> None:
        self._container.unmap(self._mapped[bus_address], bus_address)
        # Only now may something else be there.
        del self._mapped[bus_address]
        self._addresses.free(bus_address)
