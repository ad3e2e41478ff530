"""One of two guests that send each other packets: python3 -m lab.inside.exchange ADDRESS COUNT.

Both run this program, each with its own card. Each sends COUNT packets of mixed sizes, 0 and 16384
bytes included, and checks those of the other: all of them, unchanged, in order. A sender is never
further ahead than the receiver's ring can hold; how far the receiver is, it tells by packets to a
multicast address. Exit status: 0 if nothing was lost.
"""

from __future__ import annotations

import argparse
import itertools
import random
import struct
import sys
import threading
from collections.abc import Iterator

import attrs

from impl.driver import DuctDriver
from impl.packet import Packet
from model.layout import LIMITS

NEWS = 0x8000_0ACE
"""Multicast address of the packets that tell how far a receiver is."""
EXACT = 0xFFFF_FFFF
WINDOW = 48
"""Packets under way at the most; the rest of a receive ring of 64 slots is for news."""
BATCH = 16
"""Packets that are sent with one doorbell."""
OFTEN = 16
"""Packets after which a receiver tells how far it is."""
PATIENCE = 120.0
HELLO_AGAIN = 0.5
SIZES = (0, 1, 60, 64, 1500, 4096, 4097, 9000, LIMITS.max_packet - 1, LIMITS.max_packet)


def payloads(address: int, count: int) -> Iterator[bytes]:
    """What the card with this address sends; both sides know it."""
    choice = random.Random(address)
    for number in range(count):
        size = choice.choice(SIZES) if number % 4 == 0 else choice.randrange(1500)
        yield (struct.pack("<I", number) * (size // 4 + 1))[:size]


@attrs.define(eq=False)
class Exchange:
    """How far both directions are."""

    duct: DuctDriver
    count: int
    peer: int | None = None
    arrived: int = 0
    confirmed: int = 0
    changed: threading.Condition = attrs.field(factory=threading.Condition)

    def send(self) -> None:
        """Greet until somebody answers, then send everything, no faster than it is received."""
        while self.peer is None:
            self.tell()
            with self.changed:
                self.changed.wait_for(lambda: self.peer is not None, HELLO_AGAIN)
        peer = self.peer
        everything = payloads(self.duct.info.hwaddr, self.count)
        for end in range(BATCH, self.count + BATCH, BATCH):
            batch = [(peer, payload) for payload in itertools.islice(everything, BATCH)]
            self.await_room(end - 1)
            self.duct.send_batch(batch, timeout=PATIENCE)

    def await_room(self, number: int) -> None:
        """Wait until a packet cannot be too many for the receiver."""
        with self.changed:
            if not self.changed.wait_for(lambda: number < self.confirmed + WINDOW, PATIENCE):
                raise TimeoutError(f"packet {number} has to wait: {self.confirmed} arrived")

    def tell(self) -> None:
        """Tell how far the receiver is."""
        self.duct.send(NEWS, struct.pack("<I", self.arrived), timeout=PATIENCE)

    def learn(self, news: Packet) -> None:
        """Take notice of how far the other receiver is."""
        with self.changed:
            self.peer = news.source
            (self.confirmed,) = struct.unpack("<I", news.payload)
            self.changed.notify_all()

    def receive(self) -> None:
        """Receive everything, and hear that everything has arrived over there."""
        expected: Iterator[bytes] = iter(())
        while self.arrived < self.count or self.confirmed < self.count:
            for packet in self.duct.receive_batch(WINDOW, timeout=PATIENCE):
                if packet.source == self.duct.info.hwaddr:
                    continue
                if packet.destination != NEWS:
                    if packet.payload != next(expected):
                        raise ValueError(f"packet {self.arrived} is not the one that was sent")
                    self.arrived += 1
                    if self.arrived % OFTEN == 0 or self.arrived == self.count:
                        self.tell()
                    continue
                if self.peer is None:
                    expected = payloads(packet.source, self.count)
                    # Who was heard may not have heard us: it began later.
                    self.tell()
                self.learn(packet)


def main() -> int:
    """Exchange packets; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.inside.exchange")
    parser.add_argument("address")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    failures: list[BaseException] = []
    with DuctDriver.open(given.address) as duct:
        duct.add_multicast(EXACT, NEWS)
        exchange = Exchange(duct, given.count)

        def send() -> None:
            try:
                exchange.send()
            except BaseException as error:
                failures.append(error)
                raise

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        exchange.receive()
        sender.join(PATIENCE)
        print(f"sent {exchange.confirmed}, received {exchange.arrived}, in order")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
