"""DMA memory whose physical addresses are known: huge pages, found in the page map.

Ordinary pages may be moved by the kernel at any time. Huge pages that are mapped stay where they
are, and 2 MiB that are contiguous hold the largest ring. Their addresses are those by which the
kernel itself knows them (Documentation/admin-guide/mm/pagemap.rst), which are the card's too where
no IOMMU translates and memory begins at the same address for processor and bus.
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import Final

import attrs

from impl.errors import NoDmaMemoryError, NotPermittedError
from impl.kernel import HUGE_PAGE, Kernel
from impl.mapped import MappedRegion, address_of, whole_pages
from impl.memory import Purpose
from model.layout import LIMITS

__all__ = ["HugePageMemory", "physical_address"]

PAGE_MAP: Final = "/proc/self/pagemap"
POOL: Final = "/sys/kernel/mm/hugepages/hugepages-2048kB"

_ENTRY: Final = 8
_PRESENT: Final = 1 << 63
_FRAME: Final = (1 << 55) - 1


def physical_address(entry: int, page: int) -> int:
    """Where a page is, by its entry in the page map.

    Args:
        entry: The entry: bit 63 says whether the page is in memory, bits 0 to 54 where.
        page: Bytes of a page.

    Raises:
        NotPermittedError: The kernel does not say.
        NoDmaMemoryError: It is not in memory.
    """
    if not entry & _PRESENT:
        raise NoDmaMemoryError(
            "a huge page is not in memory although it was to be locked; is there a limit "
            "(cgroup hugetlb)?"
        )
    frame = entry & _FRAME
    if not frame:
        raise NotPermittedError(
            f"{PAGE_MAP} hides where memory is; run as root or with the capability SYS_ADMIN, or "
            "use vfio:, which needs neither"
        )
    return frame * page


@attrs.define(eq=False)
class HugePageMemory:
    """Regions of huge pages, one or more for each.

    They go back to the kernel with the last view of them.

    Args:
        kernel: The kernel.
        page_map: The page map of this process, open.
    """

    _kernel: Kernel
    _page_map: int

    def allocate(self, size: int, purpose: Purpose) -> MappedRegion:
        """A new region. No piece of it that has to be contiguous is larger than a huge page."""
        size = whole_pages(size, LIMITS.page_size)
        count = -(-size // HUGE_PAGE)
        memory = self._map(count)
        start = address_of(memory)
        addresses = [self._address(start + index * HUGE_PAGE) for index in range(count)]
        return MappedRegion(purpose, size, memory, addresses)

    def free(self, region: MappedRegion) -> None:
        """Nothing: nobody can keep a card from memory without an IOMMU. It was told to be done."""

    def _map(self, count: int) -> mmap.mmap:
        try:
            return self._kernel.map_huge_pages(count)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise NotPermittedError(
                    f"this process may not lock {count * HUGE_PAGE >> 20} MiB of memory; run it as "
                    "root, or raise the limit (ulimit -l)"
                ) from error
            if error.errno != errno.ENOMEM:
                raise
            pool = self._kernel.path(POOL)
            raise NoDmaMemoryError(
                f"too few huge pages of 2 MiB: {count} more needed, {_number(pool, 'free')} of "
                f"{_number(pool, 'nr')} free; add some: echo 80 > {POOL}/nr_hugepages"
            ) from error

    def _address(self, place: int) -> int:
        offset = place // mmap.PAGESIZE * _ENTRY
        entry = self._kernel.read_at(self._page_map, _ENTRY, offset)
        return physical_address(int.from_bytes(entry, "little"), mmap.PAGESIZE)


def _number(pool: os.PathLike[str], name: str) -> str:
    try:
        with open(os.path.join(pool, f"{name}_hugepages"), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "none"
