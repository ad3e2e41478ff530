"""The control channel of an emulated card, as whoever tests a driver uses it.

The card may be behind a virtual machine (`python -m emulator --control PATH`). Outside of it the
channel is that UNIX socket; inside it is a port of a virtio serial device that the machine connects
to the socket, a file such as /dev/virtio-ports/duct.control.

    with BenchControl.at("/tmp/control") as control:
        control.stand_still()

What requests mean stands in `emulator.control`. Nothing but Python and attrs is needed here.
"""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import select
import socket
import stat
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

from emulator.counters import Counters

__all__ = ["BenchControl", "RequestRefusedError"]

PATIENCE: Final = 30.0
"""Seconds within which an answer comes. A card that waits for its client delays some answers."""
_PIECE: Final = 4096


class RequestRefusedError(Exception):
    """The card does not do what it was asked for; the message is its answer."""


class BenchControl:
    """A control channel. Any number of threads may use it.

    Args:
        stream: The channel, both ways, without a buffer: a port that was opened, or
            `socket.makefile("rwb", buffering=0)`. It is closed by `close`.
        patience: Seconds to wait for an answer.
    """

    def __init__(self, stream: io.RawIOBase, patience: float = PATIENCE) -> None:
        self._stream = stream
        self._patience = patience
        self._lock = threading.Lock()
        self._received = b""
        self._in_step = False

    @classmethod
    def at(cls, path: str, patience: float = PATIENCE) -> BenchControl:
        """The channel at a path: a UNIX socket, or a character device.

        Args:
            path: Where it is.
            patience: Seconds to wait for an answer.

        Raises:
            OSError: There is none, somebody else has it (EBUSY), or it is something else (EINVAL).
        """
        mode = os.stat(path).st_mode
        if stat.S_ISCHR(mode):
            return cls(io.FileIO(path, "r+"), patience)
        if not stat.S_ISSOCK(mode):
            raise OSError(
                errno.EINVAL, "a control channel is a UNIX socket or a character device", path
            )
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            return cls(connection.makefile("rwb", buffering=0), patience)

    # Requests

    def ping(self) -> None:
        """See that somebody answers."""
        self.request("ping")

    def counters(self) -> Counters:
        """What the card has counted since it exists."""
        answer: Any = self.request("counters")
        return Counters(**answer)

    def fail(self) -> None:
        """Let the card report a hardware error."""
        self.request("fail")

    def stand_still(self) -> None:
        """Let the card access no memory and raise no interrupt until `go_on`."""
        self.request("stand-still")

    def go_on(self) -> None:
        """Let the card do what it ought to have done since `stand_still`."""
        self.request("go-on")

    def mute_interrupts(self, count: int | None = None) -> None:
        """Let the card lose the next `count` interrupts; 0: none any more; None: all."""
        self.request(f"mute-interrupts {'on' if count is None else count}")

    def announce_nothing(self) -> None:
        """Let the card break a rule: say that a packet came, and none did."""
        self.request("announce-nothing")

    def request(self, line: str) -> object:
        """Say a line.

        Args:
            line: A request, such as "mute-interrupts 3".

        Returns:
            What the answer brings, parsed from JSON; None if it only says that it was done.

        Raises:
            RequestRefusedError: The answer is an error.
            TimeoutError: There is none in time.
            ConnectionError: The other side has closed the channel.
            OSError: The channel cannot be used any more.
        """
        with self._lock:
            deadline = time.monotonic() + self._patience
            if not self._in_step:
                self._get_into_step(deadline)
            self._in_step = False  # until the answer is there
            self._send(line, deadline)
            answer = self._receive(deadline)
            self._in_step = True
        word, _, rest = answer.partition(" ")
        if word == "ok":
            return json.loads(rest) if rest else None
        raise RequestRefusedError(answer.removeprefix("error "))

    def close(self) -> None:
        """Let go of the channel. What the card was told to do, it goes on to do."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Lines

    def _get_into_step(self, deadline: float) -> None:
        """Make sure that the next answer is the one to the next request.

        Whoever had the channel before may have left half a line in one direction, and answers that
        nobody read in the other.
        """
        self._received = b""
        word = secrets.token_hex(8)
        self._send(f"\nping {word}", deadline)
        while self._receive(deadline) != f'ok "{word}"':
            pass

    def _send(self, line: str, deadline: float) -> None:
        data = f"{line}\n".encode()
        while data:
            self._wait([], [self._stream], deadline)
            data = data[self._stream.write(data) or 0 :]

    def _receive(self, deadline: float) -> str:
        while b"\n" not in self._received:
            self._wait([self._stream], [], deadline)
            piece = self._stream.read(_PIECE)
            if not piece:
                raise ConnectionResetError("the other side has closed the control channel")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace")

    def _wait(self, reads: list[io.RawIOBase], writes: list[io.RawIOBase], until: float) -> None:
        """Wait until the stream can be read from, or written to."""
        left = max(until - time.monotonic(), 0)
        if not any(select.select(reads, writes, [], left)):
            raise TimeoutError(f"nobody answered at the control channel for {self._patience:g} s")
