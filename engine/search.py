"""How rules become a counterexample: breadth first through all states, so that the run is shortest.

A search works on *canonical* states (`engine.canonical`): tickets and positions count from the one
that is served, and what is not outstanding is cleared. Only differences between tickets mean
anything, so this merges states that differ in nothing that any step can notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from engine.executor import Executor, Path, Predicate
from engine.scope import FlatState, Instance
from engine.terms import Bool

__all__ = ["SearchResult", "search"]


@attrs.frozen
class SearchResult:
    """What a breadth-first search found.

    Attributes:
        path: A shortest path to a state searched for, or None if none was found.
        states: Number of different states seen.
        steps: Number of steps taken from them.
        depth: Length of the longest path looked at in full.
        exhaustive: Every state that can be reached in this scope was seen (and no limit was hit).
        deadlocks: Number of states seen in which no step is enabled.
    """

    path: Path | None
    states: int
    steps: int
    depth: int
    exhaustive: bool
    deadlocks: int

    def __str__(self) -> str:
        found = "nothing found" if self.path is None else f"found in {len(self.path)} steps"
        whole = "all states" if self.exhaustive else f"all paths up to {self.depth} steps"
        if self.path is not None:
            whole = f"no shorter path (all {self.depth}-step paths seen)"
        return f"{found}: {self.states} states, {self.steps} steps, {whole}"


def search(
    executor: Executor,
    goal: Bool | Predicate | None = None,
    bad: Bool | Predicate | None = None,
    start: FlatState | None = None,
    states: int = 1_000_000,
    depth: int | None = None,
    *,
    fold: bool = False,
    bad_step: Callable[[FlatState, Instance], bool] | None = None,
) -> SearchResult:
    """Look breadth first for a state where `goal` or `bad` holds; with neither, for a deadlock.

    The two differ in name only: say which you hope for. The search stops after `states`
    different states or paths of length `depth`. With `fold`, states are folded too: numbers of
    requests and packets count from the oldest in use, which can make the states finite in
    number. What is searched for must then not ask for what `engine.canonical` drops.

    With `bad_step`, a step is looked for for which it holds, of the state before and of the step;
    the state after the step must be `bad`, if that is given.
    """
    asked = goal if goal is not None else bad
    wanted = executor.compile(asked) if isinstance(asked, Bool) else asked
    canonical = executor.known if fold else executor.canonical
    first = canonical(executor.initial() if start is None else start)
    # Each state seen: the number of the state it was reached from, and the step.
    seen: dict[FlatState, tuple[FlatState, int] | None] = {first: None}
    steps = deadlocks = level = 0
    frontier = [first]
    if wanted is not None and bad_step is None and wanted(first):
        return SearchResult((), 1, 0, 0, False, 0)
    enabled, functions = executor.enabled_numbers, executor.step_functions
    while frontier and (depth is None or level < depth):
        reached: list[FlatState] = []
        for state in frontier:
            numbers = enabled(state)
            steps += len(numbers)
            if not numbers:
                deadlocks += 1
                if wanted is None and bad_step is None:
                    path = _path(executor, seen, state)
                    return SearchResult(path, len(seen), steps, level, False, deadlocks)
            for number in numbers:
                after = canonical(functions[number](state))
                if bad_step is not None and bad_step(state, executor.instances[number]):
                    if wanted is None or wanted(after):
                        path = (*_path(executor, seen, state), executor.instances[number])
                        return SearchResult(path, len(seen), steps, level, False, deadlocks)
                    continue
                if after in seen:
                    continue
                seen[after] = (state, number)
                if bad_step is None and wanted is not None and wanted(after):
                    path = _path(executor, seen, after)
                    return SearchResult(path, len(seen), steps, level, False, deadlocks)
                reached.append(after)
            if len(seen) > states:
                return SearchResult(None, len(seen), steps, level, False, deadlocks)
        frontier = reached
        level += 1
    return SearchResult(None, len(seen), steps, level, not frontier, deadlocks)


def _path(
    executor: Executor, seen: Mapping[FlatState, tuple[FlatState, int] | None], state: FlatState
) -> Path:
    numbers: list[int] = []
    link = seen[state]
    while link is not None:
        state, number = link
        numbers.append(number)
        link = seen[state]
    return tuple(executor.instances[number] for number in reversed(numbers))
