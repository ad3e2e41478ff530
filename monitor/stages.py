"""Which step an engine of the card takes at each stage, as the specification's rules say."""

from __future__ import annotations

from engine.protocol import System
from engine.terms import Number, Sort, Term, conjuncts, symbol
from model.state import Stage

__all__ = ["steps_by_stage"]


def steps_by_stage(system: System, ring: str) -> dict[Stage, str]:
    """The rule that the engine of a ring follows at each stage.

    An engine's rules are those of the process that is named after it, and each demands a stage. An
    engine at rest that may be called is the exception: nobody sees whether it looked at its ring
    because a doorbell had rung or unasked. The rules do not say which of the two to suppose; it is
    `look_ahead`, which is allowed wherever `look` is.

    Raises:
        ValueError: At some stage there is no one rule to follow.
    """
    stage: Number = symbol(f"{ring}.stage", Sort.NUMBER)  # type: ignore[assignment]
    demands: dict[Term, Stage] = {stage == value: value for value in Stage}
    steps: dict[Stage, str] = {}
    for item in system.transitions:
        if item.rule.fair != f"{ring}.engine":
            continue
        stages = [demands[part] for part in conjuncts(item.guard) if part in demands]
        if len(stages) != 1 or stages[0] in steps:
            raise ValueError(f"{item.rule.name} has no stage of its own")
        steps[stages[0]] = item.rule.name
    if Stage.IDLE in steps:
        steps[Stage.IDLE] = system.named(f"{ring}.look_ahead").rule.name
    return steps
