"""Batches of packets, received and sent."""

from __future__ import annotations

from impl.errors import InvalidArgumentError, WaitTimeoutError, WouldBlockError
from model.layout import ECHO
from properties.conformance.backends import Backend, Clogged
from properties.conformance.check import check, clogged_check
from properties.conformance.helpers import (
    FLIGHT,
    NOBODY,
    SLOTS,
    SOON,
    Background,
    echo,
    receive,
    refused,
    some_bytes,
)

# Batches of received packets


@check
def a_batch_has_what_waits_and_no_more_than_was_asked_for(backend: Backend) -> None:
    with backend.make() as duct:
        for most in (1, 3, FLIGHT, 1000):
            for number in range(FLIGHT):
                duct.send(ECHO.address, bytes([number]))
            got: list[int] = []
            while len(got) < FLIGHT:
                batch = duct.receive_batch(most, timeout=SOON)
                assert 1 <= len(batch) <= most
                got += [packet.payload[0] for packet in batch]
            assert got == list(range(FLIGHT))


@check
def a_batch_of_no_packets_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for most in (0, -1):
            with refused(InvalidArgumentError, f"a batch has 1 packet or more, not {most}"):
                duct.receive_batch(most)


# Batches to be sent


@check
def a_batch_is_sent_in_order(backend: Backend) -> None:
    with backend.make() as duct:
        for blocking in (True, False):
            for count in (1, 2, FLIGHT):
                payloads = [some_bytes(number * 31, count) for number in range(count)]
                batch = [(ECHO.address, payload) for payload in payloads]
                assert duct.send_batch(iter(batch), blocking=blocking) == count
                assert [receive(duct).payload for _ in payloads] == payloads


@check
def an_empty_batch_sends_nothing(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.send_batch([]) == 0
        assert duct.send_batch([], blocking=False) == 0


@check
def a_batch_may_be_longer_than_the_ring(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.send_batch([(NOBODY, b"x")] * (3 * SLOTS)) == 3 * SLOTS
        assert echo(duct, b"and on").payload == b"and on"


@check
def a_batch_that_may_not_wait_ends_where_the_ring_is_full(backend: Backend) -> None:
    with backend.make() as duct:
        queued = duct.send_batch([(NOBODY, b"x")] * (3 * SLOTS), blocking=False)
        assert SLOTS <= queued <= 3 * SLOTS


@clogged_check
def a_batch_of_which_nothing_can_be_sent_is_an_error(clogged: Clogged) -> None:
    duct = clogged.duct
    with refused(WouldBlockError):
        duct.send_batch([(ECHO.address, b"x")] * 3, blocking=False)
    with refused(WaitTimeoutError):
        duct.send_batch([(ECHO.address, b"x")] * 3, timeout=0.05)
    sending = Background(lambda: duct.send_batch([(ECHO.address, b"y")] * 3))
    assert sending.still_runs()
    clogged.unclog()
    assert sending.result() == 3
    assert [receive(duct).payload for _ in range(3)] == [b"y"] * 3
