"""How a declared word becomes the steps of memory: a store becomes visible, a load comes early."""

from __future__ import annotations

from typing import Any

from engine.rules import SLOT, Kind, Party, Rule
from engine.terms import TRUE, And, Number
from engine.words import Word

__all__ = ["speculation_name", "speculation_rule", "visible_name", "visible_rule"]


def visible_name(word: Word) -> str:
    """What the step is called by which a stored word becomes visible."""
    return f"{word.path}_visible"


def speculation_name(word: Word) -> str:
    """What the step is called by which a load is satisfied ahead of its turn."""
    return f"{word.ring}.speculate_{word.name}"


def visible_rule(word: Word, section: str) -> Rule | None:
    """The step by which a stored word becomes visible; None if the host never stores it."""
    if not word.buffered:
        return None

    def becomes_visible(s: Any, k: Number) -> None:
        group = getattr(s, word.ring)
        s.require(getattr(group, word.pending)[k])
        for order in word.after:
            waits = (getattr(group, f"{name}_pending")[k] for name in order.words)
            s.barrier(order.barrier, And(*(~item for item in waits)))
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
