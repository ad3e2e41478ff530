"""Waiting for interrupts: by an eventfd for each vector, by one line for all, or by the clock."""

from __future__ import annotations

import abc
import contextlib
import enum
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from model.layout import IDENTITY

__all__ = ["Clock", "Interrupts", "SharedLine", "Vectors", "Wake"]

_COUNTER: Final = 8
"""Bytes that are read from an eventfd."""


class Wake(enum.Enum):
    """Why a wait is over."""

    INTERRUPT = "the vector was raised"
    TIME = "the time is over"
    CLOSED = "there will be no more"


class Interrupts(abc.ABC):
    """The interrupts of a card. Any thread may wait, and one at a time for each vector."""

    @abc.abstractmethod
    def wait(self, vector: int, seconds: float) -> Wake:
        """Wait for a vector, for so long at the most."""

    def set_failed(self, yes: bool) -> None:  # noqa: B027 - most kinds need not know
        """The card was seen to report a fatal error, which it does until it is reset, or not."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all waits, now and later. Returns when nobody waits any more."""


class Vectors(Interrupts):
    """A vector each by an eventfd of its own.

    Attributes:
        descriptors: The eventfds, which are closed with it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False
        with contextlib.ExitStack() as undo:
            self.descriptors = [_eventfd(undo) for _ in range(IDENTITY.vectors)]
            self._stop = _eventfd(undo)
            self._polls = [_poll(descriptor, self._stop) for descriptor in self.descriptors]
            self._eventfds = undo.pop_all()

    def wait(self, vector: int, seconds: float) -> Wake:
        """Wait for a vector."""
        with self._changed:
            if self._closed:
                return Wake.CLOSED
            self._inside += 1
        try:
            self._polls[vector].poll(seconds * 1000)
            return self._take(vector)
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _take(self, vector: int) -> Wake:
        """Take the vector, if it was raised."""
        if self._closed:
            return Wake.CLOSED
        descriptor = self.descriptors[vector]
        if not _ready(descriptor):
            return Wake.TIME
        os.read(descriptor, _COUNTER)
        return Wake.INTERRUPT

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._stop, 1)
            self._changed.wait_for(lambda: not self._inside)
        self._eventfds.close()


class SharedLine(Interrupts):
    """One level-triggered line for all vectors (INTx), as a UIO device tells of it.

    The kernel disables the line at each interrupt, since it stays raised until the driver has read
    the registers. It is enabled again when all vectors are waited for, as then all handlers have
    had their look; and not while a fatal error is reported, which only a reset ends.

    Threads that wait share the descriptor: one polls it, and wakes the others.

    Args:
        descriptor: Can be read when the line was raised; stays the caller's.
        take: Reads it, so that it cannot be read until the line is raised again.
        enable: Enables the line.
    """

    def __init__(
        self, descriptor: int, take: Callable[[], object], enable: Callable[[], None]
    ) -> None:
        self._descriptor = descriptor
        self._take = take
        self._enable = enable
        with contextlib.ExitStack() as undo:
            self._stop = _eventfd(undo)
            self._poll = _poll(descriptor, self._stop)
            self._eventfds = undo.pop_all()
        self._changed = threading.Condition()
        self._inside: set[int] = set()
        self._raised: set[int] = set()
        self._polled = False
        self._enabled = False
        self._failed = False
        self._closed = False

    def wait(self, vector: int, seconds: float) -> Wake:
        """Wait for a vector. Each may come although another one was meant."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._inside.add(vector)
            try:
                while True:
                    if self._closed:
                        return Wake.CLOSED
                    if vector in self._raised:
                        self._raised.remove(vector)
                        return Wake.INTERRUPT
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return Wake.TIME
                    self._enable_when_seen()
                    if self._polled:
                        self._changed.wait(left)
                    else:
                        self._listen(left)
            finally:
                # Those who wait for whoever polls wake, and find what it has found.
                self._inside.remove(vector)
                self._changed.notify_all()

    def _enable_when_seen(self) -> None:
        """Enable the line if every handler has looked since it was disabled."""
        all_wait = len(self._inside) == IDENTITY.vectors and not self._raised
        if all_wait and not (self._enabled or self._failed):
            self._enable()
            self._enabled = True

    def _listen(self, seconds: float) -> None:
        """Poll the descriptor on behalf of all who wait, without the lock."""
        self._polled = True
        self._changed.release()
        try:
            self._poll.poll(seconds * 1000)
        finally:
            self._changed.acquire()
            self._polled = False
        if not self._closed and _ready(self._descriptor):
            self._take()
            self._enabled = False
            self._raised.update(range(IDENTITY.vectors))

    def set_failed(self, yes: bool) -> None:
        """While the card reports a fatal error the line is not enabled."""
        with self._changed:
            self._failed = yes
            if not self._closed:
                self._enable_when_seen()

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._stop, 1)
            self._changed.wait_for(lambda: not self._inside)
        self._eventfds.close()


class Clock(Interrupts):
    """No interrupts: each vector is said to be raised at regular intervals.

    Args:
        intervals: Seconds between two times, for each vector.
    """

    def __init__(self, intervals: Sequence[float]) -> None:
        self._intervals = intervals
        self._closed = threading.Event()

    def wait(self, vector: int, seconds: float) -> Wake:
        """Wait until it is time to look."""
        interval = self._intervals[vector]
        closed = self._closed.wait(min(interval, seconds))
        if closed:
            return Wake.CLOSED
        return Wake.INTERRUPT if interval <= seconds else Wake.TIME

    def close(self) -> None:
        """End all waits."""
        self._closed.set()


def _eventfd(undo: contextlib.ExitStack) -> int:
    """A new eventfd, which `undo` closes."""
    descriptor = os.eventfd(0)
    undo.callback(os.close, descriptor)
    return descriptor


def _poll(*descriptors: int) -> select.poll:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def _ready(descriptor: int) -> bool:
    """Whether a descriptor can be read without waiting."""
    return bool(_poll(descriptor).poll(0))
