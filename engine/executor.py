"""Run the specification: step by step, at random, by replay, or through all states breadth first.

An `Executor` is a system at a `Scope`. It works on states as values (`engine.scope.FlatState`);
`Executor.runner` gives the fast kind that changes one state in place.

    executor = Executor.of(specification(), Scope(ring_size=2, users=2))
    found = executor.search(bad=~invariant, states=1_000_000)

A search works on *canonical* states: tickets and places in line count from the one that is served,
and what lies outside the outstanding range is cleared. Only differences between tickets mean
anything, so this merges states that differ in nothing that any step can notice.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from engine.canonical import canonical_source, folded_source
from engine.codegen import Guarded, Source, decision
from engine.protocol import System
from engine.rules import Choice
from engine.runner import Runner, grouped
from engine.scope import FlatState, Instance, Layout, Scope
from engine.terms import Bool, Term

__all__ = [
    "Executor",
    "FlatState",
    "Instance",
    "Path",
    "Predicate",
    "Runner",
    "Scope",
    "SearchResult",
    "run_to_rest",
]

INDENT: Final = "    "
Predicate: TypeAlias = Callable[[FlatState], bool]
"""A property of a state, by value."""
Path: TypeAlias = tuple[Instance, ...]
"""Steps in the order in which they are taken."""


@attrs.frozen
class SearchResult:
    """What a breadth-first search found.

    Attributes:
        path: A shortest path to a state searched for, or None if none was found.
        states: Number of different states seen.
        steps: Number of steps taken from them.
        depth: Length of the longest path looked at in full.
        exhaustive: Every state that can be reached in this scope was seen (and no limit was hit).
        deadlocks: Number of states seen in which no step is enabled.
    """

    path: Path | None
    states: int
    steps: int
    depth: int
    exhaustive: bool
    deadlocks: int

    def __str__(self) -> str:
        found = "nothing found" if self.path is None else f"found in {len(self.path)} steps"
        whole = "all states" if self.exhaustive else f"all paths up to {self.depth} steps"
        if self.path is not None:
            whole = f"no shorter path (all {self.depth}-step paths seen)"
        return f"{found}: {self.states} states, {self.steps} steps, {whole}"


@attrs.frozen(eq=False)
class Executor:
    """A system at a scope, ready to run."""

    layout: Layout

    @classmethod
    def of(cls, system: System, scope: Scope) -> Executor:
        """Make `system` run at `scope`."""
        return cls(Layout.of(system, scope))

    @property
    def scope(self) -> Scope:
        """The sizes."""
        return self.layout.scope

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All steps of the scope; a step's number is its position here."""
        return self.layout.instances

    def initial(self) -> FlatState:
        """The state at power-on."""
        return self.layout.initial()

    def value(self, state: FlatState, name: str) -> Any:
        """The value of a variable in `state`."""
        return state[self.layout.position[name]]

    def changed(self, state: FlatState, **values: Any) -> FlatState:
        """`state` with variables replaced; write `__` for the dot: `driver__failed=True`."""
        result = list(state)
        for name, value in values.items():
            result[self.layout.position[name.replace("__", ".")]] = value
        return tuple(result)

    def find(self, name: str, **parameters: int) -> Instance:
        """The step with this rule and these parameters. Raises `KeyError` if there is none."""
        return self.layout.find(name, parameters)

    # Steps

    def enabled(self, state: FlatState) -> list[Instance]:
        """The steps that may be taken in `state`."""
        return [self.instances[number] for number in self._enabled(state)]

    def fire(self, state: FlatState, step: Instance) -> FlatState:
        """The state after `step`. Raises `ValueError` if it is not enabled."""
        own = self._own(step)
        if own.index not in self._enabled(state):
            raise ValueError(f"step {step} is not enabled")
        return self._functions[own.index](state)

    def is_enabled(self, state: FlatState, step: Instance) -> bool:
        """Whether `step` may be taken in `state`."""
        return self._own(step).index in self._enabled(state)

    def _own(self, step: Instance) -> Instance:
        """The same step in this scope, where it may come from an executor of another one."""
        number = step.index
        if number < len(self.instances) and self.instances[number] is step:
            return step
        return self.layout.find(step.name, step.parameters)

    def successors(self, state: FlatState) -> Iterator[tuple[Instance, FlatState]]:
        """Each enabled step and the state after it."""
        for number in self._enabled(state):
            yield self.instances[number], self._functions[number](state)

    def replay(
        self,
        path: Iterable[Instance | tuple[str, Mapping[str, int]]],
        start: FlatState | None = None,
    ) -> list[FlatState]:
        """The states on a path, the first one included. Raises `ValueError` at a disabled step."""
        states = [self.initial() if start is None else start]
        for item in path:
            step = item if isinstance(item, Instance) else self.layout.find(*item)
            states.append(self.fire(states[-1], step))
        return states

    def walk(self, source: random.Random, steps: int, start: FlatState | None = None) -> Path:
        """Up to `steps` random steps; fewer only where nothing is enabled any more."""
        runner = self.runner(start)
        taken: list[int] = []
        runner.walk(source, steps, taken.append)
        return tuple(self.instances[number] for number in taken)

    def runner(self, start: FlatState | None = None) -> Runner:
        """The fast kind of execution, in state `start`."""
        runner = Runner(self.layout)
        if start is not None:
            runner.load(start)
        return runner

    # Predicates

    def compile(self, condition: Bool, parameters: Sequence[str] = ()) -> Callable[..., bool]:
        """`condition` as a function of a state and of its parameters (symbols `?name`)."""
        source = Source(self.layout, self._name)
        special = self.layout.specialise(condition)
        lines = source.share([special])
        names = "".join(f", p_{name}" for name in parameters)
        lines.append(f"return {source.expression(special)}")
        return _function(f"condition(S{names})", lines)

    def predicate(self, condition: Bool, **ranges: Choice) -> Predicate:
        """`condition` for every value of its parameters, whose ranges are given by name."""
        test = self.compile(condition, tuple(ranges))
        choices = [self.scope.values(choice) for choice in ranges.values()]
        if not choices:
            return test
        combinations = tuple(itertools.product(*choices))
        return lambda state: all(test(state, *values) for values in combinations)

    # Search

    def known(self, state: FlatState) -> FlatState:
        """`state`, canonical and folded: one for all that are alike as far as any step can tell."""
        return self.folded(self.canonical(state))

    @functools.cached_property
    def canonical(self) -> Callable[[FlatState], FlatState]:
        """Gives a state with tickets and places counted from the one that is served."""
        return _function("canonical(S)", canonical_source(self.layout))

    @functools.cached_property
    def folded(self) -> Callable[[FlatState], FlatState]:
        """Folds a canonical state: request and packet numbers count from the oldest in use."""
        return _function("folded(S)", folded_source(self.layout))

    def search(
        self,
        goal: Bool | Predicate | None = None,
        bad: Bool | Predicate | None = None,
        start: FlatState | None = None,
        states: int = 1_000_000,
        depth: int | None = None,
        *,
        fold: bool = False,
        bad_step: Callable[[FlatState, Instance], bool] | None = None,
    ) -> SearchResult:
        """Look breadth first for a state where `goal` or `bad` holds; with neither, for a deadlock.

        The two differ in name only: say which you hope for. The search stops after `states`
        different states or paths of length `depth`. With `fold`, states are folded too: numbers of
        requests and packets count from the oldest in use, which can make the states finite in
        number. What is searched for must then not ask for what `engine.canonical` drops. With
        `bad_step`, a step is looked for for which it holds, of the state before and of the step;
        the state after the step must be `bad`, if that is given.
        """
        wanted = self._wanted(goal if goal is not None else bad)
        canonical = self.known if fold else self.canonical
        first = canonical(self.initial() if start is None else start)
        # Each state seen: the number of the state it was reached from, and the step.
        seen: dict[FlatState, tuple[FlatState, int] | None] = {first: None}
        steps = deadlocks = level = 0
        frontier = [first]
        if wanted is not None and bad_step is None and wanted(first):
            return SearchResult((), 1, 0, 0, False, 0)
        enabled, functions = self._enabled, self._functions
        while frontier and (depth is None or level < depth):
            reached: list[FlatState] = []
            for state in frontier:
                numbers = enabled(state)
                steps += len(numbers)
                if not numbers:
                    deadlocks += 1
                    if wanted is None and bad_step is None:
                        path = self._path(seen, state)
                        return SearchResult(path, len(seen), steps, level, False, deadlocks)
                for number in numbers:
                    after = canonical(functions[number](state))
                    if bad_step is not None and bad_step(state, self.instances[number]):
                        if wanted is None or wanted(after):
                            path = (*self._path(seen, state), self.instances[number])
                            return SearchResult(path, len(seen), steps, level, False, deadlocks)
                        continue
                    if after in seen:
                        continue
                    seen[after] = (state, number)
                    if bad_step is None and wanted is not None and wanted(after):
                        path = self._path(seen, after)
                        return SearchResult(path, len(seen), steps, level, False, deadlocks)
                    reached.append(after)
                if len(seen) > states:
                    return SearchResult(None, len(seen), steps, level, False, deadlocks)
            frontier = reached
            level += 1
        return SearchResult(None, len(seen), steps, level, not frontier, deadlocks)

    def _wanted(self, condition: Bool | Predicate | None) -> Predicate | None:
        return self.compile(condition) if isinstance(condition, Bool) else condition

    def _path(
        self, seen: Mapping[FlatState, tuple[FlatState, int] | None], state: FlatState
    ) -> Path:
        numbers: list[int] = []
        link = seen[state]
        while link is not None:
            state, number = link
            numbers.append(number)
            link = seen[state]
        return tuple(self.instances[number] for number in reversed(numbers))

    # Generated code

    def _name(self, name: str) -> str:
        if name.startswith("?"):
            return f"p_{name[1:]}"
        return f"S[{self.layout.position[name]}]"

    @functools.cached_property
    def _enabled(self) -> Callable[[FlatState], list[int]]:
        source = Source(self.layout, self._name)
        lines = ["E = []"]
        for group in grouped(self.layout):
            cases = [
                Guarded(instance.guard, (f"E.append({instance.index})",)) for instance in group
            ]
            lines += decision(source, cases)
        return _function("enabled(S)", [*lines, "return E"])

    @functools.cached_property
    def _functions(self) -> list[Callable[[FlatState], FlatState]]:
        functions: list[Callable[[FlatState], FlatState]] = []

        def first_use(instance: Instance) -> Callable[[FlatState], FlatState]:
            def first(state: FlatState) -> FlatState:
                function: Callable[[FlatState], FlatState] = _function(
                    "step(S)", self._step(instance)
                )
                functions[instance.index] = function
                return function(state)

            return first

        functions += [first_use(instance) for instance in self.instances]
        return functions

    def _step(self, instance: Instance) -> list[str]:
        source = Source(self.layout, self._name)
        lines = ["T = [*S]"]
        for name, term in instance.updates.items():
            place = self.layout.position[name]
            if term.sort.is_array:
                lines += self._array(source, place, name, term, "")
            else:
                lines.append(f"T[{place}] = {source.expression(term)}")
        return [*lines, "return tuple(T)"]

    def _array(self, source: Source, place: int, name: str, term: Term, margin: str) -> list[str]:
        """Lines that leave the array's new contents, a tuple, in the new state."""
        operation = term.operation
        match operation:
            case "symbol":
                return []
            case "fill":
                size = self.scope.capacity(source.variable(name))
                everywhere = source.expression(term.arguments[0])
                return [f"{margin}T[{place}] = ({everywhere},) * {size}"]
            case "store":
                stores: list[str] = []
                while term.operation == "store":
                    term, index, value = term.arguments
                    stores.append(
                        f"{margin}a[{source.index(name, index)}] = {source.expression(value)}"
                    )
                lines = self._array(source, place, name, term, margin)
                lines += [f"{margin}a = [*T[{place}]]", *reversed(stores)]
                return [*lines, f"{margin}T[{place}] = tuple(a)"]
            case "if":
                test, then, otherwise = term.arguments
                yes = self._array(source, place, name, then, margin + INDENT)
                no = self._array(source, place, name, otherwise, margin + INDENT)
                return [
                    f"{margin}if {source.expression(test)}:",
                    *(yes or [f"{margin}{INDENT}pass"]),
                    f"{margin}else:",
                    *(no or [f"{margin}{INDENT}pass"]),
                ]
        raise ValueError(f"cannot run an array update by {operation!r}")


def _function(head: str, lines: Iterable[str]) -> Callable[..., Any]:
    body = "\n".join(INDENT + line for line in lines)
    module: dict[str, Any] = {}
    name, _, _ = head.partition("(")
    exec(compile(f"def {head}:\n{body}\n", f"<{name}>", "exec"), module)  # noqa: S102 - source made here, of terms
    function: Callable[..., Any] = module[name]
    return function


# Getting somewhere


def run_to_rest(
    executor: Executor,
    start: FlatState,
    steps: int = 100_000,
    until: Predicate | None = None,
) -> tuple[FlatState, Path]:
    """Take fair steps, in a fixed order, until none is enabled (or `until` holds).

    Every weakly fair process gets its turn: after each step the one that waited longest goes next.
    Raises `RuntimeError` if that does not come to an end within `steps` steps.
    """
    state = start
    path: list[Instance] = []
    waited: dict[tuple[object, ...], int] = {}
    for now in range(steps):
        if until is not None and until(state):
            return state, tuple(path)
        ready = [item for item in executor.enabled(state) if item.process is not None]
        if not ready:
            if until is not None:
                break
            return state, tuple(path)
        step = min(ready, key=lambda item: (waited.get(item.process or (), -1), item.index))
        waited[step.process or ()] = now
        state = executor.fire(state, step)
        path.append(step)
    if until is not None:
        raise RuntimeError(f"the system came to rest or to step {steps} short of the goal")
    raise RuntimeError(f"the system does not come to rest within {steps} steps")
