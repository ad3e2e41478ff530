"""What a driver tells of its card, and of itself."""

from __future__ import annotations

import attrs

from model import layout

__all__ = ["Info"]


@attrs.frozen
class Info(layout.Info):
    """What the card says of itself, and what moves its packets.

    Attributes:
        datapath: "C kernel", or "Python" and why it is not the kernel. It is no part of what is
            printed and compared, which is about the card.
    """

    datapath: str = attrs.field(default="", repr=False, eq=False)
