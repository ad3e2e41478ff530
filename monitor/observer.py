"""What a real driver does with a real card, judged while it does it.

Real threads make accesses to a real card, and each is told here, in an order in which they happened
(`mutex`). Which thread of the specification a real thread is, is known from the call that it is in.
Nothing is known of when a store becomes visible, when a load is satisfied, and what the card does:
`monitor.stores` and `monitor.loads` take the worst that the driver's barriers leave, and
`monitor.inferred_card` the least that explains what is seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeVarTuple

import attrs

from impl.memory import Data, Device, DmaRegion, Purpose
from impl.packet import Header, unpack_header
from impl.runtime import CancelledError, WaitQueue
from impl.settings import Settings
from judge.accesses import HOLDING, Accesses
from judge.environment import Environment, Sleeper
from judge.filters import KEYS, Filters
from judge.judge import Deviation, Judge, Specification
from judge.peek import Rings
from judge.slot_check import SlotCheck
from judge.words import BUFFER_SIZE, EARLY_RULES, LATE_RULES, StrayAccessError, touched
from model.layout import (
    CMDBASE,
    CMDSHIFT,
    EVFLAGS,
    FLAGS,
    HWADDR,
    Owner,
    Register,
    is_fatal,
    ring_slots,
)
from model.scope import Scope
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label
from monitor import callers
from monitor.callers import Callers
from monitor.inferred_card import InferredCard
from monitor.loads import EarlyLoads
from monitor.path import LongPath
from monitor.stores import PendingStores
from monitor.verdict import Verdict

__all__ = ["Observer"]

Arguments = TypeVarTuple("Arguments")
INITIALISING: Final = frozenset({Label.CMD_INIT, Label.INIT_TX, Label.INIT_POINTER, Label.INIT_RX})


class WatchedRegion(Protocol):
    """DMA memory as the observer knows it: the memory itself, and whether it was given back."""

    inner: DmaRegion
    purpose: Purpose
    freed: bool


@attrs.define(eq=False)
class _Sleep:
    queue: WaitQueue
    handle: object
    told: bool = False


class _Around(Environment):
    """The driver's environment: real memory and real threads."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def packet_memory(self) -> list[WatchedRegion]:
        return [item for item in self._observer.regions if item.purpose is not Purpose.COMMAND_RING]

    def has_pending(self, region: Any) -> bool:
        return False  # the specification's own variables say so

    def begins_at(self, address: int) -> Purpose | None:
        for region in self._observer.regions:
            if region.inner.bus_address() == address:
                return region.purpose
        return None

    def is_pending(self, word: str, slot: int) -> bool:
        return False

    def sleepers(self) -> Iterator[Sleeper]:
        for t, sleep in self._observer.asleep.items():
            if not sleep.told:
                yield Sleeper(t, sleep.queue)

    def pollers(self) -> tuple[bool, bool]:
        return self._observer.readable, self._observer.writable


class Observer:
    """Judges one driver.

    Attributes:
        mutex: Held by whoever makes an access and tells of it.
        readable, writable: What pollers see.
        regions: DMA memory that is not freed.
        pending: Stores that the card may not see yet.
        asleep: Threads that sleep.
        verdict: What came of it so far.
        callers: Which thread is which.
    """

    def __init__(self, settings: Settings, saves_to: Path | None) -> None:
        ring_size = ring_slots(settings.ring_shift)
        self.mutex = threading.RLock()
        self.readable = False
        self.writable = False
        self.regions: list[WatchedRegion] = []
        self.asleep: dict[int, _Sleep] = {}
        scope = Scope(
            ring_size=ring_size,
            users=callers.USERS,
            posted=ring_size + 1,
            polls=settings.reset_polls,
            keys=KEYS,
        )
        self.judge = Judge(Specification(scope))
        self.path = LongPath(self.judge.stepper)
        self.judge.path = self.path
        self.pending = PendingStores(self.judge)
        self.filters = Filters(self.judge)
        self.accesses = Accesses(self.judge, _Around(self))
        self.verdict = Verdict(self.judge, self.path, saves_to)
        self.callers = Callers(self.judge, self.accesses, self.verdict)
        self._loads = EarlyLoads(self.judge)
        self._rings = Rings()
        self.contents = SlotCheck(self.judge, self._rings, self.filters)
        self._card = InferredCard(self.judge, self.path, self._rings, self.pending, self.filters)
        self._now = self.judge.now
        self._pcs: list[int] = self.judge.now["threads_pc"]
        self._headers: dict[int, Header] = {}
        self._must_reset_again = False
        self._fatal_judged = False
        self._let_go = False

    def tell(self, what: Callable[[*Arguments], None], *about: *Arguments) -> None:
        """Judge that something happens, or has just happened. The caller holds the mutex."""
        if self.verdict.over:
            return
        try:
            what(*about)
        except BaseException as error:
            if self.verdict.failed(error):
                raise

    def attend(self, device: Device) -> None:
        """Look at what this card does."""
        self._rings.acquire = device.acquire

    def lets_go(self) -> None:
        """The driver, which holds the lock, is about to let go of the card."""
        self._let_go = True

    # Memory

    def allocated(self, region: WatchedRegion) -> None:
        """A region was allocated."""
        self.regions.append(region)
        self._rings.add(region.inner)

    def frees(self, region: WatchedRegion) -> None:
        """A region is about to be freed."""
        self.accesses.free(self.callers.me(), region)
        self.regions.remove(region)
        self._rings.remove(region.inner)

    def loaded(self, region: WatchedRegion, offset: int, data: Data) -> None:
        """The driver has loaded."""
        self._check_not_freed(region)
        t = self._reader(region, offset)
        payload = self._payload(t)
        for piece in touched(region.purpose, offset, len(data), stores=False, payload=payload):
            begin = piece.offset - offset
            part = bytes(data[begin : begin + 1])
            word, slot = piece.words[0], piece.slot
            if word in EARLY_RULES:
                self._loads.check(t, word, slot)
            if word.endswith(".owner"):
                self._card.owner_loaded(word.partition(".")[0], slot, part[0])
            elif word == "rx.header" and not self._now["threads_peek"][t]:
                self._headers[slot] = unpack_header(bytes(data))
            self.accesses.load(t, piece, part)
            for each in piece.words:
                if each in LATE_RULES:
                    self.pending.loaded(threading.get_ident(), each, slot)
        self._loads.moment(t)

    def stores(self, region: WatchedRegion, offset: int, data: Data) -> None:
        """The driver is about to store."""
        self._check_not_freed(region)
        t, thread = self.callers.me(), threading.get_ident()
        self.accesses.store_begins(t, region.purpose, offset)
        payload = self.accesses.payload(t)
        for piece in touched(region.purpose, offset, len(data), stores=True, payload=payload):
            word, slot = piece.words[0], piece.slot
            ring = word.partition(".")[0]
            first = bytes(data[piece.offset - offset : piece.offset - offset + 1])
            if word.endswith(".owner"):
                self._before_owner(t, ring, slot, first[0])
                self.accesses.store(t, piece, first)
                self.pending.owner_stored(thread, ring, slot)
                continue
            if word == "rx.pointer" and self._pcs[t] not in INITIALISING:
                self._before_restoring(slot)
            self.accesses.store(t, piece, first)
            for each in piece.words:
                self.pending.stored(thread, each, slot)
        self._loads.moment(t)

    def _before_owner(self, t: int, ring: str, slot: int, value: int) -> None:
        if value != Owner.DEVICE:
            return
        self.contents.check(t, slot, self.accesses.actors[t].sent)
        if self._pcs[t] in INITIALISING:
            return
        self._card.unchanged.check_is_hosts(ring, slot)
        if ring == "rx":
            self._card.slot_given()

    def _before_restoring(self, slot: int) -> None:
        header = self._headers.pop(slot, None)
        if header is not None:
            self._card.unchanged.check_is_hosts("rx", slot)
            self._card.unchanged.check_header(slot, header)

    def _payload(self, t: int) -> int:
        """Bytes of the packet that a thread stores or loads; the model has 0 and 1 only."""
        if self._pcs[t] in HOLDING:
            return self._headers[self._now["threads_slot"][t]].length
        return self.accesses.payload(t)

    def _reader(self, region: WatchedRegion, offset: int) -> int:
        """The thread that loads: payload is read by whoever holds the slot."""
        if region.purpose is Purpose.RECEIVE_BUFFERS:
            slot = offset // BUFFER_SIZE
            if slot < len(self._now["rx_held"]) and self._now["rx_held"][slot]:
                return int(self._now["rx_holder"][slot])
        return self.callers.me()

    @staticmethod
    def _check_not_freed(region: WatchedRegion) -> None:
        if region.freed:
            raise StrayAccessError(f"access to the {region.purpose.value}, which was freed")

    # Barriers

    def acquired(self) -> None:
        """A load barrier."""
        self.judge.accesses["barrier"] += 1
        self._loads.barrier(self.callers.me())

    def released(self) -> None:
        """A store barrier."""
        self.judge.accesses["barrier"] += 1
        self.pending.release(threading.get_ident())

    def released_loads(self) -> None:
        """A barrier between loads and stores."""
        self.judge.accesses["barrier"] += 1
        self.pending.release_loads(threading.get_ident())

    def ordered_register_writes(self) -> None:
        """A barrier between stores and register writes."""
        self.judge.accesses["barrier"] += 1
        self.pending.before_register_write(threading.get_ident())

    def fenced(self) -> None:
        """A fence."""
        t = self.callers.me()
        if self._pcs[t] == Label.FREE:
            self._card.unchanged.check_stopped()
        self.pending.fence(threading.get_ident())
        self.accesses.fence(t)

    # Registers

    def reads(self, register: Register) -> None:
        """A register is about to be read."""
        if self._let_go:
            raise Deviation(f"{register.name} is read after the card was let go of")

    def has_read(self, register: Register, value: int) -> None:
        """A register was read."""
        if register is HWADDR:
            self.filters.set_address(value)
        if register not in {EVFLAGS, FLAGS}:
            self._reads_what_is_known(register)
            return
        self.pending.register_read()
        t = self.callers.me()
        if register is EVFLAGS:
            self._card.events_read(value)
            self.accesses.read(t, register)
            self._card.events_were_read()
        elif t == FATAL_THREAD:
            self._fatal_handler_reads(value)
        else:
            self._check_reset_again()
            self._card.flags_read(value)
            self.accesses.read(t, register)
            self._must_reset_again = is_fatal(value) and self._pcs[t] == Label.POLL
        self._loads.moment(t)

    def _reads_what_is_known(self, register: Register) -> None:
        """Nobody need wait for the answer who has no barrier for that."""
        t = self.callers.present()
        if t is not None and self.accesses.reads_back(t, register):
            self.accesses.read(t, register)
        else:
            self.judge.accesses["read"] += 1

    def _check_reset_again(self) -> None:
        if self._must_reset_again:
            raise Deviation(
                "FLAGS named an error while the card was reset, and RST was not written"
            )

    def _fatal_handler_reads(self, value: int) -> None:
        """Only now it is known whether there is a reason for the interrupt.

        Where the line is shared there need not be one, and then nothing follows from it.
        """
        if not self._card.known:
            return
        if not is_fatal(value) or self._now["card_flags"] != Flags.ERROR:
            self._card.flags_read(value)
        if self._now["card_vector1"]:
            self._fatal_judged = True
            self.accesses.lock(FATAL_THREAD)
            self.accesses.read(FATAL_THREAD, FLAGS)

    def writes(self, register: Register, value: int) -> None:
        """A register is about to be written."""
        t = self.callers.me()
        if register is CMDBASE and CMDSHIFT not in self.accesses.actors[t].bases:
            raise Deviation(
                "CMDBASE is written before CMDSHIFT: the card looks at the ring as soon as it "
                "knows its address, and does not know its size yet"
            )
        bells = self.accesses.write(t, register, value)
        if bells is not None:
            self.pending.rings(threading.get_ident(), *bells)
        elif register is FLAGS:
            self._must_reset_again = False
            self.pending.register_read()
            self.accesses.reset_arrives(t)
            self._card.reset_written()

    def enables_bus_master(self) -> None:
        """The card is about to be let access memory."""
        self.accesses.enable_bus_master(self.callers.me())

    # The lock and sleeping

    def locked(self) -> None:
        """The calling thread has got the lock."""
        t = self.callers.present()
        if t is None or t == FATAL_THREAD or self._finds_card_gone(t):
            return
        if t == EVENT_THREAD:
            self._card.interrupt_came()
        elif not self.accesses.may_begin(t):
            self._begin_without(t)
            return
        self.accesses.lock(t)
        self.accesses.granted(t)
        self._loads.barrier(t)

    def _begin_without(self, t: int) -> None:
        """The specification does not let the call begin."""
        actor = self.accesses.actors[t]
        assert actor.begins is not None
        if actor.begins[0] != "begin_close":
            self.verdict.give_up("more callers have left the line than the monitor can remember")
        # Somebody else closed it first.
        actor.begins = None
        actor.neutral = True

    def unlocks(self) -> None:
        """The calling thread is about to give the lock up."""
        t = self.callers.present()
        if t is None or self._finds_card_gone(t):
            return
        if t == FATAL_THREAD:
            judged, self._fatal_judged = self._fatal_judged, False
            if not judged:
                return
        self.pending.release_loads(threading.get_ident())
        self.accesses.unlock(t)

    def _finds_card_gone(self, t: int) -> bool:
        """A handler whose interrupt came just before the card was let go of has nothing to do.

        It is not a step: whatever the handler accesses all the same is not allowed.
        """
        return self._let_go and t == EVENT_THREAD

    def sleeps(self, queue: WaitQueue, handle: object) -> None:
        """The calling thread is about to give the lock up and to sleep."""
        t = self.callers.me()
        self.pending.release_loads(threading.get_ident())
        self.accesses.sleep(t, queue)
        self.asleep[t] = _Sleep(queue, handle)

    def got_up(self, ending: BaseException | None) -> None:
        """The calling thread has the lock again."""
        t = self.callers.me()
        self.asleep.pop(t, None)
        cancelled = isinstance(ending, CancelledError)
        self.accesses.get_up(
            t, interrupted=ending is not None, expired=ending is not None and not cancelled
        )
        self.accesses.granted(t)
        self._loads.barrier(t)

    def woke(self, queue: WaitQueue) -> None:
        """All who sleep on a queue are woken."""
        for sleep in self.asleep.values():
            if sleep.queue is queue:
                sleep.told = True

    def cancelled(self, handle: object) -> None:
        """All sleeps on behalf of a handle end."""
        for sleep in self.asleep.values():
            if handle is not None and sleep.handle is handle:
                sleep.told = True
