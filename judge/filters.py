"""Filters as the specification knows them: by a number each, and not by mask and address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from judge.judge import Judge
from model.layout import EXACT_MASK, filter_accepts
from model.state import UNICAST

__all__ = ["KEYS", "Filters", "OutOfKeysError"]

KEYS: Final = 64
"""Filters that may be in the card's table, or in a command on its way, at once."""


class OutOfKeysError(Exception):
    """More filters are in use than the monitor has numbers for."""


class Filters:
    """Gives each pair of mask and address a number while it is in use."""

    def __init__(self, judge: Judge) -> None:
        self._now = judge.now
        self._known: dict[int, tuple[int, int]] = {}
        self._wanted: Counter[int] = Counter()
        self._last = UNICAST

    def set_address(self, hwaddr: int) -> None:
        """The card's own address, whose filter has a fixed number."""
        self._known[UNICAST] = EXACT_MASK, hwaddr

    def want(self, mask: int, address: int) -> int:
        """The number of a filter that a call is about to add or remove; `forgo` follows.

        Raises `OutOfKeysError` if there is none left.
        """
        key = self._find(mask, address)
        self._known[key] = mask, address
        self._wanted[key] += 1
        return key

    def forgo(self, key: int) -> None:
        """The call has ended."""
        self._wanted[key] -= 1

    def _find(self, mask: int, address: int) -> int:
        for key, known in self._known.items():
            if known == (mask, address) and key != UNICAST:
                return key
        now = self._now
        on_their_way, slots = range(now["cmd_cons"], now["cmd_prod"]), now["cmd_key_new"]
        used = {UNICAST, *+self._wanted, *(slots[number % len(slots)] for number in on_their_way)}
        # The one that was given last comes last: a packet that an old filter let through may still
        # be on its way.
        for key in (number % KEYS for number in range(self._last + 1, self._last + KEYS)):
            if key not in used and not now["card_filters"][key]:
                self._last = key
                return key
        raise OutOfKeysError(f"more than {KEYS} filters are in use at once")

    def of(self, key: int) -> tuple[int, int]:
        """Mask and address of a number."""
        return self._known[key]

    def accepting(self, destination: int) -> Iterator[int]:
        """The numbers of all known filters that let a packet through."""
        for key, (mask, address) in self._known.items():
            if filter_accepts(mask, address, destination):
                yield key
