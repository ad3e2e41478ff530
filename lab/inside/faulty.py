"""Drivers with a barrier too few, and the monitor: python3 -m lab.inside.faulty ADDRESS OTHER.

Each is the driver with one of the faults of `properties.faults` that remove a barrier. It does what
programs do, with the card at ADDRESS, until the monitor objects; the card at OTHER sends to it. A
line is printed for each: the fault, and what the monitor says. Exit status: 0 if it always was the
driver.
"""

from __future__ import annotations

import sys
from typing import Any

from impl.attach import backends
from impl.driver import DuctDriver
from impl.settings import Monitoring, Settings
from impl.threads import ThreadRuntime
from model.layout import ECHO
from monitor.watch import watch
from properties.driver_source import DriverCode
from properties.faults import FAULTS, fault

BARRIERS = tuple(item.fault.id for item in FAULTS if item.fault.id.startswith("no-barrier-"))
SETTINGS = Settings(ring_shift=1)
PATIENCE = 60.0


def traffic(duct: Any, other: DuctDriver) -> None:
    """Each kind of request, and packets that take the rings round."""
    duct.add_multicast(0xFFFF_FFFF, 0x8000_0001, timeout=PATIENCE)
    for number in range(6):
        duct.send(ECHO.address, bytes(100 * number), timeout=PATIENCE)
        duct.receive(timeout=PATIENCE)
    # Packets that come while nothing is under way.
    for _ in range(10):
        other.send(duct.info.hwaddr, b"hello", timeout=PATIENCE)
        duct.receive(timeout=PATIENCE)


def finding(address: str, other: DuctDriver, name: str) -> str:
    """What the monitor says of the driver with a fault, in one line; "" if nothing was wrong."""
    scheme, _, rest = address.partition(":")
    code = DriverCode.changed(fault(name).changes)
    watched = watch(SETTINGS, Monitoring())
    attachment = code.Attachment.watched(
        backends()[scheme](rest), ThreadRuntime(), SETTINGS, watched
    )
    try:
        with code.DuctDriver(attachment) as duct:
            traffic(duct, other)
    except OSError:
        # Once something is wrong, calls raise.
        pass
    finally:
        attachment.detach()
    return watched.finding.partition("\n")[0]


def main() -> int:
    """Try all that are named; returns the exit status."""
    address, other = sys.argv[1:]
    right = True
    with DuctDriver.open(other) as sender:
        for name in BARRIERS:
            found = finding(address, sender, name)
            right &= found.startswith("the driver broke the specification: ")
            print(f"{name}: {found or 'nothing was wrong'}", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
