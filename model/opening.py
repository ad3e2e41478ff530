"""Getting to a card that is open."""

from __future__ import annotations

from engine.executor import Executor, Path, run_to_rest
from engine.scope import FlatState
from model.state import Label, Life

__all__ = ["open_card"]


def open_card(
    executor: Executor, user: int = 2, start: FlatState | None = None
) -> tuple[FlatState, Path]:
    """User `user` opens the card, nothing fails, and all comes to rest.

    Returns the state (life is OPEN, every thread idle, nothing in flight) and the path to it. The
    scope must allow `begin_open` and all steps of an open. Raises `RuntimeError` if the open does
    not complete.
    """
    begin = executor.find("begin_open", t=user)
    state = executor.fire(executor.initial() if start is None else start, begin)
    state, path = run_to_rest(executor, state)
    labels = executor.value(state, "threads.pc")
    if executor.value(state, "driver.life") != Life.OPEN or labels[user] != Label.IDLE:
        raise RuntimeError(
            f"open did not complete: thread {user} rests at {Label(labels[user]).name}, "
            f"the driver is {Life(executor.value(state, 'driver.life')).name}"
        )
    return state, (begin, *path)
