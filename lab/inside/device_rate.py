"""Measures echoes by a card or a device file: how many a second, and how long one takes."""

from __future__ import annotations

import statistics
import sys
import time

from impl.duct import open_duct
from model.layout import ECHO

ECHOES = 300
AT_ONCE = 16


def main() -> None:
    """Print echoes a second and milliseconds of one; with those of a file given, the ratios too."""
    address, *given = sys.argv[1:]
    with open_duct(address) as duct:
        took = []
        for _ in range(ECHOES):
            began = time.perf_counter()
            duct.send(ECHO.address, b"x" * 64, blocking=False)
            duct.receive(timeout=60)
            took.append(time.perf_counter() - began)
        began = time.perf_counter()
        for _ in range(ECHOES // AT_ONCE):
            duct.send_batch([(ECHO.address, b"x" * 64)] * AT_ONCE)
            left = AT_ONCE
            while left:
                left -= len(duct.receive_batch(left, timeout=60))
        rate = ECHOES // AT_ONCE * AT_ONCE / (time.perf_counter() - began)
    latency = statistics.median(took) * 1000
    if given:
        file_rate, file_latency = map(float, given)
        print(
            f"in process {rate:.0f} echoes a second, {latency:.2f} ms each; over the file "
            f"{file_rate:.0f} and {file_latency:.2f} ms: {file_rate / rate:.2f} of the rate, "
            f"{file_latency / latency:.1f} times as long"
        )
    else:
        print(f"{rate:.1f} {latency:.3f}")


if __name__ == "__main__":
    main()
