"""One state for all that differ only in how far their tickets have come.

Tickets of the lock and places in the lines are numbers that never stop, of which only differences
mean anything. Here each is counted from the one that is being served. Entries that belong to no
outstanding ticket are cleared, and so are tickets of threads that are not in line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from model.scope import Layout
from model.state import Label
from model.thread_spec import LOCKED

__all__ = ["canonical_source", "folded_source"]


@attrs.frozen
class _Queue:
    """A queue in the state.

    Attributes:
        newest: The variable that holds the next ticket.
        oldest: The variable that holds the ticket that is served.
        entries: Arrays indexed by tickets.
        ticket: The array that holds each thread's ticket.
        labels: Where a thread's ticket is of this queue.
        sleeping: Whether a thread that sleeps there keeps its ticket.
    """

    newest: str
    oldest: str
    entries: tuple[str, ...]
    ticket: str
    labels: frozenset[int]
    sleeping: bool


def _labels(labels: Iterable[Label]) -> frozenset[int]:
    return frozenset(int(label) for label in labels)


LOCK: Final = _Queue(
    "lock.next", "lock.serving", ("lock.who",), "threads.ticket", _labels(LOCKED), sleeping=False
)
LINES: Final = tuple(
    _Queue(
        f"{ring}.line.next",
        f"{ring}.line.head",
        (f"{ring}.line.gone", f"{ring}.line.who"),
        "threads.place",
        _labels(
            label for label in Label if label.name in {f"{ring.upper()}_{word}" for word in words}
        ),
        sleeping=True,
    )
    for ring, words in (
        ("tx", ("TURN", "HEAD", "TAIL", "FIELDS", "OWNER", "DOORBELL", "QUIT")),
        ("cmd", ("TURN", "FIELDS", "OWNER", "DOORBELL", "QUIT")),
    )
)


def canonical_source(layout: Layout) -> list[str]:
    """The body of a function that makes state `S` canonical."""
    lines = ["T = [*S]", f"labels = S[{layout.position['threads.label']}]"]
    lines += _shift(layout, LOCK)
    lines += _thread_tickets(layout, (LOCK,))
    for line in LINES:
        lines += _shift(layout, line)
    lines += _thread_tickets(layout, LINES)
    for ring in ("tx", "cmd"):
        lines += _bells(layout, ring)
    return [*lines, "return tuple(T)"]


def _variable(layout: Layout, name: str) -> Any:
    return layout.system.variables[layout.position[name]]


def _shift(layout: Layout, queue: _Queue) -> list[str]:
    """Count the queue from its oldest ticket on, and clear what is not outstanding."""
    newest, oldest = layout.position[queue.newest], layout.position[queue.oldest]
    base = f"base_{oldest}"
    lines = [
        f"{base} = S[{oldest}]",
        f"length = S[{newest}] - {base}",
        f"T[{newest}] = length",
        f"T[{oldest}] = 0",
    ]
    for name in queue.entries:
        place = layout.position[name]
        variable = _variable(layout, name)
        size = layout.scope.capacity(variable)
        empty = (layout.plain(variable, variable.initial),) * size
        lines += [
            "if length == 0:",
            f"    T[{place}] = {empty!r}",
            "else:",
            f"    start = {base} & {size - 1}",
            f"    a = S[{place}]",
            f"    T[{place}] = (a[start:] + a[:start])[:length] + {empty!r}[length:]",
        ]
    return lines


def _thread_tickets(layout: Layout, queues: tuple[_Queue, ...]) -> list[str]:
    """Count each thread's ticket from the oldest of its queue; clear it outside any queue."""
    place = layout.position[queues[0].ticket]
    asleep = layout.position["threads.asleep"]
    expression = "0"
    for queue in queues:
        base = f"base_{layout.position[queue.oldest]}"
        test = f"label in {set(queue.labels)!r}"
        if not queue.sleeping:
            test += " and not sleeps"
        expression = f"ticket - {base} if {test} else {expression}"
    return [
        f"T[{place}] = tuple([{expression} for ticket, label, sleeps "
        f"in zip(S[{place}], labels, S[{asleep}])])"
    ]


def _bells(layout: Layout, ring: str) -> list[str]:
    """Clear the doorbells that have arrived; those under way keep their number."""
    place = layout.position[f"{ring}.bell_value"]
    rung, heard = layout.position[f"{ring}.rung"], layout.position[f"{ring}.heard"]
    size = layout.scope.capacity(_variable(layout, f"{ring}.bell_value"))
    return [
        f"if S[{rung}] == S[{heard}]:",
        f"    T[{place}] = {(0,) * size!r}",
        "else:",
        f"    a = S[{place}]",
        f"    h, w = S[{heard}], S[{rung}] - S[{heard}]",
        f"    T[{place}] = tuple([a[i] if (i - h) & {size - 1} < w else 0 for i in range({size})])",
    ]


# Cycles: states of a run that never ends must recur, so request and packet numbers are folded too.


@attrs.frozen
class _Numbering:
    """The numbers of one ring's requests or packets.

    Attributes:
        counters: Variables that count; the smaller of the first two is the new zero.
        tags: Variables and arrays that hold a number given earlier.
    """

    counters: tuple[str, ...]
    tags: tuple[str, ...]


NUMBERINGS: Final = (
    _Numbering(
        ("tx.cons", "tx.heard", "tx.dev", "tx.rung", "tx.prod", "tx.sent"),
        (
            *(f"tx.{word}" for word in ("tag", "fields", "head", "tail")),
            *(f"tx.seen_{word}" for word in ("fields", "head", "tail")),
        ),
    ),
    _Numbering(
        ("cmd.cons", "cmd.heard", "cmd.dev", "cmd.rung", "cmd.prod"),
        ("cmd.tag", "cmd.fields", "cmd.result", "cmd.early_tag", "cmd.seen_fields"),
    ),
    _Numbering(("rx.cons", "rx.dev"), ("rx.header", "rx.head", "rx.tail", "rx.early_tag")),
)
HISTORY: Final = (
    "tx.first",
    "cmd.first",
    "rx.first",
    "threads.request",
    "threads.answer",
    "threads.packet",
    "threads.got",
    "threads.got_head",
    "threads.got_tail",
    "threads.length",
)
"""Numbers that no step depends on; folding drops them."""
FOREIGN: Final = 1_000_000
"""Stands for a number that was never given: the contents of fresh memory."""


def folded_source(layout: Layout) -> list[str]:
    """The body of a function that folds a canonical state `S`.

    Numbers count from the oldest one that a step can still ask for. All older ones are alike (-1),
    and so are numbers that were never given.
    """
    lines = ["T = [*S]"]
    for ring in ("tx", "cmd"):
        place = layout.position[f"{ring}.bell_value"]
        size = layout.scope.capacity(_variable(layout, f"{ring}.bell_value"))
        heard, cons = layout.position[f"{ring}.heard"], layout.position[f"{ring}.cons"]
        lines += [
            f"start = min(S[{heard}], S[{cons}]) & {size - 1}",
            f"T[{place}] = S[{place}][start:] + S[{place}][:start]",
        ]
    for numbering in NUMBERINGS:
        places = [layout.position[name] for name in numbering.counters]
        lines.append(f"zero = min(S[{places[0]}], S[{places[1]}])")
        lines.append(f"top = max({', '.join(f'S[{place}]' for place in places)})")
        lines += [f"T[{place}] = S[{place}] - zero" for place in places]
        for name in numbering.tags:
            place = layout.position[name]
            fold = f"(-1 if n < zero else n - zero if n <= top else {FOREIGN})"
            if _variable(layout, name).domain is None:
                lines += [f"n = S[{place}]", f"T[{place}] = {fold}"]
            else:
                lines.append(f"T[{place}] = tuple([{fold} for n in S[{place}]])")
    for name in HISTORY:
        variable = _variable(layout, name)
        empty = 0 if variable.domain is None else (0,) * layout.scope.capacity(variable)
        lines.append(f"T[{layout.position[name]}] = {empty!r}")
    return [*lines, "return tuple(T)"]
