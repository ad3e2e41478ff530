"""Arrays without updates: what is read of a changed array, spelt out.

A solver need not know of arrays that change. Reading `a` with `v` put at `i` gives `v` at `i` and
what `a` holds elsewhere, so each such read is written as that choice, and what is left are reads of
arrays as they were: functions of an index, of which solvers know more than of arrays (McCarthy,
"Towards a mathematical science of computation", 1962, has the law).
"""

from __future__ import annotations

import functools

from engine.terms import If, Number, Term, rebuilt, select

__all__ = ["spelt_out"]


@functools.cache
def spelt_out(term: Term) -> Term:
    """A term that means the same and reads no array that is changed in it.

    An array in it is there to be read. Questions share terms: each is spelt out once.
    """
    arguments = tuple(map(spelt_out, term.arguments))
    if term.operation == "select":
        return _read(*arguments)
    return rebuilt(term, arguments)


@functools.cache
def _read(array: Term, index: Number) -> Term:
    match array.operation:
        case "fill":
            return array.arguments[0]
        case "store":
            base, place, value = array.arguments
            return If(place == index, value, _read(base, index))  # type: ignore[call-overload,no-any-return]
        case "if":
            test, one, two = array.arguments
            return If(test, _read(one, index), _read(two, index))  # type: ignore[call-overload,no-any-return]
        case _:
            return select(array, index)
