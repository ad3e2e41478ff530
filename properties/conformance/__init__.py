"""What every backend must offer: one list of checks for a card in software, in a guest, in metal.

Each check is a function that takes a `Backend` and says something about the driver over it, as a
program would see it through `impl.driver`. Nothing here needs a test framework: a guest that has
little but Python runs the list with

    python -m properties.conformance ADDRESS [OTHER] [--control PATH]

where ADDRESS is the card and OTHER, if given, a second card on the same net. An emulated card in a
virtual machine has a control channel (`properties.bench_control`), by which it can be made to fail
and to stand still; without, the checks that need this are left out. Exit status: 0 all checks that
could be made hold, 1 some do not, 2 wrong usage.

A check that hangs is a failure with a name: each one runs in a thread of its own, and is given up
after `helpers.PATIENCE` seconds.
"""

if not __debug__:
    raise RuntimeError("the checks are made of assert statements, which python -O leaves out")

from properties.conformance.backends import Backend, Clogged, at_address, emulated, fill
from properties.conformance.check import Check
from properties.conformance.checks import CHECKS
from properties.conformance.command import main
from properties.conformance.running import HangError, run_guarded

__all__ = [
    "CHECKS",
    "Backend",
    "Check",
    "Clogged",
    "HangError",
    "at_address",
    "emulated",
    "fill",
    "main",
    "run_guarded",
]
