"""Traffic over rings of several sizes: python3 -m lab.inside.ring_sizes ADDRESS SHIFT..."""

from __future__ import annotations

import sys

from impl.driver import DuctDriver
from impl.settings import Settings
from model.layout import ECHO, LIMITS

PATIENCE = 60.0
PACKETS = 200


def main() -> int:
    """Try each size; returns the exit status."""
    address, *shifts = sys.argv[1:]
    for shift in map(int, shifts):
        with DuctDriver.open(address, settings=Settings(ring_shift=shift)) as duct:
            for number in range(PACKETS):
                size = (0, 1, 1000, LIMITS.max_packet)[number % 4]
                payload = bytes([number]) * size
                duct.send(ECHO.address, payload, timeout=PATIENCE)
                if duct.receive(timeout=PATIENCE).payload != payload:
                    print(f"shift {shift}: packet {number} came back changed")
                    return 1
            # The card takes a moment to say that a slot is free again.
            while duct.poll().free_slots < 1 << shift:
                duct.send(ECHO.address, b"", timeout=PATIENCE)
                duct.receive(timeout=PATIENCE)
            print(f"shift {shift}: {PACKETS} packets, {duct.poll().free_slots} slots", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
