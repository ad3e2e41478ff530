"""What a load (`lab/c/load.c`) tells, judged together with what was on the net. Pure.

What may get lost, and nothing else:

* A packet whose write said that the card has sent it was on the net, once, whatever happened to
  card and daemon afterwards. One that was only queued, too, unless the card failed or the daemon
  was killed before it was its turn: nothing that was queued or sent later, and before the failure,
  was on the net then.
* A packet whose write was refused (EINTR, EAGAIN) was not on the net. Of a write that says that the
  card failed or the daemon ended nobody knows; its packet was there once at the most.
* What was on the net is read once, whole, and in that order. Where the card fails or the daemon is
  killed, what the card had received and nobody had read yet is lost, with all that came after it.
  And a process that is killed loses a packet that it was reading, as does a call that the daemon
  had when that was killed: one each, which left the card while that process or call was there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

__all__ = ["Account", "Fault", "Packet", "parse", "summary", "wrong"]

SETTLED: Final = 4096
"""Kilobytes that a daemon may grow by after it was first looked at."""
KINDS: Final = {
    "f": "failures of the card",
    "k": "daemons killed",
    "b": "of both at once",
}
"""What befalls card and daemon; see `Fault`."""


@attrs.frozen
class Packet:
    """What became of a packet. Times are counts of what began and ended.

    Attributes:
        fate: What its write said; see `lab/c/load.c`.
        began, ended: When the write did.
        read_began, read_ended: The same of the read that got it; 0 if there was none.
    """

    fate: str
    began: int
    ended: int
    read_began: int = 0
    read_ended: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether its write said that it was sent, or is going to be."""
        return self.fate in "SQ"

    @property
    def read(self) -> bool:
        """Whether a process got it that was not killed."""
        return self.read_ended > 0


@attrs.frozen
class Fault:
    """The card failed (f), the daemon was killed (k), or both (b).

    Attributes:
        kind: Which of them.
        before: How many packets had a number before it.
        after: How many had one after it.
        took: Milliseconds until every process had all its files open again.
    """

    kind: str
    before: int
    after: int
    took: int


@attrs.frozen
class Account:
    """What a load told.

    Attributes:
        packets: By their numbers, which are in the order in which their writes began.
        faults: In the order in which they were made.
        memory: Kilobytes of each daemon, from its beginning to its end, by process number.
        address: The card's hardware address.
        calls: Calls that were made.
        interrupted: Calls that ended with EINTR or EAGAIN.
        killed: Processes that were killed.
        losses: When, from and to, somebody may have taken a packet and never told of it.
        net: The numbers of the packets that were on the net, in that order.
    """

    packets: Sequence[Packet]
    faults: Sequence[Fault]
    memory: dict[int, list[int]]
    address: int
    calls: int
    interrupted: int
    killed: int
    losses: Sequence[tuple[int, int]] = ()
    net: Sequence[int] = ()

    def periods(self) -> list[range]:
        """The numbers of the packets that were written while there was no fault."""
        begins = [0, *(fault.after for fault in self.faults)]
        ends = [*(fault.before for fault in self.faults), len(self.packets)]
        return [range(begin, end) for begin, end in zip(begins, ends, strict=True)]

    def growth(self) -> int:
        """Kilobytes that a daemon has grown by since it was first looked at, at the most."""
        return max((max(it) - it[0] for it in self.memory.values()), default=0)


def summary(accounts: Sequence[Account]) -> str:
    """What several loads did, in one line."""
    faults = [fault for account in accounts for fault in account.faults]
    counts = Counter(fault.kind for fault in faults)
    struck = "".join(f", {counts[kind]} {name}" for kind, name in KINDS.items() if counts[kind])
    slowest = max((fault.took for fault in faults), default=0)
    back = f" (back in {slowest / 1000:.1f} s at the most)" if faults else ""
    acknowledged = [
        {number for number, packet in enumerate(account.packets) if packet.acknowledged}
        for account in accounts
    ]
    left = sum(
        len(numbers.intersection(account.net))
        for numbers, account in zip(acknowledged, accounts, strict=True)
    )
    return (
        f"{sum(account.calls for account in accounts)} calls, "
        f"{sum(account.interrupted for account in accounts)} ended early, "
        f"{sum(account.killed for account in accounts)} processes killed{struck}{back}; "
        f"{sum(map(len, acknowledged))} packets acknowledged, {left} of them on the net; "
        f"{sum(packet.read for account in accounts for packet in account.packets)} read"
    )


def parse(text: str) -> Account:
    """What a load printed. Raises `ValueError` if it did not come to its end."""
    packets, faults = [], []
    memory: dict[int, list[int]] = {}
    losses = []
    counted: list[int] | None = None
    for line in text.splitlines():
        match line.split():
            case ["packet", fate, *times]:
                packets.append(Packet(fate, *map(int, times)))
            case ["fault", kind, *numbers]:
                faults.append(Fault(kind, *map(int, numbers)))
            case ["memory", pid, kilobytes]:
                memory.setdefault(int(pid), []).append(int(kilobytes))
            case ["lost", began, ended]:
                losses.append((int(began), int(ended)))
            case ["load", *numbers]:
                counted = list(map(int, numbers))
    if counted is None:
        raise ValueError(f"this is no account of a load:\n{text[-2000:]}")
    address, calls, interrupted, killed = counted
    return Account(packets, faults, memory, address, calls, interrupted, killed, losses)


def wrong(account: Account) -> list[str]:
    """What is not as it must be, a sentence each."""
    packets = account.packets
    places = {number: place for place, number in enumerate(account.net)}
    settled = account.periods()[-1]
    found = [
        f"packet {n} was on the net {c} times" for n, c in Counter(account.net).items() if c > 1
    ]
    for number, packet in enumerate(packets):
        name = f"packet {number} ({packet.fate})"
        if packet.fate not in "SQRF":
            found.append(f"{name}: nobody knows what became of its write")
        if number in places and packet.fate == "R":
            found.append(f"{name} was refused, and was on the net")
        if number not in places and (
            packet.fate == "S" or (packet.fate == "Q" and number in settled)
        ):
            found.append(f"{name} was acknowledged, and was not on the net")
        if number not in places and packet.read:
            found.append(f"{name} was read, and was not on the net")
    found += _sent_out_of_order(account, places)
    found += _read_wrong(account, places)
    if account.growth() > SETTLED:
        found.append(f"a daemon has grown by {account.growth()} kB")
    return found


def _sent_out_of_order(account: Account, places: dict[int, int]) -> Iterable[str]:
    """A packet whose write had ended before another one's began is on the net before that one."""
    for period in account.periods():
        # The first place of all that began at this number or later.
        later: dict[int, float] = {period.stop: math.inf}
        for number in reversed(period):
            later[number] = min(later[number + 1], places.get(number, math.inf))
        for number in period:
            packet = account.packets[number]
            if not packet.acknowledged:
                continue
            follower = _first(account, period, packet.ended)
            if later[follower] < places.get(number, math.inf):
                yield f"packet {number} was queued first, and a later one was on the net before it"


def _first(account: Account, period: range, time: int) -> int:
    """The first packet of a period whose write began after a time; its end if there is none."""
    low, high = period.start, period.stop
    while low < high:
        middle = (low + high) // 2
        if account.packets[middle].began > time:
            high = middle
        else:
            low = middle + 1
    return low


def _read_wrong(account: Account, places: dict[int, int]) -> Iterable[str]:
    packets = account.packets
    read = [number for number in places if packets[number].read]
    # What was read before another read began was on the net before.
    newest = -1
    ended = sorted(read, key=lambda number: packets[number].read_ended)
    done = 0
    for number in sorted(read, key=lambda number: packets[number].read_began):
        while packets[ended[done]].read_ended < packets[number].read_began:
            newest = max(newest, places[ended[done]])
            done += 1
        if places[number] < newest:
            yield f"packet {number} was read after one that was on the net later"
    # What nobody read was lost at a fault with all that came after it, or somebody took it.
    *earlier, settled = account.periods()
    missing = [number for period in earlier for number in _holes(packets, places, period)]
    missing += [n for n in settled if n in places and not packets[n].read]
    for number in _unexplained(account.losses, _taken(account, missing)):
        yield f"packet {number} was on the net, and nobody read it"


def _holes(packets: Sequence[Packet], places: dict[int, int], period: range) -> list[int]:
    """The packets that nobody read although a later one was."""
    there = [number for number in period if number in places]
    last = max((places[number] for number in there if packets[number].read), default=-1)
    return [n for n in there if not packets[n].read and places[n] < last]


def _taken(account: Account, numbers: Sequence[int]) -> Iterator[tuple[int, float, float]]:
    """From when to when a packet may have left the card: after the one before it, and so on."""
    net, packets = account.net, account.packets
    began: dict[int, int] = {}
    newest = 0
    for number in net:
        # And no earlier than it came, as all those before it.
        newest = max(newest, packets[number].began, packets[number].read_began)
        began[number] = newest
    ended: dict[int, float] = {}
    oldest = math.inf
    for number in reversed(net):
        if packets[number].read:
            oldest = min(oldest, packets[number].read_ended)
        ended[number] = oldest
    for number in numbers:
        yield number, began[number], ended[number]


def _unexplained(
    losses: Sequence[tuple[int, int]], taken: Iterable[tuple[int, float, float]]
) -> Iterator[int]:
    """The packets for which there is nobody who may have taken them; each takes one."""
    left = sorted(losses, key=lambda loss: loss[1])
    for number, earliest, latest in sorted(taken, key=lambda it: (it[2], it[1])):
        fitting = (loss for loss in left if loss[0] <= latest and loss[1] >= earliest)
        loss = next(fitting, None)
        if loss is None:
            yield number
        else:
            left.remove(loss)
