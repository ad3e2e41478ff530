"""How a path becomes a trace: it is replayed, and what each step changed is noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from engine.executor import Executor
from engine.scope import FlatState, Instance
from engine.trace import Change, Step, Trace

__all__ = ["record"]


def record(
    executor: Executor,
    path: Iterable[Instance | tuple[str, Mapping[str, int]]],
    title: str,
    start: FlatState | None = None,
    loop: int | None = None,
    verdict: str = "",
) -> Trace:
    """Replay `path` and write it down. Raises `ValueError` at a step that is not enabled."""
    steps = [item if isinstance(item, Instance) else executor.layout.find(*item) for item in path]
    states = executor.replay(steps, start)
    names = [variable.name for variable in executor.layout.system.variables]
    return Trace(
        title=title,
        scope=executor.scope.sizes(),
        start=dict(zip(names, states[0], strict=True)),
        steps=tuple(
            Step(
                rule=step.name,
                party=step.rule.party,
                parameters=step.parameters,
                meaning=step.rule.meaning,
                changes=tuple(_differences(names, before, after)),
            )
            for step, before, after in zip(steps, states, states[1:], strict=False)
        ),
        loop=loop,
        verdict=verdict,
    )


def _differences(names: Iterable[str], before: FlatState, after: FlatState) -> Iterator[Change]:
    for name, old, new in zip(names, before, after, strict=True):
        if old == new:
            continue
        if isinstance(old, tuple):
            for index, (one, two) in enumerate(zip(old, new, strict=True)):
                if one != two:
                    yield Change(name, index, one, two)
        else:
            yield Change(name, None, old, new)
