"""The command `python -m lab.soak`: ten minutes of many processes on /dev/duct0, and what it costs.

`make soak ARGS=device` runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

from lab.account import SETTLED, Account, summary
from lab.bench import BOTH_WAYS, Seat, bench
from lab.device import DEVICE, compile_programs, served
from lab.guest import Guest, GuestError
from lab.load import kept_up, load
from lab.prepare import prepare

__all__ = ["main"]

NAME: Final = "python -m lab.soak"
ROUND: Final = 60
"""Seconds after which everything is counted."""
SECONDS_APART: Final = 6
"""Seconds between two faults."""
ALL: Final = "fkfbf"
"""What fails at first, over and over; see `lab/c/load.c`."""
TEMPER: Final = (
    *("--interrupt-delay", "0.0002", "--merge", "4", "--spurious-every", "97"),
    *("--look-ahead", "--finish-at-stop", "--queue", "24"),
)
"""How the card behaves: as badly as it may without losing any of the packets that a load has under
way at a time (24, `FLIGHT` in `lab/c/load.c`), or refusing to be opened."""
CARD: Final = "f"
"""What fails in the second half, in which one daemon lives long enough to show that it is flat."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Let many processes use /dev/duct0 in a guest, over VFIO: reads, writes, "
        "polls, ioctls, signals; kill some of them and the daemon, and let the card fail. Every "
        "packet is accounted for.",
        epilog="exit status: 0 nothing was lost; 1 something was; 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)g)")
    minutes = parser.parse_args(arguments).minutes
    parts = prepare(lambda doing: print(doing, flush=True))
    with bench(parts, "soak", slots=1, kernel=BOTH_WAYS, temper=TEMPER) as made:
        guest, (seat,) = made.guest, made.seats
        guest.check("ductctl", "bind", "vfio", seat.function)
        compile_programs(guest)
        address = f"vfio:{seat.function}"
        try:
            with kept_up(guest, address):
                grown = _rounds(guest, seat, minutes * 60)
            with served(guest, address):
                rate = ("python3", "-m", "lab.inside.device_rate", DEVICE)
                through = guest.check(*rate)
            print(guest.check(*rate[:-1], address, through.split()[0], through.split()[1]), end="")
        except (GuestError, AssertionError) as error:
            print(f"{NAME}: {error}", file=sys.stderr)
            return 1
    if grown > SETTLED:
        print(f"{NAME}: a daemon has grown by {grown} kB", file=sys.stderr)
        return 1
    return 0


def _rounds(guest: Guest, seat: Seat, seconds: float) -> int:
    """Let them work, and count after each round; returns by how many kB the last daemon grew."""
    began = time.monotonic()
    memory: dict[int, list[int]] = {}
    accounts: list[Account] = []
    while (left := began + seconds - time.monotonic()) > 0:
        length = int(min(left, ROUND)) + 1
        kinds = ALL if left > seconds / 2 else CARD
        count = length // SECONDS_APART
        seed = len(accounts) + 1
        account = load(guest, seat, length, seed, (kinds * count)[:count])
        accounts.append(account)
        for pid, kilobytes in account.memory.items():
            memory.setdefault(pid, []).extend(kilobytes)
        last = memory[list(account.memory)[-1]]
        print(f"{summary([account])}; the daemon has {last[0]} to {last[-1]} kB", flush=True)
    print(f"in all: {summary(accounts)}", flush=True)
    return max(last) - last[0]


if __name__ == "__main__":
    sys.exit(main())
