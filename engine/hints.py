"""Hints: what earlier proofs needed of the invariant, by name, so that the next ones begin there.

A hint says which hypotheses a solver needed to prove a question. It is used to leave hypotheses
out: the question is asked first with those of its own hypotheses that the hint names, and as a
whole only if that is not proved. So a hint cannot make anything false proved, whatever it says.
What is asked with it is a part of the assertions of the whole question, and where a part of them
contradicts itself the whole does. A hint that names nothing that exists any more costs a query.

Hints are kept as text, a line for each question, and are written by `--write-hints`:

    step/tx.claim 1: life.rings lock.holder@77a5f2d0,91c34e1b

The number says how often indices were followed (`engine.induction.Instantiator.rounds`). A name is
that of a conjunct; after the @ stand marks of the indices at which it was needed
(`engine.terms.mark`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Hint", "joined", "read_hints", "write_hints"]

HEAD: Final = """\
# What proofs needed of the invariant; leaves hypotheses out and can prove nothing wrong.
# Written by --write-hints, explained in engine/hints.py.
"""
LINE: Final = re.compile(r"(?P<topic>\S.*) (?P<rounds>[1-3]):(?P<needed>( \S+)*)")


@attrs.frozen
class Hint:
    """What the proof of a question needed.

    Attributes:
        needed: Names of hypotheses, as `engine.induction.Instantiator.hypotheses` gives them.
        rounds: How often the indices that assumed instances mention had to be assumed in turn.
    """

    needed: frozenset[str]
    rounds: int = 1


def joined(one: Hint | None, other: Hint) -> Hint:
    """A hint for whoever asks either of two questions."""
    if one is None:
        return other
    return Hint(one.needed | other.needed, max(one.rounds, other.rounds))


def read_hints(path: Path | None) -> dict[str, Hint]:
    """The hints in a file, by topic. Whatever is no hint is passed over: nothing stands on it."""
    found: dict[str, Hint] = {}
    if path is None:
        return found
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        parts = LINE.fullmatch(line)
        if parts is not None and not line.startswith("#"):
            needed = frozenset(name for word in parts["needed"].split() for name in _names(word))
            found[parts["topic"]] = Hint(needed, int(parts["rounds"]))
    return found


def write_hints(path: Path, hints: Mapping[str, Hint]) -> None:
    """Write the file, in an order that changes as little as the hints do."""
    lines = [
        f"{topic} {hint.rounds}:{''.join(f' {word}' for word in _words(hint.needed))}\n"
        for topic, hint in sorted(hints.items())
    ]
    path.write_text(HEAD + "".join(lines), encoding="utf-8")


def _names(word: str) -> list[str]:
    name, at, marks = word.partition("@")
    return [f"{name}@{mark}" for mark in marks.split(",")] if at else [name]


def _words(names: Iterable[str]) -> list[str]:
    marks: dict[str, list[str]] = {}
    for name in sorted(names):
        conjunct, at, mark = name.partition("@")
        marks.setdefault(conjunct + at, []).append(mark)
    return [name + ",".join(found) for name, found in marks.items()]
