"""The state at power-on, as terms."""

from __future__ import annotations

import functools
from typing import Final

from engine.rules import describe
from engine.terms import FALSE, TRUE, Array, Bool, Sort, Term, constant, substitute, symbol
from model.state import EVENT_THREAD, FATAL_THREAD, Label, State

__all__ = ["ARBITRARY", "at_power_on"]

ARBITRARY: Final = frozenset(
    {
        *(f"tx.{word}" for word in ("owner", "fields", "first_word", "last_word")),
        *(f"cmd.{word}" for word in ("owner", "fields", "kind", "key", "result", "code")),
        *(
            f"rx.{word}"
            for word in ("owner", "pointer", "header", "length", "first_word", "last_word")
        ),
        "card.lies",
    }
)
"""What may hold anything at power-on: memory, and whether the card lies."""


@functools.cache
def _values() -> dict[Term, Term]:
    values: dict[Term, Term] = {}
    for variable in describe(State):
        if variable.name in ARBITRARY:
            continue
        flag = variable.sort in (Sort.BOOL, Sort.BOOL_ARRAY)
        value: Term = (TRUE if variable.initial else FALSE) if flag else constant(variable.initial)
        if variable.sort.is_array:
            array: Array[Bool] = Array(symbol(variable.name, variable.sort))
            array.fill(value)  # type: ignore[arg-type]
            if variable.name == "threads.pc":
                array[EVENT_THREAD] = int(Label.EVENT_IDLE)
                array[FATAL_THREAD] = int(Label.FATAL_IDLE)
            value = array.term
        values[variable.term] = value
    return values


def at_power_on(claim: Bool) -> Bool:
    """`claim`, of the state at power-on."""
    return substitute(claim, _values())
