"""Many processes on a device file of a guest for a while, and everything accounted for."""

from __future__ import annotations

import contextlib
import signal
import struct
import threading
import time
from collections.abc import Iterator
from typing import Final, final

import attrs

from emulator.packet import NetPacket
from emulator.shared_net.member import SharedNet
from lab.account import Account, parse, summary, wrong
from lab.bench import Seat
from lab.device import DEVICE, PID_FILE, started
from lab.guest import Guest, Process

__all__ = ["kept_up", "load"]

PATIENCE: Final = 400.0
"""Seconds that a load may take longer than it was told to."""
_QUIET: Final = 0.5
"""Seconds after which a net where nobody sends is taken to be quiet."""
_NUMBERED: Final = struct.Struct("<II")


@final
class _Listener:
    """A station of the net that notes the packets of one load."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.heard: list[tuple[int, int]] = []

    def deliver(self, packet: NetPacket) -> None:
        """A packet was on the net."""
        if len(packet.payload) >= _NUMBERED.size and packet.source == packet.destination:
            seed, number = _NUMBERED.unpack_from(packet.payload)
            if seed == self._seed:
                self.heard.append((packet.source, number))

    def quiet(self) -> None:
        """Wait until nothing comes any more."""
        count = -1
        while count != len(self.heard):
            count = len(self.heard)
            time.sleep(_QUIET)


def load(guest: Guest, seat: Seat, seconds: int, seed: int, faults: str = "") -> Account:
    """Let many processes use the device; returns what became of it.

    Args:
        guest: Where.
        seat: The card that the device is.
        seconds: How long.
        seed: Of their choices.
        faults: What befalls card and daemon meanwhile; see `lab/c/load.c`.

    Raises:
        AssertionError: Something is not as it must be.
        GuestError: The load does not end, or finds something wrong itself.
    """
    net = SharedNet(str(seat.card.net))
    listener = _Listener(seed)
    net.attach(listener)
    try:
        words = (str(seconds), str(seed), faults, seat.control, PID_FILE)
        told = guest.check("/tmp/load", DEVICE, *words, seconds=seconds + PATIENCE)
        listener.quiet()
    finally:
        net.close()
    account = parse(told)
    heard = [number for source, number in listener.heard if source == account.address]
    account = attrs.evolve(account, net=heard)
    found = wrong(account)
    assert not found, "\n".join([summary([account]), *found[:20]])
    return account


def _end_of(daemon: Process) -> int:
    """How a daemon has ended, which lives as long as the load lets it: hours, perhaps."""
    return daemon.wait(seconds=threading.TIMEOUT_MAX).status


@contextlib.contextmanager
def kept_up(guest: Guest, address: str) -> Iterator[list[Process]]:
    """A daemon that serves a card, with a pid file, and another one whenever one is killed.

    Yields:
        All of them, the newest last.
    """
    options = ("--pid-file", PID_FILE)
    daemons = [started(guest, address, *options)]
    over = threading.Event()
    problems: list[Exception] = []

    def keep() -> None:
        try:
            while _end_of(daemons[-1]) == -signal.SIGKILL and not over.is_set():
                daemons.append(started(guest, address, *options))
        except Exception as error:
            problems.append(error)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield daemons
    finally:
        over.set()
        told = 0
        while keeper.is_alive():
            # One that was killed may be followed by another just now.
            if told < len(daemons):
                told = len(daemons)
                daemons[-1].signal(signal.SIGTERM)
            keeper.join(_QUIET)
        if problems and daemons[-1].running:
            daemons[-1].signal(signal.SIGTERM)
        ended = daemons[-1].wait()
    assert not problems, problems
    assert ended.status == 0, ended.output
    assert [daemon.wait().status for daemon in daemons[:-1]] == [-signal.SIGKILL] * (
        len(daemons) - 1
    )
