"""Runs that go on for ever although every fair process gets its turn: stem and cycle.

A liveness property says that something comes in the end. Its counterexample is a run that reaches a
cycle in which it never comes, with every weakly fair process treated fairly: each takes a step in
the cycle or is unable to somewhere in it. An empty cycle is a state in which no fair process can
step at all, so that nothing more need ever happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from engine.executor import Executor, Path, Predicate
from engine.scope import FlatState, Instance
from engine.terms import Bool

__all__ = ["Lasso", "LassoSearch", "find_lasso", "is_fair_cycle"]


@attrs.frozen
class Lasso:
    """A run that goes on for ever: steps that lead to a cycle, and the cycle."""

    stem: Path
    cycle: Path

    @property
    def path(self) -> Path:
        """Stem, and the cycle once."""
        return self.stem + self.cycle


@attrs.frozen
class LassoSearch:
    """What a search for a lasso found.

    Attributes:
        lasso: A fair lasso, or None if none was found.
        states: Number of different states seen.
        exhaustive: Every state that can be reached in this scope was seen.
    """

    lasso: Lasso | None
    states: int
    exhaustive: bool


@attrs.define
class _Graph:
    """The states reached, by number; edges between states that keep the condition."""

    states: list[FlatState]
    parents: list[tuple[int, int] | None]
    keeps: list[bool]
    edges: list[list[tuple[int, int]]]
    exhaustive: bool


def find_lasso(
    executor: Executor,
    keeps: Bool | Predicate,
    start: FlatState | None = None,
    states: int = 100_000,
) -> LassoSearch:
    """Look for a fair run in whose cycle `keeps` holds throughout.

    `executor` may be restricted to some rules; fairness is judged by all rules of its system, so
    that a step left out is not mistaken for one that is impossible. Raises `RuntimeError` if the
    cycle found does not replay, which would be an error in folding states.
    """
    complete = Executor.of(executor.layout.system, attrs.evolve(executor.scope, rules=None))
    graph = _explore(executor, keeps, start, states)
    best: Lasso | None = None
    for component in sorted(_components(graph), key=min):
        if not _is_fair_component(complete, executor, graph, component):
            continue
        lasso = _lasso(complete, executor, graph, component)
        if best is None or len(lasso.path) < len(best.path):
            best = lasso
    if best is not None and not is_fair_cycle(complete, best, start):
        raise RuntimeError("a cycle of folded states does not replay as a fair cycle")
    return LassoSearch(best, len(graph.states), graph.exhaustive)


def is_fair_cycle(complete: Executor, lasso: Lasso, start: FlatState | None = None) -> bool:
    """Replay the lasso: it comes back to the same folded state and is fair to every process."""
    states = complete.replay(lasso.path, start)
    cycle = states[len(lasso.stem) :]
    if complete.known(cycle[0]) != complete.known(cycle[-1]):
        return False
    waiting = frozenset.intersection(*(_processes(complete, state) for state in cycle))
    return waiting <= {step.process for step in lasso.cycle}


def _processes(complete: Executor, state: FlatState) -> frozenset[object]:
    """The fair processes that can step."""
    return frozenset(step.process for step in complete.enabled(state) if step.process is not None)


def _explore(
    executor: Executor, keeps: Bool | Predicate, start: FlatState | None, limit: int
) -> _Graph:
    holds = executor.compile(keeps) if isinstance(keeps, Bool) else keeps
    known = executor.known
    first = known(executor.initial() if start is None else start)
    graph = _Graph([first], [None], [holds(first)], [], exhaustive=True)
    number = {first: 0}
    at = 0
    while at < len(graph.states):
        edges: list[tuple[int, int]] = []
        full = len(graph.states) > limit
        for step, after in executor.successors(graph.states[at]):
            key = known(after)
            there = number.get(key)
            if there is None:
                if full:
                    graph.exhaustive = False
                    continue
                there = number[key] = len(graph.states)
                graph.states.append(key)
                graph.parents.append((at, step.index))
                graph.keeps.append(holds(key))
            if graph.keeps[at] and graph.keeps[there]:
                edges.append((step.index, there))
        graph.edges.append(edges)
        at += 1
    return graph


def _components(graph: _Graph) -> Iterable[list[int]]:
    """Strongly connected components of the states that keep the condition (Tarjan)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    inside: set[int] = set()
    for root, keeps in enumerate(graph.keeps):
        if not keeps or root in order:
            continue
        work: list[tuple[int, int]] = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                order[node] = low[node] = len(order)
                stack.append(node)
                inside.add(node)
            edges = graph.edges[node]
            if position > 0:
                low[node] = min(low[node], low[edges[position - 1][1]])
            descended = False
            while position < len(edges):
                there = edges[position][1]
                position += 1
                if there not in order:
                    work += [(node, position), (there, 0)]
                    descended = True
                    break
                if there in inside:
                    low[node] = min(low[node], order[there])
            if descended or low[node] != order[node]:
                continue
            component: list[int] = []
            while not component or component[-1] != node:
                component.append(stack.pop())
                inside.discard(component[-1])
            yield component


def _is_fair_component(
    complete: Executor, executor: Executor, graph: _Graph, component: Sequence[int]
) -> bool:
    """Every process steps inside the component or cannot step somewhere in it."""
    members = set(component)
    taken = {
        executor.instances[step].process
        for node in component
        for step, there in graph.edges[node]
        if there in members
    }
    waiting: frozenset[object] | None = None
    for node in component:
        here = _processes(complete, graph.states[node]) - taken
        waiting = here if waiting is None else waiting & here
        if not waiting:
            return True
    return False


def _lasso(
    complete: Executor, executor: Executor, graph: _Graph, component: Sequence[int]
) -> Lasso:
    """A lasso through the component that treats every process fairly."""
    members = set(component)
    entry = min(component)
    stem: list[Instance] = []
    link = graph.parents[entry]
    while link is not None:
        stem.append(executor.instances[link[1]])
        link = graph.parents[link[0]]
    cycle: list[Instance] = []
    node = entry
    waiting = set(_processes(complete, graph.states[entry]))
    while waiting:
        walk = _nearest(complete, executor, graph, members, node, waiting)
        for step, there in walk:
            instance = executor.instances[step]
            cycle.append(instance)
            waiting.discard(instance.process)
            waiting &= _processes(complete, graph.states[there])
            node = there
    cycle += [executor.instances[step] for step, _ in _back(graph, members, node, entry)]
    return Lasso(tuple(reversed(stem)), tuple(cycle))


def _nearest(
    complete: Executor,
    executor: Executor,
    graph: _Graph,
    members: set[int],
    node: int,
    waiting: set[object],
) -> list[tuple[int, int]]:
    """The shortest way to a step of some waiting process, or to a state where one cannot step."""
    came: dict[int, list[tuple[int, int]]] = {node: []}
    queue = deque([node])
    while queue:
        here = queue.popleft()
        for step, there in graph.edges[here]:
            if there not in members:
                continue
            way = [*came[here], (step, there)]
            if executor.instances[step].process in waiting:
                return way
            if there not in came:
                if waiting - _processes(complete, graph.states[there]):
                    return way
                came[there] = way
                queue.append(there)
    raise RuntimeError("a fair component offers no fair way")


def _back(graph: _Graph, members: set[int], node: int, entry: int) -> list[tuple[int, int]]:
    """The shortest way from `node` back to `entry`."""
    came: dict[int, list[tuple[int, int]]] = {node: []}
    queue = deque([node])
    while queue and entry not in came:
        here = queue.popleft()
        for step, there in graph.edges[here]:
            if there in members and there not in came:
                came[there] = [*came[here], (step, there)]
                queue.append(there)
    return came[entry]
