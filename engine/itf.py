"""Traces for existing viewers: ITF, the JSON format of Apalache and Quint.

A state holds every variable; names have `_` for the model's `.`, and numbers that have names
(labels, outcomes, stages) are written by name. `#meta` of a state tells the step that led to it.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import itf_py

from engine.trace import Step, Trace

__all__ = ["from_itf", "itf_text", "to_itf", "write_itf"]

Named: TypeAlias = Mapping[str, type[enum.IntEnum]]
"""Variables whose numbers have names."""
FORMAT: Final = "https://apalache-mc.org/docs/adr/015adr-trace.html"
META: Final = "#meta"


def to_itf(trace: Trace, named: Named) -> dict[str, Any]:
    """The trace as ITF, ready for `json.dump`; `named` says which variables hold named numbers.

    What a step leaves alone is the same object before and after it.
    """
    steps: list[Step | None] = [None, *trace.steps]
    states: list[dict[str, Any]] = []
    before: Mapping[str, Any] = {}
    for number, (step, values) in enumerate(zip(steps, trace.states(), strict=True)):
        state = {META: _state_meta(number, step)}
        for name, value in values.items():
            key = _identifier(name)
            if name in before and before[name] == value:
                state[key] = states[-1][key]
            else:
                state[key] = itf_py.value_to_json(_value(value, _names(name, named)))
        states.append(state)
        before = values
    data: dict[str, Any] = {
        META: {
            "format": "ITF",
            "format-description": FORMAT,
            "description": trace.title,
            "status": trace.verdict,
            "scope": dict(trace.scope),
        },
        "params": [],
        "vars": [_identifier(name) for name in trace.start],
    }
    if trace.loop is not None:
        data["loop"] = trace.loop
    return {**data, "states": states}


def itf_text(trace: Trace, named: Named) -> str:
    """The trace as the text of an ITF file, a line for each state."""
    data = to_itf(trace, named)
    states = data.pop("states")
    texts: dict[int, str] = {}

    def said(value: Any) -> str:
        # The states have most of their values in common, and stay until the end.
        if id(value) not in texts:
            texts[id(value)] = json.dumps(value)
        return texts[id(value)]

    lines = (
        "{" + ", ".join(f"{json.dumps(key)}: {said(value)}" for key, value in state.items()) + "}"
        for state in states
    )
    return json.dumps(data)[:-1] + ', "states": [\n' + ",\n".join(lines) + "\n]}\n"


def from_itf(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The states of an ITF trace, each a value for each variable; lists are tuples."""
    trace = itf_py.trace_from_json(data)
    return [
        {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in state.values.items()
        }
        for state in trace.states
    ]


def write_itf(directory: Path, traces: Iterable[tuple[str, Trace]], named: Named) -> list[Path]:
    """Write one file for each named trace (a fault's id, say); returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, trace in traces:
        path = directory / f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.itf.json"
        path.write_text(itf_text(trace, named), encoding="utf-8")
        written.append(path)
    return written


def _state_meta(number: int, step: Step | None) -> dict[str, Any]:
    if step is None:
        return {"index": number}
    return {
        "index": number,
        "rule": step.rule,
        "party": step.party.value,
        "parameters": dict(step.parameters),
        "meaning": step.meaning,
    }


def _identifier(name: str) -> str:
    return name.replace(".", "_")


def _names(name: str, named: Named) -> Mapping[int, str]:
    return {int(item): item.name for item in named.get(name, ())}


def _value(value: Any, names: Mapping[int, str]) -> Any:
    """An array as a list, a number that has a name as that name."""
    if isinstance(value, tuple):
        return [_value(item, names) for item in value]
    return value if isinstance(value, bool) else names.get(value, value)
