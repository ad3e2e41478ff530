"""Stores that the card may not see yet, loads before them, and the barriers that order them.

A real processor does not tell when a store becomes visible. So nothing is taken for granted but
what a barrier promises: a store stays pending until a barrier of the driver, or what the card has
done since, shows that it is visible. In the same way a load of payload may still be late, and a
register read unanswered, until a barrier shows that it is not. Where the driver relies on an order,
it is asked whether the worst order that its barriers leave would be a step of the specification. So
a barrier that is missing is found whether or not this processor would have needed it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from judge.judge import Deviation, Judge
from judge.words import LATE_RULES
from model.words import WORDS

__all__ = ["PendingStores"]

Word = tuple[str, int]
"""A word of the specification, and its slot."""

BEFORE_OWNER: Final = {
    owner.ring: tuple(f"{owner.ring}.{name}" for order in owner.after for name in order.words)
    for owner in WORDS
    if owner.synchronises
}
"""The words that a ring's owner byte hands over."""


class PendingStores:
    """Knows which stores are pending. Threads are those of the machine, by any key."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._stored: dict[Word, None] = {}
        self._unreleased: defaultdict[int, set[Word]] = defaultdict(set)
        self._unannounced: defaultdict[int, set[Word]] = defaultdict(set)
        self._late: dict[Word, int] = {}

    # What the driver does

    def stored(self, thread: int, word: str, slot: int) -> None:
        """A word, or a part of it, was stored."""
        if word == "rx.pointer":
            self._takes_over(thread, slot)
        self._stored[word, slot] = None
        self._unreleased[thread].add((word, slot))

    def owner_stored(self, thread: int, ring: str, slot: int) -> None:
        """An owner byte was stored: would it be seen too early?

        Raises:
            Deviation: No store barrier stands between what is handed over and the owner byte.
        """
        owner = f"{ring}.owner", slot
        self._stored[owner] = None
        self._unannounced[thread].add(owner)
        self._check_loads(ring, slot)
        late = [word for word in BEFORE_OWNER[ring] if (word, slot) in self._unreleased[thread]]
        for word in BEFORE_OWNER[ring]:
            if word not in late:
                self._show(word, slot)
        rule = f"{ring}.owner_visible"
        if late or not self._judge.enabled(rule, slot):
            raise self._judge.deviation(
                f"no store barrier stands between {' and '.join(late) or 'the stores'} of slot "
                f"{slot} and its owner byte",
                rule,
                (slot,),
            )

    def loaded(self, thread: int, word: str, slot: int) -> None:
        """A word was loaded that may be satisfied behind its turn."""
        self._late[word, slot] = thread

    def _takes_over(self, thread: int, slot: int) -> None:
        """A view is given back by whoever got it from its reader, behind the reader's loads."""
        for word in self._late:
            if word[1] == slot:
                self._late[word] = thread

    def _check_loads(self, ring: str, slot: int) -> None:
        for word in LATE_RULES:
            if word.startswith(f"{ring}.") and (word, slot) in self._late:
                raise Deviation(
                    f"the load of {word} of slot {slot} may be satisfied after its owner byte is "
                    "visible, where a barrier must not let it\n"
                    + "\n".join(self._judge.barriers(LATE_RULES[word]))
                )

    def release(self, thread: int) -> None:
        """A store barrier."""
        self._unreleased[thread].clear()

    def release_loads(self, thread: int) -> None:
        """A barrier between loads and stores: no load is late, and register reads are answered."""
        self._late = {word: by for word, by in self._late.items() if by != thread}
        self.register_read()

    def register_read(self) -> None:
        """A register read was answered, or is known to be by now."""
        if self._judge.now["card_bases_posted"]:
            self._judge.fire("packet_bases_arrive")

    def before_register_write(self, thread: int) -> None:
        """A barrier between stores and register writes."""
        self._unannounced[thread].clear()

    def fence(self, thread: int) -> None:
        """Every earlier store is visible."""
        self.release(thread)
        self.release_loads(thread)
        self.before_register_write(thread)
        # What an owner byte hands over is visible before it.
        for word, slot in sorted(self._stored, key=_is_owner):
            self._show(word, slot)

    def rings(self, thread: int, ring: str, bells: int) -> None:
        """A doorbell is rung that stands for so many: they arrive at once.

        Raises:
            Deviation: No barrier stands between the owner byte and the doorbell.
        """
        judge, now = self._judge, self._judge.now
        values = now[f"{ring}_doorbell_value"]
        for _ in range(bells):
            slot = values[now[f"{ring}_doorbells_arrived"] % len(values)]
            if (f"{ring}.owner", slot) not in self._unannounced[thread]:
                self._show(f"{ring}.owner", slot)
            judge.fire(f"{ring}.doorbell_arrives")

    # What the card has done

    def seen(self, ring: str, slot: int) -> None:
        """The card has acted on a slot, so it has seen the owner byte."""
        self._show(f"{ring}.owner", slot)

    def _show(self, word: str, slot: int) -> None:
        ring, _, name = word.partition(".")
        if self._judge.now[f"{ring}_{name}_pending"][slot]:
            self._judge.fire(f"{word}_visible", slot)


def _is_owner(word: Word) -> bool:
    return word[0].endswith(".owner")
