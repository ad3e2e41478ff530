"""Both vectors of a card's MSI-X: python3 -m lab.inside.vectors ADDRESS CONTROL.

Exit status: 0 if the kernel counted interrupts of vector 0 for traffic and of vector 1 for a fatal
error.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from impl.driver import DuctDriver
from impl.errors import CardFailedError
from model.layout import ECHO
from properties.bench_control import BenchControl

PATIENCE = 60.0


def counted(vector: int) -> int:
    """Interrupts that the kernel counted for a vector, over all processors and cards."""
    total = 0
    for line in Path("/proc/interrupts").read_text().splitlines():
        if f"vfio-msix[{vector}]" in line:
            # A count for each processor comes first; what follows may be a number as well.
            counts = itertools.takewhile(str.isdigit, line.partition(":")[2].split())
            total += sum(map(int, counts))
    return total


def main() -> int:
    """Look at both vectors; returns the exit status."""
    address, control = sys.argv[1:]
    with BenchControl.at(control) as bench, DuctDriver.open(address) as duct:
        duct.send(ECHO.address, b"hello", timeout=PATIENCE)
        duct.receive(timeout=PATIENCE)
        before = counted(0), counted(1)
        bench.fail()
        try:
            duct.receive(timeout=PATIENCE)
        except CardFailedError as error:
            print(error)
        after = counted(0), counted(1)
    print(f"after traffic {before}, after a fatal error {after}")
    return 0 if before[0] > 0 and before[1] == 0 and after[1] == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
