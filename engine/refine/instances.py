"""Claims of a moment as Z3's own expressions, put together by Z3 itself.

A claim is translated once, of any state. What it says of a moment, at an index, comes of that by
replacing each variable by its value there: for arrays a function of an index. Thousands of claims
of a hundred moments are made so; to make each of them of terms takes four times as long. What
comes out means what `engine.terms.substitute` makes, which a test compares.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

import z3
from z3 import z3core

from engine.arrays import spelt_out
from engine.claims import Claim
from engine.induction import fresh, statement
from engine.refine.z3_terms import Z3Terms
from engine.terms import Number, Sort, Term, select, symbol

__all__ = ["Instances"]

HOLE: Final[Any] = symbol("?argument", Sort.NUMBER)
"""Where an array is read, while what it holds there is put together."""


@functools.cache
def _stated(symbols: Any, item: Claim) -> tuple[Term, Term | None]:
    """What a claim says of any state, and the index that it says it of."""
    if not item.indices:
        return statement(symbols, item), None
    index = fresh(item.indices[0])
    return statement(symbols, item, index), index


class Instances:
    """The claims at one moment."""

    def __init__(self, terms: Z3Terms, symbols: Any, values: Mapping[Term, Term]) -> None:
        """Prepare what each variable is replaced by.

        Args:
            terms: Translates terms.
            symbols: The state of symbols that claims are made of.
            values: What each symbol stands for; no symbol of `symbols` is in a value.
        """
        self._terms = terms
        self._symbols = symbols
        self._context = z3.main_ctx().ref()
        arrays = {key: value for key, value in values.items() if key.sort.is_array}
        numbers = {key: value for key, value in values.items() if not key.sort.is_array}
        self._functions = self._listed(z3.FuncDecl, (terms(key).ast for key in arrays))
        self._bodies = self._listed(z3.Ast, (self._body(value) for value in arrays.values()))
        self._from = [terms(key) for key in numbers]
        self._to = [terms(value) for value in numbers.values()]
        self._at: dict[tuple[Term | None, Term | None], tuple[Any, Any]] = {}

    def of(self, item: Claim, at: Number | None = None) -> Any:
        """What a claim says, at an index if it has one, as `Z3_ast`."""
        claim, index = _stated(self._symbols, item)
        read = self._substituted_functions(self._terms(claim))
        old, new = self._replaced(index, at)
        made = z3core.Z3_substitute(self._context, read, len(old), old, new)
        z3core.Z3_inc_ref(self._context, made)
        return made

    def _substituted_functions(self, claim: Any) -> Any:
        count = len(self._functions)
        made = z3core.Z3_substitute_funs(self._context, claim, count, self._functions, self._bodies)
        z3core.Z3_inc_ref(self._context, made)
        return made

    def _replaced(self, index: Term | None, at: Number | None) -> tuple[Any, Any]:
        if (index, at) not in self._at:
            own = [] if index is None or at is None else [(self._terms(index), self._terms(at))]
            old = [*self._from, *(one for one, _ in own)]
            new = [*self._to, *(two for _, two in own)]
            self._at[index, at] = self._listed(z3.Ast, old), self._listed(z3.Ast, new)
        return self._at[index, at]

    def _body(self, array: Term) -> Any:
        """What an array holds, as a function of the index."""
        element = self._terms(spelt_out(select(array, HOLE)))
        bound = z3core.Z3_mk_bound(self._context, 0, z3.IntSort().ast)
        z3core.Z3_inc_ref(self._context, bound)
        hole = self._listed(z3.Ast, [self._terms(HOLE)])
        made = z3core.Z3_substitute(self._context, element, 1, hole, self._listed(z3.Ast, [bound]))
        z3core.Z3_inc_ref(self._context, made)
        return made

    @staticmethod
    def _listed(kind: Any, items: Iterable[Any]) -> Any:
        items = list(items)
        return (kind * len(items))(*items)
