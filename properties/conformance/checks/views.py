"""Packets where the card wrote them."""

from __future__ import annotations

import random
import struct

from impl.errors import WouldBlockError
from model.layout import ECHO, LIMITS
from properties.conformance.backends import Backend
from properties.conformance.check import view_check
from properties.conformance.helpers import (
    FLIGHT,
    SLOTS,
    SOON,
    address_of,
    echo,
    raising,
    receive,
    refused,
    some_bytes,
    view_of,
)


@view_check
def a_view_shows_the_packet_and_cannot_be_written(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 4096, 4097, LIMITS.max_packet):
            payload = some_bytes(size)
            duct.send(ECHO.address, payload)
            with duct.receive_view(timeout=SOON) as view:
                assert (view.source, view.destination) == (ECHO.address, address_of(duct))
                assert view.payload == payload
                assert view.payload.readonly


@view_check
def a_view_cannot_be_used_after_its_release(backend: Backend) -> None:
    with backend.make() as duct:
        view = view_of(duct, b"on loan")
        view.release()
        view.release()
        with raising(ValueError):
            bytes(view.payload)


@view_check
def a_view_is_not_released_while_something_refers_to_its_payload(backend: Backend) -> None:
    with backend.make() as duct:
        for refer in (lambda view: view[3:], memoryview, lambda view: view.cast("H")):
            view = view_of(duct, b"on loan!")
            reference = refer(view.payload)
            with raising(BufferError) as raised:
                view.release()
            words = "the payload is in use: release slices of it and arrays over it first"
            assert str(raised[0]) == words
            assert bytes(view.payload) == b"on loan!"
            reference.release()
            view.release()
        assert echo(duct, b"the slots are back").payload == b"the slots are back"


@view_check
def slots_come_back_however_packets_are_taken(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(3 * SLOTS):
            payload = struct.pack("<I", number)
            duct.send(ECHO.address, payload)
            if number % 3 == 0:
                assert receive(duct).payload == payload
            elif number % 3 == 1:
                with duct.receive_view(timeout=SOON) as view:
                    assert view.payload == payload
            else:
                assert [packet.payload for packet in duct.receive_batch(4, timeout=SOON)] == [
                    payload
                ]


@view_check
def views_may_be_released_in_any_order(backend: Backend) -> None:
    chance = random.Random(7)
    with backend.make() as duct:
        for start in range(0, 5 * SLOTS, FLIGHT):
            payloads = [some_bytes(64, start + number) for number in range(FLIGHT)]
            views = [(payload, view_of(duct, payload)) for payload in payloads]
            chance.shuffle(views)
            for payload, view in views:
                assert view.payload == payload
                view.release()


@view_check
def a_card_whose_slots_are_all_on_loan_goes_on_when_one_is_released(backend: Backend) -> None:
    with backend.make() as duct:
        views = [view_of(duct, bytes([number])) for number in range(SLOTS)]
        duct.send(address_of(duct), b"finds no slot")
        with refused(WouldBlockError, "no packet waits"):
            duct.receive(blocking=False)
        for number, view in enumerate(views):
            assert view.payload == bytes([number])
            view.release()
        duct.send(ECHO.address, b"finds one")
        while receive(duct).payload != b"finds one":
            pass  # the other one may have waited on the net meanwhile


@view_check
def close_takes_views_back(backend: Backend) -> None:
    with backend.make() as other:
        duct = backend.make()
        views = [view_of(duct, bytes(4096)) for _ in range(FLIGHT)]
        piece = views[0].payload[1:3]
        duct.close()
        for view in views[1:]:
            with raising(ValueError):
                bytes(view.payload)
        assert len(bytes(piece)) == 2
        for view in views[1:]:
            view.release()
        for _ in range(2 * SLOTS):
            assert echo(other, b"slots are back").payload == b"slots are back"
