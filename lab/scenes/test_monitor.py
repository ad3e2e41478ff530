"""The monitor on a real boot: it names the driver or the card, whoever breaks a rule."""

import time

from lab.inside.faulty import BARRIERS
from lab.scenes.conftest import Way

NOW_AND_THEN = 0.1


def test_a_driver_with_a_barrier_too_few_is_named(way: Way) -> None:
    one, other = (way.address(seat) for seat in way.bench.seats)
    printed = way.bench.guest.check("python3", "-m", "lab.inside.faulty", one, other)
    lines = [line.split(": ", 2) for line in printed.splitlines()]
    assert tuple(name for name, *_ in lines) == BARRIERS
    assert all(culprit == "the driver broke the specification" for _, culprit, _ in lines)


def test_a_card_that_announces_what_did_not_come_is_named(way: Way) -> None:
    guest, seat = way.bench.guest, way.bench.seats[0]
    waiting = guest.start("ductctl", "-m", "-d", way.address(seat), "-r", "-t", "60")
    while waiting.running:
        # The first ones may come before the card is reset, which nobody judges.
        seat.outside.announce_nothing()
        time.sleep(NOW_AND_THEN)
    ended = waiting.wait()
    assert ended.status == 1
    assert "the card broke the specification: RXCOMP was set, and no slot" in ended.output
