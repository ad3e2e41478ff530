"""A run as data: what each step was, who took it, and what it changed.

One type for every run, wherever it comes from: a search of the specification, a test, the emulated
device, the real one. `engine.record` writes a path down as one. A trace holds the variables' values
at its start and, for each step, only what changed; `states` gives the whole states back, and
`engine.ladder` shows it to people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from engine.rules import Party

__all__ = ["Change", "Step", "Trace", "Value", "Values"]

Value: TypeAlias = int | bool
Values: TypeAlias = Mapping[str, Any]
"""The value of each variable; arrays are tuples."""
VERSION = 1


@attrs.frozen
class Change:
    """One variable, or one element of an array (`index` is not None), took a new value."""

    variable: str
    index: int | None
    old: Value
    new: Value


@attrs.frozen
class Step:
    """One step.

    Attributes:
        rule: Name of the rule that allows it.
        party: Who took it.
        parameters: The rule's parameters.
        meaning: What the step does, in one line.
        changes: What it changed, in the order in which the state declares its variables.
    """

    rule: str
    party: Party
    parameters: Mapping[str, int]
    meaning: str
    changes: tuple[Change, ...]


@attrs.frozen
class Trace:
    """A run.

    Attributes:
        title: What the run shows, in one line.
        scope: The sizes at which it ran, by name (`ring_size`, `users`, ...).
        start: Every variable's value before the first step.
        steps: The steps in order.
        loop: For a run that goes on for ever: the number of steps after which its cycle begins;
            the last step leads back there. None for a run that ends.
        verdict: What is wrong with the run, or what it reaches; "" if it is just a run.
    """

    title: str
    scope: Mapping[str, int]
    start: Values
    steps: tuple[Step, ...]
    loop: int | None = None
    verdict: str = ""

    def states(self) -> Iterator[Values]:
        """The state at the start and after each step."""
        values = dict(self.start)
        yield dict(values)
        for step in self.steps:
            for change in step.changes:
                if change.index is None:
                    values[change.variable] = change.new
                else:
                    before = values[change.variable]
                    after = (*before[: change.index], change.new, *before[change.index + 1 :])
                    values[change.variable] = after
            yield dict(values)

    def to_json(self) -> dict[str, Any]:
        """The trace as plain data for `json.dump`."""
        return {
            "version": VERSION,
            "title": self.title,
            "verdict": self.verdict,
            "scope": dict(self.scope),
            "start": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.start.items()
            },
            "steps": [_step_to_json(step) for step in self.steps],
            "loop": self.loop,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trace:
        """The trace that `to_json` wrote. Raises `ValueError` for another version of the format."""
        if data.get("version") != VERSION:
            raise ValueError(f"trace format must be version {VERSION}, not {data.get('version')!r}")
        return cls(
            title=data["title"],
            verdict=data["verdict"],
            scope=dict(data["scope"]),
            start={
                name: tuple(value) if isinstance(value, list) else value
                for name, value in data["start"].items()
            },
            steps=tuple(_step_from_json(item) for item in data["steps"]),
            loop=data["loop"],
        )


def _step_to_json(step: Step) -> dict[str, Any]:
    return {
        "rule": step.rule,
        "party": step.party.value,
        "parameters": dict(step.parameters),
        "meaning": step.meaning,
        "changes": [attrs.asdict(change) for change in step.changes],
    }


def _step_from_json(data: Mapping[str, Any]) -> Step:
    return Step(
        rule=data["rule"],
        party=Party(data["party"]),
        parameters=dict(data["parameters"]),
        meaning=data["meaning"],
        changes=tuple(Change(**change) for change in data["changes"]),
    )
