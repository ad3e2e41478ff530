"""SHA-256 of what a run of the specification depends on: rules, sizes, and the program that runs.

Two runs with the same digest and seed are the same run, so what one of them has shown need not be
shown again (`engine.answers`).
"""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path

from engine.protocol import System
from engine.rules import Choice
from engine.scope import Layout, Scope
from engine.terms import Term

__all__ = ["digest", "of_system", "of_term"]


def digest(*parts: object) -> str:
    """The SHA-256 of values whose `repr` says all that there is to say of them."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@functools.cache
def of_term(term: Term) -> str:
    """The digest of a term: the same in every process."""
    arguments = tuple(map(of_term, term.arguments))
    return digest(term.operation, term.sort.value, term.name, term.value, arguments)


def of_system(system: System, scope: Scope) -> str:
    """The digest of a system at a scope that allows every rule, and of the program that runs it.

    Raises:
        ValueError: The scope leaves rules out, by a function that nobody can look into.
    """
    if scope.rules is not None:
        raise ValueError("a scope that leaves rules out has no digest")
    sizes = (scope.constants(), [scope.values(choice) for choice in Choice])
    start = Layout.without_steps(system, scope).initial()
    return digest(_program(), _of_rules(system), sizes, start, of_term(scope.may_begin()))


@functools.lru_cache(maxsize=4)
def _of_rules(system: System) -> str:
    variables = [(item.name, item.sort.value, item.domain) for item in system.variables]
    rules = [
        (
            step.rule.name,
            [(item.name, item.choice) for item in step.rule.parameters],
            step.rule.fair,
            of_term(step.guard),
            [(name, of_term(term)) for name, term in step.updates.items()],
        )
        for step in system.transitions
    ]
    return digest(variables, rules)


@functools.cache
def _program() -> str:
    """The digest of the engine and of the interpreter."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return digest(sys.version, [(file.name, file.read_bytes()) for file in files])
