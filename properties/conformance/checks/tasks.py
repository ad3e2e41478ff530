"""Tasks of asyncio."""

from __future__ import annotations

import asyncio
import struct
import threading

from impl.errors import ClosedError
from model.layout import ECHO
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import FLIGHT, SOON, refused, together


@check
def tasks_send_and_receive(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            for number in range(50):
                await duct.send_async(ECHO.address, bytes([number]))
                packet = await asyncio.wait_for(duct.receive_async(), SOON)
                assert packet.payload == bytes([number])

        asyncio.run(everything())


@check
def many_tasks_wait_at_once_and_every_packet_is_accounted_for(backend: Backend) -> None:
    count, tasks = 400, 20
    with backend.make() as duct:
        got: list[int] = []

        async def everything() -> None:
            under_way = asyncio.Semaphore(FLIGHT)

            async def send(first: int) -> None:
                for number in range(first, count, tasks):
                    await under_way.acquire()
                    await duct.send_async(ECHO.address, struct.pack("<I", number))

            async def take() -> None:
                for _ in range(count // tasks):
                    packet = await duct.receive_async()
                    got.extend(struct.unpack("<I", packet.payload))
                    under_way.release()

            senders = [send(first) for first in range(tasks)]
            await asyncio.wait_for(asyncio.gather(*senders, *(take() for _ in senders)), SOON)

        asyncio.run(everything())
        assert sorted(got) == list(range(count))


@check
def a_task_that_is_cancelled_leaves_the_others_waiting(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            waiting = [asyncio.create_task(duct.receive_async()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.wait([waiting[0]])
            assert waiting[0].cancelled()
            for payload in (b"a", b"b"):
                await duct.send_async(ECHO.address, payload)
            got = await asyncio.wait_for(asyncio.gather(*waiting[1:]), SOON)
            assert {packet.payload for packet in got} == {b"a", b"b"}

        asyncio.run(everything())
        asyncio.run(everything())


@check
def several_event_loops_wait_for_one_driver(backend: Backend) -> None:
    count, loops = 30, 3
    with backend.make() as duct:
        under_way = threading.Semaphore(FLIGHT)
        got: list[int] = []

        async def take() -> None:
            for _ in range(count):
                packet = await asyncio.wait_for(duct.receive_async(), SOON)
                got.extend(struct.unpack("<I", packet.payload))
                under_way.release()

        def send() -> None:
            for number in range(count * loops):
                assert under_way.acquire(timeout=SOON)
                duct.send(ECHO.address, struct.pack("<I", number))

        together(send, *(lambda: asyncio.run(take()) for _ in range(loops)))
        assert sorted(got) == list(range(count * loops))


@check
def asynchronous_iteration_yields_packets_until_the_driver_is_closed(backend: Backend) -> None:
    with backend.make() as duct:
        got: list[bytes] = []

        async def everything() -> None:
            async def listen() -> None:
                async for packet in duct:
                    got.append(packet.payload)
                    if len(got) == 3:
                        enough.set()

            enough = asyncio.Event()
            listening = asyncio.create_task(listen())
            for payload in (b"1", b"2", b"3"):
                await duct.send_async(ECHO.address, payload)
            await asyncio.wait_for(enough.wait(), SOON)
            duct.close()
            await asyncio.wait_for(listening, SOON)

        asyncio.run(everything())
        assert got == [b"1", b"2", b"3"]


@check
def close_in_another_thread_ends_what_tasks_wait_for(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            waiting = [asyncio.create_task(duct.receive_async()) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, duct.close)
            for task in waiting:
                with refused(ClosedError):
                    await asyncio.wait_for(task, SOON)

        asyncio.run(everything())
