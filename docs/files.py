"""List each module with its purpose, as it says itself: `python -m docs.files [FOLDER ...]`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

__all__ = ["modules", "purpose"]

ROOT: Final = Path(__file__).resolve().parent.parent


def modules(folder: Path = ROOT) -> Iterator[Path]:
    """The modules of the project below a folder, without what was made or downloaded."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in {"__pycache__", "build"} for part in parts):
            yield path


def purpose(path: Path) -> str:
    """The first line of a module's docstring; "" if it has none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def main(folders: Sequence[str]) -> None:
    """Print the list."""
    for folder in folders or ["."]:
        for path in modules((ROOT / folder).resolve()):
            print(f"{path.relative_to(ROOT)}: {purpose(path)}")


if __name__ == "__main__":
    main(sys.argv[1:])
