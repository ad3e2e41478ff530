"""The command `python -m emulator`: a card for virtual machines, behind the vfio-user protocol."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from emulator.control import Control
from emulator.counters import Counters
from emulator.line_server import LineServer
from emulator.net import Ductnet, Net
from emulator.options import NAME, Options, parse
from emulator.running import RunningCard
from emulator.services import attach_services
from emulator.shared_net.member import SharedNet
from emulator.shutdown import Ending, ending_at
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.server import Server

__all__ = ["main"]

FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        options = parse(arguments)
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
        with (
            # First and last: a signal must not find a socket that nobody removes.
            ending_at(signal.SIGTERM, signal.SIGINT) as end,
            _card(options) as (running, memory),
            _controlled(options.control, running),
            contextlib.closing(Server(options.socket, running, memory)) as server,
        ):
            logging.getLogger(NAME).info(
                "a card with address %08x waits for clients", running.card.hwaddr
            )
            _serve(server, end)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{NAME}: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED
    return 0


def _serve(server: Server, end: Ending) -> None:
    """Serve the card until it is time to end. Raises what ends the serving thread before."""
    with ThreadPoolExecutor(1, "vfio-user") as threads:
        serving = threads.submit(server.serve)
        serving.add_done_callback(lambda _: end.begin())
        try:
            end.wait()
        finally:
            server.stop()
        serving.result()


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


@contextlib.contextmanager
def _controlled(path: str | None, running: RunningCard) -> Iterator[None]:
    """A bench may tell the card what to do, if there is a path for it."""
    if path is None:
        yield
    else:
        with contextlib.closing(LineServer(path, Control(running).answer)):
            yield


def _allow_many_files() -> None:
    """Each map of a client's memory takes a file descriptor."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
