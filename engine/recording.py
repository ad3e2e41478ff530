"""From the steps of a run to the common kind of trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.scope import FlatState
from engine.stepper import Step as Taken
from engine.stepper import Stepper
from engine.trace import Change, Step, Trace

__all__ = ["recorded"]


def recorded(
    stepper: Stepper,
    start: FlatState,
    path: Iterable[Taken],
    title: str,
    verdict: str,
    *,
    skip: int = 0,
) -> Trace:
    """Take all steps of a run again, and write down what each of them changes.

    Args:
        stepper: Takes the steps; its own state is left as it is.
        start: The state before the first step.
        path: The steps.
        title: What the run shows, in one line.
        verdict: What is wrong with it.
        skip: Number of steps at the beginning that are taken and not written down.
    """
    kept = stepper.state()
    stepper.load(start)
    try:
        steps_taken = list(path)
        for taken in steps_taken[:skip]:
            stepper.fire(taken)
        start = stepper.state()
        steps = tuple(_told(stepper, start, steps_taken[skip:]))
    finally:
        stepper.load(kept)
    names = [variable.name for variable in stepper.layout.system.variables]
    return Trace(
        title=title,
        scope=stepper.layout.scope.sizes(),
        start=dict(zip(names, start, strict=True)),
        steps=steps,
        verdict=verdict,
    )


def _told(stepper: Stepper, before: FlatState, path: Iterable[Taken]) -> Iterator[Step]:
    for taken in path:
        rule = stepper.transition(taken[0]).rule
        stepper.fire(taken)
        after = stepper.state()
        names = (parameter.name for parameter in rule.parameters)
        yield Step(
            rule=rule.name,
            party=rule.party,
            parameters=dict(zip(names, taken[1:], strict=True)),
            meaning=rule.meaning,
            changes=tuple(_changes(stepper, before, after)),
        )
        before = after


def _changes(stepper: Stepper, before: FlatState, after: FlatState) -> Iterator[Change]:
    variables = stepper.layout.system.variables
    for variable, old, new in zip(variables, before, after, strict=True):
        if old == new:
            continue
        if variable.domain is None:
            yield Change(variable.name, None, old, new)
            continue
        for index, (one, two) in enumerate(zip(old, new, strict=True)):
            if one != two:
                yield Change(variable.name, index, one, two)
