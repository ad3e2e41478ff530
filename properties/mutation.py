"""Whether the tests notice when the driver is changed: `python -m properties.mutation [FILE ...]`.

Each *mutant* is the driver with one small change, made by an operator of Cosmic Ray or by one of
two of our own: leave a statement out, and swap two neighbours that both call something. (Where the
order of accesses is what matters, these say more than any change of a `+`.) A mutant is *killed*
if the search for deviations from the specification finds one, if a test fails, or if either hangs;
otherwise it *survives*. A survivor either shows a test that is missing, or changes nothing that
anybody may rely on; `properties/mutation_survivors.toml` says of each why it does not.

FILE is a path below the project such as impl/ring.py; impl/ring.py:88 means the mutants of one
line, impl/ring.py:88-120 those of several. Everything runs in a temporary copy of the project.

Exit status: 0 all is well; 1 a survivor is not listed, or of some file less than 90 % are killed;
2 the driver fails as it is, or the command line or the list of survivors is wrong.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

__all__ = ["Mutant", "MutantResult", "Survivor", "main", "mutants", "read_survivors", "search"]

ROOT: Final = Path(__file__).resolve().parent.parent
SURVIVORS: Final = ROOT / "properties" / "mutation_survivors.toml"
DEFAULT: Final = ("impl/ring.py", "impl/driver.py")
LEAST: Final = 90.0
"""Per cent of a file's mutants that must be killed."""

EXAMPLES: Final = 40
SEEDS: Final = (0, 1)
SEARCH: Final = (sys.executable, "-c", "from properties.mutation import search; search()")
HANGING: Final = 20
"""Seconds after which a single test hangs; the longest takes a quarter of it."""
_PYTEST: Final = (
    *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
    *("-o", f"faulthandler_timeout={HANGING}", "-o", "faulthandler_exit_on_timeout=true"),
)
_COMMON: Final = (
    "tests/test_driver_promises.py",
    "tests/test_driver_api.py",
    "tests/test_conformance.py::test_the_emulated_card_conforms",
)
TESTS: Final = {
    "impl/ring.py": ("tests/test_ring.py", *_COMMON),
    "impl/driver.py": _COMMON,
    "impl/controller.py": _COMMON,
    "impl/lifecycle.py": _COMMON,
    "impl/dma.py": ("tests/test_dma.py", *_COMMON),
    "impl/packet.py": ("tests/test_layout.py", *_COMMON),
}
"""The tests that concern a file, the quickest first."""
LEFT_OUT: Final = "not TestQueue and not moody"
"""What these files have besides and mutants are not tried on: a search that does not make the same
runs each time, and the conformance suite's second time round."""

# One replacement for each operator. The others that Cosmic Ray has (`+` becomes `**`, `is` becomes
# `<`) mostly raise at once, and add to the count rather than to what is known. Left out are also
# annotations, which are not evaluated here, and the operators that need names as arguments.
OPERATORS: Final = tuple(
    f"core/{name}"
    for name in (
        *(
            f"ReplaceBinaryOperator_{change}"
            for change in (
                "Add_Sub",
                "Sub_Add",
                "Mul_Add",
                "Div_Mul",
                "FloorDiv_Mul",
                "Mod_Mul",
                "LShift_RShift",
                "RShift_LShift",
                "BitAnd_BitOr",
                "BitOr_BitAnd",
                "BitXor_BitOr",
            )
        ),
        *(
            f"ReplaceComparisonOperator_{change}"
            for change in (
                "Eq_NotEq",
                "NotEq_Eq",
                "Lt_LtE",
                "Lt_GtE",
                "LtE_Lt",
                "LtE_Gt",
                "Gt_GtE",
                "Gt_LtE",
                "GtE_Gt",
                "GtE_Lt",
                "Is_IsNot",
                "IsNot_Is",
            )
        ),
        "ReplaceUnaryOperator_Delete_USub",
        "ReplaceUnaryOperator_Delete_Not",
        "ReplaceUnaryOperator_Delete_Invert",
        "AddNot",
        "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue",
        "ReplaceAndWithOr",
        "ReplaceOrWithAnd",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ExceptionReplacer",
        "NumberReplacer",
        "RemoveDecorator",
        "ZeroIterationForLoop",
    )
)
WITHOUT_EFFECT: Final = ("@final",)
"""Decorators that do nothing when the program runs."""


class BaselineError(Exception):
    """The driver fails without any change, or the list of survivors cannot be read."""


# Mutants


@attrs.frozen
class Mutant:
    """A file with one small change.

    Attributes:
        file: Path below the project.
        line: Where the change begins.
        within: The function that it is made in, with its classes; empty outside of all.
        old, new: The changed lines before and after, as one line each.
        source: The whole file after the change.
    """

    file: str
    line: int
    within: str
    old: str
    new: str
    source: str = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by when lines above it come and go."""
        return self.file, self.within, self.old, self.new

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old}  ->  {self.new or '(left out)'}"


@attrs.frozen
class _Statement:
    """A statement of one block that may be left out or swapped with its neighbour."""

    node: ast.stmt
    calls: bool


def mutants(file: str, source: str) -> list[Mutant]:
    """Every mutant of a file, from its first line to its last; none occurs twice."""
    tree = ast.parse(source)
    found: dict[str, Mutant] = {}
    for line, old, new, changed in [
        *_left_out(tree, source),
        *_swapped(tree, source),
        *_of_operators(tree, source),
    ]:
        try:
            compile(changed, file, "exec")
        except SyntaxError:
            continue
        if changed != source:
            mutant = Mutant(file, line, _definition_at(tree, line), old, new, changed)
            found.setdefault(changed, mutant)
    return sorted(found.values(), key=lambda mutant: mutant.line)


_Change = tuple[int, str, str, str]


def _blocks(tree: ast.AST) -> Iterator[list[_Statement]]:
    """The simple statements of functions, in runs that follow each other."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        inner = [node, *(item for item in ast.walk(node) if isinstance(item, ast.stmt))]
        for holder in inner:
            if holder is not node and isinstance(holder, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            bodies = [getattr(holder, name, []) for name in ("body", "orelse", "finalbody")]
            bodies += [item.body for item in getattr(holder, "handlers", [])]
            for body in bodies:
                yield [
                    _Statement(item, any(isinstance(part, ast.Call) for part in ast.walk(item)))
                    for item in body
                    if _may_go(item)
                ]


def _may_go(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant()):
            return False  # a docstring
        case ast.Return(value=None):
            return True
        case ast.AnnAssign(value=None):
            return False
        case ast.Expr() | ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Return():
            return True
        case ast.Raise():
            return True
    return False


def _text(lines: Sequence[str]) -> str:
    told = (line for line in lines if not line.lstrip().startswith("#"))
    return " ".join(" ".join(told).split())


def _left_out(tree: ast.AST, source: str) -> Iterator[_Change]:
    lines = source.splitlines()
    for block in _blocks(tree):
        for statement in block:
            first, last = _lines_of(statement.node)
            indent = " " * statement.node.col_offset
            changed = [*lines[: first - 1], indent + "pass", *lines[last:]]
            yield first, _text(lines[first - 1 : last]), "", "\n".join(changed) + "\n"


def _swapped(tree: ast.AST, source: str) -> Iterator[_Change]:
    lines = source.splitlines()
    for block in _blocks(tree):
        for one, other in itertools.pairwise(block):
            if not (one.calls and other.calls) or isinstance(other.node, ast.Return | ast.Raise):
                continue
            if _assigned(one.node) & _used(other.node):
                continue  # that would be a name without a value
            first, first_end = _lines_of(one.node)
            second, second_end = _lines_of(other.node)
            between = lines[first_end : second - 1]
            if any(line.strip() and not line.lstrip().startswith("#") for line in between):
                continue  # something that may not be swapped stands between them
            former, latter = lines[first - 1 : first_end], lines[second - 1 : second_end]
            changed = [*lines[: first - 1], *latter, *between, *former, *lines[second_end:]]
            old, new = f"{_text(former)}; {_text(latter)}", f"{_text(latter)}; {_text(former)}"
            yield first, old, new, "\n".join(changed) + "\n"


def _assigned(node: ast.stmt) -> set[str]:
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name))
    return {item.id for item in names if isinstance(item.ctx, ast.Store)}


def _used(node: ast.stmt) -> set[str]:
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name))
    return {item.id for item in names if isinstance(item.ctx, ast.Load)}


def _lines_of(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno


def _of_operators(tree: ast.AST, source: str) -> Iterator[_Change]:
    plugins: Any = importlib.import_module("cosmic_ray.plugins")
    trees: Any = importlib.import_module("cosmic_ray.ast")
    mutating: Any = importlib.import_module("cosmic_ray.mutating")
    nodes = list(trees.ast_nodes(trees.get_ast(source)))
    annotations = list(_annotations(tree))
    arithmetic = [item for item in ast.walk(tree) if isinstance(item, ast.BinOp)]
    conditions = [
        item.test
        for item in ast.walk(tree)
        if isinstance(item, ast.If | ast.While | ast.IfExp | ast.Assert)
    ]
    for name in OPERATORS:
        operator = plugins.get_operator(name)()
        positions = [
            (node, start) for node in nodes for start, _ in operator.mutation_positions(node)
        ]
        for occurrence, (node, start) in enumerate(positions):
            if any(_holds(item, start) for item in annotations):
                continue
            if "Binary" in name and not any(_holds(item, start) for item in arithmetic):
                continue  # the * and / of a list of parameters
            if name.endswith("AddNot") and _is_negated_elsewhere(conditions, start):
                continue
            if name.endswith("Decorator") and node.get_code().strip() in WITHOUT_EFFECT:
                continue
            changed = mutating.mutate_code(source, operator, occurrence)
            if changed is not None:
                yield (start[0], *_difference(source, changed), changed)


def _annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if annotation is not None:
                yield annotation


def _holds(node: Any, position: tuple[int, int]) -> bool:
    begin, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return bool(begin <= position < end)


def _is_negated_elsewhere(conditions: Iterable[ast.expr], start: tuple[int, int]) -> bool:
    """The condition at or behind `start` is a comparison or a `not`, which operators negate."""
    behind = [item for item in conditions if (item.lineno, item.col_offset) >= start]
    if not behind:
        return False
    nearest = min(behind, key=lambda item: (item.lineno, item.col_offset))
    simple = isinstance(nearest, ast.Compare) and len(nearest.ops) == 1
    return simple or isinstance(nearest, ast.UnaryOp)


def _difference(old: str, new: str) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            before.append(line[2:])
        elif line.startswith("+ "):
            after.append(line[2:])
    return _text(before), _text(after)


def _definition_at(tree: ast.AST, line: int, above: str = "") -> str:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                name = f"{above}.{node.name}" if above else node.name
                return _definition_at(node, line, name)
        elif hasattr(node, "body"):
            name = _definition_at(node, line, above)
            if name != above:
                return name
    return above


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


# Trying a mutant


@attrs.frozen
class MutantResult:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        killer: Who noticed: "search", "tests" or "time"; empty if nobody did.
        detail: What was noticed, in a few words.
    """

    mutant: Mutant
    killer: str
    detail: str = ""

    @property
    def killed(self) -> bool:
        """Whether anybody noticed."""
        return bool(self.killer)


def search() -> None:
    """Look for a deviation of the driver from the specification; raises if there is one."""
    from hypothesis import Phase, seed
    from hypothesis.stateful import run_state_machine_as_test

    from properties.driver_source import PRESENT
    from properties.profiles import PROFILES
    from properties.stateful import machine_of

    limits = PROFILES["ci"].limits(
        max_examples=EXAMPLES, phases=[Phase.generate], derandomize=False, database=None
    )
    for number in SEEDS:
        machine = machine_of(PRESENT)
        run_state_machine_as_test(seed(number)(machine), settings=limits)
        if not machine.accesses:
            raise AssertionError("no access was judged: the runs are empty")


@attrs.frozen
class _Ended:
    """How a command ended; no status: it was stopped after its time."""

    status: int | None
    output: str
    seconds: float


class Workbench:
    """A copy of the project in which mutants are tried.

    Attributes:
        root: Where the copy is.
        limits: Seconds that the search, and the tests, may take.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.limits = [300.0, 900.0]

    @classmethod
    @contextlib.contextmanager
    def of(cls, project: Path) -> Iterator[Workbench]:
        """A copy of a project, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
            root = Path(directory) / "project"
            ignored = shutil.ignore_patterns(
                ".git", ".venv", ".lab", "build", "dist", "__pycache__", ".hypothesis", ".*_cache"
            )
            shutil.copytree(project, root, ignore=ignored)
            yield cls(root)

    def measure(self, file: str) -> float:
        """Try the file as it is, which must pass; from now on a hang is known by its length."""
        begin = time.perf_counter()
        for number, command in enumerate((SEARCH, _tests_of(file))):
            # Here bytecode is written, which saves every later run the compilation.
            ended = self._run(command, self.limits[number], bytecode=True)
            if ended.status != 0:
                raise BaselineError(
                    f"{file} fails without any change:\n{' '.join(command)}\n{ended.output}"
                )
            self.limits[number] = max(30.0, 5 * ended.seconds)
        shutil.rmtree(self.root / "impl" / "__pycache__", ignore_errors=True)
        return time.perf_counter() - begin

    def judge(self, mutant: Mutant) -> MutantResult:
        """Try a mutant."""
        path = self.root / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            for number, command in enumerate((SEARCH, _tests_of(mutant.file))):
                ended = self._run(command, self.limits[number])
                killer = ("search", "tests")[number]
                if ended.status is None:
                    return MutantResult(
                        mutant, "time", f"{killer}: over {self.limits[number]:.0f} s"
                    )
                if ended.status and "Timeout (0:" in ended.output:
                    return MutantResult(mutant, "time", _what_hangs(ended.output))
                if ended.status:
                    return MutantResult(mutant, killer, _what_failed(ended.output))
        finally:
            path.write_text(original, encoding="utf-8")
        return MutantResult(mutant, "")

    def _run(self, command: Sequence[str], limit: float, *, bytecode: bool = False) -> _Ended:
        environment = dict(os.environ, HYPOTHESIS_PROFILE="ci", PYTHONPATH="")
        if not bytecode:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        begin = time.perf_counter()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                # Whatever the command started goes with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            return _Ended(status, output.read(), time.perf_counter() - begin)


def _tests_of(file: str) -> tuple[str, ...]:
    return *_PYTEST, "-k", LEFT_OUT, *TESTS[file]


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
    print(f"\n{'file':<24}{'mutants':>8}{'killed':>8}", end="")
    print(f"{'(search':>9}{'tests':>7}{'time)':>7}{'survived':>10}{'killed':>9}")
    for file in dict.fromkeys(result.mutant.file for result in results):
        of_file = [result for result in results if result.mutant.file == file]
        by = [sum(item.killer == name for item in of_file) for name in ("search", "tests", "time")]
        killed = sum(by)
        percentage = 100 * killed / len(of_file)
        print(f"{file:<24}{len(of_file):>8}{killed:>8}{by[0]:>9}{by[1]:>7}{by[2]:>7}", end="")
        print(f"{len(of_file) - killed:>10}{percentage:>7.1f} %")
        if file in whole and percentage < LEAST:
            print(f"less than {LEAST:.0f} % of the mutants of {file} are killed")
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


def _chosen(
    parser: argparse.ArgumentParser, names: Sequence[str]
) -> tuple[list[Mutant], dict[str, None]]:
    """The mutants that the command line asks for, and the files that it asks for as a whole."""
    chosen: dict[str, Mutant] = {}
    whole: dict[str, None] = {}
    for name in names:
        file, colon, lines = name.partition(":")
        which = re.fullmatch(r"(\d+)(?:-(\d+))?", lines)
        if file not in TESTS or (colon and which is None):
            parser.error(
                f"{name} is none of {', '.join(TESTS)}, with or without :LINE or :LINE-LINE"
            )
        found = mutants(file, (ROOT / file).read_text(encoding="utf-8"))
        if which is None:
            whole[file] = None
        else:
            first, last = int(which[1]), int(which[2] or which[1])
            found = [mutant for mutant in found if first <= mutant.line <= last]
        if not found:
            parser.error(f"{name} has no mutants")
        chosen.update({mutant.file + mutant.source: mutant for mutant in found})
    return list(chosen.values()), whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m properties.mutation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help=f"what to change; {' and '.join(DEFAULT)}"
    )
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    options = parser.parse_args(arguments)
    try:
        chosen, whole = _chosen(parser, options.files or DEFAULT)
    except ModuleNotFoundError as error:
        parser.error(f"{error}: Cosmic Ray is missing; make mutation installs it")
    if options.list:
        for mutant in chosen:
            print(mutant)
        return 0
    results: list[MutantResult] = []
    try:
        known = read_survivors(SURVIVORS.read_text(encoding="utf-8"))
        with Workbench.of(ROOT) as bench:
            ready = ""
            begin = time.perf_counter()
            for number, mutant in enumerate(chosen, 1):
                if mutant.file != ready:
                    ready = mutant.file
                    print(f"{ready} as it is passes in {bench.measure(ready):.0f} s", flush=True)
                result = bench.judge(mutant)
                results.append(result)
                minutes = (time.perf_counter() - begin) / 60
                told = f"killed by {result.killer}" if result.killed else "SURVIVED"
                print(f"{number:>4}/{len(chosen)} {minutes:5.1f} min  {told}: {mutant}", end="")
                print(f"  [{result.detail}]" if result.detail else "", flush=True)
    except BaselineError as error:
        print(error, file=sys.stderr)
        return 2
    return report(results, known.values(), whole)


if __name__ == "__main__":
    # Whoever is asked to end takes the copy, and what runs in it, along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
