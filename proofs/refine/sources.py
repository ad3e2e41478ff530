"""What a proof of the lines depends on: its own files, and those that they import."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["digest", "files"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FIRST: Final = "proofs/refine/obligations.py"
"""Where the obligations are made."""


def files() -> list[Path]:
    """All files of the project on which the answers depend, whenever they are imported."""
    found: dict[Path, None] = {}
    waiting = [ROOT / FIRST]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            waiting += _imported(path)
    return sorted(found)


@functools.cache
def digest() -> str:
    """A digest of what these files say."""
    found = hashlib.sha256()
    for path in files():
        found.update(f"{path.relative_to(ROOT)}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _imported(path: Path) -> Iterator[Path]:
    """The files of the project that a file imports, their packages included."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=str(module), names=names):
                modules = [f"{module}.{name.name}" for name in names]
            case _:
                continue
        for module in modules:
            place = ROOT.joinpath(*module.split("."))
            for part in (place, *place.parents):
                if part == ROOT:
                    break
                for file in (part.with_suffix(".py"), part / "__init__.py"):
                    if file.is_file():
                        yield file
