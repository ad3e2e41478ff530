"""Terms as Z3's own, in unbounded integers, for questions that come one after the other.

`engine.smt` writes a question as text, which is what is kept and shown. Where thousands of
questions differ by a little, most of the time would go into writing and reading. What is made here
means the same; a test compares the two. It is made by Z3's own functions: the usual operators of
its Python interface take five times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import z3
from z3 import z3core

from engine.arrays import spelt_out
from engine.terms import Sort, Term

__all__ = ["Z3Terms"]

_MANY: Final = {
    "and": z3core.Z3_mk_and,
    "or": z3core.Z3_mk_or,
    "add": z3core.Z3_mk_add,
    "sub": z3core.Z3_mk_sub,
}
_FEW: Final[dict[str, Callable[..., Any]]] = {
    "not": z3core.Z3_mk_not,
    "equal": z3core.Z3_mk_eq,
    "if": z3core.Z3_mk_ite,
    "less": z3core.Z3_mk_lt,
}


class Z3Terms:
    """Translates terms, each of them once, and never forgets one."""

    def __init__(self) -> None:
        self._context = z3.main_ctx()
        self._done: dict[Term, Any] = {}

    def __call__(self, term: Term) -> Any:
        """The Z3 expression that a truth value or a number is, as `Z3_ast`."""
        plain = spelt_out(term)
        done = self._done
        stack = [plain]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            waits = [item for item in node.arguments if item not in done]
            if waits:
                stack.extend(waits)
                continue
            stack.pop()
            made = self._made(node)
            if not node.sort.is_array:
                z3core.Z3_inc_ref(self._context.ref(), made)
            done[node] = made
        return done[plain]

    def expression(self, term: Term) -> z3.ExprRef:
        """The same for Z3's own interface."""
        return z3.BoolRef(self(term), self._context)

    def _made(self, node: Term) -> Any:
        context = self._context.ref()
        match node.operation:
            case "symbol":
                return _symbol(node)
            case "constant":
                if node.sort is Sort.BOOL:
                    return z3core.Z3_mk_true(context) if node.value else z3core.Z3_mk_false(context)
                return z3core.Z3_mk_numeral(context, str(node.value), z3.IntSort().ast)
        parts = [self._done[item] for item in node.arguments]
        if node.operation == "select":
            return z3core.Z3_mk_app(context, parts[0].ast, 1, (z3.Ast * 1)(parts[1]))
        if node.operation in _MANY:
            return _MANY[node.operation](context, len(parts), (z3.Ast * len(parts))(*parts))
        return _FEW[node.operation](context, *parts)


def _symbol(node: Term) -> Any:
    number, truth = z3.IntSort(), z3.BoolSort()
    match node.sort:
        case Sort.BOOL:
            return z3.Const(node.name, truth).ast
        case Sort.NUMBER:
            return z3.Const(node.name, number).ast
        case Sort.BOOL_ARRAY:
            return z3.Function(node.name, number, truth)
    return z3.Function(node.name, number, number)
