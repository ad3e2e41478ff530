"""Loads that a processor could satisfy early, and the barriers that keep it from that.

Nobody sees when a load is satisfied. So each load is judged as if it had been satisfied at any
moment since the thread's last load barrier, or since it got the lock: at each of these moments the
specification must have allowed it. A barrier that is missing is found at the first load behind it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from judge.judge import Deviation, Judge
from judge.words import EARLY_RULES
from model.state import EVENT_THREAD
from model.words import LOOKING

__all__ = ["EarlyLoads"]

READING: Final = frozenset(LOOKING)
READERS_WORDS: Final = ("rx.owner", "rx.header")


class EarlyLoads:
    """Knows, of each thread, which words it must not have loaded at some moment."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._pcs = judge.now["threads_pc"]
        self._forbidden: defaultdict[int, set[str]] = defaultdict(set)

    def barrier(self, t: int) -> None:
        """A load barrier, or the lock was given: loads are satisfied from now on."""
        self._forbidden[t].clear()
        self.moment(t)

    def moment(self, t: int) -> None:
        """Thread t has made an access: loads may be satisfied now, before its next one."""
        words: tuple[str, ...] = ()
        if t == EVENT_THREAD:
            words = tuple(EARLY_RULES)
        elif self._pcs[t] in READING:
            words = READERS_WORDS
        forbidden = self._forbidden[t]
        for word in words:
            if word not in forbidden and not self._judge.enabled(EARLY_RULES[word]):
                forbidden.add(word)

    def check(self, t: int, word: str, slot: int) -> None:
        """Thread t loads a word. Raises `Deviation` if a barrier must have kept it from that."""
        if word in self._forbidden[t]:
            raise Deviation(
                f"{self._judge.who(t)}: the load of {word} of slot {slot} may be satisfied ahead "
                "of its turn, where a barrier must not let it\n"
                + "\n".join(self._judge.barriers(EARLY_RULES[word]))
            )
