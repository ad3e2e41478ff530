"""The operations of VFIO: containers, groups and devices, with their ioctls (linux/vfio.h).

Each class stands for one kind of descriptor. Methods raise `OSError` as the ioctl does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from impl.iova import AddressRange
from impl.kernel import Kernel

__all__ = ["CONFIG_REGION", "REGISTER_REGION", "Container", "Group", "VfioDevice", "VfioRegion"]

CONFIG_REGION: Final = 7
"""VFIO_PCI_CONFIG_REGION_INDEX."""
REGISTER_REGION: Final = 0
"""VFIO_PCI_BAR0_REGION_INDEX."""
_MSIX: Final = 2
"""VFIO_PCI_MSIX_IRQ_INDEX."""


def _request(number: int) -> int:
    """_IO(VFIO_TYPE, VFIO_BASE + number)."""
    return ord(";") << 8 | 100 + number


_GET_API_VERSION: Final = _request(0)
_CHECK_EXTENSION: Final = _request(1)
_SET_IOMMU: Final = _request(2)
_GROUP_GET_STATUS: Final = _request(3)
_GROUP_SET_CONTAINER: Final = _request(4)
_GROUP_GET_DEVICE_FD: Final = _request(6)
_DEVICE_GET_INFO: Final = _request(7)
_DEVICE_GET_REGION_INFO: Final = _request(8)
_DEVICE_GET_IRQ_INFO: Final = _request(9)
_DEVICE_SET_IRQS: Final = _request(10)
_DEVICE_RESET: Final = _request(11)
_IOMMU_GET_INFO: Final = _request(12)
_IOMMU_MAP_DMA: Final = _request(13)
_IOMMU_UNMAP_DMA: Final = _request(14)

API_VERSION: Final = 0
_TYPE1_V2: Final = 3

# Structures; each begins with its size in bytes (argsz) and flags.
_GROUP_STATUS: Final = struct.Struct("<II")
_DEVICE_INFO: Final = struct.Struct("<IIII")
_REGION_INFO: Final = struct.Struct("<IIIIQQ")
_IRQ_INFO: Final = struct.Struct("<IIII")
_IRQ_SET: Final = struct.Struct("<IIIII")
_IOMMU_INFO: Final = struct.Struct("<IIQI4x")
_DMA_MAP: Final = struct.Struct("<IIQQQ")
_DMA_UNMAP: Final = struct.Struct("<IIQQ")
_CAPABILITY: Final = struct.Struct("<HHI")
_RANGES: Final = struct.Struct("<II")
_RANGE: Final = struct.Struct("<QQ")

_VIABLE: Final = 1 << 0
_CAN_RESET: Final = 1 << 0
_CAN_MAP: Final = 1 << 2
_MAP_READ_WRITE: Final = 1 << 0 | 1 << 1
_HAS_CAPABILITIES: Final = 1 << 1
_CAPABILITY_RANGES: Final = 1
_DATA_NONE: Final = 1 << 0
_DATA_EVENTFD: Final = 1 << 2
_ACTION_TRIGGER: Final = 1 << 5


@attrs.frozen
class IommuInfo:
    """What the IOMMU translates.

    Attributes:
        page: Bytes of its smallest page.
        ranges: The addresses; none if the kernel is too old to say.
    """

    page: int
    ranges: tuple[AddressRange, ...]


@attrs.frozen
class VfioRegion:
    """A part of the device.

    Attributes:
        size: Its bytes.
        offset: Where it begins in the device's descriptor.
        mappable: It can be mapped.
    """

    size: int
    offset: int
    mappable: bool


@attrs.frozen
class Container:
    """An address space of an IOMMU: `/dev/vfio/vfio`."""

    _kernel: Kernel
    descriptor: int

    @property
    def is_supported(self) -> bool:
        """Whether this is the interface described here, with type 1 IOMMUs."""
        return (
            self._kernel.control(self.descriptor, _GET_API_VERSION) == API_VERSION
            and self._kernel.control(self.descriptor, _CHECK_EXTENSION, _TYPE1_V2) > 0
        )

    def set_iommu(self) -> None:
        """Let the IOMMU of the groups translate as the container says."""
        self._kernel.control(self.descriptor, _SET_IOMMU, _TYPE1_V2)

    def iommu_info(self) -> IommuInfo:
        """What can be translated."""
        answer = bytearray(_IOMMU_INFO.size)
        while True:
            struct.pack_into("<I", answer, 0, len(answer))
            self._kernel.control(self.descriptor, _IOMMU_GET_INFO, answer)
            needed, flags, pages, first = _IOMMU_INFO.unpack_from(answer)
            if needed <= len(answer):
                break
            answer = bytearray(needed)
        ranges: tuple[AddressRange, ...] = ()
        if flags & _HAS_CAPABILITIES:
            ranges = tuple(_ranges(answer, first))
        return IommuInfo(pages & -pages, ranges)

    def map(self, place: int, size: int, bus_address: int) -> None:
        """Let devices read and write memory of this process, which stays where it is for now."""
        argument = _DMA_MAP.pack(_DMA_MAP.size, _MAP_READ_WRITE, place, bus_address, size)
        self._kernel.control(self.descriptor, _IOMMU_MAP_DMA, bytearray(argument))

    def unmap(self, size: int, bus_address: int) -> None:
        """Let devices reach memory no more."""
        argument = _DMA_UNMAP.pack(_DMA_UNMAP.size, 0, bus_address, size)
        self._kernel.control(self.descriptor, _IOMMU_UNMAP_DMA, bytearray(argument))


def _to_fill_in(answer: struct.Struct, *index: int) -> bytearray:
    """A structure that the kernel fills in: its size, flags and, of some, what is asked for."""
    asked = struct.pack(f"<I4x{len(index)}I", answer.size, *index)
    return bytearray(asked.ljust(answer.size, b"\0"))


def _ranges(answer: bytearray, offset: int) -> Iterator[AddressRange]:
    """The address ranges in a chain of capabilities that begins at `offset`; 0 ends it."""
    while offset:
        kind, _, following = _CAPABILITY.unpack_from(answer, offset)
        if kind == _CAPABILITY_RANGES:
            place = offset + _CAPABILITY.size
            count, _ = _RANGES.unpack_from(answer, place)
            for index in range(count):
                yield AddressRange(
                    *_RANGE.unpack_from(answer, place + _RANGES.size + index * _RANGE.size)
                )
        offset = following


@attrs.frozen
class Group:
    """Functions that an IOMMU cannot tell from each other: `/dev/vfio/NUMBER`."""

    _kernel: Kernel
    descriptor: int

    @property
    def is_viable(self) -> bool:
        """Whether no kernel driver uses any function of the group."""
        answer = _to_fill_in(_GROUP_STATUS)
        self._kernel.control(self.descriptor, _GROUP_GET_STATUS, answer)
        _, flags = _GROUP_STATUS.unpack(answer)
        return bool(flags & _VIABLE)

    def join(self, container: Container) -> None:
        """Put the group into a container."""
        argument = bytearray(struct.pack("<i", container.descriptor))
        self._kernel.control(self.descriptor, _GROUP_SET_CONTAINER, argument)

    def device(self, address: str) -> int:
        """The descriptor of one of its functions."""
        name = bytearray(address.encode("ascii") + b"\0")
        return self._kernel.control(self.descriptor, _GROUP_GET_DEVICE_FD, name)


@attrs.frozen
class VfioDevice:
    """A function."""

    _kernel: Kernel
    descriptor: int

    @property
    def can_reset(self) -> bool:
        """Whether the kernel knows a way to reset it."""
        answer = _to_fill_in(_DEVICE_INFO)
        self._kernel.control(self.descriptor, _DEVICE_GET_INFO, answer)
        _, flags, _, _ = _DEVICE_INFO.unpack(answer)
        return bool(flags & _CAN_RESET)

    def reset(self) -> None:
        """Reset it."""
        self._kernel.control(self.descriptor, _DEVICE_RESET)

    def region(self, index: int) -> VfioRegion:
        """One of its regions."""
        answer = _to_fill_in(_REGION_INFO, index)
        self._kernel.control(self.descriptor, _DEVICE_GET_REGION_INFO, answer)
        _, flags, _, _, size, offset = _REGION_INFO.unpack(answer)
        return VfioRegion(size, offset, bool(flags & _CAN_MAP))

    @property
    def msix_vectors(self) -> int:
        """How many MSI-X vectors it has."""
        answer = _to_fill_in(_IRQ_INFO, _MSIX)
        self._kernel.control(self.descriptor, _DEVICE_GET_IRQ_INFO, answer)
        _, _, _, count = _IRQ_INFO.unpack(answer)
        return int(count)

    def set_vectors(self, eventfds: Sequence[int]) -> None:
        """Tell of MSI-X vector i by the i-th eventfd; without any, turn MSI-X off."""
        flags = _ACTION_TRIGGER | (_DATA_EVENTFD if eventfds else _DATA_NONE)
        data = struct.pack(f"<{len(eventfds)}i", *eventfds)
        header = _IRQ_SET.pack(_IRQ_SET.size + len(data), flags, _MSIX, 0, len(eventfds))
        self._kernel.control(self.descriptor, _DEVICE_SET_IRQS, bytearray(header + data))
