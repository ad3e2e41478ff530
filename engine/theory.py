"""Everything that is proved of a protocol, as data.

    THEORY = Theory(
        place="examples.mailbox.proof:THEORY",
        program="examples.mailbox.check",
        protocol=MAILBOX,
        specification=specification,
        invariants=INVARIANTS.invariants,
        properties=PROPERTIES.properties,
    )

From a theory follow the obligations (`engine.obligations`), the search for runs on which faults
show (`engine.catch`), and the command that does both (`engine.command`). Whatever a protocol has no
use for stays out.
"""

from __future__ import annotations

import functools
import importlib
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from engine.claims import Invariant, Property, StepProperty
from engine.deadlock import DEADLOCK_FREEDOM, Movers, Undone
from engine.faults import Fault, FaultCase
from engine.leads_to import Promise
from engine.liveness_rule import LIVENESS_RULE
from engine.possible import Possible
from engine.protocol import Protocol, System
from engine.question import INVARIANT, Entry
from engine.races import NO_ACCESS_AFTER_FREE, RACE_FREEDOM
from engine.rules import Choice
from engine.terms import Bool, Number
from engine.witnesses import Setting

__all__ = ["ObligationKind", "Theory", "load"]

ObligationKind: TypeAlias = Callable[["Theory", System], Iterable[Entry]]
"""One kind of obligation: all of that kind that there are of a system."""

GENERAL: Final = {
    INVARIANT: "The invariant holds at power-on, and every step keeps it.",
    "indices": "Each index is the low bits of its counter, for every ring size.",
    RACE_FREEDOM: (
        "Host and device never touch the same word at once, one of them writing, unless it is "
        "what synchronises them."
    ),
    NO_ACCESS_AFTER_FREE: "The host touches no slot or buffer that was freed.",
    DEADLOCK_FREEDOM: "Wherever something is left to do, somebody can do it.",
    LIVENESS_RULE: "Where ranks fall and helpers act, what is promised happens at last.",
    "vacuity": "Every step can happen, and every premise can hold.",
}
"""What those properties say that every protocol has."""


def load(place: str) -> Theory:
    """The theory at `module:attribute`. Raises `TypeError` if what stands there is none."""
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, Theory):
        raise TypeError(f"{place} is no theory")
    return found


@attrs.frozen(eq=False, kw_only=True)
class Theory:
    """The claims about a protocol's specification, and all that it takes to decide them.

    A theory is sent to another process by its place: there it is imported.

    Attributes:
        place: Where it stands, as `module:attribute`.
        program: The module that is run to prove it: `python -m program`.
        package: The installed package whose version belongs into reports; "" for none.
        description: What the program does, in one sentence.
        protocol: What it is about.
        specification: Gives the system, always the same one.
        invariants: The conjuncts of the invariant.
        properties: What is promised of every state.
        steps: What is promised of every step.
        promises: What is promised to happen at last.
        possible: What the world must be able to do: steps in situations.
        undone: What is still to be done in a state, by name, for any thread t and slot k: wherever
            something is, somebody must be able to move.
        movers: Who may have to move then: threads and slots, of the state, thread t and slot k.
        bounds: What is assumed of sizes, of the state.
        outstanding: What is assumed, in machine arithmetic, to stay below half of a counter's
            values, of the state.
        bit_lemmas: Conjuncts that may be assumed where a question is about the bits of indices.
        settings: Random runs in which every rule happens and every premise arises.
        kinds: Further kinds of obligations, besides those of `engine.obligations`.
        cases: Gives the faults that must be caught.
        stuck: In a run in which nothing is left that must happen: something should have, of the
            state and the scope. By default what is undone for some thread and slot.
        tickets: Values of a counter at which a property that speaks of any is looked at in a run,
            of the state and the scope.
        meanings: What general properties say (`GENERAL`), where this protocol says it otherwise.
        verdicts: What a promise that a fault breaks says, where it is no statement about a state.
        assumptions: Gives what is taken for granted as lines of text, for a width.
        hints: The file of what earlier proofs needed (`engine.hints`); None for none.
        answers: The file in which answers are kept (`engine.answers`) unless the command is told
            another one; None to keep none.
    """

    place: str
    program: str
    package: str = ""
    description: str = "Prove the specification, and catch every fault."
    protocol: Protocol
    specification: Callable[[], System]
    invariants: Sequence[Invariant]
    properties: Sequence[Property] = ()
    steps: Sequence[StepProperty] = ()
    promises: Sequence[Promise] = ()
    possible: Sequence[Possible] = ()
    undone: Undone = lambda s, t, k: {}
    movers: Movers = lambda s, t, k: {Choice.THREAD: (t,), Choice.SLOT: (k,)}
    bounds: Callable[[Any], Iterable[Bool]] = lambda s: ()
    outstanding: Callable[[Any], Iterable[Number]] = lambda s: ()
    bit_lemmas: Sequence[str] = ()
    settings: Sequence[Setting] = (Setting(),)
    kinds: Sequence[ObligationKind] = ()
    cases: Callable[[], Sequence[FaultCase]] = tuple
    stuck: Callable[[Any, Any], Bool] | None = None
    tickets: Callable[[Any, Any], Iterable[Number]] = lambda s, scope: ()
    meanings: Mapping[str, str] = attrs.field(factory=dict)
    verdicts: Mapping[str, str] = attrs.field(factory=dict)
    assumptions: Callable[[int], Iterable[str]] = lambda width: ()
    hints: Path | None = None
    answers: Path | None = None

    @functools.cached_property
    def ordinary(self) -> tuple[Invariant, ...]:
        """The conjuncts that mean something in both arithmetics: what may always be assumed."""
        return tuple(item for item in self.invariants if not item.machine_only)

    @property
    def _stated(self) -> tuple[Property | StepProperty, ...]:
        return (*self.properties, *self.steps)

    @functools.cached_property
    def _cases(self) -> dict[str, FaultCase]:
        return {case.fault.id: case for case in self.cases()}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that must be caught."""
        return tuple(case.fault for case in self._cases.values())

    def case_of(self, fault: Fault | str) -> FaultCase:
        """What it takes to look for a fault. Raises `KeyError` if there is no such fault."""
        return self._cases[fault if isinstance(fault, str) else fault.id]

    def faulty(self, fault: Fault | str) -> System:
        """The specification with that one small change."""
        return self.case_of(fault).change(self.specification())

    def meaning(self, name: str) -> str:
        """What a property says, or "" if nothing but its obligations says it."""
        stated = [item.meaning for item in self._stated if item.name == name]
        promised = [item.meaning for item in self.promises if item.property == name]
        said = " ".join(dict.fromkeys([*stated, *promised]))
        return said or self.meanings.get(name) or GENERAL.get(name, "")

    def verdict(self, name: str) -> str:
        """What the property that a run breaks says, in one line."""
        stated = [item.meaning for item in self._stated if item.name == name]
        return stated[0] if stated else self.verdicts.get(name) or self.meaning(name)

    def __reduce__(self) -> tuple[Callable[[str], Theory], tuple[str]]:
        """How it is sent to another process."""
        if load(self.place) is not self:
            raise pickle.PicklingError(f"{self.place} is another theory")
        return load, (self.place,)
