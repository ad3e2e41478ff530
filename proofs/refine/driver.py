"""The driver's own classes over stand-ins: its function objects, and what they stand on.

What is put in place of what the lines would find: the containers of `proofs.refine.stand_ins`, the
machine of `proofs.refine.machine`, `len`, `range`, `enumerate`, `min`, `max`, `int` and `bytes`
where they meet numbers that are not known, and the packing of bytes, which stays outside of the
proof. The kernel in C is never there: these are the lines in Python.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

import impl
from engine.refine.explorer import Way
from engine.refine.values import Integer, Truth, greatest, least
from engine.table import Seen
from engine.terms import Number, constant, ring_size
from impl.memory import Purpose
from impl.settings import Settings
from model.layout import Ring
from proofs.refine.machine import Card, Memory, Threads
from proofs.refine.scene import Scene
from proofs.refine.stand_ins import (
    Bytes,
    Flags,
    Line,
    Numbers,
    Range,
    Same,
    Waiting,
    length_of,
    numbered,
)

__all__ = ["MODULES", "Code", "Driver", "is_driver", "load"]

MODULES: Final = ("packet", "ring", "controller", "lifecycle")
"""The modules of the driver that are run, each importing only those before it."""
ROOT: Final = Path(impl.__file__ or "").parent
PROVED: Final = frozenset(str(ROOT / f"{module}.py") for module in MODULES[1:])
"""The files whose lines are proved."""


def is_driver(name: str) -> bool:
    """Whether a file is one of those whose lines are proved."""
    return name in PROVED


@attrs.frozen(eq=False)
class Code:
    """The driver's modules, from the same source."""

    ring: types.ModuleType
    controller: types.ModuleType
    lifecycle: types.ModuleType


def load(sources: Mapping[str, str] | None = None) -> Code:
    """The driver's modules, with stand-ins for what they find; some from another source."""
    texts = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    texts.update(sources or {})
    names = [f"impl.{name}" for name in MODULES]
    present = {name: importlib.import_module(name) for name in names}
    made: dict[str, types.ModuleType] = {}
    try:
        for short, name in zip(MODULES, names, strict=True):
            path = str(ROOT / f"{short}.py")
            module = types.ModuleType(name)
            module.__file__ = path
            sys.modules[name] = module
            setattr(impl, short, module)
            exec(compile(texts[short], path, "exec"), module.__dict__)  # noqa: S102 - the driver's own
            made[short] = module
    finally:
        sys.modules.update(present)
        for name, module in present.items():
            setattr(impl, name.partition(".")[2], module)
    vars(made["ring"]).update(
        len=length_of,
        min=least,
        max=greatest,
        enumerate=numbered,
        int=lambda value: value if isinstance(value, Integer) else int(value),
        bytes=lambda value: value if isinstance(value, Bytes) else bytes(value),
        header_words=lambda data: (data.number, 0, 0),
        pack_addressed=lambda size, destination: Bytes(ADDRESSED_SIZE, "fields", size),
    )
    vars(made["controller"]).update(len=length_of)
    return Code(made["ring"], made["controller"], made["lifecycle"])


ADDRESSED_SIZE: Final = importlib.import_module("impl.packet").ADDRESSED.size
REST: Final = importlib.import_module("impl.packet").FIELDS.size - ADDRESSED_SIZE


@attrs.frozen
class _Bell:
    """The value that rings for slot 0 of a ring, to which a slot is added."""

    ring: Ring

    def __add__(self, slot: Integer) -> tuple[Ring, Number]:
        return self.ring, slot.term


def _kept_number(name: str) -> Any:
    """A number that the driver keeps, as an attribute."""

    def get(self: Any) -> Integer:
        self.scene.touch(name)
        return Integer(self.scene.way, self.scene.kept(name))

    def put(self: Any, value: Any) -> None:
        from engine.refine.values import number_of

        self.scene.touch(name)
        self.scene.keep(name, number_of(value))

    return property(get, put)


class Driver:
    """A controller whose fields are the scene's.

    Attributes:
        controller: The controller.
        lifecycle: What opens and closes it.
        buffers: The transmit buffers, which know the packet at hand.
    """

    def __init__(self, code: Code, way: Way, scene: Scene) -> None:
        vars(code.ring)["range"] = lambda begin, end: Range(scene, begin, end)
        self.scene = scene
        regions = {purpose: Memory(scene, purpose) for purpose in Purpose}
        self.buffers = regions[Purpose.TRANSMIT_BUFFERS]
        self.transmit_ring = regions[Purpose.TRANSMIT_RING]
        card, threads = Card(scene), Threads(scene)
        lives = list(code.controller.Life)

        def request_ring(kind: Any, name: str, region: Memory) -> Any:
            fields = {
                "scene": scene,
                "ring_name": name,
                "produced": _kept_number(f"{name}.produced"),
                "_consumed": _kept_number(f"{name}.consumed"),
                "waiters": Line(scene, name),
                "_waiting": Waiting(scene, name),
                "_octets": region,
                "_first_bell": _Bell(kind.kind),
                "slots": Integer(way, ring_size()),
                "_mask": Integer(way, ring_size() - 1),
                "_device": card,
                "_kernel": None,
                "_buffers": self.buffers,
                "_pointers": Same(scene, "pointers", REST),
            }
            made: Any = type(kind.__name__, (kind,), fields)
            return made.__new__(made)

        receive: Any = type(
            "ReceiveRing",
            (code.ring.ReceiveRing,),
            {
                "scene": scene,
                "waiters": Line(scene, "rx"),
                "_taken": Numbers(scene, "rx.taken"),
                "_held": Flags(scene, "rx.held"),
                "_octets": regions[Purpose.RECEIVE_RING],
                "_payloads": regions[Purpose.RECEIVE_BUFFERS],
                "_buffers": property(
                    lambda self: (
                        regions[Purpose.RECEIVE_BUFFERS]
                        if way.decide(scene.kept("rx.attached"))
                        else None
                    )
                ),
                "_restored": Same(scene, "pointers", REST + ADDRESSED_SIZE),
                "slots": Integer(way, ring_size()),
                "_mask": Integer(way, ring_size() - 1),
                "_device": card,
                "_kernel": None,
                "_bound_kernel": lambda self, turn: None,
            },
        )

        def life(_: Any) -> Any:
            scene.touch("the life of the card")
            order = ("OPEN", "CLOSING", "OPENING")
            for name in order:
                found = code.controller.Life[name]
                if way.decide(scene.kept("life") == lives.index(found)):
                    return found
            return code.controller.Life.CLOSED

        def lives_on(_: Any, value: Any) -> None:
            scene.touch("the life of the card")
            scene.keep("life", constant(lives.index(value)))

        def is_failed(_: Any) -> Truth:
            scene.touch("failed")
            return Truth(way, scene.kept("failed"))

        def failed(self: Any, value: Any) -> None:
            from engine.refine.values import truth_of

            scene.touch("failed")
            scene.keep("failed", truth_of(value))

        fields = {
            "scene": scene,
            "life": property(life, lives_on),
            "failed": property(is_failed, failed),
            "inside": _kept_number("inside"),
            "device": card,
            "runtime": threads,
            "failure": "the card failed",
            "commands": request_ring(code.ring.CommandRing, "cmd", regions[Purpose.COMMAND_RING]),
            "transmit": request_ring(code.ring.TransmitRing, "tx", self.transmit_ring),
            "receive": receive.__new__(receive),
            "_gone": False,
            "_served": {0, 1},
        }
        made: Any = type("Controller", (code.controller.Controller,), fields)
        controller = made.__new__(made)
        controller._turn = code.controller.Turn(
            none_waits=controller._show_that_none_waits,
            another_waits=controller._show_that_another_waits,
            unlock_soon=threads.unlock_soon,
            relock=threads.relock,
            next_call=controller._next_call,
            give_back=controller._give_back_again,
        )
        self.controller: Any = controller
        self.lifecycle: Any = self._lifecycle(code, controller, card, threads)

    def _lifecycle(self, code: Code, controller: Any, card: Card, threads: Threads) -> Any:
        """Opens and closes, up to where memory is freed, or the card started or reset."""
        scene = self.scene

        def elsewhere(*looks: Seen) -> Any:
            def end(*_: Any) -> NoReturn:
                scene.leave_to_others(*looks)

            return end

        fields = {
            "scene": scene,
            "_opens": _kept_number("opens"),
            "_controller": controller,
            "_device": card,
            "_runtime": threads,
            "_settings": Settings(),
            "_open_first": elsewhere(("arrive", "RST to FLAGS"), ("store", "tx.owner HOST")),
            "_recover": elsewhere(("arrive", "RST to FLAGS")),
            "_retire_packet_rings": elsewhere(("free", "")),
        }
        made: Any = type("Lifecycle", (code.lifecycle.Lifecycle,), fields)
        return made.__new__(made)
