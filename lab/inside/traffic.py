"""Echo traffic in several threads, until the card fails: python3 -m lab.inside.traffic ADDRESS.

Prints `running` when packets flow. When the card has failed, every thread has to end with EIO, the
sleeping ones too; then the card is opened again and has to work. Exit status: 0 if all of this
happened.
"""

from __future__ import annotations

import argparse
import errno
import sys
import threading
from functools import partial

from impl.driver import DuctDriver
from model.layout import ECHO

PAYLOAD = bytes(range(256)) * 4
ENOUGH = 50
"""Packets after which traffic counts as running."""
PATIENCE = 60.0


def main() -> int:
    """Make traffic; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.inside.traffic")
    parser.add_argument("address")
    parser.add_argument("--monitor", action="store_true")
    given = parser.parse_args()
    ends: dict[str, int | None] = {}

    def until_failure(name: str, duct: DuctDriver, *, sends: bool) -> None:
        try:
            for number in range(sys.maxsize):
                if sends:
                    duct.send(ECHO.address, PAYLOAD)
                else:
                    duct.receive()
                    if number == ENOUGH:
                        print("running", flush=True)
        except OSError as error:
            ends[name] = error.errno

    opened = partial(DuctDriver.open, given.address, monitor=given.monitor)
    with opened() as one, opened() as other:
        # More receivers than packets at a time: some of them sleep whenever the card fails.
        roles = [(f"sender {n}", one, True) for n in range(2)]
        roles += [(f"receiver {n}", duct, False) for n, duct in enumerate((one, one, other, other))]
        threads = [
            threading.Thread(
                target=until_failure, args=role[:2], kwargs={"sends": role[2]}, daemon=True
            )
            for role in roles
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("ended:", {name: errno.errorcode.get(end or 0, end) for name, end in ends.items()})
    with opened() as duct:
        duct.send(ECHO.address, PAYLOAD, timeout=PATIENCE)
        recovered = duct.receive(timeout=PATIENCE).payload == PAYLOAD
    print("recovered" if recovered else "wrong echo", flush=True)
    return 0 if recovered and set(ends.values()) == {errno.EIO} else 1


if __name__ == "__main__":
    sys.exit(main())
