"""A transmit ring that is full: who waits for a slot, and who does not."""

from __future__ import annotations

import asyncio
import select
from functools import partial

from impl.errors import CardFailedError, ClosedError, WaitTimeoutError, WouldBlockError
from model.layout import ECHO, UserHeader, pack
from properties.conformance.backends import Clogged
from properties.conformance.check import clogged_check
from properties.conformance.helpers import (
    EXACT,
    FLIGHT,
    GROUP,
    MOMENT,
    SLOTS,
    SOON,
    Background,
    echo,
    polls,
    receive,
    refused,
)


@clogged_check
def a_full_ring_blocks(clogged: Clogged) -> None:
    duct = clogged.duct
    message = f"all {SLOTS} transmit slots are in use or spoken for"
    with refused(WouldBlockError, message):
        duct.send(ECHO.address, b"", blocking=False)
    with refused(WouldBlockError, message):
        duct.send(ECHO.address, b"", timeout=0)
    with refused(WouldBlockError, message):
        duct.write(pack(UserHeader(0, ECHO.address, 0)), blocking=False)
    with refused(
        WaitTimeoutError, "waited 0.05 s for a transmit slot, or the completion of a packet"
    ):
        duct.send(ECHO.address, b"", timeout=0.05)
    clogged.unclog()
    assert echo(duct, b"nothing of these was sent").payload == b"nothing of these was sent"


@clogged_check
def a_blocking_send_waits_for_a_slot(clogged: Clogged) -> None:
    sending = Background(lambda: clogged.duct.send(ECHO.address, b"late"))
    assert sending.still_runs()
    clogged.unclog()
    sending.result()
    assert receive(clogged.duct).payload == b"late"


@clogged_check
def many_senders_wait_for_slots_and_all_packets_are_sent(clogged: Clogged) -> None:
    duct = clogged.duct
    payloads = {bytes([number]) for number in range(FLIGHT)}
    sending = [Background(partial(duct.send, ECHO.address, payload)) for payload in payloads]
    assert all(call.still_runs() for call in sending)
    clogged.unclog()
    for call in sending:
        call.result()
    assert {receive(duct).payload for _ in payloads} == payloads


@clogged_check
def a_full_ring_is_not_writable_until_a_slot_is_free(clogged: Clogged) -> None:
    duct = clogged.duct
    assert not polls(duct, select.POLLOUT)
    clogged.unclog()
    assert polls(duct, select.POLLOUT, SOON)
    duct.send(ECHO.address, b"free", blocking=False)
    assert receive(duct).payload == b"free"


@clogged_check
def a_task_waits_for_a_slot_without_blocking_the_others(clogged: Clogged) -> None:
    duct = clogged.duct

    async def everything() -> None:
        sends = [asyncio.create_task(duct.send_async(ECHO.address, bytes([n]))) for n in range(5)]
        await asyncio.sleep(MOMENT)
        assert not any(task.done() for task in sends)
        clogged.unclog()
        await asyncio.gather(*sends)

    asyncio.run(everything())
    assert {receive(duct).payload for _ in range(5)} == {bytes([n]) for n in range(5)}


@clogged_check
def close_ends_the_calls_that_wait_for_a_slot(clogged: Clogged) -> None:
    duct = clogged.duct
    sending = [Background(lambda: duct.send(ECHO.address, b"")) for _ in range(3)]
    sending.append(Background(lambda: duct.add_multicast(EXACT, GROUP)))
    assert all(call.still_runs() for call in sending)
    closing = Background(duct.close)
    for call in sending:
        assert isinstance(call.error(), ClosedError | CardFailedError)
    clogged.unclog()
    closing.result()
