"""A finite choice of sizes, and the steps that exist at these sizes.

The specification speaks of any ring size and any number of threads. To run it, somebody has to pick
numbers: that is a `Scope`. Laying a system out in a scope gives its `Layout`: where each variable
stands in a state, and one `Instance` for each rule and each value of its parameters.

A state is a tuple with one entry for each variable, in the order of `System.variables`; an array is
a tuple in turn. So states compare by value and can be put in sets.

What a scope leaves out, besides larger sizes:

* Arrays that are indexed by a counter that never stops (tickets, positions in a queue, doorbells)
  keep the outstanding entries only: index modulo a capacity. Where nothing bounds how many are
  outstanding, `Scope.may_begin` keeps users from adding more than the capacity leaves room for.
* An index that lies outside an array (a fault may read one from uninitialised memory) is taken
  modulo the array's size.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import attrs

from engine.protocol import System
from engine.rules import Choice, Parameter, Rule, Transition, parameter_symbol
from engine.terms import TRUE, And, Bool, Domain, Sort, Term, constant, substitute, symbol
from engine.variables import Variable

__all__ = [
    "FlatState",
    "Instance",
    "Layout",
    "RuleFilter",
    "Scope",
    "Wrapped",
    "is_positive",
    "is_power_of_two",
    "power_of_two",
]

FlatState: TypeAlias = tuple[Any, ...]
"""One entry for each variable; arrays are tuples."""
RuleFilter: TypeAlias = Callable[[str, Mapping[str, int]], bool]
"""Whether a step may be taken: from the rule's name and the values of its parameters."""


class Wrapped(tuple[Any, ...]):
    """An array of which any index has an element: indices are taken modulo its size."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        """The element at `index` modulo the size."""
        return tuple.__getitem__(self, index % len(self))


def power_of_two(at_least: int) -> int:
    """The least power of two that is at least as large."""
    return 1 << (at_least - 1).bit_length()


def is_power_of_two(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    """Validate a size. Raises `ValueError` if it is no power of two."""
    if value < 1 or value & (value - 1):
        raise ValueError(f"{attribute.name} must be a power of two, not {value}")


def is_positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    """Validate a size. Raises `ValueError` if there is nothing."""
    if value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, not {value}")


@attrs.frozen
class Scope:
    """The sizes at which a system is run. A protocol with sizes of its own adds them in a subclass.

    Attributes:
        ring_size: Slots in each ring, a power of two.
        users: User threads; those of the driver's own (`HANDLERS`) come before them.
        keys: Opaque identities that occur, such as filters.
        words: What an arbitrary word of memory may be.
        counts: What a parameter that counts may be.
        rules: Which steps may be taken: names of rules, or a predicate on the rule's name and the
            values of its parameters; all when None.
    """

    HANDLERS: ClassVar[int] = 0

    ring_size: int = attrs.field(default=1, validator=is_power_of_two)
    users: int = attrs.field(default=1, validator=is_positive)
    keys: int = attrs.field(default=2, validator=is_positive)
    words: tuple[int, ...] = (0, 1500)
    counts: tuple[int, ...] = (0, 2)
    rules: Collection[str] | RuleFilter | None = attrs.field(default=None, eq=False)

    @property
    def threads(self) -> int:
        """All threads: the driver's own and the users."""
        return self.HANDLERS + self.users

    def allows(self, rule: str, parameters: Mapping[str, int]) -> bool:
        """Whether the step may be taken."""
        if self.rules is None:
            return True
        if callable(self.rules):
            return self.rules(rule, parameters)
        return rule in self.rules

    def constants(self) -> dict[str, int]:
        """The values of the specification's named sizes."""
        return {"N": self.ring_size}

    def sizes(self) -> dict[str, int]:
        """The sizes by which a reader of a trace knows what was run."""
        return {"ring_size": self.ring_size, "users": self.users}

    def values(self, choice: Choice) -> tuple[int, ...]:
        """Everything that a parameter with this range may be."""
        match choice:
            case Choice.THREAD:
                return tuple(range(self.threads))
            case Choice.USER:
                return tuple(range(self.HANDLERS, self.threads))
            case Choice.SLOT:
                return tuple(range(self.ring_size))
            case Choice.FLAG:
                return (0, 1)
            case Choice.KEY:
                return tuple(range(self.keys))
            case Choice.WORD:
                return self.words
            case Choice.COUNT:
                return self.counts

    def capacity(self, variable: Variable) -> int:
        """How many entries an array has.

        An array that a counter indexes keeps the outstanding entries: a power of two, and more than
        there are threads, unless the protocol knows better.
        """
        match variable.domain:
            case Domain.SLOT:
                return self.ring_size
            case Domain.THREAD:
                return self.threads
            case Domain.KEY:
                return self.keys
            case Domain.COUNTER:
                return power_of_two(self.threads + 1)
            case None:
                raise ValueError(f"{variable.name} is not an array")

    def may_begin(self) -> Bool:
        """When users may begin calls, besides what the rules say: while arrays have room."""
        return TRUE


@attrs.frozen(eq=False)
class Instance:
    """A step at a fixed scope: a rule and values for its parameters.

    `guard` and the terms of `updates` mention state variables only.
    """

    index: int
    transition: Transition
    values: tuple[int, ...]
    guard: Bool
    replacing: Mapping[Term, Term]

    @property
    def rule(self) -> Rule:
        """The rule that this is a case of."""
        return self.transition.rule

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.transition.rule.name

    @property
    def parameters(self) -> dict[str, int]:
        """The value of each parameter."""
        names = (parameter.name for parameter in self.rule.parameters)
        return dict(zip(names, self.values, strict=True))

    @functools.cached_property
    def updates(self) -> dict[str, Term]:
        """What each changed variable becomes."""
        cache: dict[Term, Term] = {}
        return {
            name: substitute(term, self.replacing, cache)
            for name, term in self.transition.updates.items()
        }

    @property
    def process(self) -> tuple[object, ...] | None:
        """The weakly fair process that takes this step, or None if it may never be taken."""
        if not self.rule.fair:
            return None
        if self.rule.fair == "thread":
            return (self.rule.fair, self.parameters["t"])
        return (self.rule.fair, *self.values)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}({inside})"


@attrs.frozen(eq=False)
class Layout:
    """A system at a scope: where everything stands in a state, and all steps."""

    system: System
    scope: Scope
    instances: tuple[Instance, ...]
    position: Mapping[str, int]

    @classmethod
    def of(cls, system: System, scope: Scope) -> Layout:
        """Lay `system` out in `scope`."""
        position = {variable.name: at for at, variable in enumerate(system.variables)}
        instances: list[Instance] = []
        for transition, values, guard, replacing in _instances(system, scope):
            instances.append(Instance(len(instances), transition, values, guard, replacing))
        return cls(system, scope, tuple(instances), position)

    @classmethod
    def without_steps(cls, system: System, scope: Scope) -> Layout:
        """Lay `system` out in `scope`, for whoever names the steps: none are listed."""
        position = {variable.name: at for at, variable in enumerate(system.variables)}
        return cls(system, scope, (), position)

    def initial(self) -> FlatState:
        """The state at power-on."""
        state: list[Any] = []
        for variable in self.system.variables:
            value = self.plain(variable, variable.initial)
            size = None if variable.domain is None else self.scope.capacity(variable)
            own = self.system.protocol.start.get(variable.name, {})
            state.append(value if size is None else tuple(own.get(i, value) for i in range(size)))
        return tuple(state)

    def named(self, state: FlatState) -> dict[str, Any]:
        """Each variable's value by name and the named sizes, as `terms.evaluate` takes them."""
        values: dict[str, Any] = dict(self.scope.constants())
        for variable, value in zip(self.system.variables, state, strict=True):
            values[variable.name] = Wrapped(value) if isinstance(value, tuple) else value
        return values

    @staticmethod
    def plain(variable: Variable, value: int) -> int | bool:
        """A number as the variable's own sort of plain value."""
        truth = variable.sort in (Sort.BOOL, Sort.BOOL_ARRAY)
        return bool(value) if truth else value

    def find(self, name: str, parameters: Mapping[str, int]) -> Instance:
        """The step with this rule and these parameters. Raises `KeyError` if there is none."""
        key = (name, tuple(sorted(parameters.items())))
        try:
            return self._index[key]
        except KeyError:
            raise KeyError(f"no step {name} with {dict(parameters)} in this scope") from None

    def instance(self, name: str, values: tuple[int, ...]) -> Instance:
        """The step of a rule for any values of its parameters, whether it is listed or not.

        Raises `KeyError` if there is no such rule.
        """
        transition = self.system.named(name)
        replacing = dict(_sizes(self.scope))
        for parameter, value in zip(transition.rule.parameters, values, strict=True):
            replacing[parameter_symbol(parameter)] = constant(value)
        return Instance(-1, transition, values, substitute(transition.guard, replacing), replacing)

    @functools.cached_property
    def _index(self) -> dict[tuple[str, tuple[tuple[str, int], ...]], Instance]:
        return {
            (item.name, tuple(sorted(item.parameters.items()))): item for item in self.instances
        }

    def specialise(self, condition: Bool) -> Bool:
        """`condition` with the named sizes replaced by their values."""
        return substitute(condition, _sizes(self.scope))


def _sizes(scope: Scope) -> dict[Term, Term]:
    return {symbol(name, Sort.NUMBER): constant(value) for name, value in scope.constants().items()}


@functools.lru_cache(maxsize=1 << 16)
def _specialised(guard: Bool, replacing: tuple[tuple[Term, Term], ...]) -> Bool:
    """The guard with its symbols replaced: systems that differ in one rule share all others."""
    return substitute(guard, dict(replacing))


def _instances(
    system: System, scope: Scope
) -> Iterator[tuple[Transition, tuple[int, ...], Bool, Mapping[Term, Term]]]:
    sizes = _sizes(scope)
    room = scope.may_begin()
    for transition in system.transitions:
        parameters: tuple[Parameter, ...] = transition.rule.parameters
        guard = transition.guard
        if any(parameter.choice is Choice.USER for parameter in parameters):
            guard = And(guard, room)
        for values in itertools.product(*(scope.values(item.choice) for item in parameters)):
            named = {item.name: value for item, value in zip(parameters, values, strict=True)}
            if not scope.allows(transition.rule.name, named):
                continue
            replacing = dict(sizes)
            for parameter, value in zip(parameters, values, strict=True):
                replacing[parameter_symbol(parameter)] = constant(value)
            special = _specialised(guard, tuple(replacing.items()))
            if special.operation != "constant" or special.value:
                yield transition, values, special, replacing
