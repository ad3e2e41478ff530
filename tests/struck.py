"""Lets a signal strike a call at one of its bytecodes: its handler is called there.

Python calls handlers in the main thread only; here any thread may be struck, so that one that hangs
can be told from one that does not.
"""

import contextlib
import signal
import sys
import threading
from unittest.mock import patch

from impl.shield import HANDLERS, PENDING

SIGNAL = signal.SIGUSR1
DRIVER = ("/impl/", "/monitor/")
OTHERS = ("/tests/", "/emulator/", "/asyncio/")
"""Code that is no part of a call, with what it calls: the test's own, the card's, the loop's."""

LAST = "its work is done, and Python looks for no signal between the last look and the return"
EXPOSED = {
    **dict.fromkeys(
        (
            "driver.receive",
            "driver._receive_into",
            "driver.receive_view",
            "driver.read",
            "device_file._receive",
            "device_file._receive_into",
            "device_file.read",
            "packet_calls.receive_batch",
            "packet_calls.__iter__",
            "packet_calls.receive_async",
        ),
        f"a packet is lost with the result, or the signal is taken by the next call: {LAST}",
    ),
    "driver.payload": "a packet is lost with the result: who reads that has the packet already",
    **dict.fromkeys(
        (
            "driver.open",
            "driver.send",
            "driver.send_batch",
            "driver.release",
            "driver.__enter__",
            "shield.shield",
            "shield.take",
            "shield._deliver",
        ),
        f"the signal is taken by the next call: {LAST}",
    ),
}
"""Where a strike is not raised by the call itself or takes its result, and why that is no harm."""
LONGEST = 20
"""Seconds after which a call that was struck hangs."""


def place_of(frame):
    """The function of a frame."""
    code = frame.f_code
    return f"{code.co_filename.rpartition('/')[2].removesuffix('.py')}.{code.co_name}"


def is_drivers(frame):
    """Whether a frame is the driver's, or one that it called, such as of Python's library."""
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in DRIVER):
            return True
        if any(part in name for part in OTHERS):
            return False
        frame = frame.f_back
    return False


class Strike(KeyboardInterrupt):
    """What a signal handler raises."""


def strike(*_):
    """A signal handler."""
    raise Strike


@contextlib.contextmanager
def nobody_else_has_a_card_open():
    """Whatever other tests have left open."""
    with patch.object(HANDLERS, "_users", set()):
        yield


@contextlib.contextmanager
def striking():
    """The handler strikes, wrapped as that of a program with an open card is."""
    before = signal.signal(SIGNAL, strike)
    with nobody_else_has_a_card_open():
        HANDLERS.hold(striking)
        try:
            yield
        finally:
            HANDLERS.drop(striking)
            now = signal.signal(SIGNAL, before)
    assert now is strike, "the handler was not put back"


class Struck:
    """A call in a thread of its own that is struck at its n-th bytecode.

    Args:
        body: The call.
        number: The bytecode, from 1 on, and any others at which it is to be struck.

    Attributes:
        place: Where it was struck first; None if it has fewer bytecodes.
        error: What it raised; None if nothing.
        value: What it returned.
        remembered: The signal is remembered, and the call has ended.
    """

    def __init__(self, body, *numbers):
        self.place = self.error = self.value = None
        self.function = ""
        self.remembered = False
        self._numbers = set(numbers)
        self._count = 0
        self._body = body
        self.thread = threading.Thread(target=self.run, daemon=True)

    def check(self):
        """Make the call. It ends, and has raised the signal, or has it raised by the next one."""
        self.thread.start()
        self.thread.join(LONGEST)
        assert not self.thread.is_alive(), self.place
        if self.place is None:
            assert self.error is None, repr(self.error)
        elif not isinstance(self.error, Strike):
            assert self.remembered, f"{self.place}: swallowed ({self.error!r})"
            assert self.function in EXPOSED, self.place

    def run(self):
        """Make the call in this thread."""
        sys.settrace(self._enters)
        try:
            self.value = self._body()
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)
            self.remembered = bool(PENDING)
            PENDING.clear()

    def _enters(self, frame, _event, _argument):
        if not is_drivers(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._passes

    def _passes(self, frame, event, _argument):
        if event == "opcode":
            self._count += 1
            if self._count in self._numbers:
                if self.place is None:
                    self.function = place_of(frame)
                    self.place = f"{self.function}, line {frame.f_lineno}"
                signal.getsignal(SIGNAL)(SIGNAL, frame)
        return self._passes
