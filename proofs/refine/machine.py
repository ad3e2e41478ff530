"""What the driver's lines speak to: memory, card, threads. Each word is an obligation."""

from __future__ import annotations

from typing import Any, Final

import attrs

from engine.refine.values import Address, Integer, number_of, truth_of
from engine.terms import And, If, Sort, constant, one_of, ring_size, symbol
from impl.interruption import Interruption
from impl.memory import Purpose
from impl.runtime import CancelledError, ExpiredError, WaitQueue
from judge.words import StrayAccessError, touched
from model.layout import (
    COMMAND_SLOT,
    DBELL,
    FLAGS,
    LIMITS,
    PACKET_SLOT,
    RST,
    TRANSMIT_RING,
    Owner,
    Register,
)
from model.state import Flags, Label, Result
from proofs.refine.orders import BY_PATH
from proofs.refine.scene import BOUNDS, Scene
from proofs.refine.stand_ins import Bytes

__all__ = ["Card", "Memory", "Packet", "Signal", "Threads"]

BUFFER: Final = LIMITS.buffers * LIMITS.page_size
UNITS: Final = {
    Purpose.TRANSMIT_RING: PACKET_SLOT.size,
    Purpose.RECEIVE_RING: PACKET_SLOT.size,
    Purpose.COMMAND_RING: COMMAND_SLOT.size,
    Purpose.TRANSMIT_BUFFERS: BUFFER,
    Purpose.RECEIVE_BUFFERS: BUFFER,
}
"""What each region is an array of, in bytes."""
ERROR_BITS: Final = 0xFFFF_FFFF & ~RST.mask
"""A value of FLAGS that names errors."""
RINGS: Final = {
    Purpose.TRANSMIT_RING: "tx",
    Purpose.TRANSMIT_BUFFERS: "tx",
    Purpose.RECEIVE_RING: "rx",
    Purpose.RECEIVE_BUFFERS: "rx",
    Purpose.COMMAND_RING: "cmd",
}


class Signal(Exception):  # noqa: N818 - what a signal handler raises need not be an error
    """What a signal handler raises in a sleeping call."""


@attrs.define(eq=False)
class Packet:
    """The packet whose payload is being stored: how much of it is, and where its two words are.

    Attributes:
        size: Its bytes.
        middle: Where the late word begins: any byte, for the two words are any two.
        stored: How many of them are stored.
    """

    size: Any
    middle: Any
    stored: Any
    words: set[str] = attrs.field(factory=set)


@attrs.frozen(eq=False)
class Bits:
    """What a register says, of which nothing is relied on: any bits may be set."""

    scene: Scene

    def __and__(self, _: Any) -> Integer:
        way = self.scene.way
        bits: Any = symbol(f"bits#{way.number()}", Sort.NUMBER)
        return Integer(way, bits)


class Memory:
    """A region, in single bytes and in slices."""

    def __init__(self, scene: Scene, purpose: Purpose) -> None:
        self._scene = scene
        self._purpose = purpose
        self.ring = RINGS[purpose]
        self.packet: Packet | None = None

    @property
    def octets(self) -> Memory:
        """The same, as rings have it."""
        return self

    def view(self, begin: Address, size: Any) -> Bytes:
        """The payload where the card wrote it; who has it may read it from now on."""
        return self._load_payload(begin, size)

    # How an access is written

    def __getitem__(self, place: Any) -> Any:
        begin, size = self._span(place, None)
        if self._purpose in (Purpose.TRANSMIT_BUFFERS, Purpose.RECEIVE_BUFFERS):
            return self._load_payload(begin, size)
        (path,) = self._words(begin, size, stores=False)
        return self._load(path, begin)

    def __setitem__(self, place: Any, value: Any) -> None:
        begin, size = self._span(place, value)
        if self._purpose in (Purpose.TRANSMIT_BUFFERS, Purpose.RECEIVE_BUFFERS):
            self._store_payload(begin, size)
            return
        (path,) = self._words(begin, size, stores=True)
        self._store(path, begin, value)

    def _span(self, place: Any, value: Any) -> tuple[Address, Any]:
        scene = self._scene
        begin = place.start if isinstance(place, slice) else place
        if not isinstance(begin, Address) or begin.unit != UNITS[self._purpose]:
            scene.way.fail(BOUNDS, f"{begin!r} is no place in the {self._purpose.value}")
        there = And(constant(0) <= begin.place, begin.place < ring_size())
        scene.way.prove(BOUNDS, there, f"an access leaves the {self._purpose.value}")
        alive = scene.kept(f"{self.ring}.attached")
        scene.way.prove(BOUNDS, alive, f"the {self._purpose.value} is accessed, and may be freed")
        if not isinstance(place, slice):
            return begin, 1
        assert place.stop.place is begin.place
        size = Integer(scene.way, place.stop.offset - begin.offset)
        if value is not None:
            given = value.size if isinstance(value, Bytes) else len(value)
            scene.way.prove(BOUNDS, size.term == number_of(given), "a store of another size")
        return begin, size

    def _words(self, begin: Address, size: Any, *, stores: bool) -> tuple[str, ...]:
        way = self._scene.way
        offset, count = begin.offset, number_of(size)
        if offset.operation != "constant" or count.operation != "constant":
            way.fail(BOUNDS, "an access to a ring whose place in the slot is not known")
        try:
            (piece,) = touched(self._purpose, offset.value, count.value, stores=stores, payload=0)
        except StrayAccessError as error:
            way.fail("steps", str(error))
        return piece.words

    # Slots

    def _store(self, path: str, begin: Address, value: Any) -> None:
        scene, slot = self._scene, begin.place
        if path.endswith(".owner"):
            name = {int(Owner.HOST): "HOST", int(Owner.DEVICE): "DEVICE"}.get(value, repr(value))
            scene.way.say(f"store {path} = {name}")
            seen = ("store", f"{path} {name}")
            scene.access(seen)
            if self.packet is not None:
                scene.way.prove(
                    "steps",
                    number_of(self.packet.stored) == number_of(self.packet.size),
                    "the slot is handed over, and not all of the packet is stored",
                )
            scene.step(seen, slot)
            scene.orders.check_store(path, slot)
            scene.orders.stored(path, slot)
            return
        scene.way.say(f"store {path}")
        if path == "rx.pointer":
            own = value.what == "pointers" and value.number is not None
            scene.way.prove(
                "steps",
                value.number == slot if own else ~And(),
                "a receive slot does not get its own buffers again",
            )
            self._refill(slot)
            return
        seen = ("store", path)
        scene.access(seen)
        scene.check_contents(path, value)
        scene.step(seen, slot)
        scene.orders.stored(path, slot)

    def _refill(self, slot: Any) -> None:
        """The pointers of a slot that is held; the step is taken with the request for the lock.

        The specification has no step between the two, and the store is seen by nobody before that.
        """
        scene = self._scene
        if scene.locked or scene.refilled is not None:
            scene.way.fail("steps", "a receive slot is stored to with the lock, or again")
        scene.refilled = slot
        scene.orders.stored("rx.pointer", slot)

    def _load(self, path: str, begin: Address) -> Any:
        scene, slot = self._scene, begin.place
        word = BY_PATH[path]
        scene.way.say(f"load {path}")
        if path == "rx.header" and scene.kept_lock and scene.beside.pc() == Label.EXIT:
            scene.next_call_at_once()
        looks = [("load", f"{path} {name}".strip()) for name in word.values.values() or ("",)]
        if path in ("tx.owner", "cmd.owner") and scene.holds_lock:
            scene.beside.approach(*looks)
            slot = scene.look(self.ring, slot)
        scene.access(*looks)
        scene.orders.check_load(path, slot)
        values = scene.seen_by_host(word, slot)
        if path.endswith(".owner"):
            device = scene.way.decide(values[0])
            scene.step(("load", f"{path} {'DEVICE' if device else 'HOST'}"), slot)
            scene.packet_there = path == "rx.owner" and not device and scene.packet_waits()
            # Whatever is not HOST is not: a byte that names nobody says nothing.
            return scene.other_than_host() if device else int(Owner.HOST)
        scene.step(("load", path), slot)
        if path == "rx.header":
            length = values[1]
            scene.way.assume(And(constant(0) <= length, length < constant(1 << 32)))
            return Bytes(begin, "header", Integer(scene.way, length))
        assert path == "cmd.status"
        refused = one_of(values[1], (Result.ENOSPC, Result.ENOENT))
        byte = If(values[1] == Result.OK, 0, If(refused, 1, 2))
        return Integer(scene.way, byte)

    # Payloads

    def _store_payload(self, begin: Address, size: Any) -> None:
        scene, packet = self._scene, self.packet
        assert packet is not None
        first, last = begin.offset, begin.offset + number_of(size)
        scene.way.say("store payload")
        scene.way.prove("steps", first == packet.stored, "bytes are left out, or stored twice")
        scene.way.prove("steps", last <= number_of(packet.size), "more bytes than the packet has")
        packet.stored = last
        whole = number_of(packet.size) == 1
        for word, touches in (
            ("tx.first_word", first < packet.middle),
            ("tx.last_word", (packet.middle < last) | whole),
        ):
            if word not in packet.words and scene.way.decide(touches):
                packet.words.add(word)
                scene.access(("store", word))
                scene.step(("store", word), begin.place)
                scene.orders.stored(word, begin.place)

    def _load_payload(self, begin: Address, size: Any) -> Bytes:
        scene, count = self._scene, number_of(size)
        scene.way.say("load payload")
        inside = And(begin.offset == 0, constant(0) <= count, count <= BUFFER)
        scene.way.prove(BOUNDS, inside, "more bytes than the buffers of the slot hold")
        copied = scene.beside.own("threads.copied")
        scene.way.prove("steps", count == copied, "not the bytes that the packet has")
        for word in ("rx.first_word", "rx.last_word"):
            scene.access(("load", word))
            scene.step(("load", word), begin.place)
            scene.orders.loaded(word, begin.place)
        return Bytes(size, "payload")


class Card:
    """The card: barriers and registers."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.vectors = 0

    def acquire(self) -> None:
        """A barrier."""
        self._scene.way.say("acquire()")
        self._scene.orders.acquire()

    def release(self) -> None:
        """A barrier."""
        self._scene.way.say("release()")
        self._scene.orders.release()

    def release_loads(self) -> None:
        """A barrier."""
        self._scene.way.say("release_loads()")
        self._scene.orders.release_loads()

    def before_register_write(self) -> None:
        """A barrier."""
        self._scene.way.say("before_register_write()")
        self._scene.orders.before_register_write()

    def read(self, register: Register) -> Any:
        """A register is read."""
        scene = self._scene
        scene.way.say(f"read {register.name}")
        seen = ("read", register.name)
        scene.access(seen)
        flags: Any = scene.beside.values["card.flags"]
        scene.step(seen)
        if register is not FLAGS:
            return Bits(scene)
        if scene.way.decide(flags == Flags.ERROR):
            return ERROR_BITS
        return RST.mask if scene.way.decide(flags == Flags.RESETTING) else 0

    def write(self, register: Register, value: Any) -> None:
        """A doorbell: the ring and its slot."""
        scene = self._scene
        if register is not DBELL:
            scene.way.fail("steps", f"write to {register.name}")
        if not isinstance(value, tuple):
            scene.way.fail("steps", "DBELL is written with what is no doorbell of the ring at hand")
        ring, slot = value
        name = "tx" if ring is TRANSMIT_RING else "cmd"
        scene.way.say(f"write DBELL, {name}")
        scene.ring_doorbell(name, slot)

    def wait_for_interrupt(self, _: int) -> bool:
        """One interrupt: the next one finds all as this one left it."""
        self.vectors += 1
        return self.vectors == 1


class Threads:
    """The lock, sleeping and waking, and what pollers see."""

    ENDINGS = ("woken", "expired", "closed", "interrupted", "signal")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def lock(self) -> None:
        """The lock is asked for, and given."""
        self._scene.way.say("lock()")
        self._scene.lock()

    def unlock(self) -> None:
        """The lock is given up."""
        scene = self._scene
        scene.way.say("unlock()")
        scene.touch("the lock")
        scene.give_up_lock(("unlock", ""))
        scene.released()

    def unlock_soon(self) -> None:
        """The lock is given up; or kept, for nobody will have asked for it until `relock`."""
        scene = self._scene
        if scene.way.choose((True, False)):
            self.unlock()
            return
        scene.way.say("unlock_soon()")
        scene.touch("the lock")
        scene.give_up_lock(("unlock", ""))
        scene.stay_alone()

    def relock(self) -> bool:
        """The lock again; whether others may have had it."""
        scene = self._scene
        scene.way.say("relock()")
        if scene.alone:
            scene.go_on_alone()
            return False
        scene.lock()
        return True

    def sleep(self, queue: WaitQueue, deadline: Any = None, handle: Any = None) -> None:
        """A sleep, which ends in any way that it may."""
        scene = self._scene
        scene.way.say(f"sleep({queue.name})")
        scene.touch("the lock")
        scene.sleep(queue)
        never = {"expired"} if deadline is None else set()
        never |= {"closed", "interrupted"} if handle is None else set()
        ending = scene.way.choose([ending for ending in self.ENDINGS if ending not in never])
        scene.way.log.append(f"    ({ending})")
        scene.get_up(interrupted=ending != "woken")
        if ending != "woken":
            if isinstance(handle, Interruption):
                handle.closed = ending == "closed"
            kinds = {"expired": ExpiredError, "signal": Signal}
            raise kinds.get(ending, CancelledError)

    def cancel(self, _: Any) -> None:
        """Sleeps on behalf of somebody end, as they may at any time."""
        self._scene.way.say("cancel()")
        self._scene.touch("a wait queue")

    def now(self) -> float:
        """The time, of which nothing is relied on."""
        return 0.0

    def wake(self, queue: WaitQueue) -> None:
        """All sleepers of a queue are woken."""
        scene = self._scene
        scene.way.say(f"wake({queue.name})")
        scene.touch("a wait queue")
        scene.wake(queue)

    def set_readable(self, yes: Any) -> None:
        """Pollers are shown something."""
        self._scene.way.say(f"set_readable({yes})")
        self._scene.touch("readiness")
        self._scene.keep("readable", truth_of(yes))

    def set_writable(self, yes: Any) -> None:
        """Pollers are shown something."""
        self._scene.way.say("set_writable()")
        self._scene.touch("readiness")
        self._scene.keep("writable", truth_of(yes))
