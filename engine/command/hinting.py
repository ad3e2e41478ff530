"""Hints written anew: what does each proof need of the invariant?"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from engine.command.costs import Costs
from engine.command.options import Options
from engine.command.progress import progress
from engine.command.work import Failure, HintTask, Need, Source, Task, run
from engine.hints import joined, read_hints, write_hints
from engine.obligations import Obligation
from engine.theory import Theory

__all__ = ["write_down"]

ALL_WELL, UNDECIDED, FAILED = 0, 2, 4


def write_down(
    theory: Theory, options: Options, source: Source, obligations: Sequence[Obligation]
) -> int:
    """Ask each obligation as a whole and write down what its proof needed.

    Hints about what was not asked stay as they are, unless there is no such thing any more. An
    interrupt leaves the file as it was. Returns the exit status.
    """
    assert theory.hints is not None
    began = time.monotonic()
    known = {source.topic_of(item) for item in source.catalogue()}
    asked = {source.topic_of(item) for item in obligations}
    old = read_hints(theory.hints)
    hints = {topic: hint for topic, hint in old.items() if topic in known - asked}
    status, console, costs = (
        ALL_WELL,
        Console(soft_wrap=True, highlight=False),
        Costs(theory.specification()),
    )
    shown = progress(console, {"obligation": len(obligations)}, sum(map(costs.of, obligations)))
    batches: dict[str, list[Task]] = {}
    for item in obligations:
        batches.setdefault(source.group_of(item), []).append(HintTask(item, options.seed))
    try:
        for event in run(source, list(batches.values()), options.jobs):
            if event is None:
                shown.tick()
            elif isinstance(event, Failure):
                status = FAILED
                shown.say(f"failed: {event.task}: {event.message}")
            elif isinstance(event, Need):
                shown.advance("obligation", costs.of(event.obligation))
                if event.hint is not None:
                    topic = source.topic_of(event.obligation)
                    hints[topic] = joined(hints.get(topic), event.hint)
    finally:
        shown.close()
    write_hints(theory.hints, hints)
    size = theory.hints.stat().st_size
    console.print(
        f"{len(hints):,} hints are in {theory.hints} ({size / 1024:,.0f} KiB), "
        f"after {time.monotonic() - began:.1f} s."
    )
    return status
