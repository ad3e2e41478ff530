"""Choosing bus addresses behind an IOMMU, which are ours to choose."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import attrs

__all__ = ["AddressRange", "AddressSpace"]


@attrs.frozen(order=True)
class AddressRange:
    """Bus addresses from `start` to `end`, both included."""

    start: int
    end: int


class AddressSpace:
    """Bus addresses that are in use, and new ones.

    New addresses follow those that were given out last, so that an address which was given back
    reaches nothing for as long as there are others.

    Args:
        usable: What the IOMMU translates.
        page: Bytes of its pages; all addresses and sizes are multiples of it.
    """

    def __init__(self, usable: Sequence[AddressRange], page: int) -> None:
        # Address 0 is left out: a driver that forgot to write an address had better fail.
        self._usable = [
            AddressRange(start, end)
            for start, end in sorted(
                (-(-max(item.start, page) // page) * page, (item.end + 1) // page * page - 1)
                for item in usable
            )
            if start <= end
        ]
        self._page = page
        self._used: list[AddressRange] = []
        self._next = 0

    def allocate(self, size: int, alignment: int = 1) -> int | None:
        """The first of `size` addresses that nobody uses; None if there are not as many.

        Args:
            size: How many.
            alignment: The first one is a multiple of it, and of the size of a page.
        """
        size = -(-size // self._page) * self._page
        alignment = math.lcm(alignment, self._page)
        start = self._find(size, self._next, alignment)
        if start is None:
            start = self._find(size, 0, alignment)
        if start is None:
            return None
        self._next = start + size
        bisect.insort(self._used, AddressRange(start, start + size - 1))
        return start

    def free(self, start: int) -> AddressRange:
        """Give addresses back by the first of them. Raises `ValueError` if they are not in use."""
        index = bisect.bisect_left(self._used, start, key=lambda used: used.start)
        if index == len(self._used) or self._used[index].start != start:
            raise ValueError(f"bus address {start:#x} is not in use")
        return self._used.pop(index)

    def _find(self, size: int, least: int, alignment: int) -> int | None:
        for usable in self._usable:
            start = _aligned(max(usable.start, least), alignment)
            for used in self._used:
                if used.end < start:
                    continue
                if used.start >= start + size:
                    break
                start = _aligned(used.end + 1, alignment)
            if start + size - 1 <= usable.end:
                return start
        return None


def _aligned(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment
