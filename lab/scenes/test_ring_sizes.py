"""Rings from the smallest to the largest."""

from lab.scenes.conftest import Way


def test_rings_of_1_2_64_and_4096_slots_carry_traffic(way: Way) -> None:
    address = way.address(way.bench.seats[0])
    shifts = ("0", "1", "6", "12")
    printed = way.bench.guest.check("python3", "-m", "lab.inside.ring_sizes", address, *shifts)
    assert [line.split(":")[0] for line in printed.splitlines()] == [f"shift {n}" for n in shifts]
