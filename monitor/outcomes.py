"""How a call may end, where the specification says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from impl.errors import (
    CallInterruptedError,
    CardError,
    CardFailedError,
    ClosedError,
    FilterTableFullError,
    NoSuchFilterError,
    WaitTimeoutError,
    WouldBlockError,
)
from model.state import Result

__all__ = ["ERRORS"]

ERRORS: Final[Mapping[Result, tuple[type[BaseException], ...]]] = {
    Result.EIO: (CardFailedError, CardError),
    Result.EAGAIN: (WouldBlockError,),
    Result.EINTR: (WaitTimeoutError, ClosedError, CallInterruptedError),
    Result.ENOSPC: (FilterTableFullError,),
    Result.ENOENT: (NoSuchFilterError,),
    Result.EBADF: (ClosedError,),
}
"""Which errors a call may raise that ended so. A signal may raise anything where it is EINTR."""
