"""Lets one operation of a driver fail: the n-th of its system calls, allocations and words.

What fails, fails as it does in life: what opens or maps has no effect then, and what closes has had
its effect all the same.
"""

import contextlib
import errno
import os
import socket
import threading
from types import SimpleNamespace
from unittest.mock import patch

import attrs

from emulator.backend import Laboratory
from impl import attach
from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.settings import Settings
from impl.threads import ThreadRuntime
from tests.fake_machine import CARD, WAYS, reached

SETTINGS = Settings(ring_shift=1, reset_polls=5000, drain_timeout=0.05, command_timeout=10)
WAYS_OUT = ("emulated", *WAYS)
"""The ways to a card that need no hardware."""


class Strikes:
    """Counts operations, and lets one of them fail.

    Attributes:
        struck: The one that failed.
    """

    def __init__(self):
        self.struck = None
        self._at = None
        self._count = 0
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def armed(self, at):
        """The operation number `at`, from 1 on, fails as long as this lasts."""
        with self._mutex:
            self.struck, self._at, self._count = None, at, 0
        try:
            yield
        finally:
            with self._mutex:
                self._at = None

    def pass_by(self, name, number):
        """An operation is about to be done, or has just been."""
        with self._mutex:
            if self._at is None:
                return
            self._count += 1
            if self._count != self._at:
                return
            self.struck = name
        if number is None:
            raise MemoryError(name)
        raise OSError(number, f"{os.strerror(number)}: {name}")


class Fallible:
    """Does what the object inside does, unless it is time to fail.

    Args:
        inner: That object.
        strikes: Says when.
        errors: The errno with which an operation fails, by name; None: for want of memory.
        wrap: What is made of the results of some operations.
    """

    def __init__(self, inner, strikes, errors, wrap=None):
        self._inner = inner
        self._strikes = strikes
        self._errors = errors
        self._wrap = wrap or {}

    def __getattr__(self, name):
        inner = getattr(self._inner, name)
        if name == "octets":
            return FallibleOctets(inner, self._strikes)
        if name not in self._errors:
            return inner

        def operation(*arguments, **options):
            # What is closed is closed, whatever the system says of it.
            closes = name == "close"
            if not closes:
                self._strikes.pass_by(name, self._errors[name])
            arguments = [getattr(item, "_inner", item) for item in arguments]
            result = inner(*arguments, **options)
            if closes:
                self._strikes.pass_by(name, self._errors[name])
            return self._wrap.get(name, lambda result: result)(result)

        return operation


class FallibleOctets:
    """The bytes of a region, unless it is time to fail."""

    def __init__(self, inner, strikes):
        self._inner = inner
        self._strikes = strikes

    def __getitem__(self, place):
        self._strikes.pass_by("load", errno.EIO)
        return self._inner[place]

    def __setitem__(self, place, value):
        self._strikes.pass_by("store", errno.EIO)
        self._inner[place] = value


EIO, EMFILE, ENOMEM = errno.EIO, errno.EMFILE, errno.ENOMEM
REGION = dict.fromkeys(("load", "store", "load_bulk", "store_bulk", "view", "bus_address"), EIO)
DEVICE = {
    **dict.fromkeys(("read", "write", "wait_for_interrupt", "close", "free"), EIO),
    **dict.fromkeys(("acquire", "release", "release_loads", "before_register_write", "fence"), EIO),
    "allocate": ENOMEM,
}
KERNEL = {
    **dict.fromkeys(("close", "lock", "read", "read_at", "write_at", "control"), EIO),
    **dict.fromkeys(("map_registers", "map_memory", "map_huge_pages"), ENOMEM),
    "open": EMFILE,
}
RUNTIME = {"sleep": None, "fileno": EMFILE}
READINESS = {"set_readable": errno.ENOBUFS, "set_writable": errno.ENOBUFS, "close": EIO}
OS = {"eventfd": EMFILE, "dup": EMFILE, "close": EIO}


@attrs.define(eq=False)
class Stage:
    """A card that is reached in one way, and where everything can fail.

    Attributes:
        card: The card, which is running.
        left: Says what a driver has left behind, beyond what can be seen in this process.
    """

    attachments: Attachments
    address: str
    strikes: Strikes
    card: object
    left: object

    def open(self):
        return DuctDriver.open(self.address, attachments=self.attachments, settings=SETTINGS)

    def resources(self):
        """What this process holds."""
        descriptors = {
            name: os.readlink(f"/proc/self/fd/{name}")
            for name in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{name}")
        }
        threads = {thread for thread in threading.enumerate() if thread.name.startswith("duct ")}
        return descriptors, threads, self.left()


@contextlib.contextmanager
def stage(way, root):
    """A card, and all that a driver does to reach it may fail."""
    strikes = Strikes()

    def device(inner):
        regions = {"allocate": lambda region: Fallible(region, strikes, REGION)}
        return Fallible(inner, strikes, DEVICE, regions)

    def runtime():
        made = ThreadRuntime()
        made._readiness = Fallible(made._readiness, strikes, READINESS)
        return Fallible(made, strikes, RUNTIME)

    def start(thread):
        if thread.name.startswith("duct "):
            try:
                strikes.pass_by("start", errno.EAGAIN)
            except OSError as error:
                raise RuntimeError("can't start new thread") from error
        original(thread)

    original = threading.Thread.start
    fallible_os = Fallible(os, strikes, OS)
    sockets = SimpleNamespace(**vars(socket))
    sockets.socketpair = Fallible(socket, strikes, {"socketpair": EMFILE}).socketpair
    with contextlib.ExitStack() as undo:
        for module in ("interrupts", "readiness", "driver"):
            undo.enter_context(patch(f"impl.{module}.os", fallible_os))
        undo.enter_context(patch("impl.readiness.socket", sockets))
        undo.enter_context(patch("threading.Thread.start", start))
        undo.enter_context(patch.object(attach, "ThreadRuntime", runtime))
        undo.enter_context(patch("threading.excepthook", lambda _: None))
        if way == "emulated":
            laboratory = Laboratory()
            undo.callback(laboratory.power_off)
            attachments = Attachments(lambda: {"way": lambda _: device(laboratory.open())})
            card = laboratory.card()

            def left():
                return sorted(region.purpose.value for region in laboratory.memory().regions)

        else:
            here = undo.enter_context(reached(way, root))
            kernel = Fallible(here.kernel, strikes, KERNEL)
            attachments = Attachments(lambda: {"way": lambda _: device(WAYS[way][0](kernel, CARD))})
            card = here.slot.running

            def left():
                kernel = here.kernel
                # The page map knows of memory until the collector has been.
                mapped = here.slot.memory.pieces if way == "vfio" else {}
                return [*kernel.opened, *kernel.windows, *kernel.groups, *mapped]

        yield Stage(attachments, f"way:{CARD}", strikes, card, left)
