"""Messages of the character device."""

from __future__ import annotations

from impl.errors import InvalidArgumentError, PacketTooLongError, WouldBlockError
from model.layout import ECHO, LIMITS, UserHeader, pack
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import (
    SOON,
    address_of,
    device_message,
    echo,
    refused,
    some_bytes,
)


@check
def a_message_that_is_written_comes_back_as_one_that_is_read(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 4097, LIMITS.max_packet):
            payload = some_bytes(size)
            message = device_message(ECHO.address, payload)
            assert duct.write(message) == len(message)
            header = pack(UserHeader(ECHO.address, address_of(duct), size))
            assert duct.read(timeout=SOON) == header + payload


@check
def reading_cuts_a_message_and_loses_its_rest(backend: Backend) -> None:
    with backend.make() as duct:
        whole = pack(UserHeader(ECHO.address, address_of(duct), 5)) + b"hello"
        for size in (0, 1, 16, 17, 20, 21, 100):
            duct.write(device_message(ECHO.address, b"hello"))
            assert duct.read(size, timeout=SOON) == whole[:size]
        with refused(WouldBlockError, "no packet waits"):
            duct.read(blocking=False)


@check
def a_message_without_a_right_header_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 15):
            message = f"a message begins with a header of 16 bytes, and it has {size} bytes"
            with refused(InvalidArgumentError, message):
                duct.write(bytes(size))
        for length, size in ((0, 1), (1, 0), (6, 5), (0xFFFF_FFFF, 5)):
            message = f"the header announces {length} bytes of payload, and {size} follow"
            with refused(InvalidArgumentError, message):
                duct.write(device_message(ECHO.address, bytes(size), length))
        too_long = LIMITS.max_packet + 1
        with refused(
            PacketTooLongError, f"a packet carries at most 16384 bytes, and {too_long} were given"
        ):
            duct.write(device_message(ECHO.address, bytes(too_long)))
        assert echo(duct, b"only this").payload == b"only this"
