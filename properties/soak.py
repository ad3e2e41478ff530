"""Traffic for ten minutes, and every packet accounted for: `python -m properties.soak`.

Real threads and the emulated card at its own pace. Four workers send numbered packets to the echo
service and receive what comes back, while the card fails at random moments, drivers are closed
under the workers and opened again, and the card has every temper that it may have: it delays and
merges interrupts or raises them for nothing, looks at rings without a doorbell, sends what STOP
finds, holds few packets, and refuses filters, which the workers add and remove meanwhile.

At the end each packet is one of these, and the numbers must add up:

* *echoed*: it came back, whole and once;
* *lost with the card*: it was under way when the card failed or was closed;
* *refused*: the driver raised one of its errors instead of queuing it;
* *dropped*: the card had no room for its echo, and counted that.

And each change of a filter is answered as the card means it to be.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

import attrs

from emulator.backend import Laboratory
from emulator.behaviour import Behaviour
from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import (
    CardFailedError,
    ClosedError,
    DuctError,
    FilterTableFullError,
    WaitTimeoutError,
)
from impl.settings import Settings
from model.layout import ECHO, EXACT_MASK

__all__ = ["Account", "main", "soak"]

WORKERS: Final = 4
HEAD: Final = struct.Struct("<IIII")
"""Worker, session, number of the packet, bytes that follow."""
SIZES: Final = (0, 1, 2, 100, 4096, 4097, 16384 - HEAD.size)
PATIENCE: Final = 20.0
"""Seconds that a call may take before it counts as hanging."""


@attrs.define
class Account:
    """What became of the packets.

    Attributes:
        given: Packets that workers gave to the driver.
        sent: Calls to send that returned; their packets left the card.
        failed: Calls to send that raised.
        echoed: Packets that came back.
        filters: Filters that were added, removed, or refused.
        refused: Those that were refused.
        sessions: How often the card was opened.
        failures: How often it failed.
        closes: How often it was closed under the workers.
        wrong: What must not happen, in words.
    """

    given: int = 0
    sent: int = 0
    failed: int = 0
    echoed: int = 0
    filters: int = 0
    refused: int = 0
    sessions: int = 0
    failures: int = 0
    closes: int = 0
    wrong: list[str] = attrs.field(factory=list)


class _Session:
    """One open of the card, shared by all workers until it fails or is closed."""

    def __init__(self, number: int, duct: DuctDriver, *, refuses: bool) -> None:
        self.number = number
        self.duct = duct
        self.refuses = refuses
        self.mutex = threading.Lock()
        self.next = [0] * WORKERS
        self.seen: list[set[int]] = [set() for _ in range(WORKERS)]
        self.filtered = [False] * WORKERS
        self.sent = 0
        self.failed = 0
        self.echoed = 0

    def send(self, worker: int, source: random.Random) -> None:
        """Send one packet, and wait until the card has sent it."""
        number = self.next[worker]
        self.next[worker] += 1
        size = source.choice(SIZES)
        payload = HEAD.pack(worker, self.number, number, size) + bytes([number & 0xFF]) * size
        try:
            self.duct.send(ECHO.address, payload, timeout=PATIENCE)
        except DuctError:
            with self.mutex:
                self.failed += 1
            raise
        with self.mutex:
            self.sent += 1

    def receive(self, account: Account) -> None:
        """Receive one packet: it is whole, of this session, and did not come before."""
        packet = self.duct.receive(timeout=0.05)
        worker, session, number, size = HEAD.unpack_from(packet.payload)
        body = packet.payload[HEAD.size :]
        with self.mutex:
            self.echoed += 1
            if session != self.number or body != bytes([number & 0xFF]) * size:
                account.wrong.append(f"session {self.number}: packet {number} of {worker} is torn")
            if not 0 <= number < self.next[worker]:
                account.wrong.append(f"session {self.number}: packet {number} was never sent")
            if number in self.seen[worker]:
                account.wrong.append(f"session {self.number}: packet {number} came twice")
            self.seen[worker].add(number)

    def change_filter(self, worker: int, account: Account) -> None:
        """Add a filter of the worker's own, or remove it; a card that refuses filters says so."""
        there = self.filtered[worker]
        change = self.duct.remove_multicast if there else self.duct.add_multicast
        try:
            change(EXACT_MASK, EXACT_MASK - worker, timeout=PATIENCE)
            self.filtered[worker] = not there
        except FilterTableFullError:
            pass
        refused = self.filtered[worker] == there
        with self.mutex:
            account.filters += 1
            account.refused += refused
            if refused != (self.refuses and not there):
                account.wrong.append(f"session {self.number}: filter {worker}, refused: {refused}")


def soak(seconds: float, seed: int, *, talk: bool = True) -> Account:
    """Run for about `seconds`; returns the account."""
    source = random.Random(seed)
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    account = Account()
    end = time.monotonic() + seconds
    shown = time.monotonic()
    try:
        while time.monotonic() < end and not account.wrong:
            _one_session(laboratory, attachments, account, source, end)
            if talk and time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(_line(account, end - shown), flush=True)
    finally:
        laboratory.power_off()
    return account


def _one_session(
    laboratory: Laboratory,
    attachments: Attachments,
    account: Account,
    source: random.Random,
    end: float,
) -> None:
    card = laboratory.card("")
    behaviour = Behaviour(
        interrupt_delay=source.choice([0.0, 0.0, 0.0002]),
        merge=source.choice([1, 4]),
        spurious_every=source.choice([0, 97]),
        finish_at_stop=source.random() < 0.5,
        look_ahead=source.random() < 0.5,
        queue=source.choice([256, 8]),
        seed=source.randrange(1 << 30),
    )
    card.behaviour = behaviour
    settings = Settings(ring_shift=source.choice([0, 1, 3, 6]))
    duct = DuctDriver.open("emulated:", settings=settings, attachments=attachments)
    # Not before: to open it takes the filter of its own address.
    refuses = source.random() < 0.5
    card.behaviour = attrs.evolve(behaviour, refuse_filters=refuses)
    account.sessions += 1
    session = _Session(account.sessions, duct, refuses=refuses)
    before = attrs.evolve(card.counters)
    over = threading.Event()
    workers = [
        threading.Thread(
            target=_work, args=(session, number, source.randrange(1 << 30), account, over)
        )
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    over.wait(min(source.uniform(0.05, 0.6), max(0.0, end - time.monotonic())))
    ending = source.choice(["fail", "close", "rest"])
    if ending == "fail":
        card.fail()
        account.failures += 1
    elif ending == "rest":
        over.set()
    if ending == "close":
        account.closes += 1
        duct.close()
    for worker in workers:
        worker.join(PATIENCE)
        if worker.is_alive():
            account.wrong.append(f"session {session.number}: a worker hangs after {ending}")
            return
    if ending == "rest":
        _collect(session, account)
    duct.close()
    after = card.counters
    gone = after.dropped - before.dropped + after.lost - before.lost
    _settle(session, account, ending, gone)


def _work(
    session: _Session, worker: int, seed: int, account: Account, over: threading.Event
) -> None:
    source = random.Random(seed)
    try:
        while not over.is_set():
            choice = source.random()
            if choice < 0.45:
                session.send(worker, source)
            elif choice < 0.5:
                session.change_filter(worker, account)
            else:
                with contextlib.suppress(WaitTimeoutError):
                    session.receive(account)
    except (CardFailedError, ClosedError):
        over.set()
    except BaseException as error:
        account.wrong.append(f"session {session.number}: worker {worker} raised {error!r}")
        over.set()


def _collect(session: _Session, account: Account) -> None:
    """Receive what is still on its way."""
    quiet = 0
    while quiet < 3:
        try:
            session.receive(account)
            quiet = 0
        except WaitTimeoutError:
            quiet += 1


def _settle(session: _Session, account: Account, ending: str, dropped: int) -> None:
    """Add a session's numbers up."""
    given = sum(session.next)
    account.given += given
    account.sent += session.sent
    account.failed += session.failed
    account.echoed += session.echoed
    where = f"session {session.number} ({ending})"
    if session.sent + session.failed != given:
        account.wrong.append(
            f"{where}: {given} packets were given, {session.sent} sent, {session.failed} failed"
        )
    if session.echoed > given:
        account.wrong.append(f"{where}: {session.echoed} echoes of {given} packets")
    if ending == "rest" and (session.failed or session.echoed + dropped != given):
        account.wrong.append(
            f"{where}: {given} packets were given, {session.failed} failed, {session.echoed} came "
            f"back and {dropped} were dropped"
        )


def _line(account: Account, left: float) -> str:
    return (
        f"{left:6.0f} s left: {account.sessions} sessions, {account.failures} failures, "
        f"{account.closes} closes, {account.given} packets given, {account.sent} sent, "
        f"{account.failed} failed, {account.echoed} echoed, {account.filters} filters changed, "
        f"{account.refused} of them refused"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns 0 if everything adds up, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m properties.soak",
        description="Traffic, failures and closes for a while; every packet is accounted for.",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long; 600 by default")
    parser.add_argument("--seed", type=int, default=1, help="what the choices are drawn from")
    options = parser.parse_args(arguments)
    account = soak(options.seconds, options.seed)
    print(_line(account, 0.0))
    for item in account.wrong:
        print(f"wrong: {item}")
    some = "some packets are not" if account.wrong else "all packets are"
    print(f"{some} accounted for")
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
