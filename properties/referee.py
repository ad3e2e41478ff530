"""From accesses on real bytes to steps of the specification: what the judge is asked."""

from __future__ import annotations

from typing import Any, Final

import attrs

from impl.memory import Purpose
from impl.runtime import Channel
from model.layout import (
    CMDBASE,
    CMDSHIFT,
    DBELL,
    EVFLAGS,
    FLAGS,
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
from model.stepper import Step
from monitor.judge import Deviation, Judge
from monitor.program import FENCE, LOCK, UNLOCK, Access, say, sleeps
from monitor.words import Piece
from properties.host import Ending, Host, Posted, Referee
from properties.threads import HostThread
from properties.weak_memory import Region, Store

__all__ = ["JudgingReferee"]

EARLY_RULES: Final = {
    "cmd.owner": "cmd.load_owner_early",
    "cmd.result": "load_result_early",
    "tx.owner": "tx.load_owner_early",
    "rx.owner": "load_rx_owner_early",
    "rx.header": "load_header_early",
}
BASES: Final = {
    Label.CMD_BASE: ("command base", {CMDBASE, CMDSHIFT}),
    Label.BASE: ("packet bases", {TXBASE, TXSHIFT, RXBASE, RXSHIFT}),
}
PURPOSES: Final = {
    CMDBASE: Purpose.COMMAND_RING,
    TXBASE: Purpose.TRANSMIT_RING,
    RXBASE: Purpose.RECEIVE_RING,
}
HOLDING: Final = frozenset({Label.RX_HEAD, Label.RX_TAIL, Label.RX_POINTER})


@attrs.define(eq=False)
class _Early:
    """A load that was satisfied ahead of its turn: when, and what the specification saw then."""

    position: int
    step: Step | None
    values: dict[str, int | bool]


@attrs.define(eq=False)
class _Actor:
    """What the referee keeps of a thread of the specification.

    Attributes:
        word: The word that it is storing or loading, in one access or in several.
        touched: The bytes of it that were accessed: begin and end of each piece.
        hidden: Words whose stores are all visible although more may follow.
        begins: The call that begins when it asks for the lock: a rule and its parameters.
        neutral: It has the lock for a purpose that the specification knows nothing of.
        acts_for: The reader whose slot it gives back.
        restores: The receive slot whose pointers it has restored.
        bases: The base and size registers that it has written.
        to_free: The regions that it must free.
        packets: The packets that it sends: destination and payload.
        sent: How many of them were handed over.
    """

    word: tuple[Access, int] | None = None
    touched: list[tuple[int, int]] = attrs.field(factory=list)
    hidden: set[str] = attrs.field(factory=set)
    begins: tuple[Any, ...] | None = None
    neutral: bool = False
    acts_for: int | None = None
    restores: int | None = None
    bases: set[Register] = attrs.field(factory=set)
    to_free: list[Region] = attrs.field(factory=list)
    packets: tuple[tuple[int, bytes], ...] = ()
    sent: int = 0


class JudgingReferee(Referee):
    """Asks the judge about every access.

    Attributes:
        host: The host whose accesses are judged; set once it exists.
        handed_over: The packets that were handed over, by number.
    """

    host: Host

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.handed_over: dict[int, tuple[int, bytes]] = {}
        self._now = judge.now
        self._labels: list[int] = judge.now["threads_label"]
        self._slots: list[int] = judge.now["threads_slot"]
        self._actors = [_Actor() for _ in range(judge.spec.scope.threads)]
        self._earlies: list[_Early] = []
        judge.next_is_empty = self._next_is_empty

    # Calls

    def begin(self, t: int, packets: tuple[tuple[int, bytes], ...], *rule: Any) -> None:
        """Thread t is about to make the call that begins with a rule."""
        actor = self._actors[t] = _Actor()
        actor.begins = rule
        actor.packets = packets

    def began(self, t: int) -> bool:
        """The call has asked for the lock."""
        return self._actors[t].begins is None

    def may_begin(self, t: int) -> bool:
        """False while the specification, at its finite size, has no room for one more call."""
        begins = self._actors[t].begins
        return not begins or self.judge.enabled(*begins)

    def _me(self, thread: HostThread) -> int:
        acts_for = self._actors[thread.number].acts_for
        return thread.number if acts_for is None else acts_for

    def _observe(self, t: int, access: Access, slot: int | None = None) -> str:
        """An access that is one step."""
        actor = self._actors[t]
        if actor.word is not None:
            self._close_word(actor)
        if self._labels[t] == Label.FREE and access[0] != "free":
            self._free_all(t)
        was_freeing = self._labels[t] == Label.FREE
        rule = self.judge.observe(t, access, slot)
        if self._labels[t] == Label.FREE and not was_freeing:
            actor.to_free = self._packet_memory()
        return rule

    def _packet_memory(self) -> list[Region]:
        regions = self.host.memory.regions.values()
        return [item for item in regions if item.purpose is not Purpose.COMMAND_RING]

    def _observe_word(self, t: int, access: Access, piece: Piece) -> None:
        """An access that is one step, or goes on with the last one where that left off."""
        actor = self._actors[t]
        begin, end = piece.offset, piece.offset + piece.size
        if actor.word == (access, piece.slot):
            self.judge.accesses[access[0]] += 1
            if any(begin < last and first < end for first, last in actor.touched):
                raise Deviation(
                    f"{self.judge.who(t)}: {say(access)} of slot {piece.slot} again; each byte of "
                    "it is for one access"
                )
        else:
            self._observe(t, access, piece.slot)
            actor.word = access, piece.slot
            actor.touched.clear()
        actor.touched.append((begin, end))

    def _close_word(self, actor: _Actor) -> None:
        assert actor.word is not None
        slot = actor.word[1]
        actor.word = None
        for word in sorted(actor.hidden):
            if not self.host.memory.still_pending(word, slot):
                self.judge.fire(f"{word}_visible", slot)
        actor.hidden.clear()

    # Memory

    def store(self, thread: HostThread, region: Region, piece: Piece, data: bytes) -> None:
        t = self._me(thread)
        slot = piece.slot
        for word in piece.words:
            if word.endswith(".owner"):
                self._store_owner(t, word, slot, data[0])
            elif word == "rx.pointer" and self._labels[t] != Label.INIT_POINTER:
                self._restore(thread, slot)
            else:
                self._observe_word(t, ("store", word), piece)

    def _store_owner(self, t: int, word: str, slot: int, value: int) -> None:
        name = {Owner.HOST: "HOST", Owner.DEVICE: "DEVICE"}.get(Owner(value), hex(value))
        actor, number = self._actors[t], self._now["tx_prod"]
        self.judge.settle(t)
        if word == "tx.owner" and self._labels[t] == Label.TX_OWNER:
            self.handed_over[number] = actor.packets[actor.sent]
            actor.sent += 1
        self._observe(t, ("store", f"{word} {name}"), slot)

    def _restore(self, thread: HostThread, slot: int) -> None:
        """A held slot's pointers are restored; the step is taken with the request for the lock."""
        t = self._me(thread)
        if self._labels[t] not in HOLDING:
            if not self._now["rx_held"][slot]:
                raise Deviation(f"{self.judge.who(t)}: stores to receive slot {slot}, not its own")
            t = self._now["rx_holder"][slot]
            self._actors[thread.number].acts_for = t
        self.judge.accesses["store"] += 1
        actor = self._actors[t]
        if actor.restores is not None:
            raise Deviation(f"{self.judge.who(t)}: stores to receive slot {slot} again")
        actor.restores = slot
        thread.run_on = True

    def visible(self, store: Store) -> None:
        self.judge.accesses["visible"] += 1
        slot = store.piece.slot
        for word in store.piece.words:
            if self._others_pending(store, word):
                continue
            writer = self._actors[store.thread]
            if writer.acts_for is None and writer.word == (("store", word), slot):
                writer.hidden.add(word)
            else:
                self.judge.fire(f"{word}_visible", slot)

    def _others_pending(self, store: Store, word: str) -> bool:
        return any(
            other is not store
            and other.piece.slot == store.piece.slot
            and word in other.piece.words
            for other in self.host.memory.pending
        )

    def load(self, thread: HostThread, region: Region, piece: Piece, data: bytes) -> None:
        t = self._me(thread)
        for word in piece.words:
            if word.endswith(".owner"):
                name = "HOST" if data[0] == Owner.HOST else "DEVICE"
                self._observe(t, ("load", f"{word} {name}"), piece.slot)
            else:
                self._observe_word(t, ("load", word), piece)

    def payload(self, thread: HostThread) -> int:
        t = self._me(thread)
        if self._labels[t] in HOLDING:
            return int(self._now["threads_copied"][t])
        actor = self._actors[t]
        return len(actor.packets[actor.sent][1]) if actor.sent < len(actor.packets) else 0

    # Loads that are satisfied early

    def loaded_early(self, thread: HostThread, word: str, slot: int) -> object:
        judge, now = self.judge, self._now
        rule = EARLY_RULES[word]
        step = (rule,) if judge.enabled(rule) else None
        ring = word.partition(".")[0]
        if word.endswith(".owner"):
            pending = now[f"{ring}_owner_pending"][slot]
            owner = now[f"{ring}_owner_new" if pending else f"{ring}_owner"][slot]
            values = {f"{ring}.early": True, f"{ring}.early_owner": owner}
        elif word == "rx.header":
            values = {
                "rx.early_header": True,
                "rx.early_tag": now["rx_header"][slot],
                "rx.early_length": now["rx_length"][slot],
            }
        else:
            values = {
                "cmd.early_result": True,
                "cmd.early_tag": now["cmd_result"][slot],
                "cmd.early_code": now["cmd_code"][slot],
            }
        early = _Early(len(judge.path), step, values)
        self._earlies.append(early)
        return early

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

    # Barriers

    def barrier(self, thread: HostThread, kind: str) -> None:
        self.judge.accesses["barrier"] += 1

    def fence(self, thread: HostThread) -> None:
        t = self._me(thread)
        if self._labels[t] == Label.FREE:
            self.judge.accesses["barrier"] += 1
            return
        rule = self._observe(t, FENCE)
        while self.judge.enabled(rule, t):
            self.judge.fire(rule, t)
        self.judge.settle(t)

    # Registers

    def read(self, thread: HostThread, register: Register, value: int) -> None:
        if register in {FLAGS, EVFLAGS}:
            self._observe(self._me(thread), ("read", register.name))
        else:
            self.judge.accesses["read"] += 1

    def write(self, thread: HostThread, register: Register, value: int) -> None:
        t = self._me(thread)
        if register is DBELL:
            self._ring_doorbell(t, value)
            return
        label = Label(self._labels[t])
        self.judge.settle(t)
        label = Label(self._labels[t])
        if register is FLAGS:
            again = label is Label.POLL and self._now["card_flags"] == Flags.RESETTING
            if not (label is Label.RESET or again):
                raise Deviation(f"{self.judge.who(t)}: write to FLAGS at {label.name}")
            self.judge.accesses["write"] += 1
            return
        self._write_base(t, label, register, value)

    def _ring_doorbell(self, t: int, value: int) -> None:
        """One doorbell announces a slot and all that were handed over before it."""
        ring, slot = split_doorbell(value)
        judge, now = self.judge, self._now
        name = "tx" if ring is TRANSMIT_RING else "cmd"
        owed, judge.owed_bells[t] = judge.owed_bells[t], 0
        last = now["tx_prod_i"] - 1 & judge.spec.scope.ring_size - 1
        judge.settle(t)
        if name == "tx" and owed and self._labels[t] != Label.TX_DOORBELL and slot == last:
            # Part of a batch: the rest waits for room, or the call ends here.
            judge.accesses["doorbell"] += 1
            self.host.posted[-1].bells = owed
            return
        self._observe(t, ("doorbell", name), slot)
        self.host.posted[-1].bells = owed + 1

    def _check_bells(self, t: int) -> None:
        if self.judge.owed_bells[t]:
            raise self.judge.deviation(
                f"{self.judge.who(t)}: handed packets over, and does not ring the doorbell"
            )

    def _next_is_empty(self, t: int) -> int:
        actor = self._actors[t]
        return int(actor.sent < len(actor.packets) and not actor.packets[actor.sent][1])

    def _write_base(self, t: int, label: Label, register: Register, value: int) -> None:
        name, wanted = BASES.get(label, ("", set()))
        actor = self._actors[t]
        if register not in wanted or register in actor.bases:
            raise Deviation(f"{self.judge.who(t)}: write to {register.name} at {label.name}")
        if register in PURPOSES:
            found = self.host.memory.find(value, 1)
            right = found is not None and found[1] == 0 and found[0].purpose is PURPOSES[register]
        else:
            right = 1 << value == self.judge.spec.scope.ring_size
        if not right:
            raise Deviation(f"{self.judge.who(t)}: {register.name} = {value:#x} is wrong")
        actor.bases.add(register)
        if actor.bases == wanted:
            actor.bases = set()
            self._observe(t, ("write", name))
        else:
            self.judge.accesses["write"] += 1

    def arrive(self, posted: Posted) -> None:
        if posted.register is DBELL:
            ring, _ = split_doorbell(posted.value)
            name = "tx" if ring is TRANSMIT_RING else "cmd"
            for _ in range(posted.bells):
                self.judge.fire(f"{name}.doorbell_arrives")
        elif posted.register is FLAGS:
            t = self._me(posted.thread)
            if self._labels[t] == Label.RESET:
                self._observe(t, ("arrive", "RST"))

    def free(self, thread: HostThread, region: Region) -> None:
        t = self._me(thread)
        actor = self._actors[t]
        if any(store.region is region for store in self.host.memory.pending):
            raise Deviation(
                f"{self.judge.who(t)}: frees the {region.purpose.value} while stores to it are "
                "not visible yet"
            )
        if actor.word == (("free", ""), 0):
            self.judge.accesses["free"] += 1
            return
        self._observe(t, ("free", ""))
        actor.word = ("free", ""), 0
        while self.judge.enabled("free_slot", t):
            self.judge.fire("free_slot", t)

    def _free_all(self, t: int) -> None:
        """The specification frees memory here, and the driver had none to free."""
        kept = [item.purpose.value for item in self._actors[t].to_free if not item.freed]
        if kept:
            raise Deviation(f"{self.judge.who(t)}: does not free the {', '.join(kept)}")
        while self.judge.enabled("free_slot", t):
            self.judge.fire("free_slot", t)
        self.judge.settle(t)

    # The lock and sleeping

    def lock(self, thread: HostThread) -> None:
        t = self._me(thread)
        actor = self._actors[t]
        if actor.restores is not None:
            slot, actor.restores = actor.restores, None
            self._observe(t, ("restore", "rx.pointer"), slot)
        elif t in {EVENT_THREAD, FATAL_THREAD}:
            self._observe(t, LOCK)
        elif actor.begins:
            rule, actor.begins = actor.begins, None
            self.judge.accesses["lock"] += 1
            self.judge.fire(*rule)
        else:
            raise self.judge.deviation(
                f"{self.judge.who(t)}: asks for the lock at {self.judge.label(t).name}"
            )

    def granted(self, thread: HostThread) -> None:
        t = self._me(thread)
        if not self._actors[t].neutral:
            self.judge.settle(t)

    def unlock(self, thread: HostThread) -> None:
        t = self._me(thread)
        actor = self._actors[t]
        if actor.neutral:
            actor.neutral = False
            return
        if self._labels[t] == Label.FREE:
            self._free_all(t)
        if self.judge.holds_lock(t):
            self._observe(t, UNLOCK)
        else:
            if actor.word is not None:
                self._close_word(actor)
            self.judge.accesses["unlock"] += 1
        if self.judge.holds_lock(t):
            raise self.judge.deviation(
                f"{self.judge.who(t)}: gives up the lock at {self.judge.label(t).name}"
            )
        self._actors[thread.number].acts_for = None
        self._check_sleepers(thread)

    def sleep(self, thread: HostThread, channel: Channel) -> None:
        t = self._me(thread)
        if self._now["threads_asleep"][t]:
            self.judge.accesses["sleep"] += 1
            if channel is not Channel.READERS:
                raise self.judge.deviation(
                    f"{self.judge.who(t)}: sleeps for {channel.value}, and wants a packet"
                )
        else:
            self._observe(t, sleeps(channel))
        self._check_sleepers(thread)

    def get_up(self, thread: HostThread, ending: str) -> None:
        t = self._me(thread)
        judge = self.judge
        judge.accesses["get up"] += 1
        judge.expired(t, ending in {Ending.EXPIRED, Ending.SIGNAL})
        woken = judge.enabled("wake", t)
        if ending in {Ending.EXPIRED, Ending.CANCELLED, Ending.SIGNAL}:
            if judge.enabled("interrupt", t):
                judge.fire("interrupt", t)
                return
            if judge.enabled("interrupt_open", t):
                judge.fire("interrupt_open", t)
                self._actors[t].neutral = True
                return
        judge.fire("wake" if woken else "wake_without_reason", t)

    def _check_sleepers(self, thread: HostThread) -> None:
        """Whoever gives up the lock has woken everyone that it must wake, and announced all."""
        self._check_bells(self._me(thread))
        for other in self.host.threads:
            sleep = other.sleep
            if sleep is None or sleep.notified or sleep.cancelled or other is thread:
                continue
            if self.judge.enabled("wake", other.number):
                raise self.judge.deviation(
                    f"{self.judge.who(thread.number)}: gives up the lock, and "
                    f"{self.judge.who(other.number)}, who sleeps for {sleep.channel.value}, "
                    "was not woken"
                )
        if self._now["driver_life"] == Life.OPEN:
            self._check_pollers(thread, "readable", self.host.readable, self._now["rx_ready"])
            self._check_pollers(thread, "writable", self.host.writable, self._writable())

    def _writable(self) -> bool:
        """A packet could be queued: nobody is in line, and a slot is free; or the card failed."""
        now = self._now
        gone = now["tx_line_gone"]
        places = range(now["tx_line_head"], now["tx_line_next"])
        line = any(not gone[place % len(gone)] for place in places)
        room = now["tx_prod"] - now["tx_cons"] < self.judge.spec.scope.ring_size
        return bool(now["driver_failed"] or (room and not line))

    def _check_pollers(self, thread: HostThread, what: str, seen: bool, right: bool) -> None:
        if seen != right:
            raise self.judge.deviation(
                f"{self.judge.who(thread.number)}: gives up the lock, and pollers see {what} = "
                f"{seen}, where the specification says {right}"
            )
