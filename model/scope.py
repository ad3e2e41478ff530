"""The sizes at which the duct card is run."""

from __future__ import annotations

from typing import ClassVar

import attrs

import engine.scope
from engine.scope import is_positive, power_of_two
from engine.terms import And, Bool, Domain, Number, Sort, symbol
from engine.variables import Variable

__all__ = ["Scope"]


@attrs.frozen
class Scope(engine.scope.Scope):
    """The sizes of rings and of who uses them.

    A waiter that cancelled counts as outstanding until it is skipped, and nothing bounds how many
    of those there are; so no user begins a call while a waiter queue is longer than the number of
    threads, and the queues have room for every join that can still come after that.

    Attributes:
        posted: Register writes that may be under way at once.
        polls: Reads of FLAGS before a reset is given up.
    """

    HANDLERS: ClassVar[int] = 2

    posted: int = attrs.field(default=1, validator=is_positive)
    polls: int = attrs.field(default=1, validator=is_positive)

    def constants(self) -> dict[str, int]:
        """The values of N, POSTED and POLLS."""
        return {"N": self.ring_size, "POSTED": self.posted, "POLLS": self.polls}

    def sizes(self) -> dict[str, int]:
        """The sizes by which a reader of a trace knows what was run."""
        names = ("ring_size", "users", "posted", "polls", "keys")
        return {name: getattr(self, name) for name in names}

    def capacity(self, variable: Variable) -> int:
        """How many entries an array has."""
        if variable.domain is Domain.COUNTER:
            if variable.name.endswith(".doorbell_value"):
                return power_of_two(self.posted + 1)
            if ".waiters." in variable.name:
                return power_of_two(4 * self.threads)
        return super().capacity(variable)

    def may_begin(self) -> Bool:
        """No waiter queue is longer than the number of threads."""
        parts = []
        for ring in ("cmd", "tx", "rx"):
            newest = symbol(f"{ring}.waiters.next", Sort.NUMBER)
            oldest = symbol(f"{ring}.waiters.head", Sort.NUMBER)
            assert isinstance(newest, Number)
            assert isinstance(oldest, Number)
            parts.append(newest - oldest <= self.threads)
        return And(*parts)
