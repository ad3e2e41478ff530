"""Programs in Python that start without loading what has been loaded before.

In a guest without KVM a start of `ductctl` takes two seconds, nearly all of them for loading
modules. So a process that has them starts the program in a fork of itself. For the program that is
as if `python3 -m` had started it: it is a process of its own, with a `__main__`, arguments and
standard streams, and its exit status is what it would be. Modules are loaded when a program that
needs them is started for the first time.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

__all__ = ["Started", "module_of", "start"]

TOOLS: Final[Mapping[str, str]] = {
    "ductctl": "userland.ductctl",
    "ductclient": "userland.ductclient",
    "ductd": "userland.ductd",
}
"""Commands of the project, and the modules that they are."""
_PYTHON: Final = ("python3", "-m")
_FORK: Final = multiprocessing.get_context("fork")


@attrs.frozen
class Started:
    """A process that was started.

    Attributes:
        pid: Its number.
        wait: Waits for its end; returns its exit status, or minus the signal that ended it.
    """

    pid: int
    wait: Callable[[], int]


def module_of(command: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """The module that a command runs, and its arguments; None if it is another kind of command."""
    program, *arguments = command
    if program in TOOLS:
        return TOOLS[program], arguments
    if tuple(command[:2]) == _PYTHON and len(command) > len(_PYTHON):
        return command[2], command[3:]
    return None


def start(module: str, arguments: Sequence[str], reads: int, writes: int) -> Started:
    """Start a module as a program.

    Args:
        module: A module, or a package with a `__main__`.
        arguments: What follows the module on the command line.
        reads: Its standard input.
        writes: Its standard output and error output.

    Raises:
        Exception: Whatever keeps the module from being loaded.
    """
    program = _program(module)
    importlib.import_module(program)
    process = _FORK.Process(target=_run, args=(module, program, arguments, reads, writes))
    process.start()

    def wait() -> int:
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    assert process.pid is not None
    return Started(process.pid, wait)


def _program(module: str) -> str:
    """The module whose code runs. Raises `ImportError` if there is none."""
    found = importlib.util.find_spec(module)
    if found is None:
        raise ImportError(f"no module named {module}")
    return module if found.submodule_search_locations is None else f"{module}.__main__"


def _run(module: str, program: str, arguments: Sequence[str], reads: int, writes: int) -> None:
    for given, stream in ((reads, 0), (writes, 1), (writes, 2)):
        os.dup2(given, stream)
    os.close(reads)
    os.close(writes)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv[1:] = arguments
    # It is to run once more, as `__main__`.
    del sys.modules[program]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
