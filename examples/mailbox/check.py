"""The command: prove the mailbox, and catch its faults.

python -m examples.mailbox.check [--help]
"""

from __future__ import annotations

import sys

from engine.command.main import main
from examples.mailbox.proof import THEORY

if __name__ == "__main__":
    sys.exit(main(THEORY))
