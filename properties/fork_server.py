"""Runs tests in processes that need not be started: what does not change is imported once.

    python -m properties.fork_server PART ...

What is below a PART, such as impl, is imported anew by each run, and so is all that may import it.
Each line that is read is a run, as JSON: the arguments of pytest, seconds, a file for the output,
and whether what is compiled is kept. Each line that is written is its exit status; null: it was
stopped after so many seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["main"]

KEPT: Final = ("engine", "model")
"""Parts of the project that import nothing of what changes."""
USED: Final = (
    *("pytest", "hypothesis.stateful", "greenlet", "asyncio", "unittest.mock", "cosmic_ray"),
    *("properties.stateful", "monitor.watch", "emulator.backend", "impl.driver", "tests.own_card"),
)
"""What most tests import."""


def main(parts: Sequence[str]) -> None:
    """The command."""
    for name in USED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    anew = {entry.name for entry in Path().iterdir() if entry.is_dir()} - {*KEPT}
    assert anew >= {*parts}
    for name in list(sys.modules):
        if name.partition(".")[0] in anew:
            del sys.modules[name]
    for line in sys.stdin:
        print(json.dumps(_run(*json.loads(line))), flush=True)


def _run(arguments: Sequence[str], seconds: float, output: str, compiled: bool) -> int | None:
    child = os.fork()
    if child == 0:
        # A file that changes twice in a second is not compiled anew if the first is kept.
        sys.dont_write_bytecode = not compiled
        if not compiled:
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        _be_the_run(arguments, output)
    end = time.monotonic() + seconds
    pause = 0.001
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return None
    finally:
        # Whatever it started goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _be_the_run(arguments: Sequence[str], output: str) -> None:
    status = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        import pytest

        status = int(pytest.main(list(arguments)))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
