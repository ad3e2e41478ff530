"""Whether words are declared so that memory can take its steps with them.

Checked when a protocol is made; a mistake is told with the word and the line that declares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from engine.declarations import suggested
from engine.terms import Domain, Sort
from engine.variables import Variable
from engine.words import Word

__all__ = ["WordError", "check_words"]

ELEMENT: Final = {Sort.BOOL_ARRAY: Sort.BOOL, Sort.NUMBER_ARRAY: Sort.NUMBER}
DECLARED: Final = {
    Sort.BOOL: "flag(...)",
    Sort.NUMBER: "number(...)",
    Sort.BOOL_ARRAY: "flags(Domain.SLOT, ...)",
    Sort.NUMBER_ARRAY: "numbers(Domain.SLOT, ...)",
}


class WordError(ValueError):
    """A word is not declared as it must be."""


def check_words(words: Iterable[Word], known: Mapping[str, Variable]) -> None:
    """Raise `WordError` if a word is not declared as it must be. `known`: the state's variables."""
    paths: dict[str, Word] = {}
    for word in words:
        try:
            if word.path in paths:
                raise WordError(f"{paths[word.path].place} declares a word of this name, too")
            paths[word.path] = word
            _Checked(word, known).check()
        except WordError as error:
            raise WordError(f"word {word.path} ({word.place}): {error}") from None
    for word in paths.values():
        for name in (name for order in word.after for name in order.words):
            if trouble := _cannot_wait_for(name, word, paths):
                raise WordError(f"word {word.path} ({word.place}): {trouble}")


def _cannot_wait_for(name: str, word: Word, paths: Mapping[str, Word]) -> str:
    """Why a store of the word cannot wait for another word; "" if it can."""
    path = f"{word.ring}.{name}"
    other = paths.get(path)
    if other is None:
        return f"after= names {path}, which is no word of the protocol{suggested(path, paths)}"
    if not other.buffered:
        return f"after= names {path}, which the host never stores"
    if other.pending != f"{name}_pending":
        return f"after= names {path}; call the flag that it is pending {name}_pending"
    return ""


class _Checked:
    """One word, and what it is checked against."""

    def __init__(self, word: Word, known: Mapping[str, Variable]) -> None:
        self.word = word
        self.known = known

    def check(self) -> None:
        """Raise `WordError` if something is wrong with the word alone."""
        word = self.word
        if not word.holds:
            raise WordError("holds= is empty; name the variables that hold it")
        sorts = [self._of_slots("holds", name) for name in word.holds]
        if word.buffered or word.pending:
            self._as_many("buffered", word.buffered)
            if not word.pending:
                raise WordError(
                    "buffered= needs pending=, the flag that a store is not visible yet"
                )
            for name, sort in zip(word.buffered, sorts, strict=True):
                self._is("buffered", name, sort)
            self._is("pending", word.pending, Sort.BOOL_ARRAY)
        elif word.after:
            raise WordError("after= orders stores, and the host never stores it: add buffered=")
        if word.exists:
            self._is("exists", word.exists, Sort.BOOL_ARRAY)
        if word.speculation is not None:
            self._is("speculation.flag", word.speculation.flag, Sort.BOOL)
            self._as_many("speculation.holds", word.speculation.holds)
            for name, sort in zip(word.speculation.holds, sorts, strict=True):
                self._is("speculation.holds", name, ELEMENT[sort])
        if word.lateness is not None:
            self._as_many("lateness.into", word.lateness.into)
            for name, sort in zip(word.lateness.into, sorts, strict=True):
                self._is_of_threads("lateness.into", name, sort)

    def _as_many(self, what: str, names: tuple[str, ...]) -> None:
        if len(names) != len(self.word.holds):
            raise WordError(
                f"{what}= names {', '.join(names) or 'nothing'}; it needs a variable for each of "
                f"{', '.join(self.word.holds)}"
            )

    def _sort(self, what: str, name: str, wanted: str) -> Variable:
        return self._known(what, f"{self.word.ring}.{name}", wanted)

    def _known(self, what: str, path: str, wanted: str) -> Variable:
        found = self.known.get(path)
        if found is None:
            raise WordError(
                f"{what}= names {path}, which is no variable of the state"
                f"{suggested(path, self.known) or f'; declare it with {wanted}'}"
            )
        return found

    def _of_slots(self, what: str, name: str) -> Sort:
        """The sort of a variable that holds the word."""
        wanted = f"{DECLARED[Sort.NUMBER_ARRAY]} or {DECLARED[Sort.BOOL_ARRAY]}"
        found = self._sort(what, name, wanted)
        if found.domain is not Domain.SLOT:
            raise WordError(
                f"{what}= names {self.word.ring}.{name}, which has no element for each slot; "
                f"declare it with {wanted}"
            )
        return found.sort

    def _is(self, what: str, name: str, sort: Sort) -> None:
        found = self._sort(what, name, DECLARED[sort])
        if found.sort is not sort or (sort.is_array and found.domain is not Domain.SLOT):
            raise WordError(f"{what}= names {found.name}; declare it with {DECLARED[sort]}")

    def _is_of_threads(self, what: str, path: str, sort: Sort) -> None:
        wanted = DECLARED[sort].replace("SLOT", "THREAD")
        found = self._known(what, path, wanted)
        if found.sort is not sort or found.domain is not Domain.THREAD:
            raise WordError(f"{what}= names {found.name}; declare it with {wanted}")
