"""A request on its way: what ties a slot of a ring to whoever waits for its completion."""

from __future__ import annotations

import attrs

__all__ = ["Request"]


@attrs.define(eq=False)
class Request:
    """What one caller waits for: the completion of its own request, and of no other.

    Attributes:
        done: The card returned the slot, and the driver took it back.
        result: The error byte that the card answered with; 0 for a packet.
        batch: Slots that the caller handed over in one turn, of which this is the last.
    """

    done: bool = False
    result: int = 0
    batch: int = 1
