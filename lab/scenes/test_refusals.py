"""What a kernel refuses, and what the driver says then."""

from __future__ import annotations

import signal

from lab.bench import UNTRANSLATED, bench
from lab.prepare import Parts
from lab.scenes.conftest import Way


def test_uio_is_refused_where_an_iommu_translates(parts: Parts) -> None:
    with bench(parts, "translating", slots=1, kernel=()) as made:
        guest, function = made.guest, made.seats[0].function
        guest.run("ductctl", "bind", "uio", function)
        ended = guest.run("ductctl", "-d", f"uio:{function}")
        assert ended.status == 1
        assert "IOMMU" in ended.output
        assert "vfio:" in ended.output
        # VFIO works all the same.
        guest.check("ductctl", "unbind", function)
        guest.check("ductctl", "bind", "vfio", function)
        assert guest.check("ductclient", "-d", f"vfio:{function}", "-q").strip()


def test_uio_says_what_to_do_about_kernel_lockdown(parts: Parts) -> None:
    kernel = (UNTRANSLATED, "lockdown=integrity", "lab.huge_pages=32")
    with bench(parts, "lockdown", slots=1, kernel=kernel) as made:
        guest, function = made.guest, made.seats[0].function
        guest.run("ductctl", "bind", "uio", function)
        ended = guest.run("ductctl", "-d", f"uio:{function}")
        assert ended.status == 1
        assert "lockdown" in ended.output


def test_a_card_in_use_is_not_opened_twice_nor_taken_away(way: Way) -> None:
    guest, seat = way.bench.guest, way.bench.seats[0]
    before = seat.outside.counters().register_writes
    user = guest.start("ductctl", "-d", way.address(seat), "-r")
    while seat.outside.counters().register_writes == before:
        assert user.running
    second = guest.run("ductctl", "-d", way.address(seat))
    taken = guest.run("ductctl", "unbind", seat.function)
    user.signal(signal.SIGTERM)
    assert user.wait().status == 128 + signal.SIGTERM
    assert second.status == 1
    assert "in use" in second.output
    assert taken.status == 1
    assert "in use" in taken.output


def test_a_function_that_is_not_there_is_named(way: Way) -> None:
    ended = way.bench.guest.run("ductctl", "-d", f"{way.kind}:0000:00:1e.7")
    assert ended.status == 1
    assert "0000:00:1e.7" in ended.output
    for seat in way.bench.seats:
        assert seat.function in ended.output


def test_cards_that_share_a_page_of_registers_are_not_mistaken_for_each_other(
    parts: Parts,
) -> None:
    """Where there is no firmware that gives each a page of its own, they do."""
    with bench(parts, "pages") as made:
        guest = made.guest
        told = []
        for seat in made.seats:
            guest.check("ductctl", "bind", "uio", seat.function)
            told.append(guest.check("ductctl", "-d", f"uio:{seat.function}").split()[-1])
            assert seat.outside.counters().register_writes
        assert len(set(told)) == len(told)
