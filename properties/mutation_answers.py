"""What is known of mutants from runs before, so that a run which was interrupted goes on.

An answer holds for the content of the file that was changed. That a test killed it holds as long as
the test's own file is the same; that nobody did, as long as all tests that concern the file are.
Where they have changed since, the test that killed a mutant is still the first to ask; so it is
where nothing is kept, by the hints of `properties/mutation_hints.txt`. A hint needs no trust, since
all it does is to name that test.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from properties.mutants import Mutant
from properties.workbench import PARTS, Lines, MutantResult

__all__ = ["FOLDER", "HINTS", "Answers", "read_hints", "write_hints"]

FOLDER: Final = ".mutation-answers"
"""Where they are kept, below the project; git ignores it."""
HINTS: Final = "properties/mutation_hints.txt"
"""Which test has killed which mutant: a line for each test."""


class Answers:
    """What is known.

    Args:
        root: The project.
        tests: The test files of each file.
    """

    def __init__(self, root: Path, tests: Mapping[str, Sequence[str]]) -> None:
        self._root = root
        self._folder = root / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._tests = tests
        self._path = self._folder / "mutants.jsonl"
        self._measuring: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._known: dict[str, tuple[str, str, str]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                mutant, *answer = json.loads(line)
                self._known[mutant] = tuple(answer)

    def known(self, mutant: Mutant) -> MutantResult | None:
        """What became of a mutant, if that is known."""
        tests, killer, detail = self._known.get(_digest(mutant.file, mutant.source), ("", "", ""))
        result = MutantResult(mutant, killer, detail)
        return result if tests == self._asked(result) else None

    def suspect(self, mutant: Mutant) -> str:
        """The test that killed it when its tests were others; empty if none did."""
        kept = self._known.get(_digest(mutant.file, mutant.source), ("", "", ""))[2]
        return kept or self._hints.get(_key(mutant), "")

    @functools.cached_property
    def _hints(self) -> dict[str, str]:
        path = self._root / HINTS
        return read_hints(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep(self, result: MutantResult) -> None:
        """Note what became of a mutant."""
        mutant = result.mutant
        answer = self._asked(result), result.killer, result.detail
        key = _digest(mutant.file, mutant.source)
        self._known[key] = answer
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, *answer]) + "\n")

    def lines(self, test: str) -> Lines | None:
        """What the tests of a file run, if that is known."""
        path = self._lines_at(test)
        if not path.exists():
            return None
        seconds, runs, imported = json.loads(path.read_text(encoding="utf-8"))
        return Lines(seconds, {name: int(bits, 16) for name, bits in runs.items()}, imported)

    def keep_lines(self, test: str, lines: Lines) -> None:
        """Note what the tests of a file run."""
        runs = {name: f"{bits:x}" for name, bits in lines.runs.items()}
        told = json.dumps([lines.seconds, runs, lines.imported])
        self._lines_at(test).write_text(told, encoding="utf-8")

    def measuring(self, test: str) -> threading.Lock:
        """Whoever finds out what the tests of a file run has this meanwhile."""
        return self._measuring[test]

    def _lines_at(self, test: str) -> Path:
        digest = _digest(self._product, self._helpers, self._content(test))
        return self._folder / f"{Path(test).stem}-{digest}.json"

    @functools.cached_property
    def _product(self) -> str:
        """All that runs."""
        paths = (path for part in PARTS for path in sorted((self._root / part).rglob("*.py")))
        return _digest(*(path.read_text(encoding="utf-8") for path in paths))

    @functools.cached_property
    def _helpers(self) -> str:
        """What tests share."""
        paths = sorted((self._root / "tests").glob("*.py"))
        shared = (path for path in paths if not path.name.startswith("test_"))
        return _digest(*(path.read_text(encoding="utf-8") for path in shared))

    @functools.cache  # noqa: B019 - one object a run
    def _content(self, test: str) -> str:
        return _digest((self._root / test).read_text(encoding="utf-8"))

    def _asked(self, result: MutantResult) -> str:
        """The tests whose content an answer rests on."""
        asked = self._tests[result.mutant.file]
        killer = result.detail.partition("::")[0]
        return self._all((killer,) if killer in asked else asked)

    @functools.cache  # noqa: B019
    def _all(self, tests: tuple[str, ...]) -> str:
        return _digest(self._helpers, *map(self._content, tests))


def read_hints(text: str) -> dict[str, str]:
    """Of each mutant, by a digest of what it changes, the test that has killed it."""
    lines = (line.split(" ") for line in text.splitlines())
    return {key: test for test, *keys in lines for key in keys}


def write_hints(path: Path, results: Iterable[MutantResult]) -> None:
    """Note which test has killed which mutant of a run; what is known of others stays."""
    hints = read_hints(path.read_text(encoding="utf-8")) if path.exists() else {}
    for result in results:
        key = _key(result.mutant)
        hints.pop(key, None)
        # Who is late on a busy machine may have noticed nothing.
        if result.killer == "tests" and "::" in result.detail and " " not in result.detail:
            hints[key] = result.detail
    killed: defaultdict[str, list[str]] = defaultdict(list)
    for key, test in sorted(hints.items()):
        killed[test].append(key)
    lines = [f"{test} {' '.join(keys)}\n" for test, keys in sorted(killed.items())]
    path.write_text("".join(lines), encoding="utf-8")


def _key(mutant: Mutant) -> str:
    return _digest(*mutant.key)[:10]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
