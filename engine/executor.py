"""How rules become steps on states as values: one step, a random walk, a replay, a way to rest.

An `Executor` is a system at a `Scope`. It works on states as values (`engine.scope.FlatState`);
`Executor.runner` gives the fast kind that changes one state in place.

    executor = Executor.of(specification(), Scope(ring_size=2, users=2))
    found = search(executor, bad=~invariant, states=1_000_000)  # engine.search
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
from engine.protocol import Protocol, System
from engine.rules import Choice, Transition
from engine.runner import Runner, grouped
from engine.scope import FlatState, Instance, Layout, Scope
from engine.terms import Bool
from engine.updates import CopyWriter, mangled

__all__ = [
    "Executor",
    "FlatState",
    "Instance",
    "Path",
    "Predicate",
    "Runner",
    "Scope",
    "run_to_rest",
]

INDENT: Final = "    "
Predicate: TypeAlias = Callable[[FlatState], bool]
"""A property of a state, by value."""
Path: TypeAlias = tuple[Instance, ...]
"""Steps in the order in which they are taken."""


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
        tests = self._code.tests
        found: list[Instance] = []
        for instance in self.instances:
            test = tests.get(instance.guard) or self._test(instance)
            if test(state):
                found.append(instance)
        return found

    def fire(self, state: FlatState, step: Instance) -> FlatState:
        """The state after `step`. Raises `ValueError` if it is not enabled."""
        own = self._own(step)
        if not self._test(own)(state):
            raise ValueError(f"step {step} is not enabled")
        return self.step_functions[own.index](state)

    def is_enabled(self, state: FlatState, step: Instance) -> bool:
        """Whether `step` may be taken in `state`."""
        return self._test(self._own(step))(state)

    def _own(self, step: Instance) -> Instance:
        """The same step in this scope, where it may come from an executor of another one."""
        number = step.index
        if number < len(self.instances) and self.instances[number] is step:
            return step
        return self.layout.find(step.name, step.parameters)

    def successors(self, state: FlatState) -> Iterator[tuple[Instance, FlatState]]:
        """Each enabled step and the state after it."""
        for number in self.enabled_numbers(state):
            yield self.instances[number], self.step_functions[number](state)

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

    # States that are alike

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

    # Generated code

    def _name(self, name: str) -> str:
        if name.startswith("?"):
            return f"p_{name[1:]}"
        return f"S[{self.layout.position[name]}]"

    @functools.cached_property
    def _code(self) -> _Code:
        return _code(self.layout.system.protocol, self.layout.scope)

    def _test(self, instance: Instance) -> Predicate:
        """Whether the step may be taken, as a function of a state."""
        test = self._code.tests.get(instance.guard)
        if test is None:
            source = Source(self.layout, self._name)
            lines = source.share([instance.guard])
            lines.append(f"return {source.expression(instance.guard)}")
            test = self._code.tests[instance.guard] = _function("test(S)", lines)
        return test

    @functools.cached_property
    def enabled_numbers(self) -> Callable[[FlatState], list[int]]:
        """The numbers of the steps that may be taken in a state, for whoever asks of many states.

        Its code is made at first use, which takes as long as asking `enabled` a thousand times.
        """
        source = Source(self.layout, self._name)
        lines = ["E = []"]
        for group in grouped(self.layout):
            cases = [
                Guarded(instance.guard, (f"E.append({instance.index})",)) for instance in group
            ]
            lines += decision(source, cases)
        return _function("enabled(S)", [*lines, "return E"])

    @functools.cached_property
    def step_functions(self) -> list[Callable[[FlatState], FlatState]]:
        """By number: the state after the step, whether or not it is enabled."""
        functions: list[Callable[[FlatState], FlatState]] = []

        known = self._code.steps

        def first_use(instance: Instance) -> Callable[[FlatState], FlatState]:
            def first(state: FlatState) -> FlatState:
                key = instance.transition, instance.values
                if key not in known:
                    known[key] = _function("step(S)", self._step(instance))
                function = functions[instance.index] = known[key]
                return function(state)

            return first

        functions += [first_use(instance) for instance in self.instances]
        return functions

    def _step(self, instance: Instance) -> list[str]:
        """The body of a function: what the step changes in locals, and the new state of these."""
        updates = instance.updates
        place = {mangled(name): self.layout.position[name] for name in updates}
        arrays = [mangled(name) for name, term in updates.items() if term.sort.is_array]
        writer = CopyWriter(Source(self.layout, self._name))
        return [
            "T = [*S]",
            *(f"{name} = [*S[{place[name]}]]" for name in arrays),
            *writer.assignments(updates),
            *(
                f"T[{at}] = {f'tuple({name})' if name in arrays else name}"
                for name, at in place.items()
            ),
            "return tuple(T)",
        ]


@attrs.frozen(eq=False)
class _Code:
    """Functions of states that are laid out alike, which executors of many systems share."""

    tests: dict[Bool, Predicate] = attrs.field(factory=dict)
    steps: dict[tuple[Transition, tuple[int, ...]], Callable[[FlatState], FlatState]] = attrs.field(
        factory=dict
    )


@functools.lru_cache(maxsize=32)
def _code(protocol: Protocol, sizes: Scope) -> _Code:
    """What was made for this state at these sizes; which rules are allowed does not matter."""
    return _Code()


def _function(head: str, lines: Iterable[str]) -> Callable[..., Any]:
    """The function with this source. The same source, which has no state, gives the same one."""
    return _compiled(head, "\n".join(INDENT + line for line in lines))


@functools.lru_cache(maxsize=1 << 14)
def _compiled(head: str, body: str) -> Callable[..., Any]:
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
