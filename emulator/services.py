"""What answers on the public test network: the echo, and the quote of the day."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import attrs

from emulator.net import Ductnet
from emulator.packet import NetPacket
from emulator.quotes import quote_of
from model.layout import ECHO, QUOTE

__all__ = ["Echo", "Quote", "attach_services"]


@attrs.frozen(eq=False)
class Echo:
    """Sends the payload back to the sender."""

    net: Ductnet
    address: int = ECHO.address

    def deliver(self, packet: NetPacket) -> None:
        """Answer a packet for the echo, unless it claims to come from there."""
        if packet.destination == self.address != packet.source:
            self.net.send(NetPacket(packet.source, self.address, packet.payload))


@attrs.frozen(eq=False)
class Quote:
    """Sends a quote of the day for an empty packet, as text."""

    net: Ductnet
    address: int = QUOTE.address
    today: Callable[[], datetime.date] = datetime.date.today

    def deliver(self, packet: NetPacket) -> None:
        """Answer an empty packet for the service, unless it claims to come from there."""
        if packet.destination == self.address != packet.source and not packet.payload:
            quote = quote_of(self.today()).encode()
            self.net.send(NetPacket(packet.source, self.address, quote))


def attach_services(net: Ductnet) -> None:
    """Attach the services of the public test network."""
    net.attach(Echo(net))
    net.attach(Quote(net))
