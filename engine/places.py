"""Where something stands in the text of a specification, for messages: a file and a line.

What the engine itself makes (a wrapper, a step of memory) stands nowhere in that text; what it was
made of does.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from typing import Any, Final

__all__ = ["of_body", "of_caller", "of_error"]

ENGINE: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _written(file: str, line: int) -> str:
    near = os.path.relpath(file)
    return f"{file if near.startswith(os.pardir) else near}:{line}"


def _is_specification(file: str) -> bool:
    """Whether a file's text is an author's: neither the engine's nor made by a program."""
    return not file.startswith((ENGINE, "<"))


def of_body(body: object) -> str:
    """Where the innermost function begins that a body wraps; "" if the engine made all of it."""
    found = ""
    while body is not None:
        code = getattr(body, "__code__", None)
        if code is not None and _is_specification(code.co_filename):
            found = _written(code.co_filename, code.co_firstlineno)
        body = _inside(body)
    return found


def _inside(body: Any) -> object:
    """What a function was made of: a decorator's, or a partial one."""
    wrapped = getattr(body, "__wrapped__", None)
    return body.func if wrapped is None and isinstance(body, functools.partial) else wrapped


def of_error(error: BaseException) -> str:
    """The last line of an author's text that led to an error; "" if there is none."""
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if _is_specification(frame.filename) and frame.lineno is not None:
            found = _written(frame.filename, frame.lineno)
    return found


def of_caller() -> str:
    """The line that makes an object, seen from the default of one of its attributes."""
    frame = sys._getframe(2)  # behind this function and the constructor
    return _written(frame.f_code.co_filename, frame.f_lineno)
