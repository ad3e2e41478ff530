"""The command: prove the specification, and catch every fault; see `engine.command.main`."""

from __future__ import annotations

import sys

from engine.command.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
