"""Echoes over a device file, in one thread with `selectors`, and in asyncio in two ways.

python -m examples.device_selectors /dev/duct0 3

No more than 64 packets may be under way at once: the card drops what finds no receive slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import selectors
import struct
import sys
from collections import deque
from typing import Final

__all__ = ["echo_with_asyncio", "echo_with_selectors", "echo_with_streams"]

HEADER: Final = struct.Struct("<IIII")
"""Source, destination, length, nothing."""
ECHO: Final = 0xEC60
LONGEST: Final = HEADER.size + 16384


def _message(payload: bytes) -> bytes:
    return HEADER.pack(0, ECHO, len(payload), 0) + payload


def echo_with_selectors(path: str, payloads: list[bytes]) -> list[bytes]:
    """Send payloads to the echo service and return what comes back, without ever blocking."""
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    to_send = deque(payloads)
    answers: list[bytes] = []
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while len(answers) < len(payloads):
                for _, events in selector.select():
                    if events & selectors.EVENT_READ:
                        answers.append(os.read(descriptor, LONGEST)[HEADER.size :])
                    if events & selectors.EVENT_WRITE and to_send:
                        os.write(descriptor, _message(to_send.popleft()))
                if not to_send:
                    # It would be ready to send all the time.
                    selector.modify(descriptor, selectors.EVENT_READ)
    finally:
        os.close(descriptor)
    return answers


async def echo_with_asyncio(path: str, payloads: list[bytes]) -> list[bytes]:
    """The same in asyncio: another task sends while this one receives."""
    loop = asyncio.get_running_loop()
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    def receive() -> None:
        # Another reader of the card may be faster.
        with contextlib.suppress(BlockingIOError):
            answers.put_nowait(os.read(descriptor, LONGEST)[HEADER.size :])

    async def send() -> None:
        for payload in payloads:
            while True:
                try:
                    os.write(descriptor, _message(payload))
                    break
                except BlockingIOError:
                    writable = loop.create_future()
                    loop.add_writer(descriptor, writable.set_result, None)
                    await writable
                    loop.remove_writer(descriptor)

    loop.add_reader(descriptor, receive)
    try:
        sending = asyncio.create_task(send())
        got = [await answers.get() for _ in payloads]
        await sending
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return got


async def echo_with_streams(path: str, payloads: list[bytes]) -> list[bytes]:
    """The same with asyncio's streams: a header says how long the packet is that follows."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    receiving, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), _opened(path, os.O_RDONLY)
    )
    sending, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), _opened(path, os.O_WRONLY)
    )
    # Each write is a packet, so none may wait in a buffer for another one.
    sending.set_write_buffer_limits(high=0)
    writer = asyncio.StreamWriter(sending, protocol, None, loop)

    async def send() -> None:
        for payload in payloads:
            writer.write(_message(payload))
            await writer.drain()

    async def receive() -> list[bytes]:
        got = []
        for _ in payloads:
            _, _, length, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
            got.append(await reader.readexactly(length))
        return got

    try:
        _, answers = await asyncio.gather(send(), receive())
    finally:
        writer.close()
        receiving.close()
    return answers


def _opened(path: str, flags: int) -> io.FileIO:
    return io.FileIO(os.open(path, flags | os.O_NONBLOCK), "r" if flags == os.O_RDONLY else "w")


def main() -> None:
    """Print what comes back."""
    path, count = sys.argv[1], int(sys.argv[2])
    payloads = [b"packet %d" % number for number in range(count)]
    for answers in (
        echo_with_selectors(path, payloads),
        asyncio.run(echo_with_asyncio(path, payloads)),
        asyncio.run(echo_with_streams(path, payloads)),
    ):
        print(b", ".join(answers).decode())


if __name__ == "__main__":
    main()
