"""Trying mutants: in a copy of the project, with the tests that concern the file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from properties.mutants import Mutant

__all__ = ["BaselineError", "MutantResult", "Workbench"]

HANGING: Final = 20
"""Seconds after which a single test hangs; the longest takes a quarter of it."""
PATIENCE: Final = 30
"""Seconds that the tests may take beyond five times what they take without any change."""
PARTS: Final = ("impl", "emulator", "monitor")
_PYTEST: Final = (
    *("-q", "-x", "--tb=line", "-p", "no:cacheprovider"),
    # Of a plugin of pytest's that is imported already.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-o", f"faulthandler_timeout={HANGING}", "-o", "faulthandler_exit_on_timeout=true"),
)
LEFT_OUT: Final = "not TestQueue and not moody"
"""What the tests have besides and mutants are not tried on: a search that does not make the same
runs each time, and the conformance suite's second time round."""


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


class Workbench:
    """A copy of the project in which mutants are tried.

    Args:
        root: Where the copy is.
        tests: The tests of a file, the quickest first.
        measures: Try them without any change first. They had better be known to pass otherwise.

    Attributes:
        seconds: What the tests of a file took without any change, by what they are.
    """

    def __init__(self, root: Path, tests: dict[str, tuple[str, ...]], *, measures: bool) -> None:
        self.root = root
        self._measures = measures
        self.seconds: dict[str, float] = {}
        self._tests = tests
        self._output = root.parent / "output"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "properties.fork_server", *PARTS],
            cwd=root,
            env=dict(os.environ, HYPOTHESIS_PROFILE="ci", DUCT_PROFILE="dev", PYTHONPATH=""),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @classmethod
    @contextlib.contextmanager
    def of(
        cls, project: Path, tests: dict[str, tuple[str, ...]], *, measures: bool = True
    ) -> Iterator[Workbench]:
        """A copy of a project, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
            root = Path(directory) / "project"
            ignored = shutil.ignore_patterns(
                ".git", ".venv", ".lab", "build", "dist", "__pycache__", ".hypothesis", ".*_cache"
            )
            shutil.copytree(project, root, ignore=ignored)
            bench = cls(root, tests, measures=measures)
            try:
                yield bench
            finally:
                bench.close()

    def close(self) -> None:
        """End what runs here."""
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        server.wait()
        server.stdout.close()

    def measure(self, file: str) -> float:
        """Try the tests of a file as it is, which must pass; seconds that they take."""
        for name in self._tests[file]:
            if name not in self.seconds:
                begin = time.perf_counter()
                status, output = self._run([name], 600, compiled=True)
                if status:
                    raise BaselineError(f"{name} fails without any change:\n{output}")
                self.seconds[name] = time.perf_counter() - begin
        return sum(self.seconds[name] for name in self._tests[file])

    def judge(self, mutant: Mutant) -> MutantResult:
        """Try a mutant."""
        limit = PATIENCE + 5 * (self.measure(mutant.file) if self._measures else 30)
        path = self.root / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            status, output = self._run(list(self._tests[mutant.file]), limit)
        finally:
            path.write_text(original, encoding="utf-8")
        if status is None:
            # How long the tests take on this machine as it is has to be known to blame the mutant.
            killer = "time" if self._measures else ""
            return MutantResult(mutant, killer, f"over {limit:.0f} s")
        if "Timeout (0:" in output:
            return MutantResult(mutant, "time", _what_hangs(output))
        return MutantResult(
            mutant, "tests" if status else "", _what_failed(output) if status else ""
        )

    def _run(
        self, tests: list[str], seconds: float, *, compiled: bool = False
    ) -> tuple[int | None, str]:
        """Exit status, or None if it took too long, and what was said."""
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        arguments = [*_PYTEST, "-k", LEFT_OUT, *tests]
        server.stdin.write(json.dumps([arguments, seconds, str(self._output), compiled]) + "\n")
        server.stdin.flush()
        status = json.loads(server.stdout.readline())
        return status, self._output.read_text(encoding="utf-8", errors="replace")


def _what_failed(output: str) -> str:
    """The name of the test that failed, or else the last line that says anything."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1].partition(" - ")[0]
    told = [line for line in lines if not line.startswith(("You can", "Explanation", "|", "+"))]
    errors = [line for line in told if "Error: " in line or "Deviation: " in line]
    return ([*told, *errors] or ["nothing was said"])[-1][:120]


def _what_hangs(output: str) -> str:
    """The test that hangs, from the stacks of all threads."""
    names = re.findall(r" in (test_\w+|\w+_test)$", output, re.MULTILINE)
    checks = re.findall(r'conformance/checks/\w+\.py", line \d+ in (\w+)$', output, re.MULTILINE)
    return f"{(names or checks or ['a test'])[-1]}: over {HANGING} s"
