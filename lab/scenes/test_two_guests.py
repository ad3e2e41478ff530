"""Two guests on one net."""

from __future__ import annotations

import contextlib

from lab.bench import BOTH_WAYS, places, plug_in
from lab.cards import cards
from lab.prepare import Parts

EACH = 5_000
WAYS = ("uio", "vfio")


def test_two_guests_exchange_ten_thousand_packets_in_order_and_lose_none(parts: Parts) -> None:
    with places() as folder, contextlib.ExitStack() as stack:
        pair = stack.enter_context(cards(("left", "right"), folder, parts.logs))
        kernel = BOTH_WAYS
        benches = [
            stack.enter_context(plug_in(parts, folder, card.name, [card], kernel)) for card in pair
        ]
        exchanges = []
        for bench, way in zip(benches, WAYS, strict=True):
            function = bench.seats[0].function
            bench.guest.check("ductctl", "bind", way, function)
            exchanges.append(
                bench.guest.start(
                    "python3", "-m", "lab.inside.exchange", f"{way}:{function}", str(EACH)
                )
            )
        for exchange in exchanges:
            ended = exchange.wait()
            assert ended.status == 0, ended.output
            assert ended.output == f"sent {EACH}, received {EACH}, in order\n"
        for bench in benches:
            counters = bench.seats[0].outside.counters()
            assert counters.dropped == 0
            assert counters.lost == 0
