"""Z3 and cvc5 behind one interface: SMT-LIB text in, verdict out.

A verdict never depends on the machine's speed: queries are limited by the solver's own count of its
work (resource units), never by time, and seeds are fixed.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import cvc5
import z3

__all__ = ["Answer", "SolverError", "ask", "essential", "version"]

Z3_RESOURCES: Final = 40_000_000
CVC5_RESOURCES: Final = 20_000_000


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


def essential(text: str, seed: int = 0) -> str:
    """`text` with only those assertions that z3 needs to refute it; `text` itself if it cannot.

    A second solver that refutes what is left has refuted the whole: fewer assertions assume less.
    """
    lines = text.splitlines()
    places = [place for place, line in enumerate(lines) if line.startswith("(assert ")]
    named = list(lines)
    for place in places:
        named[place] = f"(assert (! {lines[place][8:-1]} :named a{place}))"
    try:
        instance = _z3(seed)
        instance.set("unsat_core", True)
        instance.from_string("\n".join(["(set-option :produce-unsat-cores true)", *named]))
        if instance.check() != z3.unsat:
            return text
        needed = {int(str(name)[1:]) for name in instance.unsat_core()}
    except z3.Z3Exception as error:
        raise SolverError(f"z3: {error}") from error
    kept = [line for place, line in enumerate(lines) if place not in places or place in needed]
    return "\n".join(_without_unused(kept)) + "\n"


_DEFINED: Final = re.compile(r"\bd\d+\b")


def _without_unused(lines: list[str]) -> list[str]:
    """Drop definitions that nothing refers to; a definition stands before its uses."""
    used: set[str] = set()
    kept: list[str] = []
    for line in reversed(lines):
        if line.startswith("(define-fun "):
            name = line.split(" ", 2)[1]
            if name not in used:
                continue
        used.update(_DEFINED.findall(line))
        kept.append(line)
    return kept[::-1]


def version(solver: str) -> str:
    """The version of `solver`."""
    return z3.get_version_string() if solver == "z3" else str(cvc5.__version__)


def _z3(seed: int) -> z3.Solver:
    instance = z3.SimpleSolver(ctx=z3.Context())
    instance.set("random_seed", seed)
    instance.set("rlimit", Z3_RESOURCES)
    instance.set("arith.solver", 2)
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
    instance.setOption("arrays-exp", "true")
    instance.setOption("seed", str(seed))
    instance.setOption("rlimit", str(CVC5_RESOURCES))
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
    if answer not in ("sat", "unsat", "unknown"):
        raise SolverError(f"cvc5: {answer}")
    return Answer(answer)
