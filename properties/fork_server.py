"""Runs tests in processes that need not be started: what does not change is imported once.

    python -m properties.fork_server anew|collected OUTPUT FILE ...

*anew*: what may change, and all that may import it, is imported by each run. *collected*: the test
FILEs are imported and their tests collected once; a run replaces functions of what was imported.

Each line that is read is a run, as JSON: the fields of `Run`. Each line that is written is its exit
status, or null if it was stopped after so many seconds. In OUTPUT it says which test it runs, why
it stopped, and, if nothing is replaced, which files it compiles itself. At first it writes which
tests were collected.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import attrs
import pytest

__all__ = ["BROKEN", "FAILED", "Run", "main", "replaced"]

KEPT: Final = ("engine", "model")
"""Parts of the project that import nothing of what changes."""
USED: Final = (
    *("hypothesis.stateful", "greenlet", "asyncio", "unittest.mock", "cosmic_ray"),
    *("properties.stateful", "monitor.watch", "emulator.backend", "impl.driver", "tests.own_card"),
)
"""What most tests import."""
OPTIONS: Final = (
    *("-q", "-s", "--tb=line", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
    # Of a plugin of pytest's that is imported already.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
LEFT_OUT: Final = "not TestQueue and not moody"
"""What the tests have besides and mutants are not tried on: a search that does not make the same
runs each time, and the conformance suite's second time round."""
FAILED: Final = 1
"""Exit status of a run of which a test failed."""
BROKEN: Final = 70
"""Exit status of a run that is wrong itself."""


@attrs.frozen
class Run:
    """What is run.

    Attributes:
        tests: The tests, in this order; where nothing is collected, the files that they are in.
        limits: Seconds after which each of them hangs, or one number for all.
        seconds: After so many the run is stopped.
        change: A file below the project, its source, and the one that stands there now; its
            functions are replaced. None: nothing is.
    """

    tests: Sequence[str]
    limits: Sequence[float]
    seconds: float
    change: tuple[str, str, str] | None = None


class Verdict:
    """A plugin of pytest's: the first failure ends the run, and a test that hangs does."""

    def __init__(self, tell: Callable[[str], object], limits: Mapping[str, float], most: float):
        self._tell = tell
        self._limits = limits
        self._most = most

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A test begins and ends."""
        self._tell(f"runs {item.nodeid}")
        limit = self._limits.get(item.nodeid, self._most)
        faulthandler.dump_traceback_later(limit, exit=True, file=2)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Part of a test has ended."""
        self._judge(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was imported."""
        self._judge(report)

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self._tell(f"{report.longreprtext}\nFAILED {report.nodeid}")
            os._exit(FAILED)


class Collected:
    """A plugin of pytest's: instead of the tests that were collected, it runs what is asked for."""

    def __init__(self, serve: Callable[[Callable[[Run], None]], None], say: Callable[[Any], None]):
        self._serve = serve
        self._say = say

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """All are collected."""
        if session.testsfailed:
            return None  # pytest knows what to say
        items = {item.nodeid: item for item in session.items}
        self._say([*items])
        objects = gc.get_objects()
        functions = [item for item in objects if isinstance(item, FunctionType)]
        holders = [
            item for item in objects if type(item) is set and any(map(_is_code, [*item][:1]))
        ]
        gc.collect()
        gc.freeze()

        def play(run: Run) -> None:
            if run.change is None:
                sys.addaudithook(_tell_of_compiling)
            else:
                file, old, new = run.change
                replace(str(Path(file).resolve()), old, new, functions, holders)
            limits = dict(zip(run.tests, run.limits, strict=True))
            session.config.pluginmanager.register(Verdict(_tell, limits, max(run.limits)))
            chosen = [items[name] for name in run.tests]
            session.items[:] = chosen
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            os._exit(0)

        self._serve(play)
        os._exit(0)


# Functions that are replaced


def _is_code(item: object) -> bool:
    return isinstance(item, CodeType)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _codes(item)


def _meaning(code: CodeType) -> tuple[Any, ...]:
    """What a code does, wherever it stands in its file."""
    consts = [
        _meaning(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_name
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return code.co_code, code.co_exceptiontable, names, counts, consts


def _alone(code: CodeType) -> tuple[Any, ...]:
    """The same without what the functions inside of it do."""
    empty = [None if isinstance(item, CodeType) else item for item in code.co_consts]
    return _meaning(code.replace(co_consts=tuple(empty)))


def replaced(old: str, new: str) -> dict[CodeType, CodeType] | None:
    """Which codes of a source become which of another; None if not only functions differ."""
    before, after = [[*_codes(compile(text, "", "exec", dont_inherit=True))] for text in (old, new)]
    if len(before) != len(after) or len({*before}) != len(before):
        return None
    found = {}
    for one, other in zip(before, after, strict=True):
        in_function = bool(one.co_flags & 1)
        if not in_function and _alone(one) != _alone(other):
            return None
        if in_function and _meaning(one) != _meaning(other):
            if (one.co_qualname, one.co_freevars) != (other.co_qualname, other.co_freevars):
                return None
            found[one] = other
    return found


def replace(
    path: str,
    old: str,
    new: str,
    functions: Sequence[FunctionType],
    holders: Sequence[set[Any]],
) -> None:
    """Let the functions of a file do what another source of it says."""
    changes = replaced(old, new)
    assert changes is not None
    there = [
        function
        for function in functions
        if function.__code__.co_filename == path and function.__code__ in changes
    ]
    assert there or not changes, f"{path}: no function is the one that is changed"
    for function in there:
        function.__code__ = changes[function.__code__].replace(co_filename=path)
    for holder in holders:
        for code in holder & changes.keys():
            holder.add(changes[code].replace(co_filename=path))


# The server


def _tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def _tell_of_compiling(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "compile" and isinstance(arguments[1], str):
        _tell(f"compiles {arguments[1]}")


def main(arguments: Sequence[str]) -> None:
    """The command."""
    mode, output, *files = arguments
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(something: Any) -> None:
        replies.write(json.dumps(something) + "\n")
        replies.flush()

    def serve(play: Callable[[Run], None]) -> None:
        for line in sys.stdin:
            say(_forked(Run(**json.loads(line)), output, play))

    if mode == "collected":
        options = [*OPTIONS, "-k", LEFT_OUT, *files]
        sys.exit(pytest.main(options, plugins=[Collected(serve, say)]))
    for name in USED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    anew = {entry.name for entry in Path().iterdir() if entry.is_dir()} - {*KEPT}
    for name in list(sys.modules):
        if name.partition(".")[0] in anew and name != __name__:
            del sys.modules[name]

    def play(run: Run) -> None:
        verdict = Verdict(_tell, {}, max(run.limits))
        os._exit(pytest.main([*OPTIONS, "-k", LEFT_OUT, *run.tests], plugins=[verdict]))

    say([])
    serve(play)


def _forked(run: Run, output: str, play: Callable[[Run], None]) -> int | None:
    child = os.fork()
    if child == 0:
        # A file that changes twice in a second is not compiled anew if the first is kept.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        _be_the_run(run, output, play)
    end = time.monotonic() + run.seconds
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


def _be_the_run(run: Run, output: str, play: Callable[[Run], None]) -> None:
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        play(run)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(BROKEN)


if __name__ == "__main__":
    main(sys.argv[1:])
