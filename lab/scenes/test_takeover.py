"""A card that a killed driver left running writes to no memory of others when it is taken over."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from lab.guest import Process
from lab.scenes.conftest import Way


@pytest.fixture
def left_running(way: Way) -> Iterator[Process]:
    """A card whose driver was killed in full traffic, bound anew; packets for it go on coming."""
    guest, (seat, other) = way.bench.guest, way.bench.seats
    hwaddr = guest.check("ductctl", "-d", way.address(seat)).split()[-1]
    flood = guest.start("python3", "-m", "lab.inside.flood", way.address(other), hwaddr)
    flood.wait_for("running")
    traffic = guest.start("python3", "-m", "lab.inside.traffic", way.address(seat))
    traffic.wait_for("running")
    traffic.signal(signal.SIGKILL)
    assert traffic.wait().status == -signal.SIGKILL
    guest.check("ductctl", "unbind", seat.function)
    guest.check("ductctl", "bind", way.kind, seat.function)
    yield flood
    flood.signal(signal.SIGTERM)
    flood.wait()


def test_a_card_left_running_writes_nothing_until_it_is_reset(
    way: Way, left_running: Process
) -> None:
    assert writes_before_reset(way) == 0
    assert left_running.running


def test_a_driver_that_resets_it_too_late_is_noticed(way: Way, left_running: Process) -> None:
    writes = writes_before_reset(way, "bus-master-before-reset")
    assert left_running.running
    if way.kind == "uio":
        assert writes > 0
    else:
        # The kernel reset the card when the killed driver's files were closed.
        assert writes == 0


def writes_before_reset(way: Way, *fault: str) -> int:
    """Open the card; how often it wrote to memory until it was reset."""
    seat = way.bench.seats[0]
    module = ("python3", "-m", "lab.inside.takeover")
    printed = way.bench.guest.check(*module, way.address(seat), seat.control, *fault)
    count, _, rest = printed.splitlines()[-1].partition(" ")
    assert rest == "writes before the reset"
    return int(count)
