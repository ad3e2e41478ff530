"""The options of the command: what they mean and what is wrong with bad ones.

Every mistake is told in one line that says what was given and what is possible, before anything is
solved.
"""

from __future__ import annotations

import argparse
import difflib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

from engine.theory import Theory

__all__ = ["Options", "UsageError", "parse", "suggest"]

LARGEST_SEED: Final = (1 << 31) - 1
MOST_JOBS: Final = 1024
EXIT_STATUS: Final = """\
exit status: 0 all is as it must be; 1 a property is violated or a fault was missed; 2 something
stayed undecided; 3 a mistake in the options; 4 the solvers disagree or the tool failed; 5 what was
asked is proved, but --only left out what that stands on"""


class UsageError(ValueError):
    """A mistake in the options; the message is one line."""


@attrs.frozen
class Options:
    """What was asked for."""

    list: bool
    assumptions: bool
    only: tuple[str, ...]
    with_premises: bool
    fault: str | None
    ring_size: int | None
    arithmetics: tuple[str, ...]
    solvers: tuple[str, ...]
    jobs: int
    json: Path | None
    junit: Path | None
    smt2: Path | None
    itf: Path | None
    seed: int
    command: tuple[str, ...]
    fresh: bool = False
    answers: Path | None = None
    no_hints: bool = False
    write_hints: bool = False
    code: bool = True


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def suggest(given: str, known: Iterable[str], count: int = 3) -> str:
    """`"; did you mean a or b?"`, or "" if nothing known is close to what was given."""
    close = difflib.get_close_matches(given, list(known), n=count, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _ring_size(shifts: Sequence[int]) -> Callable[[str], int | None]:
    """A size that a ring may have, or `any`."""
    sizes = [1 << shift for shift in shifts]

    def ring_size(text: str) -> int | None:
        if text == "any":
            return None
        size = _number(text)
        if size is None or size not in sizes:
            known = f"a power of two from {min(sizes)} to {max(sizes)}" if sizes[1:] else sizes[0]
            raise argparse.ArgumentTypeError(f"must be any or {known}, not {text!r}")
        return size

    return ring_size


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _whole(first: int, last: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = _number(text)
        if value is None or not first <= value <= last:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {first} to {last}, not {text!r}"
            )
        return value

    return whole


def _one_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """One of two names, or `both`."""

    def choice(text: str) -> tuple[str, ...]:
        if text == "both":
            return names
        if text not in names:
            raise argparse.ArgumentTypeError(f"must be {', '.join(names)} or both, not {text!r}")
        return (text,)

    return choice


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _parser(theory: Theory) -> _Parser:
    machine = theory.protocol.machine
    parser = _Parser(
        prog=f"python -m {theory.program}",
        description=theory.description,
        epilog=EXIT_STATUS,
        allow_abbrev=False,
    )
    add: Callable[..., Any] = parser.add_argument
    add("--list", action="store_true", help="name every property, obligation and fault")
    add("--assumptions", action="store_true", help="name everything that is taken for granted")
    add(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="run only the obligations, properties or faults whose names match; repeatable",
    )
    add(
        "--code",
        action=argparse.BooleanOptionalAction,
        help="prove the lines of code, too (the default), or leave out what takes longest",
    )
    add(
        "--with-premises",
        action="store_true",
        help="with --only: prove what that stands on as well (the invariant, promises relied on)",
    )
    add(
        "--fault",
        metavar="ID",
        help="apply this fault: show the property that breaks and a run that breaks it; exit 1",
    )
    add(
        "--ring-size",
        type=_ring_size(machine.shifts),
        metavar="any|N",
        help="prove for every ring size (the default) or for N slots; with --fault, where to look",
    )
    add(
        "--arithmetic",
        type=_one_of("integer", "machine"),
        default=("integer", "machine"),
        metavar="integer|machine|both",
        help=f"in unbounded integers, in {machine.bits}-bit words, or in both (the default)",
    )
    add(
        "--solver",
        type=_one_of("z3", "cvc5"),
        default=("z3",),
        metavar="z3|cvc5|both",
        help="who decides: z3 (the default), cvc5, or both, whose answers are then compared",
    )
    add(
        "--jobs",
        type=_whole(1, MOST_JOBS),
        default=_cores(),
        metavar="N",
        help="how many processes to use (default: one a core)",
    )
    add("--json", metavar="FILE", help="write all results as JSON, whatever becomes of the run")
    add("--junit", metavar="FILE", help="write the results as JUnit XML")
    add("--smt2", metavar="DIR", help="write each obligation as a file that any SMT solver reads")
    add("--itf", metavar="DIR", help="write the run of each fault as ITF JSON, for viewers")
    add(
        "--seed",
        type=_whole(0, LARGEST_SEED),
        default=0,
        metavar="N",
        help="seed of solvers and searches (default: 0)",
    )
    add(
        "--fresh",
        action="store_true",
        help="ask everything anew: neither use nor write the file of kept answers",
    )
    where = "none are kept" if theory.answers is None else os.path.relpath(theory.answers)
    add(
        "--answers",
        metavar="FILE",
        help="where proved answers are kept, by the SHA-256 of the question's text, solver, "
        "version, limits and seed, and the runs on which faults show, which are replayed "
        f"(default: {where})",
    )
    add(
        "--no-hints",
        action="store_true",
        help="ask each question as a whole at once, not first with what an earlier proof needed",
    )
    add(
        "--write-hints",
        action="store_true",
        help="find out what each proof needs of the invariant, and write it down; nothing else",
    )
    return parser


def parse(theory: Theory, arguments: Sequence[str]) -> Options:
    """Read the options.

    Raises:
        UsageError: there is a mistake in them; nothing was done or written yet.
    """
    parser = _parser(theory)
    given, extra = parser.parse_known_args(list(arguments))
    if extra:
        known = [name for action in parser._actions for name in action.option_strings]
        hint = suggest(extra[0].partition("=")[0], known, 1)
        raise UsageError(f"there is no option {extra[0]!r}{hint or '; --help names all'}")
    if given.fault is not None and given.only:
        raise UsageError("--fault runs one fault and nothing else; leave --only out")
    if given.with_premises and not given.only:
        raise UsageError("--with-premises adds to what --only selects; give --only, too")
    if given.list and given.assumptions:
        raise UsageError("--list and --assumptions print one thing each; give one of them")
    if given.fresh and given.answers is not None:
        raise UsageError("--fresh uses no kept answers; leave --answers out")
    if given.write_hints and theory.hints is None:
        raise UsageError("--write-hints has no file to write: this theory names none")
    if given.code is not None and given.only:
        raise UsageError("--only names what is proved; leave out --code and --no-code")
    for name in ("fault", "list", "assumptions", "code"):
        if given.write_hints and getattr(given, name):
            raise UsageError(f"--write-hints does nothing else; leave --{name} out")
    answers = None if given.fresh else _output_file("answers", given.answers) or theory.answers
    files = {name: _output_file(name, getattr(given, name)) for name in ("json", "junit")}
    folders = {name: _output_folder(name, getattr(given, name)) for name in ("smt2", "itf")}
    if files["json"] is not None and files["json"] == files["junit"]:
        raise UsageError(f"--json and --junit must be different files, not both {given.json!r}")
    return Options(
        list=given.list,
        assumptions=given.assumptions,
        only=tuple(dict.fromkeys(given.only)),
        with_premises=given.with_premises,
        code=given.code is not False,
        fault=given.fault,
        ring_size=given.ring_size,
        arithmetics=given.arithmetic,
        solvers=given.solver,
        jobs=given.jobs,
        seed=given.seed,
        fresh=given.fresh,
        answers=answers,
        no_hints=given.no_hints,
        write_hints=given.write_hints,
        command=("python", "-m", theory.program, *arguments),
        **files,
        **folders,
    )


def _output_file(option: str, text: str | None) -> Path | None:
    """Where to write a file; it is known to be possible, and nothing is changed yet."""
    if text is None:
        return None
    path = Path(text)
    what = f"--{option} must name a file that can be written, not {text!r}"
    if not text:
        raise UsageError(f"{what}: it is empty")
    try:
        if path.is_dir():
            raise UsageError(f"{what}: it is a directory")
        if not path.parent.is_dir():
            raise UsageError(f"{what}: there is no directory {str(path.parent)!r}")
        if not path.exists():
            path.open("xb").close()
            path.unlink()
        elif path.is_file():
            path.open("ab").close()
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from None
    return path


def _output_folder(option: str, text: str | None) -> Path | None:
    """A directory to write to, made later if it does not exist."""
    if text is None:
        return None
    path = Path(text)
    what = f"--{option} must name a directory that can be written, not {text!r}"
    if not text:
        raise UsageError(f"{what}: it is empty")
    existing = path
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise UsageError(f"{what}: {str(existing)!r} is no directory")
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from None
    return path
