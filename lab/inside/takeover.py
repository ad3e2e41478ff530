"""Take over a card that was left running: python3 -m lab.inside.takeover ADDRESS CONTROL [FAULT].

Opens the card, with the driver as it is or with one of its faults, and counts by the card's control
channel how often the card writes to memory from then on until its reset has arrived: those writes
go to memory of the driver that was killed. An echo has to come back afterwards. The last line
printed is `N writes before the reset`. Exit status: 0 if the echo came.
"""

from __future__ import annotations

import sys
from unittest import mock

from impl.attach import backends
from impl.memory import Device
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import ECHO, FLAGS, Register
from properties.bench_control import BenchControl
from properties.driver_source import PRESENT, DriverCode
from properties.faults import fault

SETTINGS = Settings()
PATIENCE = 60.0


def writes_before_reset(device: Device, code: DriverCode, bench: BenchControl) -> int:
    """Open the card and have an echo; how often the card wrote to memory before it was reset."""
    before = bench.counters().dma_writes
    counted: list[int] = []
    write = device.write

    def noted(register: Register, value: int) -> None:
        write(register, value)
        if register is FLAGS and not counted:
            # The write of RST has arrived when a register read behind it is answered.
            device.read(FLAGS)
            counted.append(bench.counters().dma_writes - before)

    attachment = code.Attachment.to(device, ThreadRuntime(), SETTINGS)
    with mock.patch.object(device, "write", noted), code.DuctDriver(attachment) as duct:
        duct.send(ECHO.address, b"hello", timeout=PATIENCE)
        while duct.receive(timeout=PATIENCE).payload != b"hello":
            pass
    attachment.detach()
    return counted[0]


def main() -> int:
    """Take the card over; returns the exit status."""
    address, control, *faults = sys.argv[1:]
    scheme, _, rest = address.partition(":")
    code = DriverCode.changed(fault(faults[0]).changes) if faults else PRESENT
    with BenchControl.at(control) as bench:
        count = writes_before_reset(backends()[scheme](rest), code, bench)
    print(f"{count} writes before the reset", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
