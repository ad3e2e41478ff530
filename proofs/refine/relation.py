"""How what the driver keeps and the specification's variables belong together.

The relation holds wherever nobody has the lock: it is proved where the lock is given up, with what
the driver keeps as its lines left it, and known where the lock is given. Steps that need no lock
keep it, which is proved for each of them. It is what the proof of the lines claims beside that
their accesses are steps; so it is part of the statement, and has to be read.

The driver's objects are these variables, `impl.` before their name:

* of a request ring its counters, whom a slot's completion is told to (the thread that waits for the
  request in `_waiting`, or `NOBODY`), and whether it has memory;
* while the handler takes transmit slots back, which the driver does in three steps and the
  specification slot by slot: up to where it has `scanned` for slots that were returned, and up to
  where it has `told` who waits. Elsewhere both are what was consumed;
* of a queue of callers (a deque of places) the places from `head` to `next`, without those that
  left: the deque holds the others, in this order;
* of the receive ring the packets taken and the slots held;
* how often the card is open;
* of each caller what its request says; by wait queue, whether a sleeper was woken; what is shown to
  pollers; the life of the card, and whether it failed.
"""

from __future__ import annotations

from typing import Any, Final

from engine.claims import Invariant, InvariantBook, apart, slot_exists, within
from engine.refine.values import low
from engine.rules import bind
from engine.terms import (
    FALSE,
    And,
    Bool,
    Iff,
    Implies,
    Number,
    Sort,
    constant,
    one_of,
    ring_size,
    select,
    symbol,
    wrap,
)
from model.ring_spec import COMMAND, RECEIVE, TRANSMIT, QueueOperations, RingOperations
from model.state import NOBODY, Label, Life, Result, State
from model.thread_spec import SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_RX, SLEEPS_TX, at, woken_on
from proofs.invariants.requests import queued

__all__ = ["KEPT", "PACKET_STAYS", "QUEUES", "RELATION", "kept"]

_FLAG, _COUNT = Sort.BOOL, Sort.NUMBER
_FLAGS, _COUNTS = Sort.BOOL_ARRAY, Sort.NUMBER_ARRAY
QUEUES: Final = ("SENDERS", "COMMANDS", "READERS", "LIFE")
"""The wait queues."""
KEPT: Final[dict[str, Sort]] = {
    **{
        f"impl.{ring}.{name}": sort
        for ring in ("tx", "cmd")
        for name, sort in (("produced", _COUNT), ("consumed", _COUNT), ("waiting", _COUNTS))
    },
    **{
        f"impl.{ring}.{name}": sort
        for ring in ("tx", "cmd", "rx")
        for name, sort in (
            ("attached", _FLAG), ("head", _COUNT), ("next", _COUNT), ("gone", _FLAGS),
            ("who", _COUNTS),
        )
    },
    "impl.tx.scanned": _COUNT,
    "impl.tx.told": _COUNT,
    "impl.rx.taken": _COUNT,
    "impl.rx.held": _FLAGS,
    "impl.life": _COUNT,
    "impl.failed": _FLAG,
    "impl.inside": _COUNT,
    "impl.opens": _COUNT,
    "impl.readable": _FLAG,
    "impl.writable": _FLAG,
    "impl.done": _FLAGS,
    "impl.result": _COUNTS,
    **{f"impl.woken.{queue}": _FLAGS for queue in QUEUES},
}  # fmt: skip
"""What the driver keeps."""


def kept(name: str) -> Any:
    """A variable of the driver."""
    return symbol(f"impl.{name}", KEPT[f"impl.{name}"])


def kept_at(name: str, index: Number) -> Any:
    """An element of an array of the driver."""
    return select(kept(name), index)


RINGS: Final = InvariantBook(TRANSMIT, COMMAND)
LINES: Final = InvariantBook(TRANSMIT, COMMAND, RECEIVE)
BOOK: Final = InvariantBook()


def untold(ops: RingOperations, k: Number) -> Bool:
    """Slot k was found to be returned, and who waits for it was not told yet."""
    if ops is COMMAND:
        return FALSE
    told, scanned = kept("tx.told"), kept("tx.scanned")
    return And(told != scanned, wrap(k, low(told)) < scanned - told)


@RINGS.for_each_ring("driver.counters")
def counters(ops: RingOperations, s: State) -> Bool:
    """The driver counts from 0 at set-up, and masks the count; without memory nothing is out."""
    ring = ops.ring(s)
    produced = kept(f"{ops.name}.produced")
    consumed = kept(f"{ops.name}.{'scanned' if ops is TRANSMIT else 'consumed'}")
    return And(
        Iff(kept(f"{ops.name}.attached"), ring.live),
        Implies(~ring.live, (produced == 0) & (consumed == 0)),
        Implies(
            ring.live,
            And(
                produced == ring.prod - ring.first,
                consumed == ring.cons - ring.first,
                constant(0) <= consumed,
                low(produced) == ring.prod_i,
                low(consumed) == ring.cons_i,
            ),
        ),
    )


@BOOK.invariant("tx.driver.untold")
def untold_slots(s: State) -> Bool:
    """The slots whose waiters were not told yet are those in front of the one that comes next."""
    told, scanned = kept("tx.told"), kept("tx.scanned")
    return Implies(
        told != scanned,
        And(
            constant(0) <= kept("tx.consumed"),
            kept("tx.consumed") <= told,
            constant(0) <= scanned - told,
            scanned - told <= ring_size(),
            apart(low(scanned), low(told), scanned - told),
            s.tx.live,
        ),
    )


@BOOK.invariant("tx.driver.untold-waiter", "slot")
def untold_waiter(s: State, k: Number) -> Bool:
    """Who was not told yet still waits, and its request is completed."""
    waiter = kept_at("tx.waiting", k)
    return Implies(
        slot_exists(k) & untold(TRANSMIT, k) & (waiter != NOBODY),
        queued(TRANSMIT, s, waiter) & s.threads.completed[waiter],
    )


@RINGS.for_each_ring("driver.waiting", "slot")
def waiting(ops: RingOperations, s: State, k: Number) -> Bool:
    """Who is told of a slot's completion is its waiter; without memory nobody is."""
    ring = ops.ring(s)
    told = kept_at(f"{ops.name}.waiting", k)
    taken = untold(ops, k)
    return Implies(
        slot_exists(k),
        And(
            Implies(ring.live & taken, ring.waiter[k] == NOBODY),
            Implies(ring.live & ~taken, told == ring.waiter[k]),
            Implies(~ring.live, told == NOBODY),
        ),
    )


@LINES.for_each_ring("driver.queue")
def queue(ops: QueueOperations, s: State) -> Bool:
    """The driver's queue of callers has the places of the specification's."""
    waiters = ops.waiters(s)
    return And(kept(f"{ops.name}.head") == waiters.head, kept(f"{ops.name}.next") == waiters.next)


@LINES.for_each_ring("driver.queue-place", "counter")
def queue_place(ops: QueueOperations, s: State, j: Number) -> Bool:
    """Each place is the same caller's, or was given up in both."""
    waiters = ops.waiters(s)
    return Implies(
        within(j, waiters.head, waiters.next - waiters.head),
        And(
            Iff(kept_at(f"{ops.name}.gone", j), waiters.cancelled[j]),
            kept_at(f"{ops.name}.who", j) == waiters.waiter[j],
        ),
    )


@RINGS.for_each_ring("driver.told", "thread")
def told(ops: RingOperations, s: State, u: Number) -> Bool:
    """A caller's request says that it is done exactly if its completion was taken, and how."""
    threads = s.threads
    waits = queued(ops, s, u) & ~threads.nonblocking[u] & (threads.result[u] == Result.NONE)
    done, completed = kept_at("done", u), threads.completed[u]
    if ops is TRANSMIT:
        slot = threads.slot[u]
        later = untold(ops, slot) & slot_exists(slot) & (kept_at("tx.waiting", slot) == u)
        return Implies(waits, And(Implies(done, completed), Implies(completed, done | later)))
    byte, status = kept_at("result", u), threads.status[u]
    refused = one_of(status, (Result.ENOSPC, Result.ENOENT))
    said = And(Iff(byte == 0, status == Result.OK), Iff(byte == 1, refused))
    return Implies(waits, And(Iff(done, completed), Implies(done, said)))


@BOOK.invariant("driver.life")
def life(s: State) -> Bool:
    """The life of the card, whether it failed, and how many calls and opens there are."""
    driver = s.driver
    return And(
        kept("life") == driver.life,
        Iff(kept("failed"), driver.failed),
        kept("inside") == driver.inside,
        kept("opens") == driver.handles,
    )


def woken(queue: str, labels: tuple[Label, ...], s: State, u: Number) -> Bool:
    """Every sleeper that the specification has woken was woken."""
    asleep = s.threads.asleep[u] & at(s, u, *labels)
    return Implies(asleep & woken_on(s, queue)[u], kept_at(f"woken.{queue}", u))


for _queue, _labels in (
    ("SENDERS", SLEEPS_TX), ("COMMANDS", SLEEPS_CMD), ("READERS", SLEEPS_RX), ("LIFE", SLEEPS_LIFE),
):  # fmt: skip
    BOOK.invariant(f"driver.woken.{_queue}", "thread")(bind(woken, _queue, _labels))


@BOOK.invariant("driver.writable")
def writable(s: State) -> Bool:
    """Pollers see the card as writable exactly if a packet could be queued, or the card failed."""
    line = s.tx.waiters
    free = (line.head == line.next) & (s.tx.prod - s.tx.cons < ring_size())
    return Implies(s.driver.life == Life.OPEN, Iff(kept("writable"), s.driver.failed | free))


@BOOK.invariant("driver.readable")
def readable(s: State) -> Bool:
    """Pollers see the card as readable exactly if the specification says so."""
    return Implies(s.driver.life == Life.OPEN, Iff(kept("readable"), s.rx.ready))


@BOOK.invariant("rx.driver.counters")
def receive_counters(s: State) -> Bool:
    """Packets taken are counted from set-up, and the count is masked."""
    ring, taken = s.rx, kept("rx.taken")
    return And(
        Iff(kept("rx.attached"), ring.live),
        Implies(
            ring.live,
            And(taken == ring.cons - ring.first, constant(0) <= taken, low(taken) == ring.cons_i),
        ),
    )


@BOOK.invariant("rx.driver.held", "slot")
def receive_held(s: State, k: Number) -> Bool:
    """The driver knows which slots readers hold."""
    return Implies(s.rx.live & slot_exists(k), Iff(kept_at("rx.held", k), s.rx.held[k]))


@BOOK.invariant("rx.driver.packet-stays")
def packet_stays(s: State) -> Bool:
    """A packet that waits goes on waiting while nobody takes packets."""
    return s.rx.live & (s.rx.dev != s.rx.cons)


PACKET_STAYS: Final = BOOK.invariants.pop()
"""What others keep besides, while a reader keeps the lock."""
RELATION: Final[tuple[Invariant, ...]] = (
    *RINGS.invariants,
    *LINES.invariants,
    *BOOK.invariants,
)
"""The relation."""
