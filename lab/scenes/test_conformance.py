"""The driver over real UIO and VFIO is what programs rely on, and does what the proofs say."""

import pytest

from lab.scenes.conftest import Way
from properties.conformance import CHECKS

CONFORMANCE = ("python3", "-m", "properties.conformance")


@pytest.mark.parametrize("options", [(), ("--monitor",)], ids=["unwatched", "watched"])
def test_all_checks_hold(way: Way, options: tuple[str, ...]) -> None:
    seat, other = way.bench.seats
    addresses = way.address(seat), way.address(other)
    printed = way.bench.guest.check(*CONFORMANCE, *addresses, "--control", seat.control, *options)
    assert printed.splitlines()[-1] == f"{len(CHECKS)} holds"


def test_interrupts_arrive_by_the_line_or_by_both_vectors_of_msi_x(way: Way) -> None:
    guest, seat = way.bench.guest, way.bench.seats[0]
    if way.kind == "vfio":
        guest.check("python3", "-m", "lab.inside.vectors", way.address(seat), seat.control)
    else:
        before = _line_interrupts(way)
        guest.check("ductclient", "-d", way.address(seat), "-q")
        assert _line_interrupts(way) > before


def _line_interrupts(way: Way) -> int:
    """Interrupts that the kernel has passed on to UIO, of all cards."""
    counted = way.bench.guest.check("sh", "-c", "cat /sys/class/uio/uio*/event")
    return sum(map(int, counted.split()))
