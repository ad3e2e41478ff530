"""That barriers which do what `impl/memory.py` says give what the proof of the lines makes of them.

A small system of its own: a thread issues accesses one after the other, and a machine performs them
in any order that no barrier forbids, as the tests' weak memory does. A barrier keeps accesses of
one kind in front of those of another:

| barrier | in front | behind |
|---|---|---|
| `acquire` | loads, reads of registers | loads |
| `release` | stores | stores |
| `release_loads` | loads, reads of registers | stores |
| `before_register_write` | stores | writes of registers |

`proofs.refine.orders` notes what was issued and is not in front of a barrier yet. Shown is: what
was not noted when an access was issued is performed when that access is. So where a guard of the
specification holds although all that is noted comes later (`s.barrier`), it holds in this machine.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Final

import attrs

from engine.claims import InvariantBook, PropertyBook, within
from engine.discharge import script
from engine.obligations import Catalogue, Obligation
from engine.protocol import Protocol, System
from engine.rules import Choice, Parameter, Party, Recorder, RuleBook
from engine.terms import And, Array, Bool, Domain, Implies, Number, constant
from engine.theory import Theory
from engine.variables import Group, flags, number, numbers

__all__ = ["MACHINE", "THEORY", "specification", "texts"]

SECTION: Final = "barriers"
BOOK: Final = RuleBook()
INVARIANTS: Final = InvariantBook()
PROPERTIES: Final = PropertyBook()


class Label(enum.IntEnum):
    """Where a thread is in its program: it has none."""

    ANYWHERE = 0


@attrs.define(eq=False)
class Accesses(Group):
    """What was issued, by number, and what of it is performed."""

    issued: Number = number("accesses that were issued; the next one's number")
    barrier: Number = number("accesses that were issued before the last barrier")
    settled: Number = number("up to here all that the barrier keeps in front is performed")
    watched: Number = number("an access, which may be any")
    front: Array[Bool] = flags(Domain.COUNTER, "the barrier keeps it in front")
    behind: Array[Bool] = flags(Domain.COUNTER, "the barrier keeps it behind")
    after: Array[Number] = numbers(
        Domain.COUNTER, "accesses in front of the last barrier before it"
    )
    done: Array[Bool] = flags(Domain.COUNTER, "it is performed")
    noted: Array[Bool] = flags(Domain.COUNTER, "it is noted as in front of no barrier yet")
    excepted: Array[Bool] = flags(Domain.COUNTER, "the watched one was noted when it was issued")


@attrs.define(eq=False)
class Threads(Group):
    """What threads keep."""

    pc: Array[Number] = numbers(Domain.THREAD, "the next step")


@attrs.define(eq=False)
class State(Recorder):
    """Everything."""

    accesses: Accesses
    threads: Threads


def there(s: State, i: Number) -> Bool:
    """Access i was issued."""
    return within(i, constant(0), s.accesses.issued)


# What happens


@BOOK.rule(
    SECTION, Party.HOST, Parameter("front", Choice.FLAG), Parameter("behind", Choice.FLAG),
)  # fmt: skip
def issue(s: State, front: Number, behind: Number) -> None:
    """An access of any kind is issued."""
    accesses = s.accesses
    i = accesses.issued
    accesses.front[i] = front == 1
    accesses.behind[i] = behind == 1
    accesses.after[i] = accesses.barrier
    accesses.done[i] = False
    accesses.noted[i] = front == 1
    accesses.excepted[i] = accesses.noted[accesses.watched]
    accesses.issued = i + 1


@BOOK.rule(SECTION, Party.HOST)
def barrier(s: State) -> None:
    """A barrier is executed."""
    s.accesses.barrier = s.accesses.issued
    s.accesses.noted.fill(False)


@BOOK.rule(SECTION, Party.MEMORY, Parameter("i", Choice.COUNT))
def perform(s: State, i: Number) -> None:
    """An access is performed: what the barriers in front of it keep there is."""
    accesses = s.accesses
    s.require(there(s, i))
    s.barrier("barrier", ~accesses.behind[i] | (accesses.after[i] <= accesses.settled))
    accesses.done[i] = True


@BOOK.rule(SECTION, Party.MEMORY)
def settle(s: State) -> None:
    """The next access is performed, or is none that has to be."""
    accesses = s.accesses
    i = accesses.settled
    s.require(i < accesses.issued)
    s.require(~accesses.front[i] | accesses.done[i])
    accesses.settled = i + 1


# What holds


@INVARIANTS.invariant("counts")
def counts(s: State) -> Bool:
    """Nothing that was not issued is settled or in front of a barrier."""
    accesses = s.accesses
    return And(
        constant(0) <= accesses.settled,
        accesses.settled <= accesses.issued,
        constant(0) <= accesses.barrier,
        accesses.barrier <= accesses.issued,
    )


@INVARIANTS.invariant("settled", "counter")
def settled(s: State, i: Number) -> Bool:
    """What is settled is performed, if a barrier keeps it in front."""
    accesses = s.accesses
    inside = within(i, constant(0), accesses.settled)
    return Implies(inside & accesses.front[i], accesses.done[i])


@INVARIANTS.invariant("performed", "counter")
def performed(s: State, i: Number) -> Bool:
    """What a barrier keeps behind is performed after all in front of it is settled."""
    accesses = s.accesses
    held_back = there(s, i) & accesses.behind[i] & accesses.done[i]
    return Implies(held_back, accesses.after[i] <= accesses.settled)


@INVARIANTS.invariant("noted", "counter")
def noted(s: State, i: Number) -> Bool:
    """What is not noted any more is in front of the last barrier."""
    accesses = s.accesses
    known = there(s, i) & accesses.front[i] & ~accesses.noted[i]
    return Implies(known, i < accesses.barrier)


@INVARIANTS.invariant("excepted", "counter")
def excepted(s: State, i: Number) -> Bool:
    """The watched one is in front of the last barrier before an access, or was noted then."""
    accesses = s.accesses
    watched = accesses.watched
    known = And(there(s, i), within(watched, constant(0), i), accesses.front[watched])
    return Implies(known & ~accesses.excepted[i], watched < accesses.after[i])


@PROPERTIES.property("in-front", "counter")
def in_front(s: State, i: Number) -> Bool:
    """What was issued before an access, and not noted then, is performed when that access is."""
    accesses = s.accesses
    watched = accesses.watched
    kept_behind = And(there(s, i), accesses.behind[i], accesses.done[i])
    kept_in_front = And(within(watched, constant(0), i), accesses.front[watched])
    return Implies(And(kept_behind, kept_in_front, ~accesses.excepted[i]), accesses.done[watched])


# Everything together


@attrs.frozen
class Text:
    """Something to be proved.

    Attributes:
        name: What it is called.
        meaning: What it says.
        text: In SMT-LIB; unsatisfiable means proved.
    """

    name: str
    meaning: str
    text: str


MACHINE: Final = Protocol("machine", State, Label, arbitrary=frozenset({"accesses.watched"}))


@functools.cache
def specification() -> System:
    """The machine as it should be."""
    return MACHINE.system(BOOK.rules)


THEORY: Final = Theory(
    place="proofs.refine.barrier_machine:THEORY",
    program="",
    description="Prove what barriers do.",
    protocol=MACHINE,
    specification=specification,
    invariants=INVARIANTS.invariants,
    properties=PROPERTIES.properties,
)
"""Everything that is proved of the machine."""
PROVED: Final = ("initial/", "step/", "property/")


@functools.cache
def texts(change: Callable[[System], System] = lambda system: system) -> tuple[Text, ...]:
    """What is to be proved of the machine, or of a changed one."""
    known = Catalogue(THEORY, change(specification()))
    return tuple(
        Text(name, entry.meaning, script(known, Obligation(name, "", "lemma", "integer", "")))
        for name, entry in known.entries.items()
        if name.startswith(PROVED)
    )
