"""Processors that nobody uses, lent to whoever has work to share.

Who runs out of work gives its processor; who could let a copy of itself go on at the same time
asks whether there is one. A token for each is a byte in a pipe that all processes have (as in
GNU make's job server).
"""

from __future__ import annotations

import contextlib
import os
import select
import weakref
from typing import Final

__all__ = ["Spare"]

TOKEN: Final = b"+"


class Spare:
    """Processors to lend, shared with all copies of this process."""

    def __init__(self, count: int = 0) -> None:
        """Begin with `count` of them."""
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._reads, False)
        weakref.finalize(self, _close, self._reads, self._writes)
        for _ in range(count):
            self.give()

    def give(self) -> None:
        """Nobody here uses one any more."""
        os.write(self._writes, TOKEN)

    def take(self, *, wait: bool = False) -> bool:
        """Take one, and say whether there was one; with `wait` there will be."""
        while True:
            with contextlib.suppress(BlockingIOError):
                return bool(os.read(self._reads, len(TOKEN)))
            if not wait:
                return False
            select.select([self._reads], [], [])


def _close(*files: int) -> None:
    for file in files:
        os.close(file)
