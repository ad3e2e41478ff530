"""Two cards on one net."""

from __future__ import annotations

from impl.driver import DuctDriver
from impl.packet import Packet
from properties.conformance.check import pair_check
from properties.conformance.helpers import EXACT, GROUP, address_of, echo, receive


@pair_check
def two_cards_talk_to_each_other(one: DuctDriver, other: DuctDriver) -> None:
    assert address_of(one) != address_of(other)
    one.send(address_of(other), b"hello")
    assert receive(other) == Packet(address_of(one), address_of(other), b"hello")
    other.send(address_of(one), b"and hello")
    assert receive(one) == Packet(address_of(other), address_of(one), b"and hello")


@pair_check
def a_card_does_not_overhear_another(one: DuctDriver, other: DuctDriver) -> None:
    assert echo(one, b"secret").payload == b"secret"
    one.send(address_of(other), b"public")
    assert receive(other).payload == b"public"


@pair_check
def a_multicast_packet_reaches_every_card_that_asked_for_it(
    one: DuctDriver, other: DuctDriver
) -> None:
    for duct in (one, other):
        duct.add_multicast(EXACT, GROUP)
    one.send(GROUP, b"all")
    for duct in (one, other):
        assert receive(duct) == Packet(address_of(one), GROUP, b"all")
