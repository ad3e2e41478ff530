"""A layer for scapy: `rdpcap` of a file that `ductd --capture` wrote gives `Ductnet` packets."""

from __future__ import annotations

from typing import ClassVar

from scapy.config import conf
from scapy.fields import LEIntField, XLEIntField
from scapy.packet import Packet

__all__ = ["Ductnet"]

LINK_TYPE = 147


class Ductnet(Packet):
    """The header of a packet; the payload is behind it."""

    name = "Ductnet"
    fields_desc: ClassVar = [
        XLEIntField("source", 0),
        XLEIntField("destination", 0),
        LEIntField("length", 0),
        LEIntField("reserved", 0),
    ]


conf.l2types.register(LINK_TYPE, Ductnet)
