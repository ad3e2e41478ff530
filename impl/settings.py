"""What a user may choose about a card, all at once, when it is first opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from impl.errors import InvalidArgumentError
from model.layout import LIMITS

__all__ = ["Monitoring", "Settings"]


LONGEST: Final = 86_400
"""Seconds of the longest time that may be chosen."""


@attrs.frozen
class Settings:
    """Choices that hold for all opens of a card.

    Attributes:
        ring_shift: log2 of the number of slots of each ring, 0 to 12 (datasheet, Rings).
        reset_polls: How often a reset reads FLAGS again before it is given up, from 1 on.
        reset_pause: Seconds between two of these reads.
        drain_timeout: Seconds that the last close lets the card send what is queued.
        command_timeout: Seconds that open and close give the card to answer a command.

    All seconds are 0 to 86400, a day: whoever waits for a card for ever has no bound on a close.

    Raises:
        InvalidArgumentError: One of them is out of its range.
    """

    ring_shift: int = LIMITS.default_shift
    reset_polls: int = 1000
    reset_pause: float = 0.001
    drain_timeout: float = 5.0
    command_timeout: float = 5.0

    def __attrs_post_init__(self) -> None:
        for name in ("ring_shift", "reset_polls"):
            if not isinstance(getattr(self, name), int):
                raise InvalidArgumentError(f"{name} is a whole number, not {getattr(self, name)!r}")
        if not 0 <= self.ring_shift <= LIMITS.max_shift:
            raise InvalidArgumentError(
                f"ring_shift is 0 to {LIMITS.max_shift}, not {self.ring_shift}"
            )
        if self.reset_polls < 1:
            raise InvalidArgumentError(f"reset_polls is 1 or more, not {self.reset_polls}")
        for name in ("reset_pause", "drain_timeout", "command_timeout"):
            # NaN is in no range.
            if not 0 <= getattr(self, name) <= LONGEST:
                raise InvalidArgumentError(
                    f"{name} is 0 to {LONGEST} seconds, not {getattr(self, name)}"
                )


@attrs.frozen
class Monitoring:
    """How a card is watched; see `DuctDriver.open`.

    Attributes:
        saves_to: The file that the run is written to if it deviates from the specification; None:
            it is not written.
    """

    saves_to: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
