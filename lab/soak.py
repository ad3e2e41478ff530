"""The command `python -m lab.soak`: ten minutes of many processes on /dev/duct0, and what it costs.

`make soak ARGS=device` runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

from lab.bench import BOTH_WAYS, bench
from lab.device import DEVICE, PID_FILE, compile_programs, memory, served
from lab.guest import Guest, GuestError
from lab.prepare import prepare

__all__ = ["main"]

NAME: Final = "python -m lab.soak"
ROUND: Final = 60
"""Seconds after which everything is counted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Let many processes use /dev/duct0 in a guest, over VFIO: reads, writes, "
        "polls, ioctls, signals, kills. Every packet that a write acknowledged is accounted for.",
        epilog="exit status: 0 nothing was lost; 1 something was; 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)g)")
    minutes = parser.parse_args(arguments).minutes
    parts = prepare(lambda doing: print(doing, flush=True))
    with bench(parts, "soak", slots=1, kernel=BOTH_WAYS) as made:
        guest, (seat,) = made.guest, made.seats
        guest.check("ductctl", "bind", "vfio", seat.function)
        compile_programs(guest)
        address = f"vfio:{seat.function}"
        try:
            with served(guest, address, "--pid-file", PID_FILE):
                _rounds(guest, minutes * 60)
                rate = ("python3", "-m", "lab.inside.device_rate", DEVICE)
                through = guest.check(*rate)
            print(guest.check(*rate[:-1], address, through.split()[0], through.split()[1]), end="")
        except (GuestError, AssertionError) as error:
            print(f"{NAME}: {error}", file=sys.stderr)
            return 1
    return 0


def _rounds(guest: Guest, seconds: float) -> None:
    """Let them work, and count after each round."""
    end = time.monotonic() + seconds
    seed = 0
    while (left := end - time.monotonic()) > 0:
        seed += 1
        length = str(int(min(left, ROUND)) + 1)
        told = guest.check("/tmp/load", DEVICE, length, str(seed), seconds=ROUND * 5)
        print(f"{told.splitlines()[0]}; the daemon has {memory(guest)} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
