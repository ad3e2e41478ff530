"""Signals strike a call where they do no harm: where it sleeps, or when it is done.

Python runs the handler of a signal in the main thread, in the middle of whatever that does, and
what the handler raises is raised there: with a lock taken, or a slot in hand that nobody else
knows of. So the handlers are wrapped while a card is open. A wrapped handler looks at what it
interrupted, from the innermost function outwards. If it meets a *protected* function first, the
signal is remembered, and taken at the next place where the call may be interrupted: in an
*interruptible* function, or at the end of the outermost protected one. Otherwise the handler is
called at once.

This holds for signals, and for the handlers that were set when a card was opened, or when
`HANDLERS.wrap` was called. What a debugger or the C API raises in a thread strikes anywhere.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Final, ParamSpec, TypeAlias, TypeVar, cast, final

import attrs

__all__ = ["HANDLERS", "PENDING", "Handlers", "interruptible", "protected", "shielded", "take"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Made = TypeVar("Made")
Function = TypeVar("Function", bound=Callable[..., object])
Handler: TypeAlias = Callable[[int, FrameType | None], object]

_PROTECTED: Final[set[CodeType]] = set()
_INTERRUPTIBLE: Final[set[CodeType]] = set()


@final
class _Pending(dict[int, Handler]):
    """The handlers of signals that are remembered, by number.

    Attributes:
        thread: Who remembers them: the main thread.
    """

    thread: int


PENDING: Final = _Pending()


def protected(function: Function) -> Function:
    """In this function, and in all that it calls, signals are remembered.

    It ends with `while PENDING and take(): pass`, which nothing is done behind: Python looks for
    signals where a call returns and where a loop goes back, and not between a test that fails and
    the return. (`shielded` does that.)
    """
    _PROTECTED.add(cast(FunctionType, function).__code__)
    return function


def interruptible(function: Function) -> Function:
    """In this function, and in all that it calls, handlers are called at once.

    Whatever is raised at any of its bytecodes does no harm.
    """
    _INTERRUPTIBLE.add(cast(FunctionType, function).__code__)
    return function


def shielded(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A protected function at whose end the signals are taken that came meanwhile."""

    @protected
    @functools.wraps(function)
    def shield(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        if HANDLERS.absent:
            HANDLERS.wrap()
        try:
            return function(*arguments, **options)
        finally:
            while PENDING and take():
                pass

    return shield


@protected
def take(undo: Callable[[Made], object] | None = None, made: Made | None = None) -> bool:
    """Call the handlers of the signals that are remembered, if the caller may be interrupted.

    The caller is an interruptible function, or a protected one that is done: the outermost takes
    them. What a handler raises is raised here.

    Args:
        undo: What is to be done with `made`, if it is not None, before that is raised.
        made: What the caller has made.

    Returns:
        Whether there were any.
    """
    caller = sys._getframe(1)
    inner = caller if caller.f_code in _INTERRUPTIBLE else caller.f_back
    if PENDING.thread != threading.get_ident() or _is_protected(inner):
        return False
    try:
        _deliver()
    except BaseException as raised:
        if undo is not None and made is not None:
            try:
                undo(made)
            except Exception as error:
                raise raised from error
        while PENDING:
            _deliver()
        raise
    return True


def _is_protected(frame: FrameType | None) -> bool:
    """Whether what is protected comes first, from a frame outwards."""
    while frame is not None:
        if frame.f_code in _INTERRUPTIBLE:
            return False
        if frame.f_code in _PROTECTED:
            return True
        frame = frame.f_back
    return False


@protected
def _deliver() -> None:
    """Call what is remembered, each of them whatever the others raise."""
    number = min(PENDING)
    handler = PENDING.pop(number)
    try:
        _run(handler, number)
    finally:
        while PENDING:
            _deliver()


@interruptible
def _run(handler: Handler, number: int) -> None:
    handler(number, sys._getframe(1))


@final
@attrs.frozen(eq=False)
class WrappedHandler:
    """Stands in for a handler, for as long as a card is open.

    Attributes:
        handler: That handler.
    """

    handler: Handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Called by Python when the signal came."""
        PENDING.thread = threading.get_ident()
        PENDING[number] = self.handler
        if not _is_protected(frame):
            _deliver()


@final
class Handlers:
    """The handlers of this process.

    Attributes:
        absent: Somebody has a card open, and the main thread has not come by to wrap them yet.
    """

    def __init__(self) -> None:
        self.absent = False
        self._users: set[object] = set()

    def hold(self, user: object) -> None:
        """Have them wrapped until `drop`. Elsewhere the main thread does it in its next call."""
        self._users.add(user)
        self.absent = True
        self.wrap()

    def drop(self, user: object) -> None:
        """If nobody else needs it they are put back, but for those that others replaced.

        Where this is not the main thread they stay wrapped, until the main thread closes a card.
        """
        self._users.discard(user)
        if _is_main() and not self._users:
            for number, handler in _python_handlers():
                if isinstance(handler, WrappedHandler):
                    signal.signal(number, handler.handler)
            self.absent = bool(self._users)

    def wrap(self) -> None:
        """Wrap the handlers that are set now. Only the main thread can; others do nothing."""
        if _is_main():
            for number, handler in _python_handlers():
                if not isinstance(handler, WrappedHandler):
                    signal.signal(number, WrappedHandler(handler))
            self.absent = False


HANDLERS: Final = Handlers()
"""Signals are the process's, like these."""


def _is_main() -> bool:
    """Whether handlers run in this thread."""
    return threading.current_thread() is threading.main_thread()


def _python_handlers() -> list[tuple[int, Handler]]:
    handlers = ((number, signal.getsignal(number)) for number in signal.valid_signals())
    return [(number, handler) for number, handler in handlers if callable(handler)]
