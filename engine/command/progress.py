"""What is seen while the command works: a bar on a terminal, a line now and then elsewhere.

Both show the share of the work that is done, which is about the share of the time that has passed,
and beside it how many obligations and faults are settled. Neither starts a thread: the bar is drawn
anew whenever something is heard.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

__all__ = ["Progress", "progress"]

LINES: Final = 20
"""How many lines a run without a terminal prints at most, besides those about trouble."""


class Progress(Protocol):
    """Shows how far a run has got."""

    def advance(self, what: str, cost: float) -> None:
        """One more is settled, an "obligation" or a "fault"; `cost` is how much work it was."""

    def tick(self) -> None:
        """Time has passed."""

    def say(self, line: str) -> None:
        """Something is worth a line of its own."""

    def close(self) -> None:
        """The run is over."""


def progress(console: Console, totals: dict[str, int], work: float) -> Progress:
    """What suits the console.

    Args:
        console: Where to show it.
        totals: How many there are of each kind.
        work: What all of them cost together.
    """
    present = {what: total for what, total in totals.items() if total}
    if console.is_terminal and not console.is_dumb_terminal:
        return _Bar(console, present, work)
    return _Lines(console, present, work)


class _Tally:
    """What is done, as counts and as a share of the work."""

    def __init__(self, totals: dict[str, int], work: float) -> None:
        self._totals = totals
        self._done = dict.fromkeys(totals, 0)
        self._work = work
        self._spent = 0.0

    def add(self, what: str, cost: float) -> None:
        self._done[what] += 1
        self._spent += cost

    def parts(self, count: int) -> int:
        """How many of `count` equal parts of the work are done; all of them only when all is."""
        if self._done == self._totals:
            return count
        return min(count - 1, int(count * self._spent / self._work))

    def counts(self, between: str) -> str:
        """Such as "815 of 4,098 obligations, 81 of 81 faults"."""
        shares = {
            what: f"{done:,}{between}{self._totals[what]:,}" for what, done in self._done.items()
        }
        return ", ".join(f"{share} {what}s" for what, share in shares.items())


class _Bar:
    def __init__(self, console: Console, totals: dict[str, int], work: float) -> None:
        self._tally = _Tally(totals, work)
        self._progress = RichProgress(
            TextColumn("{task.completed:>3.0f} %"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(self._tally.counts("/"), total=100)
        self._drawn = 0.0
        self._progress.start()
        self.tick()

    def advance(self, what: str, cost: float) -> None:
        self._tally.add(what, cost)
        if time.monotonic() - self._drawn > 0.1:
            self.tick()

    def tick(self) -> None:
        self._drawn = time.monotonic()
        done = self._tally.parts(100)
        self._progress.update(self._task, completed=done, description=self._tally.counts("/"))
        self._progress.refresh()

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self.tick()
        self._progress.stop()


class _Lines:
    def __init__(self, console: Console, totals: dict[str, int], work: float) -> None:
        self._console = console
        self._tally = _Tally(totals, work)
        self._worth_it = sum(totals.values()) > 1
        self._printed = 0
        self._began = time.monotonic()

    def advance(self, what: str, cost: float) -> None:
        self._tally.add(what, cost)
        share = self._tally.parts(LINES)
        if share > self._printed and self._worth_it:
            self._printed = share
            passed = time.monotonic() - self._began
            self.say(f"{100 * share // LINES:>4} %  {self._tally.counts(' of ')}, {passed:.1f} s")

    def tick(self) -> None:
        pass

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        pass
