"""From a driver's accesses to steps of the specification: what the judge is asked.

Each method is told what a thread of the specification is about to do, in the order in which it is
done, and raises `Deviation` where that is no step. The environment of the driver differs: a test
that decides everything, or a real card. So where memory is, who sleeps, and what pollers see is
asked of `Environment`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from engine.table import Seen, say
from impl.memory import Purpose
from impl.packet import FIELDS
from impl.runtime import WaitQueue
from judge.actor import Actor
from judge.environment import Environment
from judge.judge import Deviation, Judge
from judge.words import BUFFER_SIZE, Piece
from model.layout import (
    CMDBASE,
    CMDSHIFT,
    DBELL,
    EVFLAGS,
    FLAGS,
    HWADDR,
    PACKET_SLOT,
    RXBASE,
    RXSHIFT,
    TRANSMIT_RING,
    TXBASE,
    TXSHIFT,
    Owner,
    Register,
    split_doorbell,
)
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label, Life

__all__ = ["HOLDING", "Accesses"]

BASES: Final = {
    Label.CMD_BASE: ("command base", {CMDBASE, CMDSHIFT}),
    Label.BASE: ("packet bases", {TXBASE, TXSHIFT, RXBASE, RXSHIFT}),
}
PURPOSES: Final = {
    CMDBASE: Purpose.COMMAND_RING,
    TXBASE: Purpose.TRANSMIT_RING,
    RXBASE: Purpose.RECEIVE_RING,
}
HOLDING: Final = frozenset({Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER})
"""Where a reader holds a slot and has no lock."""


class Accesses:
    """Asks the judge about every access.

    Attributes:
        judge: The specification beside the run.
        actors: What is kept of each thread.
    """

    def __init__(self, judge: Judge, around: Environment) -> None:
        self.judge = judge
        self.actors: defaultdict[int, Actor] = defaultdict(Actor)
        self._environment = around
        self._now = judge.now
        self._pcs: list[int] = judge.now["threads_pc"]
        judge.next_is_empty = self._next_is_empty

    # Calls

    def begin(
        self, t: int, sizes: tuple[int, ...], *rule: Any, again: tuple[Any, ...] = ()
    ) -> None:
        """Thread t is about to make the call that begins with a rule.

        Behind it come others that begin with the rule `again`, as many as it asks for the lock.
        """
        self.actors[t] = Actor(begins=rule, sizes=sizes, again=again)
        self.judge.expired(t, False)

    def began(self, t: int) -> bool:
        """The call has asked for the lock."""
        return self.actors[t].begins is None

    def may_begin(self, t: int) -> bool:
        """False while the specification, at its finite size, has no room for one more call."""
        actor = self.actors[t]
        begins = actor.begins or (self._pcs[t] == Label.IDLE and actor.again)
        return not begins or self.judge.enabled(*begins)

    def observe(self, t: int, seen: Seen, slot: int | None = None) -> str:
        """An access that is one step. Returns its rule."""
        actor = self.actors[t]
        if actor.word is not None:
            self.close_word(t)
        if self._pcs[t] == Label.FREE and seen[0] != "free":
            self._free_all(t)
        was_freeing = self._pcs[t] == Label.FREE
        rule = self.judge.observe(t, seen, slot)
        if self._pcs[t] == Label.FREE and not was_freeing:
            actor.to_free = list(self._environment.packet_memory())
        return rule

    def observe_word(self, t: int, seen: Seen, piece: Piece) -> None:
        """An access that is one step, or goes on with the last one where that left off."""
        actor = self.actors[t]
        begin, end = piece.offset, piece.offset + piece.size
        if actor.word == (seen, piece.slot):
            self.judge.accesses[seen[0]] += 1
            if any(begin < last and first < end for first, last in actor.touched):
                raise Deviation(
                    f"{self.judge.who(t)}: {say(seen)} of slot {piece.slot} again; each byte of "
                    "it is for one access"
                )
        else:
            self.observe(t, seen, piece.slot)
            actor.word = seen, piece.slot
            actor.touched.clear()
        actor.touched.append((begin, end))

    def close_word(self, t: int) -> None:
        """No more accesses to the word at hand follow."""
        actor = self.actors[t]
        assert actor.word is not None
        _, slot = actor.word
        actor.word = None
        if actor.hidden:
            for word in sorted(actor.hidden):
                if not self._environment.is_pending(word, slot):
                    self.judge.fire(f"{word}_visible", slot)
            actor.hidden.clear()

    # Memory

    def store_begins(self, t: int, purpose: Purpose, offset: int) -> None:
        """Thread t is about to store; if to the next slot, the one at hand is handed over later.

        To the specification it is handed over here. What it calls storing the owner byte is to
        issue the store, of which nobody learns before it is visible: a thread that has the lock may
        as well issue it later, as long as it does so before it rings or gives up the lock.
        """
        due = self._now["tx_prod_i"]
        if self._pcs[t] != Label.TX_OWNER or _filled_in(purpose, offset) in {None, due}:
            return
        actor = self.actors[t]
        if actor.word is not None:
            self.close_word(t)
        self.judge.owed_owners[due] = actor.sent
        actor.sent += 1
        self.judge.fire("tx.store_owner", t)

    def store(self, t: int, piece: Piece, data: bytes) -> int:
        """A store, or a part of one, is issued. Returns the thread that it is attributed to."""
        for word in piece.words:
            if word.endswith(".owner"):
                self._store_owner(t, word, piece.slot, data[0])
            elif word == "rx.pointer" and self._pcs[t] != Label.INIT_POINTER:
                t = self._refill(t, piece.slot)
            else:
                self.observe_word(t, ("store", word), piece)
        return t

    def _store_owner(self, t: int, word: str, slot: int, value: int) -> None:
        if word == "tx.owner" and value == Owner.DEVICE and slot in self.judge.owed_owners:
            del self.judge.owed_owners[slot]
            self.judge.accesses["store"] += 1
            return
        name = {Owner.HOST: "HOST", Owner.DEVICE: "DEVICE"}.get(Owner(value), hex(value))
        self.judge.settle(t)
        if word == "tx.owner" and self._pcs[t] == Label.TX_OWNER:
            self.actors[t].sent += 1
        self.observe(t, ("store", f"{word} {name}"), slot)

    def _refill(self, t: int, slot: int) -> int:
        """A held slot's pointers are stored; the step is taken with the request for the lock.

        The specification has no step between the two: the store of a thread that holds a slot and
        no lock is seen by nobody before that.
        """
        if self._pcs[t] not in HOLDING:
            if not self._now["rx_held"][slot]:
                raise Deviation(f"{self.judge.who(t)}: stores to receive slot {slot}, not its own")
            t = self._now["rx_holder"][slot]
        actor = self.actors[t]
        if actor.refills is not None:
            raise Deviation(f"{self.judge.who(t)}: stores to receive slot {slot} again")
        actor.refills = slot
        return t

    def load(self, t: int, piece: Piece, data: bytes) -> None:
        """A load, or a part of one, yields `data`."""
        for word in piece.words:
            if word.endswith(".owner"):
                name = "HOST" if data[0] == Owner.HOST else "DEVICE"
                self.observe(t, ("load", f"{word} {name}"), piece.slot)
            else:
                self.observe_word(t, ("load", word), piece)

    def payload(self, t: int) -> int:
        """Bytes of the packet that the thread is storing or loading."""
        if self._pcs[t] in HOLDING:
            return int(self._now["threads_copied"][t])
        actor = self.actors[t]
        return actor.sizes[actor.sent] if actor.sent < len(actor.sizes) else 0

    def _next_is_empty(self, t: int) -> int:
        actor = self.actors[t]
        return int(actor.sent < len(actor.sizes) and not actor.sizes[actor.sent])

    def fence(self, t: int) -> None:
        """A fence; no store is pending any more."""
        if self._pcs[t] == Label.FREE:
            self.judge.accesses["barrier"] += 1
            return
        rule = self.observe(t, ("fence", ""))
        while self.judge.enabled(rule, t):
            self.judge.fire(rule, t)
        self.judge.settle(t)

    def free(self, t: int, region: Any) -> None:
        """Memory is freed."""
        actor = self.actors[t]
        if self._environment.has_pending(region):
            raise Deviation(
                f"{self.judge.who(t)}: frees the {region.purpose.value} while stores to it are "
                "not visible yet"
            )
        if actor.word == (("free", ""), 0):
            self.judge.accesses["free"] += 1
            return
        self.observe(t, ("free", ""))
        actor.word = ("free", ""), 0
        while self.judge.enabled("free_slot", t):
            self.judge.fire("free_slot", t)

    def _free_all(self, t: int) -> None:
        """The specification frees memory here, and the driver had none to free."""
        kept = [item.purpose.value for item in self.actors[t].to_free if not item.freed]
        if kept:
            raise Deviation(f"{self.judge.who(t)}: does not free the {', '.join(kept)}")
        while self.judge.enabled("free_slot", t):
            self.judge.fire("free_slot", t)
        self.judge.settle(t)

    # Registers

    def read(self, t: int, register: Register) -> None:
        """A register was read."""
        if register in {FLAGS, EVFLAGS} or self.reads_back(t, register):
            self.observe(t, ("read", register.name))
        else:
            self.judge.accesses["read"] += 1

    def reads_back(self, t: int, register: Register) -> bool:
        """A register read is the one behind the packet rings' addresses."""
        return register is HWADDR and self._pcs[t] == Label.READ_BACK

    def write(self, t: int, register: Register, value: int) -> tuple[str, int] | None:
        """A register write is issued.

        Returns the ring, and the number of doorbells of the specification that the write stands
        for; None where it is no doorbell.
        """
        if register is DBELL:
            return self._ring_doorbell(t, value)
        self.judge.settle(t)
        label = Label(self._pcs[t])
        if register is FLAGS:
            again = label is Label.POLL and self._now["card_flags"] == Flags.RESETTING
            if not (label is Label.RESET or again):
                raise Deviation(f"{self.judge.who(t)}: write to FLAGS at {label.name}")
            self.judge.accesses["write"] += 1
            return None
        self._write_base(t, label, register, value)
        return None

    def enable_bus_master(self, t: int) -> None:
        """The card may access memory from now on."""
        self.observe(t, ("write", "Bus Master"))

    def reset_arrives(self, t: int) -> None:
        """The write of RST arrives; one that is written again is part of the step before it."""
        if self._pcs[t] == Label.RESET:
            self.observe(t, ("arrive", "RST to FLAGS"))

    def _ring_doorbell(self, t: int, value: int) -> tuple[str, int]:
        """One doorbell announces a slot and all that were handed over before it."""
        ring, slot = split_doorbell(value)
        judge, now = self.judge, self._now
        self._check_owners(t)
        name = "tx" if ring is TRANSMIT_RING else "cmd"
        owed, judge.owed_bells[t] = judge.owed_bells[t], 0
        last = now["tx_prod_i"] - 1 & judge.spec.scope.ring_size - 1
        judge.settle(t)
        if name == "tx" and owed and self._pcs[t] != Label.TX_DOORBELL and slot == last:
            # Part of a batch: the rest waits for room, or the call ends here.
            judge.accesses["doorbell"] += 1
            return name, owed
        self.observe(t, ("doorbell", name), slot)
        return name, owed + 1

    def _check_owners(self, t: int) -> None:
        if self.judge.owed_owners:
            slots = ", ".join(map(str, self.judge.owed_owners))
            raise self.judge.deviation(
                f"{self.judge.who(t)}: goes on, and has filled in transmit slots that it does not "
                f"hand over: {slots}"
            )

    def _check_bells(self, t: int) -> None:
        if self.judge.owed_bells[t]:
            raise self.judge.deviation(
                f"{self.judge.who(t)}: handed packets over, and does not ring the doorbell"
            )

    def _write_base(self, t: int, label: Label, register: Register, value: int) -> None:
        name, wanted = BASES.get(label, ("", set()))
        actor = self.actors[t]
        if register not in wanted or register in actor.bases:
            raise Deviation(f"{self.judge.who(t)}: write to {register.name} at {label.name}")
        if register in PURPOSES:
            right = self._environment.begins_at(value) is PURPOSES[register]
        else:
            right = 1 << value == self.judge.spec.scope.ring_size
        if not right:
            raise Deviation(f"{self.judge.who(t)}: {register.name} = {value:#x} is wrong")
        actor.bases.add(register)
        if actor.bases == wanted:
            actor.bases = set()
            self.observe(t, ("write", name))
        else:
            self.judge.accesses["write"] += 1

    # The lock and sleeping

    def lock(self, t: int) -> None:
        """The lock is asked for."""
        actor = self.actors[t]
        if actor.refills is not None:
            slot, actor.refills = actor.refills, None
            self.judge.accesses["lock"] += 1
            self.observe(t, ("store", "rx.pointer"), slot)
        elif t in {EVENT_THREAD, FATAL_THREAD}:
            self.observe(t, ("lock", ""))
        elif actor.begins:
            rule, actor.begins = actor.begins, None
            self.judge.accesses["lock"] += 1
            self.judge.fire(*rule)
        elif actor.again and self._pcs[t] == Label.IDLE:
            self.judge.accesses["lock"] += 1
            self.judge.fire(*actor.again)
        else:
            raise self.judge.deviation(
                f"{self.judge.who(t)}: asks for the lock at {self.judge.pc(t).name}"
            )

    def granted(self, t: int) -> None:
        """The lock is given."""
        if not self.actors[t].neutral:
            self.judge.settle(t)

    def unlock(self, t: int) -> None:
        """The lock is given up."""
        actor = self.actors[t]
        if actor.neutral:
            actor.neutral = False
            return
        if self._pcs[t] == Label.FREE:
            self._free_all(t)
        if self.judge.holds_lock(t):
            self.observe(t, ("unlock", ""))
        else:
            if actor.word is not None:
                self.close_word(t)
            self.judge.accesses["unlock"] += 1
        if self.judge.holds_lock(t):
            raise self.judge.deviation(
                f"{self.judge.who(t)}: gives up the lock at {self.judge.pc(t).name}"
            )
        self._check_sleepers(t)

    def sleep(self, t: int, queue: WaitQueue) -> None:
        """The lock is given up and a sleep begins."""
        if self._now["threads_asleep"][t]:
            self.judge.accesses["sleep"] += 1
            if queue is not WaitQueue.READERS:
                raise self.judge.deviation(
                    f"{self.judge.who(t)}: sleeps for {queue.value}, and wants a packet"
                )
        else:
            self.observe(t, ("sleep", queue.name))
        self._check_sleepers(t)

    def get_up(self, t: int, *, interrupted: bool, expired: bool) -> None:
        """A sleep ends; the lock is asked for.

        Args:
            t: The thread.
            interrupted: Not by a wake-up: its deadline, a signal, or its handle was closed.
            expired: By its deadline or a signal.
        """
        judge = self.judge
        judge.accesses["get up"] += 1
        # Only whoever drains stops for it; whoever waits for callers to leave goes on waiting.
        judge.expired(t, expired and self._pcs[t] == Label.DRAIN)
        woken = judge.enabled("wake", t)
        if interrupted:
            if judge.enabled("interrupt", t):
                judge.fire("interrupt", t)
                return
            if judge.enabled("interrupt_open", t):
                judge.fire("interrupt_open", t)
                self.actors[t].neutral = True
                return
        judge.fire("wake" if woken else "spurious_wakeup", t)

    def _check_sleepers(self, t: int) -> None:
        """Whoever gives up the lock has woken everyone that it must wake, and announced all."""
        self._check_owners(t)
        self._check_bells(t)
        for other in self._environment.sleepers():
            if other.thread != t and self.judge.enabled("wake", other.thread):
                raise self.judge.deviation(
                    f"{self.judge.who(t)}: gives up the lock, and {self.judge.who(other.thread)}, "
                    f"who sleeps for {other.queue.value}, was not woken"
                )
        if self._now["driver_life"] == Life.OPEN:
            readable, writable = self._environment.pollers()
            self._check_pollers(t, "readable", readable, self._now["rx_ready"])
            self._check_pollers(t, "writable", writable, self._writable())

    def _writable(self) -> bool:
        """A packet could be queued: nobody is in line, and a slot is free; or the card failed."""
        now = self._now
        gone = now["tx_waiters_cancelled"]
        places = range(now["tx_waiters_head"], now["tx_waiters_next"])
        line = any(not gone[place % len(gone)] for place in places)
        room = now["tx_prod"] - now["tx_cons"] < self.judge.spec.scope.ring_size
        return bool(now["driver_failed"] or (room and not line))

    def _check_pollers(self, t: int, what: str, seen: bool, right: bool) -> None:
        if seen != right:
            raise self.judge.deviation(
                f"{self.judge.who(t)}: gives up the lock, and pollers see {what} = "
                f"{seen}, where the specification says {right}"
            )


def _filled_in(purpose: Purpose, offset: int) -> int | None:
    """The transmit slot that a store there fills in; None if it fills none in."""
    if purpose is Purpose.TRANSMIT_BUFFERS:
        return offset // BUFFER_SIZE
    slot, place = divmod(offset, PACKET_SLOT.size)
    return slot if purpose is Purpose.TRANSMIT_RING and place >= FIELDS.offset else None
