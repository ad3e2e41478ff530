"""What a user of this package writes: a device, and what an open file of it does."""

from __future__ import annotations

import abc
import errno
import os
import select
from typing import Protocol

from cuse.calls import Call

__all__ = ["Device", "Notifier", "OpenFile"]


class Notifier(Protocol):
    """Tells the kernel that whoever polls a file should poll again."""

    def __call__(self) -> None:
        """Tell it. Any thread may, any number of times."""


class OpenFile(abc.ABC):  # noqa: B024 - a device that does none of this is of no use, but legal
    """One open of the device: what descriptors that dup or fork made of it share.

    Each method is called in a thread of its own and may wait; calls on the same file come at once
    where callers are at once. An `OSError` that is raised becomes the caller's errno. A call that
    waits must end with EINTR (`InterruptedError`) once `call.interrupted`, having done nothing.

    A system call that is longer than a request can be, or whose buffers touch more than 32 pages,
    comes as several requests; all but the first have a `call.offset`.
    """

    def read(self, size: int, call: Call) -> bytes:
        """Return at most `size` bytes; none means the end of the file."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def write(self, data: bytes, call: Call) -> int:
        """Write `data`; return how many bytes of it were."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def ioctl(self, command: int, data: bytes, call: Call) -> bytes:
        """Do what `command`, the whole number, says; return what the caller's argument becomes.

        Numbers made by _IOR and _IOW work, whose size and direction the kernel understands.

        Args:
            command: The number.
            data: What the caller's argument points to, where the number says that it is given.
            call: Who calls.
        """
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    def poll(self, notifier: Notifier | None, call: Call) -> int:
        """Return the events that are so, asked for or not: `select.POLLIN` and its kin.

        Args:
            notifier: To be called as soon as more becomes so; None if nobody waits for that. It
                replaces the notifier of an earlier call. Keep it before looking what is so.
            call: Who calls.
        """
        return select.POLLIN | select.POLLRDNORM | select.POLLOUT | select.POLLWRNORM

    def release(self) -> None:  # noqa: B027 - not every device has something to do
        """The last descriptor is closed; no other call is under way, and none will come."""


class Device(abc.ABC):
    """What is behind a device file."""

    @abc.abstractmethod
    def open(self, call: Call) -> OpenFile:
        """Somebody opens the device. An `OSError` that is raised becomes the caller's errno.

        It is called in a thread of its own, and may wait; then it must end with EINTR once
        `call.interrupted`, with nothing opened. A file that is returned is released in any case.
        """
