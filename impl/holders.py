"""Who has a file open, as `/proc` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["holders"]


def holders(root: Path, file: str) -> list[str]:
    """The processes that have a file open, as in "python3 (pid 4711)".

    Only root sees those of other users.

    Args:
        root: The folder that holds `proc`.
        file: The file, by the name that it was opened by.
    """
    return [_name(process) for process in _processes(root) if _has_open(process, file)]


def _processes(root: Path) -> Iterator[Path]:
    found = (entry for entry in (root / "proc").iterdir() if entry.name.isdigit())
    return iter(sorted(found, key=lambda entry: int(entry.name)))


def _has_open(process: Path, file: str) -> bool:
    try:
        return any(_target(descriptor) == file for descriptor in (process / "fd").iterdir())
    except OSError:  # it has ended, or belongs to another user
        return False


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # it was closed
        return ""


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = "a process"
    return f"{name} (pid {process.name})"
