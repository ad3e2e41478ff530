"""The catalogue: everything that has to be proved of a system, one named question each.

Each kind of obligation is a function that gives what there is of that kind; a theory may bring
kinds of its own. How a question is decided stands in `engine.discharge`.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs

from engine import deadlock, induction, leads_to, possible, races, steps, witnesses
from engine.induction import anywhere
from engine.protocol import System
from engine.question import Entry, Question, follows
from engine.theory import ObligationKind, Theory

__all__ = ["KINDS", "Catalogue", "Obligation", "Verdict"]


@attrs.frozen
class Obligation:
    """A named question whose answer must be yes.

    Attributes:
        id: Its name, the same in both arithmetics.
        property: The property that it belongs to.
        kind: safety, liveness, deadlock, vacuity or lemma.
        arithmetic: integer or machine.
        meaning: What is asked, in one line.
    """

    id: str
    property: str
    kind: str
    arithmetic: str
    meaning: str


@attrs.frozen
class Verdict:
    """What came out: proved, refuted or unknown; in how many seconds; what broke, if anything.

    It is `kept` if all that it took to prove it was proved in an earlier run.
    """

    result: str
    seconds: float
    detail: str = ""
    kept: bool = False


# The kinds


def invariant(theory: Theory, system: System) -> Iterable[Entry]:
    """The invariant is one: `initial/CONJUNCT`, `step/RULE`, `index/RULE`."""
    return induction.obligations(system, theory.invariants, theory.bit_lemmas)


def properties(theory: Theory, system: System) -> Iterable[Entry]:
    """Each property follows from the invariant: `property/NAME`."""
    for item in theory.properties:
        yield Entry(
            f"property/{item.name}", item.name, "safety", item.meaning,
            follows(item.name, theory.ordinary, anywhere, system.protocol.symbols, item),
        )  # fmt: skip


def step_properties(theory: Theory, system: System) -> Iterable[Entry]:
    """Each property of steps follows for every rule: `property/NAME/RULE`, `.../others`."""
    return steps.obligations(system, theory.steps, theory.ordinary)


def race_freedom(theory: Theory, system: System) -> Iterable[Entry]:
    """No two accesses race: `race/WORD/RULE/RULE`."""
    return races.races(system, theory.ordinary)


def lifetime(theory: Theory, system: System) -> Iterable[Entry]:
    """No access is to memory that was freed: `memory/RULE`."""
    return races.lifetimes(system, theory.ordinary)


def deadlock_freedom(theory: Theory, system: System) -> Iterable[Entry]:
    """While something is to be done, somebody can move: `deadlock/CAUSE`."""
    return deadlock.obligations(system, theory.undone, theory.movers, theory.ordinary)


def liveness(theory: Theory, system: System) -> Iterable[Entry]:
    """Each promise is kept: `promise/NAME/helper`, `.../rank`, `.../step/RULE`; `rule/LEMMA`."""
    return leads_to.obligations(system, theory.promises, theory.ordinary)


def possibilities(theory: Theory, system: System) -> Iterable[Entry]:
    """What the world may do, may be done: `vacuity/possible/RULE/SITUATION`."""
    for item in theory.possible:
        theory.specification().named(item.rule)  # a fault may lack it, the specification may not
    there = {step.rule.name for step in system.transitions}
    items = [item for item in theory.possible if item.rule in there]
    return possible.obligations(system, items, theory.settings)


def vacuity(theory: Theory, system: System) -> Iterable[Entry]:
    """Nothing is proved of nothing: `vacuity/rule/RULE`, `vacuity/premise/PROMISE`."""
    return witnesses.obligations(system, theory.promises, theory.settings)


KINDS: Final[tuple[ObligationKind, ...]] = (
    invariant,
    properties,
    step_properties,
    race_freedom,
    lifetime,
    deadlock_freedom,
    liveness,
    vacuity,
    possibilities,
)


# The catalogue

TOGETHER: Final = 12
"""How many obligations that share most of what is assumed are asked about in one query."""


class Catalogue:
    """All obligations of a system, by id: of the specification, unless another one is given."""

    def __init__(self, theory: Theory, system: System | None = None) -> None:
        self.theory = theory
        self.system = theory.specification() if system is None else system
        self.entries: dict[str, Entry] = {}
        self.groups: dict[str, list[str]] = {}
        self.decided: dict[object, Any] = {}
        """What `engine.discharge` remembers of groups."""
        self._asked: dict[str, Question] = {}
        self._group: dict[str, str] = {}
        for kind in (*KINDS, *theory.kinds):
            for entry in kind(theory, self.system):
                if entry.id in self.entries:
                    raise ValueError(f"two obligations have the name {entry.id!r}")
                self.entries[entry.id] = entry
        self._form_groups()

    def _form_groups(self) -> None:
        counts: dict[str, int] = {}
        for name, entry in self.entries.items():
            group = name
            if entry.together:
                place = counts.get(entry.together, 0)
                counts[entry.together] = place + 1
                group = f"{entry.together}/{place // TOGETHER}"
            self._group[name] = group
            self.groups.setdefault(group, []).append(name)

    @classmethod
    def of(cls, theory: Theory) -> Catalogue:
        """The obligations of a theory's specification, made once."""
        return _catalogue(theory)

    def __reduce__(self) -> tuple[Callable[[Theory], Catalogue], tuple[Theory]]:
        """How it is sent to another process: it is made there."""
        if self.system is not self.theory.specification():
            raise pickle.PicklingError("only the specification itself can be made elsewhere")
        return _catalogue, (self.theory,)

    def obligations(self) -> list[Obligation]:
        """All of them, in each arithmetic in which they are asked."""
        return [
            Obligation(entry.id, entry.property, entry.kind, arithmetic.value, entry.meaning)
            for entry in self.entries.values()
            for arithmetic in entry.arithmetics
        ]

    def foundation(self, selected: Iterable[Obligation]) -> list[Obligation]:
        """All that the answers about `selected` mean something with, in each arithmetic.

        That is the rest of the same properties, what these assume, what that assumes in turn.
        """
        assumed: dict[str, set[str]] = {}
        for entry in self.entries.values():
            assumed.setdefault(entry.property, set()).update(entry.stands_on)
        waiting = {item.property for item in selected}
        known: set[str] = set()
        while waiting:
            name = waiting.pop()
            known.add(name)
            waiting |= assumed.get(name, set()) - known
        return [item for item in self.obligations() if item.property in known]

    def group(self, name: str) -> str:
        """The group that the obligation with this name belongs to: its own name if it is alone."""
        return self._group[name]

    def group_of(self, obligation: Obligation) -> str:
        """Obligations of the same group are decided together: give them to the same process.

        They share most of what is assumed, so one query asks whether any of some dozen is wrong;
        only if one is does each get a query of its own. What is asked in both arithmetics is one
        question, which is made once.
        """
        return self.group(obligation.id)

    def topic_of(self, obligation: Obligation) -> str:
        """What a hint for it is filed under."""
        return self.entries[obligation.id].topic

    def question(self, name: str) -> Question:
        """What an obligation asks of a solver; of the last ones that were asked for, at once."""
        if name not in self._asked:
            make = self.entries[name].question
            assert make is not None
            if len(self._asked) >= TOGETHER:
                self._asked.clear()
            self._asked[name] = make()
        return self._asked[name]


@functools.cache
def _catalogue(theory: Theory) -> Catalogue:
    return Catalogue(theory)
