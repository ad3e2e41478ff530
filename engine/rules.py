"""What a rule of the specification is: a guarded step of one party, written as plain assignments.

A rule's body is a function of the state and of its parameters. It says when the step may happen
(`state.require`, `state.barrier`), what it does that can be seen (`state.load`, `state.store`,
`state.sleeps`, ...) and what it changes (ordinary assignments, in order). Calling the body on
symbolic variables once yields a `Transition`: guards and updates as terms and the operations seen,
from which the executor, the proofs and the monitors are all derived.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import attrs

from engine.terms import (
    FALSE,
    TRUE,
    And,
    Array,
    Bool,
    Domain,
    If,
    Number,
    Sort,
    Term,
    constant,
    symbol,
)
from engine.words import Word

__all__ = [
    "Choice",
    "Group",
    "Guard",
    "Kind",
    "Operation",
    "Parameter",
    "Party",
    "Recorder",
    "Rule",
    "Transition",
    "Variable",
    "changed",
    "describe",
    "flag",
    "flags",
    "number",
    "numbers",
    "symbolic",
    "transition",
]


class Party(enum.Enum):
    """Who takes a step."""

    HOST = "host"
    MEMORY = "memory"
    DEVICE = "device"
    ENVIRONMENT = "environment"


class Choice(enum.Enum):
    """What a rule's parameter ranges over. Proofs take every number; executions need a list."""

    THREAD = "thread"
    USER = "user thread"
    SLOT = "slot of the ring"
    FLAG = "0 or 1"
    KEY = "filter (one mask and address)"
    WORD = "arbitrary contents of a word of memory"
    COUNT = "any number from 0 on"


@attrs.frozen
class Parameter:
    """A choice that whoever takes the step makes, or the name of one instance of the step."""

    name: str
    choice: Choice


class Kind(enum.Enum):
    """What a step does that can be seen from outside."""

    LOAD = "load"
    STORE = "store"
    ALLOCATE = "allocate"
    FREE = "free"
    LOCK = "lock"
    UNLOCK = "unlock"
    SLEEP = "sleep"
    WAKE = "wake"
    READ = "read"
    WRITE = "write"
    ARRIVE = "arrive"
    DOORBELL = "doorbell"
    FENCE = "fence"


VARIABLE: Final = "variable"
"""Where a field of a group keeps the `Variable` that it is."""
MEMORY_ACCESSES: Final = frozenset({Kind.LOAD, Kind.STORE})


@attrs.frozen
class Operation:
    """Something that a step does and that can be seen from outside.

    Attributes:
        kind: What is done.
        name: To what: a word such as `tx.owner`, a register, a wait queue, or "".
        slot: The slot that it is done to; None where there is none.
        value: The name of the value that is stored, or that a load must yield for this step; "" if
            any is possible or nobody could tell.
        when: It is done only if this holds, of the state before the step.
        present: The memory accessed is allocated, at this point of the step.
        atomic: Both sides may access the word at once.
    """

    kind: Kind
    name: str = ""
    slot: Number | None = None
    value: str = ""
    when: Bool = TRUE
    present: Bool = TRUE
    atomic: bool = False

    @property
    def ring(self) -> str:
        """The ring whose memory is accessed."""
        return self.name.partition(".")[0]

    @property
    def word(self) -> str:
        """The word of it."""
        return self.name.partition(".")[2]

    @property
    def write(self) -> bool:
        """Whether memory is written."""
        return self.kind is Kind.STORE

    @property
    def place(self) -> Number:
        """The slot of an access to memory. Raises `ValueError` where there is none."""
        if self.slot is None:
            raise ValueError(f"{self.kind.value} {self.name} is of no slot")
        return self.slot


@attrs.frozen
class Guard:
    """A named part of a rule's condition. `barrier`: a memory barrier is what enforces it."""

    name: str
    condition: Bool
    barrier: bool


@attrs.frozen
class Rule:
    """A step that some party may take.

    Attributes:
        name: Dotted name, unique, e.g. `tx.store_owner`.
        party: Who takes it.
        section: The datasheet section that it follows.
        parameters: Its choices, in the order of the body's arguments.
        fair: The name of the process that takes the step under weak fairness (that process is never
            left for ever with a step that it could take), or "" for steps that may never come.
            A process that starts with `each ` is one process for each value of the parameters.
        body: The step itself.
    """

    name: str
    party: Party
    section: str
    parameters: tuple[Parameter, ...]
    fair: str
    body: Callable[..., None]

    @property
    def meaning(self) -> str:
        """What the step does, in one line."""
        return (self.body.__doc__ or "").strip().split("\n")[0]


@attrs.frozen(eq=False)
class Transition:
    """A rule lifted to terms: when it may happen and what each changed variable becomes."""

    rule: Rule
    guards: tuple[Guard, ...]
    updates: dict[str, Term]
    operations: tuple[Operation, ...]

    @property
    def accesses(self) -> tuple[Operation, ...]:
        """The loads and stores of shared memory."""
        return tuple(item for item in self.operations if item.kind in MEMORY_ACCESSES)

    @property
    def guard(self) -> Bool:
        """All parts of the condition together."""
        return And(*(part.condition for part in self.guards))

    @property
    def parameters(self) -> tuple[Number, ...]:
        """The symbols that stand for the rule's parameters."""
        return tuple(parameter_symbol(item) for item in self.rule.parameters)


THREAD: Final = Parameter("t", Choice.THREAD)
USER: Final = Parameter("t", Choice.USER)
SLOT: Final = Parameter("k", Choice.SLOT)


class RuleBook:
    """Collects the rules that a file of the specification states, in order.

    `section` is the datasheet section; `prefix` and `arguments` make one rule of each ring out of
    one body.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def rule(
        self,
        section: str,
        party: Party,
        *parameters: Parameter,
        fair: str = "",
        name: str = "",
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """State a rule; its name is the function's unless given."""

        def state(body: Callable[..., None]) -> Callable[..., None]:
            self.rules.append(Rule(name or body.__name__, party, section, parameters, fair, body))
            return body

        return state


Result = TypeVar("Result")


def bind(body: Callable[..., Result], *arguments: object) -> Callable[..., Result]:
    """`body` for one of several alike: its first arguments fixed, its text kept."""
    bound = functools.partial(body, *arguments)
    functools.update_wrapper(bound, body)
    return bound


def parameter_symbol(parameter: Parameter) -> Number:
    """The symbol that stands for a parameter."""
    return symbol(f"?{parameter.name}", Sort.NUMBER)  # type: ignore[return-value]


@attrs.frozen
class Variable:
    """A state variable: dotted name, sort, what indexes it, initial value, and what it means.

    `history`: it is kept because properties speak of it; no rule reads it to decide anything.
    """

    name: str
    sort: Sort
    domain: Domain | None
    initial: int
    meaning: str
    history: bool = False

    @property
    def term(self) -> Term:
        """The symbol that stands for the variable's present value."""
        return symbol(self.name, self.sort)


def _field(sort: Sort, domain: Domain | None, initial: int, meaning: str, history: bool) -> Any:
    variable = Variable("", sort, domain, int(initial), meaning, history)
    return attrs.field(metadata={VARIABLE: variable})


def flag(meaning: str, initial: bool = False, *, history: bool = False) -> Any:
    """A state variable that is a truth value."""
    return _field(Sort.BOOL, None, initial, meaning, history)


def number(meaning: str, initial: int = 0, *, history: bool = False) -> Any:
    """A state variable that is a number."""
    return _field(Sort.NUMBER, None, initial, meaning, history)


def flags(domain: Domain, meaning: str, initial: bool = False, *, history: bool = False) -> Any:
    """A state variable that holds a truth value for each slot, thread, ticket or key."""
    return _field(Sort.BOOL_ARRAY, domain, initial, meaning, history)


def numbers(domain: Domain, meaning: str, initial: int = 0, *, history: bool = False) -> Any:
    """A state variable that holds a number for each slot, thread, ticket or key."""
    return _field(Sort.NUMBER_ARRAY, domain, initial, meaning, history)


@attrs.define(eq=False)
class Group:
    """A named part of the state; its attributes are state variables or further groups."""


@attrs.define(eq=False)
class Recorder(Group):
    """The whole state while a rule runs on it: it notes what the rule requires and does.

    Loads and stores happen where they are written: a load yields what the processor or the device
    may see, a store of the host's waits in the store buffer. The other operations are only noted;
    what they change is assigned.
    """

    _guards: list[Guard] = attrs.field(factory=list, init=False)
    _operations: list[Operation] = attrs.field(factory=list, init=False)
    _party: Party = attrs.field(default=Party.HOST, init=False)

    # When the step may happen

    def require(self, condition: Bool, name: str = "") -> None:
        """The step may only happen where `condition` holds (of the state before the step)."""
        self._guards.append(Guard(name, condition, barrier=False))

    def barrier(self, name: str, condition: Bool) -> None:
        """Like `require`, for a condition that a memory barrier of the driver enforces."""
        self._guards.append(Guard(name, condition, barrier=True))

    # Shared memory

    def load(
        self,
        word: Word,
        slot: Number,
        value: int | None = None,
        when: Bool = TRUE,
        *,
        early: bool = True,
    ) -> Any:
        """Load a word of `slot`: the terms that it yields, one for each variable that holds it.

        The host sees its own store while that is pending, and a load that was satisfied early has
        its value already; the device sees memory.

        Args:
            word: The word.
            slot: The slot.
            value: What the load must yield for this step, where `word.values` names it; whether it
                does is for the rule to require.
            when: The word is loaded only if this holds.
            early: It is the load that `word.speculation` speaks of, and may have its value already.

        Returns:
            A term if one variable holds the word, else a tuple of terms.
        """
        self.note(Kind.LOAD, word.path, slot, self._name_of(word, value), when, word)
        group = getattr(self, word.ring)
        seen = [getattr(group, name)[slot] for name in word.holds]
        if self._party is not Party.DEVICE:
            seen = self._forwarded(group, word, slot, seen)
            ahead = word.speculation if early else None
            if ahead is not None:
                flag = getattr(group, ahead.flag)
                seen = [
                    If(flag, getattr(group, name), item)
                    for name, item in zip(ahead.holds, seen, strict=True)
                ]
                setattr(group, ahead.flag, FALSE)
        return seen[0] if len(seen) == 1 else tuple(seen)

    @staticmethod
    def _forwarded(group: Any, word: Word, slot: Number, seen: list[Any]) -> list[Any]:
        """What the host's processor sees: its own store, as long as that is pending."""
        if not word.buffered:
            return seen
        pending = getattr(group, word.pending)[slot]
        return [
            If(pending, getattr(group, name)[slot], item)
            for name, item in zip(word.buffered, seen, strict=True)
        ]

    def store(self, word: Word, slot: Number, **values: Any) -> None:
        """Store a word of `slot`; `values` are named by the variables that hold it.

        A store of the host's to a variable without a value puts there what its buffer variable
        says, which an earlier step has noted.
        """
        unknown = set(values) - set(word.holds)
        if unknown:
            raise ValueError(f"{word.path} holds no {', '.join(sorted(unknown))}")
        first = values.get(word.holds[0])
        known = int(first) if isinstance(first, (bool, int)) else None
        self.note(Kind.STORE, word.path, slot, self._name_of(word, known), TRUE, word)
        group = getattr(self, word.ring)
        if self._party is Party.HOST:
            if not word.buffered:
                raise ValueError(f"{word.path} is declared as a word that the host never stores to")
            for name, buffer in zip(word.holds, word.buffered, strict=True):
                if name in values:
                    getattr(group, buffer)[slot] = values[name]
            getattr(group, word.pending)[slot] = True
        else:
            for name, value in values.items():
                getattr(group, name)[slot] = value

    def allocate(self, word: Word, slot: Number, **contents: Any) -> None:
        """The word's memory is allocated, and holds anything."""
        self.note(Kind.ALLOCATE, word.path, slot, "", TRUE, word)
        group = getattr(self, word.ring)
        for name in word.holds:
            getattr(group, name)[slot] = contents[name]

    @staticmethod
    def _name_of(word: Word, value: int | None) -> str:
        return "" if value is None else word.values.get(value, "")

    # What else can be seen

    def locks(self) -> None:
        """The thread asks for the lock."""
        self.note(Kind.LOCK)

    def unlocks(self, when: Bool = TRUE) -> None:
        """The thread gives up the lock."""
        self.note(Kind.UNLOCK, when=when)

    def sleeps(self, queue: str, when: Bool = TRUE) -> None:
        """The thread gives up the lock and starts to wait on a wait queue."""
        self.note(Kind.SLEEP, queue, when=when)

    def wakes(self, queue: str, when: Bool = TRUE) -> None:
        """Everyone who sleeps on a wait queue is woken."""
        self.note(Kind.WAKE, queue, when=when)

    def reads_register(self, name: str) -> None:
        """A register is read."""
        self.note(Kind.READ, name)

    def writes_register(self, name: str) -> None:
        """A register, or several that mean one thing, are written."""
        self.note(Kind.WRITE, name)

    def register_write_arrives(self, name: str) -> None:
        """A register write, which was issued before, takes effect."""
        self.note(Kind.ARRIVE, name)

    def rings_doorbell(self, ring: str, slot: Number) -> None:
        """The doorbell of a slot is written."""
        self.note(Kind.DOORBELL, ring, slot)

    def fences(self) -> None:
        """A full barrier."""
        self.note(Kind.FENCE)

    def frees(self) -> None:
        """Memory is given back."""
        self.note(Kind.FREE)

    def note(
        self,
        kind: Kind,
        name: str = "",
        slot: Number | None = None,
        value: str = "",
        when: Bool = TRUE,
        word: Word | None = None,
    ) -> None:
        """Note an operation; see the methods above."""
        present: Bool = TRUE
        if word is not None and word.exists and slot is not None:
            present = getattr(getattr(self, word.ring), word.exists)[slot]
        atomic = word is not None and word.synchronises
        self._operations.append(Operation(kind, name, slot, value, when, present, atomic))


StateType = TypeVar("StateType", bound=Recorder)


def describe(kind: type[Group], prefix: str = "") -> Iterator[Variable]:
    """All state variables of a state class, in order of declaration."""
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if VARIABLE in field.metadata:
            yield attrs.evolve(field.metadata[VARIABLE], name=prefix + field.name)
        else:
            yield from describe(field.type, f"{prefix}{field.name}.")


def symbolic(kind: type[Any], prefix: str = "") -> Any:
    """A state object whose every variable is its own symbol."""
    values: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if VARIABLE in field.metadata:
            sort: Sort = field.metadata[VARIABLE].sort
            term = symbol(prefix + field.name, sort)
            values[field.name] = Array(term) if sort.is_array else term
        else:
            values[field.name] = symbolic(field.type, f"{prefix}{field.name}.")
    return kind(**values)


def changed(kind: type[Any], updates: Mapping[str, Term]) -> Any:
    """A state object whose every variable is its own symbol, but for those that are given."""
    state = symbolic(kind)
    for name, term in updates.items():
        *groups, last = name.split(".")
        group = functools.reduce(getattr, groups, state)
        setattr(group, last, Array(term) if term.sort.is_array else term)
    return state


def contents(state: Group, prefix: str = "") -> Iterator[tuple[str, Term]]:
    """Each variable's name and present term."""
    for field in attrs.fields(type(state)):
        if field.name.startswith("_"):
            continue
        value = getattr(state, field.name)
        if isinstance(value, Group):
            yield from contents(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, _term(value, field.metadata[VARIABLE].sort)


def _term(value: object, sort: Sort) -> Term:
    if isinstance(value, Array):
        return value.term
    if isinstance(value, Term):
        return value
    if sort is Sort.BOOL and isinstance(value, bool):
        return TRUE if value else FALSE
    if sort is Sort.NUMBER and isinstance(value, int):
        return constant(value)
    raise TypeError(f"a rule set a {sort.value} variable to {value!r}")


def transition(rule: Rule, kind: type[StateType]) -> Transition:
    """Run a rule's body on symbols and collect what it requires and changes."""
    state = symbolic(kind)
    state._party = rule.party
    rule.body(state, *(parameter_symbol(item) for item in rule.parameters))
    before = {variable.name: variable.term for variable in describe(kind)}
    updates = {name: term for name, term in contents(state) if term is not before[name]}
    return Transition(rule, tuple(state._guards), updates, tuple(state._operations))
