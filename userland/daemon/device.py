"""The card as a character device: each call of a program is a call of the driver.

What calls mean is the datasheet's table "What the character device offers".
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Final, final

from cuse import Call, Device, Notifier, OpenFile
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
from impl.driver import DuctDriver
from impl.errors import CallInterruptedError, DuctError, InvalidArgumentError, SpecificationError
from impl.interruption import Interruption
from model.layout import MULTICAST_FILTER, USER_HEADER, pack
from userland.daemon.readiness import Pollers
from userland.pcapng import Capture, Direction

__all__ = ["DuctDevice"]

_LOG: Final = logging.getLogger(__name__)


@final
class DuctDevice(Device):
    """A card.

    Args:
        open_card: Opens the card once more.
        capture: Where packets are written to; None: nowhere.
    """

    def __init__(self, open_card: Callable[[], DuctDriver], capture: Capture | None = None) -> None:
        self._open_card = open_card
        self._capture = capture
        self._pollers = Pollers()
        self._reported = False
        self._mutex = threading.Lock()
        self._openers: set[threading.Thread] = set()

    def open(self, call: Call) -> OpenFile:
        """One more open of the card; the first starts it.

        A signal ends the call, and not what was begun: a card is not left half-way. It is opened in
        a thread of its own, and closed again at once if nobody waits for it any more.
        """
        opening: Future[DuctDriver] = Future()

        def give_up() -> None:
            opening.cancel()

        call.on_interrupt(give_up)
        opener = threading.Thread(target=self._open, args=(opening,), name="duct open", daemon=True)
        with self._mutex:
            self._openers.add(opener)
            try:
                opener.start()
            except RuntimeError as error:
                self._openers.discard(opener)
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        try:
            with self.reporting():
                duct = opening.result()
        except CancelledError:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR)) from None
        return DuctFile(self, duct, self._pollers)

    def _open(self, opening: Future[DuctDriver]) -> None:
        """Open the card for whoever waits for it."""
        try:
            duct = self._open_card()
        except BaseException as error:
            # Whoever is gone need not know.
            with contextlib.suppress(InvalidStateError):
                opening.set_exception(error)
        else:
            try:
                opening.set_result(duct)
            except InvalidStateError:
                closed(duct)
        finally:
            with self._mutex:
                self._openers.discard(threading.current_thread())

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """What the monitor finds is logged, once; callers only see EIO."""
        try:
            yield
        except SpecificationError as error:
            if not self._reported:
                self._reported = True
                _LOG.error("no call succeeds from now on: %s", error.strerror)
            raise

    def passed(self, message: bytes, direction: Direction) -> None:
        """A packet was received or sent. That it cannot be captured is no matter of its users."""
        capture = self._capture
        if capture is None:
            return
        try:
            capture.write(message, direction)
        except OSError as error:
            self._capture = None
            _LOG.error("nothing is captured from now on: %s: %s", capture.path, error.strerror)

    def close(self) -> None:
        """Nobody has the device open any more; opens that were given up come to their end."""
        with self._mutex:
            openers = list(self._openers)
        for opener in openers:
            opener.join()
        self._pollers.close()


def closed(duct: DuctDriver) -> None:
    """End an open of the card. That it ends with an error is told to nobody but the log."""
    try:
        duct.close()
    except DuctError as error:
        _LOG.error("the card was closed with an error: %s", error.strerror)


@final
class DuctFile(OpenFile):
    """One open file. The kernel sees to it that it was opened for what is done with it."""

    def __init__(self, device: DuctDevice, duct: DuctDriver, pollers: Pollers) -> None:
        self._device = device
        self._duct = duct
        self._source = duct.info.hwaddr.to_bytes(USER_HEADER["source"].width, "little")
        self._poller = pollers.poller(duct)
        self._timeout: float | None = None
        self._mutex = threading.Lock()
        self._cancelled = False
        self._under_way: weakref.WeakSet[Interruption] = weakref.WeakSet()

    def read(self, size: int, call: Call) -> bytes:
        """One packet, header first; what does not fit is lost."""
        if call.offset:
            # The packet has filled what the kernel asked for first: it ends there.
            return b""
        interruption = self._interruption(call)
        with self._waiting():
            message = self._duct.read(
                blocking=call.blocking, timeout=self._timeout, interruption=interruption
            )
        self._device.passed(message, Direction.RECEIVED)
        return message[:size]

    def write(self, data: bytes, call: Call) -> int:
        """One packet, header first. It is sent, or there is an error."""
        if call.offset:
            raise InvalidArgumentError("the buffers of a message touch at most 32 pages")
        interruption = self._interruption(call)
        with self._waiting():
            try:
                self._duct.write(
                    data, blocking=call.blocking, timeout=self._timeout, interruption=interruption
                )
            except CallInterruptedError as error:
                # What the card has will be sent, as with a call that may not wait.
                if not error.handed_over:
                    raise
        self._device.passed(self._source + data[len(self._source) :], Direction.SENT)
        return len(data)

    def ioctl(self, command: int, data: bytes, call: Call) -> bytes:
        """What the card is, and its filters."""
        if command == GET_INFO:
            return pack(self._duct.info)
        if command == GET_READY:
            with self._device.reporting():
                ready = self._duct.poll()
            length = NO_PACKET if ready.next_length is None else ready.next_length
            return READY.pack(length, ready.free_slots)
        if command == SET_TIMEOUT:
            (limit,) = TIMEOUT.unpack(data)
            self._timeout = None if limit == FOREVER else limit / 1000
            return b""
        if command == CANCEL:
            self._cancel()
            return b""
        if command not in {ADD_MCAST, RM_MCAST}:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        mask, address = MULTICAST_FILTER.codec.unpack(data)
        change = self._duct.add_multicast if command == ADD_MCAST else self._duct.remove_multicast
        interruption = self._interruption(call)
        with self._waiting():
            change(mask, address, timeout=self._timeout, interruption=interruption)
        return b""

    def poll(self, notifier: Notifier | None, call: Call) -> int:
        """Readable while a packet waits, writable while a slot is free; both after a failure."""
        return self._poller.poll(notifier)

    def release(self) -> None:
        """The last close stops the card, after what is queued was sent."""
        self._poller.close()
        closed(self._duct)

    def _interruption(self, call: Call) -> Interruption | None:
        """What ends the driver's call when a signal comes for the caller."""
        if not call.blocking:
            return None
        interruption = self._duct.interruption()
        call.on_interrupt(interruption.strike)
        with self._mutex:
            self._under_way.add(interruption)
            if self._cancelled:
                interruption.strike()
        if call.interrupted:
            # Nothing may be taken for a caller that is gone.
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        return interruption

    def _cancel(self) -> None:
        """End all calls that wait, now and later."""
        with self._mutex:
            self._cancelled = True
            under_way = list(self._under_way)
        for interruption in under_way:
            interruption.strike()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """A call of the driver's: what ends it is told, whether a signal or a cancellation."""
        try:
            with self._device.reporting():
                yield
        except CallInterruptedError as error:
            if self._cancelled:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED)) from error
            raise
