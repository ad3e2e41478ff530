"""What can go wrong for users of the driver. Each is an `OSError` with the errno of the datasheet.

The base class is `DuctError`; where Python has a built-in class for the same thing (`TimeoutError`,
`BlockingIOError`) the error is one of those too. Messages say what was given and what is allowed.
"""

from __future__ import annotations

import errno

__all__ = [
    "CallInterruptedError",
    "CardError",
    "CardFailedError",
    "CardInUseError",
    "ClosedError",
    "DuctError",
    "FilterTableFullError",
    "InvalidArgumentError",
    "NoDmaMemoryError",
    "NoSuchCardError",
    "NoSuchFilterError",
    "NotPermittedError",
    "NotSetUpError",
    "NotSupportedError",
    "PacketTooLongError",
    "SpecificationError",
    "UnknownAddressError",
    "UnsupportedMachineError",
    "WaitTimeoutError",
    "WouldBlockError",
]


class DuctError(OSError):
    """Something that the driver was asked for cannot be done.

    The base class of all errors that the driver raises of its own. `errno` says which kind it is,
    `strerror` what was given and what is allowed.
    """

    code: int = errno.EIO

    def __init__(self, message: str) -> None:
        super().__init__(self.code, message)

    def __reduce__(self) -> tuple[type[DuctError], tuple[str]]:
        """As a class and its message: errors travel between processes by pickle."""
        return type(self), (self.strerror or "",)


class CardError(DuctError):
    """The card answered with an error, or with something that cannot be (EIO).

    A command was refused with a code that the datasheet does not name, or a packet's length is
    beyond what a slot's buffers hold. The call had no effect; others may still succeed.
    """


class CardFailedError(DuctError):
    """The card failed, or is being closed, or could not be brought back (EIO).

    After a fatal error every call ends with this, sleeping ones at once. Close every open of the
    card; the next open resets it. A close or an open that raises this could not bring the card
    back: its memory is kept, and the next open tries again.
    """


class SpecificationError(DuctError):
    """The card or the driver did something that the specification does not allow (EIO).

    Raised only if the card was opened with a monitor, by the call in which it was seen and by every
    call after it. The message begins with who did it. Close every open of the card; that stops it
    as always. If the card did it, do not trust what it wrote; if the driver did it, please report
    it, with the run that the monitor saves on request.
    """


class CallInterruptedError(DuctError, InterruptedError):
    """Another thread ended the call while it waited, by `Interruption.strike` (EINTR).

    Attributes:
        handed_over: How many packets the card had been given before. They are still sent; only
            nobody waits for it.
    """

    code = errno.EINTR
    handed_over = 0


class ClosedError(DuctError):
    """The driver was used after it had been closed (EBADF).

    Also raised by calls that were waiting when another thread closed the driver under them. Open
    the card again to go on.
    """

    code = errno.EBADF


class WouldBlockError(DuctError, BlockingIOError):
    """The call would have to wait, and it may not (EAGAIN).

    No packet waits, or no transmit slot is free. `fileno()` tells when to try again: wait until it
    polls readable or writable.
    """

    code = errno.EAGAIN


class WaitTimeoutError(DuctError, TimeoutError):
    """The time that the call was given is over (ETIMEDOUT).

    A packet that was handed to the card before is still sent, and a command is still carried out;
    only nobody waits for it any more.
    """

    code = errno.ETIMEDOUT


class InvalidArgumentError(DuctError, ValueError):
    """Something that was given cannot be right, whatever the card does (EINVAL).

    An address beyond 32 bits, a message shorter than its header or whose header names another
    length, a filter that is not a multicast filter, a ring size beyond the card's. The message
    names what was given and what is allowed.
    """

    code = errno.EINVAL


class PacketTooLongError(DuctError, ValueError):
    """The payload is longer than a packet can be (EMSGSIZE).

    A packet carries 0 to 16384 bytes. Split the payload; nothing of it was sent.
    """

    code = errno.EMSGSIZE


class FilterTableFullError(DuctError):
    """The card has no room for another multicast filter (ENOSPC).

    Remove one that is not needed any more; all opens of the card share its table.
    """

    code = errno.ENOSPC


class NoSuchFilterError(DuctError):
    """The filter to be removed is not in the card's table (ENOENT).

    Mask and address must be exactly those that the filter was added with.
    """

    code = errno.ENOENT


class UnknownAddressError(DuctError, ValueError):
    """The address names no card (ENODEV).

    An address is SCHEME:REST, and the scheme chooses how the card is reached; the message names
    the schemes that are known.
    """

    code = errno.ENODEV


class NoSuchCardError(DuctError):
    """No card is there that the address could mean, or more than one (ENODEV).

    The function does not exist, or is no duct card, or looks unlike one. The message names the
    cards that there are.
    """

    code = errno.ENODEV


class NotSetUpError(DuctError):
    """The machine is not set up for the way that the card was to be reached by (ENXIO).

    The card is bound to another kernel driver, a module is missing, the IOMMU stands in the way or
    is missing. The message says what to do; `ductctl list` shows how things are.
    """

    code = errno.ENXIO


class NotSupportedError(DuctError):
    """A device file cannot do this (ENOTSUP).

    Views and interruptions, settings and monitor are for those who reach the card themselves: open
    it by SCHEME:REST. The message says what to use instead.
    """

    code = errno.ENOTSUP


class NotPermittedError(DuctError, PermissionError):
    """The process may not do what reaching the card takes (EACCES).

    The message names the file, and what would permit it.
    """

    code = errno.EACCES


class CardInUseError(DuctError):
    """Somebody else has the card (EBUSY).

    Another process, or this one by another address: `uio:` and `uio:0000:00:05.0` may be one card,
    and only what is opened by the same address is shared.
    """

    code = errno.EBUSY


class NoDmaMemoryError(DuctError):
    """There is no memory that the card could reach (ENOMEM).

    No huge pages are free, or the process may not lock as much memory. The message says how much is
    needed, and how to get it.
    """

    code = errno.ENOMEM


class UnsupportedMachineError(DuctError):
    """This kind of machine is not supported (ENOSYS).

    Hardware is reached on Linux, on machines whose barriers are known: x86-64 and aarch64.
    """

    code = errno.ENOSYS
