"""Whether the packages that a command cannot do without are there: asked before one is missed.

This is about the project's commands and no part of the specification. It stands here because every
command imports from here, and it imports nothing itself.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

__all__ = ["NEEDED", "needed"]

NEEDED: Final = {
    "bench": ("attrs", "greenlet", "hypothesis", "itf_py"),
    "emulator": ("attrs",),
    "examples": ("attrs", "rich", "z3", "cvc5", "itf_py"),
    "lab": ("attrs", "pytest", "xdist"),
    "lab.agent": ("attrs",),
    "lab.inside": ("attrs",),
    "proofs": ("attrs", "rich", "z3", "cvc5", "itf_py"),
    "properties": ("attrs",),
    "properties.check_contracts": ("attrs", "crosshair"),
    "properties.fault_runs": ("attrs", "greenlet", "hypothesis", "itf_py"),
    "properties.replay": ("attrs", "greenlet", "itf_py"),
    "userland": ("attrs",),
}
"""What a command imports from outside; the longest name that a command begins with counts."""
LACKING: Final = 2


def needed() -> None:
    """End a command with one line if this interpreter lacks what it imports from outside.

    Called where a package that has commands is imported. Nothing is asked unless that happens for
    `python -m COMMAND`: to whoever imports it otherwise, the import that fails tells enough.
    """
    if sys.argv[:1] != ["-m"]:
        return
    words = sys.orig_argv
    command = words[words.index("-m") + 1] if "-m" in words else ""
    names = [name for name in NEEDED if f"{command}.".startswith(f"{name}.")]
    missing = [
        package
        for package in NEEDED[max(names, key=len)] * bool(names)
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        print(
            f"{command}: {sys.executable} lacks {', '.join(missing)}; `make env` makes an "
            f"environment that has all: .venv/bin/python -m {command}",
            file=sys.stderr,
        )
        sys.exit(LACKING)
