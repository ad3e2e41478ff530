"""The command on a specification in which one rule is another one: for measuring, not for proving.

`tx.claim` asks for one thing more, that some doorbells may be under way, which is assumed anyway.
So all is proved as before, and every question about the rule is another one.
"""

from __future__ import annotations

import functools
import sys
from typing import Final

import attrs

from engine.command.main import main
from engine.protocol import System
from engine.rules import Guard
from engine.theory import load
from model.state import POSTED
from model.system import specification
from proofs.theory import THEORY as USUAL

__all__ = ["THEORY"]

RULE: Final = "tx.claim"


@functools.cache
def changed() -> System:
    """The specification, with one more condition on the rule."""
    system = specification()
    more = Guard("doorbells", POSTED >= 1, False)
    steps = (
        attrs.evolve(step, guards=(*step.guards, more)) if step.rule.name == RULE else step
        for step in system.transitions
    )
    return attrs.evolve(system, transitions=tuple(steps))


THEORY: Final = attrs.evolve(USUAL, place="bench.changed:THEORY", specification=changed)

if __name__ == "__main__":
    sys.exit(main(load(THEORY.place)))
