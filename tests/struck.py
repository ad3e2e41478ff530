"""Raises an exception at a bytecode of a call, as a signal handler may."""

import sys
import threading

from impl.controller import attempted

OURS = "/impl/"


EXPOSED = {
    # The lock is taken or given away in a few bytecodes.
    "threads.acquire",
    "threads.release",
    "threads.lock",
    "threads.unlock",
    "threads.sleep",
    "controller._enter",
    "controller._leave",
    "controller.lock_at_all_costs",
    # Between having the lock, a slot or a descriptor and knowing of it.
    "controller.send",
    "controller.change_filter",
    "controller.peek",
    "controller.submit",
    "controller.receive_packet",
    "controller.repost",
    "controller._announce",
    "controller._surely",
    "controller.receive_packets",
    "controller._next_call",
    "controller._give_back_again",
    "ring.consume",
    "ring._take",
    "ring._receive",
    "threads.relock",
    "driver.receive",
    "driver.receive_view",
    "packet_calls.receive_batch",
    "driver._receive_into",
    "driver.fileno",
    "threads.fileno",
    "readiness.duplicate",
    # A packet view stays on loan then; it may be released again.
    "driver.__exit__",
    "driver.release",
    "driver._take_back",
    "driver._end_view",
    "loan.end",
    "loan._lend",
    # What was raised is being kept to be raised later.
    "controller.attempted",
}
"""Where a strike may do harm, by module and function; docs/comparison.md names them."""


def place_of(frame):
    """The function of a frame."""
    code = frame.f_code
    return f"{code.co_filename.rpartition('/')[2].removesuffix('.py')}.{code.co_name}"


class Strike(BaseException):
    """What a signal handler raises."""


class Struck:
    """A call in a thread of its own that is struck at its n-th bytecode within the driver.

    Attributes:
        place: Where it was struck; None if it has fewer bytecodes.
        error: What it raised.
    """

    def __init__(self, body, number):
        self.place = self.error = None
        self._left = number
        self.thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self.thread.start()

    def _run(self, body):
        sys.settrace(self._enters)
        try:
            self.error = attempted(lambda: body() and None)
        finally:
            sys.settrace(None)

    def _enters(self, frame, _event, _argument):
        if OURS not in frame.f_code.co_filename or place_of(frame) in EXPOSED:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._passes

    def _passes(self, frame, event, _argument):
        if event == "opcode":
            self._left -= 1
            if self._left == 0:
                self.place = f"{place_of(frame)}, line {frame.f_lineno}"
                raise Strike(self.place)
        return self._passes
