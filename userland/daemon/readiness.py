"""Who polls the device, and telling them when it becomes readable or writable."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Final, final

from cuse import Notifier
from impl.driver import DuctDriver
from impl.errors import CardFailedError, ClosedError, DuctError, SpecificationError

__all__ = ["Poller", "Pollers"]

READABLE: Final = select.POLLIN | select.POLLRDNORM
WRITABLE: Final = select.POLLOUT | select.POLLWRNORM
FAILED: Final = READABLE | WRITABLE | select.POLLERR


@final
class Pollers:
    """All who poll one card, and the thread that watches the descriptors of their opens."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._mutex = threading.Lock()
        self._pollers: dict[int, Poller] = {}
        self._thread = threading.Thread(target=self._watch, name="duct pollers", daemon=True)
        self._thread.start()

    def poller(self, duct: DuctDriver) -> Poller:
        """What polls one open of the card."""
        return Poller(self, duct)

    def watch(self, descriptor: int, poller: Poller) -> None:
        """Tell the poller whenever the descriptor becomes ready; level by level, each once."""
        with self._mutex:
            self._pollers[descriptor] = poller
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def forget(self, descriptor: int) -> None:
        """Watch it no longer."""
        with self._mutex:
            del self._pollers[descriptor]
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._stop)

    def _watch(self) -> None:
        while True:
            ready = self._epoll.poll()
            for descriptor, _ in ready:
                if descriptor == self._stop:
                    return
                with self._mutex:
                    poller = self._pollers.get(descriptor)
                if poller is not None:
                    poller.tell()


@final
class Poller:
    """Polls one open of the card."""

    def __init__(self, pollers: Pollers, duct: DuctDriver) -> None:
        self._pollers = pollers
        self._duct = duct
        self._mutex = threading.Lock()
        self._descriptor = -1
        self._notifier: Notifier | None = None

    def poll(self, notifier: Notifier | None) -> int:
        """The events that are so. The notifier is called once, as soon as that may change."""
        with self._mutex:
            if self._descriptor < 0:
                self._descriptor = self._duct.fileno()
                self._pollers.watch(self._descriptor, self)
            if notifier is not None:
                # Before anything is looked at: what changes in between must not be missed.
                self._notifier = notifier
        if self._duct.watch is not None and self._duct.watch.finding:
            return FAILED
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN | select.POLLOUT)
        found = sum(events for _, events in poll.poll(0))
        events = WRITABLE if found & select.POLLOUT else 0
        if found & select.POLLIN:
            events |= self._looked_at()
        return events

    def _looked_at(self) -> int:
        """What a descriptor that is readable means: it may be that another one was faster."""
        try:
            return READABLE if self._duct.poll().next_length is not None else 0
        except (CardFailedError, ClosedError, SpecificationError):
            return FAILED
        except DuctError:
            return READABLE  # the next read says what is wrong with the packet

    def tell(self) -> None:
        """The descriptor became ready."""
        with self._mutex:
            notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier()

    def close(self) -> None:
        """Nobody polls any more; before the open is closed."""
        with contextlib.suppress(KeyError), self._mutex:
            if self._descriptor >= 0:
                self._pollers.forget(self._descriptor)
