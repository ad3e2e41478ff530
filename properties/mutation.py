"""Whether the tests notice when what runs is changed: `python -m properties.mutation [FILE ...]`.

What runs is the driver (impl/), the parts of emulator/ that play the card, and the monitor.
Mutants (`properties/mutants.py`) are tried in temporary copies of the project, by the tests that
run the line, among those that concern the file (`properties/mutation_tests.py`). A mutant is
*killed* if a test fails or hangs; otherwise it *survives*. A survivor either shows a test that is
missing, or changes nothing that anybody may rely on; `properties/mutation_survivors.toml` says of
each why it does not. These are not tried again, but for --again, and count as alive. What is known
is kept in .mutation-answers; an interrupted run goes on there. Which test has killed a mutant is
also in `properties/mutation_hints.txt`, so that a run in a fresh clone asks that test first.

--quick tries one of each file whose killer is known, in a minute: a sample that is always the same.

FILE is a path below the project such as impl/ring.py; impl/ring.py:88 means the mutants of one
line, impl/ring.py:88-120 those of several, and `all` those of all files.

Exit status: 0 all is well; 1 a survivor is not listed, or of all that were tried less than 95 % are
killed; 2 the tests fail without a change, or the command line or the list of survivors is wrong.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import itertools
import math
import queue
import re
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from impl.datapath.loader import chosen
from properties.mutants import Mutant, mutants
from properties.mutation_answers import HINTS, Answers, write_hints
from properties.mutation_tests import TESTS
from properties.workbench import BaselineError, MutantResult, Workbench

__all__ = ["Survivor", "main", "read_survivors"]

ROOT: Final = Path(__file__).resolve().parent.parent
SURVIVORS: Final = ROOT / "properties" / "mutation_survivors.toml"
LEAST: Final = 95.0
"""Per cent of the mutants that must be killed."""
MOST: Final = 6
"""Mutants of each file that are tried if no file is named."""
QUICK: Final = 1
"""Mutants of each file that are tried by --quick,"""
AMONG: Final = 16
"""and among how many they are."""
KERNEL_TESTS: Final = ("tests/test_turns.py", "tests/test_datapath.py")
"""Tests that are skipped where there is no kernel in C."""


# Survivors that are known


@attrs.frozen
class Survivor:
    """A mutant that survives, and why it may.

    Attributes:
        file, within, old, new: Which it is, as in `Mutant`; `new` is empty for a statement that is
            left out.
        reason: Why no test can, or need, notice it.
    """

    file: str
    within: str
    old: str
    new: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same as that of the mutant."""
        return self.file, self.within, self.old, self.new


def read_survivors(text: str) -> dict[tuple[str, str, str, str], Survivor]:
    """The survivors that a file lists. Raises `BaselineError` if it is not such a list."""
    names = [field.name for field in attrs.fields(Survivor)]
    try:
        listed = tomllib.loads(text).get("survivor", [])
    except tomllib.TOMLDecodeError as error:
        raise BaselineError(f"the list of survivors is not TOML: {error}") from None
    survivors: dict[tuple[str, str, str, str], Survivor] = {}
    for number, item in enumerate(listed, 1):
        if sorted(item) != sorted(names) or not all(isinstance(item[name], str) for name in names):
            raise BaselineError(f"survivor {number} does not have the texts {', '.join(names)}")
        survivor = Survivor(**item)
        if not survivor.reason.strip():
            raise BaselineError(f"survivor {number} has no reason")
        if survivor.key in survivors:
            raise BaselineError(f"survivor {number} is listed twice")
        survivors[survivor.key] = survivor
    return survivors


# The command


def report(
    results: Sequence[MutantResult], survivors: Iterable[Survivor], whole: Iterable[str]
) -> int:
    """Print the table and what became of survivors; returns the exit status.

    Args:
        results: Of every mutant that was tried.
        survivors: Those that are listed.
        whole: The files all of whose mutants were tried; only of them can be said how many are
            killed, and which survivors that are listed do not exist any more.
    """
    whole = set(whole)
    known = {survivor.key: survivor for survivor in survivors}
    wrong = False
    print(f"\n{'file':<32}{'mutants':>8}{'killed':>8}{'(tests':>8}{'time)':>7}{'survived':>10}")
    files = list(dict.fromkeys(result.mutant.file for result in results))
    for file in files:
        print(f"{file:<32}{_counted([item for item in results if item.mutant.file == file])}")
    if len(files) != 1:
        print(f"{'all':<32}{_counted(results)}")
    killed = sum(result.killed for result in results)
    if 100 * killed < LEAST * len(results):
        print(f"less than {LEAST:.0f} % are killed: {100 * killed / len(results):.1f} %")
        wrong = True
    for result in results:
        survivor = known.get(result.mutant.key)
        if not result.killed:
            print(f"\nsurvived: {result.mutant.file}:{result.mutant.line}", end="")
            print(f" in {result.mutant.within}" if result.mutant.within else "")
            print(f"    - {result.mutant.old}\n    + {result.mutant.new or 'pass'}")
            print(f"    {survivor.reason if survivor else 'NOT LISTED: test it, or say why not'}")
            wrong = wrong or survivor is None
    kills = {result.mutant.key: result for result in results if result.killed}
    alive = {result.mutant.key for result in results if not result.killed}
    for key, survivor in known.items():
        name = f"{survivor.file}, {survivor.within}: {survivor.old}"
        if key in kills and key not in alive:
            print(f"\nstale: {name}\n    is killed by {kills[key].killer} ({kills[key].detail})")
        elif survivor.file in whole and key not in alive:
            print(f"\nstale: {name}\n    there is no such mutant any more")
    return 1 if wrong else 0


def _counted(results: Sequence[MutantResult]) -> str:
    by = [sum(item.killer == name for item in results) for name in ("tests", "time")]
    numbers = f"{len(results):>8}{sum(by):>8}{by[0]:>8}{by[1]:>7}{len(results) - sum(by):>10}"
    return f"{numbers}{100 * sum(by) / len(results):>9.1f} %"


def _chosen(
    parser: argparse.ArgumentParser, names: Sequence[str], most: int | None
) -> tuple[list[Callable[[], list[Mutant]]], dict[str, None]]:
    """What makes the mutants that are asked for, and the files that are asked for as a whole."""
    parts: list[Callable[[], list[Mutant]]] = []
    whole: dict[str, None] = {}
    for name in itertools.chain.from_iterable(TESTS if name == "all" else [name] for name in names):
        file, colon, lines = name.partition(":")
        which = re.fullmatch(r"(\d+)(?:-(\d+))?", lines)
        if file not in TESTS or (colon and which is None):
            parser.error(
                f"{name} is none of {', '.join(TESTS)}, with or without :LINE or :LINE-LINE"
            )
        make = functools.partial(_made, file, most)
        if which is not None:
            first, last = int(which[1]), int(which[2] or which[1])
            found = [mutant for mutant in make() if first <= mutant.line <= last]
            if not found:
                parser.error(f"{name} has no mutants")
            make = functools.partial(list, found)
        elif most is None:
            whole[file] = None
        parts.append(make)
    return parts, whole


def _made(file: str, most: int | None) -> list[Mutant]:
    return mutants(file, (ROOT / file).read_text(encoding="utf-8"), most)


def _sample(file: str, answers: Answers) -> list[Mutant]:
    """Some of a file that are always the same, of which it is known who kills them."""
    skipped = KERNEL_TESTS if chosen().kernel is None else ()
    known = (
        mutant
        for mutant in _made(file, AMONG)
        if mutant.within and (killer := answers.suspect(mutant)) and not killer.startswith(skipped)
    )
    return list(itertools.islice(known, QUICK))


def _tried(
    parts: Iterable[Callable[[], list[Mutant]]],
    jobs: int,
    answers: Answers,
    *,
    measures: bool,
    longest: float = math.inf,
    listed: Container[tuple[str, str, str, str]] = (),
) -> Iterator[MutantResult]:
    """What becomes of each, in the order in which that is known; what is listed is alive."""
    todo = queue.SimpleQueue[Callable[[], list[Mutant]]]()
    for part in parts:
        todo.put(part)
    stop = threading.Event()

    def work(_: int) -> list[MutantResult]:
        results: list[MutantResult] = []
        with (
            contextlib.ExitStack() as failed,
            Workbench.of(ROOT, TESTS, answers if measures else None, longest) as bench,
        ):
            failed.callback(stop.set)  # the others need not go on, if this one cannot
            while True:
                try:
                    part = todo.get_nowait()
                except queue.Empty:
                    failed.pop_all()
                    return results
                for mutant in part():
                    if stop.is_set():
                        return results
                    result = answers.known(mutant) if measures else None
                    if result is None and mutant.key in listed:
                        result = MutantResult(mutant, "")
                    if result is None:
                        result = bench.judge(mutant, answers.suspect(mutant))
                        _tell(result)
                        # What was not tried on all tests is not known to be alive.
                        if measures and (result.killed or longest == math.inf):
                            answers.keep(result)
                    results.append(result)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for results in pool.map(work, range(jobs)):
                yield from results
        finally:
            stop.set()


def _tell(result: MutantResult) -> None:
    told = f"killed by {result.killer}" if result.killed else "SURVIVED"
    detail = f"  [{result.detail}]" if result.detail else ""
    print(f"{told}: {result.mutant}{detail}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m properties.mutation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="*", metavar="FILE", help="what to change; a sample of all")
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="try N at a time; %(default)s"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"of each file {QUICK}, by the test that is known to kill it; believe that it passes "
        "without a change",
    )
    parser.add_argument(
        "--most",
        type=int,
        metavar="N",
        help=f"of each file try N that are always the same; all of files that are named, or {MOST}",
    )
    parser.add_argument(
        "--longest",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="try each on tests that take so long at the most, and take what is left for alive",
    )
    parser.add_argument("--again", action="store_true", help="try survivors that are listed, too")
    parser.add_argument(
        "--write-hints", action="store_true", help=f"write what was killed by which test to {HINTS}"
    )
    options = parser.parse_args(arguments)
    most = options.most or (None if options.files else MOST)
    answers = Answers(ROOT, TESTS)
    try:
        parts, whole = _chosen(parser, options.files or list(TESTS), most)
        if options.quick:
            if options.most or any(":" in name for name in options.files):
                parser.error(f"--quick tries {QUICK} of each file, and is for whole files")
            names = options.files if options.files and "all" not in options.files else TESTS
            parts, whole = [functools.partial(_sample, name, answers) for name in names], {}
        if options.list:
            for mutant in itertools.chain.from_iterable(part() for part in parts):
                print(mutant)
            return 0
        begin = time.perf_counter()
        known = read_survivors(SURVIVORS.read_text(encoding="utf-8"))
        results = list(
            _tried(
                parts,
                options.jobs,
                answers,
                measures=not options.quick,
                longest=options.longest,
                listed=() if options.again else known,
            )
        )
    except ModuleNotFoundError as error:
        parser.error(f"{error}: Cosmic Ray is missing; make mutation installs it")
    except BaselineError as error:
        print(error, file=sys.stderr)
        return 2
    if not results:
        print(f"of no mutant is it known who kills it: {HINTS} names none", file=sys.stderr)
        return 2
    status = report(results, known.values(), whole)
    if options.write_hints:
        write_hints(ROOT / HINTS, results)
    print(f"\n{len(results)} mutants in {(time.perf_counter() - begin) / 60:.0f} minutes")
    return status


if __name__ == "__main__":
    # Whoever is asked to end takes the copy, and what runs in it, along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
