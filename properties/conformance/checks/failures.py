"""A card that fails, at rest and in full traffic."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable

from impl.driver import DuctDriver
from impl.errors import CardFailedError, NoSuchFilterError
from model.layout import ECHO
from properties.conformance.backends import Backend
from properties.conformance.check import failure_check
from properties.conformance.helpers import (
    EXACT,
    GROUP,
    SOON,
    Background,
    echo,
    gives_views,
    polls,
    refused,
    view_of,
)


@failure_check
def a_fatal_error_ends_every_call_and_every_later_one(
    backend: Backend, fail: Callable[[], None]
) -> None:
    message = "the card reported a fatal error (HWERR); close every open of it and open it again"
    duct = backend.make()
    waiting: list[Background[object]] = [
        Background(duct.receive),
        Background(duct.receive_view if gives_views(duct) else duct.read),
        Background(lambda: list(duct)),
        Background(lambda: asyncio.run(duct.receive_async())),
    ]
    assert all(call.still_runs() for call in waiting)
    fail()
    for call in waiting:
        with refused(CardFailedError, message):
            call.result()
    for later in (
        lambda: duct.send(ECHO.address, b""),
        lambda: duct.send(ECHO.address, b"", blocking=False),
        duct.receive,
        lambda: duct.receive(blocking=False),
        lambda: duct.add_multicast(EXACT, GROUP),
    ):
        with refused(CardFailedError, message):
            later()
    duct.close()


@failure_check
def a_failed_card_polls_as_readable_and_writable(
    backend: Backend, fail: Callable[[], None]
) -> None:
    with backend.make() as duct:
        waiting = Background(lambda: polls(duct, select.POLLIN, SOON))
        assert waiting.still_runs()
        fail()
        assert waiting.result()
        assert polls(duct, select.POLLIN)
        assert polls(duct, select.POLLOUT)


@failure_check
def a_failure_ends_the_calls_that_wait_for_a_slot(
    backend: Backend, fail: Callable[[], None]
) -> None:
    if backend.make_clogged is None:
        return
    clogged = backend.make_clogged()
    with clogged.duct as duct:

        async def send() -> None:
            await duct.send_async(ECHO.address, b"")

        waiting = [
            Background(lambda: duct.send(ECHO.address, b"")),
            Background(lambda: duct.add_multicast(EXACT, GROUP)),
            Background(lambda: asyncio.run(send())),
        ]
        assert all(call.still_runs() for call in waiting)
        fail()
        clogged.unclog()
        for call in waiting:
            assert isinstance(call.error(), CardFailedError)
        assert polls(duct, select.POLLOUT)


@failure_check
def a_failed_card_opens_again_when_every_open_was_closed(
    backend: Backend, fail: Callable[[], None]
) -> None:
    for _ in range(3):
        one, two = backend.make(), backend.make()
        one.add_multicast(EXACT, GROUP)
        assert echo(one, b"before").payload == b"before"
        waiting = Background(two.receive)
        fail()
        assert isinstance(waiting.error(), CardFailedError)
        message = "the card reported a fatal error (HWERR); close every open of it first"
        with refused(CardFailedError, message):
            backend.make()
        one.close()
        with refused(CardFailedError):
            backend.make()
        two.close()
        with backend.make() as duct:
            assert echo(duct, b"after").payload == b"after"
            with refused(NoSuchFilterError):
                duct.remove_multicast(EXACT, GROUP)


@failure_check
def a_failure_at_any_moment_of_busy_calls_ends_them(
    backend: Backend, fail: Callable[[], None]
) -> None:
    for round_ in range(8):
        with backend.make() as duct:

            def talk(duct: DuctDriver = duct) -> None:
                while True:
                    duct.send(ECHO.address, bytes(5000))
                    duct.receive()

            def change(duct: DuctDriver = duct) -> None:
                while True:
                    duct.add_multicast(EXACT, GROUP)
                    duct.remove_multicast(EXACT, GROUP)

            busy = [Background(body) for body in (talk, talk, change)]
            time.sleep(round_ * 0.002)
            fail()
            for call in busy:
                assert isinstance(call.error(), CardFailedError)


@failure_check
def a_view_outlives_a_failure(backend: Backend, fail: Callable[[], None]) -> None:
    duct = backend.make()
    if not gives_views(duct):
        duct.close()
        return
    view = view_of(duct, b"read me")
    waiting = Background(duct.receive)
    fail()
    assert isinstance(waiting.error(), CardFailedError)
    assert bytes(view.payload) == b"read me"
    piece = view.payload[5:]
    duct.close()
    assert len(bytes(piece)) == 2
    with backend.make() as again:
        assert echo(again, b"again").payload == b"again"
