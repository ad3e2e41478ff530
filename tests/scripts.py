"""Programs that a test runs by themselves, such as those that signals strike."""

import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["printed_by"]

ROOT = Path(__file__).resolve().parent.parent


def printed_by(script, prelude=""):
    """The lines that a program prints, which ends by itself and complains of nothing."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()
