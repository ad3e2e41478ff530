"""Trying mutants: in a copy of the project, with the tests that run the line.

Which tests run which statement is recorded once (`properties/statements.py`), each test in a
process of its own, so that nothing which an earlier one has made is found there. A mutant inside of
a function is then tried where all is imported already: the function is replaced. For one of what
runs when its file is imported, such as a constant, all that may import it is imported anew, and all
tests that concern the file are run.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

from properties import statements
from properties.fork_server import BROKEN, Run, replaced
from properties.mutants import Mutant

__all__ = ["BaselineError", "Lines", "MutantResult", "Workbench"]

HANGING: Final = 20
"""Seconds after which a test hangs of which nobody knows how long it takes."""
PATIENCE: Final = 6
"""Seconds that a test may take beyond five times what it takes without any change."""
PARTS: Final = ("impl", "emulator", "monitor")


class BaselineError(Exception):
    """The project fails without any change, or the list of survivors cannot be read."""


@attrs.frozen
class MutantResult:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        killer: Who noticed: "tests", or "time" if they took too long; empty if nobody did.
        detail: What was noticed, in a few words.
    """

    mutant: Mutant
    killer: str
    detail: str = ""

    @property
    def killed(self) -> bool:
        """Whether anybody noticed."""
        return bool(self.killer)


@attrs.frozen
class Lines:
    """What tests run, without any change.

    Attributes:
        seconds: How long each test takes.
        runs: The statements that each runs: a number with a bit for each.
        imported: Those that run when the tests are imported.
    """

    seconds: dict[str, float]
    runs: dict[str, int]
    imported: int


class LinesKept(Protocol):
    """Where it is kept what the tests of a file run."""

    def lines(self, test: str) -> Lines | None:
        """What is known."""
        ...

    def keep_lines(self, test: str, lines: Lines) -> None:
        """Note it."""
        ...

    def measuring(self, test: str) -> contextlib.AbstractContextManager[object]:
        """Whoever finds it out has this, so that nobody else does at the same time."""
        ...


class _Server:
    """A fork server (`properties/fork_server.py`) in the copy."""

    def __init__(self, root: Path, mode: str, files: Sequence[str]) -> None:
        self._output = root.parent / f"output-{mode}"
        with (root.parent / f"log-{mode}").open("w+", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "properties.fork_server", mode, str(self._output), *files],
                cwd=root,
                env=dict(os.environ, HYPOTHESIS_PROFILE="first", DUCT_PROFILE="dev", PYTHONPATH=""),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            answer = self._answer()
            if answer is None:
                self.close()
                log.seek(0)
                raise BaselineError(f"the tests cannot be collected:\n{log.read()}")
        self.tests: list[str] = json.loads(answer)

    def _answer(self) -> str | None:
        assert self._process.stdout is not None
        return self._process.stdout.readline() or None

    def run(self, run: Run) -> tuple[int | None, str]:
        """Exit status, or None if it took too long, and what was said."""
        server = self._process
        assert server.stdin is not None
        server.stdin.write(json.dumps(attrs.asdict(run)) + "\n")
        server.stdin.flush()
        status = json.loads(self._answer() or "null")
        return status, self._output.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Workbench:
    """A copy of the project in which mutants are tried.

    Args:
        root: Where the copy is.
        tests: The test files of each file, the quickest first.
        known: Where it is kept what each test runs, and how long it takes. None: that is not found
            out; all tests that concern a file are run, and had better be known to pass.
        longest: Seconds that the tests which a mutant is tried on take at the most, without it.
    """

    def __init__(
        self,
        root: Path,
        tests: Mapping[str, Sequence[str]],
        known: LinesKept | None,
        longest: float = math.inf,
    ) -> None:
        self.root = root
        self._longest = longest
        self._known = known
        self._tests = tests
        self._servers: dict[tuple[str, tuple[str, ...]], _Server] = {}
        self._lines: dict[str, Lines] = {}
        self._kills: Counter[tuple[str, str, str]] = Counter()

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        project: Path,
        tests: Mapping[str, Sequence[str]],
        known: LinesKept | None,
        longest: float = math.inf,
    ) -> Iterator[Workbench]:
        """A copy of a project, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
            root = Path(directory) / "project"
            ignored = shutil.ignore_patterns(
                *(".git", ".venv", ".lab", "build", "dist", "__pycache__", ".hypothesis"),
                *(".*_cache", ".*-answers"),
            )
            shutil.copytree(project, root, ignore=ignored)
            bench = cls(root, tests, known, longest)
            try:
                yield bench
            finally:
                bench.close()

    def close(self) -> None:
        """End what runs here."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    # What tests run

    @functools.cached_property
    def _sources(self) -> dict[str, str]:
        found = [path for part in PARTS for path in sorted((self.root / part).glob("**/*.py"))]
        texts = {
            str(path.relative_to(self.root)): path.read_text(encoding="utf-8") for path in found
        }
        return {file: text for file, text in texts.items() if statements.statements(text)}

    @functools.cached_property
    def laid_out(self) -> statements.Statements:
        """The statements of all that runs."""
        return statements.lay_out(self._sources)

    def measured(self, file: str) -> Lines:
        """What the tests of a test file run as it is; they must pass."""
        if file not in self._lines:
            assert self._known is not None
            with self._known.measuring(file):
                lines = self._known.lines(file)
                if lines is None:
                    lines = self._recorded(file)
                    self._known.keep_lines(file, lines)
            self._lines[file] = lines
        return self._lines[file]

    def _recorded(self, file: str) -> Lines:
        hits = self.root.parent / "hits"
        statements.let_talk(self.root, self.laid_out, self._sources, hits)
        try:
            with hits.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
                server = _Server(self.root, "collected", [file])
                try:
                    imported = statements.as_number(mapped[:])
                    lines = Lines({}, {}, imported)
                    for test in server.tests:
                        mapped[:] = bytes(len(mapped))
                        began = time.perf_counter()
                        status, output = server.run(Run([test], [600], 600))
                        if status:
                            # Held up by a busy machine, perhaps; what it runs is asked here.
                            status, output = server.run(Run([test], [600], 600))
                        if status:
                            raise BaselineError(f"{test} fails without any change:\n{output}")
                        lines.seconds[test] = time.perf_counter() - began
                        lines.runs[test] = statements.as_number(mapped[:]) | self._compiled(output)
                    return lines
                finally:
                    server.close()
        finally:
            statements.silence(self.root, self._sources)

    def _compiled(self, output: str) -> int:
        """All statements of the files that a test compiled itself, and so may have run."""
        bits = 0
        for path in re.findall(
            rf"^compiles {re.escape(str(self.root))}/(.*)$", output, re.MULTILINE
        ):
            count = len(self.laid_out.of.get(path, []))
            bits |= ((1 << count) - 1) << self.laid_out.first.get(path, 0)
        return bits

    # Mutants

    def judge(self, mutant: Mutant, suspect: str = "") -> MutantResult:
        """Try a mutant; `suspect` is the test that it was killed by before, perhaps."""
        path = self.root / mutant.file
        original = path.read_text(encoding="utf-8")
        files = self._tests[mutant.file]
        lines = [self.measured(file) for file in files] if self._known else []
        number, statement = self.laid_out.at(mutant.file, mutant.line)
        imported = any(each.imported >> number & 1 for each in lines)
        # What is imported once is so before the file is changed.
        if not statement.later or imported or replaced(original, mutant.source) is None:
            server = self._server("anew", ())
            run = self._run_anew(files, lines)
        else:
            server = self._server("collected", tuple(self._tests_of_all()))
            tests = self._chosen(mutant, files, server.tests, number, suspect)
            if not tests:
                return MutantResult(mutant, "", "no test runs this line")
            limits = [self._limit(test) for test in tests]
            run = Run(tests, limits, sum(limits), (mutant.file, original, mutant.source))
        times = path.stat()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            result = self._result(mutant, *server.run(run))
            if self._known is None and not result.killed and run.tests == [suspect]:
                # It may be one of what runs when its file is imported, which is not known here.
                alone = Run([suspect.partition("::")[0]], [HANGING], 30 * HANGING)
                result = self._result(mutant, *self._server("anew", ()).run(alone))
        finally:
            path.write_text(original, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        self._kills[mutant.file, mutant.within, result.detail] += result.killed
        return result

    def _run_anew(self, files: Sequence[str], lines: Sequence[Lines]) -> Run:
        limits = [self._limit(test) for each in lines for test in each.seconds] or [HANGING]
        seconds = sum(sum(each.seconds.values()) for each in lines) or 30 * HANGING
        return Run(files, [max(HANGING, *limits)], HANGING + 5 * seconds)

    def _chosen(
        self,
        mutant: Mutant,
        files: Sequence[str],
        all_tests: Sequence[str],
        number: int,
        suspect: str,
    ) -> list[str]:
        """The tests that a mutant is tried on, the most telling and then the quickest first."""
        if self._known is None:
            places = {file: place for place, file in enumerate(files)}
            tests = [test for test in all_tests if test.partition("::")[0] in places]
            if suspect in tests:
                return [suspect]
            return sorted(tests, key=lambda test: places[test.partition("::")[0]])
        runs = {test: bits for file in files for test, bits in self.measured(file).runs.items()}
        kills = self._kills

        def order(test: str) -> tuple[bool, int, float]:
            return (
                test != suspect,
                -kills[mutant.file, mutant.within, test],
                self._seconds(test) or 0.0,
            )

        found = sorted((test for test, bits in runs.items() if bits >> number & 1), key=order)
        ends = itertools.accumulate(self._seconds(test) or 0.0 for test in found)
        return found[: max(1, sum(end <= self._longest for end in ends))]

    def _seconds(self, test: str) -> float | None:
        """How long a test takes; None if it was not measured."""
        known = self._lines.get(test.partition("::")[0])
        return None if known is None else known.seconds[test]

    def _limit(self, test: str) -> float:
        """Seconds after which a test hangs."""
        seconds = self._seconds(test)
        return HANGING if seconds is None else PATIENCE + 5 * seconds

    def _tests_of_all(self) -> list[str]:
        return list(dict.fromkeys(test for tests in self._tests.values() for test in tests))

    def _server(self, mode: str, files: tuple[str, ...]) -> _Server:
        if (mode, files) not in self._servers:
            self._servers[mode, files] = _Server(self.root, mode, files)
        return self._servers[mode, files]

    def _result(self, mutant: Mutant, status: int | None, output: str) -> MutantResult:
        if status == 0:
            return MutantResult(mutant, "")
        if status == BROKEN:
            raise BaselineError(f"{mutant} cannot be tried:\n{output}")
        told = re.findall(r"^(?:runs|FAILED) (.*)$", output, re.MULTILINE)
        named = told[-1] if told else _last(output)
        if status is None or "Timeout (0:" in output:
            return MutantResult(mutant, "time", named)
        return MutantResult(mutant, "tests", named)


def _last(output: str) -> str:
    """The last line that says anything."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return (lines or ["nothing was said"])[-1][:120]
