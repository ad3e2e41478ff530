"""What travels on the net."""

from __future__ import annotations

import attrs

__all__ = ["NetPacket"]


@attrs.frozen
class NetPacket:
    """A packet on the net: where it goes, where it comes from, and what it carries."""

    destination: int
    source: int
    payload: bytes = b""
