"""A call in a thread of its own, whose end is waited for and whose error is not lost."""

import threading
import time

PATIENCE = 30
"""Seconds within which whatever can end has ended, however busy the machine is."""


class Background:
    """A call under way.

    Attributes:
        value: What it returned; None until then.
        error: What it raised; None until then.
        thread: The thread that makes it.
    """

    def __init__(self, body):
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self.thread.start()

    def _run(self, body):
        try:
            self.value = body()
        except BaseException as error:
            self.error = error

    def join(self):
        """Wait for the end of the call; it is an error if that does not come."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the call sleeps for ever"
        return self


def until(condition):
    """Wait for what no event tells of, such as that another thread sleeps."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.0002)
