"""Serves a device: reads requests from /dev/cuse, has them done at once, writes replies.

Each request is done by a thread of its own, since any may wait for ever. One of the threads that
have nothing to do reads the next request, and does it itself: as long as a thread reads, others are
not needed, and whoever takes the last idle thread's place starts another one before it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import select
import threading
from typing import Final, final

import attrs

from cuse.calls import Call
from cuse.device import Device, OpenFile
from cuse.messages import (
    CuseInitIn,
    CuseInitOut,
    FileFlag,
    InHeader,
    InterruptIn,
    IoctlIn,
    IoctlOut,
    MalformedError,
    Opcode,
    OpenIn,
    OpenOut,
    PollFlag,
    PollIn,
    PollOut,
    ReadIn,
    ReleaseIn,
    WriteIn,
    WriteOut,
)
from cuse.requests import Request, body_of, header_of, poll_notification, refusal, reply

__all__ = ["CONTROL", "LONGEST", "NoDeviceError", "Server"]

_LOG: Final = logging.getLogger(__name__)

CONTROL: Final = "/dev/cuse"
"""The file over which kernel and server talk."""
MAJOR: Final = 7
MINOR: Final = 31
"""The version of the protocol that is spoken; kernels since 5.2 speak it, and later ones too."""
LONGEST: Final = 1 << 15
"""Bytes of the longest read or write that comes as one request."""
_BUFFER: Final = LONGEST + 4096
_ERRNO_LIMIT: Final = 512
_SPARE: Final = 4
"""Threads that are kept although they have nothing to do."""


class NoDeviceError(OSError):
    """The kernel makes no such device, or does not speak the protocol."""


@attrs.define(eq=False)
class _Notifier:
    server: Server
    handle: int

    def __call__(self) -> None:
        self.server.notify(self.handle)


@final
class Server:
    """A device file, for as long as `serve` lasts.

    Args:
        device: What is behind it.
        name: Its name below /dev.
        descriptor: /dev/cuse, open for reading and writing; the server closes it.
    """

    def __init__(self, device: Device, name: str, descriptor: int) -> None:
        self.name = name
        self._device = device
        self._descriptor = descriptor
        self._files: dict[int, OpenFile] = {}
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._reading = threading.Lock()
        self._mutex = threading.Lock()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._over = False
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        os.set_blocking(descriptor, False)
        self._poll = select.poll()
        for number in (descriptor, self._stop):
            self._poll.register(number, select.POLLIN)

    @classmethod
    def at(cls, device: Device, name: str, control: str = CONTROL) -> Server:
        """A server over the kernel's file, which takes root. Raises `OSError` if it is not open."""
        return cls(device, name, os.open(control, os.O_RDWR | os.O_CLOEXEC))

    # Beginning and end

    def start(self) -> None:
        """Have the kernel make the device file. Calls on it wait until `serve`.

        Raises:
            NoDeviceError: The kernel refuses: the name may be in use.
        """
        message = self._next()
        if message is None:
            raise NoDeviceError(errno.ENODEV, f"{CONTROL} is closed")
        try:
            request = body_of(header_of(message), message)
        except MalformedError as error:
            raise NoDeviceError(errno.EPROTO, str(error)) from error
        offer = request.body
        if not isinstance(offer, CuseInitIn):
            raise NoDeviceError(
                errno.EPROTO, f"the kernel begins with request {request.header.opcode}"
            )
        if (offer.major, offer.minor) < (MAJOR, MINOR) or offer.major != MAJOR:
            raise NoDeviceError(
                errno.EPROTO,
                f"the kernel speaks version {offer.major}.{offer.minor} of the protocol, "
                f"and {MAJOR}.{MINOR} or a later {MAJOR} is needed",
            )
        answer = CuseInitOut(MAJOR, MINOR, 0, LONGEST, LONGEST)
        named = f"DEVNAME={self.name}".encode() + b"\0"
        self._write(reply(request.header.unique, answer.encode(), named))
        if self._poll_once(self._descriptor) & select.POLLERR:
            raise NoDeviceError(
                errno.EBUSY, f"the kernel makes no device {self.name!r}; the name may be in use"
            )

    def serve(self) -> None:
        """Serve until `stop`, or until the kernel ends it; then release all files.

        Calls that are under way then end with ENODEV.
        """
        with self._mutex:
            self._start_thread()
        while threads := self._running():
            for thread in threads:
                thread.join()
        for number in list(self._files):
            with contextlib.suppress(Exception):
                self._files.pop(number).release()

    def stop(self) -> None:
        """Have `serve` end soon. Any thread and any signal handler may call this."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Close /dev/cuse; the device file is gone, and calls on open files of it fail."""
        os.close(self._stop)
        os.close(self._descriptor)

    def _running(self) -> list[threading.Thread]:
        with self._mutex:
            return list(self._threads)

    # Threads

    def _start_thread(self) -> None:
        """One more idle thread; the caller has the mutex. Raises `RuntimeError` if none starts."""
        thread = threading.Thread(target=self._work, name=f"{self.name} calls", daemon=True)
        thread.start()
        self._threads.add(thread)
        self._idle += 1

    def _work(self) -> None:
        try:
            while self._serve_one():
                with self._mutex:
                    if self._idle >= _SPARE:
                        return
                    self._idle += 1
        finally:
            with self._mutex:
                self._threads.discard(threading.current_thread())

    def _serve_one(self) -> bool:
        """Read a request and do it; False when there will be none."""
        with self._reading:
            message = None if self._over else self._next()
            if message is None:
                self._end()
                return False
            taken = self._taken(message)
            alone = not self._replaced()
        if taken is not None:
            self._do(*taken, alone=alone)
        return True

    def _replaced(self) -> bool:
        """The calling thread is busy from now on; whether another one reads on."""
        with self._mutex:
            self._idle -= 1
            if not self._idle:
                try:
                    self._start_thread()
                except RuntimeError:
                    return False
            return True

    def _next(self) -> bytes | None:
        """The next request; None when there will be none. The caller may read."""
        while True:
            ready = dict(self._poll.poll())
            if self._stop in ready:
                return None
            try:
                message = os.read(self._descriptor, _BUFFER)
            except OSError as error:
                # The request was withdrawn while it was being read.
                if error.errno in {errno.EAGAIN, errno.ENOENT}:
                    continue
                if error.errno != errno.ENODEV:
                    _LOG.error("%s: no request can be read any more: %s", self.name, error)
                return None
            return message or None

    def _end(self) -> None:
        """Nothing is read any more; whoever waits is told."""
        with self._mutex:
            self._over = True
            calls = list(self._calls.values())
        for call in calls:
            call.interrupt()

    # Requests

    def _taken(self, message: bytes) -> tuple[Request, Call] | None:
        """The request that a message is, known to the interrupts that follow; None if it is none.

        Whoever calls this reads, so that no interrupt overtakes what it is about.
        """
        try:
            header = header_of(message)
        except MalformedError as error:
            _LOG.error("%s: %s", self.name, error)
            return None
        try:
            request = body_of(header, message)
        except MalformedError as error:
            _LOG.error("%s: %s", self.name, error)
            self._write(refusal(header.unique, errno.EINVAL))
            return None
        call = _call_of(request)
        if header.opcode != Opcode.INTERRUPT:
            with self._mutex:
                self._calls[header.unique] = call
        return request, call

    def _do(self, request: Request, call: Call, *, alone: bool) -> None:
        header = request.header
        if isinstance(request.body, InterruptIn):
            self._interrupt(header, request.body)
            return
        try:
            if alone and isinstance(request.body, OpenIn | ReadIn | WriteIn | IoctlIn):
                # It might wait, and nobody would be left to read what ends the wait.
                raise OSError(errno.ENOMEM, "no thread can be started")
            answer = self._answer(request, call)
        except OSError as error:
            answer = refusal(header.unique, self._errno(error))
        except Exception:
            _LOG.exception("%s: request %d failed", self.name, header.opcode)
            answer = refusal(header.unique, errno.EIO)
        call.end()
        if not self._write(answer) and isinstance(request.body, OpenIn):
            self._forget(answer)
        with self._mutex:
            del self._calls[header.unique]

    def _forget(self, answer: list[bytes]) -> None:
        """Whoever wanted to open the device is gone: nobody will release the file."""
        if len(answer) > 1:
            self._files.pop(OpenOut.decode(answer[1]).file).release()

    def _errno(self, error: OSError) -> int:
        """The errno that a caller gets."""
        if self._over and error.errno == errno.EINTR:
            return errno.ENODEV
        # The kernel takes no others, and a caller whose reply it refuses waits for ever.
        number = error.errno or 0
        return number if 0 < number < _ERRNO_LIMIT else errno.EIO

    def _interrupt(self, header: InHeader, body: InterruptIn) -> None:
        with self._mutex:
            call = self._calls.get(body.unique)
        if call is None:
            # The request may still be on its way: the kernel asks again, unless it was answered.
            self._write(refusal(header.unique, errno.EAGAIN))
        else:
            call.interrupt()

    def _answer(self, request: Request, call: Call) -> list[bytes]:
        unique, body = request.header.unique, request.body
        match body:
            case OpenIn():
                number = next(self._numbers)
                self._files[number] = self._device.open(call)
                flags = FileFlag.DIRECT_IO | FileFlag.NONSEEKABLE
                return reply(unique, OpenOut(number, flags).encode())
            case ReadIn():
                data = self._file(body.file).read(body.size, call)
                if len(data) > body.size:
                    raise ValueError(f"{len(data)} bytes were read, and {body.size} asked for")
                return reply(unique, data)
            case WriteIn():
                size = self._file(body.file).write(request.data, call)
                return reply(unique, WriteOut(size).encode())
            case IoctlIn():
                data = self._file(body.file).ioctl(body.command, request.data, call)
                if len(data) > body.out_size:
                    raise ValueError(f"{len(data)} bytes are the answer to {body.command:#x}")
                return reply(unique, IoctlOut().encode(), data)
            case PollIn():
                wanted = body.flags & PollFlag.SCHEDULE_NOTIFY
                notifier = _Notifier(self, body.handle) if wanted else None
                events = self._file(body.file).poll(notifier, call)
                return reply(unique, PollOut(events).encode())
            case ReleaseIn():
                file = self._file(body.file)
                del self._files[body.file]
                file.release()
                return reply(unique)
        return refusal(unique, errno.ENOSYS)

    def _file(self, number: int) -> OpenFile:
        file = self._files.get(number)
        if file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return file

    # What the kernel is told

    def notify(self, handle: int) -> None:
        """Whoever polls with this handle should poll again."""
        self._write(poll_notification(handle))

    def _write(self, message: list[bytes]) -> bool:
        """Whether the kernel took it."""
        try:
            os.writev(self._descriptor, message)
        except OSError as error:
            # Nobody waits for it any more, or the device is gone.
            if error.errno not in {errno.ENOENT, errno.ENODEV, errno.EPIPE, errno.EBADF}:
                _LOG.error("%s: the kernel refuses a message: %s", self.name, error)
            return False
        return True

    @staticmethod
    def _poll_once(descriptor: int) -> int:
        poll = select.poll()
        poll.register(descriptor, 0)
        return sum(events for _, events in poll.poll(0))


def _call_of(request: Request) -> Call:
    header, body = request.header, request.body
    flags = body.flags if isinstance(body, OpenIn | ReadIn | WriteIn) else 0
    offset = body.offset if isinstance(body, ReadIn | WriteIn) else 0
    return Call(flags=flags, offset=offset, uid=header.uid, gid=header.gid, pid=header.pid)
