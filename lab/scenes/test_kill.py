"""A driver process that is killed leaves memory that the card does not touch."""

import signal

from lab.scenes.conftest import Way


def test_a_killed_driver_leaves_a_card_that_writes_nothing(way: Way) -> None:
    guest, (seat, other) = way.bench.guest, way.bench.seats
    hwaddr = guest.check("ductctl", "-d", way.address(seat)).split()[-1]
    traffic = guest.start("python3", "-m", "lab.inside.traffic", way.address(seat))
    traffic.wait_for("running")
    during = seat.outside.counters()
    traffic.signal(signal.SIGKILL)
    assert traffic.wait().status == -signal.SIGKILL
    after = seat.outside.counters()
    assert during.dma_writes > 0
    # A packet for the dead driver's card: it has nowhere to put it.
    guest.check("ductctl", "-d", way.address(other), "-s", hwaddr, stdin="too late")
    later = seat.outside.counters()
    assert later.dma_writes == after.dma_writes
    assert later.dma_reads == after.dma_reads
    # And the next start works.
    assert guest.check("ductclient", "-d", way.address(seat), "-q").strip()
