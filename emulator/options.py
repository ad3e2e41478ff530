"""The options of `python -m emulator`, and what is wrong with bad ones."""

from __future__ import annotations

import argparse
import os
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import attrs

from emulator.behaviour import Behaviour
from emulator.card_state import DEFAULT_HWADDR
from model.layout import UNICAST

__all__ = ["NAME", "Options", "parse"]

NAME: Final = "python -m emulator"
WRONG_USAGE: Final = 2
DESCRIPTION: Final = """\
Serve an emulated duct card at a UNIX socket, to one virtual machine after the other, by the
vfio-user protocol. Echo (address ec60) and quote of the day (beef) are on its net."""
EPILOG: Final = """\
a guest with a card, and two guests that talk:
  python -m emulator --socket /tmp/card
  qemu-system-x86_64 -machine q35,memory-backend=mem -m 1G
      -object memory-backend-memfd,id=mem,size=1G,share=on
      -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/card"}}' ...

  python -m emulator --socket /tmp/a --net /tmp/ductnet &
  python -m emulator --socket /tmp/b --net /tmp/ductnet &

With --net, the first process has the net. When it ends, another one takes over within a moment;
packets sent meanwhile are lost. PATH.lock, which stays, says which process it is.

With --control, whoever connects to PATH may say, in lines of text, each answered by a line:
  ping [WORD]                  nothing, but the answer
  counters                     tell what was counted since the card exists, as JSON
  fail                         let the card report a hardware error
  stand-still, go-on           let it access no memory and raise no interrupt, or go on
  mute-interrupts on|off|N     let it lose all interrupts, none, or the next N
  announce-nothing             let it say that a packet came, and none did: against the rules
An answer is "ok", "ok JSON" or "error TEXT".

SIGTERM or SIGINT ends the card and removes its sockets.

exit status: 0 ended by SIGTERM or SIGINT; 1 it cannot be served; 2 wrong usage"""
_LEVELS: Final = ("debug", "info", "warning", "error")


@attrs.frozen
class Options:
    """What was asked for.

    Attributes:
        socket: Where virtual machines find the card.
        net: Where processes that share a net meet; None for a net of its own.
        control: Where a bench finds the control channel; None if there is to be none.
        hwaddr: The card's hardware address.
        card_version: What its version registers say.
        behaviour: How it behaves.
        log_level: How much is told on standard error.
    """

    socket: str
    net: str | None
    control: str | None
    hwaddr: int
    card_version: tuple[int, int]
    behaviour: Behaviour
    log_level: str


class _Parser(argparse.ArgumentParser):
    """A parser that tells mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options that the arguments stand for; None: those of the process.

    Raises:
        SystemExit: They were wrong (2), or asked for help (0); it is told already.
    """
    parser = _Parser(
        prog=NAME,
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--socket", required=True, metavar="PATH", help="where virtual machines find the card"
    )
    parser.add_argument(
        "--net",
        metavar="PATH",
        help="join the Ductnet of all cards that name this path (default: a net of its own)",
    )
    parser.add_argument(
        "--control", metavar="PATH", help="where a bench may tell the card what to do, see below"
    )
    parser.add_argument(
        "--hwaddr",
        type=_hwaddr,
        metavar="HEX",
        help="hardware address, unicast, so below 80000000; no two cards on a net may share one "
        f"(default: {DEFAULT_HWADDR:08x}, and with --net a number made of the socket's path)",
    )
    parser.add_argument(
        "--card-version",
        type=_version,
        default="2.1",
        metavar="MAJOR.MINOR",
        help="what the version registers say (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=_LEVELS,
        default="info",
        help="how much is told on standard error (default: %(default)s)",
    )
    _add_behaviour(parser)
    given = parser.parse_args(arguments)
    choices = {name: getattr(given, name) for name in attrs.fields_dict(Behaviour)}
    try:
        behaviour = Behaviour(**choices)
    except ValueError as error:
        parser.error(f"no card behaves so: {error.args[0]}")
    hwaddr = given.hwaddr
    if hwaddr is None:
        hwaddr = DEFAULT_HWADDR if given.net is None else _hwaddr_of(given.socket)
    return Options(
        given.socket,
        given.net,
        given.control,
        hwaddr,
        given.card_version,
        behaviour,
        given.log_level,
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    """The options that make a card ill-tempered, within what the specification allows."""
    group = parser.add_argument_group("behaviour, within what the specification allows")

    def add(option: str, text: str, **more: Any) -> None:
        default = getattr(Behaviour(), option[2:].replace("-", "_"))
        group.add_argument(option, help=text, default=default, **more)

    add(
        "--interrupt-delay",
        "time from an event to its interrupt (default: 0)",
        type=float,
        metavar="SECONDS",
    )
    add(
        "--merge",
        "so many completions share an interrupt, while the card is busy (default: 1)",
        type=int,
        metavar="N",
    )
    add(
        "--spurious-every",
        "a spurious interrupt after every N steps (default: 0, never)",
        type=int,
        metavar="N",
    )
    add("--finish-at-stop", "send the packets that STOP finds", action="store_true")
    add("--look-ahead", "look at rings without a doorbell, too", action="store_true")
    add(
        "--refuse-filters",
        "answer ADDFILT with this error byte, 1 for no space (default: 0, obey)",
        type=int,
        metavar="N",
    )
    add(
        "--queue",
        "packets that may wait to be received (default: 256)",
        type=int,
        metavar="N",
    )
    add(
        "--seed",
        "decides which step comes next wherever several may (default: 0)",
        type=int,
        metavar="N",
    )


def _hwaddr(text: str) -> int:
    if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]{1,8}", text) or int(text, 16) > UNICAST:
        raise argparse.ArgumentTypeError(
            f"1 to 8 hexadecimal digits, not above 7fffffff, not {text!r}"
        )
    return int(text, 16)


def _hwaddr_of(path: str) -> int:
    """An address that another socket's path hardly leads to."""
    return zlib.crc32(os.path.abspath(path).encode()) & UNICAST


def _version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"two numbers with a dot in between, not {text!r}")
    return int(found[1]), int(found[2])
