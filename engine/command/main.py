"""The command: prove what a theory claims, and catch every fault.

    python -m PROGRAM [--list] [--assumptions] [--only GLOB] [--fault ID] ...

Exit status: 0 all is as it must be; 1 a property is violated or a fault was missed; 2 something
stayed undecided; 3 a mistake in the options; 4 the solvers disagree or the tool itself failed;
5 what was asked is proved, but not what it stands on (see --with-premises).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import textwrap
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import IO, TYPE_CHECKING, Final, TypeVar

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style as RichStyle

from engine.command.costs import SEARCH, Costs
from engine.command.hinting import write_down
from engine.command.junit import write_junit
from engine.command.options import Options, UsageError, parse, suggest
from engine.command.progress import Progress, progress
from engine.command.report import Report, Style
from engine.command.show import print_trace
from engine.command.work import (
    Event,
    Failure,
    Proof,
    ProofTask,
    Search,
    SearchTask,
    Source,
    Task,
    run,
)
from engine.faults import Fault
from engine.hints import read_hints
from engine.ladder import Page
from engine.obligations import Obligation
from engine.theory import Theory

__all__ = ["file_name", "main"]

WIDTH: Final = 100
CODE: Final = "code"
"""The kind of obligations that are only proved if somebody asks for them."""
UNDECIDED: Final = 2
BAD_USAGE: Final = 3
TOOL_FAILED: Final = 4
STYLES: Final = {"head": "bold", "good": "green", "bad": "bold red"}

if TYPE_CHECKING:
    from engine.discharge import Past

Named = TypeVar("Named", Obligation, Fault)


def main(
    theory: Theory, arguments: Sequence[str] | None = None, source: Source | None = None
) -> int:
    """Do what the options say; returns the exit status.

    Args:
        theory: What is proved.
        arguments: The options; those that the program was given unless others are.
        source: Where obligations and faults come from, if not from the theory.
    """
    try:
        options = parse(theory, sys.argv[1:] if arguments is None else arguments)
        status = _command(theory, options, source)
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"{theory.program}: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print(f"{theory.program}: interrupted before anything was decided", file=sys.stderr)
        return UNDECIDED
    except BrokenPipeError:
        # Whoever read the output has gone. Nothing more may be written, on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TOOL_FAILED
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        print(f"{theory.program}: failed: {what} ({where})", file=sys.stderr)
        return TOOL_FAILED


def _command(theory: Theory, options: Options, source: Source | None) -> int:
    if options.assumptions:
        print("\n".join(theory.assumptions(_width(sys.stdout))))
        return 0
    began = time.monotonic()
    known = Source.of(theory, _past(theory, options)) if source is None else source
    if options.fault is not None:
        obligations: list[Obligation] = []
        faults = [_fault(options.fault, known.faults)]
    else:
        listed = [
            item
            for item in known.catalogue()
            if item.arithmetic in options.arithmetics and (options.code or item.kind != CODE)
        ]
        obligations, faults = _select(options.only, listed, known.faults)
        if options.with_premises:
            needed = set(known.foundation(obligations))
            obligations = [item for item in listed if item in needed]
    if options.list:
        print("\n".join(_listing(theory, obligations, faults)))
        return 0
    if options.write_hints:
        return write_down(theory, options, known, obligations)
    left_out = _left_out(known, obligations, options.arithmetics)
    report = Report(theory, options, obligations, faults, left_out=left_out)
    console = Console(soft_wrap=True, highlight=False)
    with _interrupts_once(report):
        _run(report, known, console)
        report.seconds = time.monotonic() - began
        written = _write(report)
        if options.fault is None or report.interrupted:
            for line in report.lines(_style(console), _width(console.file)):
                console.file.write(line + "\n")
        else:
            _show_fault(report, faults[0], console)
    return report.status() if written else TOOL_FAILED


def _past(theory: Theory, options: Options) -> Past:
    """What earlier runs have left, as far as it may be used. Raises `UsageError`."""
    from engine.answers import Answers, ForeignFileError
    from engine.discharge import Past

    answers = None
    # Who asks for one fault wants to see a shortest run.
    if options.answers is not None and options.fault is None:
        try:
            answers = Answers(options.answers)
        except ForeignFileError as error:
            raise UsageError(
                f"{error}, and is left as it is; move it away, name another file with --answers, "
                "or ask everything anew with --fresh"
            ) from None
        except OSError as error:
            raise UsageError(
                f"{options.answers}: {error.strerror}; name another file with --answers, "
                "or ask everything anew with --fresh"
            ) from None
    return Past({} if options.no_hints else read_hints(theory.hints), answers)


# What is to be done


def _fault(name: str, faults: Sequence[Fault]) -> Fault:
    for fault in faults:
        if fault.id == name:
            return fault
    names = [fault.id for fault in faults]
    hint = suggest(name, names)
    raise UsageError(f"there is no fault {name!r}{hint}; --list names all {len(names)}")


def _select(
    globs: Sequence[str], obligations: Sequence[Obligation], faults: Sequence[Fault]
) -> tuple[list[Obligation], list[Fault]]:
    """What the patterns match by id or by property; everything if there are none."""
    names = {name for item in obligations for name in (item.id, item.property)}
    names |= {name for fault in faults for name in (fault.id, fault.property)}
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            hint = suggest(glob, sorted(names))
            raise UsageError(
                f"--only {glob!r} matches no obligation, property or fault{hint}; --list names all"
            )
    return _matching(globs, obligations), _matching(globs, faults)


def _left_out(
    source: Source, obligations: Sequence[Obligation], arithmetics: Sequence[str]
) -> dict[str, list[Obligation]]:
    """For each property of which something is asked: what that stands on and nobody asks."""
    asked = set(obligations)
    left_out: dict[str, list[Obligation]] = {}
    for name in dict.fromkeys(item.property for item in obligations):
        own = [item for item in obligations if item.property == name]
        missing = [item for item in source.foundation(own) if item not in asked]
        missing = [item for item in missing if item.arithmetic in arithmetics]
        if missing:
            left_out[name] = missing
    return left_out


def _matching(globs: Sequence[str], items: Iterable[Named]) -> list[Named]:
    return [
        item
        for item in items
        if not globs
        or any(fnmatchcase(item.id, glob) or fnmatchcase(item.property, glob) for glob in globs)
    ]


def file_name(identity: str) -> str:
    """Where the text of an obligation goes, below the folder of its arithmetic."""
    return re.sub(r"[^A-Za-z0-9_./-]", "-", identity) + ".smt2"


def _batches(report: Report, source: Source) -> list[list[Task]]:
    """Everything to do; what takes longest comes first, lest one process works alone in the end.

    A group of obligations is one batch, because it is decided together. All checks of vacuity are
    one, because they look at the same runs.
    """
    options = report.options
    proofs: dict[str, list[Task]] = {"vacuity": []}
    for item in report.obligations:
        file = None
        if options.smt2 is not None:
            file = options.smt2 / item.arithmetic / file_name(item.id)
        task = ProofTask(item, options.solvers, options.ring_size, options.seed, file)
        group = "vacuity" if item.kind == "vacuity" else source.group_of(item)
        proofs.setdefault(group, []).append(task)
    # A fault shows at a size of its own; only who asks for that one fault may say where.
    size = options.ring_size if options.fault else None
    searches: list[list[Task]] = [
        [SearchTask(fault, size, options.seed)] for fault in report.faults
    ]
    return [proofs.pop("vacuity"), *searches, *proofs.values()]


# Doing it


def _run(report: Report, source: Source, console: Console) -> None:
    """Do everything and note it in the report; an interrupt ends it early."""
    solvers, faults = len(report.options.solvers), len(report.faults)
    costs = Costs(report.theory.specification())
    work = solvers * sum(map(costs.of, report.obligations)) + faults * SEARCH
    totals = {"obligation": solvers * len(report.obligations), "fault": faults}
    shown = progress(console, totals, work)
    try:
        for event in run(source, _batches(report, source), report.options.jobs):
            if event is None:
                shown.tick()
            else:
                report.add(event)
                _show(shown, event, costs)
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        _ignore_interrupts()
        shown.close()


INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


def _ignore_interrupts(*_: object) -> None:
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    _ignore_interrupts()
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts_once(report: Report) -> Iterator[None]:
    """The first interrupt ends the work; no other keeps the report from being written."""
    before = [signal.signal(number, _interrupt) for number in INTERRUPTS]
    try:
        yield
    finally:
        if not report.interrupted:  # else this process is about to end, and more may still come
            for number, handler in zip(INTERRUPTS, before, strict=True):
                signal.signal(number, handler)


def _show(shown: Progress, event: Event, costs: Costs) -> None:
    if isinstance(event, Failure):
        shown.say(f"failed: {event.task}: {event.message}")
    elif isinstance(event, Proof):
        shown.advance("obligation", costs.of(event.obligation))
        if event.verdict.result != "proved":
            item = event.obligation
            shown.say(f"{event.verdict.result}: {item.id} ({item.arithmetic}, {event.solver})")
    elif isinstance(event, Search):
        shown.advance("fault", SEARCH)
        if event.catch.result != "caught":
            shown.say(f"{event.catch.result}: {event.fault.id}")


# Telling what came of it


def _style(console: Console) -> Style:
    colours = console.is_terminal and not console.no_color and not console.is_dumb_terminal

    def style(role: str, text: str) -> str:
        if not colours:
            return text
        return RichStyle.parse(STYLES[role]).render(text, color_system=ColorSystem.STANDARD)

    return style


def _width(stream: IO[str]) -> int:
    """How wide prose and tables may be."""
    return min(WIDTH, Page.of(stream).width)


def _write(report: Report) -> bool:
    """Write the files asked for; says whether that worked."""
    from engine.itf import write_itf

    options, good = report.options, True
    found = [(fault.id, report.catch(fault)) for fault in report.faults]
    traces = [(name, catch.trace) for name, catch in found if catch and catch.result == "caught"]
    for path, write in (
        (options.itf, lambda path: write_itf(path, traces, report.theory.protocol.phrases.named)),
        (options.junit, lambda path: write_junit(report, path)),
        (options.json, report.write_json),
    ):
        if path is None:
            continue
        try:
            write(path)
        except OSError as error:
            good = False
            print(f"{report.theory.program}: failed: {path}: {error.strerror}", file=sys.stderr)
    return good


def _show_fault(report: Report, fault: Fault, console: Console) -> None:
    """Explain a fault, name the property that it breaks, and draw the run."""
    style, out = _style(console), console.file
    width = _width(out)
    for line in textwrap.wrap(f"{fault.id}: {fault.title} ({fault.origin})", width):
        out.write(style("head", line) + "\n")
    out.write("\n")
    for paragraph in fault.explanation.split("\n\n"):
        out.write(textwrap.fill(paragraph, width) + "\n\n")
    found = report.catch(fault)
    if found is None:
        why = report.failures[0].message
        out.write(style("bad", f"The search did not end: {why}") + "\n")
        return
    if found.result != "caught":
        size = report.options.ring_size
        where = "" if size is None else f" at ring size {size}"
        out.write(style("bad", f"No run was found on which it shows{where}.") + f" {found.note}\n")
        return
    meaning = report.theory.meaning(found.property)
    broken = textwrap.fill(f"It breaks {found.property}{': ' if meaning else ''}{meaning}", width)
    out.write(broken.replace(found.property, style("bad", found.property), 1) + "\n\n")
    phrases = report.theory.specification().phrases
    print_trace(found.trace, phrases, fold=found.boot, fold_text=found.story, console=console)
    plural = "" if found.steps == 1 else "s"
    closing = f"{found.steps} step{plural} at ring size {found.ring_size}. {found.note}"
    out.write("\n" + textwrap.fill(closing, width) + "\n")


def _listing(
    theory: Theory, obligations: Sequence[Obligation], faults: Sequence[Fault]
) -> Iterator[str]:
    """Every property, obligation and fault, one a line."""
    counts: dict[str, int] = {}
    kinds: dict[str, list[str]] = {}
    meanings: dict[str, str] = {}
    for item in obligations:
        counts[item.property] = counts.get(item.property, 0) + 1
        kinds.setdefault(item.id, []).append(item.arithmetic)
        meanings[item.id] = item.meaning
    if counts:
        yield f"Properties ({len(counts)}), with the number of their obligations"
        margin = max(map(len, counts))
        for name, count in counts.items():
            yield f"  {name:<{margin}}  {count:>6,}  {theory.meaning(name)}".rstrip()
        yield ""
        yield f"Obligations ({sum(counts.values()):,}), with their arithmetics"
        margin = max(map(len, kinds))
        for name, arithmetics in kinds.items():
            yield f"  {name:<{margin}}  {', '.join(arithmetics):<16}  {meanings[name]}".rstrip()
        yield ""
    if faults:
        yield f"Faults ({len(faults)}), with their origin and the property that they break"
        margin = max(len(fault.id) for fault in faults)
        for fault in faults:
            yield f"  {fault.id:<{margin}}  {fault.origin:<7}  {fault.property}: {fault.title}"
