"""The whole system: every rule of every part, lifted to terms once."""

from __future__ import annotations

import functools
from typing import Final

from engine.protocol import Protocol, System
from engine.rules import Kind, Rule
from engine.smt import Machine
from model import device_spec, driver_spec, thread_spec
from model.layout import LIMITS
from model.memory_spec import memory_rules
from model.phrases import PHRASES
from model.ring_spec import ring_rules
from model.state import EVENT_THREAD, FATAL_THREAD, Label, State
from model.symmetry import SYMMETRY
from model.words import WORDS

__all__ = ["DUCT", "all_rules", "specification"]

DUCT: Final = Protocol(
    "duct",
    State,
    Label,
    start={
        "threads.pc": {
            EVENT_THREAD: int(Label.EVENT_IDLE),
            FATAL_THREAD: int(Label.FATAL_IDLE),
        }
    },
    arbitrary=frozenset({
        *(f"tx.{word}" for word in ("owner", "fields", "zero", "first_word", "last_word")),
        *(f"cmd.{word}" for word in ("owner", "fields", "kind", "key")),
        *(f"cmd.{word}" for word in ("status_sequence", "status")),
        *(f"rx.{word}" for word in ("owner", "pointer", "header", "length")),
        *(f"rx.{word}" for word in ("first_word", "last_word")),
        "card.lies",
    }),
    machine=Machine(bits=32, shifts=tuple(range(LIMITS.max_shift + 1))),
    symmetry=SYMMETRY,
    phrases=PHRASES,
    words=WORDS,
    declared={"lock.next": (Kind.LOCK,), "lock.serving": (Kind.UNLOCK, Kind.SLEEP)},
)  # fmt: skip
"""The duct card, besides its rules. Memory holds anything at power-on, and a card may lie."""


def all_rules() -> list[Rule]:
    """Every rule of the specification, in the order host, memory, card."""
    return [
        *driver_spec.BOOK.rules,
        *ring_rules(),
        *thread_spec.BOOK.rules,
        *memory_rules(),
        *device_spec.BOOK.rules,
    ]


@functools.cache
def specification() -> System:
    """The specification as it stands, without any fault."""
    return DUCT.system(all_rules())
