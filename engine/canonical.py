"""One state for all that are alike, as generated code.

A *canonical* state counts tickets and positions from the one that is served. Entries that belong to
no outstanding ticket are cleared, and so are tickets of threads that are in no queue. A *folded*
state counts sequence numbers from the oldest in use, too, so that a run that never ends comes back
to a state. What is alike is said by the protocol (`engine.symmetry`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from engine.scope import Layout
from engine.symmetry import Log, Queue
from engine.variables import Variable

__all__ = ["canonical_source", "folded_source"]

FOREIGN: Final = 1_000_000
"""Stands for a number that was never given: the contents of fresh memory."""


def canonical_source(layout: Layout) -> list[str]:
    """The body of a function that makes state `S` canonical."""
    protocol = layout.system.protocol
    lines = ["T = [*S]"]
    for ticket, group in itertools.groupby(protocol.symmetry.queues, lambda queue: queue.ticket):
        queues = tuple(group)
        for queue in queues:
            lines += _shift(layout, queue)
        lines += _thread_tickets(layout, ticket, queues)
    for log in protocol.symmetry.logs:
        lines += _cleared(layout, log)
    return [*lines, "return tuple(T)"]


def _variable(layout: Layout, name: str) -> Variable:
    return layout.system.variables[layout.position[name]]


def _shift(layout: Layout, queue: Queue) -> list[str]:
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


def _thread_tickets(layout: Layout, name: str, queues: Iterable[Queue]) -> list[str]:
    """Count each thread's ticket from the oldest of its queue; clear it outside any queue."""
    place = layout.position[name]
    pcs = layout.position[layout.system.protocol.pc]
    asleep = layout.position[layout.system.protocol.symmetry.asleep]
    expression = "0"
    for queue in queues:
        base = f"base_{layout.position[queue.oldest]}"
        test = f"pc in {set(queue.labels)!r}"
        if not queue.asleep:
            test += " and not sleeps"
        expression = f"ticket - {base} if {test} else {expression}"
    return [
        f"T[{place}] = tuple([{expression} for ticket, pc, sleeps "
        f"in zip(S[{place}], S[{pcs}], S[{asleep}])])"
    ]


def _cleared(layout: Layout, log: Log) -> list[str]:
    """Clear the values that are not under way; those that are keep their number."""
    place = layout.position[log.values]
    newest, oldest = layout.position[log.newest], layout.position[log.oldest]
    size = layout.scope.capacity(_variable(layout, log.values))
    return [
        f"if S[{newest}] == S[{oldest}]:",
        f"    T[{place}] = {(0,) * size!r}",
        "else:",
        f"    a = S[{place}]",
        f"    h, w = S[{oldest}], S[{newest}] - S[{oldest}]",
        f"    T[{place}] = tuple([a[i] if (i - h) & {size - 1} < w else 0 for i in range({size})])",
    ]


def folded_source(layout: Layout) -> list[str]:
    """The body of a function that folds a canonical state `S`.

    Sequence numbers count from the oldest one that a step can still ask for. All older ones are
    alike (-1), and so are numbers that were never given.
    """
    symmetry = layout.system.protocol.symmetry
    lines = ["T = [*S]"]
    for log in symmetry.logs:
        place = layout.position[log.values]
        size = layout.scope.capacity(_variable(layout, log.values))
        oldest, base = layout.position[log.oldest], layout.position[log.base]
        lines += [
            f"start = min(S[{oldest}], S[{base}]) & {size - 1}",
            f"T[{place}] = S[{place}][start:] + S[{place}][:start]",
        ]
    for numbering in symmetry.numberings:
        places = [layout.position[name] for name in numbering.counters]
        lines.append(f"zero = min(S[{places[0]}], S[{places[1]}])")
        lines.append(f"top = max({', '.join(f'S[{place}]' for place in places)})")
        lines += [f"T[{place}] = S[{place}] - zero" for place in places]
        for name in numbering.sequences:
            place = layout.position[name]
            fold = f"(-1 if n < zero else n - zero if n <= top else {FOREIGN})"
            if _variable(layout, name).domain is None:
                lines += [f"n = S[{place}]", f"T[{place}] = {fold}"]
            else:
                lines.append(f"T[{place}] = tuple([{fold} for n in S[{place}]])")
    for name in symmetry.unread:
        variable = _variable(layout, name)
        empty = 0 if variable.domain is None else (0,) * layout.scope.capacity(variable)
        lines.append(f"T[{layout.position[name]}] = {empty!r}")
    return [*lines, "return tuple(T)"]
