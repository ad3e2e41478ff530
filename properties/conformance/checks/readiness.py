"""What select, poll and epoll tell, and what the driver tells itself."""

from __future__ import annotations

import errno
import os
import select

from impl.errors import ClosedError
from model.layout import ECHO, LIMITS
from properties.conformance.backends import Backend, Clogged
from properties.conformance.check import check, clogged_check
from properties.conformance.helpers import (
    FLIGHT,
    NOBODY,
    SLOTS,
    SOON,
    Background,
    polls,
    raising,
    receive,
    refused,
)

# Readiness


@check
def the_descriptor_is_readable_exactly_while_a_packet_waits(backend: Backend) -> None:
    with backend.make() as duct:
        assert not polls(duct, select.POLLIN)
        for count in (1, 2, FLIGHT):
            for _ in range(count):
                duct.send(ECHO.address, b"")
            for _ in range(count):
                assert polls(duct, select.POLLIN, SOON)
                receive(duct)
            assert not polls(duct, select.POLLIN)
            # The interrupt of a packet that was sent tells of no packet received.
            duct.send(NOBODY, b"")
            assert not polls(duct, select.POLLIN)


@check
def the_descriptor_is_writable_while_a_slot_is_free(backend: Backend) -> None:
    with backend.make() as duct:
        for _ in range(5):
            assert polls(duct, select.POLLOUT)
            duct.send(NOBODY, b"")


@check
def a_poll_that_waits_ends_when_a_packet_comes(backend: Backend) -> None:
    with backend.make() as duct:
        waiting = Background(lambda: polls(duct, select.POLLIN, SOON))
        assert waiting.still_runs()
        duct.send(ECHO.address, b"")
        assert waiting.result()
        receive(duct)


@check
def each_open_has_one_descriptor_of_its_own(backend: Backend) -> None:
    with backend.make() as duct, backend.make() as other:
        assert duct.fileno() == duct.fileno()
        assert duct.fileno() != other.fileno()
        descriptor = duct.fileno()
        duct.close()
        with refused(ClosedError):
            duct.fileno()
        with raising(OSError) as raised:
            os.fstat(descriptor)
        assert isinstance(raised[0], OSError)
        assert raised[0].errno == errno.EBADF
        other.send(ECHO.address, b"")
        assert polls(other, select.POLLIN, SOON)
        receive(other)


# What poll tells


@check
def poll_tells_the_length_of_the_next_packet(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.poll().next_length is None
        for size in (0, 1, 4097, LIMITS.max_packet):
            duct.send(ECHO.address, bytes(size))
            assert polls(duct, select.POLLIN, SOON)
            assert duct.poll().next_length == size
            assert duct.poll().next_length == size
            assert len(receive(duct).payload) == size
            assert duct.poll().next_length is None


@check
def poll_tells_how_many_slots_are_free(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.poll().free_slots == SLOTS
        duct.send(NOBODY, b"")
        assert duct.poll().free_slots == SLOTS


@clogged_check
def poll_tells_that_no_slot_is_free(clogged: Clogged) -> None:
    assert clogged.duct.poll().free_slots == 0
    clogged.unclog()
    clogged.duct.send(NOBODY, b"")
    assert clogged.duct.poll().free_slots == SLOTS
