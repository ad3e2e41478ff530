"""What is kept of a thread beside the specification's own variables."""

from __future__ import annotations

from typing import Any

import attrs

from engine.table import Seen
from model.layout import Register

__all__ = ["Actor"]


@attrs.define(eq=False)
class Actor:
    """What is kept of a thread of the specification.

    Attributes:
        word: The word that it is storing or loading, in one access or in several.
        touched: The bytes of it that were accessed: begin and end of each piece.
        hidden: Words whose stores are all visible although more may follow.
        begins: The call that begins when it asks for the lock: a rule and its parameters.
        again: The call that begins then, if none of its own is under way: those behind the first
            of a batch.
        neutral: It has the lock for a purpose that the specification knows nothing of.
        refills: The receive slot whose pointers it has stored again.
        bases: The base and size registers that it has written.
        to_free: The regions that it must free.
        sizes: The bytes of each packet that it sends.
        sent: How many of them were handed over.
    """

    word: tuple[Seen, int] | None = None
    touched: list[tuple[int, int]] = attrs.field(factory=list)
    hidden: set[str] = attrs.field(factory=set)
    begins: tuple[Any, ...] | None = None
    again: tuple[Any, ...] = ()
    neutral: bool = False
    refills: int | None = None
    bases: set[Register] = attrs.field(factory=set)
    to_free: list[Any] = attrs.field(factory=list)
    sizes: tuple[int, ...] = ()
    sent: int = 0
