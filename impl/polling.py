"""Waiting for a driver's file descriptor in asyncio.

An event loop keeps one callback for a descriptor, and many tasks may wait for the same one; here
they queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import threading
from typing import final

import attrs

from impl.shield import shielded

__all__ = ["Direction", "Poller"]


class Direction(enum.Enum):
    """What a task waits for."""

    READABLE = "readable"
    WRITABLE = "writable"


@attrs.define(eq=False)
class _Queue:
    """The tasks of one event loop that wait for one direction."""

    loop: asyncio.AbstractEventLoop
    waiting: list[asyncio.Future[None]] = attrs.field(factory=list)


@final
class Poller:
    """Tasks of any number of event loops that wait for one descriptor.

    Args:
        descriptor: What to poll; the caller closes it after `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mutex = threading.Lock()
        self._queues: dict[tuple[int, Direction], _Queue] = {}
        self._closed = False

    async def wait(self, direction: Direction) -> None:
        """Return when the descriptor polls so, or when the poller is closed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        key = id(loop), direction
        try:
            if self._enlist(key, loop, future):
                await future
        finally:
            self._forget(key, future)

    @shielded
    def _enlist(
        self,
        key: tuple[int, Direction],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[None],
    ) -> bool:
        """Have `future` set when the loop sees the descriptor so; not if the poller is closed."""
        with self._mutex:
            if self._closed:
                return False
            queue = self._queues.setdefault(key, _Queue(loop))
            if not queue.waiting:
                add = loop.add_reader if key[1] is Direction.READABLE else loop.add_writer
                add(self._descriptor, self._wake, key)
            queue.waiting.append(future)
            return True

    @shielded
    def _forget(self, key: tuple[int, Direction], future: asyncio.Future[None]) -> None:
        """Whoever waited for `future` waits no more; without others the loop need not poll."""
        with self._mutex:
            queue = self._queues.get(key)
            if queue is None or future not in queue.waiting:
                return
            queue.waiting.remove(future)
            if queue.waiting:
                return
            del self._queues[key]
        self._stop_polling(queue.loop, key[1])

    @shielded
    def _wake(self, key: tuple[int, Direction]) -> None:
        """Runs in the loop: all who wait look again."""
        with self._mutex:
            queue = self._queues.pop(key, None)
        if queue is None:
            return
        try:
            self._stop_polling(queue.loop, key[1])
        finally:
            for future in queue.waiting:
                if not future.done():
                    future.set_result(None)

    def _stop_polling(self, loop: asyncio.AbstractEventLoop, direction: Direction) -> None:
        if direction is Direction.READABLE:
            loop.remove_reader(self._descriptor)
        else:
            loop.remove_writer(self._descriptor)

    def close(self) -> None:
        """Wake every task, in whichever loop and thread it is; later waits return at once."""
        with self._mutex:
            self._closed = True
            queues = dict(self._queues)
        for key, queue in queues.items():
            try:
                running = asyncio.get_running_loop()
            except RuntimeError:
                running = None
            if queue.loop is running:
                self._wake(key)
            elif not queue.loop.is_closed():
                done = threading.Event()
                # Nobody waits in a loop that was closed meanwhile.
                with contextlib.suppress(RuntimeError):
                    queue.loop.call_soon_threadsafe(self._wake_and_tell, key, done)
                    done.wait(timeout=1)

    def _wake_and_tell(self, key: tuple[int, Direction], done: threading.Event) -> None:
        self._wake(key)
        done.set()
