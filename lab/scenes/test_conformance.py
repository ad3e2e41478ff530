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


def test_both_vectors_of_msi_x_arrive(way: Way) -> None:
    if way.kind == "uio":
        # INTx, one line for both; the checks of failures above need it.
        assert "vfio" not in way.bench.guest.check("cat", "/proc/interrupts")
        return
    seat = way.bench.seats[0]
    way.bench.guest.check("python3", "-m", "lab.inside.vectors", way.address(seat), seat.control)
