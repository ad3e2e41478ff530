"""A running system: one state that changes in place, a hundred thousand steps a second and more.

The set of enabled steps is kept up to date rather than computed: steps fall into groups (those of a
thread, of a slot, of an engine), and after a step only groups whose guards read something that the
step wrote are looked at again. All of it is straight-line Python generated from the terms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engine.codegen import Guarded, Source, decision, reads
from engine.rules import Choice
from engine.scope import FlatState, Instance, Layout
from engine.terms import Bool
from engine.updates import UpdateWriter, mangled, put, state_of

__all__ = ["Runner", "grouped"]

INDENT: Final = "    "


def grouped(layout: Layout) -> list[list[Instance]]:
    """The steps in groups that mostly read the same things: of a thread, a slot, an engine."""
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for instance in layout.instances:
        key: tuple[object, ...] | None = None
        for parameter, value in zip(instance.rule.parameters, instance.values, strict=True):
            if parameter.choice in (Choice.THREAD, Choice.USER, Choice.SLOT):
                key = (parameter.name, value)
                break
        if key is None:
            engine = instance.rule.fair.endswith(".engine") or instance.rule.parameters
            key = (instance.name.split(".")[0] if engine else instance.name,)
        groups.setdefault(key, []).append(instance)
    return list(groups.values())


class Runner:
    """A system at a scope, in some state, with its enabled steps at hand.

    Start it with `load`. `enabled` holds the numbers of the enabled steps in no particular order
    (positions in `Layout.instances`); it is kept up to date by `fire` and `walk`.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.enabled: list[int] = []
        self._groups = grouped(layout)
        self._first: list[int] = []
        self._masks = [0] * len(self._groups)
        self._place = [0] * len(layout.instances)
        self._members: list[int] = []
        self._home: dict[int, tuple[int, int]] = {}
        for place, group in enumerate(self._groups):
            self._first.append(len(self._members))
            self._members += [instance.index for instance in group]
            for bit, instance in enumerate(group):
                self._home[instance.index] = place, 1 << bit
        self._module: dict[str, Any] = {"M": self._masks, "change": self._change}
        self._fire: list[Callable[[], None]] = [
            self._compiled_on_first_use(instance) for instance in layout.instances
        ]
        self._depends()
        self._compile_groups()
        self.load(layout.initial())

    # State in, state out

    def load(self, state: FlatState) -> None:
        """Go to `state`."""
        put(self.layout, self._module, state)
        for refresh in self._refresh:
            refresh()

    def state(self) -> FlatState:
        """The present state as a value."""
        return state_of(self.layout, self._module)

    def value(self, name: str) -> Any:
        """The present value of one variable (of an array, a tuple)."""
        value = self._module[mangled(name)]
        return tuple(value) if isinstance(value, list) else value

    @property
    def now(self) -> Mapping[str, Any]:
        """The present value of every variable, by its `mangled` name. To be read only."""
        return self._module

    def set(self, name: str, value: int | bool) -> None:
        """Give a variable that is no array another value, from outside the rules."""
        self._module[mangled(name)] = value
        for group in self._whole.get(name, ()):
            self._refresh[group]()

    # Steps

    def is_enabled(self, number: int) -> bool:
        """Whether the step with this number may be taken now."""
        group, bit = self._home[number]
        return bool(self._masks[group] & bit)

    def fire(self, number: int) -> None:
        """Take the step with this number. Whether it is enabled is up to the caller."""
        self._fire[number]()

    def walk(
        self, source: random.Random, steps: int, record: Callable[[int], None] | None = None
    ) -> int:
        """Take up to `steps` steps, each picked evenly among all enabled; returns how many.

        It is fewer only where no step is enabled any more. `record` is told each step's number.
        """
        enabled, fire, pick = self.enabled, self._fire, source.random
        for taken in range(steps):
            if not enabled:
                return taken
            number = enabled[int(pick() * len(enabled))]
            fire[number]()
            if record is not None:
                record(number)
        return steps

    def monitor(self, condition: Bool, parameters: Sequence[str] = ()) -> Callable[..., bool]:
        """`condition` of the present state as a function of its parameters (symbols `?name`)."""
        source = Source(self.layout, lambda name: mangled(name.replace("?", "p_")))
        special = self.layout.specialise(condition)
        lines = source.share([special])
        names = ", ".join(f"p_{name}" for name in parameters)
        result = source.expression(special)
        body = "\n".join(INDENT + line for line in [*lines, f"return {result}"])
        return self._define(f"def monitor({names}):\n{body}\n", "monitor")

    # Enabled steps

    def _change(self, group: int, mask: int) -> None:
        """The enabled steps of a group changed to `mask`."""
        changed = self._masks[group] ^ mask
        self._masks[group] = mask
        enabled, place, members = self.enabled, self._place, self._members
        base = self._first[group] - 1
        while changed:
            bit = changed & -changed
            changed ^= bit
            number = members[base + bit.bit_length()]
            if mask & bit:
                place[number] = len(enabled)
                enabled.append(number)
            else:
                hole = place[number]
                last = enabled.pop()
                if last != number:
                    enabled[hole] = last
                    place[last] = hole

    def _compile_groups(self) -> None:
        source = Source(self.layout, mangled)
        lines: list[str] = []
        for number, group in enumerate(self._groups):
            cases = [
                Guarded(instance.guard, (f"m += {1 << bit}",)) for bit, instance in enumerate(group)
            ]
            lines += [f"def refresh_{number}():", f"{INDENT}m = 0"]
            lines += [INDENT + line for line in decision(source, cases)]
            lines += [f"{INDENT}if m != M[{number}]:", f"{INDENT * 2}change({number}, m)"]
        exec(compile("\n".join(lines), "<guards>", "exec"), self._module)  # noqa: S102 - source made here, of terms
        self._refresh: list[Callable[[], None]] = [
            self._module[f"refresh_{number}"] for number in range(len(self._groups))
        ]

    def _depends(self) -> None:
        """Which groups read which variables and elements."""
        self._whole: dict[str, set[int]] = {}
        self._element: dict[tuple[str, int], set[int]] = {}
        for number, group in enumerate(self._groups):
            used = reads(instance.guard for instance in group)
            for name in used.whole:
                self._whole.setdefault(name, set()).add(number)
            for element in used.elements:
                self._element.setdefault(element, set()).add(number)

    # Steps as code

    def _define(self, text: str, name: str) -> Callable[..., Any]:
        exec(compile(text, f"<{name}>", "exec"), self._module)  # noqa: S102 - source made here, of terms
        function: Callable[..., Any] = self._module[name]
        return function

    def _compiled_on_first_use(self, instance: Instance) -> Callable[[], None]:
        def first() -> None:
            function = self._define(self._step(instance), f"step_{instance.index}")
            self._fire[instance.index] = function
            function()

        return first

    def _step(self, instance: Instance) -> str:
        """Source of the function that takes a step and refreshes what depends on it."""
        return _StepWriter(self.layout, instance, self._whole, self._element, self._module).text()


class _StepWriter(UpdateWriter):
    """Writes the function of one step: its updates, and what has to be looked at again."""

    def __init__(
        self,
        layout: Layout,
        instance: Instance,
        whole: Mapping[str, set[int]],
        element: Mapping[tuple[str, int], set[int]],
        module: dict[str, Any],
    ) -> None:
        super().__init__(Source(layout, mangled))
        self.instance = instance
        self.whole = whole
        self.element = element
        self.module = module
        self.certain: set[int] = set()
        self.varying: list[tuple[str, str]] = []

    def text(self) -> str:
        updates = self.instance.updates
        for name in updates:
            self.certain |= self.whole.get(name, set())
        lines = [*self.statements(updates), *self._refreshes()]
        body = "\n".join(INDENT + line for line in lines or ["pass"])
        return f"def step_{self.instance.index}():\n{body}\n"

    def fills(self, name: str) -> None:
        for (array, _), groups in self.element.items():
            if array == name:
                self.certain |= groups

    def touches(self, name: str, place: str) -> None:
        if place.isdigit():
            self.certain |= self.element.get((name, int(place)), set())
        else:
            self.varying.append((name, place))

    def _refreshes(self) -> list[str]:
        lines = [f"refresh_{number}()" for number in sorted(self.certain)]
        done: set[tuple[str, tuple[frozenset[int], ...]]] = set()
        for name, place in self.varying:
            size = len(self.module[mangled(name)])
            table = tuple(
                frozenset(self.element.get((name, at), set()) - self.certain) for at in range(size)
            )
            if not any(table) or (place, table) in done:
                continue
            done.add((place, table))
            lines += self._refresh_element(place, table)
        return lines

    def _refresh_element(self, place: str, table: tuple[frozenset[int], ...]) -> list[str]:
        tables: dict[tuple[frozenset[int], ...], str] = self.module.setdefault("tables", {})
        known = tables.get(table)
        single = all(len(groups) == 1 for groups in table)
        if known is None:
            known = tables[table] = f"table_{len(tables)}"
            functions = [
                [self.module[f"refresh_{number}"] for number in sorted(groups)] for groups in table
            ]
            self.module[known] = [item[0] for item in functions] if single else functions
        if single:
            return [f"{known}[{place}]()"]
        return [f"for refresh in {known}[{place}]: refresh()"]
