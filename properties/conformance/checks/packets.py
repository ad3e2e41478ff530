"""What the card is, and packets that come and go."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from functools import partial

from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import (
    InvalidArgumentError,
    PacketTooLongError,
    UnknownAddressError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.memory import Data, Device
from impl.packet import Packet
from model.layout import ECHO, LIMITS, QUOTE
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import (
    FLIGHT,
    NOBODY,
    SLOTS,
    Background,
    address_of,
    echo,
    gives_views,
    receive,
    refused,
    some_bytes,
)

# What the card is


@check
def info_tells_version_and_hardware_address(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.info.major >= 0
        assert duct.info.minor >= 0
        assert 0 < address_of(duct) <= 0xFFFF_FFFF
        with backend.make() as again:
            assert again.info == duct.info


@check
def an_unknown_scheme_is_refused_and_the_known_ones_are_named(backend: Backend) -> None:
    del backend
    known = Attachments(lambda: {"alpha": _unreachable, "beta": _unreachable})
    for address in ("gamma:0", "alpha", "", "/dev/duct0"):
        message = f"{address!r} names no card: an address begins with one of alpha:, beta:"
        with refused(UnknownAddressError, message):
            DuctDriver.open(address, attachments=known)


def _unreachable(rest: str) -> Device:
    raise AssertionError(f"nobody asked for {rest}")


# Packets come and go


@check
def an_echo_comes_back_from_the_echo_service(backend: Backend) -> None:
    with backend.make() as duct:
        assert echo(duct, b"hello") == Packet(ECHO.address, address_of(duct), b"hello")


@check
def a_quote_answers_an_empty_packet(backend: Backend) -> None:
    with backend.make() as duct:
        duct.send(QUOTE.address, b"")
        packet = receive(duct)
        assert (packet.source, packet.destination) == (QUOTE.address, address_of(duct))
        assert packet.payload.decode()


@check
def a_packet_to_the_card_itself_comes_back(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)
        duct.send(own, b"to myself")
        assert receive(duct) == Packet(own, own, b"to myself")


@check
def packets_of_every_size_come_back_unchanged(backend: Backend) -> None:
    page = LIMITS.page_size
    sizes = {0, 1, 2, 3, LIMITS.max_packet}
    sizes |= {pages * page + off for pages in range(1, LIMITS.buffers) for off in (-1, 0, 1)}
    sizes |= {LIMITS.max_packet - 1}
    with backend.make() as duct:
        for size in sorted(sizes):
            payload = some_bytes(size)
            assert echo(duct, payload).payload == payload, f"{size} bytes"


@check
def nothing_of_an_earlier_packet_shows_in_a_shorter_one(backend: Backend) -> None:
    with backend.make() as duct:
        for round_ in range(SLOTS + 1):
            payload = some_bytes(LIMITS.max_packet if round_ % 2 else round_, round_)
            assert echo(duct, payload).payload == payload


@check
def a_packet_that_is_too_long_is_refused_and_nothing_of_it_is_sent(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (LIMITS.max_packet + 1, 2 * LIMITS.max_packet):
            with refused(
                PacketTooLongError, f"a packet carries at most 16384 bytes, and {size} were given"
            ):
                duct.send(ECHO.address, bytes(size))
            with refused(PacketTooLongError):
                duct.send(ECHO.address, [bytes(1)] * size)
        assert echo(duct, b"only this").payload == b"only this"


@check
def an_address_that_does_not_fit_32_bits_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for address, text in ((1 << 32, "0x100000000"), (-1, "-0x1")):
            with refused(
                InvalidArgumentError,
                f"a destination is a number from 0 to 0xffffffff, not {text}",
            ):
                duct.send(address, b"")


@check
def many_buffers_arrive_as_one_packet(backend: Backend) -> None:
    chance = random.Random(4)
    whole = some_bytes(LIMITS.max_packet)
    with backend.make() as duct:
        for size in (0, 1, 4095, 4097, 9000, LIMITS.max_packet):
            for count in (0, 1, 2, 3, 40):
                cuts = sorted(chance.randint(0, size) for _ in range(count))
                ends = zip([0, *cuts], [*cuts, size], strict=True)
                parts = [whole[start:end] for start, end in ends]
                assert echo(duct, parts).payload == whole[:size]


@check
def buffers_may_be_empty_of_any_kind_and_none_at_all(backend: Backend) -> None:
    with backend.make() as duct:
        words = memoryview(bytearray(some_bytes(12))).cast("I")
        parts: list[Data] = [
            b"",
            b"bytes",
            bytearray(b""),
            bytearray(b" array "),
            words,
            memoryview(b""),
        ]
        assert echo(duct, parts).payload == b"bytes array " + words.tobytes()
        assert echo(duct, []).payload == b""
        assert echo(duct, (b"", b"")).payload == b""
        assert echo(duct, words).payload == words.tobytes()
        assert echo(duct, memoryview(b"0123456789")[2:5]).payload == b"234"


@check
def a_payload_may_be_changed_after_it_was_sent(backend: Backend) -> None:
    with backend.make() as duct:
        payload = bytearray(b"before")
        duct.send(ECHO.address, payload, blocking=False)
        payload[:] = b"after!"
        assert receive(duct).payload == b"before"


@check
def packets_of_one_sender_arrive_in_order(backend: Backend) -> None:
    with backend.make() as duct:
        for start in range(0, 5 * SLOTS, FLIGHT):
            numbers = range(start, start + FLIGHT)
            for number in numbers:
                duct.send(ECHO.address, struct.pack("<I", number), blocking=number % 3 == 0)
            got = [struct.unpack("<I", receive(duct).payload)[0] for _ in numbers]
            assert got == list(numbers)


@check
def nothing_waits_where_nothing_was_sent(backend: Backend) -> None:
    with backend.make() as duct:
        for _ in range(3):
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(timeout=0)
            if gives_views(duct):
                with refused(WouldBlockError, "no packet waits"):
                    duct.receive_view(blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.receive_batch(5, blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.read(blocking=False)
            duct.send(NOBODY, b"")


@check
def waiting_for_a_packet_ends_when_its_time_is_over(backend: Backend) -> None:
    with backend.make() as duct:
        waits: list[Callable[..., object]] = [duct.receive, duct.read]
        if gives_views(duct):
            waits.append(duct.receive_view)
        for wait in waits:
            began = time.monotonic()
            with refused(WaitTimeoutError, "waited 0.05 s for a packet"):
                wait(timeout=0.05)
            assert time.monotonic() - began >= 0.05
        assert echo(duct, b"and goes on").payload == b"and goes on"


@check
def a_time_that_is_no_time_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for time_, text in ((-1, "-1"), (-0.5, "-0.5"), (float("nan"), "nan")):
            with refused(InvalidArgumentError, f"a timeout is 0 seconds or more, not {text}"):
                duct.receive(timeout=time_)
            with refused(InvalidArgumentError, f"a timeout is 0 seconds or more, not {text}"):
                duct.send(NOBODY, b"", timeout=time_)
        assert echo(duct, b"").payload == b""


@check
def a_very_long_timeout_is_as_good_as_none(backend: Backend) -> None:
    with backend.make() as duct:
        for timeout in (1e9, 1e300, float("inf")):
            waiting = Background(partial(duct.receive, timeout=timeout))
            assert waiting.still_runs()
            duct.send(ECHO.address, b"x", timeout=timeout)
            assert waiting.result() is not None
