"""The command: makes all checks of a card, and prints a line for each."""

from __future__ import annotations

import argparse
import contextlib
import linecache
import os
import sys
import time
import traceback
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from properties.bench_control import BenchControl
from properties.conformance.backends import AddressError, BackendMaker, at_address, emulated
from properties.conformance.check import Check
from properties.conformance.checks import CHECKS
from properties.conformance.running import HangError, run_guarded

__all__ = ["main"]

NAME: Final = "python -m properties.conformance"
WRONG_USAGE: Final = 2
_HERE: Final = os.path.dirname(__file__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all checks and print a line for each; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Check that the driver over a backend is what programs rely on.",
        epilog="exit status: 0 all checks that could be made hold; 1 some do not; 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("address", metavar="ADDRESS", help='the card, such as "emulated:"')
    parser.add_argument(
        "other", metavar="OTHER", nargs="?", help="a second card on the same net as the first"
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="checks whose names match")
    parser.add_argument(
        "--control",
        metavar="PATH",
        help="the control channel of an emulated card: a UNIX socket, or a port of a virtual "
        "machine; without it, checks that make the card fail or stand still are left out",
    )
    parser.add_argument(
        "--monitor", action="store_true", help="let the specification judge every access"
    )
    given = parser.parse_args(arguments)
    checks = [check for check in CHECKS if fnmatchcase(check.name, given.only)]
    if not checks:
        parser.error(f"--only {given.only!r} matches none of {len(CHECKS)} checks")
    if given.address == "emulated:" and given.control:
        parser.error('--control is not for "emulated:", which can be made to do anything anyway')
    with contextlib.ExitStack() as stack:
        control = None
        if given.control:
            try:
                control = stack.enter_context(BenchControl.at(given.control))
            except OSError as error:
                parser.error(f"--control {given.control}: {error.strerror}")
        maker: BackendMaker = (
            partial(emulated, monitor=given.monitor)
            if given.address == "emulated:"
            else partial(
                at_address, given.address, given.other, control=control, monitor=given.monitor
            )
        )
        try:
            return _run_all(checks, maker)
        except AddressError as error:
            print(f"{NAME}: {error}", file=sys.stderr)
            return WRONG_USAGE


def _run_all(checks: Sequence[Check], make: BackendMaker) -> int:
    counts = {"holds": 0, "FAILS": 0, "left out": 0}
    for check in checks:
        began = time.monotonic()
        detail = ""
        hangs = False
        try:
            verdict = "holds" if run_guarded(check, make) else "left out"
        except HangError as error:
            verdict, detail, hangs = "FAILS", str(error), True
        except AddressError:
            raise
        except Exception as error:
            verdict, detail = "FAILS", _reason(check, error)
        counts[verdict] += 1
        seconds = time.monotonic() - began
        print(f"{verdict:8} {seconds:6.2f} s  {check.name.replace('_', ' ')}", flush=True)
        if detail:
            print("".join(f"    {line}\n" for line in detail.splitlines()), end="", flush=True)
        if hangs:
            print("The card is in an unknown state now; the other checks were not made.")
            break
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    return 1 if counts["FAILS"] else 0


def _reason(check: Check, error: Exception) -> str:
    """What was raised, and the line of the check that did not hold."""
    frames = traceback.extract_tb(error.__traceback__)
    places = (_HERE, check.body.__code__.co_filename)
    frame = [frame for frame in frames if frame.filename.startswith(places)][-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"{where}: {line}\n{type(error).__name__}: {error}"
