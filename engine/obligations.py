"""Everything that has to be proved, one named question each, and how a question is decided.

An obligation is decided by showing that its negation contradicts the invariant. The invariant is
assumed first where the question mentions an index, then also where those assumptions do; assuming
more is only ever tried because assuming less did not suffice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from engine.induction import Instantiator, fresh, preserves, state_symbols, statement, touched
from engine.protocol import System
from engine.rules import Operation, Party, Transition
from engine.smt import Arithmetic
from engine.smt import script as write_script
from engine.solvers import Answer, ask, essential
from engine.terms import TRUE, And, Bool, Implies, Number, Or, Sort, constant, substitute, symbol
from engine.witnesses import premise_witness, rule_witness
from model.properties import PROPERTIES
from model.ring_spec import COMMAND, TRANSMIT
from model.state import POLLS, POSTED, Flags, Label, Stage, State
from model.system import specification
from model.thread_spec import at, holder, queued_for_lock
from proofs.initial import at_power_on
from proofs.invariants import INVARIANTS, Invariant, conducting
from proofs.promises import can_help, concerns, premise_holds, rank_falls, rank_is_natural
from proofs.ranking import (
    PROMISES,
    Promise,
    bell_slot,
    in_call,
    waits_for_packet,
    working,
)

__all__ = [
    "Catalogue",
    "Obligation",
    "Verdict",
    "catalogue",
    "discharge",
    "for_system",
    "group_of",
    "script",
]


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
    """What came out: proved, refuted or unknown; in how many seconds; what broke, if anything."""

    result: str
    seconds: float
    detail: str = ""


MOST: Final = 1 << 31
"""In machine arithmetic: a bound on tickets, places and opens outstanding at any time."""


@attrs.frozen(eq=False)
class Question:
    """What an obligation asks: does `claim` follow? `parts` are its named conjuncts.

    Attributes:
        given: What may be assumed besides the invariant.
        parts: The claims, by name; all must follow.
        invariants: The conjuncts that may be assumed; None for none (the claim is absolute).
        bits: Ask in bit vectors (the question is about the bits of a word).
    """

    given: tuple[Bool, ...]
    parts: tuple[tuple[str, Bool], ...]
    invariants: tuple[Invariant, ...] | None
    bits: bool = False


ORDINARY: Final = tuple(item for item in INVARIANTS if not item.machine_only)
MASKS: Final = tuple(item for item in INVARIANTS if item.machine_only)
COUNTERS: Final = tuple(item for item in ORDINARY if item.name.endswith(".counters"))


def sizes(arithmetic: Arithmetic) -> list[Bool]:
    """What is assumed of sizes, and in machine arithmetic of the number of callers."""
    s = state_symbols()
    bounds = [POSTED >= 1, POLLS >= 1]
    if arithmetic is Arithmetic.MACHINE:
        outstanding = (
            s.lock.next - s.lock.serving,
            s.tx.waiters.next - s.tx.waiters.head,
            s.cmd.waiters.next - s.cmd.waiters.head,
            s.driver.inside,
            s.driver.handles,
            POSTED,
        )
        bounds += [number < MOST for number in outstanding]
    return bounds


# The questions


def step_question(step: Transition, items: tuple[Invariant, ...], bits: bool = False) -> Question:
    """The rule keeps every conjunct."""
    given: list[Bool] = [step.guard]
    parts = []
    for item in items:
        if not touched(item, step):
            continue
        before, later = preserves(step, item)
        if before is not later:
            given.append(before)
            parts.append((item.name, later))
    assumed = (*MASKS, *COUNTERS, *_lock_and_life()) if bits else ORDINARY
    return Question(tuple(given), tuple(parts), assumed, bits)


@functools.cache
def _lock_and_life() -> tuple[Invariant, ...]:
    names = (
        *("tx.taking", "cmd.taking", "tx.engine", "cmd.engine", "rx.engine", "rx.reader"),
        *("life.conductor", "life.rings", "life.commands", "tx.filling", "cmd.filling"),
    )
    return tuple(item for item in ORDINARY if item.name in names)


def initial_question(item: Invariant) -> Question:
    """The conjunct holds at power-on."""
    claim = statement(item, *map(fresh, item.indices))
    return Question((), ((item.name, at_power_on(claim)),), None)


def renamed(step: Transition) -> dict[Number, Number]:
    """Other names for the rule's parameters."""
    return {
        item: symbol(f"{item.name}'", Sort.NUMBER)  # type: ignore[misc]
        for item in step.parameters
    }


def conflicts(system: System) -> Iterator[tuple[Transition, Operation, Transition, Operation]]:
    """Pairs of accesses to the same word, one by each side, at least one of them a write."""
    for one in system.transitions:
        if one.rule.party not in (Party.HOST, Party.MEMORY):
            continue
        for two in system.transitions:
            if two.rule.party is not Party.DEVICE:
                continue
            for mine in one.accesses:
                for other in two.accesses:
                    same = (mine.ring, mine.word) == (other.ring, other.word)
                    if same and not mine.atomic and (mine.write or other.write):
                        yield one, mine, two, other


def race_question(one: Transition, mine: Operation, two: Transition, other: Operation) -> Question:
    """Host and card cannot both be about to access the same word, one of them to write it."""
    names = renamed(two)
    clash = And(
        one.guard,
        mine.when,
        substitute(two.guard & other.when, names),  # type: ignore[arg-type]
        mine.place == substitute(other.place, names),  # type: ignore[arg-type]
    )
    return Question((), (("no race", ~clash),), ORDINARY)


def freed_accesses(system: System) -> Iterator[tuple[Transition, list[Operation]]]:
    """The host's steps that touch memory that is freed, as that of the packet rings is."""
    for step in system.transitions:
        if step.rule.party is Party.HOST:
            touches = [item for item in step.accesses if item.present is not TRUE]
            if touches:
                yield step, touches


def access_question(step: Transition, touches: list[Operation]) -> Question:
    """What the step touches is there."""
    claims = [Implies(item.when, item.present) for item in touches]
    return Question((step.guard,), (("exists", And(*claims)),), ORDINARY)


def able_to_move(system: System, s: State, t: Number, k: Number) -> Bool:
    """Some weakly fair step is enabled, among those of the threads and slots that matter here."""
    threads = (t, holder(s), constant(0), constant(1), s.driver.conductor, s.driver.list[0],
               *(ring.waiters.waiter[ring.waiters.head] for ring in (s.tx, s.cmd)))  # fmt: skip
    slots = (k, s.driver.cursor, bell_slot(TRANSMIT, s), bell_slot(COMMAND, s),
             s.tx.dev_i, s.cmd.dev_i)  # fmt: skip
    guards = []
    for step in system.transitions:
        if not step.rule.fair:
            continue
        kinds = [item.choice.name for item in step.rule.parameters]
        if not kinds:
            guards.append(step.guard)
            continue
        choices = threads if kinds[0] in ("THREAD", "USER") else slots
        guards += [substitute(step.guard, {step.parameters[0]: item}) for item in choices]
    return Or(*guards)


def not_quiescent(s: State, t: Number, k: Number) -> dict[str, Bool]:
    """The ways in which something is still to be done, for any thread t and slot k."""
    quiet_reader = waits_for_packet(s, t)
    return {
        "lock": queued_for_lock(s, t),
        "call": in_call(s, t) & ~quiet_reader,
        "reader": And(
            quiet_reader, s.rx.live, s.card.flags == Flags.CLEAR, s.rx.dev != s.rx.cons
        ),
        "open or close": conducting(s, t),
        "store": Or(
            *(ops.ring(s).owner_pending[k] | ops.ring(s).fields_pending[k]
              for ops in (TRANSMIT, COMMAND)),
            s.tx.first_word_pending[k], s.tx.last_word_pending[k],
            s.rx.owner_pending[k], s.rx.pointer_pending[k],
        ),
        "doorbell": Or(
            *(ring.doorbells_arrived != ring.doorbells_posted for ring in (s.tx, s.cmd))
        ),
        "request": Or(
            *(working(ops, s) & (ops.ring(s).prod != ops.ring(s).cons)
              for ops in (TRANSMIT, COMMAND))
        ),
        "arrival": (s.card.flags == Flags.CLEAR) & (s.rx.stage != Stage.IDLE),
        "interrupt": s.card.vector0 & at(s, constant(0), Label.EVENT_IDLE)
        | s.card.vector1 & at(s, constant(1), Label.FATAL_IDLE),
        "failure": (s.card.flags == Flags.ERROR) & ~s.driver.failed,
    }  # fmt: skip


def deadlock_question(system: System, cause: str) -> Question:
    """While something is still to be done, some party can move."""
    s, t, k = state_symbols(), fresh("thread"), fresh("slot")
    busy = not_quiescent(s, t, k)[cause]
    claim = Implies(busy, able_to_move(system, s, t, k))
    return Question((), (("able to move", claim),), ORDINARY)


# The catalogue


@attrs.frozen(eq=False)
class Entry:
    """An obligation without its arithmetic, and how it is decided."""

    property: str
    kind: str
    meaning: str
    arithmetics: tuple[Arithmetic, ...]
    question: Callable[[], Question] | None
    witness: Callable[[], str] | None = None


BOTH: Final = (Arithmetic.INTEGER, Arithmetic.MACHINE)


class Catalogue:
    """All obligations of a system, by id."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.entries: dict[str, Entry] = {}
        self._safety()
        self._deadlock()
        self._liveness()
        self._vacuity()
        self.places: dict[str, int] = {}
        self.groups: dict[str, list[str]] = {}
        self.decided: dict[tuple[object, ...], float | None] = {}
        self._form_groups()

    def _form_groups(self) -> None:
        counts: dict[str, int] = {}
        for name in self.entries:
            head = name.partition("/step/")[0]
            self.places[name] = counts.get(head, 0)
            counts[head] = self.places[name] + 1
            self.groups.setdefault(_group(self, name), []).append(name)

    def _add(
        self,
        name: str,
        prop: str,
        kind: str,
        meaning: str,
        question: Callable[[], Question],
        arithmetics: tuple[Arithmetic, ...] = BOTH,
    ) -> None:
        self.entries[name] = Entry(prop, kind, meaning, arithmetics, question)

    def _safety(self) -> None:
        for item in ORDINARY:
            self._add(
                f"initial/{item.name}", "invariant", "lemma", f"at power-on: {item.meaning}",
                functools.partial(initial_question, item),
            )  # fmt: skip
        for step in self.system.transitions:
            name = step.rule.name
            if any(touched(item, step) for item in ORDINARY):
                self._add(
                    f"step/{name}", "invariant", "safety", f"kept by: {step.rule.meaning}",
                    functools.partial(step_question, step, ORDINARY),
                )  # fmt: skip
            if any(touched(item, step) for item in MASKS):
                self._add(
                    f"index/{name}", "indices", "lemma",
                    f"indices stay masked counters: {step.rule.meaning}",
                    functools.partial(step_question, step, MASKS, bits=True),
                    (Arithmetic.MACHINE,),
                )  # fmt: skip
        for promised in PROPERTIES:
            claim = promised.body(state_symbols(), *map(fresh, promised.indices))
            question = Question((), ((promised.name, claim),), ORDINARY)
            self._add(
                f"property/{promised.name}", promised.name, "safety", promised.meaning,
                functools.partial(lambda q: q, question),
            )  # fmt: skip
        for one, mine, two, other in conflicts(self.system):
            name = f"race/{mine.ring}.{mine.word}/{one.rule.name}/{two.rule.name}"
            self._add(
                name, "race-freedom", "safety",
                f"not both: {one.rule.meaning} / {two.rule.meaning}",
                functools.partial(race_question, one, mine, two, other),
            )  # fmt: skip

        for step, touches in freed_accesses(self.system):
            self._add(
                f"memory/{step.rule.name}", "no-access-after-free", "safety",
                f"touches only what exists: {step.rule.meaning}",
                functools.partial(access_question, step, touches),
            )  # fmt: skip

    def _deadlock(self) -> None:
        s, t, k = state_symbols(), fresh("thread"), fresh("slot")
        for cause in not_quiescent(s, t, k):
            self._add(
                f"deadlock/{cause}", "deadlock-freedom", "deadlock",
                f"while something is to be done ({cause}), some party can move",
                functools.partial(deadlock_question, self.system, cause),
            )  # fmt: skip

    def _liveness(self) -> None:
        for promise in PROMISES:
            name = f"promise/{promise.name}"
            self._add(
                f"{name}/helper", promise.property, "deadlock",
                f"somebody can help: {promise.meaning}",
                functools.partial(self._helper, promise),
            )  # fmt: skip
            self._add(
                f"{name}/rank", promise.property, "liveness",
                f"ranks are natural numbers: {promise.meaning}",
                functools.partial(self._natural, promise),
            )  # fmt: skip
            for step in self.system.transitions:
                if step.rule.name in promise.without or not concerns(promise, step):
                    continue
                self._add(
                    f"{name}/step/{step.rule.name}", promise.property, "liveness",
                    f"no step back by: {step.rule.meaning}",
                    functools.partial(self._falls, promise, step),
                )  # fmt: skip

    def _helper(self, promise: Promise) -> Question:
        return Question((), (("helper", can_help(self.system, promise)),), ORDINARY)

    def _natural(self, promise: Promise) -> Question:
        return Question((), (("rank", rank_is_natural(promise)),), ORDINARY)

    def _falls(self, promise: Promise, step: Transition) -> Question:
        return Question((), (("rank", rank_falls(promise, step)),), ORDINARY)

    def _vacuity(self) -> None:
        for step in self.system.transitions:
            name = step.rule.name
            self.entries[f"vacuity/rule/{name}"] = Entry(
                "vacuity", "vacuity", f"happens in a run from power-on: {step.rule.meaning}",
                (Arithmetic.INTEGER,), None, functools.partial(rule_witness, name),
            )  # fmt: skip
        for promise in PROMISES:
            self.entries[f"vacuity/premise/{promise.name}"] = Entry(
                "vacuity", "vacuity", f"arises in a run from power-on: {promise.meaning}",
                (Arithmetic.INTEGER,), None,
                functools.partial(premise_witness, promise.name, premise_holds(promise)),
            )  # fmt: skip


@functools.cache
def _specification() -> Catalogue:
    return Catalogue(specification())


def for_system(system: System) -> Catalogue:
    """The obligations of another system: the specification with some change."""
    return Catalogue(system)


def catalogue() -> list[Obligation]:
    """All obligations of the specification, in both arithmetics."""
    return [
        Obligation(name, entry.property, entry.kind, arithmetic.value, entry.meaning)
        for name, entry in _specification().entries.items()
        for arithmetic in entry.arithmetics
    ]


# Deciding


def scripts(
    question: Question,
    arithmetic: Arithmetic,
    ring_size: int | None,
    comment: str = "",
    rounds: tuple[int, ...] = (1, 2, 3),
) -> Iterator[str]:
    """The question as SMT-LIB text, with more and more of the invariant assumed."""
    negation = Or(*(~claim for _, claim in question.parts))
    asked = [*question.given, negation]
    if question.invariants is None:
        yield _write(arithmetic, asked, question, ring_size, comment)
        return
    for depth in rounds:
        assumed = _instantiator(question.invariants, depth).hypotheses(asked)
        yield _write(arithmetic, [*assumed, *asked], question, ring_size, comment)


@functools.cache
def _instantiator(invariants: tuple[Invariant, ...], rounds: int) -> Instantiator:
    return Instantiator(invariants, rounds)


def _write(
    arithmetic: Arithmetic,
    terms: list[Bool],
    question: Question,
    ring_size: int | None,
    comment: str,
) -> str:
    return write_script(
        arithmetic,
        [*sizes(arithmetic), *terms],
        ring_size=ring_size,
        bits=question.bits,
        comment=comment,
    )


def decide(
    question: Question,
    arithmetic: Arithmetic,
    solver: str,
    seed: int,
    ring_size: int | None,
    rounds: tuple[int, ...] = (1, 2, 3),
) -> Answer:
    """Whether the negation of the question contradicts the invariant (unsatisfiable: proved)."""
    if all(claim.operation == "constant" and claim.value for _, claim in question.parts):
        return Answer.UNSATISFIABLE
    if solver == "cvc5" and len(question.parts) > AT_ONCE:
        return _decide_in_parts(question, arithmetic, solver, seed, ring_size)
    answer = Answer.UNKNOWN
    for text in scripts(question, arithmetic, ring_size, rounds=rounds):
        answer = ask(solver, text if solver == "z3" else essential(text, seed), seed)
        if answer is Answer.UNSATISFIABLE:
            break
    return answer


TOGETHER: Final = 12
"""How many steps of a promise are asked about in one query."""


def group_of(obligation: Obligation) -> str:
    """Obligations of the same group are decided together: give them to the same process.

    The steps of a promise share most of what is assumed, so one query asks whether any of some
    dozen steps breaks the promise; only if one does is each asked about alone.
    """
    return f"{_group(_specification(), obligation.id)} {obligation.arithmetic}"


def _group(within: Catalogue, name: str) -> str:
    head, _, step = name.partition("/step/")
    if not step or not head.startswith("promise/"):
        return name
    return f"{head}/{within.places[name] // TOGETHER}"


AT_ONCE: Final = 8
"""How many conjuncts the second solver is asked about in one query."""


def _decide_in_parts(
    question: Question, arithmetic: Arithmetic, solver: str, seed: int, ring_size: int | None
) -> Answer:
    """Decide a question with many conjuncts a few of them at a time."""
    for first in range(0, len(question.parts), AT_ONCE):
        some = question.parts[first : first + AT_ONCE]
        answer = decide(attrs.evolve(question, parts=some), arithmetic, solver, seed, ring_size)
        if answer is not Answer.UNSATISFIABLE:
            return answer
    return Answer.UNSATISFIABLE


def discharge(
    obligation: Obligation,
    *,
    solver: str = "z3",
    seed: int = 0,
    ring_size: int | None = None,
    within: Catalogue | None = None,
) -> Verdict:
    """Decide an obligation. A refuted one names the conjuncts that do not follow.

    Raises:
        KeyError: no obligation has this id.
        SolverError: the solver failed.
    """
    known = within or _specification()
    start = time.perf_counter()
    entry = known.entries[obligation.id]
    if entry.witness is not None:
        detail = entry.witness()
        return Verdict("refuted" if detail else "proved", time.perf_counter() - start, detail)
    arithmetic = Arithmetic(obligation.arithmetic)
    group = _group(known, obligation.id)
    if group != obligation.id and solver == "z3":
        key = (group, arithmetic, solver, seed, ring_size)
        if key not in known.decided:
            known.decided[key] = _decide_group(known, group, arithmetic, solver, seed, ring_size)
        seconds = known.decided[key]
        if seconds is not None:
            return Verdict("proved", seconds)
    assert entry.question is not None
    question = entry.question()
    answer = decide(question, arithmetic, solver, seed, ring_size)
    if answer is Answer.UNSATISFIABLE:
        return Verdict("proved", time.perf_counter() - start)
    broken = [
        name
        for name, claim in question.parts
        if len(question.parts) == 1
        or decide(
            attrs.evolve(question, parts=((name, claim),)), arithmetic, solver, seed, ring_size
        )
        is not Answer.UNSATISFIABLE
    ]
    result = "refuted" if answer is Answer.SATISFIABLE else "unknown"
    return Verdict(result, time.perf_counter() - start, ", ".join(broken))


def _decide_group(
    known: Catalogue,
    group: str,
    arithmetic: Arithmetic,
    solver: str,
    seed: int,
    ring_size: int | None,
) -> float | None:
    """Seconds for each member if all are proved by one query, else None."""
    start = time.perf_counter()
    members = known.groups[group]
    parts: list[tuple[str, Bool]] = []
    for name in members:
        make = known.entries[name].question
        assert make is not None
        parts += make().parts
    together = Question((), tuple(parts), ORDINARY)
    if decide(together, arithmetic, solver, seed, ring_size, rounds=(1,)) is Answer.UNSATISFIABLE:
        return (time.perf_counter() - start) / len(members)
    return None


def script(obligation: Obligation, *, ring_size: int | None = None) -> str:
    """The SMT-LIB text of an obligation: unsatisfiable means proved.

    A vacuity check is a run, not a question; its text says so and is trivially unsatisfiable.
    """
    entry = _specification().entries[obligation.id]
    arithmetic = Arithmetic(obligation.arithmetic)
    comment = f"{obligation.id} ({obligation.arithmetic})\n{obligation.meaning}\nunsat: proved"
    if entry.question is None:
        return f"; {obligation.id}: decided by a run of the specification, not by a solver\n"
    (text,) = scripts(entry.question(), arithmetic, ring_size, comment, rounds=(2,))
    return text
