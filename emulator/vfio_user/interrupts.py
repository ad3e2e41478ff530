"""How the card's interrupts reach the client: eventfds, for INTx and for each MSI-X vector.

INTx is a level: it is due while EVFLAGS or FLAGS holds a reason and MSI-X is off. An eventfd knows
no level, so INTx is told once and masks itself; when the client unmasks it and it is still due, it
is told again. MSI-X is on while its Enable bit or an eventfd of a vector is set. A vector without
an eventfd stays pending, and is told when it gets one.

All calls must come with the card standing still in between (`RunningCard.held`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from emulator.vfio_user.config_space import ConfigSpace
from emulator.vfio_user.protocol import IrqAction, IrqData, IrqInfo, IrqSet, ProtocolError
from model.layout import IDENTITY

__all__ = ["IRQS", "Interrupts"]

_INTX: Final = 0
_MSIX: Final = 2
_ERROR: Final = 3

IRQS: Final = {
    _INTX: (1, IrqInfo.EVENTFD | IrqInfo.MASKABLE | IrqInfo.AUTOMASKED),
    1: (0, 0),
    _MSIX: (IDENTITY.vectors, IrqInfo.EVENTFD),
    _ERROR: (1, IrqInfo.EVENTFD),
    4: (0, 0),
}
"""Count and flags of each type: INTx, MSI, MSI-X, errors of the bus, requests to let go."""


@attrs.define(eq=False)
class Interrupts:
    """The interrupts of the card.

    Attributes:
        config: The configuration space, which says how they are to be told, and shows INTx.
        due: Whether the card has a reason for INTx.
    """

    config: ConfigSpace
    due: Callable[[], bool]
    _intx: int | None = attrs.field(default=None, init=False)
    _masked: bool = attrs.field(default=False, init=False)
    _vectors: list[int | None] = attrs.field(factory=lambda: [None] * IDENTITY.vectors, init=False)
    _pending: set[int] = attrs.field(factory=set, init=False)

    @property
    def pending(self) -> int:
        """The MSI-X pending bits."""
        return sum(1 << vector for vector in self._pending)

    @property
    def uses_intx(self) -> bool:
        """Whether anybody is told of INTx."""
        return self._intx is not None

    # What the card does

    def take_up(self, vector: int) -> None:
        """The card raised a vector."""
        if self._msix:
            self._pending.add(vector)
            self._tell_pending()
        else:
            self.update()

    def update(self) -> None:
        """Something changed that INTx depends on: show it, and tell of it if it is due."""
        self.config.interrupt = not self._msix and self.due()
        wanted = self.config.interrupt and not self.config.interrupt_disable
        if wanted and self._intx is not None and not self._masked:
            self._masked = True
            _signal(self._intx)

    # What the client does

    def set(self, wanted: IrqSet, fds: Sequence[int] = ()) -> None:
        """Do what the client wants. Descriptors stay the caller's.

        Raises:
            OSError: There is no such interrupt (EINVAL), or it does not do that (ENOTSUP).
            ProtocolError: Descriptors are none of eventfds, or too many or too few.
        """
        if len(fds) not in ({0, wanted.count} if wanted.kind is IrqData.EVENTFD else {0}):
            raise ProtocolError(f"{len(fds)} file descriptors came for {wanted.count} interrupts")
        for fd in fds:
            if not _is_eventfd(fd):
                raise ProtocolError("the file descriptor of an interrupt is not an eventfd")
        count, _ = IRQS.get(wanted.index, (0, 0))
        if wanted.index not in IRQS or wanted.start + wanted.count > count:
            raise _error(errno.EINVAL)
        if wanted.index == _INTX:
            self._set_intx(wanted, fds)
        elif wanted.action is not IrqAction.TRIGGER:
            raise _error(errno.ENOTSUP)
        elif wanted.index == _MSIX:
            self._set_msix(wanted, fds)
        self.update()

    def forget(self) -> None:
        """What a reset does: nothing is pending. Who is told stays."""
        self._pending.clear()
        self.update()

    def release(self) -> None:
        """Let the card go on if it waits for a client that has filled an eventfd.

        It is the only call that may come while the card is busy.
        """
        for fd in (self._intx, *self._vectors):
            if fd is not None:
                _empty(fd)

    def disconnect(self) -> None:
        """Tell nobody any more."""
        self._assign_intx(None)
        for vector in range(len(self._vectors)):
            self._assign(vector, None)
        self._pending.clear()

    @property
    def _msix(self) -> bool:
        return self.config.msix or any(fd is not None for fd in self._vectors)

    def _set_intx(self, wanted: IrqSet, fds: Sequence[int]) -> None:
        meant = _meant(wanted)
        match wanted.action, wanted.kind:
            case IrqAction.TRIGGER, IrqData.EVENTFD:
                self._assign_intx(fds[0] if fds else None)
            case _, IrqData.EVENTFD:
                raise _error(errno.ENOTSUP)
            case IrqAction.TRIGGER, IrqData.NONE if not wanted.count:
                self._assign_intx(None)
            case IrqAction.TRIGGER, _:
                if meant and self._intx is not None:
                    _signal(self._intx)
            case action, _:
                if meant:
                    self._masked = action is IrqAction.MASK

    def _set_msix(self, wanted: IrqSet, fds: Sequence[int]) -> None:
        if wanted.kind is IrqData.NONE and not wanted.count:
            self.disable_msix()
        elif wanted.kind is IrqData.EVENTFD:
            for i in range(wanted.count):
                self._assign(wanted.start + i, fds[i] if fds else None)
            self._tell_pending()
        else:
            for vector in _meant(wanted):
                fd = self._vectors[vector]
                if fd is not None:
                    _signal(fd)

    def disable_msix(self) -> None:
        """Tell of no vector any more, and forget those that are pending."""
        for vector in range(len(self._vectors)):
            self._assign(vector, None)
        self._pending.clear()

    def _assign_intx(self, fd: int | None) -> None:
        if self._intx is not None:
            os.close(self._intx)
        self._intx = None if fd is None else os.dup(fd)
        self._masked = False

    def _assign(self, vector: int, fd: int | None) -> None:
        old = self._vectors[vector]
        if old is not None:
            os.close(old)
            self._vectors[vector] = None
        if fd is not None:
            self._vectors[vector] = os.dup(fd)

    def _tell_pending(self) -> None:
        for vector in sorted(self._pending):
            fd = self._vectors[vector]
            if fd is not None:
                self._pending.remove(vector)
                _signal(fd)


def _meant(wanted: IrqSet) -> list[int]:
    """The interrupts that are meant."""
    numbers = range(wanted.start, wanted.start + wanted.count)
    if wanted.kind is IrqData.BOOL:
        return [number for number, byte in zip(numbers, wanted.data, strict=True) if byte]
    return list(numbers)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _is_eventfd(fd: int) -> bool:
    return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventfd]"


def _empty(fd: int) -> None:
    """Make an eventfd 0, without waiting for anything even if it is one that waits."""
    with contextlib.suppress(BlockingIOError):  # it is 0 already
        os.preadv(fd, [bytearray(8)], -1, os.RWF_NOWAIT)


def _signal(fd: int) -> None:
    """Add 1 to an eventfd. One that is full was signalled before, and must not make us wait.

    A client can fill it between our look and our write, and make it one that waits. `release` ends
    that.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if poll.poll(0):
        with contextlib.suppress(BlockingIOError):  # the client has filled it just now
            os.eventfd_write(fd, 1)
