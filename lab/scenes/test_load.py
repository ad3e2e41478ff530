"""Many processes on one device, while calls are interrupted and everything else fails in turn."""

from lab.account import Account, summary
from lab.guest import Guest
from lab.load import kept_up, load
from lab.scenes.conftest import Way
from lab.scenes.test_device import compiler

__all__ = ["compiler"]

SECONDS = 20
FAULTS = "fkbfk"
MOST = 5
"""Loads; on a slow machine one is over before there was something to lose."""


def enough(accounts: list[Account]) -> bool:
    """Whether there was something to lose, and nobody was held up by the one that never reads."""
    read = [packet.fate for account in accounts for packet in account.packets if packet.read]
    killed = sum(account.killed for account in accounts)
    return min(killed, read.count("S"), read.count("Q")) > 10


def test_nothing_acknowledged_is_lost_whoever_is_killed_and_whatever_fails(
    way: Way, compiler: Guest
) -> None:
    seat = way.bench.seats[0]
    with kept_up(compiler, way.address(seat)) as daemons:
        accounts = [load(compiler, seat, SECONDS, seed=1, faults=FAULTS)]
        while not enough(accounts) and len(accounts) < MOST:
            accounts.append(load(compiler, seat, SECONDS, seed=1 + len(accounts), faults="f"))
    print(summary(accounts))
    assert len(daemons) == 1 + sum(kind in "kb" for kind in FAULTS)
    assert enough(accounts)
