"""All ways through a piece of code, each run from its beginning.

Where the way is not determined the run goes one way and notes the other; later the code is run
again from its start with the decisions noted so far, and goes the other way. So nothing of the
interpreter's own state is ever copied (as in stateless model checking: Godefroid, "Model checking
for programming languages using VeriSoft", 1997).

A way ends where the code ends, where something is not proved, or at a cut: a place from which all
goes on as from one that was looked at before. The code is left in the middle then, in a greenlet
that never goes on: it would be unwound otherwise, and its clean-up would do what no run does.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

import attrs
import greenlet
import z3

from engine.refine.knowledge import Knowledge
from engine.terms import FALSE, TRUE, And, Bool

__all__ = ["Exploration", "Failure", "Way", "explore"]

_ABANDONED: Final[list[greenlet.greenlet]] = []
"""Runs that were left in the middle of the code. One that is forgotten would be unwound."""
Option = TypeVar("Option")


@attrs.frozen
class Failure:
    """Something that is not proved.

    Attributes:
        kind: What kind of obligation it is.
        message: What was to be shown.
        lines: The code's lines that led there, innermost first.
        steps: What the code did on the way.
        undecided: The solver gave up.
    """

    kind: str
    message: str
    lines: tuple[str, ...]
    steps: tuple[str, ...]
    undecided: bool = False


@attrs.define(eq=False)
class Exploration:
    """What came of all ways through a piece of code.

    Attributes:
        ways: Ways that were gone, impossible ones left out.
        impossible: Ways that turned out to be none.
        unfinished: Ways that were not gone, for want of patience.
        cuts: Ways that ended at a cut.
        obligations: What was to be proved, by kind.
        failures: What was not.
        questions: How often a solver was asked.
        lines: The lines of code that some way has run, by file.
        seconds: How long it took.
    """

    ways: int = 0
    impossible: int = 0
    unfinished: int = 0
    cuts: int = 0
    obligations: dict[str, int] = attrs.field(factory=dict)
    failures: list[Failure] = attrs.field(factory=list)
    questions: int = 0
    lines: dict[str, set[int]] = attrs.field(factory=dict)
    seconds: float = 0.0
    asked: dict[str, float] = attrs.field(factory=dict)

    @property
    def proved(self) -> bool:
        """Everything was gone through, and everything proved."""
        return not self.failures and not self.unfinished


class _End:
    """How a way ends."""

    def __init__(self, how: str, failure: Failure | None = None) -> None:
        self.how = how
        self.failure = failure


@attrs.define(eq=False)
class _Memory:
    """What all ways through a piece of code share."""

    seen: set[Hashable] = attrs.field(factory=set)
    settled: set[Hashable] = attrs.field(factory=set)


class Way:
    """One way through the code: it decides where to go, and is told what must be so.

    Attributes:
        knowledge: What is known here.
        log: What the code did so far, in words.
        found: What comes of all ways.
    """

    def __init__(
        self,
        found: Exploration,
        memory: _Memory,
        todo: list[list[int]],
        prefix: Sequence[int],
        knowledge: Knowledge,
        traced: Callable[[str], bool],
        expected: tuple[type[BaseException], ...],
    ) -> None:
        self.surprise: BaseException | None = None
        self._expected = expected
        self.found = found
        self.knowledge = knowledge
        self.log: list[str] = []
        self.lines: dict[str, set[int]] = {}
        self._memory = memory
        self._todo = todo
        self._prefix = prefix
        self._taken: list[int] = []
        self._serial = 0
        self._traced = traced

    # Where to go

    def decide(self, condition: Bool) -> bool:
        """Which way to go where `condition` tells; both, one after the other, if both may be."""
        condition = self.knowledge.simplified(condition)
        if condition is TRUE or condition is FALSE:
            return condition is TRUE
        place = len(self._taken)
        if place < len(self._prefix):
            yes = bool(self._prefix[place])
        else:
            yes = self.knowledge.possible(condition)
            if not yes or self.knowledge.possible(~condition):
                if yes:
                    self._todo.append([*self._taken, 0])
                elif not self.knowledge.possible(~condition):
                    self.end("impossible")
        self._taken.append(int(yes))
        self.knowledge.assume(condition if yes else ~condition)
        return yes

    def choose(self, options: Sequence[Option]) -> Option:
        """One of several, all of them one after the other."""
        place = len(self._taken)
        if place < len(self._prefix):
            number = self._prefix[place]
        else:
            number = 0
            self._todo += [[*self._taken, other] for other in range(len(options) - 1, 0, -1)]
        self._taken.append(number)
        return options[number]

    def number(self) -> int:
        """A number that no call on this way gave before, the same whenever the way is gone."""
        self._serial += 1
        return self._serial

    # What must be so

    def assume(self, condition: Bool) -> None:
        """Somebody promises it."""
        self.knowledge.assume(condition)

    def knows(self, condition: Bool) -> bool:
        """Whether a condition follows; what is not known to follow is no failure."""
        condition = self.knowledge.simplified(condition)
        if condition is TRUE or condition is FALSE:
            return condition is TRUE
        key = ("knows", tuple(self._taken), self.number())
        if key in self._memory.settled:
            self.knowledge.assume(condition)
            return True
        if len(self._taken) < len(self._prefix):
            return False  # it was asked when the way was gone before, and did not follow
        follows = bool(self.knowledge.follows(condition, at_once=True) == z3.unsat)
        if follows:
            self._memory.settled.add(key)
            self.knowledge.assume(condition)
        return follows

    def prove(
        self, kind: str, claim: Bool, message: str | Callable[[], str], given: Sequence[Bool] = ()
    ) -> None:
        """An obligation; where it is not met the way ends."""
        self.prove_all(kind, [(claim, message)], given)

    def prove_all(
        self,
        kind: str,
        claims: Sequence[tuple[Bool, str | Callable[[], str]]],
        given: Sequence[Bool] = (),
    ) -> None:
        """Several obligations; the first that is not met ends the way.

        They are known afterwards: what was proved, and nothing else.
        """
        serial = self.number()
        key = ("proved", tuple(self._taken), serial)
        if key not in self._memory.settled:
            self.found.obligations[kind] = self.found.obligations.get(kind, 0) + len(claims)
            together = And(*(claim for claim, _ in claims))
            if together is not TRUE:
                start = time.perf_counter()
                self._settle(kind, claims, And(*given), together)
                spent = time.perf_counter() - start
                self.found.asked[kind] = self.found.asked.get(kind, 0.0) + spent
            self._memory.settled.add(key)
        for claim, _ in claims:
            if claim is not TRUE:
                self.knowledge.assume(claim)

    def _settle(
        self,
        kind: str,
        claims: Sequence[tuple[Bool, str | Callable[[], str]]],
        given: Bool,
        together: Bool,
    ) -> None:
        if self.knowledge.follows(~given | together) == z3.unsat:
            return
        for claim, message in claims:
            answer = self.knowledge.follows(~given | claim)
            if answer != z3.unsat:
                said = message if isinstance(message, str) else message()
                self.fail(kind, said, undecided=answer == z3.unknown)

    def fail(self, kind: str, message: str, *, undecided: bool = False) -> NoReturn:
        """Something is not proved; but for a way that is none."""
        if self.knowledge.consistent() == z3.unsat:
            self.end("impossible")
        raised = sys.exc_info()[1]
        if raised is not None:
            message += f" (while {type(raised).__name__} is raised: {raised})"
        failure = Failure(kind, message, tuple(self.where()), tuple(self.log), undecided)
        self.end("failed", failure)

    def cut(self, key: Hashable) -> bool:
        """Whether this is the first way that comes to a place; any other ends here."""
        place = (len(self._taken), self.number())
        first = ("cut", key)
        if first in self._memory.seen:
            if ("first", key, tuple(self._taken), place) in self._memory.seen:
                return True
            self.end("cut")
        self._memory.seen.add(first)
        self._memory.seen.add(("first", key, tuple(self._taken), place))
        return True

    def end(self, how: str, failure: Failure | None = None) -> NoReturn:
        """Leave the code here, for ever."""
        current = greenlet.getcurrent()
        _ABANDONED.append(current)
        sys.settrace(None)
        assert current.parent is not None
        current.parent.switch(_End(how, failure))
        raise AssertionError("a way that ended goes on")

    # Where the code is

    def frames(self) -> list[FrameType]:
        """The code's own frames, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        found = []
        while frame is not None:
            if self._traced(frame.f_code.co_filename):
                found.append(frame)
            frame = frame.f_back
        return found

    def stack(self) -> list[FrameType]:
        """All frames of the run: the code's, and those that run it."""
        frame: FrameType | None = sys._getframe(1)
        found = []
        while frame is not None:
            found.append(frame)
            frame = frame.f_back
        return found

    def where(self) -> list[str]:
        """The code's lines that are being run, innermost first."""
        return [
            f"{_short(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
            for frame in self.frames()
        ]

    def say(self, what: str) -> None:
        """The code does something."""
        lines = self.where()
        self.log.append(f"{what}    {lines[0] if lines else ''}".rstrip())

    def trace(self, frame: FrameType, event: str, value: Any) -> Any:
        """Notes which lines are run, and what is raised that nobody expects: for `sys.settrace`."""
        name = frame.f_code.co_filename
        if not self._traced(name):
            return None
        self.lines.setdefault(name, set()).add(frame.f_lineno)
        if event == "exception" and self.surprise is None:
            error = value[1]
            if not isinstance(error, self._expected):
                self.surprise = error
        return self.trace


def _short(name: str) -> str:
    return "/".join(name.split("/")[-2:])


def explore(
    body: Callable[[Way], None],
    knowledge: Callable[[], Knowledge],
    *,
    traced: Callable[[str], bool],
    expected: tuple[type[BaseException], ...] = (),
    patience: int = 100_000,
    first_failure: bool = False,
) -> Exploration:
    """Go all ways through `body`.

    Args:
        body: Runs the code; what it raises is a failure.
        knowledge: Gives what is known at the beginning.
        traced: Whether a file is one of the code's own.
        expected: What may be raised in it; anything else is a failure, also where it is caught.
        patience: How many ways are gone at the most.
        first_failure: End with the first thing that is not proved.
    """
    found, memory = Exploration(), _Memory()
    todo: list[list[int]] = [[]]
    start = time.perf_counter()
    while todo and found.ways + found.impossible < patience:
        known = knowledge()
        way = Way(found, memory, todo, todo.pop(), known, traced, expected)
        end = _go(way, body)
        found.questions += known.questions
        if end.how == "impossible":
            found.impossible += 1
            continue
        found.ways += 1
        found.cuts += end.how == "cut"
        if end.failure is not None:
            found.failures.append(end.failure)
            if first_failure:
                break
        for name, lines in way.lines.items():
            found.lines.setdefault(name, set()).update(lines)
    found.unfinished = len(todo)
    found.seconds = time.perf_counter() - start
    return found


def _go(way: Way, body: Callable[[Way], None]) -> _End:
    def run() -> _End:
        sys.settrace(way.trace)
        try:
            body(way)
        except Exception as error:
            steps = (*way.log, *traceback.format_exception(error)[-4:])
            lines = tuple(
                f"{_short(item.filename)}:{item.lineno} in {item.name}"
                for item in reversed(traceback.extract_tb(error.__traceback__))
            )
            return _End(
                "failed", Failure("steps", f"{type(error).__name__}: {error}", lines, steps)
            )
        finally:
            sys.settrace(None)
        return _End("done")

    end: _End = greenlet.greenlet(run).switch()
    if way.surprise is not None and end.how in ("done", "cut"):
        text = f"{type(way.surprise).__name__}: {way.surprise}"
        return _End("failed", Failure("steps", text, (), tuple(way.log)))
    if end.how in ("done", "cut"):
        answer = way.knowledge.consistent()
        if answer == z3.unsat:
            return _End("impossible")
        if answer == z3.unknown:
            text = "no state was found in which this way can be gone"
            return _End(end.how, Failure("ways", text, (), tuple(way.log), undecided=True))
    return end
