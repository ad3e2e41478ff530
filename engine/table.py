"""How a rule becomes something that an observer can recognise: the table of a thread's program.

At each program counter the specification allows certain steps. Some show on the outside: they load,
store, take or give up the lock, sleep, access a register. Others are the program's own business and
are silent. Which is which, and what is seen, follows from what the rules declare:

* a step is recognised by the first of its operations that an observer sees;
* it is silent if it declares none, or while none of those that it declares happens (`when`).

Waking others and allocating memory is not seen as such.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import attrs

from engine.declarations import stands_at
from engine.protocol import System
from engine.rules import Kind, Operation, Party, Transition
from engine.terms import FALSE, TRUE, And, Bool

__all__ = ["Seen", "Table", "say", "table_of"]

Seen: TypeAlias = tuple[str, str]
"""What is done, and to what: `("store", "tx.fields")`, `("sleep", "SENDERS")`."""
UNSEEN: Final = frozenset({Kind.WAKE, Kind.ALLOCATE})


@attrs.frozen
class Table:
    """What an observer may see of a thread, and which steps that is.

    Attributes:
        seen: At each program counter: what may be seen, and the rules that it may be.
        silent: At each program counter: the rules of which nothing is seen, and while what holds
            (TRUE: always).
        deciding: The operation by which each rule is recognised.
    """

    seen: Mapping[int, Mapping[Seen, tuple[str, ...]]]
    silent: Mapping[int, tuple[tuple[str, Bool], ...]]
    deciding: Mapping[str, Operation]


def table_of(system: System, *, without: Iterable[str] = (), unseen: Iterable[str] = ()) -> Table:
    """The table of the host's rules.

    Args:
        system: The system.
        without: Rules that the observer hears of in another way, or that the program never takes.
        unseen: Rules that are silent although they declare something, or although it is not the
            host's program that takes them.
    """
    seen: dict[int, dict[Seen, tuple[str, ...]]] = {}
    silent: dict[int, list[tuple[str, Bool]]] = {}
    deciding: dict[str, Operation] = {}
    hidden = frozenset(unseen)
    skipped = frozenset(without)
    for step in system.transitions:
        name = step.rule.name
        places = stands_at(step, system.protocol.pc)
        if name in skipped or not places:
            continue
        if step.rule.party is not Party.HOST and name not in hidden:
            continue
        shown = None if name in hidden else _first_seen(step)
        for pc in sorted(places):
            if shown is None:
                silent.setdefault(pc, []).append((name, TRUE))
                continue
            for what in _looks(system, shown):
                row = seen.setdefault(pc, {})
                row[what] = (*row.get(what, ()), name)
            if And(step.guard, ~shown.when) is not FALSE:
                silent.setdefault(pc, []).append((name, ~shown.when))
        if shown is not None:
            deciding[name] = shown
    return Table(seen, {pc: tuple(rules) for pc, rules in silent.items()}, deciding)


def _first_seen(step: Transition) -> Operation | None:
    for item in step.operations:
        if item.kind not in UNSEEN and item.when is not FALSE:
            return item
    return None


def _looks(system: System, item: Operation) -> Iterator[Seen]:
    """What the operation may look like: a load of any value may yield each."""
    values: tuple[str, ...] = (item.value,) if item.value else ()
    if not values and item.kind is Kind.LOAD:
        for word in system.protocol.words:
            if word.path == item.name:
                values = tuple(word.values.values())
    for value in values or ("",):
        yield item.kind.value, f"{item.name} {value}".strip()


def say(seen: Seen, queues: type[enum.Enum] | None = None) -> str:
    """What is seen, in words; `queues` says what sleepers on each wait queue wait for."""
    what, which = seen
    match what:
        case "lock":
            return "ask for the lock"
        case "unlock":
            return "give up the lock"
        case "doorbell":
            return f"ring the {which} doorbell"
        case "sleep":
            return f"sleep for {which if queues is None else queues[which].value}"
        case "fence":
            return "fence"
        case "free":
            return "free memory"
        case "arrive":
            return f"the write of {which} arrives"
    return f"{what} {which}"
