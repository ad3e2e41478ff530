"""PCI functions as Linux shows them in sysfs: finding the card, and what is known of it.

Nothing is changed here. The files are described in the kernel's
Documentation/ABI/testing/sysfs-bus-pci and sysfs-kernel-iommu_groups.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Final

import attrs

from impl.errors import InvalidArgumentError, NoSuchCardError
from model.layout import IDENTITY

__all__ = ["PciFunction", "Resource", "cards", "find_card", "function_at"]

DEVICES: Final = "sys/bus/pci/devices"
CARD: Final = f"{IDENTITY.vendor:04x}:{IDENTITY.product:04x}"

_ADDRESS: Final = re.compile(
    r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])", re.IGNORECASE
)
_IDS: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}", re.IGNORECASE)
_PORTS: Final = 0x100
_MEMORY: Final = 0x200
_WIDE: Final = 0x0010_0000


@attrs.frozen
class Resource:
    """A BAR as the kernel sees it: a line of the file `resource`.

    Attributes:
        start: Its first address, or 0.
        size: Its bytes; 0 if there is none.
        flags: What it is (IORESOURCE_* of linux/ioport.h).
    """

    start: int
    size: int
    flags: int

    @classmethod
    def of_line(cls, line: str) -> Resource:
        """From a line of three hexadecimal numbers: first address, last address, flags."""
        start, end, flags = (int(number, 16) for number in line.split())
        return cls(start, end - start + 1 if flags else 0, flags)

    def __str__(self) -> str:
        if not self.flags:
            return "nothing"
        width = "64-bit" if self.flags & _WIDE else "32-bit"
        kind = f"{width} memory" if self.flags & _MEMORY else "I/O ports"
        return f"{kind} of {self.size:#x} bytes"

    @property
    def is_32_bit_memory(self) -> bool:
        """Whether it is memory below 4 GiB, as the registers of a duct card are."""
        return self.flags & (_MEMORY | _PORTS | _WIDE) == _MEMORY


@attrs.frozen
class PciFunction:
    """A function on the PCI bus, as it is when a property is asked for.

    Attributes:
        folder: Its folder in sysfs.
    """

    folder: Path

    @property
    def address(self) -> str:
        """Domain, bus, device and function, as in 0000:00:05.0."""
        return self.folder.name

    @property
    def ids(self) -> str:
        """Vendor and product, as in 3301:2000."""
        return f"{self._number('vendor'):04x}:{self._number('device'):04x}"

    @property
    def driver(self) -> str | None:
        """The kernel driver that it is bound to."""
        return self._link("driver")

    @property
    def bar0(self) -> Resource:
        """Its first BAR."""
        return Resource.of_line(self._text("resource").splitlines()[0])

    @property
    def has_registers(self) -> bool:
        """Whether its first BAR can be that of a duct card: 32-bit memory of the right size.

        A kernel that was told to give each BAR pages of its own (pci=resource_alignment) says that
        it is as large as a page.
        """
        sizes = {IDENTITY.bar0_size}
        if self._are_aligned():
            sizes.add(mmap.PAGESIZE)
        bar0 = self.bar0
        return bar0.is_32_bit_memory and bar0.size in sizes

    @property
    def interrupt_line(self) -> int:
        """The number of its interrupt in the kernel; 0 if it has none."""
        return self._number("irq")

    @property
    def iommu_group(self) -> str | None:
        """The functions that the IOMMU cannot tell from this one, by number; None: no IOMMU."""
        return self._link("iommu_group")

    @property
    def iommu_type(self) -> str | None:
        """How the IOMMU translates for the kernel: DMA, DMA-FQ, identity; None: not at all."""
        try:
            return self._text("iommu_group/type").strip()
        except FileNotFoundError:
            return None

    @property
    def group_members(self) -> tuple[PciFunction, ...]:
        """All functions in its IOMMU group, itself among them."""
        links = sorted((self.folder / "iommu_group" / "devices").glob("*"))
        return tuple(PciFunction(self.folder.parent / link.name) for link in links)

    @property
    def uio_name(self) -> str | None:
        """The name of its device file if it is bound to a UIO driver, as in uio0."""
        return next((entry.name for entry in sorted((self.folder / "uio").glob("uio*"))), None)

    def _are_aligned(self) -> bool:
        """Whether the kernel was told to align BARs."""
        try:
            told = (self.folder.parent.parent / "resource_alignment").read_text(encoding="ascii")
        except FileNotFoundError:
            return False
        return bool(told.strip())

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="ascii")

    def _number(self, name: str) -> int:
        return int(self._text(name), 0)

    def _link(self, name: str) -> str | None:
        link = self.folder / name
        return link.resolve().name if link.is_symlink() else None


def cards(root: Path) -> list[PciFunction]:
    """All duct cards, by address."""
    folders = sorted((root / DEVICES).glob("*"))
    functions = (PciFunction(folder) for folder in folders)
    return [function for function in functions if function.ids == CARD]


def function_at(root: Path, address: str) -> PciFunction:
    """The function at an address as in 0000:00:05.0; without a domain, in domain 0000.

    Raises:
        InvalidArgumentError: It is not an address.
        NoSuchCardError: There is no function.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InvalidArgumentError(
            f"a PCI function is named like 0000:00:05.0, 00:05.0 or {CARD}, not {address!r}"
        )
    name = f"{match[1] or '0000'}:{match[2]}".lower()
    folder = root / DEVICES / name
    if not folder.is_dir():
        raise NoSuchCardError(f"there is no PCI function {name}; {_there_are(cards(root))}")
    return PciFunction(folder)


def find_card(root: Path, wanted: str) -> PciFunction:
    """The duct card that `wanted` names.

    Args:
        root: The folder that holds `sys`.
        wanted: An address, or vendor and product, or nothing for the only card that there is.

    Raises:
        InvalidArgumentError: It is none of these.
        NoSuchCardError: There is no such card, or more than one, or what is there is no duct card,
            or its BAR0 is not that of one.
    """
    if not wanted or _IDS.fullmatch(wanted):
        function = _only_card(root, wanted.lower() or CARD)
    else:
        function = function_at(root, wanted)
        if function.ids != CARD:
            raise NoSuchCardError(
                f"{function.address} is {function.ids}, and a duct card is {CARD}; "
                f"{_there_are(cards(root))}"
            )
    if not function.has_registers:
        raise NoSuchCardError(
            f"BAR0 of {function.address} is {function.bar0}, and that of a duct card is 32-bit "
            f"memory of {IDENTITY.bar0_size:#x} bytes; nothing was done to it"
        )
    return function


def _only_card(root: Path, ids: str) -> PciFunction:
    if ids != CARD:
        raise NoSuchCardError(f"a duct card is {CARD}, not {ids}; {_there_are(cards(root))}")
    found = cards(root)
    if len(found) != 1:
        advice = "; say which" if found else ""
        raise NoSuchCardError(f"{ids} names no single card: {_there_are(found)}{advice}")
    return found[0]


def _there_are(found: list[PciFunction]) -> str:
    names = ", ".join(function.address for function in found)
    return f"the duct cards of this machine are {names}" if names else "this machine has none"
