"""The command `python -m emulator`: a card for virtual machines, behind the vfio-user protocol."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import resource
import signal
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn

import attrs

from emulator.backend import DEFAULT_HWADDR
from emulator.behaviour import Behaviour
from emulator.counters import Counters
from emulator.net import Ductnet, Net
from emulator.running import RunningCard
from emulator.services import attach_services
from emulator.shared_net.member import SharedNet
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.server import Server

__all__ = ["main"]

NAME: Final = "python -m emulator"
FAILED: Final = 1
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

SIGTERM or SIGINT ends the card and removes its socket.

exit status: 0 ended by SIGTERM or SIGINT; 1 it cannot be served; 2 wrong usage"""
_UNICAST: Final = 0x7FFF_FFFF
_LEVELS: Final = ("debug", "info", "warning", "error")


@attrs.frozen
class Options:
    """What was asked for."""

    socket: str
    net: str | None
    hwaddr: int
    card_version: tuple[int, int]
    behaviour: Behaviour
    log_level: str


class _Parser(argparse.ArgumentParser):
    """A parser that tells mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        options = _parse(arguments)
    except SystemExit as ending:  # --help, wrong usage
        return int(ending.code or 0)
    logging.basicConfig(
        level=options.log_level.upper(),
        format=f"{options.socket}: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    _allow_many_files()
    try:
        with _card(options) as (running, memory):
            _serve(options.socket, running, memory)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{NAME}: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED
    return 0


def _serve(path: str, running: RunningCard, memory: ClientMemory) -> None:
    """Serve the card until a signal asks for the end."""
    server = Server(path, running, memory)
    try:
        with _handled((signal.SIGTERM, signal.SIGINT), server):
            logging.getLogger(NAME).info(
                "a card with address %08x waits for clients", running.card.hwaddr
            )
            server.serve()
    finally:
        server.close()


@contextlib.contextmanager
def _handled(numbers: Sequence[signal.Signals], server: Server) -> Iterator[None]:
    """These signals stop the server, as long as this lasts."""
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _card(options: Options) -> Iterator[tuple[RunningCard, ClientMemory]]:
    """A card with power, on its net, and the memory that it is to reach."""
    with _net(options.net) as net:
        counters = Counters()
        memory = ClientMemory(counters)
        running = RunningCard(
            memory,
            net,
            hwaddr=options.hwaddr,
            behaviour=options.behaviour,
            counters=counters,
        )
        try:
            with running.held() as card:
                card.version = options.card_version
            yield running, memory
        finally:
            running.power_off()


@contextlib.contextmanager
def _net(path: str | None) -> Iterator[Net]:
    if path is None:
        net = Ductnet()
        attach_services(net)
        yield net
    else:
        shared = SharedNet(path)
        try:
            yield shared
        finally:
            shared.close()


def _allow_many_files() -> None:
    """Each map of a client's memory takes a file descriptor."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# Options


def _parse(arguments: Sequence[str] | None) -> Options:
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
    return Options(given.socket, given.net, hwaddr, given.card_version, behaviour, given.log_level)


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
        "an interrupt without a reason after every N steps (default: 0, never)",
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
    if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]{1,8}", text) or int(text, 16) > _UNICAST:
        raise argparse.ArgumentTypeError(
            f"1 to 8 hexadecimal digits, not above 7fffffff, not {text!r}"
        )
    return int(text, 16)


def _hwaddr_of(path: str) -> int:
    """An address that another socket's path hardly leads to."""
    return zlib.crc32(os.path.abspath(path).encode()) & _UNICAST


def _version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"two numbers with a dot in between, not {text!r}")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    sys.exit(main())
