"""Arrays without updates: what is read of a changed array, spelt out.

A solver need not know of arrays that change. Reading `a` with `v` put at `i` gives `v` at `i` and
what `a` holds elsewhere, so each such read is written as that choice, and what is left are reads of
arrays as they were: functions of an index, of which solvers know more than of arrays (McCarthy,
"Towards a mathematical science of computation", 1962, has the law).
"""

from __future__ import annotations

from typing import TypeAlias

from engine.terms import If, Number, Term, rebuilt, select

__all__ = ["Reads", "spelt_out"]

Reads: TypeAlias = dict[Term | tuple[Term, Term], Term]
"""What is spelt out already: terms, and reads of an array at an index."""


def spelt_out(term: Term, done: Reads) -> Term:
    """A term that means the same and reads no array that is changed in it.

    Args:
        term: Any term; an array in it is there to be read.
        done: What is spelt out already; added to.
    """
    known = done.get(term)
    if known is None:
        arguments = tuple(spelt_out(item, done) for item in term.arguments)
        if term.operation == "select":
            array, index = arguments
            known = _read(array, index, done)  # type: ignore[arg-type]
        else:
            known = rebuilt(term, arguments)
        done[term] = known
    return known


def _read(array: Term, index: Number, done: Reads) -> Term:
    key = (array, index)
    known = done.get(key)
    if known is None:
        match array.operation:
            case "fill":
                (known,) = array.arguments
            case "store":
                base, place, value = array.arguments
                known = If(place == index, value, _read(base, index, done))  # type: ignore[call-overload]
            case "if":
                test, one, two = array.arguments
                known = If(test, _read(one, index, done), _read(two, index, done))  # type: ignore[call-overload]
            case _:
                known = select(array, index)
        done[key] = known
    return known
