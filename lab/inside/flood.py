"""Send packets to an address without an end: python3 -m lab.inside.flood ADDRESS DESTINATION.

DESTINATION is the hexadecimal address of another card. Prints `running` when packets flow.
"""

from __future__ import annotations

import sys

from impl.driver import DuctDriver

PAYLOAD = bytes(range(256))


def main() -> int:
    """Send until somebody ends this."""
    address, destination = sys.argv[1:]
    with DuctDriver.open(address) as duct:
        for number in range(sys.maxsize):
            duct.send(int(destination, 16), PAYLOAD)
            if number == 0:
                print("running", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
