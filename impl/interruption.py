"""Ending calls that wait from another thread, as a signal ends a system call."""

from __future__ import annotations

from typing import final

from impl.runtime import Runtime
from impl.shield import shielded

__all__ = ["Interruption"]


@final
class Interruption:
    """A handle on calls under way; `DuctDriver.interruption` makes one.

    Give it to any number of calls. It ends those that wait, and those that would have to later; a
    call that need not wait succeeds all the same. What was handed to the card before is still sent.

    Attributes:
        struck: `strike` was called.
        closed: The driver object that it came from was closed, by which the calls end as well.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.struck = False
        self.closed = False
        self._runtime = runtime

    @shielded
    def strike(self) -> None:
        """End the calls with `CallInterruptedError`. Any thread may; a second time does nothing."""
        self.struck = True
        self._runtime.interrupt(self)

    @shielded
    def close(self) -> None:
        """End the calls because the driver object is being closed."""
        self.closed = True
        self._runtime.interrupt(self)
