"""Multicast, and the card's table of filters."""

from __future__ import annotations

from functools import partial

from impl.errors import FilterTableFullError, InvalidArgumentError, NoSuchFilterError
from impl.packet import Packet
from model.layout import LIMITS
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import (
    EXACT,
    GROUP,
    address_of,
    echo,
    receive,
    refused,
    together,
)


@check
def multicast_packets_come_between_add_and_remove(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)

        def heard() -> bool:
            """Whether a packet to the group arrives before a later one to the card itself."""
            duct.send(GROUP, b"group")
            duct.send(own, b"end")
            first = receive(duct)
            if first.payload == b"end":
                return False
            assert first == Packet(own, GROUP, b"group")
            assert receive(duct).payload == b"end"
            return True

        assert not heard()
        duct.add_multicast(EXACT, GROUP)
        assert heard()
        duct.remove_multicast(EXACT, GROUP)
        assert not heard()
        duct.add_multicast(0x8000_0000, 0x8000_0000)
        assert heard()


@check
def a_filter_that_was_added_twice_is_there_until_removed_twice(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)
        duct.add_multicast(EXACT, GROUP)
        duct.add_multicast(EXACT, GROUP)
        duct.remove_multicast(EXACT, GROUP)
        duct.send(GROUP, b"once")
        duct.send(own, b"end")
        assert [receive(duct).payload, receive(duct).payload] == [b"once", b"end"]
        duct.remove_multicast(EXACT, GROUP)
        with refused(NoSuchFilterError):
            duct.remove_multicast(EXACT, GROUP)


@check
def a_filter_that_was_not_added_cannot_be_removed(backend: Backend) -> None:
    with backend.make() as duct:
        duct.add_multicast(0xFFFF_0000, GROUP)
        message = "RMFILT, mask 0xffffffff, address 0x80004711: the card has no such filter"
        with refused(NoSuchFilterError, message):
            duct.remove_multicast(EXACT, GROUP)
        with refused(NoSuchFilterError):
            duct.remove_multicast(0xFFFF_0000, GROUP + 1)
        duct.remove_multicast(0xFFFF_0000, GROUP)


@check
def the_filter_table_has_room_for_sixteen_with_the_cards_own(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)
        message = "ADDFILT, mask 0xffffffff, address 0x80005000: the card's filter table is full"
        for _ in range(2):
            with refused(FilterTableFullError, message):
                duct.add_multicast(EXACT, 0x8000_5000)
        duct.remove_multicast(EXACT, GROUP + 3)
        duct.add_multicast(EXACT, 0x8000_5000)
        duct.send(0x8000_5000, b"heard")
        assert receive(duct).payload == b"heard"


@check
def a_filter_without_bit_31_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for mask, address in ((0x7FFF_FFFF, GROUP), (EXACT, 0x4711), (0, 0), (1, 1)):
            message = (
                "a multicast filter has bit 31 set in mask and address, "
                f"and mask {mask:#010x}, address {address:#010x} were given"
            )
            with refused(InvalidArgumentError, message):
                duct.add_multicast(mask, address)
            with refused(InvalidArgumentError, message):
                duct.remove_multicast(mask, address)
        with refused(InvalidArgumentError):
            duct.add_multicast(1 << 32 | EXACT, GROUP)


@check
def the_last_close_forgets_filters(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)


@check
def filters_change_while_packets_flow(backend: Backend) -> None:
    with backend.make() as duct:

        def change(address: int) -> None:
            for _ in range(25):
                duct.add_multicast(EXACT, address)
                duct.remove_multicast(EXACT, address)

        def talk() -> None:
            for number in range(100):
                assert echo(duct, bytes([number])).payload == bytes([number])

        together(*(partial(change, GROUP + n) for n in range(3)), talk)
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)
