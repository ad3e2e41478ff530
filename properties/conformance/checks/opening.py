"""Open and close, by one and by many."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from functools import partial

from impl.driver import DuctDriver
from impl.errors import CardFailedError, ClosedError, WouldBlockError
from model.layout import ECHO
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import (
    EXACT,
    FLIGHT,
    GROUP,
    NOBODY,
    PATIENCE,
    SOON,
    Background,
    device_message,
    echo,
    gives_views,
    polls,
    receive,
    refused,
    together,
)


@check
def several_opens_share_the_card(backend: Backend) -> None:
    with backend.make() as one, backend.make() as two:
        one.send(ECHO.address, b"sent by one")
        assert receive(two).payload == b"sent by one"
        two.add_multicast(EXACT, GROUP)
        one.send(GROUP, b"for both")
        assert receive(one).payload == b"for both"
        for duct in (one, two):
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(blocking=False)


@check
def closing_one_of_several_opens_leaves_the_others_at_work(backend: Backend) -> None:
    with backend.make() as one:
        two = backend.make()
        waiting = [Background(two.receive) for _ in range(2)]
        kept = Background(one.receive)
        assert waiting[0].still_runs()
        two.close()
        for call in waiting:
            assert isinstance(call.error(), ClosedError)
        one.send(ECHO.address, b"still here")
        packet = kept.result()
        assert packet is not None
        assert packet.payload == b"still here"


@check
def the_card_can_be_opened_again_and_again(backend: Backend) -> None:
    for number in range(8):
        with backend.make() as duct, backend.make() as other:
            assert echo(duct, bytes([number])).payload == bytes([number])
            duct.send(NOBODY, b"left behind", blocking=False)
            other.close()


@check
def a_packet_that_nobody_took_is_gone_after_the_last_close(backend: Backend) -> None:
    with backend.make() as duct:
        duct.send(ECHO.address, b"not taken")
        assert polls(duct, select.POLLIN, SOON)
    with backend.make() as duct:
        with refused(WouldBlockError, "no packet waits"):
            duct.receive(blocking=False)
        assert echo(duct, b"taken").payload == b"taken"


@check
def the_last_close_sends_what_is_queued(backend: Backend) -> None:
    with backend.make() as other:
        with backend.make() as duct:
            for number in range(FLIGHT):
                duct.send(ECHO.address, bytes([number]), blocking=False)
        assert [receive(other).payload[0] for _ in range(FLIGHT)] == list(range(FLIGHT))


@check
def close_ends_the_calls_that_wait_for_a_packet(backend: Backend) -> None:
    duct = backend.make()
    waiting: list[Background[object]] = [
        Background(duct.receive),
        Background(lambda: duct.receive(timeout=10 * PATIENCE)),
        Background(duct.receive_view if gives_views(duct) else duct.read),
        Background(lambda: duct.receive_batch(3)),
        Background(duct.read),
    ]
    iteration = Background(lambda: list(duct))
    assert all(call.still_runs() for call in waiting)
    duct.close()
    for call in waiting:
        assert isinstance(call.error(), ClosedError | CardFailedError)
    assert iteration.result() == []


@check
def close_at_any_moment_of_busy_calls_ends_them(backend: Backend) -> None:
    for round_ in range(10):
        duct = backend.make()

        def talk(duct: DuctDriver = duct) -> None:
            while True:
                duct.send(ECHO.address, b"talk", timeout=PATIENCE)
                duct.receive(timeout=PATIENCE)

        def loan(duct: DuctDriver = duct) -> None:
            while True:
                duct.send(ECHO.address, b"loan", blocking=False)
                if not gives_views(duct):
                    duct.receive(timeout=PATIENCE)
                    continue
                with duct.receive_view(timeout=PATIENCE) as view:
                    bytes(view.payload)

        def change(duct: DuctDriver = duct) -> None:
            while True:
                duct.add_multicast(EXACT, GROUP)
                duct.remove_multicast(EXACT, GROUP)

        busy = [Background(body) for body in (talk, loan, change)]
        time.sleep(round_ * 0.002)
        duct.close()
        for call in busy:
            # What is read of a view after the close is a ValueError: it is released.
            assert isinstance(call.error(), ClosedError | CardFailedError | ValueError)


@check
def a_closed_driver_refuses_every_call(backend: Backend) -> None:
    duct = backend.make()
    before = duct.closed
    duct.close()
    duct.close()
    assert (before, duct.closed) == (False, True)
    calls: list[Callable[[], object]] = [
        lambda: duct.send(ECHO.address, b""),
        lambda: duct.send(ECHO.address, b"", blocking=False),
        lambda: duct.write(device_message(ECHO.address, b"")),
        duct.receive,
        lambda: duct.receive(blocking=False),
        duct.receive_view if gives_views(duct) else duct.read,
        lambda: duct.receive_batch(1),
        duct.read,
        duct.fileno,
        lambda: duct.add_multicast(EXACT, GROUP),
        lambda: duct.remove_multicast(EXACT, GROUP),
        lambda: asyncio.run(duct.receive_async()),
        lambda: asyncio.run(duct.send_async(ECHO.address, b"")),
    ]
    for call in calls:
        with refused(ClosedError, "the driver was closed; open the card again"):
            call()
    assert list(duct) == []


@check
def a_with_block_closes_the_driver_however_it_ends(backend: Backend) -> None:
    with backend.make() as duct:
        pass
    assert duct.closed
    try:
        with backend.make() as duct:
            raise LookupError
    except LookupError:
        assert duct.closed


@check
def opens_and_closes_of_many_threads_do_not_get_into_each_others_way(backend: Backend) -> None:
    def use(number: int) -> None:
        for _ in range(8):
            with backend.make() as duct:
                duct.send(NOBODY, bytes([number]))

    together(*(partial(use, n) for n in range(4)))
    with backend.make() as duct:
        assert echo(duct, b"well").payload == b"well"
