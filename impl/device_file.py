"""The driver's calls over a device file: another process, `ductd`, has the card.

A `DeviceFile` is to programs what a `DuctDriver` is. Underneath, each call that may wait has an
open file of its own for as long as it lasts, with its own time limit, and closing ends it; calls
that may not wait share one, which is what is polled.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NoReturn, Protocol, Self, TypeVar, final

import attrs

from impl.device_calls import (
    ADD_MCAST,
    CANCEL,
    FOREVER,
    GET_INFO,
    GET_READY,
    NO_PACKET,
    READY,
    RM_MCAST,
    SET_TIMEOUT,
    TIMEOUT,
)
from impl.driver import Readiness
from impl.errors import (
    CallInterruptedError,
    CardFailedError,
    ClosedError,
    DuctError,
    FilterTableFullError,
    InvalidArgumentError,
    NoSuchCardError,
    NoSuchFilterError,
    NotPermittedError,
    NotSupportedError,
    PacketTooLongError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.memory import Data
from impl.packet import Outgoing, Packet, Payload, check_filter, message_of, outgoing, parse_message
from impl.packet_batch import PacketBatch
from impl.packet_calls import PacketCalls, check_timeout, check_whole
from impl.polling import Direction, Poller
from impl.shield import HANDLERS, PENDING, interruptible, protected, shielded, take
from model.layout import INFO, LIMITS, MULTICAST_FILTER, USER_HEADER, Info

__all__ = ["LINUX", "DeviceFile", "SystemCalls"]

_LONGEST: Final = USER_HEADER.size + LIMITS.max_packet
_GONE: Final = frozenset({errno.ENODEV, errno.ENOTCONN, errno.ECONNABORTED})
"""What calls on a file end with whose server has ended."""
_ERRORS: Final[dict[int | None, tuple[type[DuctError], str]]] = {
    errno.EAGAIN: (WouldBlockError, "it would have to wait"),
    errno.ETIMEDOUT: (WaitTimeoutError, "its time is over"),
    errno.ECANCELED: (ClosedError, "the driver was closed while the call was waiting"),
    errno.EINTR: (CallInterruptedError, "a signal came; a filter may have been changed"),
    errno.EBADF: (ClosedError, "the driver was closed; open the card again"),
    errno.EIO: (CardFailedError, "the card failed; close every open of it and open it again"),
    errno.EINVAL: (InvalidArgumentError, "it is refused"),
    errno.EMSGSIZE: (PacketTooLongError, "the packet is too long"),
    errno.ENOSPC: (FilterTableFullError, "the card's filter table is full"),
    errno.ENOENT: (NoSuchFilterError, "the card has no such filter"),
    **dict.fromkeys(_GONE, (CardFailedError, "whoever served it has ended; open it again")),
}

Result = TypeVar("Result")


class SystemCalls(Protocol):
    """The system calls that a device file takes, so that tests can stand behind them."""

    def open(self, path: str, flags: int) -> int:
        """The system call open."""

    def close(self, descriptor: int) -> None:
        """The system call close."""

    def read(self, descriptor: int, size: int) -> bytes:
        """The system call read."""

    def write(self, descriptor: int, data: bytes) -> int:
        """The system call write."""

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """The system call ioctl."""


@final
class _Linux:
    """The kernel's."""

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def read(self, descriptor: int, size: int) -> bytes:
        return os.read(descriptor, size)

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        return fcntl.ioctl(descriptor, request, argument)


LINUX: Final = _Linux()


@attrs.define(eq=False)
class _Waiting:
    """An open file for one call at a time, which may wait."""

    descriptor: int
    limit: int = FOREVER


@final
class DeviceFile(PacketCalls):
    """One open of a card that another process serves; see `DuctDriver` for the calls.

    What a file cannot give is refused with `NotSupportedError`: views, interruptions.

    Args:
        path: The device file.
        calls: The system calls.

    Attributes:
        info: Version and hardware address of the card.
        watch: None: whoever serves the file has the monitor.

    Raises:
        NoSuchCardError: There is no such file, or it is no duct device.
        NotPermittedError: This process may not open it.
        CardFailedError: The card does not start, or failed and is still open elsewhere.
    """

    watch: None = None

    @protected
    def __init__(self, path: str, calls: SystemCalls = LINUX) -> None:
        super().__init__()
        self.path = path
        self._calls = calls
        self._mutex = threading.Condition()
        self._closed = False
        self._files: list[_Waiting] = []
        self._idle: list[_Waiting] = []
        self._users = 0
        self._poller: Poller | None = None
        HANDLERS.hold(self)
        opened = None
        try:
            self._shared = self._open(os.O_NONBLOCK)
            self.info = self._ask_info()
            opened = self
        finally:
            if opened is None:
                HANDLERS.drop(self)
            while PENDING and take(DeviceFile.close, opened):
                pass

    def _ask_info(self) -> Info:
        try:
            told = self._translated(
                lambda: self._calls.ioctl(self._shared, GET_INFO, bytes(INFO.size))
            )
        except OSError as error:
            self._calls.close(self._shared)
            if error.errno == errno.ENOTTY:
                raise NoSuchCardError(f"{self.path} is no duct device") from error
            raise
        return Info(*INFO.codec.unpack(told))

    # Sending

    def send(
        self,
        destination: int,
        payload: Payload,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: None = None,
    ) -> None:
        """Send a packet; see `DuctDriver.send`."""
        self._refuse_interruption(interruption)
        self._send(outgoing(destination, payload), blocking, timeout)

    def send_batch(
        self,
        packets: Iterable[tuple[int, Payload]],
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: None = None,
    ) -> int:
        """Send several packets, in order; see `DuctDriver.send_batch`.

        Each is a system call. Others' packets may come in between.
        """
        self._refuse_interruption(interruption)
        return self._send_outgoing(_checked(packets), blocking, timeout)

    def _send_outgoing(
        self, batch: Sequence[Outgoing], blocking: bool, timeout: float | None
    ) -> int:
        waits = self._waits(blocking, timeout)
        for number, packet in enumerate(batch):
            last = number + 1 == len(batch)
            try:
                # Whoever waits for the last one's end has waited for all.
                self._send(packet, blocking=waits and last, timeout=timeout)
            except WouldBlockError:
                if not waits:
                    if number:
                        return number
                    raise
                self._send(packet, blocking=True, timeout=timeout)
        return len(batch)

    def write(
        self,
        message: Data,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: None = None,
    ) -> int:
        """Send a packet with its 16-byte header; see `DuctDriver.write`."""
        parsed = parse_message(message)
        self.send(
            parsed.destination,
            parsed.payload,
            blocking=blocking,
            timeout=timeout,
            interruption=interruption,
        )
        return memoryview(message).nbytes

    @shielded
    def _send(self, packet: Outgoing, blocking: bool, timeout: float | None) -> None:
        header = USER_HEADER.codec.pack(0, packet.destination, packet.size)
        message = b"".join((header, *packet.buffers))
        self._call(lambda file: self._calls.write(file, message), blocking, timeout)

    # Receiving

    def receive(
        self,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: None = None,
    ) -> Packet:
        """Wait for a packet and return it; see `DuctDriver.receive`."""
        packets: list[Packet] = []
        self._refuse_interruption(interruption)
        self._receive(packets, blocking, timeout)
        (packet,) = packets
        return packet

    @protected
    def _receive(
        self, packets: list[Packet] | PacketBatch, blocking: bool, timeout: float | None
    ) -> None:
        try:
            self._check_open()
            if not self._owed_into(packets):
                message = self._call(
                    lambda file: self._calls.read(file, _LONGEST), blocking, timeout
                )
                source, destination, _ = USER_HEADER.codec.unpack(message[: USER_HEADER.size])
                packets.append(Packet(source, destination, message[USER_HEADER.size :]))
        finally:
            while PENDING and take(self._keep, packets):
                pass

    @protected
    def _receive_into(
        self, packets: list[Packet] | PacketBatch, most: int, blocking: bool, timeout: float | None
    ) -> None:
        try:
            self._receive(packets, blocking, timeout)
            with contextlib.suppress(WouldBlockError):
                while len(packets) < most:
                    self._receive(packets, blocking=False, timeout=None)
        finally:
            while PENDING and take(self._keep, packets):
                pass

    def receive_view(self, **_: object) -> NoReturn:
        """A file copies what it gives.

        Raises:
            NotSupportedError: Always.
        """
        raise NotSupportedError(
            f"{self.path} is a file, and what a file gives is copied: use receive, or open the "
            "card by SCHEME:REST"
        )

    @protected
    def read(
        self,
        size: int = -1,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: None = None,
    ) -> bytes:
        """Receive a packet with its 16-byte header; see `DuctDriver.read`."""
        check_whole(size, "the most bytes of a message")
        packets: list[Packet] = []
        try:
            self._refuse_interruption(interruption)
            self._receive(packets, blocking, timeout)
            (packet,) = packets
            message = message_of(packet)
            return message if size < 0 else message[:size]
        finally:
            while PENDING and take(self._keep, packets):
                pass

    # Filters

    def add_multicast(
        self, mask: int, address: int, *, timeout: float | None = None, interruption: None = None
    ) -> None:
        """Receive packets for a multicast address too; see `DuctDriver.add_multicast`."""
        self._change_filter(ADD_MCAST, mask, address, timeout, interruption)

    def remove_multicast(
        self, mask: int, address: int, *, timeout: float | None = None, interruption: None = None
    ) -> None:
        """Undo one `add_multicast`; see `DuctDriver.remove_multicast`."""
        self._change_filter(RM_MCAST, mask, address, timeout, interruption)

    @shielded
    def _change_filter(
        self, call: int, mask: int, address: int, timeout: float | None, interruption: None
    ) -> None:
        self._refuse_interruption(interruption)
        check_filter(mask, address)
        argument = MULTICAST_FILTER.codec.pack(mask, address)
        if not self._waits(blocking=True, timeout=timeout):
            raise WouldBlockError("the card's answer has to be waited for; no filter was changed")
        self._call(lambda file: self._calls.ioctl(file, call, argument), True, timeout)

    # Readiness

    @shielded
    def poll(self) -> Readiness:
        """How long the next packet is, and how many could be queued; see `DuctDriver.poll`."""
        told = self._call(
            lambda file: self._calls.ioctl(file, GET_READY, bytes(READY.size)), False, None
        )
        length, free = READY.unpack(told)
        kept = self._kept_length()
        if kept is None and length != NO_PACKET:
            kept = length
        return Readiness(kept, free)

    @shielded
    def fileno(self) -> int:
        """The file's descriptor, for select, poll and epoll; do not read or write it."""
        with self._mutex:
            self._check_open()
            return self._shared

    def interruption(self) -> NoReturn:
        """Calls over a file are ended by signals.

        Raises:
            NotSupportedError: Always.
        """
        raise NotSupportedError(f"{self.path} is a file, whose calls are ended by signals only")

    # Asynchronous calls

    async def _ready(self, direction: Direction) -> None:
        await self._polled().wait(direction)

    @shielded
    def _polled(self) -> Poller:
        with self._mutex:
            self._check_open()
            if self._poller is None:
                self._poller = Poller(self._shared)
            return self._poller

    # Closing

    @shielded
    def close(self) -> None:
        """End this open; calls that wait in it end with `ClosedError`. Twice is allowed."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for file in self._files:
                # One whose server has ended has no calls that wait.
                with contextlib.suppress(OSError):
                    self._calls.ioctl(file.descriptor, CANCEL, b"")
            self._mutex.wait_for(lambda: not self._users)
        with contextlib.ExitStack() as steps:
            steps.callback(HANDLERS.drop, self)
            steps.callback(self._calls.close, self._shared)
            for file in self._files:
                steps.callback(self._calls.close, file.descriptor)
            if self._poller is not None:
                steps.callback(self._poller.close)

    @protected
    def __enter__(self) -> Self:
        try:
            return self
        finally:
            # Nobody else would close it.
            while PENDING and take(DeviceFile.close, self):
                pass

    @shielded
    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    # System calls

    def _open(self, flags: int = 0) -> int:
        try:
            return self._calls.open(self.path, os.O_RDWR | flags)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENXIO, *_GONE}:
                raise NoSuchCardError(
                    f"nothing serves {self.path}; ductd does, and has to be started"
                ) from error
            if error.errno in {errno.EACCES, errno.EPERM}:
                raise NotPermittedError(
                    f"{self.path} may not be opened: {error.strerror}; ductd has --mode and --group"
                ) from error
            if error.errno == errno.EIO:
                raise CardFailedError(
                    f"{self.path}: the card does not start, or it failed and is still open"
                ) from error
            raise

    def _call(self, call: Callable[[int], Result], blocking: bool, timeout: float | None) -> Result:
        if not self._waits(blocking, timeout):
            with self._mutex:
                self._check_open()
                self._users += 1
            try:
                return self._translated(lambda: call(self._shared))
            finally:
                self._leave()
        with self._waiting(timeout) as descriptor:
            try:
                return self._translated(lambda: _interruptibly(call, descriptor))
            except WaitTimeoutError as error:
                raise WaitTimeoutError(f"waited {timeout:g} s for {self.path}") from error.__cause__

    @contextlib.contextmanager
    def _waiting(self, timeout: float | None) -> Iterator[int]:
        """An open file for a call that may wait so long."""
        limit = FOREVER
        if timeout is not None and timeout * 1000 < FOREVER:
            limit = math.ceil(timeout * 1000)
        with self._mutex:
            self._check_open()
            self._users += 1
            file = self._idle.pop() if self._idle else None
        try:
            if file is None:
                file = _Waiting(self._open())
                with self._mutex:
                    self._files.append(file)
                    # Closing has cancelled those that it knew.
                    late = self._closed
                if late:
                    raise ClosedError("the driver was closed while the call was waiting")
            if file.limit != limit:
                given = TIMEOUT.pack(limit)
                descriptor = file.descriptor
                self._translated(lambda: self._calls.ioctl(descriptor, SET_TIMEOUT, given))
                file.limit = limit
            yield file.descriptor
        finally:
            self._leave(file)

    def _leave(self, file: _Waiting | None = None) -> None:
        with self._mutex:
            self._users -= 1
            if file is not None:
                self._idle.append(file)
            self._mutex.notify_all()

    def _waits(self, blocking: bool, timeout: float | None) -> bool:
        self._check_open()
        check_timeout(timeout)
        return blocking and timeout != 0

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the driver was closed; open the card again")

    def _translated(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except DuctError:
            raise
        except OSError as error:
            kind, message = _ERRORS.get(error.errno, (None, ""))
            if kind is None:
                raise
            raise kind(f"{self.path}: {message}") from error

    def _refuse_interruption(self, interruption: None) -> None:
        if interruption is not None:
            self.interruption()


@interruptible
def _interruptibly(call: Callable[[int], Result], descriptor: int) -> Result:
    """A system call that may wait. A signal ends it; a packet that it just had is lost then."""
    while PENDING and take():
        pass
    return call(descriptor)


@interruptible
def _checked(packets: Iterable[tuple[int, Payload]]) -> list[Outgoing]:
    return [outgoing(destination, payload) for destination, payload in packets]
