"""What stands in for the driver's containers and bytes, with no more methods than its lines use.

Tests hold each against the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from engine.refine.values import Integer, Truth, low, number_of, truth_of
from engine.terms import And, Array, Bool, If, Number, Sort, constant, ring_size, select, symbol
from model.state import NOBODY

if TYPE_CHECKING:
    from proofs.refine.scene import Scene

__all__ = [
    "Bytes",
    "Flags",
    "Line",
    "Numbers",
    "Range",
    "Returned",
    "Same",
    "Waiting",
    "length_of",
    "numbered",
]

BOUNDS = "bounds"


def in_ring(scene: Scene, index: Any) -> Number:
    """The term that an index is, shown to be a slot's."""
    place = number_of(index)
    claim = And(constant(0) <= place, place < ring_size())
    scene.way.prove(BOUNDS, claim, "an index is none of a slot")
    return place


@attrs.frozen(eq=False)
class Bytes:
    """Bytes that stay outside of the proof: how many they are, and what they are.

    Attributes:
        size: Their number.
        what: What they say, where something depends on it.
        number: A number in them, likewise.
    """

    size: Any
    what: str = ""
    number: Any = None

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.size + other.size, self.what or other.what, self.number)


def length_of(thing: Any) -> Any:
    """What `len` is on the things of this file."""
    return (
        thing.length
        if isinstance(thing, Batch)
        else thing.size
        if isinstance(thing, Bytes)
        else len(thing)
    )


@attrs.frozen(eq=False)
class Batch:
    """What a call is given to do, one after the other: any number of items.

    Attributes:
        length: How many.
        item: Gives the item of a number.
    """

    length: Integer
    item: Any

    def __getitem__(self, number: Any) -> Any:
        return self.item(number)


class Waiting:
    """`_waiting`: by slot the request that is told of its completion, or None.

    A request stands for the thread that waits for it. A thread waits for one at a time, which it
    makes when its call begins: that no slot has one of a call that has ended follows from the
    relation, and is proved where calls end.
    """

    def __init__(self, scene: Scene, ring: str) -> None:
        self._scene = scene
        self._name = f"{ring}.waiting"

    def __getitem__(self, index: Any) -> Any:
        scene = self._scene
        scene.touch("a list of requests")
        if isinstance(index, slice):
            return Part(scene, self, index.start, index.stop)
        thread = scene.kept_at(self._name, in_ring(scene, index))
        if scene.way.decide(thread == NOBODY):
            return None
        if scene.request is not None and scene.way.decide(thread == scene.thread):
            return scene.request
        return Others(scene, thread)

    def __setitem__(self, index: Any, request: Any) -> None:
        scene = self._scene
        scene.touch("a list of requests")
        if request is not None:
            scene.request = request  # what the thread waited for before is over
        scene.keep_at(
            self._name, in_ring(scene, index), NOBODY if request is None else scene.thread
        )


@attrs.define(eq=False)
class Part:
    """A slice of `_waiting`, up to a number that may lie beyond its end."""

    scene: Scene
    waiting: Waiting
    begin: Any
    end: Any

    def __add__(self, rest: Part) -> Returned:
        """The requests of so many slots from the oldest on: up to the ring's end, and from 0 on."""
        count = number_of(self.end) - number_of(self.begin)
        over = number_of(self.end) - ring_size()
        oldest = low(self.scene.kept("tx.told"))
        claim = And(
            in_ring(self.scene, self.begin) == oldest,
            constant(0) <= count,
            count <= ring_size(),
            number_of(rest.end) == If(over < 0, 0, over),
        )
        self.scene.way.prove(
            BOUNDS, claim if rest.begin is None else ~And(), "not the slots returned"
        )
        return Returned(self.scene, self.waiting, Integer(self.scene.way, count))


@attrs.define(eq=False)
class Returned:
    """The requests of the slots that were found to be returned, the oldest first.

    Their number is not known, so what is done with each is done with any of them: up to `told`.
    """

    scene: Scene
    waiting: Waiting
    size: Integer

    def count(self, what: None) -> Integer:
        """How many there are that nobody waits for: it is only asked whether that is all."""
        assert what is None
        scene = self.scene
        scene.begin_telling(self.size)
        if scene.way.choose((True, False)):
            some: Any = symbol(f"some#{scene.way.number()}", Sort.NUMBER)
            scene.way.assume(And(constant(0) <= some, some < self.size.term))
            return Integer(scene.way, some)
        for _, request in Telling(self, None):
            if request is not None:
                scene.way.end("done")  # then it is not all of them
        return self.size


class Telling:
    """The requests, each with the number of its slot: each turn of the loop is any.

    What is read is what stands in the list now: the slots whose turn is still to come were not
    stored to since it was copied.
    """

    def __init__(self, returned: Returned, start: Any) -> None:
        self._returned = returned
        self._now: Integer | None = None
        scene = returned.scene
        self._where = "nobody is told" if start is None else "who waits is told"
        if start is not None:
            same = number_of(start) == scene.kept("tx.told")
            scene.way.prove(BOUNDS, same, "the slots are not counted from the oldest on")

    def __iter__(self) -> Iterator[tuple[Integer, Any]]:
        return self

    def __next__(self) -> tuple[Integer, Any]:
        scene = self._returned.scene
        if self._now is not None:
            scene.keep("tx.told", self._now.term + 1)
        told = scene.kept("tx.told")
        if not scene.way.decide(told < scene.kept("tx.scanned")):
            raise StopIteration
        self._now = Integer(scene.way, told)
        scene.tell_next(self._now, self._returned.size, self._where)
        return self._now, self._returned.waiting[Integer(scene.way, low(self._now.term))]


def numbered(things: Any, start: Any) -> Any:
    """What `enumerate` is on the things of this file."""
    return Telling(things, start) if isinstance(things, Returned) else enumerate(things, start)


class Others:
    """Another caller's request, which is told something."""

    _scene: Scene
    thread: Number

    def __init__(self, scene: Scene, thread: Number) -> None:
        object.__setattr__(self, "_scene", scene)
        object.__setattr__(self, "thread", thread)

    def __setattr__(self, name: str, value: Any) -> None:
        term = truth_of(value) if name == "done" else number_of(value)
        self._scene.keep_at(name, self.thread, term)


class Flags:
    """An array of truth values by slot, such as `_held`."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name

    def __getitem__(self, index: Any) -> Truth:
        self._scene.touch(self._name)
        return Truth(self._scene.way, self._scene.kept_at(self._name, in_ring(self._scene, index)))

    def __setitem__(self, index: Any, value: bool) -> None:
        self._scene.touch(self._name)
        self._scene.keep_at(self._name, in_ring(self._scene, index), value)


class Numbers:
    """An array of one number, such as `_taken`."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name

    def __getitem__(self, index: int) -> Integer:
        assert index == 0
        self._scene.touch(self._name)
        return Integer(self._scene.way, self._scene.kept(self._name))

    def __setitem__(self, index: int, value: Any) -> None:
        assert index == 0
        self._scene.touch(self._name)
        self._scene.keep(self._name, number_of(value))


@attrs.frozen(eq=False)
class Same:
    """A list whose element for each slot are bytes about that slot."""

    scene: Scene
    what: str
    size: int

    def __getitem__(self, index: Any) -> Bytes:
        return Bytes(self.size, self.what, in_ring(self.scene, index))


class Line:
    """A deque of places: those from `head` to `next` that were not given up, in this order.

    `head` is one of them, if there is one. A place is an object of the thread that waits there.
    """

    def __init__(self, scene: Scene, ring: str) -> None:
        self._scene = scene
        self._ring = ring

    def _kept(self, name: str) -> Any:
        return self._scene.kept(f"{self._ring}.{name}")

    def append(self, place: object) -> None:
        """Take the last place."""
        scene, ring = self._scene, self._ring
        scene.touch("a queue of callers")
        end = self._kept("next")
        scene.places.append((place, ring, end))
        scene.keep_at(f"{ring}.who", end, scene.thread)
        scene.keep_at(f"{ring}.gone", end, False)
        scene.keep(f"{ring}.next", end + 1)

    def __bool__(self) -> bool:
        self._scene.touch("a queue of callers")
        return self._scene.way.decide(self._kept("head") != self._kept("next"))

    def __getitem__(self, index: int) -> object:
        assert index == 0
        if not self:
            raise IndexError("deque index out of range")
        for place, ring, term in self._scene.places:
            if ring == self._ring and self._scene.way.decide(self._kept("head") == term):
                return place
        return object()

    def remove(self, place: object) -> None:
        """Leave the line: the last place is there no more, another one is given up."""
        scene, ring = self._scene, self._ring
        scene.touch("a queue of callers")
        (mine,) = (term for known, of, term in scene.places if known is place and of == ring)
        head, end = self._kept("head"), self._kept("next")
        there: Bool = And(head <= mine, mine < end, ~select(self._kept("gone"), mine))  # type: ignore[operator]
        scene.way.prove(BOUNDS, there, "deque.remove(x): x not in deque")
        scene.places = [item for item in scene.places if item[0] is not place]
        last: Bool = mine + 1 == end
        gone: Array[Bool] = Array(self._kept("gone"))
        gone[mine] = ~last
        end = If(last, mine, end)
        scene.keep(f"{ring}.gone", gone.term)
        scene.keep(f"{ring}.next", end)
        scene.keep(f"{ring}.head", scene.first_present(head, end, gone.term))


class Range:
    """Numbers one after the other, of which the last is not known: each turn of the loop is any."""

    def __init__(self, scene: Scene, begin: Any, end: Any) -> None:
        self._scene = scene
        self._begin = begin
        self._now: Integer | None = None
        self.end = end

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        scene = self._scene
        # The number at hand is one of the loop's variables, and may have become any since.
        following = number_of(self._begin) if self._now is None else self._now.term + 1
        if not scene.way.decide(following < number_of(self.end)):
            raise StopIteration
        if scene.unrolled and following.operation == "constant":
            self._now = Integer(scene.way, following)
            return following.value
        scene.number = self._now = Integer(scene.way, following)
        if scene.cuts_turns:
            scene.turn(self._now, self, "a turn of a loop")
        return self._now
