"""What barriers do, in a proof: which accesses of the lines are not in order yet.

A barrier is no step of the specification. Where one is needed a step of *memory* has a guard
that it provides: an owner byte is visible only after the fields, a load is satisfied early only
behind an `acquire`. So memory as the machine has it, with the barriers that the lines execute,
must do no more than these guards allow. Of each kind of barrier it is noted what it has not put in
order:

* `unreleased`: stored, and no `release()` since. When an owner byte is stored, the guards of the
  step that makes it visible must hold though everything unreleased comes later.
* `unposted`: stored, and no `before_register_write()` since; so for a doorbell.
* `unread`: loaded from a buffer, and no `release_loads()` since. It must be nothing when the slot
  is given back.
* `windows`: all moments since the last `acquire()`, the lock, or the load before of the same word:
  the load that comes may have been satisfied at any of them. At each the specification must allow
  that, of the same slot, and keep the value until the load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engine.induction import fresh
from engine.terms import (
    FALSE,
    TRUE,
    And,
    Array,
    Bool,
    Implies,
    Number,
    Sort,
    Term,
    select,
    substitute,
    symbol,
)
from engine.weak_memory import speculation_name, visible_name
from engine.words import Word
from model.state import State
from model.system import DUCT
from model.words import WORDS

if TYPE_CHECKING:
    from proofs.refine.scene import Scene

__all__ = ["BY_PATH", "Orders"]

BARRIERS: Final = "barriers"
BY_PATH: Final = {word.path: word for word in WORDS}
SPECULATED: Final = tuple(word for word in WORDS if word.speculation is not None)
"""Words whose loads may be satisfied early."""
STORED: Final = tuple(word for word in WORDS if word.buffered)


def _nowhere() -> Term:
    array: Array[Bool] = Array(symbol("nowhere", Sort.BOOL_ARRAY))
    array.fill(False)
    return array.term


def _marked(array: Term, slot: Number) -> Term:
    marks: Array[Bool] = Array(array)
    marks[slot] = True
    return marks.term


class Orders:
    """What is not in order yet."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.unreleased = {word.path: _nowhere() for word in STORED}
        self.unposted = {word.path: _nowhere() for word in STORED}
        self.unread = {word.path: _nowhere() for word in WORDS if word.lateness is not None}
        self.windows: dict[str, list[tuple[Bool, Number]]] = {word.path: [] for word in SPECULATED}

    # Barriers

    def release(self) -> None:
        """The barrier is executed."""
        self.unreleased = dict.fromkeys(self.unreleased, _nowhere())

    def before_register_write(self) -> None:
        """The barrier is executed."""
        self.unposted = dict.fromkeys(self.unposted, _nowhere())

    def release_loads(self) -> None:
        """The barrier is executed."""
        self.unread = dict.fromkeys(self.unread, _nowhere())

    def acquire(self) -> None:
        """The barrier is executed."""
        self.windows = {path: [] for path in self.windows}

    # Accesses

    def stored(self, path: str, slot: Number) -> None:
        """A store is issued."""
        for marks in (self.unreleased, self.unposted):
            marks[path] = _marked(marks[path], slot)

    def check_store(self, path: str, slot: Number) -> None:
        """Nothing that must be visible before a word may come later."""
        scene, word = self._scene, BY_PATH[path]
        step = scene.setting.steps[visible_name(word)]
        pending = {
            symbol(f"{name.partition('.')[0]}.{BY_PATH[name].pending}", Sort.BOOL_ARRAY): marks
            for name, marks in self.unreleased.items()
        }
        for part in step.guards:
            if part.barrier:
                claim = substitute(part.condition, {**pending, symbol("?k", Sort.NUMBER): slot})
                scene.way.prove(
                    BARRIERS,
                    scene.beside.now(claim),
                    f"nothing provides '{part.name}', which {step.rule.name} relies on",
                )
        for other in WORDS:
            if other.lateness is not None and word.synchronises and other.ring == word.ring:
                scene.way.prove(
                    BARRIERS,
                    ~select(self.unread[other.path], slot),  # type: ignore[operator]
                    f"nothing provides '{other.lateness.barrier}', which {other.path}_late "
                    "relies on",
                )

    def check_doorbell(self, ring: str) -> None:
        """No owner byte may be visible only after the doorbell arrives."""
        scene = self._scene
        step = scene.setting.steps[f"{ring}.doorbell_arrives"]
        (barrier,) = (part for part in step.guards if part.barrier)
        anywhere = fresh("slot")
        scene.way.prove(
            BARRIERS,
            ~select(self.unposted[f"{ring}.owner"], anywhere),  # type: ignore[operator]
            f"nothing provides '{barrier.name}', which {step.rule.name} relies on",
        )

    def loaded(self, path: str, slot: Number) -> None:
        """A load, which may be satisfied late, is issued."""
        self.unread[path] = _marked(self.unread[path], slot)

    def check_load(self, path: str, slot: Number) -> None:
        """Wherever a load may have been satisfied the specification allows that."""
        word = BY_PATH[path]
        if word.speculation is None:
            return
        entries, self.windows[path] = self.windows[path], []
        claim = And(*(allowed & (place == slot) for allowed, place in entries))
        self._scene.way.prove(
            BARRIERS,
            claim,
            f"nothing provides '{word.speculation.barrier}', which {speculation_name(word)} "
            f"relies on: the load of {path} may be satisfied too early",
        )

    def passes(self) -> None:
        """A moment passes: a load that comes later may be satisfied now."""
        for word in SPECULATED:
            allowed, slot = _may_be_early(word)
            now = self._scene.beside.now
            self.windows[word.path].append((now(allowed), now(slot)))

    def after_step(self, rule: str, before: dict[str, Term]) -> None:
        """A step is taken: it may discard what was loaded early."""
        updates = self._scene.setting.steps[rule].updates
        for word in SPECULATED:
            ahead = word.speculation
            assert ahead is not None
            name = f"{word.ring}.{ahead.flag}"
            if name in updates and self.windows[word.path]:
                values: dict[Term, Term] = {symbol(key, t.sort): t for key, t in before.items()}
                values[symbol("?t", Sort.NUMBER)] = self._scene.beside.thread
                values[symbol(name, Sort.BOOL)] = TRUE
                stays: Any = substitute(updates[name], values)
                self.windows[word.path] = [
                    (allowed & stays, slot) for allowed, slot in self.windows[word.path]
                ]

    # Where all goes on from any state

    def generalise(self) -> tuple[tuple[str, bool], ...]:
        """Forget what was before: anything may be out of order but what is shown not to be.

        Returns the words of which no load can have been satisfied too early so far; and whether
        that is so only where a load may be satisfied now.
        """
        way = self._scene.way
        good = []
        for word in SPECULATED:
            allowed, place = map(self._scene.beside.now, _may_be_early(word))
            fine = And(*(early & (slot == place) for early, slot in self.windows[word.path]))
            if way.knows(Implies(allowed, fine)):
                good.append((word.path, not way.knows(fine)))
        return tuple(good)

    def begin_anew(self, good: tuple[tuple[str, bool], ...]) -> None:
        """Anything may be out of order, but for these words' loads."""
        serial = self._scene.way.number

        def anywhere(_: Any) -> Term:
            return symbol(f"out of order#{serial()}", Sort.BOOL_ARRAY)

        for marks in (self.unreleased, self.unposted, self.unread):
            marks.update({path: anywhere(path) for path in marks})
        kinds = dict(good)
        for path in self.windows:
            allowed, place = map(self._scene.beside.now, _may_be_early(BY_PATH[path]))
            now = [(allowed if path in kinds else FALSE, place)]
            self.windows[path] = now if kinds.get(path, True) else []


_EARLY: Final[dict[str, tuple[Bool, Number]]] = {}


def _may_be_early(word: Word) -> tuple[Bool, Number]:
    """Whether the specification allows a load to be satisfied early, and of which slot it is."""
    if word.path not in _EARLY:
        ahead, s = word.speculation, DUCT.symbols
        assert ahead is not None
        assert isinstance(s, State)
        _EARLY[word.path] = And(ahead.behind(s), ahead.window(s)), ahead.slot(s)
    return _EARLY[word.path]
