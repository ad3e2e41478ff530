"""Waiting for the end of a program: for a signal that asks for it, or for a thread that is over.

A handler in Python runs between two bytecodes of the main thread. A signal that comes after the
last bytecode before a system call is kept until that call is over, and if the call waits for a
client, that may be never. So the main thread waits for a byte instead. Python's handler in C sends
it at the very moment of the signal, whatever the process does then, and it stays until it is read.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["Ending", "ending_at"]

_BEGUN: Final = 0
"""The byte that `begin` sends; no signal has this number."""


@attrs.frozen(eq=False)
class Ending:
    """The end of the program, which the main thread waits for. `ending_at` makes one."""

    _wake: socket.socket
    _woken: socket.socket
    _numbers: frozenset[int]

    def begin(self) -> None:
        """Let it be time to end. Any thread may call this, and does not wait."""
        with contextlib.suppress(BlockingIOError):  # there is more than one reason already
            self._wake.send(bytes([_BEGUN]))

    def wait(self) -> None:
        """Wait until it is time to end, or return at once if it was before."""
        while self._woken.recv(1)[0] not in self._numbers:
            pass  # a signal that somebody else in the process handles


@contextlib.contextmanager
def ending_at(*numbers: signal.Signals) -> Iterator[Ending]:
    """These signals begin the end, and do nothing else, as long as this lasts.

    Only the main thread may call this. Afterwards the signals do what they did before.
    """
    wake, woken = socket.socketpair()
    with wake, woken:
        wake.setblocking(False)
        ending = Ending(wake, woken, frozenset({_BEGUN, *numbers}))
        told_before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield ending
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(told_before)
