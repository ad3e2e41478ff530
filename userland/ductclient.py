"""The command `ductclient`: talk to the services of the public test network."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

import attrs

from impl.duct import Duct
from impl.errors import WaitTimeoutError, WouldBlockError
from model.layout import ECHO, LIMITS, QUOTE, Service
from userland.tool import Parser, Problem, binary, opened, run, seconds

__all__ = ["main"]

NAME: Final = "ductclient"
SUGGESTION: Final = "ductclient -d emulated: -q"
PATIENCE: Final = 5.0
"""Seconds that a service is given to answer."""
DESCRIPTION: Final = "Talk to a service of Ductnet."
EXAMPLES: Final = """\
examples, with a card in software:
  ductclient -d emulated: -q                  print the quote of the day
  seq 3 | ductclient -d emulated: -e          have each line sent back

exit status: 0 done; 1 it cannot be done; 2 wrong usage; 128 + n ended by signal n

OpenBSD's ductclient ends with 1 when called wrongly; here scripts can tell the
two ends apart. It waits for an answer for ever; here -t says how long."""


@attrs.frozen
class Options:
    """What was asked for: the quote, or else the echo."""

    device: str
    monitor: bool
    quote: bool
    timeout: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parse, _work, NAME, arguments)


def _parse(arguments: Sequence[str]) -> Options:
    parser = Parser(NAME, DESCRIPTION, EXAMPLES)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "-e",
        "--echo",
        action="store_true",
        help=f"send each line of standard input to {ECHO.address:#x}, and print what comes back",
    )
    action.add_argument(
        "-q",
        "--quote",
        action="store_true",
        help=f"print the quote of the day, from {QUOTE.address:#x}",
    )
    parser.add_argument(
        "-t",
        "--timeout",
        type=seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help="the longest to wait for an answer (default: %(default)g)",
    )
    given = parser.parse_args(arguments)
    return Options(given.device, given.monitor, given.quote, given.timeout)


def _work(options: Options) -> None:
    output = binary(sys.stdout, "standard output")
    with opened(options.device, SUGGESTION, monitor=options.monitor) as duct:
        if options.quote:
            output.write(_ask(duct, QUOTE, b"", options.timeout) + b"\n")
            return
        source = binary(sys.stdin, "standard input")
        number = 0
        # One byte more than a line may have, and its end.
        while line := source.readline(LIMITS.max_packet + 2):
            number += 1
            payload = line.removesuffix(b"\n")
            if len(payload) > LIMITS.max_packet:
                raise Problem(
                    f"line {number} is longer than the {LIMITS.max_packet} bytes that a packet "
                    "carries"
                )
            answer = _ask(duct, ECHO, payload, options.timeout)
            output.write(answer + line[len(payload) :])
            output.flush()


def _ask(duct: Duct, service: Service, payload: bytes, timeout: float) -> bytes:
    """Send a packet to a service and wait for its answer; whatever else comes is skipped."""
    deadline = time.monotonic() + timeout
    try:
        duct.send(service.address, payload, timeout=timeout)
        while (left := deadline - time.monotonic()) > 0:
            packet = duct.receive(timeout=left)
            if packet.source == service.address:
                return packet.payload
    except (WaitTimeoutError, WouldBlockError):
        pass
    raise Problem(f"the {service.name} service did not answer within {timeout:g} s")


if __name__ == "__main__":
    sys.exit(main())
