"""A vfio-user client of a few lines, which sends what QEMU sends, and a driver on top of it.

`Client` speaks the protocol. `PciDevice` makes a device of it, as the driver knows one, so that the
driver of `tests/test_emulator_backend.py` runs on it: its memory is a memfd, or memory that the
card reaches by messages only.
"""

import array
import contextlib
import fcntl
import itertools
import mmap
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

import attrs

from impl.memory import Device, DmaRegion

HEADER = struct.Struct("<HHIII")
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_IRQ_INFO = 1, 2, 3, 4, 5, 7
SET_IRQS, REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET = 8, 9, 10, 11, 12, 13
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
BAR0, BAR1, CONFIG = 0, 1, 7
INTX, MSIX, ERR = 0, 2, 3
COMMAND = 4
MEMORY, BUS_MASTER, INTX_DISABLE = 0x2, 0x4, 0x400
QEMU_VERSION = (
    b'{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"pgsizes":4096,'
    b'"max_dma_maps":65535}}\0'
)
PATIENCE = 20
PAGE = 4096


class Refused(Exception):  # noqa: N818 - an answer like others
    """The server's answer is an error."""

    def __init__(self, errno):
        super().__init__(os.strerror(errno))
        self.errno = errno


@attrs.define(eq=False)
class Client:
    """A connection. A thread reads from it, and answers DMA messages from `memory`.

    Attributes:
        memory: Bytes that the card reaches by messages: where they begin, and they themselves.
        asked: DMA messages answered so far.
        refuse: The error that DMA messages are answered with; 0 to do as they say.
        instead: Called with number and command of a DMA message, instead of doing as it says.
    """

    path: str
    memory: tuple[int, bytearray] = (0, bytearray())
    asked: int = 0
    refuse: int = 0
    instead: Callable[[int, int], object] | None = None
    _socket: socket.socket = attrs.field(init=False)
    _answers: deque = attrs.field(factory=deque, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _gone: bool = attrs.field(default=False, init=False)
    _ids: itertools.count = attrs.field(factory=lambda: itertools.count(1), init=False)

    def __attrs_post_init__(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(self.path))
        threading.Thread(target=self._listen, daemon=True).start()

    # Messages

    def send(self, command, body=b"", fds=(), flags=0, number=None):
        number = next(self._ids) & 0xFFFF if number is None else number
        self.send_raw(HEADER.pack(number, command, HEADER.size + len(body), flags, 0) + body, fds)
        return number

    def send_raw(self, data, fds=()):
        extras = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data], extras)

    def call(self, command, body=b"", fds=()):
        """Give a command; returns the body of its answer."""
        number = self.send(command, body, fds)
        answered, of, flags, errno, data = self.answer()
        assert (answered, of, flags & REPLY) == (number, command, REPLY)
        if flags & ERROR:
            assert data == b""
            raise Refused(errno)
        return data

    def answer(self):
        with self._changed:
            assert self._changed.wait_for(lambda: self._answers or self._gone, PATIENCE)
            if not self._answers:
                raise ConnectionResetError("the server has ended the connection")
            return self._answers.popleft()

    def wait_until_gone(self):
        with self._changed:
            return self._changed.wait_for(lambda: self._gone, PATIENCE)

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        assert self.wait_until_gone()
        self._socket.close()

    def _listen(self):
        try:
            while True:
                header = HEADER.unpack(self._read(HEADER.size))
                number, command, size, flags, errno = header
                data = self._read(size - HEADER.size)
                if flags & REPLY:
                    with self._changed:
                        self._answers.append((number, command, flags, errno, data))
                        self._changed.notify_all()
                elif self.instead:
                    self.instead(number, command)
                else:
                    self._move(number, command, data)
        except OSError:
            pass
        finally:
            with self._changed:
                self._gone = True
                self._changed.notify_all()

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def _move(self, number, command, data):
        """What the card asks for, as QEMU answers it: a write's answer has no body."""
        address, count = struct.unpack_from("<QQ", data)
        base, content = self.memory
        start = address - base
        self.asked += 1
        if self.refuse:
            answer, errno, flags = b"", self.refuse, REPLY | ERROR
        elif command == DMA_READ:
            answer = struct.pack("<QQ", address, count) + content[start : start + count]
            errno, flags = 0, REPLY
        else:
            content[start : start + count] = data[16:]
            answer, errno, flags = b"", 0, REPLY
        self.send_raw(HEADER.pack(number, command, 16 + len(answer), flags, errno) + answer)

    # Commands

    def greet(self, text=QEMU_VERSION):
        data = self.call(VERSION, struct.pack("<HH", 0, 0) + text)
        assert len(data) <= 4 + len(text)
        return data

    def map(self, address, size, fd=None, offset=0, flags=3):
        body = struct.pack("<IIQQQ", 32, flags, offset, address, size)
        return self.call(DMA_MAP, body, [] if fd is None else [fd])

    def unmap(self, address, size, flags=0):
        return self.call(DMA_UNMAP, struct.pack("<IIQQ", 24, flags, address, size))

    def info(self):
        return struct.unpack("<IIII", self.call(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)))

    def region_info(self, index):
        """Flags and size."""
        body = struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0)
        _, flags, found, _, size, _ = struct.unpack("<IIIIQQ", self.call(GET_REGION_INFO, body))
        assert found == index
        return flags, size

    def irq_info(self, index):
        """Flags and count."""
        body = struct.pack("<IIII", 16, 0, index, 0)
        _, flags, found, count = struct.unpack("<IIII", self.call(GET_IRQ_INFO, body))
        assert found == index
        return flags, count

    def read(self, region, offset, count):
        head = struct.pack("<QII", offset, region, count)
        data = self.call(REGION_READ, head)
        assert data[:16] == head
        return data[16:]

    def write(self, region, offset, data):
        head = struct.pack("<QII", offset, region, len(data))
        assert self.call(REGION_WRITE, head + data) == head

    def post(self, region, offset, data):
        body = struct.pack("<QII", offset, region, len(data)) + data
        self.send(REGION_WRITE, body, flags=NO_REPLY)

    def config(self, offset, width=4):
        return int.from_bytes(self.read(CONFIG, offset, width), "little")

    def set_config(self, offset, value, width=4):
        self.write(CONFIG, offset, value.to_bytes(width, "little"))

    def set_irqs(self, index, flags, start=0, count=0, fds=(), data=b""):
        body = struct.pack("<IIIII", 20 + len(data), flags, index, start, count) + data
        self.call(SET_IRQS, body, fds)

    def reset(self):
        self.call(RESET)


class GuestMemory(DmaRegion):
    """A part of the guest's memory: a view of it, and where it lies on the bus."""

    def __init__(self, purpose, view, address):
        self.purpose, self.size = purpose, len(view)
        self._view = self.octets = view
        self._address = address

    def bus_address(self, offset=0):
        return self._address + offset

    def load(self, offset, width):
        return int.from_bytes(self._view[offset : offset + width], "little")

    def store(self, offset, width, value):
        self._view[offset : offset + width] = value.to_bytes(width, "little")

    def load_bulk(self, offset, size):
        return bytes(self._view[offset : offset + size])

    def store_bulk(self, offset, data):
        self._view[offset : offset + len(data)] = data

    def view(self, offset, size):
        return self._view[offset : offset + size].toreadonly()


class PciDevice(Device):
    """A card behind a client, as QEMU sets it up: mapped memory, MSI-X with two eventfds.

    Args:
        path: The server's socket.
        by_messages: The card reaches the memory by messages, not by a descriptor.
        sealed: The memfd cannot shrink, as QEMU's cannot.
        msix: Interrupts come by MSI-X; otherwise by INTx.
    """

    BASE = 0x4000_0000
    SIZE = 4 << 20

    def __init__(self, path, *, by_messages=False, sealed=True, msix=True, greeting=QEMU_VERSION):
        self.client = Client(path)
        self.client.greet(greeting)
        self.memfd = os.memfd_create("guest", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memfd, self.SIZE)
        self.msix = msix
        self._used = 0
        if by_messages:
            self.content = bytearray(self.SIZE)
            self.client.memory = (self.BASE, self.content)
            self.client.map(self.BASE, self.SIZE)
        else:
            if sealed:
                fcntl.fcntl(self.memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            self.content = mmap.mmap(self.memfd, self.SIZE)
            self.client.map(self.BASE, self.SIZE, self.memfd)
        self.events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.intx = os.eventfd(0, os.EFD_NONBLOCK)
        self.enable_bus_master()
        if msix:
            self.client.set_irqs(MSIX, 0x24, count=1)
            self.client.set_irqs(MSIX, 0x24, count=1, fds=self.events[:1])
            self.client.set_irqs(MSIX, 0x24, count=2, fds=self.events)
            self.client.set_config(0x42, 0x8000, 2)
        else:
            self.client.set_irqs(INTX, 0x24, count=1, fds=[self.intx])

    def enable_bus_master(self):
        self.client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)

    def allocate(self, size, purpose):
        start = self._used
        self._used += -(-size // PAGE) * PAGE
        assert self._used <= self.SIZE
        view = memoryview(self.content)[start : start + size]
        return GuestMemory(purpose, view, self.BASE + start)

    def free(self, region):
        pass

    def acquire(self):
        pass

    release = release_loads = before_register_write = fence = acquire

    def read(self, register):
        data = self.client.read(BAR0, register.offset, register.size)
        return int.from_bytes(data, "little")

    def write(self, register, value):
        self.client.post(BAR0, register.offset, value.to_bytes(register.size, "little"))

    def wait_for_interrupt(self, vector):
        if self.msix:
            return interrupts(self.events[vector]) > 0
        if not interrupts(self.intx):
            return False
        # What a handler does, and what QEMU does at its first access.
        self.client.read(BAR0, 0x40, 4)
        self.client.set_irqs(INTX, 0x11, count=1)
        return True

    def close(self):
        self.client.close()


def interrupts(eventfd, patience=PATIENCE):
    """How often an eventfd was told since it was asked last; waits for the first time."""
    if not select.select([eventfd], [], [], patience)[0]:
        return 0
    return os.eventfd_read(eventfd)
