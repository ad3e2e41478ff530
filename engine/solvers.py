"""Z3 and cvc5 behind one interface: SMT-LIB text in, verdict out.

A verdict never depends on the machine's speed: queries are limited by the solver's own count of its
work (resource units), never by time, and seeds are fixed.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections.abc import Mapping
from typing import Final

import cvc5
import z3

__all__ = ["OPTIONS", "Answer", "SolverError", "ask", "core", "narrowed", "version"]

OPTIONS: Final[Mapping[str, Mapping[str, str | int]]] = {
    "z3": {"rlimit": 40_000_000, "arith.solver": 2},
    "cvc5": {
        "rlimit": 20_000_000,
        "decision": "internal",
        "static-learning": "false",
        "arith-brab": "false",
        "theoryof-mode": "term",
    },
}
"""What each solver is told besides the seed: how much work it may do at most, and how to do it."""

ASSERTION: Final = re.compile(r"^\(assert (.*)\)$", re.MULTILINE)


class Answer(enum.Enum):
    """What a solver says: the assertions can hold together, cannot, or it does not know."""

    SATISFIABLE = "sat"
    UNSATISFIABLE = "unsat"
    UNKNOWN = "unknown"


class SolverError(RuntimeError):
    """A solver rejected a query or failed; the message names the solver and what it said."""


def ask(solver: str, text: str, seed: int = 0) -> Answer:
    """Let `solver` ("z3" or "cvc5") decide an SMT-LIB 2 text.

    Raises:
        SolverError: the solver rejected the text.
        ValueError: no such solver.
    """
    if solver == "z3":
        return _ask_z3(text, seed)
    if solver == "cvc5":
        return _ask_cvc5(text, seed)
    raise ValueError(f"unknown solver {solver!r}; known are z3 and cvc5")


def core(text: str, seed: int = 0) -> frozenset[str] | None:
    """The labels of those assertions that z3 needs to refute a text; None if it does not refute it.

    Assertions without a label are taken for needed. Whoever refutes what is left has refuted the
    whole: fewer assertions assume less.

    Raises:
        SolverError: z3 rejected the text.
    """
    try:
        instance = _z3(seed)
        instance.set("unsat_core", True)
        instance.from_string(f"(set-option :produce-unsat-cores true)\n{text}")
        if instance.check() != z3.unsat:
            return None
        return frozenset(str(name) for name in instance.unsat_core())
    except z3.Z3Exception as error:
        raise SolverError(f"z3: {error}") from error


@functools.lru_cache(maxsize=16)
def narrowed(text: str, seed: int = 0) -> str | None:
    """A text with only those assertions that z3 needs to refute it; None if it does not refute it.

    Whoever refutes what is left has refuted the whole. Each assertion is a line of the text. The
    last few are remembered, for whoever asks z3 first and cvc5 then.

    Raises:
        SolverError: z3 rejected the text.
    """
    numbers = itertools.count()
    named = ASSERTION.sub(lambda one: f"(assert (! {one[1]} :named a{next(numbers)}))", text)
    needed = core(named, seed)
    if needed is None:
        return None
    numbers = itertools.count()
    return ASSERTION.sub(lambda one: one[0] if f"a{next(numbers)}" in needed else "", text)


def version(solver: str) -> str:
    """The version of `solver`, as exactly as it knows it."""
    return z3.get_full_version() if solver == "z3" else str(cvc5.__version__)


def _z3(seed: int) -> z3.Solver:
    instance = z3.SimpleSolver(ctx=z3.Context())
    instance.set("random_seed", seed)
    for name, value in OPTIONS["z3"].items():
        instance.set(name, value)
    return instance


def _ask_z3(text: str, seed: int) -> Answer:
    try:
        instance = _z3(seed)
        instance.from_string(text)
        return Answer(str(instance.check()))
    except z3.Z3Exception as error:
        raise SolverError(f"z3: {error}") from error


def _ask_cvc5(text: str, seed: int) -> Answer:
    terms = cvc5.TermManager()
    instance = cvc5.Solver(terms)
    instance.setOption("seed", str(seed))
    for name, value in OPTIONS["cvc5"].items():
        instance.setOption(name, str(value))
    try:
        parser = cvc5.InputParser(instance)
        parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "obligation")
        symbols = parser.getSymbolManager()
        answer = "unknown"
        while True:
            command = parser.nextCommand()
            if command.isNull():
                break
            said = command.invoke(instance, symbols).strip()
            if said:
                answer = said
    except RuntimeError as error:
        raise SolverError(f"cvc5: {error}") from error
    verdict = answer.split(" ")[0]  # "unknown (RESOURCEOUT)"
    if verdict not in ("sat", "unsat", "unknown"):
        raise SolverError(f"cvc5: {answer}")
    return Answer(verdict)
