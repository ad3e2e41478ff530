"""Making one check: in a thread of its own, which is given up when the check hangs."""

from __future__ import annotations

import sys
import threading
import traceback

from properties.conformance.backends import BackendMaker
from properties.conformance.check import Check
from properties.conformance.helpers import PATIENCE

__all__ = ["HangError", "run_guarded"]


class HangError(Exception):
    """A check did not end in time. The message says where each thread stands."""


def run_guarded(check: Check, make: BackendMaker, patience: float | None = None) -> bool:
    """Make one check; False if the backend is not able to.

    Args:
        check: What to check.
        make: Where.
        patience: Seconds after which it hangs; None: `PATIENCE`.

    Raises:
        HangError: It did not end.
        BaseException: What the check raised.
    """
    patience = PATIENCE if patience is None else patience

    def body() -> bool:
        with make() as backend:
            if not check.possible(backend):
                return False
            check.body(backend)
            return True

    outcome: list[bool | BaseException] = []

    def run() -> None:
        try:
            outcome.append(body())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name=check.name, daemon=True)
    thread.start()
    thread.join(patience)
    if not outcome:
        raise HangError(f"did not end within {patience:g} s\n{_where_threads_stand()}")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _where_threads_stand() -> str:
    frames = sys._current_frames()
    parts = [
        f"{thread.name}:\n{''.join(traceback.format_stack(frames[thread.ident])[-4:])}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread is not threading.current_thread()
    ]
    return "\n".join(parts)
