"""Work spread over processes: what there is to do, who does it, and what becomes of it.

Tasks come in batches. The tasks of a batch go to one worker process after the other, since they
share what it has built for the first of them. The answers do not depend on who gives them or in
which order. A worker that dies, however it dies, costs the task it was at: that task is reported as
a failure, another worker takes its place, and the rest goes on.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from engine.catch import Catch
from engine.faults import Fault
from engine.hints import Hint
from engine.kept_runs import catch_again
from engine.obligations import Catalogue, Obligation, Verdict
from engine.spare import Spare
from engine.theory import Theory

if TYPE_CHECKING:
    from engine.discharge import Past

__all__ = [
    "Event",
    "Failure",
    "HintTask",
    "Need",
    "Proof",
    "ProofTask",
    "Search",
    "SearchTask",
    "Source",
    "Task",
    "run",
]

TICK: Final = 0.2
"""Seconds after which a caller of `run` that has heard nothing gets a sign of life."""


@attrs.frozen
class Source:
    """Where obligations and faults come from and who settles them; tests put others in place.

    Attributes:
        catalogue: Lists the obligations.
        discharge: Lets a solver decide one.
        script: One as SMT-LIB text.
        faults: All faults.
        catch: Looks for a run on which a fault shows.
        group_of: Names the group of an obligation; a group is best decided by one process.
        foundation: What the answers about some obligations stand on, these included.
        find_hint: What the proof of an obligation needs; None if that is not known.
        topic_of: What a hint for an obligation is filed under.
        spare: Processors of workers that have nothing left to do.
    """

    catalogue: Callable[[], Sequence[Obligation]]
    discharge: Callable[..., Verdict]
    script: Callable[..., str]
    faults: Sequence[Fault]
    catch: Callable[..., Catch]
    group_of: Callable[[Obligation], str] = lambda item: item.id
    foundation: Callable[[Sequence[Obligation]], Sequence[Obligation]] = lambda items: items
    find_hint: Callable[..., Hint | None] = lambda item, seed: None
    topic_of: Callable[[Obligation], str] = lambda item: item.id
    spare: Spare = attrs.field(factory=Spare)

    @classmethod
    def of(cls, theory: Theory, past: Past | None = None) -> Source:
        """The obligations and faults of a theory; `past` is what earlier runs have left."""
        from engine.discharge import NOTHING, discharge, find_hint, script

        known, spare = Catalogue.of(theory), Spare()
        past = NOTHING if past is None else past
        return cls(
            known.obligations,
            functools.partial(discharge, known, past=past, spare=spare),
            functools.partial(script, known),
            theory.faults,
            functools.partial(catch_again, theory, answers=past.answers),
            known.group_of,
            known.foundation,
            functools.partial(find_hint, known),
            known.topic_of,
            spare,
        )


@attrs.frozen
class ProofTask:
    """Let each of `solvers` decide an obligation, and write its text to `smt2` if that is given."""

    obligation: Obligation
    solvers: tuple[str, ...]
    ring_size: int | None
    seed: int
    smt2: Path | None

    @property
    def name(self) -> str:
        """What the task is called in messages."""
        return f"{self.obligation.id} ({self.obligation.arithmetic})"


@attrs.frozen
class SearchTask:
    """Look for a run on which a fault shows."""

    fault: Fault
    ring_size: int | None
    seed: int

    @property
    def name(self) -> str:
        """What the task is called in messages."""
        return self.fault.id


@attrs.frozen
class HintTask:
    """Find out what the proof of an obligation needs."""

    obligation: Obligation
    seed: int

    @property
    def name(self) -> str:
        """What the task is called in messages."""
        return f"{self.obligation.id} ({self.obligation.arithmetic})"


Task: TypeAlias = ProofTask | SearchTask | HintTask


@attrs.frozen
class Proof:
    """What a solver says of an obligation."""

    obligation: Obligation
    solver: str
    verdict: Verdict


@attrs.frozen
class Search:
    """What the search for a fault's consequence found."""

    fault: Fault
    catch: Catch


@attrs.frozen
class Failure:
    """The tool failed at a task: what it was at, what happened, and where if that is known."""

    task: str
    message: str
    where: str = ""


@attrs.frozen
class Need:
    """What the proof of an obligation needs; None if that was not found out."""

    obligation: Obligation
    hint: Hint | None


Event: TypeAlias = Proof | Search | Failure | Need


@attrs.frozen
class _Done:
    """A worker has finished its task."""


def perform(source: Source, task: Task) -> Iterator[Event]:
    """Do a task here and now."""
    if isinstance(task, SearchTask):
        found = source.catch(task.fault, ring_size=task.ring_size, seed=task.seed)
        yield Search(task.fault, found)
        return
    if isinstance(task, HintTask):
        yield Need(task.obligation, source.find_hint(task.obligation, seed=task.seed))
        return
    if task.smt2 is not None:
        text = source.script(task.obligation, ring_size=task.ring_size)
        task.smt2.parent.mkdir(parents=True, exist_ok=True)
        task.smt2.write_text(text, encoding="utf-8")
    for solver in task.solvers:
        try:
            verdict = source.discharge(
                task.obligation,
                solver=solver,
                seed=task.seed,
                ring_size=task.ring_size,
                paired=len(task.solvers) > 1,
            )
        except Exception as error:
            yield _failure(f"{task.name} by {solver}", error)
        else:
            yield Proof(task.obligation, solver, verdict)


def _failure(task: str, error: Exception) -> Failure:
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Failure(task, message, "".join(traceback.format_exception(error)))


def _work(source: Source, connection: Connection, inherited: Sequence[Connection]) -> None:
    """What a worker does: tasks come in, events and a `_Done` for each task go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    while True:
        try:
            task: Task | None = connection.recv()
        except EOFError:
            return
        if task is None:
            return
        try:
            for event in perform(source, task):
                connection.send(event)
        except Exception as error:
            connection.send(_failure(task.name, error))
        connection.send(_Done())


class _Worker:
    """A worker process, seen from the process that gives it work."""

    def __init__(self, context: Any, source: Source, others: Sequence[_Worker]) -> None:
        self.connection, end = context.Pipe()
        # A copy of the parent's end in a worker would keep that worker from noticing that the
        # parent is gone.
        copies = [worker.connection for worker in (*others, self)]
        inherited = copies if context.get_start_method() == "fork" else []
        self.process = context.Process(target=_work, args=(source, end, inherited), daemon=True)
        self.process.start()
        end.close()
        self.task: Task | None = None
        self.batch: collections.deque[Task] = collections.deque()

    def give(self, waiting: collections.deque[collections.deque[Task]]) -> bool:
        """Hand over the next task of its batch, or of the first one waiting, or tell it to end.

        Returns whether there was one.
        """
        if not self.batch and waiting:
            self.batch = waiting.popleft()
        task = self.task = self.batch.popleft() if self.batch else None
        with contextlib.suppress(OSError):  # if it is dead, the end of its pipe will tell
            self.connection.send(task)
        return task is not None

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(source: Source, batches: Sequence[Sequence[Task]], jobs: int) -> Iterator[Event | None]:
    """Do the tasks of all batches, in about the order given, on up to `jobs` processes.

    Yields what becomes of them as it becomes known, in no particular order, and None from time to
    time, so that whoever listens can show that time passes. Closing the iterator ends the workers.
    """
    # Copies of this process start at once and share the terms that exist already. That is safe as
    # long as it has no further threads, which is why `engine.command.progress` starts none.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    waiting = collections.deque(collections.deque(batch) for batch in batches if batch)
    workers: dict[Connection, _Worker] = {}

    def hire() -> None:
        worker = _Worker(context, source, list(workers.values()))
        workers[worker.connection] = worker
        worker.give(waiting)

    try:
        for _ in range(jobs):
            if waiting:
                hire()
            else:
                source.spare.give()
        while workers:
            ready = wait(list(workers), timeout=TICK)
            if not ready:
                yield None
            for connection in ready:
                worker = workers[connection]  # type: ignore[index]
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    del workers[worker.connection]
                    worker.connection.close()
                    if worker.batch:
                        waiting.appendleft(worker.batch)
                    if worker.task is not None:
                        yield Failure(worker.task.name, _death(worker.process.exitcode))
                        if waiting:
                            hire()
                        else:
                            source.spare.give()
                    continue
                if isinstance(message, _Done):
                    if not worker.give(waiting):
                        source.spare.give()
                else:
                    yield message
    finally:
        for worker in workers.values():
            worker.stop()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"its process was ended by {name}"
    return f"its process ended with status {code}"
