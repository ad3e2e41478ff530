"""What a rule of the specification is: a guarded step of one party, written as plain assignments.

A rule's body is a function of the state and of its parameters. It says when the step may happen
(`state.require`, `state.barrier`), which shared memory it reads or writes (`state.reads`,
`state.writes`) and what it changes (ordinary assignments, in order). Calling the body on symbolic
variables once yields a `Transition`: guards and updates as terms, from which the executor, the
proofs and the monitors are all derived.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import attrs

from engine.terms import (
    FALSE,
    TRUE,
    And,
    Array,
    Bool,
    Domain,
    Number,
    Sort,
    Term,
    constant,
    symbol,
)

__all__ = [
    "Access",
    "Choice",
    "Group",
    "Guard",
    "Parameter",
    "Party",
    "Recorder",
    "Rule",
    "Transition",
    "Variable",
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


@attrs.frozen
class Access:
    """One access to shared memory: which word of which slot, whether it writes, and when."""

    ring: str
    word: str
    slot: Number
    write: bool
    when: Bool = TRUE


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
    accesses: tuple[Access, ...]

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
    """A state variable: dotted name, sort, what indexes it, initial value, and what it means."""

    name: str
    sort: Sort
    domain: Domain | None
    initial: int
    meaning: str

    @property
    def term(self) -> Term:
        """The symbol that stands for the variable's present value."""
        return symbol(self.name, self.sort)


def _field(sort: Sort, domain: Domain | None, initial: int, meaning: str) -> Any:
    return attrs.field(
        metadata={"sort": sort, "domain": domain, "initial": int(initial), "meaning": meaning}
    )


def flag(meaning: str, initial: bool = False) -> Any:
    """A state variable that is a truth value."""
    return _field(Sort.BOOL, None, initial, meaning)


def number(meaning: str, initial: int = 0) -> Any:
    """A state variable that is a number."""
    return _field(Sort.NUMBER, None, initial, meaning)


def flags(domain: Domain, meaning: str, initial: bool = False) -> Any:
    """A state variable that holds a truth value for each slot, thread, ticket or filter."""
    return _field(Sort.BOOL_ARRAY, domain, initial, meaning)


def numbers(domain: Domain, meaning: str, initial: int = 0) -> Any:
    """A state variable that holds a number for each slot, thread, ticket or filter."""
    return _field(Sort.NUMBER_ARRAY, domain, initial, meaning)


@attrs.define(eq=False)
class Group:
    """A named part of the state; its attributes are state variables or further groups."""


@attrs.define(eq=False)
class Recorder(Group):
    """The whole state while a rule runs on it: it notes what the rule requires and touches."""

    _guards: list[Guard] = attrs.field(factory=list, init=False)
    _accesses: list[Access] = attrs.field(factory=list, init=False)

    def require(self, condition: Bool, name: str = "") -> None:
        """The step may only happen where `condition` holds (of the state before the step)."""
        self._guards.append(Guard(name, condition, barrier=False))

    def barrier(self, name: str, condition: Bool) -> None:
        """Like `require`, for a condition that a memory barrier of the driver enforces."""
        self._guards.append(Guard(name, condition, barrier=True))

    def reads(self, ring: str, word: str, slot: Number, when: Bool = TRUE) -> None:
        """The step reads `word` of `slot`, memory that host and device share, if `when` holds."""
        self._accesses.append(Access(ring, word, slot, write=False, when=when))

    def writes(self, ring: str, word: str, slot: Number) -> None:
        """The step writes `word` of `slot`, memory that host and device share."""
        self._accesses.append(Access(ring, word, slot, write=True))


StateType = TypeVar("StateType", bound=Recorder)


def describe(kind: type[Group], prefix: str = "") -> Iterator[Variable]:
    """All state variables of a state class, in order of declaration."""
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if "sort" in field.metadata:
            data = field.metadata
            yield Variable(
                prefix + field.name, data["sort"], data["domain"], data["initial"], data["meaning"]
            )
        else:
            yield from describe(field.type, f"{prefix}{field.name}.")


def symbolic(kind: type[Any], prefix: str = "") -> Any:
    """A state object whose every variable is its own symbol."""
    values: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        if field.name.startswith("_"):
            continue
        if "sort" in field.metadata:
            sort: Sort = field.metadata["sort"]
            term = symbol(prefix + field.name, sort)
            values[field.name] = Array(term) if sort.is_array else term
        else:
            values[field.name] = symbolic(field.type, f"{prefix}{field.name}.")
    return kind(**values)


def contents(state: Group, prefix: str = "") -> Iterator[tuple[str, Term]]:
    """Each variable's name and present term."""
    for field in attrs.fields(type(state)):
        if field.name.startswith("_"):
            continue
        value = getattr(state, field.name)
        if isinstance(value, Group):
            yield from contents(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, _term(value, field.metadata["sort"])


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
    rule.body(state, *(parameter_symbol(item) for item in rule.parameters))
    before = {variable.name: variable.term for variable in describe(kind)}
    updates = {name: term for name, term in contents(state) if term is not before[name]}
    return Transition(rule, tuple(state._guards), updates, tuple(state._accesses))
