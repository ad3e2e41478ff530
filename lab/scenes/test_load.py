"""Many processes on one device, while calls are interrupted and everything else fails in turn."""

from lab.account import summary
from lab.guest import Guest
from lab.load import kept_up, load
from lab.scenes.conftest import Way
from lab.scenes.test_device import compiler

__all__ = ["compiler"]

SECONDS = 20
FAULTS = "fkbfk"


def test_nothing_acknowledged_is_lost_whoever_is_killed_and_whatever_fails(
    way: Way, compiler: Guest
) -> None:
    seat = way.bench.seats[0]
    with kept_up(compiler, way.address(seat)) as daemons:
        account = load(compiler, seat, SECONDS, seed=1, faults=FAULTS)
    print(summary([account]))
    assert len(daemons) == 1 + sum(kind in "kb" for kind in FAULTS)
    # There was something to lose, and nobody was held up by the one that never reads.
    assert account.killed > 10
    assert sum(packet.fate == "S" and packet.read for packet in account.packets) > 10
    assert sum(packet.fate == "Q" and packet.read for packet in account.packets) > 10
