"""A card that fails during traffic: everybody hears of it, and a reset brings it back."""

from lab.scenes.conftest import Way


def test_a_fatal_error_ends_every_call_with_eio_and_traffic_goes_on_after_a_reset(way: Way) -> None:
    guest, seat = way.bench.guest, way.bench.seats[0]
    traffic = guest.start("python3", "-m", "lab.inside.traffic", way.address(seat))
    traffic.wait_for("running")
    seat.outside.fail()
    ended = traffic.wait()
    assert ended.output.count("'EIO'") == 6, ended.output
    assert ended.output.endswith("recovered\n")
    assert ended.status == 0


def test_a_wrong_bus_address_is_a_fault_that_the_card_reports(way: Way) -> None:
    # With VFIO the IOMMU knows no such address; with UIO there is no memory at it.
    guest, seat = way.bench.guest, way.bench.seats[0]
    printed = guest.check("python3", "-m", "lab.inside.misdirect", way.address(seat))
    assert printed.count("FLAGS FLTB") == 3
    assert printed.count("FLAGS FLTR") == 2


def test_lost_interrupts_are_noticed_and_said(way: Way) -> None:
    guest, seat = way.bench.guest, way.bench.seats[0]
    seat.outside.mute_interrupts()
    try:
        printed = guest.check("ductclient", "-d", way.address(seat), "-q")
    finally:
        seat.outside.mute_interrupts(0)
    assert "interrupt" in printed
