"""The simulated host below the driver: before every operation another thread may go on first.

`Host` offers all operations of `impl.memory` and `impl.runtime`. It keeps what a real machine would
keep (store buffer, posted register writes, who waits for the lock, sleepers) and tells a
`JudgedHost` of each access. It decides nothing: whoever drives it says which thread goes on, which
store becomes visible, who gets up.
"""

from __future__ import annotations

import abc
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast, final, overload

import attrs

from impl.memory import Data, Device, DmaRegion, Purpose
from impl.packet import HEADER
from impl.runtime import CancelledError, ExpiredError, Runtime, WaitQueue
from judge.words import LATE_RULES, Piece
from model.layout import COMMAND_SLOT, HWADDR, PACKET_SLOT, Register
from properties.simulation.threads import HostThread, Lock, Signal, Sleep, Standing
from properties.simulation.weak_memory import Store, WeakMemory, WeakRegion, pieces

__all__ = ["EARLY_WORDS", "CardPort", "Ending", "Host", "JudgedHost", "LateLoad", "Posted"]

EARLY_WORDS: Final = {
    "cmd.owner": (Purpose.COMMAND_RING, COMMAND_SLOT.size, 0, 1),
    "cmd.status": (
        Purpose.COMMAND_RING,
        COMMAND_SLOT.size,
        COMMAND_SLOT["error"].offset,
        1,
    ),
    "tx.owner": (Purpose.TRANSMIT_RING, PACKET_SLOT.size, 0, 1),
    "rx.owner": (Purpose.RECEIVE_RING, PACKET_SLOT.size, 0, 1),
    "rx.header": (Purpose.RECEIVE_RING, PACKET_SLOT.size, HEADER.offset, HEADER.size),
}
"""Words that a load may be satisfied early for: region, size of a slot, offset in it, size."""


class Ending:
    """How a sleep ends."""

    NOTIFIED = "notified"
    SPURIOUS = "spuriously"
    EXPIRED = "at its deadline"
    CANCELLED = "because its handle was closed or interrupted"
    SIGNAL = "by a signal"


class CardPort(abc.ABC):
    """The card's registers and interrupts, as the host's side of the bus reaches them."""

    @abc.abstractmethod
    def read(self, register: Register) -> int:
        """Read a register."""

    @abc.abstractmethod
    def write(self, register: Register, value: int) -> None:
        """A register write arrives."""

    @abc.abstractmethod
    def enable_bus_master(self) -> None:
        """The card may access memory from now on."""

    @abc.abstractmethod
    def raised(self, vector: int) -> bool:
        """The vector was raised and not delivered yet."""

    @abc.abstractmethod
    def deliver(self, vector: int) -> None:
        """The vector is delivered."""


class JudgedHost:
    """Is told of every access, before it takes effect. This one has no opinion."""

    def store_begins(self, thread: HostThread, region: WeakRegion, offset: int) -> None:
        """A store begins, maybe of several parts."""

    def store(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:
        """A store, or a part of a bulk store, is issued."""

    def visible(self, store: Store) -> None:
        """A store becomes visible to the card."""

    def load(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:
        """A load, or a part of a bulk load, yields `data`."""

    def loaded_early(self, thread: HostThread, word: str, slot: int) -> object:
        """A load is satisfied ahead of its turn. What is returned is handed to `used_early`."""

    def used_early(self, thread: HostThread, word: str, slot: int, memory: Any) -> None:
        """The driver loads what had been loaded ahead of its turn."""

    def loaded_late(self, thread: HostThread, word: str) -> None:
        """A load is satisfied behind its turn."""

    def barrier(self, thread: HostThread, kind: str) -> None:
        """A barrier."""

    def fence(self, thread: HostThread) -> None:
        """A fence; no store is pending any more."""

    def read(self, thread: HostThread, register: Register, value: int) -> None:
        """A register was read."""

    def write(self, thread: HostThread, register: Register, value: int) -> None:
        """A register write is issued."""

    def arrive(self, posted: Posted) -> None:
        """A register write is about to arrive."""

    def enable_bus_master(self, thread: HostThread) -> None:
        """The card is about to be let access memory."""

    def free(self, thread: HostThread, region: WeakRegion) -> None:
        """Memory is freed."""

    def lock(self, thread: HostThread) -> None:
        """The lock is asked for."""

    def granted(self, thread: HostThread) -> None:
        """The lock is given."""

    def unlock(self, thread: HostThread) -> None:
        """The lock is given up."""

    def sleep(self, thread: HostThread, queue: WaitQueue) -> None:
        """The lock is given up and a sleep begins."""

    def get_up(self, thread: HostThread, ending: str) -> None:
        """A sleep ends; the lock is asked for."""

    def payload(self, thread: HostThread) -> int:
        """Bytes of the packet that the thread is storing or loading."""
        return 1 << 30


@attrs.define(eq=False)
class Posted:
    """A register write on its way."""

    thread: HostThread
    register: Register
    value: int
    after: tuple[Store, ...]
    bells: int = 0

    def ready(self) -> bool:
        """No barrier holds it back."""
        return all(store.visible for store in self.after)


@attrs.define(eq=False)
class LateLoad:
    """A load that may be satisfied behind its turn: no barrier stands behind it yet."""

    thread: HostThread
    word: str
    slot: int


@final
class TestRegion(DmaRegion):
    """DMA memory whose every access is told."""

    __test__ = False

    def __init__(self, host: Host, region: WeakRegion) -> None:
        self.purpose = region.purpose
        self.size = len(region.visible)
        self.region = region
        self._host = host

    @property
    def octets(self) -> TestRegion:  # type: ignore[override]
        return self

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            return self.load_bulk(place.start, place.stop - place.start)
        return self.load(place, 1)

    def __setitem__(self, place: int | slice, value: int | Data) -> None:
        if isinstance(value, int):
            assert isinstance(place, int)
            self.store(place, 1, value)
        else:
            assert isinstance(place, slice)
            self.store_bulk(place.start, value)

    def hint(self, place: int) -> int:
        """What a byte is at the moment, for who decides nothing by it: no access."""
        return self._host.memory.host_view(self.region, place, 1)[0]

    def bus_address(self, offset: int = 0) -> int:
        return self.region.bus + offset

    def load(self, offset: int, width: int) -> int:
        return int.from_bytes(self._host.load(self.region, offset, width), "little")

    def store(self, offset: int, width: int, value: int) -> None:
        self._host.store(self.region, offset, value.to_bytes(width, "little"))

    def load_bulk(self, offset: int, size: int) -> bytes:
        return self._host.load(self.region, offset, size)

    def store_bulk(self, offset: int, data: Data) -> None:
        self._host.store(self.region, offset, bytes(data))

    def view(self, offset: int, size: int) -> memoryview:
        self._host.load(self.region, offset, size)
        return memoryview(self.region.visible).toreadonly()[offset : offset + size]


Word = TypeVar("Word", bound=Callable[..., Any])


def told(word: Word) -> Word:
    """A word of the driver's that is told to the judged host.

    If that ends the run, the driver must not learn of it: its own error handling would go on.
    """

    @functools.wraps(word)
    def say(host: Host, *arguments: Any) -> Any:
        try:
            return word(host, *arguments)
        except (ExpiredError, CancelledError, Signal):
            raise
        except Exception as error:
            thread = host.current
            if thread is None:
                raise
            host.found = error
            while True:
                thread.stop(Standing.NEVER_GOES_ON)

    return cast(Word, say)


class Host(Device, Runtime):
    """The host's half of the machine.

    Attributes:
        threads: By number: the two handlers first.
        memory: Shared memory and what is pending.
        posted: Register writes on their way, oldest first.
        late: Loads that may be satisfied behind their turn.
        time: The clock; it moves only when a deadline is to pass.
        readable, writable: What pollers see.
        found: What ended the run in the middle of a thread's access.
    """

    def __init__(
        self, card: CardPort, judged_host: JudgedHost, *, fill: bytes, posted: int
    ) -> None:
        self.judged_host = judged_host
        self.threads: list[HostThread] = []
        self.memory = WeakMemory(fill)
        self.posted: deque[Posted] = deque()
        self.late: list[LateLoad] = []
        self.time = 0.0
        self.readable = False
        self.writable = False
        self.current: HostThread | None = None
        self.found: Exception | None = None
        self.lock_line = Lock()
        self._card = card
        self._most_posted = posted
        self._cancelled: list[object] = []
        self._handlers: list[HostThread] = []

    # Decisions of whoever drives the host

    def run(self, thread: HostThread) -> bool:
        """Let a thread that is ready go on to its next stop; whether its work has ended."""
        self.current = thread
        try:
            ended = thread.go_on()
        finally:
            self.current = None
        if self.found is not None:
            raise self.found
        return ended

    def show(self, store: Store) -> None:
        """Make a store visible, after those that a barrier puts before it."""
        for before in store.after:
            if not before.visible:
                self.show(before)
        self.judged_host.visible(store)
        self.memory.make_visible(store)

    def arrive(self) -> None:
        """The oldest register write under way arrives, after the stores put before it."""
        posted = self.posted[0]
        for store in posted.after:
            if not store.visible:
                self.show(store)
        self.judged_host.arrive(posted)
        self.posted.popleft()
        self._card.write(posted.register, posted.value)

    def load_early(self, thread: HostThread, word: str, slot: int) -> bool:
        """Satisfy a load that the thread may make later now. False if there is no such memory."""
        purpose, slot_size, offset, size = EARLY_WORDS[word]
        for region in self.memory.regions.values():
            if region.purpose is purpose:
                data = self.memory.host_view(region, slot * slot_size + offset, size)
                told = self.judged_host.loaded_early(thread, word, slot)
                thread.early[word, slot] = data, slot * slot_size + offset, told
                return True
        return False

    def load_late(self, index: int) -> None:
        """Satisfy a load behind its turn.

        The bytes are those that the driver has already: if that may be late, nobody has written to
        the slot, and if somebody may, it is not allowed.
        """
        load = self.late.pop(index)
        self.judged_host.loaded_late(load.thread, load.word)

    def get_up(self, thread: HostThread, ending: str) -> None:
        """End a thread's sleep; it asks for the lock."""
        sleep = thread.sleep
        assert sleep is not None
        if ending is Ending.EXPIRED:
            assert sleep.deadline is not None
            self.time = max(self.time, sleep.deadline)
            sleep.ending = ExpiredError()
        elif ending is Ending.CANCELLED:
            sleep.ending = CancelledError()
        elif ending is Ending.SIGNAL:
            sleep.ending = Signal()
        self.judged_host.get_up(thread, ending)
        self._ask_for_lock(thread)

    def deliver(self, vector: int) -> None:
        """Deliver an interrupt to its handler, which asks for the lock at once."""
        thread = self.handler(vector)
        assert thread is not None
        self._card.deliver(vector)
        thread.run_on = True
        thread.standing = Standing.READY
        self.run(thread)

    def handler(self, vector: int) -> HostThread | None:
        """The handler that waits for a vector, if it does."""
        for thread in self._handlers:
            if thread.standing is Standing.WAITS_FOR_INTERRUPT and thread.vector == vector:
                return thread
        return None

    # Memory

    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        return TestRegion(self, self.memory.allocate(size, purpose))

    @told
    def free(self, region: DmaRegion) -> None:
        assert isinstance(region, TestRegion)
        self.judged_host.free(self._stop("free memory"), region.region)
        self.memory.free(region.region)

    @told
    def store(self, region: WeakRegion, offset: int, data: bytes) -> None:
        """The driver stores."""
        thread = self._stop("store")
        judged_host = self.judged_host
        judged_host.store_begins(thread, region, offset)
        for piece in pieces(
            region, offset, len(data), stores=True, payload=judged_host.payload(thread)
        ):
            part = data[piece.offset - offset : piece.offset - offset + piece.size]
            judged_host.store(thread, region, piece, part)
            if piece.words == ("rx.pointer",):
                self._takes_over(thread, piece.slot)
            self.memory.store(region, piece, part, thread.number, thread.barrier)

    @told
    def load(self, region: WeakRegion, offset: int, size: int) -> bytes:
        """The driver loads."""
        thread = self._stop("load")
        judged_host = self.judged_host
        data = self.memory.host_view(region, offset, size)
        for piece in pieces(
            region, offset, size, stores=False, payload=judged_host.payload(thread)
        ):
            early = thread.early.pop((piece.words[0], piece.slot), None)
            begin = piece.offset - offset
            if early is not None:
                seen, base, told = early
                judged_host.used_early(thread, piece.words[0], piece.slot, told)
                part = seen[piece.offset - base : piece.offset - base + piece.size]
                data = data[:begin] + part + data[begin + piece.size :]
            judged_host.load(thread, region, piece, data[begin : begin + piece.size])
            late = [word for word in piece.words if word in LATE_RULES]
            self.late += [LateLoad(thread, word, piece.slot) for word in late]
        return data

    def _takes_over(self, thread: HostThread, slot: int) -> None:
        """A view is given back by whoever got it from its reader, behind the reader's loads."""
        for load in self.late:
            if load.slot == slot:
                load.thread = thread

    def _satisfy(self, thread: HostThread) -> None:
        """No load of the thread's is late any more, and its register read is answered."""
        self.late = [load for load in self.late if load.thread is not thread]
        while any(posted in self.posted for posted in thread.unanswered):
            self.arrive()
        thread.unanswered = ()

    # Barriers

    @told
    def acquire(self) -> None:
        thread = self._stop("acquire barrier")
        thread.early.clear()
        self.judged_host.barrier(thread, "acquire")

    @told
    def release(self) -> None:
        thread = self._stop("release barrier")
        thread.barrier = self.memory.pending_of(thread.number)
        self.judged_host.barrier(thread, "release")

    @told
    def release_loads(self) -> None:
        thread = self._stop("release barrier for loads")
        self._satisfy(thread)
        self.judged_host.barrier(thread, "release loads")

    @told
    def before_register_write(self) -> None:
        thread = self._stop("barrier before a register write")
        thread.register_barrier = self.memory.pending_of(thread.number)
        self.judged_host.barrier(thread, "before register write")

    @told
    def fence(self) -> None:
        thread = self._stop("fence")
        self._satisfy(thread)
        while self.memory.pending:
            self.show(self.memory.pending[0])
        self.judged_host.fence(thread)

    # Registers

    @told
    def read(self, register: Register) -> int:
        if self.current is None:
            # The driver is being set up: nothing runs beside it yet.
            return self._card.read(register)
        thread = self._stop(f"read {register.name}")
        if register is HWADDR:
            # What it says is known, so nobody waits for the answer who has no barrier for that.
            thread.unanswered = tuple(self.posted)
        else:
            while self.posted:
                self.arrive()
        value = self._card.read(register)
        self.judged_host.read(thread, register, value)
        return value

    @told
    def write(self, register: Register, value: int) -> None:
        thread = self._stop(f"write {register.name}")
        if len(self.posted) >= self._most_posted:
            self.arrive()
        posted = Posted(thread, register, value, thread.register_barrier)
        self.posted.append(posted)
        self.judged_host.write(thread, register, value)

    # Bus mastering

    @told
    def enable_bus_master(self) -> None:
        if self.current is not None:
            self.judged_host.enable_bus_master(self._stop("set Bus Master"))
        # Otherwise the driver is being set up, and the card is compared as soon as something runs.
        self._card.enable_bus_master()

    # Interrupts

    def wait_for_interrupt(self, vector: int) -> bool:
        thread = self.current
        assert thread is not None
        thread.vector = vector
        thread.stop(Standing.WAITS_FOR_INTERRUPT)
        return True

    # The lock, sleeping and waking

    @told
    def lock(self) -> None:
        thread = self._stop("ask for the lock")
        self.judged_host.lock(thread)
        self._ask_for_lock(thread)
        if thread.standing is Standing.WAITS_FOR_LOCK:
            thread.stop(Standing.WAITS_FOR_LOCK)

    @told
    def unlock(self) -> None:
        thread = self.current
        assert thread is not None
        if any(load.thread is thread for load in self.late):
            # They may still come late: what memory and card do first makes a difference.
            thread = self._stop("give up the lock")
        self._satisfy(thread)
        self.judged_host.unlock(thread)
        self._pass_lock_on()

    @told
    def sleep(self, queue: WaitQueue, deadline: float | None = None, handle: object = None) -> None:
        thread = self.current
        assert thread is not None
        self.judged_host.sleep(thread, queue)
        cancelled = any(handle is item for item in self._cancelled)
        sleep = thread.sleep = Sleep(queue, deadline, handle, cancelled=cancelled)
        self._pass_lock_on()
        thread.stop(Standing.SLEEPS)
        thread.sleep = None
        if sleep.ending is not None:
            raise sleep.ending

    def wake(self, queue: WaitQueue) -> None:
        for thread in self.threads:
            if thread.sleep is not None and thread.sleep.queue is queue:
                thread.sleep.notified = True

    def cancel(self, handle: object) -> None:
        self._cancelled.append(handle)
        for thread in self.threads:
            if thread.sleep is not None and thread.sleep.handle is handle:
                thread.sleep.cancelled = True

    def interrupt(self, handle: object) -> None:
        self.cancel(handle)

    def _ask_for_lock(self, thread: HostThread) -> None:
        lock = self.lock_line
        thread.early.clear()
        if lock.holder is None:
            lock.holder = thread
            thread.standing = Standing.READY
            thread.access = "with the lock"
            self.judged_host.granted(thread)
        else:
            lock.line.append(thread)
            thread.standing = Standing.WAITS_FOR_LOCK

    def _pass_lock_on(self) -> None:
        lock = self.lock_line
        lock.holder = lock.line.popleft() if lock.line else None
        if lock.holder is not None:
            lock.holder.standing = Standing.READY
            lock.holder.access = "with the lock"
            self.judged_host.granted(lock.holder)

    # What the kernel in C asks before it makes a turn of its own, at one moment

    def stand_before_lock(self) -> None:
        """Whatever comes first comes here; nothing comes between this and what follows."""
        self._stop("ask for the lock")

    def lock_is_free(self) -> bool:
        """Nobody has the lock."""
        return self.lock_line.holder is None

    def nobody_sleeps(self, queue: WaitQueue) -> bool:
        """Nobody sleeps in this queue who was not woken."""
        return not any(
            thread.sleep is not None and thread.sleep.queue is queue and not thread.sleep.notified
            for thread in self.threads
        )

    @told
    def lock_at_once(self) -> None:
        """The lock is taken by who found it free; nobody keeps a thread from it that did not."""
        thread = self.current
        assert thread is not None
        self.judged_host.lock(thread)
        thread.early.clear()
        self.lock_line.holder = thread
        self.judged_host.granted(thread)

    # Time and readiness

    def now(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        self._stop("pause")
        self.time += seconds

    def set_readable(self, yes: bool) -> None:
        self.readable = yes

    def set_writable(self, yes: bool) -> None:
        self.writable = yes

    def fileno(self) -> int:
        raise NotImplementedError("nothing is polled under test; see `readable` and `writable`")

    def start(self, name: str, body: Callable[[], None]) -> None:
        """A thread of the driver's own: an interrupt handler."""
        thread = HostThread(len(self._handlers))
        self._handlers.append(thread)
        self.threads.append(thread)
        thread.begin(body)
        self.run(thread)

    def close(self) -> None:
        """Nothing is kept."""

    def _stop(self, access: str) -> HostThread:
        """The thread at hand, once it may make its access."""
        thread = self.current
        assert thread is not None, "only threads speak to the outside"
        if thread.run_on:
            thread.run_on = False
        else:
            thread.stop(Standing.READY, access)
            assert self.current is thread
        return thread
