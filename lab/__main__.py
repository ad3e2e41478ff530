"""The command `python -m lab`: try the driver on a real kernel, in a virtual machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import pytest

from lab.architecture import ARCHITECTURES, HOST
from lab.bench import BOTH_WAYS, pages_apart, places
from lab.cards import cards
from lab.debian import PreparationError
from lab.prepare import PROJECT, Parts, prepare
from lab.qemu import Machine, environment, words

__all__ = ["main"]

NAME: Final = "python -m lab"
FAILED: Final = 1
WRONG_USAGE: Final = 2
GUESTS: Final = 2
"""Scenes that run at once, each with a guest of its own; a guest keeps a processor busy."""
DESCRIPTION: Final = """\
Boot a Debian guest under QEMU with emulated duct cards plugged in, and try the driver in it through
the kernel's UIO and VFIO. No KVM and no privileges are needed; whatever is needed is downloaded
from Debian's archive on first use, into .lab."""
EPILOG: Final = """\
  python -m lab                    try everything
  python -m lab run -k kill        scenes whose names match
  python -m lab shell              a guest with two cards, to play in
  python -m lab --machine aarch64  everything on an emulated aarch64 machine; takes longer

What guests and cards printed is kept in .lab/logs.

exit status: 0 everything was shown; 1 it was not, or the lab cannot be made; 2 wrong usage,
or no scene matches"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("run", "prepare", "shell"),
        default="run",
        help="run the scenes, only prepare, or give a shell in a guest (default: %(default)s)",
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="run only scenes that match, as pytest -k")
    parser.add_argument(
        "--machine",
        choices=tuple(ARCHITECTURES),
        default=HOST.name,
        help="what kind of machine the guests are (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    if given.k is not None and given.action != "run":
        parser.error("-k chooses scenes, and is for run")
    began = time.monotonic()

    def tell(doing: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {doing}", flush=True)

    try:
        parts = prepare(tell, architecture=ARCHITECTURES[given.machine])
    except (PreparationError, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return FAILED
    if given.action == "shell":
        return _shell(parts)
    if given.action == "run":
        return _run(given.machine, given.k)
    return 0


def _run(machine: str, chosen: str | None) -> int:
    """Make all scenes; nobody's configuration of the tests applies to them."""
    options = ["-v", "--durations=5", "-p", "no:cacheprovider", "--machine", machine]
    options += ["-n", str(min(GUESTS, os.cpu_count() or 1))]
    choice = ["-k", chosen] if chosen is not None else []
    ended = pytest.main([*options, *choice, str(PROJECT / "lab/scenes")])
    if ended == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(f"{NAME}: no scene matches {chosen!r}", file=sys.stderr)
        return WRONG_USAGE
    return 0 if ended == pytest.ExitCode.OK else FAILED


def _shell(parts: Parts) -> int:
    """A guest whose console is this terminal."""
    with places() as folder, contextlib.ExitStack() as stack:
        pair = stack.enter_context(cards(("shell0", "shell1"), folder, parts.logs))
        ports = {f"control-{number}": card.control for number, card in enumerate(pair)}
        kernel = (*BOTH_WAYS, *pages_apart(parts.architecture, len(pair)), "lab.shell")
        machine = Machine([card.socket for card in pair], ports, None, kernel)
        process = subprocess.run(
            words(parts, machine), env=os.environ | environment(parts), check=False
        )
        return process.returncode and FAILED


if __name__ == "__main__":
    sys.exit(main())
