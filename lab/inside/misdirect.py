"""A driver that gives the card a wrong address: python3 -m lab.inside.misdirect ADDRESS.

An IOMMU lets the card reach what was mapped for it and nothing else. So an access elsewhere is a
fault that the card reports: FLTB for a register's address, FLTR for one in a descriptor. Each time
the driver has to see the failure, and the next open has to work. Exit status: 0 if it was so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from unittest import mock

import attrs

from impl.attach import Attachments, backends
from impl.driver import DuctDriver
from impl.errors import CardFailedError
from impl.memory import Data, Device, DmaRegion, Octets, Purpose
from model.layout import ECHO, FLAGS, FLTB, FLTR, RST, Bit, Register

NOWHERE = 0x32_1000_0000
"""A bus address at which nothing is mapped; the lab's IOMMU translates 39 bits."""
PATIENCE = 60.0


@attrs.frozen(eq=False)
class Misplaced(DmaRegion):
    """A region of which the card is told a wrong address."""

    region: DmaRegion

    @property
    def purpose(self) -> Purpose:  # type: ignore[override]
        return self.region.purpose

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.region.size

    @property
    def octets(self) -> Octets:  # type: ignore[override]
        return self.region.octets

    def bus_address(self, offset: int = 0) -> int:
        return NOWHERE + offset

    def load(self, offset: int, width: int) -> int:
        return self.region.load(offset, width)

    def store(self, offset: int, width: int, value: int) -> None:
        self.region.store(offset, width, value)

    def load_bulk(self, offset: int, size: int) -> bytes:
        return self.region.load_bulk(offset, size)

    def store_bulk(self, offset: int, data: Data) -> None:
        self.region.store_bulk(offset, data)

    def view(self, offset: int, size: int) -> memoryview:
        return self.region.view(offset, size)


@contextlib.contextmanager
def misdirected(device: Device, purpose: Purpose, seen: list[int]) -> Iterator[None]:
    """Regions for this purpose are given to the card at an address where they are not.

    Args:
        device: What reaches the card.
        purpose: What the regions are for.
        seen: Takes the error bits of FLAGS whenever the driver reads some.
    """
    allocate, free, read = device.allocate, device.free, device.read

    def wrong(size: int, for_what: Purpose) -> DmaRegion:
        region = allocate(size, for_what)
        return Misplaced(region) if for_what is purpose else region

    def unwrapped(region: DmaRegion) -> None:
        free(region.region if isinstance(region, Misplaced) else region)

    def noted(register: Register) -> int:
        value = read(register)
        if register is FLAGS and value & ~RST.mask:
            seen.append(value & ~RST.mask)
        return value

    with (
        mock.patch.object(device, "allocate", wrong),
        mock.patch.object(device, "free", unwrapped),
        mock.patch.object(device, "read", noted),
    ):
        yield


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
