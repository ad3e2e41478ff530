"""Which statements a test runs: they say so themselves, in whatever thread or process they run.

Each source file gets a compiled form (PEP 552, unchecked) in which a statement first stores a byte
in a file that all processes map. The source stays as it is, and so do the numbers of its lines.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Statement", "Statements", "compiled_path", "lay_out", "statements"]

_HEAD: Final = "import mmap as _mmap_\nwith open({path!r}, 'r+b') as _hits_:\n" + (
    "    _hits_ = _mmap_.mmap(_hits_.fileno(), 0)\n"
)
_DIGITS: Final = b"01" + bytes([ord("1")]) * 254
_UNCHECKED: Final = 0b01


@attrs.frozen
class Statement:
    """A statement of a source file.

    Attributes:
        first, last: Its lines, decorators and all that stands inside included.
        later: Whether it is in a function, so that it does not run when the file is imported.
    """

    first: int
    last: int
    later: bool


@attrs.frozen
class Statements:
    """The statements of several files, numbered through.

    Attributes:
        of: Those of each file, in the order in which they stand there.
        first: The number of each file's first one.
        count: How many there are.
    """

    of: Mapping[str, list[Statement]]
    first: Mapping[str, int]
    count: int

    def at(self, file: str, line: int) -> tuple[int, Statement]:
        """Number and extent of the innermost statement that a line belongs to."""
        around = (
            (item.last - item.first, -number, number, item)
            for number, item in enumerate(self.of[file])
            if item.first <= line <= item.last
        )
        *_, number, found = min(around)
        return self.first[file] + number, found


def lay_out(sources: Mapping[str, str]) -> Statements:
    """Number the statements of files, given by their paths below the project."""
    of = {file: statements(source) for file, source in sources.items()}
    first, count = {}, 0
    for file, found in of.items():
        first[file] = count
        count += len(found)
    return Statements(of, first, count)


def statements(source: str) -> list[Statement]:
    """The statements of a file, but for docstrings and what has to stand at the top."""
    return [
        Statement(_first(item), item.end_lineno or item.lineno, later)
        for body, later in _bodies(ast.parse(source), later=False)
        for item in body
        if _says(item)
    ]


def _bodies(node: ast.AST, *, later: bool) -> Iterator[tuple[list[ast.stmt], bool]]:
    """All blocks below a node; the order is the same whenever it is asked for."""
    later = later or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list):
            yield body, later
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _bodies(child, later=later)


def _first(item: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(item, "decorator_list", [])
    return min([item.lineno, *(each.lineno for each in decorators)])


def _says(item: ast.stmt) -> bool:
    match item:
        case ast.Expr(value=ast.Constant()) | ast.ImportFrom(module="__future__"):
            return False
    return True


def compiled_path(path: Path) -> Path:
    """Where Python looks for the compiled form of a file."""
    return Path(importlib.util.cache_from_source(str(path)))


def talking(source: str, path: Path, hits: Path, first: int) -> bytes:
    """The compiled form of a file whose statements say that they run.

    Args:
        source: What it contains.
        path: Where it is.
        hits: The file that is mapped, a byte a statement.
        first: The number of its first statement.
    """
    tree = ast.parse(source)
    number = first
    for body, _ in list(_bodies(tree, later=False)):
        said: list[ast.stmt] = []
        for item in body:
            if _says(item):
                (saying,) = ast.parse(f"_hits_[{number}] = 1").body
                for part in ast.walk(saying):
                    if hasattr(part, "lineno"):
                        ast.copy_location(part, item)
                said.append(saying)
                number += 1
            said.append(item)
        body[:] = said
    top = next(place for place, item in enumerate(tree.body) if _says(item))
    tree.body[top:top] = ast.parse(_HEAD.format(path=str(hits))).body
    code = compile(tree, str(path), "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED.to_bytes(4, "little") + bytes(8)
    return head + marshal.dumps(code)


def let_talk(root: Path, all_of: Statements, sources: Mapping[str, str], hits: Path) -> None:
    """Put the compiled forms where Python finds them, and make the file that is mapped."""
    hits.write_bytes(bytes(all_of.count))
    for file, source in sources.items():
        place = compiled_path(root / file)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(talking(source, root / file, hits, all_of.first[file]))


def silence(root: Path, files: Iterable[str]) -> None:
    """Take them away again."""
    for file in files:
        compiled_path(root / file).unlink(missing_ok=True)


def as_number(hits: bytes) -> int:
    """The same as a number with a bit for each statement."""
    return int(b"0" + hits[::-1].translate(_DIGITS), 2)
