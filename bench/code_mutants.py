"""Whether the proof of the driver's lines notices that it is changed itself.

Each change makes the proof do less: a barrier is not noted, what is stored is not looked at, a
branch is not gone. It is noticed if the driver's own lines are not proved any more, or if a fault
that the proof refutes is not refuted any more (`bench.code_faults` would say so). For each change
one of the two is named, and tried.

Exit status: 0 all are noticed; 1 one is not; 2 the command line is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs

from bench.code_faults import changed as source_of
from bench.code_faults import explored
from bench.named import options
from engine.refine import beside, explorer, knowledge
from proofs.refine import machine, orders, scene, stand_ins
from proofs.refine.calls import CALLS, prove
from proofs.refine.driver import load
from proofs.refine.obligations import KINDS, verdict
from properties.driver_source import SourceChange

__all__ = ["CHANGES", "Change", "changed", "main", "noticed"]


@attrs.frozen
class Change:
    """A part of the proof that does less.

    Attributes:
        name: What is changed.
        where: The class or module.
        what: Its attribute.
        instead: What that becomes.
        hides: The fault that is not refuted any more, one of the driver's or some changes of its
            source; "" if the driver's own lines are not proved.
        call: The call of these lines.
    """

    name: str
    where: Any
    what: str
    instead: Any
    hides: str | tuple[SourceChange, ...] = ""
    call: str = "change_filter"


def nothing(*_: Any, **__: Any) -> None:
    """Does nothing."""


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _without(*names: str) -> tuple[Any, ...]:
    """The relation without some of its parts."""
    return tuple(item for item in scene.RELATION if item.name not in names)


def _first_seen_only(self: Any, *_: Any, **__: Any) -> None:
    self.way.end("cut")


def _believes(self: Any, name: str, *, assumed: bool = False, **parameters: Any) -> None:
    _FIRE(self, name, assumed=True, **parameters)


def _ends(self: Any, *_: Any) -> None:
    self.way.end("done")


_FIRE: Final = beside.Beside.fire
_STEP: Final = scene.Scene.step


def _any_slot(self: Any, seen: Any, slot: Any = None) -> str:
    return _STEP(self, seen)


_FILL_IN: Final = "        self._octets[begin : begin + len(contents)] = contents\n"
_RELEASE: Final = "        self._device.release()\n        self._octets[slot * self.slot_size"
EARLY_RELEASE: Final = (
    SourceChange("ring", _FILL_IN, f"        self._device.release()\n{_FILL_IN}"),
    SourceChange("ring", _RELEASE, _RELEASE.partition("\n")[2]),
)
"""The barrier in front of a command's owner byte is executed before the fields are stored."""

_BEGIN: Final = "        begin = self.next_slot * self.slot_size"
WRONG_SLOT: Final = (SourceChange("ring", _BEGIN, _BEGIN.replace("next_slot", "last_slot")),)
"""A command is stored to the slot before its own."""

_LENGTH: Final = "pack_addressed(packet.size, packet.destination)"
WRONG_LENGTH: Final = (SourceChange("ring", _LENGTH, _LENGTH.replace("packet.size", "1")),)
"""The card is told that a packet has one byte."""
_LEAVES: Final = """\
            self.runtime.wake(WaitQueue.LIFE)
        self.runtime.unlock()
"""
LOOKS_UNLOCKED: Final = (
    SourceChange("controller", _LEAVES, f"{_LEAVES}        if self.failed:\n            pass\n"),
)
"""Who has left looks whether the card failed, without the lock."""

_LOOP: Final = """\
        while True:
            self._check(wait)
            if ring.waiters[0] is place and """
_WAKE: Final = "            self.show_writable()\n            self._sleep(queue, wait)\n"
UNBOUNDED_ONCE_WOKEN: Final = (
    SourceChange(
        "controller",
        f"{_LOOP}ring.room:",
        "        woken = False\n"
        "        if ring.slots == 1:\n"
        "            pass\n"
        f"{_LOOP}(ring.room or woken and ring.slots != 1):",
    ),
    SourceChange("controller", _WAKE, f"{_WAKE}            woken = True\n"),
    SourceChange("ring", "min(last + 1, begin + self.room)", "last + 1"),
)
"""Commands are put into slots that are not free, of rings of more than one slot by who has slept;
who has not looks at the size."""

_ACQUIRE: Final = "        self.device.acquire()\n        for ring, queue in ("
UNORDERED_BEFORE_A_LOOP: Final = (
    SourceChange(
        "controller",
        _ACQUIRE,
        "        if not self.commands.outstanding:\n    " + _ACQUIRE,
    ),
)
"""Event flags and owner bytes are not in order where commands are looked for in a loop."""

BARRIERS: Final = (
    Change("a release is not noted", orders.Orders, "release", nothing),
    Change(
        "a barrier before a doorbell is not noted", orders.Orders, "before_register_write", nothing
    ),
    Change("an acquire is not noted", orders.Orders, "acquire", nothing, call="peek"),
    Change(
        "a barrier behind loads is not noted",
        orders.Orders,
        "release_loads",
        nothing,
        call="receive_view",
    ),
    Change("stores are not noted", orders.Orders, "stored", nothing, EARLY_RELEASE),
    Change("moments are not noted", orders.Orders, "passes", nothing, "no-barrier-cmd-result"),
    Change(
        "owner bytes are not checked",
        orders.Orders,
        "check_store",
        nothing,
        "no-barrier-cmd-fields",
    ),
    Change(
        "doorbells are not checked",
        orders.Orders,
        "check_doorbell",
        nothing,
        "no-barrier-cmd-doorbell",
    ),
    Change(
        "a loop takes all loads before it to be in order",
        orders.Orders,
        "generalise",
        lambda _: tuple((word.path, False) for word in orders.SPECULATED),
        UNORDERED_BEFORE_A_LOOP,
        call="serve_events",
    ),
    Change(
        "early loads are not checked", orders.Orders, "check_load", nothing, "no-barrier-cmd-result"
    ),
)
"""Of what is noted of barriers."""
STEPS: Final = (
    Change("others stand still", scene.Scene, "others_move", nothing, "no-barrier-cmd-result"),
    Change("guards are believed", beside.Beside, "fire", _believes, "opens-together"),
    Change(
        "what is left to others is not asked of the specification",
        scene.Scene,
        "leave_to_others",
        _ends,
        "rx-before-start",
        call="close",
    ),
    Change("any slot is the right one", scene.Scene, "step", _any_slot, WRONG_SLOT),
    Change(
        "what is stored is not looked at",
        scene.Scene,
        "check_contents",
        nothing,
        WRONG_LENGTH,
        call="send",
    ),
    Change(
        "all may be touched without the lock",
        scene.Scene,
        "touch",
        nothing,
        LOOKS_UNLOCKED,
        call="peek",
    ),
)
"""Of what is a step."""
RELATED: Final = (
    Change(
        "the relation is not checked", scene.Scene, "check_relation", nothing, "failure-not-noted"
    ),
    Change("nothing is related", scene, "RELATION", ()),
    Change("no counters", scene, "RELATION", _without("cmd.driver.counters")),
    Change(
        "nobody waits for a slot",
        scene,
        "RELATION",
        _without("cmd.driver.waiting", "cmd.driver.told"),
    ),
    Change("no life", scene, "RELATION", _without("driver.life"), "failure-not-noted"),
    Change(
        "nobody is woken",
        scene,
        "RELATION",
        _without(*(f"driver.woken.{name}" for name in ("SENDERS", "COMMANDS", "READERS", "LIFE"))),
        "completion-not-woken",
    ),
    Change(
        "pollers see anything",
        scene,
        "RELATION",
        _without("driver.readable", "driver.writable"),
        "pollers-not-told",
    ),
    Change("a wake-up wakes nobody", scene.Scene, "wake", nothing, call="serve_fatal"),
    Change(
        "what pollers are shown is lost",
        machine.Threads,
        "set_readable",
        nothing,
        call="serve_fatal",
    ),
)
"""Of the relation."""
WAYS: Final = (
    Change("a place that is come to is never gone on from", scene.Scene, "cut", _first_seen_only),
    Change("of two ways one is gone", explorer.Way, "choose", lambda self, options: options[0]),
    Change(
        "one way's conditions are known on all that come to its place",
        knowledge.Knowledge,
        "forget",
        nothing,
        UNBOUNDED_ONCE_WOKEN,
    ),
    Change("one branch is gone", explorer.Way, "copy", _always(False)),
    Change("what is not proved is passed over", explorer.Way, "fail", nothing, "failure-not-noted"),
    Change("nobody leaves a line", stand_ins.Line, "remove", nothing),
)
"""Of the ways, and of what stands in for the driver's containers."""
CHANGES: Final = {item.name: item for item in (*BARRIERS, *STEPS, *RELATED, *WAYS)}
"""All of them, by name."""


@contextmanager
def changed(item: Change) -> Iterator[None]:
    """The proof with the change."""
    own = vars(item.where).get(item.what, nothing)
    setattr(item.where, item.what, item.instead)
    try:
        yield
    finally:
        if own is nothing:
            delattr(item.where, item.what)
        else:
            setattr(item.where, item.what, own)


def noticed(item: Change) -> str:
    """What notices the change; "" if nothing does."""
    with changed(item):
        call = CALLS[item.call]
        if isinstance(item.hides, tuple):
            found = prove(call, load(source_of(item.hides)), first_failure=True)
            return "" if found.failures else "a fault is not refuted any more"
        if item.hides:
            return "" if explored(item.hides).failures else f"{item.hides} is not refuted any more"
        found = prove(call, load(), first_failure=True)
        if found.failures:
            first = found.failures[0]
            return f"code/{item.call}/{first.kind}: {first.message}"
        for kind in KINDS:
            result, detail = verdict(call, kind, found)
            if result != "proved":
                return f"code/{item.call}/{kind}: {detail.splitlines()[0]}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the changes; returns the exit status."""
    names = options("bench.code_mutants", __doc__, "CHANGE", CHANGES, arguments)
    missed = 0
    for number, name in enumerate(names, 1):
        says = noticed(CHANGES[name])
        missed += not says
        print(f"[{number}/{len(names)}] {name}: {says or 'NOT noticed'}", flush=True)
    print(f"{len(names) - missed} of {len(names)} changes are noticed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
