"""Command lines that name some of several things, or nothing to mean all of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from engine.command.options import suggest

__all__ = ["options"]


def options(
    module: str,
    description: str | None,
    kind: str,
    known: Iterable[str],
    arguments: Sequence[str] | None = None,
) -> list[str]:
    """The names on a command line, each of which is known; all that are if there is none.

    Args:
        module: What is run, as in `python -m`.
        description: What `--help` says of it.
        kind: What a name is one of.
        known: All names.
        arguments: What was given; None: to this process.

    Raises:
        SystemExit: It was wrong (2), or help was asked for (0); it is told already.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = list(known)
    parser.add_argument("names", nargs="*", metavar=kind, help="all of them if none is named")
    names: list[str] = parser.parse_args(arguments).names
    for name in names:
        if name not in known:
            what = kind.lower()
            parser.error(
                f"there is no {what} {name!r}{suggest(name, known)}; all: {', '.join(known)}"
            )
    return names or known
