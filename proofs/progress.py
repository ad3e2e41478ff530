"""What is seen while the command works: a bar on a terminal, a line now and then elsewhere.

Neither starts a thread: the bar is drawn anew whenever something is heard.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

__all__ = ["Progress", "progress"]

LINES: Final = 20
"""How many lines a run without a terminal prints at most, besides those about trouble."""


class Progress(Protocol):
    """Shows how far a run has got."""

    def advance(self, what: str) -> None:
        """One more is settled, an "obligation" or a "fault"."""

    def tick(self) -> None:
        """Time has passed."""

    def say(self, line: str) -> None:
        """Something is worth a line of its own."""

    def close(self) -> None:
        """The run is over."""


def progress(console: Console, totals: dict[str, int]) -> Progress:
    """What suits the console. `totals` says how many there are of each kind."""
    present = {what: total for what, total in totals.items() if total}
    if console.is_terminal and not console.is_dumb_terminal:
        return _Bar(console, present)
    return _Lines(console, present)


class _Bar:
    def __init__(self, console: Console, totals: dict[str, int]) -> None:
        self._progress = RichProgress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._tasks = {
            what: self._progress.add_task(f"{what}s", total=total) for what, total in totals.items()
        }
        self._drawn = 0.0
        self._progress.start()
        self.tick()

    def advance(self, what: str) -> None:
        self._progress.advance(self._tasks[what])
        if time.monotonic() - self._drawn > 0.1:
            self.tick()

    def tick(self) -> None:
        self._drawn = time.monotonic()
        self._progress.refresh()

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self.tick()
        self._progress.stop()


class _Lines:
    def __init__(self, console: Console, totals: dict[str, int]) -> None:
        self._console = console
        self._totals = totals
        self._done = dict.fromkeys(totals, 0)
        self._printed = 0
        self._began = time.monotonic()

    def advance(self, what: str) -> None:
        self._done[what] += 1
        everything = sum(self._totals.values())
        share = sum(self._done.values()) * LINES // everything
        if share > self._printed and everything > 1:
            self._printed = share
            parts = [f"{done:,} of {self._totals[k]:,} {k}s" for k, done in self._done.items()]
            passed = time.monotonic() - self._began
            self.say(f"{100 * share // LINES:>4} %  {', '.join(parts)}, {passed:.1f} s")

    def tick(self) -> None:
        pass

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        pass
