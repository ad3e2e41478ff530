"""A turn with the driver's lock in which several packets are taken, each as if by its own call."""

from __future__ import annotations

from collections.abc import Callable

import attrs

__all__ = ["Turn"]


@attrs.frozen(eq=False)
class Turn:
    """What the receive ring asks of its caller on the way.

    Attributes:
        none_waits: Pollers must know that no packet waits behind the one at hand.
        unlock_soon: The lock is given up, in the sense of `Runtime.unlock_soon`.
        relock: It is asked for again; whether others may have had it in between.
        next_call: One call ends here and the next begins; raises `CardFailedError` if it may not.
        give_back: What was raised ends a call that holds a slot, which must not be lost.
    """

    none_waits: Callable[[], None]
    unlock_soon: Callable[[], None]
    relock: Callable[[], bool]
    next_call: Callable[[], None]
    give_back: Callable[[int], None]
