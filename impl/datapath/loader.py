"""Which lines move packets: the C kernel where it is built, and Python everywhere else."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from impl.datapath.version import FOLDER, path_of, source_digest
from impl.errors import InvalidArgumentError

__all__ = ["PYTHON", "SWITCH", "Datapath", "KernelError", "chosen", "load"]

SWITCH: Final = "DUCT_KERNEL"
"""The environment variable that turns the kernel off."""


class KernelError(Exception):
    """There is no kernel that can be used; says why."""


@attrs.frozen
class Datapath:
    """What moves packets.

    Attributes:
        name: What it is called, for people.
        kernel: The module in C; None: the lines of `impl.ring`.
        judged: Each access of the kernel is a call of the driver's interfaces.
    """

    name: str
    kernel: Any = None
    judged: bool = False

    def kernel_for(self, *memory: object) -> Any:
        """The kernel, if it can access all of this; otherwise None.

        Where each access is told to somebody, memory is not what it looks like.
        """
        if self.judged or all(isinstance(octets, memoryview) for octets in memory):
            return self.kernel
        return None


PYTHON: Final = Datapath("Python")


def load(name: str, folder: Path = FOLDER) -> Any:
    """A build of the kernel: `_real` or `_judged`.

    Raises:
        KernelError: It is not there, is none for this machine, was built of another source, or the
            interpreter runs without its own lock, which guards what turns in C look at.
    """
    path = path_of(name, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise KernelError("the C kernel is not built")
    try:
        kernel = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernel)
    except ImportError as error:
        raise KernelError(f"the C kernel is for another machine: {error}") from error
    # Python brings its lock back for a module that does not say that it can do without; unless it
    # was told not to (PYTHON_GIL=0).
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise KernelError("the C kernel needs the interpreter's own lock, which is turned off")
    if source_digest() != kernel.SOURCE:
        raise KernelError("the C kernel was built for another version; make env builds it anew")
    return kernel


def chosen(environment: Mapping[str, str] = os.environ) -> Datapath:
    """What moves packets in this process.

    Raises:
        InvalidArgumentError: DUCT_KERNEL is neither on nor off.
    """
    switch = environment.get(SWITCH, "on")
    if switch not in {"on", "off"}:
        raise InvalidArgumentError(f"{SWITCH} is on or off, not {switch!r}")
    if switch == "off":
        return Datapath(f"Python ({SWITCH}=off)")
    try:
        return Datapath("C kernel", load("_real"))
    except KernelError as reason:
        return Datapath(f"Python ({reason})")
