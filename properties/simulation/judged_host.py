"""Tells the judge of accesses on bytes under test, and of what memory does with them.

What an access is in the specification's words is said in `judge.accesses`. Here is what only a
test knows: which store becomes visible when, which load was satisfied ahead of its turn or behind
it, and what is handed over for whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from engine.stepper import Step
from engine.words import Word
from impl.memory import Purpose
from impl.runtime import WaitQueue
from judge.accesses import Accesses
from judge.environment import Environment, Sleeper
from judge.judge import Deviation, Judge
from judge.words import EARLY_RULES, LATE_RULES, Piece
from model.layout import (
    DBELL,
    FLAGS,
    RXBASE,
    RXSHIFT,
    TRANSMIT_RING,
    TXBASE,
    TXSHIFT,
    Register,
    split_doorbell,
)
from model.state import Label, Result
from model.words import WORDS
from properties.simulation.host import Ending, Host, JudgedHost, Posted
from properties.simulation.threads import HostThread
from properties.simulation.weak_memory import Store, WeakRegion

__all__ = ["JudgingHost"]

WORD_OF: Final = {word.path: word for word in WORDS}
"""The words that host and card share, by name."""
PACKET_BASES: Final = {TXBASE, TXSHIFT, RXBASE, RXSHIFT}
"""The registers that say where the packet rings are: one write of the specification."""


@attrs.define(eq=False)
class _Early:
    """A load that was satisfied ahead of its turn: when, and what the specification saw then."""

    position: int
    step: Step | None
    values: dict[str, int | bool]


class _Simulated(Environment):
    """The environment of the driver under test."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def packet_memory(self) -> list[WeakRegion]:
        regions = self._host.memory.regions.values()
        return [item for item in regions if item.purpose is not Purpose.COMMAND_RING]

    def has_pending(self, region: Any) -> bool:
        return any(store.region is region for store in self._host.memory.pending)

    def begins_at(self, address: int) -> Purpose | None:
        found = self._host.memory.find(address, 1)
        return found[0].purpose if found is not None and found[1] == 0 else None

    def is_pending(self, word: str, slot: int) -> bool:
        return self._host.memory.is_pending(word, slot)

    def sleepers(self) -> Iterator[Sleeper]:
        for thread in self._host.threads:
            sleep = thread.sleep
            if sleep is not None and not sleep.notified and not sleep.cancelled:
                yield Sleeper(thread.number, sleep.queue)

    def pollers(self) -> tuple[bool, bool]:
        return self._host.readable, self._host.writable


class JudgingHost(JudgedHost):
    """Asks the judge about every access.

    Attributes:
        judge: The specification beside the run.
        handed_over: The packets that were handed over, by number.
        ends: How each call that a user's thread has begun ended, of a batch one after the other,
            and the number of the packet that it received if it did.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.handed_over: dict[int, tuple[int, bytes]] = {}
        self.ends: dict[int, list[tuple[Result, int]]] = {}
        self._packets: dict[int, tuple[tuple[int, bytes], ...]] = {}
        self._now = judge.now
        self._acts_for: dict[int, int] = {}
        self._earlies: list[_Early] = []
        self._arrived: set[Register] = set()

    def attend(self, host: Host) -> None:
        """Judge the accesses of this host from now on."""
        self._host = host
        self._accesses = Accesses(self.judge, _Simulated(host))

    # Calls

    def begin(
        self,
        t: int,
        packets: tuple[tuple[int, bytes], ...],
        *rule: Any,
        again: tuple[Any, ...] = (),
    ) -> None:
        """Thread t is about to make the call that begins with a rule, and others behind it."""
        self._packets[t] = packets
        sizes = tuple(len(payload) for _, payload in packets)
        self._accesses.begin(t, sizes, *rule, again=again)
        self._acts_for.pop(t, None)
        self.ends[t] = []

    def began(self, t: int) -> bool:
        """The call has asked for the lock."""
        return self._accesses.began(t)

    def may_begin(self, t: int) -> bool:
        """False while the specification, at its finite size, has no room for one more call."""
        return self._accesses.may_begin(t)

    def _me(self, thread: HostThread) -> int:
        return self._acts_for.get(thread.number, thread.number)

    # Memory

    def store_begins(self, thread: HostThread, region: WeakRegion, offset: int) -> None:
        t = self._me(thread)
        sent = self._accesses.actors[t].sent
        self._accesses.store_begins(t, region.purpose, offset)
        self._note_packet(t, sent)

    def store(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:
        t = self._me(thread)
        actor = self._accesses.actors[t]
        refilled, sent = actor.refills, actor.sent
        by = self._accesses.store(t, piece, data)
        self._note_packet(t, sent)
        if by != t:
            self._acts_for[thread.number] = by
        if self._accesses.actors[by].refills != refilled:
            thread.run_on = True

    def _note_packet(self, t: int, sent: int) -> None:
        if self._accesses.actors[t].sent > sent:
            self.handed_over[self._now["tx_prod"] - 1] = self._packets[t][sent]

    def visible(self, store: Store) -> None:
        self.judge.accesses["visible"] += 1
        slot = store.piece.slot
        for word in store.piece.words:
            if self._others_pending(store, word):
                continue
            writer = self._accesses.actors[store.thread]
            acts = store.thread in self._acts_for
            if not acts and writer.word == (("store", word), slot):
                writer.hidden.add(word)
            else:
                self.judge.fire(f"{word}_visible", slot)

    def _others_pending(self, store: Store, word: str) -> bool:
        return any(
            other is not store
            and other.piece.slot == store.piece.slot
            and word in other.piece.words
            for other in self._host.memory.pending
        )

    def load(self, thread: HostThread, region: WeakRegion, piece: Piece, data: bytes) -> None:
        self._accesses.load(self._me(thread), piece, data)

    def payload(self, thread: HostThread) -> int:
        return self._accesses.payload(self._me(thread))

    # Loads that are satisfied early

    def loaded_early(self, thread: HostThread, word: str, slot: int) -> object:
        judge = self.judge
        rule = EARLY_RULES[word]
        step = (rule,) if judge.enabled(rule) else None
        early = _Early(len(judge.path), step, self._speculated(WORD_OF[word], slot))
        self._earlies.append(early)
        return early

    def _speculated(self, word: Word, slot: int) -> dict[str, Any]:
        """What the specification's variables are once a load of a word was satisfied early."""
        ahead, now = word.speculation, self._now
        assert ahead is not None
        pending = bool(word.buffered) and now[f"{word.ring}_{word.pending}"][slot]
        sources = word.buffered if pending else word.holds
        values = {f"{word.ring}.{ahead.flag}": True}
        for name, source in zip(ahead.holds, sources, strict=True):
            values[f"{word.ring}.{name}"] = now[f"{word.ring}_{source}"][slot]
        return values

    def used_early(self, thread: HostThread, word: str, slot: int, memory: Any) -> None:
        early: _Early = memory
        t = self._me(thread)
        if early.step is None:
            raise Deviation(
                f"{self.judge.who(t)}: the load of {word} of slot {slot} was satisfied ahead of "
                f"its turn, where a barrier must not let it\n"
                + "\n".join(self.judge.barriers(EARLY_RULES[word]))
            )
        self.judge.path.insert(early.position, early.step)
        for other in self._earlies:
            if other.position >= early.position:
                other.position += 1
        self._earlies.remove(early)
        for name, value in early.values.items():
            self.judge.stepper.set(name, value)

    def loaded_late(self, thread: HostThread, word: str) -> None:
        self.judge.accesses["late"] += 1
        self.judge.fire(LATE_RULES[word], self._me(thread))

    # Barriers

    def barrier(self, thread: HostThread, kind: str) -> None:
        self.judge.accesses["barrier"] += 1

    def fence(self, thread: HostThread) -> None:
        self._accesses.fence(self._me(thread))

    # Registers

    def read(self, thread: HostThread, register: Register, value: int) -> None:
        self._accesses.read(self._me(thread), register)

    def write(self, thread: HostThread, register: Register, value: int) -> None:
        bells = self._accesses.write(self._me(thread), register, value)
        if bells is not None:
            self._host.posted[-1].bells = bells[1]

    def arrive(self, posted: Posted) -> None:
        if posted.register is DBELL:
            ring, _ = split_doorbell(posted.value)
            name = "tx" if ring is TRANSMIT_RING else "cmd"
            for _ in range(posted.bells):
                self.judge.fire(f"{name}.doorbell_arrives")
        elif posted.register in PACKET_BASES:
            self._arrived.add(posted.register)
            if self._arrived == PACKET_BASES:
                self._arrived.clear()
                self.judge.fire("packet_bases_arrive")
        elif posted.register is FLAGS:
            self._accesses.reset_arrives(self._me(posted.thread))

    def enable_bus_master(self, thread: HostThread) -> None:
        self._accesses.enable_bus_master(self._me(thread))

    def free(self, thread: HostThread, region: WeakRegion) -> None:
        self._accesses.free(self._me(thread), region)

    # The lock and sleeping

    def lock(self, thread: HostThread) -> None:
        self._accesses.lock(self._me(thread))

    def granted(self, thread: HostThread) -> None:
        self._accesses.granted(self._me(thread))

    def unlock(self, thread: HostThread) -> None:
        t = self._me(thread)
        self._accesses.unlock(t)
        self._acts_for.pop(thread.number, None)
        if t in self.ends and self.judge.pc(t) is Label.IDLE:
            self.ends[t].append((self.judge.result(t), self._now["threads_packet"][t]))

    def sleep(self, thread: HostThread, queue: WaitQueue) -> None:
        self._accesses.sleep(self._me(thread), queue)

    def get_up(self, thread: HostThread, ending: str) -> None:
        self._accesses.get_up(
            self._me(thread),
            interrupted=ending in {Ending.EXPIRED, Ending.CANCELLED, Ending.SIGNAL},
            expired=ending in {Ending.EXPIRED, Ending.SIGNAL},
        )
