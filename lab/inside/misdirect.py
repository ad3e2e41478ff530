"""A driver that gives the card a wrong address: python3 -m lab.inside.misdirect ADDRESS.

The IOMMU lets the card reach what was mapped for it and nothing else. So an access elsewhere is a
fault that the card reports: FLTB for a register's address, FLTR for one in a descriptor. Each time
the driver has to see the failure, and the next open has to work. Exit status: 0 if it was so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from unittest import mock

from impl.attach import Attachments, backends
from impl.driver import DuctDriver
from impl.errors import CardFailedError
from impl.memory import Device, DmaRegion, Purpose
from model.layout import ECHO, FLAGS, FLTB, FLTR, Bit, Register

NOWHERE = 0x7654_3210_0000 & (1 << 38) - 1
"""A bus address at which nothing is mapped; the lab's IOMMU translates 39 bits."""
PATIENCE = 60.0


@contextlib.contextmanager
def misdirected(device: Device, purpose: Purpose, seen: list[int]) -> Iterator[None]:
    """Regions for this purpose are given to the card at an address where they are not."""
    allocate, read = device.allocate, device.read

    def wrong(size: int, for_what: Purpose) -> DmaRegion:
        region = allocate(size, for_what)
        if for_what is purpose:
            kind = type(region)
            liar = type(f"Misplaced{kind.__name__}", (kind,), {"bus_address": _nowhere})
            region.__class__ = liar
        return region

    def noted(register: Register) -> int:
        value = read(register)
        if register is FLAGS and value:
            seen.append(value)
        return value

    with mock.patch.object(device, "allocate", wrong), mock.patch.object(device, "read", noted):
        yield


def _nowhere(_region: DmaRegion, offset: int = 0) -> int:
    return NOWHERE + offset


def fails(address: str, purpose: Purpose, flag: Bit) -> bool:
    """Whether the card reports this fault and no other."""
    scheme, _, rest = address.partition(":")
    device = backends()[scheme](rest)
    attachments = Attachments(lambda: {scheme: lambda _rest: device})
    seen: list[int] = []
    failed = False
    with misdirected(device, purpose, seen):
        try:
            with DuctDriver.open(address, attachments=attachments, timeout=PATIENCE) as duct:
                duct.send(ECHO.address, b"lost", timeout=PATIENCE)
                duct.receive(timeout=PATIENCE)
        except CardFailedError as error:
            failed = True
            print(f"{purpose.value}: {error}")
    found = FLAGS.describe(seen[0]) if seen else "0"
    print(f"{purpose.value}: FLAGS {found}", flush=True)
    return failed and found == flag.name


def works(address: str) -> bool:
    """Whether an echo comes back."""
    with DuctDriver.open(address, timeout=PATIENCE) as duct:
        duct.send(ECHO.address, b"hello", timeout=PATIENCE)
        return duct.receive(timeout=PATIENCE).payload == b"hello"


def main() -> int:
    """Try all kinds of regions; returns the exit status."""
    address = sys.argv[1]
    right = True
    for purpose, flag in (
        (Purpose.COMMAND_RING, FLTB),
        (Purpose.TRANSMIT_RING, FLTB),
        (Purpose.TRANSMIT_BUFFERS, FLTR),
        (Purpose.RECEIVE_RING, FLTB),
        (Purpose.RECEIVE_BUFFERS, FLTR),
    ):
        right &= fails(address, purpose, flag)
        right &= works(address)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
