"""systemd in a guest, in a namespace of its own: for the unit that ductd is installed with."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

from lab.guest import Ended, Guest, GuestError

__all__ = ["systemd"]

PATIENCE: Final = 120.0
"""Seconds within which systemd is up."""
_INSIDE: Final = 'exec nsenter --target "$(pgrep -x systemd)" --pid --mount -- "$@"'


@contextlib.contextmanager
def systemd(guest: Guest) -> Iterator[Callable[..., Ended]]:
    """A systemd that runs as long as this lasts, and knows the unit.

    Yields:
        What runs a command where systemd is, such as `systemctl`, to its end.
    """

    def run(*command: str) -> Ended:
        return guest.run("sh", "-c", _INSIDE, "sh", *command)

    process = guest.start("sh", "lab/guest/systemd.sh")
    try:
        end = time.monotonic() + PATIENCE
        while run("systemctl", "is-system-running").output.strip() != "running":
            if time.monotonic() > end or not process.running:
                raise GuestError(f"systemd does not start: {process}")
            time.sleep(0.5)
        yield run
    finally:
        process.signal(signal.SIGKILL)
        process.wait()
