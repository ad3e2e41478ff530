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
        another_waits: One does: whoever is to have it must know; whether that is this caller.
        unlock_soon: The lock is given up, in the sense of `Runtime.unlock_soon`.
        relock: It is asked for again; whether others may have had it in between.
        next_call: One call ends here and the next begins; whether the next packet is for it.
            Raises `CardFailedError` if it may not begin.
        give_back: What was raised ends a call that holds a slot, which must not be lost.
    """

    none_waits: Callable[[], None]
    another_waits: Callable[[], bool]
    unlock_soon: Callable[[], None]
    relock: Callable[[], bool]
    next_call: Callable[[], bool]
    give_back: Callable[[int], None]
