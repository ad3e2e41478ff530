"""How a call may end, where the specification says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from impl.errors import (
    CardError,
    CardFailedError,
    ClosedError,
    FilterTableFullError,
    NoSuchFilterError,
    WaitTimeoutError,
    WouldBlockError,
)
from model.state import Outcome

__all__ = ["ERRORS"]

ERRORS: Final[Mapping[Outcome, tuple[type[BaseException], ...]]] = {
    Outcome.EIO: (CardFailedError, CardError),
    Outcome.EAGAIN: (WouldBlockError,),
    Outcome.EINTR: (WaitTimeoutError, ClosedError),
    Outcome.ENOSPC: (FilterTableFullError,),
    Outcome.ENOENT: (NoSuchFilterError,),
    Outcome.EBADF: (ClosedError,),
}
"""Which errors a call may raise that ended so. A signal may raise anything where it is EINTR."""
