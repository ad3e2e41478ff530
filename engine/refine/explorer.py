"""All ways through a piece of code, each gone once.

Where the way is not determined the process is copied (`fork`): the copy goes the one way and says
what came of it; then the process itself goes the other. So whatever the code and the interpreter
keep goes on with either of them, and nothing is undone or done again (as in EXE: Cadar et al.,
"EXE: automatically generating inputs of death", 2006).

A way ends where the code ends, where something is not proved, or at a cut: a place from which all
goes on as from one that was looked at before. Its process ends there, in the middle of the code:
to unwind it would run its clean-up, which no run does there.

A copy and the process go on at the same time while there are processors to spare (`engine.spare`).
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import hashlib
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Hashable, Sequence
from types import FrameType
from typing import IO, Any, Final, NoReturn, TypeVar

import attrs
import z3

from engine.refine.knowledge import Knowledge
from engine.spare import Spare
from engine.terms import FALSE, TRUE, And, Bool

__all__ = ["Exploration", "Failure", "Way", "explore"]

Option = TypeVar("Option")
DIE_WITH_PARENT: Final = 1
"""PR_SET_PDEATHSIG of prctl(2): nobody would read what such a copy finds."""
BRANCHES: Final = 100
"""After so many decisions with nothing done in between the code is taken to loop for ever."""
PLACES: Final = 300
"""After so many cuts on a way, each at a place where nobody was, there is taken to be no end."""


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
        cuts: Ways that ended at a cut.
        obligations: What was to be proved, by kind.
        failures: What was not.
        questions: How often a solver was asked.
        lines: The lines of code that some way has run, by file.
        seconds: How long it took.
        asked: Seconds that obligations took, by kind.
        idle: From which cut to which some way goes without a step (`Way.goes_on`); the beginning
            is no cut.
    """

    ways: int = 0
    impossible: int = 0
    cuts: int = 0
    obligations: dict[str, int] = attrs.field(factory=dict)
    failures: list[Failure] = attrs.field(factory=list)
    questions: int = 0
    lines: dict[str, set[int]] = attrs.field(factory=dict)
    seconds: float = 0.0
    asked: dict[str, float] = attrs.field(factory=dict)
    idle: set[tuple[str, str]] = attrs.field(factory=set)

    @property
    def proved(self) -> bool:
        """Everything was proved, on all ways."""
        return not self.failures

    def add(self, other: Exploration) -> None:
        """What came of more ways."""
        self.ways += other.ways
        self.impossible += other.impossible
        self.cuts += other.cuts
        self.questions += other.questions
        self.failures += other.failures
        for kind, number in other.obligations.items():
            self.obligations[kind] = self.obligations.get(kind, 0) + number
        for kind, spent in other.asked.items():
            self.asked[kind] = self.asked.get(kind, 0.0) + spent
        for name, lines in other.lines.items():
            self.lines.setdefault(name, set()).update(lines)
        self.idle |= other.idle

    def idle_for_ever(self) -> str:
        """A cut that is come to again and again without a step; "" if there is none."""
        left = {place: {to for start, to in self.idle if start == place} for place, _ in self.idle}
        while left:
            ended = [place for place, then in left.items() if not then & left.keys()]
            if not ended:
                return min(left)
            for place in ended:
                del left[place]
        return ""


class _Places:
    """The places that some way has come to, known to all copies of this process."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._known: set[bytes] = set()

    def is_new(self, place: str) -> bool:
        """Whether nobody has come to a place before; from now on somebody has."""
        digest, file = hashlib.sha256(place.encode()).digest(), self._file.fileno()
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            read = len(self._known) * len(digest)
            more = os.pread(file, os.fstat(file).st_size - read, read)
            self._known.update(
                more[begin : begin + len(digest)] for begin in range(0, len(more), len(digest))
            )
            if digest in self._known:
                return False
            self._known.add(digest)
            os.pwrite(file, digest, read + len(more))
            return True
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


@attrs.frozen(eq=False)
class _Copy:
    """A copy of this process that goes another way.

    Attributes:
        process: Its number.
        report: Where it writes what came of it.
        lent: It has a processor that was to spare.
    """

    process: int
    report: IO[bytes]
    lent: bool


class Way:
    """One way through the code: it decides where to go, and is told what must be so.

    Attributes:
        knowledge: What is known here.
        log: What the code did so far, in words.
        found: What came of the ways that this process and its copies have gone.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        traced: Callable[[str], bool],
        expected: tuple[type[BaseException], ...],
        first_failure: bool,
        spare: Spare,
        places: _Places,
    ) -> None:
        self.knowledge = knowledge
        self.log: list[str] = []
        self.found = Exploration()
        self._lines: dict[str, set[int]] = {}
        self._places = places
        self._idle_since = ""
        self._branches = self._cuts = 0
        self._serial = 0
        self._traced = traced
        self._expected = expected
        self._first_failure = first_failure
        self._spare = spare
        self._self: _Copy | None = None
        self._copies: list[_Copy] = []

    # Where to go

    def decide(self, condition: Bool) -> bool:
        """Which way to go where `condition` tells; both, one after the other, if both may be."""
        condition = self.knowledge.simplified(condition)
        if condition is TRUE or condition is FALSE:
            return condition is TRUE
        yes, no = self.knowledge.possible(condition), self.knowledge.possible(~condition)
        if not yes and not no:
            self.end("impossible")
        if yes and no:
            self._branches += 1
            if self._branches > BRANCHES:
                text = f"the lines have decided {BRANCHES} times where to go, and done nothing"
                self.fail("progress", text)
            yes = self.copy()
        self.knowledge.assume(condition if yes else ~condition)
        return yes

    def choose(self, options: Sequence[Option]) -> Option:
        """One of several, all of them one after the other."""
        for option in options[:-1]:
            if self.copy():
                return option
        return options[-1]

    def number(self) -> int:
        """A number that no call on this way gave before."""
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
        follows = bool(self.knowledge.follows(condition, at_once=True) == z3.unsat)
        if follows:
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
        found = self.found
        found.obligations[kind] = found.obligations.get(kind, 0) + len(claims)
        together = And(*(claim for claim, _ in claims))
        if together is not TRUE:
            start = time.perf_counter()
            self._settle(kind, claims, And(*given), together)
            spent = time.perf_counter() - start
            found.asked[kind] = found.asked.get(kind, 0.0) + spent
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

    def cut(self, where: str, key: Hashable) -> None:
        """Whoever comes to a place after another has ends there.

        Args:
            where: What the place is called.
            key: What tells it from others; what that is made of may be another object in a copy.
        """
        said = f"{where}, {hashlib.sha256(repr(key).encode()).hexdigest()}"
        if self._idle_since:
            self.found.idle.add((self._idle_since, said))
        self._idle_since, self._branches = said, 0
        if not self._places.is_new(said):
            self.end("cut")
        self._cuts += 1
        if self._cuts > PLACES:
            text = f"{where}: {PLACES} new places one after the other; what tells them apart grows"
            self.fail("progress", text)

    def goes_on(self) -> None:
        """Something is done that cannot be done for ever, or is argued about elsewhere."""
        self._idle_since, self._branches = "", 0

    # How it ends

    def end(self, how: str, failure: Failure | None = None) -> NoReturn:
        """Leave the code here, for ever: the process ends, and says what came of it."""
        sys.settrace(None)
        if how in ("done", "cut") and failure is None:
            how, failure = self._looked_back(how)
        if how == "impossible":
            self.found.impossible += 1
        else:
            self.found.ways += 1
            self.found.cuts += how == "cut"
            self.found.failures += [] if failure is None else [failure]
            for name, lines in self._lines.items():
                self.found.lines.setdefault(name, set()).update(lines)
        self._tell()

    def _looked_back(self, how: str) -> tuple[str, Failure | None]:
        """What is seen of a way only at its end."""
        answer = self.knowledge.consistent()
        if answer == z3.unsat:
            return "impossible", None
        if answer == z3.unknown:
            text = "no state was found in which this way can be gone"
            return how, Failure("ways", text, (), tuple(self.log), undecided=True)
        return how, None

    def go(self, body: Callable[[Way], None]) -> NoReturn:
        """Go all ways through `body` that this process has to go."""
        sys.settrace(self._trace)
        try:
            body(self)
        except BaseException as error:
            sys.settrace(None)
            steps = (*self.log, *traceback.format_exception(error)[-4:])
            lines = tuple(
                f"{_short(item.filename)}:{item.lineno} in {item.name}"
                for item in reversed(traceback.extract_tb(error.__traceback__))
            )
            text = f"{type(error).__name__}: {error}"
            self.end("failed", Failure("steps", text, lines, steps))
        self.end("done")

    # Copies

    def copy(self) -> bool:
        """Copy the process. True in the copy; False here, where the other way is to be gone.

        That is when the copy has gone all its ways, or at once if there is a processor to spare.
        """
        lent = self._spare.take()
        report = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the copy was heard
        with warnings.catch_warnings():
            # Threads that others may have started do not go on in the copy; it waits for none.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        copy = _Copy(process, report, lent)
        if process == 0:
            gc.freeze()  # what is looked through for garbage is copied in memory, too
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            for other in (*self._copies, *([self._self] if self._self else [])):
                other.report.close()
            self._self, self._copies, self.found = copy, [], Exploration()
            self.knowledge.questions = 0
            return True
        self._copies.append(copy)
        if not lent:
            self._hear(self._copies.pop())
            if self.found.failures and self._first_failure and self._self is not None:
                self._tell()
        return False

    def _hear(self, copy: _Copy) -> None:
        """Wait until a copy has gone all its ways."""
        _, status = os.waitpid(copy.process, 0)
        with copy.report as report:
            report.seek(0)
            said = report.read()
        if status or not said:
            if copy.lent:
                self._spare.give()
            text = f"the process that went another way ended with wait status {status}"
            if self._self is None:
                raise RuntimeError(text)
            where, log = tuple(self.where()), tuple(self.log)
            self.found.failures.append(Failure("ways", text, where, log, undecided=True))
            return
        self.found.add(pickle.loads(said))

    def hear_all(self) -> None:
        """Wait for all copies that go on at the same time."""
        if self._copies:
            self._spare.give()
            try:
                while self._copies:
                    self._hear(self._copies.pop())
            finally:
                self._spare.take(wait=True)

    def _tell(self) -> NoReturn:
        assert self._self is not None
        self.hear_all()
        self.found.questions += self.knowledge.questions
        with self._self.report as report:
            pickle.dump(self.found, report)
        if self._self.lent:
            self._spare.give()
        os._exit(0)

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

    def _trace(self, frame: FrameType, event: str, value: Any) -> Any:
        """Notes which lines are run; ends where something is raised that nobody expects.

        For `sys.settrace`. Behind that place the code would clean up, and do what no run does.
        """
        name = frame.f_code.co_filename
        if not self._traced(name):
            return None
        self._lines.setdefault(name, set()).add(frame.f_lineno)
        if event == "exception" and not isinstance(value[1], self._expected):
            sys.settrace(None)
            self.fail("steps", f"{type(value[1]).__name__}: {value[1]}")
        return self._trace


def _short(name: str) -> str:
    return "/".join(name.split("/")[-2:])


def explore(
    body: Callable[[Way], None],
    knowledge: Callable[[], Knowledge],
    *,
    traced: Callable[[str], bool],
    expected: tuple[type[BaseException], ...] = (),
    first_failure: bool = False,
    spare: Spare | None = None,
) -> Exploration:
    """Go all ways through `body`, in copies of this process.

    Args:
        body: Runs the code; what it raises is a failure.
        knowledge: Gives what is known at the beginning.
        traced: Whether a file is one of the code's own.
        expected: What may be raised in it; anything else is a failure, also where it is caught.
        first_failure: End with the first thing that is not proved.
        spare: Processors that may be used besides this one.

    Raises:
        RuntimeError: A copy was killed, for want of memory say.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        spare, places = spare or Spare(), _Places(file)
        way = Way(knowledge(), traced, expected, first_failure, spare, places)
        if way.copy():
            way.go(body)
        way.hear_all()
    place = way.found.idle_for_ever().rpartition(", ")[0]
    if place:
        text = f"the lines come to {place} again and again, and do nothing in between"
        way.found.failures.append(Failure("progress", text, (), ()))
    way.found.seconds = time.perf_counter() - start
    return way.found
