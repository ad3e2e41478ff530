"""Choosing bus addresses behind an IOMMU, which are ours to choose."""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Sequence
from typing import Final

import attrs

__all__ = ["AddressRange", "AddressSpace"]

_FIRST: Final = 1
"""Page 0 is left out: a driver that forgot to write an address had better fail."""


@attrs.frozen
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
        self._page = page
        # All in pages, up to the first one behind: what is usable, what is used, where to go on.
        self._usable = sorted((-(-item.start // page), (item.end + 1) // page) for item in usable)
        self._used: list[tuple[int, int]] = []
        self._next = _FIRST

    def allocate(self, size: int, alignment: int = 1) -> int | None:
        """The first of `size` addresses that nobody uses; None if there are not as many.

        Args:
            size: How many, 1 or more.
            alignment: The first one is a multiple of it, and of the size of a page.
        """
        pages = -(-size // self._page)
        step = math.lcm(alignment, self._page) // self._page
        begin = self._find(pages, self._next, step)
        if begin is None:
            begin = self._find(pages, _FIRST, step)
        if begin is None:
            return None
        self._next = begin + pages
        bisect.insort(self._used, (begin, self._next))
        return begin * self._page

    def free(self, start: int) -> None:
        """Give addresses back by the first of them. Raises `ValueError` if they are not in use."""
        index = bisect.bisect_left(self._used, start // self._page, key=operator.itemgetter(0))
        if index == len(self._used) or self._used[index][0] * self._page != start:
            raise ValueError(f"bus address {start:#x} is not in use")
        self._used.pop(index)

    def _find(self, pages: int, least: int, step: int) -> int | None:
        for first, end in self._usable:
            begin = _aligned(max(first, least), step)
            for used_begin, used_end in self._used:
                if used_begin < begin + pages and begin < used_end:
                    begin = _aligned(used_end, step)
            if begin + pages <= end:
                return begin
        return None


def _aligned(page: int, step: int) -> int:
    return -(-page // step) * step
