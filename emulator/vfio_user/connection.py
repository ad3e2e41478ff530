"""Messages and file descriptors to and from one client, in both directions on one socket.

Two threads use a connection: one serves the client's commands, and the card's own asks the client
to move memory. Either may have to wait while the other holds the card, so neither can be the only
one to read. Whoever waits for something reads, one at a time, and puts aside what is for the other:
commands in a queue of limited length, the answer where the asking thread finds it.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from emulator.vfio_user.protocol import MAX_FDS, Body, Header, ProtocolError, parse_header

__all__ = ["ClientGone", "Connection", "Refused", "Request"]

_QUEUE: Final = 4096
"""Commands that may wait while an answer is due; a client that sends more is not served."""
_QUEUED_FDS: Final = 512
"""File descriptors that may wait with them."""


class ClientGone(Exception):  # noqa: N818 - clients come and go
    """The client has closed the connection, or it was closed here."""


class Refused(Exception):  # noqa: N818 - an answer like others
    """The client's answer is an error."""

    def __init__(self, errno: int) -> None:
        super().__init__(os.strerror(errno))
        self.errno = errno


@attrs.frozen
class Request:
    """A message as it came.

    Attributes:
        header: Its header.
        data: Its body.
        fds: The file descriptors that came with it. Whoever has the request closes them.
    """

    header: Header
    data: bytes
    fds: tuple[int, ...] = ()

    def close_fds(self) -> None:
        """Close the file descriptors."""
        _close(self.fds)


@attrs.define(eq=False)
class Connection:
    """A connection to a client. Once it has ended, every call raises why it did."""

    _socket: socket.socket
    _sending: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _reading: bool = attrs.field(default=False, init=False)
    _requests: deque[Request] = attrs.field(factory=deque, init=False)
    _asked: Header | None = attrs.field(default=None, init=False)
    _answer: Request | None = attrs.field(default=None, init=False)
    _next_id: int = attrs.field(default=0, init=False)
    _end: Exception | None = attrs.field(default=None, init=False)

    # What the serving thread does

    def receive(self) -> Request:
        """The next command, with its file descriptors.

        Raises:
            ClientGone: There is none: the client has gone.
            ProtocolError: What came instead is none.
        """
        with self._changed:
            while not self._requests or self._end:
                self._read()
            return self._requests.popleft()

    def reply(self, request: Request, body: Body | None = None, errno: int = 0) -> None:
        """Answer a command, unless it wants no answer.

        Raises:
            ClientGone: The client has gone.
            ProtocolError: It was made to leave meanwhile.
        """
        if not request.header.no_reply:
            data = body.pack() if body else b""
            self._send(request.header.answer(len(data), errno), data)

    # What the card's thread does

    def ask(self, command: int, body: Body) -> bytes:
        """Give the client a command; returns the body of its answer.

        Raises:
            Refused: The answer is an error.
            ClientGone: The client has gone.
            ProtocolError: It sent what is no message.
        """
        data = body.pack()
        with self._changed:
            self._next_id = self._next_id + 1 & 0xFFFF
            asked = self._asked = Header(self._next_id, command, len(data))
        try:
            self._send(asked, data)
            with self._changed:
                while self._answer is None:
                    self._read()
                answer = self._answer
        finally:
            with self._changed:
                self._asked = self._answer = None
        if answer.header.error:
            raise Refused(answer.header.errno)
        return answer.data

    # What anybody does

    def shut_down(self) -> None:
        """Let everybody who uses the connection find that the client has gone. Does not wait."""
        with contextlib.suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self, reason: Exception) -> None:
        """End the connection, unless it has ended, and let everybody know why."""
        with self._changed:
            self._end = self._end or reason
            self._changed.notify_all()
        self.shut_down()

    def close(self) -> None:
        """Let go of the socket, and of commands that nobody took."""
        self.shut_down()
        with self._changed:
            self._changed.wait_for(lambda: not self._reading)
            self._end = self._end or ClientGone("the connection was closed")
            for request in self._requests:
                request.close_fds()
            self._requests.clear()
        self._socket.close()

    # One message at a time

    def _send(self, header: Header, data: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(header.pack() + data)
        except OSError as error:
            raise self._end or ClientGone("the client went away") from error

    def _read(self) -> None:
        """Read a message and put it where it belongs, or wait until somebody else has.

        Called with the condition's lock held, which is released meanwhile.
        """
        if self._end:
            raise self._end
        if self._reading:
            self._changed.wait()
            return
        self._reading = True
        self._changed.release()
        message: Request | None = None
        end: Exception | None = None
        try:
            message = self._read_message()
        except (ClientGone, ProtocolError) as error:
            end = error
        finally:
            self._changed.acquire()
            self._reading = False
            self._changed.notify_all()
        if message:
            end = self._put_aside(message)
        if end:
            self._end = self._end or end
            raise self._end

    def _put_aside(self, message: Request) -> ProtocolError | None:
        header = message.header
        if not header.reply:
            self._requests.append(message)
            return self._check_queue() if self._asked else None
        message.close_fds()
        asked = self._asked
        if not asked or self._answer or (asked.id, asked.command) != (header.id, header.command):
            return ProtocolError(f"nobody waits for a {header} with number {header.id}")
        if message.fds:
            return ProtocolError(f"a {header} brings no file descriptors")
        self._answer = message
        return None

    def _check_queue(self) -> ProtocolError | None:
        """What is wrong if the client sends without end instead of an answer."""
        if len(self._requests) > _QUEUE:
            return ProtocolError(f"more than {_QUEUE} commands came before an answer")
        brings_fds = bool(self._requests[-1].fds)
        if brings_fds and sum(len(request.fds) for request in self._requests) > _QUEUED_FDS:
            return ProtocolError(f"more than {_QUEUED_FDS} descriptors came before an answer")
        return None

    def _read_message(self) -> Request:
        fds: list[int] = []
        try:
            start = self._read_bytes(Header.size, fds, first=True)
            header = parse_header(start)
            return Request(header, self._read_bytes(header.length, fds), tuple(fds))
        except OSError as error:
            _close(fds)
            raise ClientGone("the client went away") from error
        except (ClientGone, ProtocolError):
            _close(fds)
            raise

    def _read_bytes(self, size: int, fds: list[int], *, first: bool = False) -> bytes:
        """Read so many bytes, never more, and the file descriptors that come with them."""
        data = bytearray()
        room = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
        while len(data) < size:
            part, extras, flags, _ = self._socket.recvmsg(
                size - len(data), room, socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, content in extras:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds += array.array("i", content[: len(content) // 4 * 4])
            if flags & socket.MSG_CTRUNC or len(fds) > MAX_FDS:
                raise ProtocolError(
                    f"a message brings at most {MAX_FDS} file descriptors that can be received"
                )
            if not part:
                if first and not data:
                    raise ClientGone("the client went away")
                raise ClientGone("the client went away in the middle of a message")
            data += part
        return bytes(data)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
