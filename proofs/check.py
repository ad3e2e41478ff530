"""The command: prove the specification of the duct card, and catch every fault.

    python -m proofs.check [--list] [--assumptions] [--only GLOB] [--fault ID] ...

What there is to prove stands in `proofs.theory`, and what the command does in
`engine.command.main`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.command import main as command
from engine.command.work import Source
from proofs.theory import THEORY

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, source: Source | None = None) -> int:
    """Do what the options say; returns the exit status."""
    return command.main(THEORY, arguments, source)


if __name__ == "__main__":
    sys.exit(main())
