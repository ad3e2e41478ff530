"""Where open and close are, and who conducts them."""

from __future__ import annotations

from typing import Final

from engine.terms import And, Bool, Number, Or, one_of
from model.ring_spec import COMMAND_LABELS
from model.state import Label, Life, State
from model.thread_spec import at
from proofs.invariants.labels import CONDUCTOR_LABELS

__all__ = [
    "AFTER_RESET",
    "CLOSING_PHASES",
    "OPENING_PHASES",
    "QUIET",
    "RESETTING",
    "at_step",
    "conducting",
    "phase",
]


def conducting(s: State, t: Number) -> Bool:
    """Thread t is at a step of open or close that only one thread may be at."""
    return Or(
        at(s, t, *CONDUCTOR_LABELS),
        And(at(s, t, *COMMAND_LABELS), s.threads.return_to[t] != Label.EXIT),
    )


def phase(s: State, *labels: Label) -> Bool:
    """The conductor is at one of `labels`, or in the command that returns to one of them."""
    t = s.driver.conductor
    changing = one_of(s.driver.life, (Life.OPENING, Life.CLOSING))
    returns = And(at(s, t, *COMMAND_LABELS), one_of(s.threads.return_to[t], labels))
    return And(changing, at(s, t, *labels) | returns)


def at_step(s: State, *labels: Label) -> Bool:
    """The conductor is at one of the steps `labels` itself."""
    changing = one_of(s.driver.life, (Life.OPENING, Life.CLOSING))
    return And(changing, at(s, s.driver.conductor, *labels))


QUIET: Final = (
    Label.FREE,
    Label.INIT_TX,
    Label.INIT_POINTER,
    Label.INIT_RX,
    Label.INIT_FENCE,
    Label.BASE,
)
"""Phases between two uses of the packet rings, with a working command ring."""
AFTER_RESET: Final = (Label.BUS_MASTER, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE)
"""Phases between the end of the reset and the new command ring."""
RESETTING: Final = (Label.POLL, *AFTER_RESET)
"""Phases between the reset and the new command ring."""
CLOSING_PHASES: Final = (
    Label.LEAVE,
    Label.DRAIN,
    Label.STOP,
    Label.STOPPED,
    Label.FLUSH,
    Label.FLUSHED,
)
"""Phases of a close from its beginning to the card without traffic and without filters."""
OPENING_PHASES: Final = (
    Label.INIT_TX,
    Label.INIT_POINTER,
    Label.INIT_RX,
    Label.INIT_FENCE,
    Label.BASE,
    Label.READ_BACK,
    Label.START,
    Label.STARTED,
    Label.ADD_UNICAST,
    Label.ADDED_UNICAST,
    Label.OPENED,
)
"""Phases of an open from the first packet slot that is set up to its end."""
