"""Environment of the driver whose accesses are judged: memory, sleepers, pollers."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

import attrs

from impl.memory import Purpose
from impl.runtime import WaitQueue

__all__ = ["Environment", "Sleeper"]


@attrs.frozen
class Sleeper:
    """A thread that sleeps and that nobody has woken yet."""

    thread: int
    queue: WaitQueue


class Environment(abc.ABC):
    """What the judge asks of the driver's environment."""

    @abc.abstractmethod
    def packet_memory(self) -> Iterable[Any]:
        """The regions of the packet rings and their buffers that are not freed."""

    @abc.abstractmethod
    def has_pending(self, region: Any) -> bool:
        """Whether some store to a region is known not to be visible."""

    @abc.abstractmethod
    def is_pending(self, word: str, slot: int) -> bool:
        """Whether some store to a word of a slot is known not to be visible."""

    @abc.abstractmethod
    def begins_at(self, address: int) -> Purpose | None:
        """What the region is for that begins at a bus address; None if none does."""

    @abc.abstractmethod
    def sleepers(self) -> Iterable[Sleeper]:
        """Threads that sleep and were not woken."""

    @abc.abstractmethod
    def pollers(self) -> tuple[bool, bool]:
        """Whether pollers see the card as readable, and as writable."""
