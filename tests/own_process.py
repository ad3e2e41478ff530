"""A call in a copy of this process: whatever it leaves behind ends with it."""

import os
import pickle
import select
import signal
import time
import warnings

PATIENCE = 300
"""Seconds within which it ends, however busy the machine is."""


def in_own_process(call):
    """What it returns, which can be pickled; what it raises is raised here."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Other threads may be there. None of what they do is needed in the copy.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            with os.fdopen(writer, "wb") as told:
                told.write(_made(call))
        finally:
            os._exit(0)
    os.close(writer)
    try:
        answer = _read(reader)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    value, error = pickle.loads(answer)
    if error is not None:
        raise error
    return value


def _made(call):
    try:
        return pickle.dumps((call(), None))
    except BaseException as error:
        return pickle.dumps((None, error))


def _read(reader):
    parts = []
    end = time.monotonic() + PATIENCE
    while not parts or parts[-1]:
        ready, _, _ = select.select([reader], [], [], max(0, end - time.monotonic()))
        assert ready, "the call does not end"
        parts.append(os.read(reader, 1 << 16))
    return b"".join(parts)
