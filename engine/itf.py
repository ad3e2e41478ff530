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

__all__ = ["from_itf", "to_itf", "write_itf"]

Named: TypeAlias = Mapping[str, type[enum.IntEnum]]
"""Variables whose numbers have names."""
FORMAT: Final = "https://apalache-mc.org/docs/adr/015adr-trace.html"
META: Final = "#meta"


def to_itf(trace: Trace, named: Named) -> dict[str, Any]:
    """The trace as ITF, ready for `json.dump`; `named` says which variables hold named numbers."""
    steps: list[Step | None] = [None, *trace.steps]
    states = [
        itf_py.State(
            meta=_state_meta(number, step),
            values={
                _identifier(name): _value(name, value, named) for name, value in values.items()
            },
        )
        for number, (step, values) in enumerate(zip(steps, trace.states(), strict=True))
    ]
    whole = itf_py.Trace(
        meta={
            "format": "ITF",
            "format-description": FORMAT,
            "description": trace.title,
            "status": trace.verdict,
            "scope": dict(trace.scope),
        },
        params=[],
        vars=[_identifier(name) for name in trace.start],
        states=states,
        loop=trace.loop,
    )
    data: dict[str, Any] = itf_py.trace_to_json(whole)
    if trace.loop is None:
        del data["loop"]
    return data


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
        path.write_text(json.dumps(to_itf(trace, named), indent=1) + "\n", encoding="utf-8")
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


def _value(name: str, value: Any, named: Named) -> Any:
    """An array as a list, a number that has a name as that name."""
    names = named.get(name)
    if isinstance(value, tuple):
        return [_value(name, item, named) for item in value]
    if names is not None and value in set(names):
        return names(value).name
    return value
