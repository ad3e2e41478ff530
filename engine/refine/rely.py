"""What everybody else may change between two operations of a thread, read off the rules.

Others are memory, the device, users who begin calls, and all other threads. While a thread has the
lock no rule that needs the lock is taken by another one; which rules need it is seen in their
conditions. What a rule changes is what it assigns. An element of an array by thread stays a
thread's own where others only ever assign their own. So nothing about the protocol is written down
here by hand, and a rule that is added or changed changes this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from engine.protocol import System
from engine.rules import Choice, Party, Transition, parameter_symbol
from engine.terms import Domain, Number, Term, conjuncts

__all__ = ["Rely", "rely_of"]


@attrs.frozen
class Rely:
    """What others may change.

    Attributes:
        rules: The steps that others may take.
        changed: The variables that these change, by name.
        own: Those of them that hold something for each thread and leave a thread's own element.
    """

    rules: tuple[Transition, ...]
    changed: frozenset[str]
    own: frozenset[str]


def rely_of(system: System, excluded: Callable[[Transition], bool] = lambda step: False) -> Rely:
    """What others may change by all steps but some."""
    steps = tuple(step for step in system.transitions if not excluded(step))
    by_thread = {item.name for item in system.variables if item.domain is Domain.THREAD}
    changed = frozenset(name for step in steps for name in step.updates)
    shared = {name for step in steps for name in _of_others(step)}
    return Rely(steps, changed, frozenset(changed & by_thread - shared))


def needs_lock(step: Transition, conditions: Callable[[Number], Iterable[Term]]) -> bool:
    """Whether a step is only taken with the lock: its guard has these conditions of its thread."""
    parts = set(conjuncts(step.guard))
    return any(
        all(part in parts for condition in conditions(own) for part in conjuncts(condition))
        for own in _own(step)
    )


def _own(step: Transition) -> list[Number]:
    """The parameters that are the thread which takes the step itself."""
    if step.rule.party not in (Party.HOST, Party.ENVIRONMENT):
        return []
    return [
        parameter_symbol(item)
        for item in step.rule.parameters
        if item.choice in (Choice.THREAD, Choice.USER)
    ]


def _of_others(step: Transition) -> Iterator[str]:
    """The variables of which a step may assign an element that is not its own thread's."""
    own = _own(step)
    for name, update in step.updates.items():
        if not all(any(index is mine for mine in own) for index in _assigned(update)):
            yield name


def _assigned(array: Term) -> Iterator[Term | None]:
    """The indices at which an array is changed; None for all of them at once."""
    stack = [array]
    while stack:
        node = stack.pop()
        if node.operation == "store":
            yield node.arguments[1]
            stack.append(node.arguments[0])
        elif node.operation == "if":
            stack += node.arguments[1:]
        elif node.operation != "symbol":
            yield None
