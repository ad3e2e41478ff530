"""Whether the proofs notice when a rule is changed: `python -m proofs.mutation [--rules GLOB]`.

Each mutant (`engine.mutants`) is killed if some obligation about it is not proved any more, or if
the rule no longer says what it does. A survivor shows a property that is missing, or a change that
means nothing; `proofs/mutation_survivors.toml` says of each which.

All mutants take hours. What was found is kept in a file, so that a run that was broken off goes on
where it was; the file begins anew when the specification or the proofs have changed.

Exit status: 0 every survivor is listed; 1 one is not, or one that is listed is killed; 2 a mistake
in the options or in the list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import queue
import random
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from engine.hints import Hint, read_hints
from engine.mutants import SAME, Mutant, killer, mutants
from engine.samples import Samples
from proofs.theory import THEORY

__all__ = ["Findings", "main", "read_survivors", "selected"]

ROOT: Final = Path(__file__).resolve().parent.parent
SURVIVORS: Final = ROOT / "proofs" / "mutation_survivors.toml"
FINDINGS: Final = ROOT / ".mutation-model.jsonl"
READ: Final = ("engine", "model", "proofs")
"""The folders that an answer depends on."""


def selected(rules: str, sample: int | None, seed: int) -> list[Mutant]:
    """The mutants of the rules that match, or so many of them, drawn at random."""
    steps = (step for step in THEORY.specification().transitions)
    found = [item for step in steps if fnmatchcase(step.rule.name, rules) for item in mutants(step)]
    if sample is None or sample >= len(found):
        return found
    return random.Random(seed).sample(found, sample)


def read_survivors(path: Path = SURVIVORS) -> dict[str, str]:
    """Patterns of the names of mutants that may survive, with the reason of each.

    Raises:
        ValueError: an entry has no name or no reason, or a name comes twice.
    """
    listed: dict[str, str] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        name, reason = entry.get("name", ""), entry.get("reason", "")
        if not name or not reason or name in listed:
            raise ValueError(f"{path.name}: every survivor has one name and a reason, not {entry}")
        listed[name] = reason
    return listed


class Findings:
    """What notices each mutant, kept in a file while it is found out."""

    def __init__(self, path: Path, state: str) -> None:
        """`state` says what the answers depend on; those of another one are dropped."""
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not lines or lines[0] != json.dumps({"state": state}):
            lines = [json.dumps({"state": state})]
            path.write_text(lines[0] + "\n", encoding="utf-8")
        self.by_name: dict[str, str] = {}
        for line in lines[1:]:
            if line.endswith("}"):  # a run that was ended may have left half a line
                data = json.loads(line)
                self.by_name[data["mutant"]] = data["killer"]

    def add(self, mutant: Mutant, found: str) -> None:
        """Note what notices a mutant; "" for nothing."""
        self.by_name[mutant.name] = found
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"mutant": mutant.name, "killer": found}) + "\n")


def digest(folders: Iterable[str] = READ) -> str:
    """A text that changes if a file does that answers depend on."""
    sums = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            sums.update(path.read_bytes())
    return sums.hexdigest()


class _Work:
    """Mutants to be tried, by number; each process gathers states of its own."""

    def __init__(
        self, chosen: Sequence[Mutant], runs: bool, exact: bool, hints: Mapping[str, Hint]
    ) -> None:
        self.chosen = chosen
        self._runs, self._exact, self._hints = runs, exact, hints
        self._samples = Samples(THEORY.specification(), THEORY.settings)

    def __call__(self, number: int) -> tuple[int, str]:
        """The number, and what notices that mutant."""
        mutant = self.chosen[number]
        found = killer(
            THEORY, mutant, self._samples, runs=self._runs, exact=self._exact, hints=self._hints
        )
        return number, found

    def results(self, numbers: Sequence[int], jobs: int) -> Iterator[tuple[int, str]]:
        """What notices each of some mutants, as it is found out.

        Raises:
            RuntimeError: A process ended in the middle of its work.
        """
        if jobs == 1:
            yield from map(self, numbers)
            return
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        workers = [
            context.Process(target=self._serve, args=(numbers[at::jobs], found), daemon=True)
            for at in range(min(jobs, len(numbers)))
        ]
        for worker in workers:
            worker.start()
        for _ in numbers:
            yield self._next(found, workers)

    def _serve(self, numbers: Sequence[int], found: Any) -> None:
        for number in numbers:
            found.put(self(number))

    @staticmethod
    def _next(found: Any, workers: Iterable[Any]) -> tuple[int, str]:
        while True:
            try:
                result: tuple[int, str] = found.get(timeout=1)
            except queue.Empty:
                if any(worker.exitcode for worker in workers):
                    raise RuntimeError("a process ended before its mutants were tried") from None
            else:
                return result


def _judge(found: Mapping[str, str], listed: Mapping[str, str]) -> int:
    """Say what came of it; returns the exit status."""
    same = sum(by == SAME for by in found.values())
    found = {name: by for name, by in found.items() if by != SAME}
    survivors = [name for name, by in found.items() if not by]
    unlisted = [name for name in survivors if not any(fnmatchcase(name, glob) for glob in listed)]
    wrong = [name for name, by in found.items() if by and name in listed]
    killed = len(found) - len(survivors)
    share = 100 * killed / max(1, len(found))
    print(
        f"{killed:,} of {len(found):,} mutants are killed ({share:.1f} %), "
        f"{len(survivors):,} survive, {len(unlisted):,} of these without a reason. "
        f"{same:,} more are proved to do the same as the rule that they change."
    )
    for name in unlisted:
        print(f"survives: {name}")
    for name in wrong:
        print(f"listed, and killed by {found[name]}: {name}")
    return 1 if unlisted or wrong else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the options say; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proofs.mutation", allow_abbrev=False)
    parser.add_argument("what", nargs="?", choices=["model"], help="what is changed: model")
    parser.add_argument("--rules", default="*", metavar="GLOB", help="only rules that match")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--no-runs", action="store_true", help="leave the search for runs out")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="call a mutant killed only after the last try of a proof; slow",
    )
    parser.add_argument("--findings", type=Path, default=FINDINGS, metavar="FILE",
                        help="what was found so far (default: %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="how many processes to use (default: one a core)")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: at least 1")
    chosen = selected(options.rules, options.sample, options.seed)
    if not chosen:
        parser.error(f"--rules {options.rules!r} matches no rule")
    try:
        listed = read_survivors()
    except ValueError as error:
        parser.error(str(error))
    findings = Findings(
        options.findings, f"{digest()} runs={not options.no_runs} exact={options.exact}"
    )
    left = [at for at, item in enumerate(chosen) if item.name not in findings.by_name]
    began, known = time.monotonic(), len(chosen) - len(left)
    work = _Work(chosen, not options.no_runs, options.exact, read_hints(THEORY.hints))
    for done, (number, found) in enumerate(work.results(left, options.jobs), 1):
        findings.add(chosen[number], found)
        each = (time.monotonic() - began) / done
        print(
            f"{known + done:,} of {len(chosen):,}, {each:.1f} s each: {chosen[number].name}: "
            f"{found or 'SURVIVES'}",
            flush=True,
        )
    return _judge({item.name: findings.by_name[item.name] for item in chosen}, listed)


if __name__ == "__main__":
    sys.exit(main())
