"""Build the C kernel of the rings, which `make env` does where there is a compiler.

There is no need for it. Without a C compiler or the headers of Python one line says so, and the
driver does the same in Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from impl.datapath.loader import KernelError, load
from impl.datapath.version import FOLDER, LAYOUT, path_of, source_digest

__all__ = ["BuildError", "build", "build_missing"]

FLAGS: Final = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-Wall", "-Wextra")
HEADER: Final = "Python.h"
BUILDS: Final = ("_real", "_judged")


class BuildError(Exception):
    """The kernel cannot be built here; says why, in a line."""


def build(
    name: str, *, folder: Path = FOLDER, into: Path = FOLDER, flags: Sequence[str] = ()
) -> Path:
    """Compile one of the two builds; returns where it is.

    Args:
        name: `_real` or `_judged`.
        folder: Where the source is.
        into: Where the build goes; it stands there whole or not at all.
        flags: Further options of the compiler.

    Raises:
        BuildError: There is no compiler, there are no headers of Python, or it does not compile.
    """
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise BuildError("there is no C compiler")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / HEADER).exists():
        raise BuildError(f"there is no {HEADER} (Debian: apt install python3-dev)")
    target = path_of(name, into)
    unfinished = target.with_suffix(".new")
    defined = {
        **LAYOUT,
        "MODULE_NAME": f'"{name}"',
        "MODULE_INIT": f"PyInit_{name}",
        "SOURCE": f'"{source_digest()}"',
        **({"JUDGED": 1} if name == "_judged" else {}),
    }
    command = [found, *FLAGS, *flags, f"-I{headers}"]
    command += [f"-D{key}={value}" for key, value in defined.items()]
    command += ["-o", str(unfinished), str(folder / "module.c")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        errors = (line for line in ran.stderr.splitlines() if "error" in line)
        raise BuildError(f"{Path(found).name} says: {next(errors, 'exit status not 0')}")
    unfinished.replace(target)
    return target


def build_missing() -> None:
    """Build what is missing or of another version, or say why it is not built.

    Nothing is said if all is there, since every make asks for it.
    """
    try:
        for name in BUILDS:
            try:
                load(name)
            except KernelError:
                build(name)
                print(f"C kernel: {name} is built", file=sys.stderr)
    except BuildError as problem:
        print(f"C kernel: not built, since {problem}; Python does the same", file=sys.stderr)
