"""A kernel for a CUSE server: calls become requests on a socket that stands for /dev/cuse.

It does what Linux does (fs/fuse/dev.c, file.c, cuse.c): a signal queues an INTERRUPT, which is sent
again when the server answers EAGAIN; a caller waits for the reply in every case; a poll asks for a
notification and, when it comes, asks again; close waits for the reply to RELEASE.
"""

import contextlib
import errno
import itertools
import os
import select
import socket
import threading
import time

from cuse import messages as m
from cuse.messages import IN_HEADER_SIZE, InHeader, Opcode, OutHeader
from tests.background import PATIENCE, Background

VERSION = 7, 41
LONGEST = 1 << 20


class Pending:
    """A request whose reply has not come."""

    def __init__(self, kernel, unique):
        self.kernel, self.unique = kernel, unique
        self._answered = threading.Event()
        self.error, self.data = 0, b""

    @property
    def answered(self):
        return self._answered.is_set()

    def arrived(self, error, data):
        self.error, self.data = error, data
        self._answered.set()

    def interrupt(self):
        """A signal came for the caller."""
        self.kernel.interrupt(self.unique)

    def result(self):
        """The reply's data. Raises the `OSError` that the caller would see."""
        assert self._answered.wait(PATIENCE), "no reply comes"
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self.data


class FakeKernel:
    """The kernel's side of /dev/cuse.

    Attributes:
        descriptor: The server's side.
        name: What the device is called, once the server has said so.
        late: How many interrupts were answered with EAGAIN.
        log: Every message that the server sent.
    """

    def __init__(self, version=VERSION, *, refuses=False):
        server, self._socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.descriptor = server.detach()
        self.name = None
        self.late = 0
        self.log = []
        self._version = version
        self._refuses = refuses
        self._uniques = itertools.count(2, 2)
        self._handles = itertools.count(1)
        self._pending = {}
        self._polled = {}
        self._mutex = threading.Lock()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    # The two ends of the device's life

    def offer(self):
        """What the kernel says first."""
        return self.begin(Opcode.CUSE_INIT, m.CuseInitIn(*self._version, 1).encode())

    def close(self):
        """As if the last descriptor of /dev/cuse were closed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(PATIENCE)
        self._socket.close()

    # Requests

    def begin(self, opcode, body, *, unique=None, pid=1):
        """Send a request; returns what waits for its reply."""
        unique = next(self._uniques) if unique is None else unique
        pending = Pending(self, unique)
        with self._mutex:
            self._pending[unique] = pending
        self.send(opcode, unique, body, pid=pid)
        return pending

    def awaits(self, unique):
        """A caller waits for the reply to a request that is not sent yet."""
        with self._mutex:
            self._pending[unique] = None

    def send(self, opcode, unique, body, *, pid=1):
        header = InHeader(IN_HEADER_SIZE + len(body), opcode, unique, pid=pid)
        self._socket.send(header.encode() + body)

    def send_raw(self, message):
        self._socket.send(message)

    def interrupt(self, unique):
        self.send(Opcode.INTERRUPT, unique | 1, m.InterruptIn(unique).encode())

    def _listen(self):
        with contextlib.suppress(OSError):
            while message := self._socket.recv(LONGEST):
                self.log.append(message)
                header, data = OutHeader.decode(message), message[OutHeader.FORMAT.size :]
                assert header.length == len(message)
                self._arrived(header, data)
        with self._mutex:
            waiting, self._pending = self._pending, {}
        for pending in waiting.values():
            pending.arrived(errno.ECONNABORTED, b"")

    def _arrived(self, header, data):
        if not header.unique:
            assert header.error == m.NOTIFY_POLL
            event = self._polled.get(m.NotifyPollOut.decode(data).handle)
            if event is not None:
                event.set()
        elif header.unique & 1:
            assert header.error == -errno.EAGAIN
            self.late += 1
            with self._mutex:
                again = header.unique & ~1 in self._pending
            if again:
                time.sleep(0.001)
                self.interrupt(header.unique & ~1)
        else:
            with self._mutex:
                pending = self._pending.pop(header.unique, None)
            if pending is not None:
                pending.arrived(-header.error, data)

    # System calls

    def open(self, flags=os.O_RDWR):
        """open(2)."""
        handle = next(self._handles)
        opened = m.OpenOut.decode(self.begin(Opcode.OPEN, m.OpenIn(flags).encode()).result())
        return OpenedFile(self, opened.file, flags, handle)


class OpenedFile:
    """An open file of the device, as programs see it; `flags` are its status flags."""

    def __init__(self, kernel, number, flags, handle):
        self.kernel, self.number, self.flags, self.handle = kernel, number, flags, handle
        self._changed = kernel._polled[handle] = threading.Event()

    def begin_read(self, size, offset=0):
        body = m.ReadIn(self.number, offset, size, flags=self.flags)
        return self.kernel.begin(Opcode.READ, body.encode())

    def begin_write(self, data, offset=0):
        body = m.WriteIn(self.number, offset, len(data), flags=self.flags)
        return self.kernel.begin(Opcode.WRITE, body.encode() + data)

    def begin_ioctl(self, command, data=b""):
        direction, size = command >> 30, command >> 16 & 0x3FFF
        given = data[:size] if direction & 1 else b""
        taken = size if direction & 2 else 0
        body = m.IoctlIn(self.number, 0, command, 0, len(given), taken)
        return self.kernel.begin(Opcode.IOCTL, body.encode() + given)

    def read(self, size):
        return self.begin_read(size).result()

    def write(self, data):
        return m.WriteOut.decode(self.begin_write(data).result()).size

    def ioctl(self, command, data=b""):
        answer = self.begin_ioctl(command, data).result()
        return answer[m.IoctlOut.FORMAT.size :]

    def ready(self, *, wait=False):
        """One POLL request."""
        flags = m.PollFlag.SCHEDULE_NOTIFY if wait else 0
        body = m.PollIn(self.number, self.handle, flags, 0xFFFF)
        return m.PollOut.decode(self.kernel.begin(Opcode.POLL, body.encode()).result()).events

    def poll(self, events, seconds):
        """poll(2) of this file; POLLERR counts in any case."""
        deadline = time.monotonic() + seconds
        while True:
            self._changed.clear()
            found = self.ready(wait=True) & (events | select.POLLERR)
            left = deadline - time.monotonic()
            if found or left <= 0 or not self._changed.wait(left):
                return found

    def begin_close(self):
        body = m.ReleaseIn(self.number, self.flags)
        return self.kernel.begin(Opcode.RELEASE, body.encode())

    def close(self):
        self.begin_close().result()
        self.kernel._polled.pop(self.handle, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def serving(server_of, kernel=None):
    """A server that serves a fake kernel, for as long as this lasts; yields both.

    Args:
        server_of: Makes the server of a descriptor.
        kernel: The kernel.
    """
    kernel = kernel or FakeKernel()
    server = server_of(kernel.descriptor)
    offer = kernel.offer()
    server.start()
    answer = offer.result()
    named = answer[m.CuseInitOut.FORMAT.size :]
    assert named.startswith(b"DEVNAME=")
    assert named.endswith(b"\0")
    kernel.name = named[len("DEVNAME=") : -1].decode()
    serves = Background(server.serve)
    try:
        yield kernel, server
    finally:
        server.stop()
        ended = serves.join()
        server.close()
        kernel.close()
    if ended.error is not None:
        raise ended.error


def ioctl_number(direction, group, number, size):
    """An ioctl's number as Linux makes them (include/uapi/asm-generic/ioctl.h)."""
    return direction << 30 | size << 16 | ord(group) << 8 | number
