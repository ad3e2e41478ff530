"""Which states differ in nothing that a step can notice, as data that a protocol gives.

Tickets and positions in queues never stop counting, and only their differences mean anything. So do
the sequence numbers of requests and packets. A search takes states that differ in nothing else for
one (`engine.canonical`).
"""

from __future__ import annotations

import attrs

__all__ = ["Log", "Numbering", "Queue", "Symmetry"]


@attrs.frozen
class Queue:
    """A queue in the state, first come, first served.

    Attributes:
        newest: The variable that holds the next ticket.
        oldest: The variable that holds the ticket that is served.
        entries: Arrays indexed by tickets.
        ticket: The array that holds each thread's ticket.
        labels: The program counters at which a thread's ticket is one of this queue.
        asleep: Whether a thread that sleeps there keeps its ticket.
    """

    newest: str
    oldest: str
    entries: tuple[str, ...]
    ticket: str
    labels: frozenset[int]
    asleep: bool


@attrs.frozen
class Log:
    """Values that a counter indexes, of which those between two counters are under way.

    Attributes:
        values: The array.
        oldest, newest: The counters: values from `oldest` up to `newest` are under way.
        base: A counter that may be behind `oldest`; folding counts from the smaller of the two.
    """

    values: str
    oldest: str
    newest: str
    base: str


@attrs.frozen
class Numbering:
    """The sequence numbers of one ring's requests or packets.

    Attributes:
        counters: Variables that count; the smaller of the first two is the new zero.
        sequences: Variables and arrays that hold a number given earlier.
    """

    counters: tuple[str, ...]
    sequences: tuple[str, ...]


@attrs.frozen
class Symmetry:
    """Everything in which states may differ and still be alike.

    Attributes:
        queues: Tickets count from the one that is served; those of one `ticket` array together.
        logs: What is not under way is cleared.
        numberings: Where cycles are looked for, sequence numbers count from the oldest in use.
        asleep: The array that says which threads sleep; "" if there are no queues.
        unread: Variables that no step depends on; where cycles are looked for, they are dropped.
    """

    queues: tuple[Queue, ...] = ()
    logs: tuple[Log, ...] = ()
    numberings: tuple[Numbering, ...] = ()
    asleep: str = ""
    unread: tuple[str, ...] = ()
