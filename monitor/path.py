"""The steps of a run that goes on for days: the newest of them, and the state before these."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Final

from engine.scope import FlatState
from engine.stepper import Step, Stepper

__all__ = ["KEPT", "LongPath", "Mark"]

KEPT: Final = 2000
"""At least so many of the newest steps are kept, and twice as many at the most."""


class Mark:
    """A place between two steps.

    Attributes:
        position: Number of steps before it, those included that turned out later to be there.
    """

    def __init__(self, position: int) -> None:
        self.position = position


class LongPath:
    """A list of steps that forgets its beginning. Positions count from the run's first step.

    Attributes:
        start: The state before the oldest step that is kept.
        forgotten: Number of older steps.
    """

    def __init__(self, stepper: Stepper, kept: int = KEPT) -> None:
        self.start: FlatState = stepper.state()
        self.forgotten = 0
        self._stepper = stepper
        self._kept = kept
        self._steps: list[Step] = []
        self._middle: FlatState = self.start
        self._until_middle = 0
        self._marks: weakref.WeakSet[Mark] = weakref.WeakSet()

    def __len__(self) -> int:
        return self.forgotten + len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def append(self, step: Step) -> None:
        """The stepper has just taken a step."""
        self._steps.append(step)
        if len(self._steps) - self._until_middle >= self._kept:
            del self._steps[: self._until_middle]
            self.forgotten += self._until_middle
            self.start, self._middle = self._middle, self._stepper.state()
            self._until_middle = len(self._steps)

    def mark(self) -> Mark:
        """The present end."""
        mark = Mark(len(self))
        self._marks.add(mark)
        return mark

    def insert(self, position: int, step: Step) -> None:
        """A step turns out to have been taken earlier, so early maybe that it is forgotten."""
        for mark in self._marks:
            mark.position += mark.position > position
        index = position - self.forgotten
        if index < 0:
            self.forgotten += 1
            return
        self._steps.insert(index, step)
        self._until_middle += index < self._until_middle
