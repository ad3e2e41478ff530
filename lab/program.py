"""Programs of an unpacked Debian, run on this machine with the libraries that came with them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["command"]

_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"


def command(root: Path, program: str, name: str | None = None) -> list[str]:
    """The words with which a program of `root` starts: its own dynamic loader runs it.

    Args:
        root: Folder into which packages were unpacked.
        program: Path below it.
        name: What the program is to take for its own name.
    """
    libraries = root / _LIBRARIES
    words = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    if name is not None:
        words += ["--argv0", name]
    return [*words, str(root / program)]
