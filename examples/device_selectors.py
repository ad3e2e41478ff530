"""Echoes over a device file, in one thread with `selectors`, and in asyncio.

python -m examples.device_selectors /dev/duct0 3
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import struct
import sys
from collections import deque
from typing import Final

__all__ = ["echo_with_asyncio", "echo_with_selectors"]

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


def main() -> None:
    """Print what comes back."""
    path, count = sys.argv[1], int(sys.argv[2])
    payloads = [b"packet %d" % number for number in range(count)]
    for answers in (
        echo_with_selectors(path, payloads),
        asyncio.run(echo_with_asyncio(path, payloads)),
    ):
        print(b", ".join(answers).decode())


if __name__ == "__main__":
    main()
