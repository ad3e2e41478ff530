"""The command `ductctl`: what a card is, and single packets to and from it.

Its subcommands, which are about the machine and open no card, are in `userland.cards`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from impl.binding import Bus
from impl.card_info import Info
from impl.duct import Duct, file_of
from impl.errors import WaitTimeoutError
from userland.cards import subcommands
from userland.pcapng import Capture, Direction
from userland.tool import Parser, binary, opened, read_packet, run, seconds

__all__ = ["main"]

NAME: Final = "ductctl"
INCLUDE: Final = Path(__file__).resolve().parent / "include"
"""The folder of the header for C."""
SUGGESTION: Final = "ductctl -d emulated:"
DESCRIPTION: Final = """\
Say what a duct card is, or send or receive one packet with it.

The cards of this machine have commands of their own (each explains itself with --help):
  ductctl list                                the duct cards, and the address of each
  ductctl bind uio|vfio [CARD]                make a card reachable
  ductctl unbind [CARD]                       give it back"""
EXAMPLES: Final = """\
examples, with a card in software:
  ductctl -d emulated:                        say what the card is
  printf hello | ductctl -d emulated: -s ec60   send a packet to address ec60
  ductctl -d emulated: -r -t 5 >packet        wait 5 seconds for a packet

exit status: 0 done; 1 it cannot be done; 2 wrong usage; 128 + n ended by signal n

OpenBSD's ductctl prints what the card is on standard error, and ends with 1 when
called wrongly. Here it is what was asked for, so on standard output, and scripts
can tell the two ends apart."""


@attrs.frozen
class Options:
    """What was asked for: to send if there is a `destination`, to receive, to `write`, or none."""

    device: str
    monitor: bool
    destination: int | None
    receive: bool
    write: Path | None
    timeout: float | None
    verbose: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    if arguments is None:
        arguments = sys.argv[1:]
    subcommand = subcommands(Bus()).get(arguments[0]) if arguments else None
    if subcommand is not None:
        return subcommand(arguments[1:])
    return run(_parse, _work, NAME, arguments)


def _parse(arguments: Sequence[str]) -> Options:
    parser = Parser(NAME, DESCRIPTION, EXAMPLES)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "-i",
        "--info",
        action="store_true",
        help="print the card's version and hardware address (the default)",
    )
    action.add_argument(
        "-s",
        "--send",
        type=_address,
        metavar="ADDRESS",
        help="send standard input as one packet to this address, 8 hexadecimal digits at most",
    )
    action.add_argument(
        "-r",
        "--receive",
        action="store_true",
        help="wait for a packet: its addresses go to standard error, its payload to standard "
        "output",
    )
    action.add_argument(
        "-w",
        "--write",
        type=Path,
        metavar="FILE",
        help="receive packets until stopped, and write them to a file that tcpdump and Wireshark "
        "read (pcapng)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="with -i: say too what moves packets, the C kernel or Python",
    )
    parser.add_argument(
        "-t",
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="the longest to wait for a packet to come or go (default: as long as it takes)",
    )
    parser.add_argument(
        "--include-dir",
        action="version",
        version=str(INCLUDE),
        help="print the folder of duct.h, for C programs that use the device file: "
        "cc -I$(ductctl --include-dir) FILE; duct.pc for pkg-config is in pkgconfig below it",
    )
    if arguments and not arguments[0].startswith("-"):
        parser.error(_no_command(arguments[0]))
    given = parser.parse_args(arguments)
    waits = given.send is not None or given.receive or given.write is not None
    if given.timeout is not None and not waits:
        parser.error("-t is for -s, -r and -w; nothing else waits")
    if given.verbose and waits:
        parser.error("-v is for -i; nothing else has more to say")
    return Options(
        given.device,
        given.monitor,
        given.send,
        given.receive,
        given.write,
        given.timeout,
        given.verbose,
    )


def _no_command(word: str) -> str:
    """What is wrong with a first word that is neither an option nor a command."""
    if ":" in word:
        return f"a card is named by -d: {NAME} -d {word}"
    commands = list(subcommands(Bus()))
    close = difflib.get_close_matches(word, commands, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no command {word!r} among {', '.join(commands)}{hint}"


def _address(text: str) -> int:
    if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]{1,8}", text):
        raise argparse.ArgumentTypeError(f"1 to 8 hexadecimal digits, not {text!r}")
    return int(text, 16)


def _work(options: Options) -> None:
    with opened(options.device, SUGGESTION, monitor=options.monitor) as duct:
        if options.destination is not None:
            payload = read_packet(binary(sys.stdin, "standard input"))
            duct.send(options.destination, payload, timeout=options.timeout)
        elif options.receive:
            _receive(duct, options.timeout)
        elif options.write is not None:
            _capture(duct, options.write, options.timeout)
        else:
            info = duct.info
            device = file_of(options.device) or options.device
            print(
                f"{device}: duct v{info.major}.{info.minor}, hwaddr: {info.hwaddr:08x}",
                flush=True,
            )
            if options.verbose:
                # A device file does not say; whoever serves it has a card of its own to ask.
                moves = info.datapath if isinstance(info, Info) else "whoever serves the file"
                print(f"packets are moved by: {moves}", flush=True)


def _capture(duct: Duct, path: Path, timeout: float | None) -> None:
    """Write what comes to a file, until nothing comes for so long or a signal ends it."""
    with Capture(path, "duct") as capture, contextlib.suppress(WaitTimeoutError):
        while True:
            capture.write(duct.read(timeout=timeout), Direction.RECEIVED)


def _receive(duct: Duct, timeout: float | None) -> None:
    output = binary(sys.stdout, "standard output")
    packet = duct.receive(timeout=timeout)
    print(
        f"rx: {packet.source:08x} => {packet.destination:08x} ({len(packet.payload)} bytes)",
        file=sys.stderr,
        flush=True,
    )
    output.write(packet.payload)
    output.flush()


if __name__ == "__main__":
    sys.exit(main())
