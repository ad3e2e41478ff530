"""What may happen: steps that memory, device and environment must be able to take.

Safety shows that nothing bad happens, so it says nothing against a model in which less happens than
in the world: memory that never reorders breaks no promise. What the world may do is therefore
stated, as steps in situations, and a random run has to show each of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import attrs

from engine.digest import digest, of_term
from engine.protocol import System
from engine.question import Entry
from engine.samples import Samples
from engine.smt import Arithmetic
from engine.terms import Bool
from engine.witnesses import Setting

__all__ = ["Possible", "obligations", "shown"]


@attrs.frozen(eq=False)
class Possible:
    """A step that may be taken in some situation.

    Attributes:
        rule: The step's rule.
        name: What the situation is called.
        when: The situation: a function of the state and of the rule's parameters.
    """

    rule: str
    name: str
    when: Callable[..., Bool]


def shown(system: System, samples: Samples, item: Possible) -> bool:
    """Whether the step may be taken in that situation in a state that is reached."""
    return samples.reach(system.named(item.rule), _situation(system, item))


def _situation(system: System, item: Possible) -> Bool:
    step = system.named(item.rule)
    return step.guard & item.when(system.protocol.symbols, *step.parameters)


def _basis(system: System, samples: Samples, item: Possible) -> str:
    return digest("possible", item.rule, of_term(_situation(system, item)), samples.basis)


def _missing(system: System, samples: Samples, item: Possible) -> str:
    if shown(system, samples, item):
        return ""
    return f"no run reached a state with {item.name} in which {item.rule} may happen"


def obligations(
    system: System, items: Sequence[Possible], settings: Sequence[Setting]
) -> Iterator[Entry]:
    """Of each such step that it may be taken: `vacuity/possible/RULE/SITUATION`."""
    samples = Samples(system, settings)
    for item in items:
        yield Entry(
            f"vacuity/possible/{item.rule}/{item.name}", "vacuity", "vacuity",
            f"may happen with {item.name}: {system.named(item.rule).rule.meaning}",
            None, functools.partial(_missing, system, samples, item), (Arithmetic.INTEGER,),
            stands_on=(), basis=functools.partial(_basis, system, samples, item),
        )  # fmt: skip
