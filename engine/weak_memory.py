"""How a declared word becomes the steps of memory.

A store becomes visible; a load is satisfied ahead of its turn, or behind it.
"""

from __future__ import annotations

from typing import Any

from engine.rules import SLOT, THREAD, Kind, Party, Rule
from engine.terms import TRUE, And, Number
from engine.words import Word

__all__ = [
    "lateness_name",
    "lateness_rule",
    "memory_steps",
    "speculation_name",
    "speculation_rule",
    "visible_name",
    "visible_rule",
]


def memory_steps(word: Word, section: str) -> list[Rule]:
    """All steps that memory takes with a word. `section`: of the document that says so."""
    made = (visible_rule, speculation_rule, lateness_rule)
    return [rule for make in made if (rule := make(word, section)) is not None]


def visible_name(word: Word) -> str:
    """What the step is called by which a stored word becomes visible."""
    return f"{word.path}_visible"


def speculation_name(word: Word) -> str:
    """What the step is called by which a load is satisfied ahead of its turn."""
    return f"{word.ring}.speculate_{word.name}"


def lateness_name(word: Word) -> str:
    """What the step is called by which a load is satisfied behind its turn."""
    return f"{word.path}_late"


def visible_rule(word: Word, section: str) -> Rule | None:
    """The step by which a stored word becomes visible; None if the host never stores it."""
    if not word.buffered:
        return None

    def becomes_visible(s: Any, k: Number) -> None:
        group = getattr(s, word.ring)
        s.require(getattr(group, word.pending)[k])
        for order in word.after:
            waits = [~getattr(group, f"{name}_pending")[k] for name in order.words]
            if order.until is not None:
                waits.append(order.until(s, k))
            s.barrier(order.barrier, And(*waits))
        s.note(Kind.STORE, word.path, k, word=word)
        for name, buffer in zip(word.holds, word.buffered, strict=True):
            getattr(group, name)[k] = getattr(group, buffer)[k]
        getattr(group, word.pending)[k] = False

    usual = f"The stored {word.name} of slot k becomes visible to the device."
    becomes_visible.__doc__ = word.visible or usual
    name = visible_name(word)
    return Rule(name, Party.MEMORY, section, (SLOT,), name, becomes_visible, word.place)


def speculation_rule(word: Word, section: str) -> Rule | None:
    """The step by which a load is satisfied ahead of its turn; None if none may be."""
    early = word.speculation
    if early is None:
        return None

    def comes_early(s: Any) -> None:
        group = getattr(s, word.ring)
        slot = early.slot(s)
        s.barrier(early.barrier, early.behind(s))
        s.require(early.window(s) & ~getattr(group, early.flag))
        seen = s.load(word, slot, early=False)
        seen = seen if isinstance(seen, tuple) else (seen,)
        for name, value in zip(early.holds, seen, strict=True):
            setattr(group, name, value)
        setattr(group, early.flag, TRUE)

    comes_early.__doc__ = early.meaning
    name = speculation_name(word)
    return Rule(name, Party.HOST, section, (), "", comes_early, word.place)


def lateness_rule(word: Word, section: str) -> Rule | None:
    """The step by which a load is satisfied behind its turn; None if none may be."""
    late = word.lateness
    if late is None:
        return None

    def comes_late(s: Any, t: Number) -> None:
        s.barrier(late.barrier, late.before(s, t))
        s.require(late.window(s, t))
        seen = s.load(word, late.slot(s, t), early=False)
        seen = seen if isinstance(seen, tuple) else (seen,)
        for name, value in zip(late.into, seen, strict=True):
            group, _, variable = name.rpartition(".")
            getattr(getattr(s, group), variable)[t] = value

    comes_late.__doc__ = late.meaning
    name = lateness_name(word)
    return Rule(name, Party.MEMORY, section, (THREAD,), "", comes_late, word.place)
