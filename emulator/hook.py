"""Where a test gets between a card and what it does.

A test that needs a card which does something else, or which is watched while it does it, puts that
around a step, the reading of a register, or the choice of the next step:

    card.step("tx.send").around(lambda send: None)          # it sends nothing
    card.reading(EVFLAGS).around(lambda read: read() | 1)   # and says that it did

Memory needs no hook: `Card.dma` is whatever reaches it, and may be replaced at any time. Neither
does the net, which has stations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Hook"]

Result = TypeVar("Result")


class Hook(Generic[Result]):
    """Something that a card does.

    Attributes:
        do: Does it, with everything that was put around it.
    """

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], Result]) -> None:
        self.do = do

    def around(self, body: Callable[[Callable[[], Result]], Result]) -> Callable[[], None]:
        """From now on do something else; what was put around it last is outermost.

        Args:
            body: What to do. It is given what was done so far, to do that or not.

        Returns:
            What undoes it; to be called in the opposite order.
        """
        inner = self.do
        self.do = functools.partial(body, inner)

        def undo() -> None:
            self.do = inner

        return undo
