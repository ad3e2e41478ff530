"""The specification beside code that runs: what the thread does must be a step that it may take.

What can be seen of a step stands in the table that the judge of a run uses, too (`engine.table`).
When the code does something, the steps of which nothing is seen are taken that lead there, and then
the step itself; each part of its guard is an obligation. Between two things that the code does all
others may do what they like: whatever they may change (`engine.refine.rely`) becomes unknown again,
and of that the invariant is known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from engine.claims import Claim
from engine.protocol import System
from engine.refine.explorer import Way
from engine.refine.knowledge import Moment
from engine.refine.rely import Rely
from engine.refine.values import number_of
from engine.rules import Kind, Transition
from engine.table import Seen, Table
from engine.terms import (
    And,
    Array,
    Bool,
    Number,
    Or,
    Sort,
    Term,
    constant,
    select,
    substitute,
    symbol,
)
from engine.variables import changed

__all__ = ["Beside", "Setting", "stored"]

STEPS: Final = "steps"


def stored(array: Term, index: Number, value: Any) -> Term:
    """The array with one element changed."""
    changed_array: Array[Any] = Array(array)
    changed_array[index] = value
    return changed_array.term


@attrs.frozen(eq=False)
class Setting:
    """What code is followed by.

    Attributes:
        system: The specification.
        table: What may be seen of a thread, and which steps that is.
        invariant: What is known of every state.
        locked: What others may change while the thread has the lock.
        free: What they may change while it has not.
        provided: Parts of guards that hardware sees to, by name.
        returns: Program counters that a step may lead to because a variable says so.
        say: What is seen, in words.
    """

    system: System
    table: Table
    invariant: tuple[Claim, ...]
    locked: Rely
    free: Rely
    provided: frozenset[str] = frozenset()
    returns: tuple[int, ...] = ()
    say: Any = str

    @functools.cached_property
    def sorts(self) -> dict[str, Sort]:
        """The sorts of all variables."""
        return {item.name: item.sort for item in self.system.variables}

    @functools.cached_property
    def steps(self) -> dict[str, Transition]:
        """The rules, by name."""
        return {item.rule.name: item for item in self.system.transitions}

    @functools.cached_property
    def reach(self) -> dict[int, frozenset[Seen]]:
        """At each program counter: what may be seen there, or behind steps that are not seen."""
        reach = {pc: set(row) for pc, row in self.table.seen.items()}
        for pc, silent in self.table.silent.items():
            row = reach.setdefault(pc, set())
            row.update(seen for name, _ in silent for seen in self.gives_up(name))
        again = True
        while again:
            again = False
            for pc, rules in self.table.silent.items():
                for name, _ in rules:
                    for then in self.leads_to(name):
                        more = reach.get(then, set()) - reach[pc]
                        if more:
                            reach[pc] |= more
                            again = True
        return {pc: frozenset(seen) for pc, seen in reach.items()}

    def gives_up(self, name: str) -> frozenset[Seen]:
        """How a step gives up the lock, besides what it is recognised by."""
        return frozenset(
            (item.kind.value, item.name)
            for item in self.steps[name].operations
            if item.kind in (Kind.SLEEP, Kind.UNLOCK)
        )

    @functools.cache  # noqa: B019 - a setting lives as long as the process
    def leads_to(self, name: str) -> frozenset[int]:
        """The program counters to which a rule may lead."""
        pc = self.system.protocol.pc
        found = set(_leaves(self.steps[name].updates.get(pc, constant(-1))))
        return frozenset(found - {None}) | (frozenset(self.returns if None in found else ()))


def _leaves(term: Term) -> Iterator[Any]:
    """The numbers that may be assigned; None for one that a variable says."""
    match term.operation:
        case "store":
            yield from _leaves(term.arguments[2])
        case "if":
            yield from _leaves(term.arguments[1])
            yield from _leaves(term.arguments[2])
        case "constant":
            yield term.value
        case _:
            yield None


class Beside:
    """The state of the specification beside one way through the code.

    Attributes:
        way: The way.
        values: What each variable is, by name.
        thread: The thread whose code runs.
        parameters: Gives the parameters of a silent step besides its thread.
        fired: The rules whose steps were taken.
    """

    def __init__(self, way: Way, setting: Setting, thread: Number) -> None:
        self.way = way
        self.setting = setting
        self.thread = thread
        self.values: dict[str, Term] = {}
        self.parameters: Any = lambda rule: {}
        self.after_step: Any = lambda rule, before: None
        self.fired: set[str] = set()
        self._cache: dict[Term, Term] | None = None
        self._known: dict[Term, Term] = {}

    # The state

    def unknown(self, name: str) -> Term:
        """A variable of which nothing is known."""
        return symbol(f"{name}#{self.way.number()}", self.setting.sorts[name])

    def forget_all(self, keep: Iterable[str] = ()) -> None:
        """Nothing is known of any variable but some."""
        kept = set(keep)
        self.change({name: self.unknown(name) for name in self.setting.sorts if name not in kept})

    def change(self, updates: Mapping[str, Term]) -> None:
        """Some variables change."""
        self.values = {**self.values, **updates}
        self._cache = None

    def put(self, name: str, value: Term | int) -> None:
        """The thread's own element of an array changes."""
        sort = self.setting.sorts[name]
        if isinstance(value, int):
            value = constant(value)
        assert value.sort is (Sort.BOOL if sort is Sort.BOOL_ARRAY else Sort.NUMBER), name
        self.change({name: stored(self.values[name], self.thread, value)})

    def own(self, name: str) -> Any:
        """The thread's own element of an array."""
        return select(self.values[name], self.thread)

    def at(self, name: str, index: Any) -> Any:
        """An element of an array."""
        return select(self.values[name], number_of(index))

    def now(self, term: Any, **parameters: Any) -> Any:
        """A term of the specification, of the present state."""
        if parameters:
            values = {
                **self._values(),
                **{symbol(f"?{name}", Sort.NUMBER): value for name, value in parameters.items()},
            }
            return substitute(term, values)
        if self._cache is None:
            self._known = self._values()
            self._cache = {}
        return substitute(term, self._known, self._cache)

    def _values(self) -> dict[Term, Term]:
        values = {symbol(name, term.sort): term for name, term in self.values.items()}
        values[symbol("?t", Sort.NUMBER)] = self.thread
        return values

    def state(self) -> Any:
        """The state as an object, for functions of the specification."""
        return changed(self.setting.system.protocol.state, self.values)

    # Others

    def others_move(self, rely: Rely, *, known: bool = True) -> None:
        """Everybody else does whatever they may, any number of times.

        The invariant holds then; with `known` it is known from here on.
        """
        updates: dict[str, Term] = {}
        for name in self.setting.sorts:
            if name in rely.changed:
                new = self.unknown(name)
                updates[name] = new
                if name in rely.own:
                    updates[name] = stored(new, self.thread, self.own(name))
        self.change(updates)
        if known:
            self.begin_moment()

    def begin_moment(
        self, more: Sequence[Claim] = (), values: Mapping[Term, Term] | None = None
    ) -> None:
        """The invariant holds of the present state, and perhaps more."""
        known = self._values()
        known.update(values or {})
        claims = (*self.setting.invariant, *more)
        self.way.knowledge.begin_moment(Moment(self.setting.system.protocol.symbols, known, claims))

    # Steps

    def pc(self) -> int:
        """Where the thread is in its program; known on every way."""
        name = self.setting.system.protocol.pc
        term = self.own(name)
        leaves = list(dict.fromkeys(self._possible_pcs(term)))
        for leaf in leaves[:-1]:
            if self.way.decide(term == leaf):
                break
        else:
            leaf = leaves[-1]
        if term.operation != "constant":
            self.put(name, leaf)
        return leaf

    def _possible_pcs(self, term: Term) -> Iterator[int]:
        if term.operation == "if":
            yield from self._possible_pcs(term.arguments[1])
            yield from self._possible_pcs(term.arguments[2])
        elif term.operation == "constant":
            yield term.value
        else:
            raise AssertionError(f"it is not known where the thread is: {term!r}")

    def guard(self, name: str, **parameters: Any) -> Bool:
        """Whether the thread may take a step now, but for what hardware provides."""
        parts = self.setting.steps[name].guards
        kept = (item.condition for item in parts if item.name not in self.setting.provided)
        condition: Bool = self.now(And(*kept), **parameters)
        return condition

    def fire(self, name: str, *, assumed: bool = False, **parameters: Any) -> None:
        """Take a step: each part of its guard is proved, but for what hardware provides.

        Where it is `assumed` somebody else decides that the step is taken.
        """
        step = self.setting.steps[name]
        wanted = []
        for part in step.guards:
            condition = self.now(part.condition, **parameters)
            if assumed or part.name in self.setting.provided:
                self.way.assume(condition)
                continue
            said = f"{name}: its {'barrier' if part.barrier else 'condition'} does not hold"
            said += f" ({part.name})" if part.name else f" ({step.rule.meaning})"
            wanted.append((condition, said))
        if wanted:
            self.way.prove_all(STEPS, wanted)
        before = self.values
        self.change({key: self.now(term, **parameters) for key, term in step.updates.items()})
        self.fired.add(name)
        self.way.goes_on()
        self.way.log.append(f"    {name}")
        self.after_step(name, before)

    def approach(self, *looks: Seen) -> bool:
        """Take the steps of which nothing is seen until the thread may do one of these things.

        Returns False if one of these steps has given up the lock, where that was looked for.
        """
        wanted = frozenset(looks)
        for _ in range(50):
            pc = self.pc()
            for name, _ in self.setting.table.silent.get(pc, ()):
                if self._repeats(name):
                    self.repeat(name)
            here = self.setting.table.seen.get(pc, {})
            direct = [name for seen in looks for name in here.get(seen, ())]
            silent = [
                name
                for name, _ in self.setting.table.silent.get(pc, ())
                if wanted & self.setting.gives_up(name)
                or any(
                    wanted & self.setting.reach.get(then, frozenset())
                    for then in self.setting.leads_to(name)
                )
            ]
            if not direct and not silent:
                self.not_allowed(looks[0])
            choice = self._one_of([direct] if direct else [], silent)
            if choice is None:
                self.not_allowed(looks[0])
            elif choice == "":
                return True
            else:
                self._take_silently(choice)
                if wanted & self.setting.gives_up(choice) and not self._holds_lock():
                    return False
        raise AssertionError(f"steps that nobody sees have no end before {looks}")

    def rule_for(self, seen: Seen) -> str:
        """The rule that it is when the thread does something now."""
        rules = self.setting.table.seen.get(self.pc(), {}).get(seen, ())
        for name in rules[:-1]:
            if self.way.decide(self.guard(name, **self.parameters(name))):
                return name
        if not rules:
            self.not_allowed(seen)
        return rules[-1]

    def _holds_lock(self) -> bool:
        return True

    def _repeats(self, name: str) -> bool:
        return self.setting.system.protocol.pc not in self.setting.steps[name].updates

    def _silent_condition(self, name: str) -> Bool:
        when = dict(self.setting.table.silent[self.pc()])[name]
        values = self.parameters(name)
        condition: Bool = self.guard(name, **values) & self.now(when, **values)
        return condition

    def _one_of(self, direct: list[list[str]], silent: Sequence[str]) -> str | None:
        """A silent step to take; "" to take none, for what is looked for may be done here."""
        options: list[tuple[str, Bool]] = [
            ("", Or(*(self.guard(name, **self.parameters(name)) for name in names)))
            for names in direct
        ]
        options += [(name, self._silent_condition(name)) for name in silent]
        if len(options) == 1:
            return options[0][0]
        for name, condition in options:
            if self.way.knows(condition):
                return name
        for name, condition in options:
            if self.way.decide(condition):
                return name
        return None

    def not_allowed(self, seen: Seen) -> NoReturn:
        """The thread does what it may not do here."""
        pc = self.pc()
        label = self.setting.system.protocol.labels(pc).name
        allowed = sorted(self.setting.say(item) for item in self.setting.table.seen.get(pc, ()))
        self.way.fail(
            STEPS,
            f"{self.setting.say(seen)} is not allowed here; at {label} the specification allows: "
            f"{' or '.join(allowed) or 'nothing'}",
        )

    def _take_silently(self, name: str) -> None:
        when = dict(self.setting.table.silent[self.pc()])[name]
        values = self.parameters(name)
        self.way.prove(STEPS, self.now(when, **values), f"{name}: something would be seen of it")
        self.fire(name, **values)

    def repeat(self, name: str) -> None:
        """Take a silent step that leads nowhere else as often as it may be taken, if at all."""
        raise AssertionError(f"{name} may be repeated without end")
