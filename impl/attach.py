"""From an address to a card: which backend reaches it, and who in this process shares it.

An address is SCHEME:REST. The scheme names a backend: an entry point of the group `duct.backends`,
a function that takes REST and returns an `impl.memory.Device`. All opens of one address in a
process share one `Attachment`, so that the card is opened once and closed once.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import attrs

from impl.controller import Controller
from impl.datapath.loader import PYTHON, Datapath, chosen
from impl.datapath.quick import controller_over
from impl.errors import InvalidArgumentError, UnknownAddressError, WaitTimeoutError
from impl.lifecycle import Lifecycle
from impl.memory import Device
from impl.runtime import Runtime
from impl.settings import Monitoring, Settings
from impl.threads import ThreadRuntime
from impl.watch import Watch, WatchMaker, installed_watch

__all__ = ["ATTACHMENTS", "Attachment", "Attachments", "backends"]

GROUP: Final = "duct.backends"
Backend = Callable[[str], Device]


def backends() -> Mapping[str, Backend]:
    """The backends that are installed, by scheme; each is loaded when it is used first."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: functools.partial(_load_and_open, point) for point in points}


def _load_and_open(point: EntryPoint, rest: str) -> Device:
    device: Device = point.load()(rest)
    return device


@attrs.define(eq=False)
class Attachment:
    """A card that this process has hold of."""

    controller: Controller
    lifecycle: Lifecycle
    users: int = 0
    watch: Watch | None = None
    monitoring: Monitoring | None = None

    @classmethod
    def to(
        cls,
        device: Device,
        runtime: Runtime,
        settings: Settings,
        datapath: Datapath = PYTHON,
    ) -> Attachment:
        """Take hold of a card: its command ring is allocated, its interrupts are served."""
        controller = controller_over(Controller, datapath)(device, runtime, settings, datapath)
        controller.start()
        return cls(controller, Lifecycle(controller))

    @classmethod
    def watched(
        cls, device: Device, runtime: Runtime, settings: Settings, watch: Watch
    ) -> Attachment:
        """The same, with a watch between."""
        attachment = cls.to(watch.device(device), watch.runtime(runtime), settings)
        attachment.controller = watch.controller(attachment.controller)
        attachment.lifecycle = watch.lifecycle(attachment.lifecycle)
        attachment.watch = watch
        return attachment

    def detach(self) -> None:
        """Let go of the card."""
        try:
            self.controller.stop()
        finally:
            self.controller.runtime.close()


class Attachments:
    """The cards that this process has hold of, by address."""

    def __init__(
        self,
        known: Callable[[], Mapping[str, Backend]] = backends,
        watch: Callable[[], WatchMaker] = installed_watch,
    ) -> None:
        self._known = known
        self._watch = watch
        self._mutex = threading.Lock()
        self._cards: dict[str, Attachment] = {}

    def join(
        self,
        address: str,
        settings: Settings | None,
        monitoring: Monitoring | None = None,
        timeout: float | None = None,
    ) -> Attachment:
        """The card at `address`, which the caller leaves again; settings hold for all who share it.

        Args:
            address: SCHEME:REST.
            settings: What it is to be used with; None: whatever it is used with.
            monitoring: The same about the monitor.
            timeout: Seconds to wait for whoever takes hold of a card, or lets go of one.

        Raises:
            UnknownAddressError: No backend has this scheme.
            InvalidArgumentError: The card is in use with other settings, or without the monitor
                that was asked for, or no monitor is installed.
            WaitTimeoutError: The time is over.
            OSError: The backend does not reach the card.
        """
        seconds = -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        if not self._mutex.acquire(timeout=seconds):
            raise WaitTimeoutError(
                f"waited {timeout:g} s for somebody else to take hold of a card or let go of it"
            )
        try:
            attachment = self._cards.get(address)
            if attachment is None:
                attachment = self._attach(address, settings or Settings(), monitoring)
                self._cards[address] = attachment
            else:
                _check_same(address, attachment, settings, monitoring)
            attachment.users += 1
            return attachment
        finally:
            self._mutex.release()

    def leave(self, address: str) -> None:
        """One user less. A card that nobody uses is let go of, unless it may still write."""
        with self._mutex:
            attachment = self._cards[address]
            attachment.users -= 1
            # A card that could not be stopped keeps its memory until somebody resets it.
            if not attachment.users and not attachment.lifecycle.needs_reset:
                del self._cards[address]
                attachment.detach()

    def _attach(
        self, address: str, settings: Settings, monitoring: Monitoring | None
    ) -> Attachment:
        watch = None if monitoring is None else self._watch()(settings, monitoring)
        datapath = PYTHON if watch is not None else chosen()
        with contextlib.ExitStack() as undo:
            runtime = ThreadRuntime()
            # It waits for the threads that serve interrupts, which end with the device.
            undo.callback(runtime.close)
            device = self._reach(address)
            undo.callback(device.close)
            if watch is None:
                attachment = Attachment.to(device, runtime, settings, datapath)
            else:
                attachment = Attachment.watched(device, runtime, settings, watch)
                attachment.monitoring = monitoring
            undo.pop_all()
        return attachment

    def _reach(self, address: str) -> Device:
        scheme, colon, rest = address.partition(":")
        known = self._known()
        if not colon or scheme not in known:
            names = ", ".join(f"{name}:" for name in known) or "none"
            raise UnknownAddressError(
                f"{address!r} names no card: an address begins with one of {names}"
            )
        return known[scheme](rest)


def _check_same(
    address: str, attachment: Attachment, settings: Settings | None, monitoring: Monitoring | None
) -> None:
    """What is asked for is what the card is used with; what differs is named."""
    used = attachment.controller.settings
    differing = [
        (
            f"{field.name}={getattr(used, field.name)!r}",
            f"{field.name}={getattr(settings, field.name)!r}",
        )
        for field in attrs.fields(Settings)
        if settings is not None and getattr(settings, field.name) != getattr(used, field.name)
    ]
    if monitoring is not None and monitoring != attachment.monitoring:
        differing.append((f"{attachment.monitoring or 'no monitor'}", f"{monitoring}"))
    if differing:
        has, wanted = (", ".join(texts) for texts in zip(*differing, strict=True))
        raise InvalidArgumentError(
            f"{address} is in use with {has}, and {wanted} was asked for; close every other open "
            "of it first"
            if attachment.users
            else f"{address} could not be stopped and is kept with {has}, and {wanted} was asked "
            "for; open and close it once as it is, which resets it"
        )


ATTACHMENTS: Final = Attachments()
"""The cards of this process. A card is one thing, however many parts of a program use it."""
