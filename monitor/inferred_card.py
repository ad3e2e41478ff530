"""What the card does, inferred from what can be seen of it.

Nobody sees the card's steps. They are taken here, in the specification, as late as possible: not
before something that is seen could not be so without them. Then no more of them are taken than
that needs, along the one way that leads there. If the specification does not allow that way, the
card has broken the rule.

Taking them late excludes nothing that a card may do. What a step makes possible it makes possible
later, too, with few exceptions: a STOP, a failure, and a filter that is removed. Before each of
these the rings are looked at, and what the card had done by then is taken first. And an event bit
that was set between two completions leaves the second one still to be announced: `monitor.events`
says how that is found out afterwards.
"""

from __future__ import annotations

import errno
from typing import Final

from judge.filters import Filters
from judge.judge import CardDeviation, Judge
from judge.peek import Rings
from model.layout import (
    CMDCOMP,
    EVFLAGS,
    LIMITS,
    RXCOMP,
    RXDROP,
    RXJUMBO,
    TXCOMP,
    Bit,
    Command,
    Owner,
    errno_of,
    is_fatal,
)
from model.state import Flags, Result, Stage
from monitor.events import Events
from monitor.path import LongPath, Mark
from monitor.stages import steps_by_stage
from monitor.stores import PendingStores
from monitor.unchanged import Unchanged

__all__ = ["InferredCard"]

ANSWERS: Final = {0: Result.OK, errno.ENOSPC: Result.ENOSPC, errno.ENOENT: Result.ENOENT}
"""What an answer of the card means, by what it is for a caller."""

COMPLETIONS: Final = {"cmd": CMDCOMP, "tx": TXCOMP, "rx": RXCOMP}
EXECUTED: Final = frozenset({Stage.WRITE_STATUS, Stage.WRITE_OWNER})
"""A command was carried out, and is not returned yet."""


class InferredCard:
    """The card of the specification, driven by what is seen of the real one.

    Attributes:
        known: The card was reset, so that it is known what it does.
        unchanged: What the card must have left as it was.
    """

    def __init__(
        self, judge: Judge, path: LongPath, rings: Rings, stores: PendingStores, filters: Filters
    ) -> None:
        self.known = False
        self.unchanged = Unchanged(judge, rings)
        self._judge = judge
        self._now = judge.now
        self._path = path
        self._rings = rings
        self._stores = stores
        self._filters = filters
        self._events = Events(judge, path)
        self._removed: dict[int, Mark] = {}
        self._receiving = False
        system = judge.stepper.layout.system
        self._steps = {ring: steps_by_stage(system, ring) for ring in COMPLETIONS}

    # What is seen

    def owner_loaded(self, ring: str, slot: int, value: int) -> None:
        """The owner byte of a slot reads as `value`: let the card have got so far."""
        if value not in set(Owner):
            raise CardDeviation(f"owner byte {value:#x} in slot {slot} of the {ring} ring")
        handed_over = self.unchanged.is_cards(ring, slot)
        if value == Owner.HOST and handed_over:
            if slot == self._now[f"{ring}_dev_i"]:
                self._complete(ring)
        elif value == Owner.DEVICE and not handed_over:
            raise CardDeviation(
                f"the owner byte of slot {slot} of the {ring} ring became DEVICE, and nobody "
                "handed it over"
            )

    def events_read(self, value: int) -> None:
        """EVFLAGS reads as `value`: let the card have set these bits, and no others."""
        if not self.known:
            return
        for ring in ("cmd", "tx", "rx"):
            self.unchanged.check_order(ring)
        strange = value & ~sum(bit.mask for bit in EVFLAGS.bits)
        if strange:
            raise CardDeviation(f"EVFLAGS has bits {strange:#x}, which mean nothing")
        for ring, bit in COMPLETIONS.items():
            if value & bit.mask:
                self._completion_told(ring, bit)
        if value & (RXDROP.mask | RXJUMBO.mask):
            self._packet_dropped(bool(value & RXDROP.mask))

    def events_were_read(self) -> None:
        """EVFLAGS is clear again."""
        self._events.read()

    def flags_read(self, value: int) -> None:
        """FLAGS reads as `value`: let the card have failed, or finished its reset."""
        flags = self._now["card_flags"]
        if is_fatal(value):
            if flags != Flags.ERROR:
                self._fail()
        elif value:
            if flags != Flags.RESETTING:
                raise CardDeviation("FLAGS names a reset that was not asked for")
        elif flags == Flags.RESETTING:
            self._take("card.reset_over")
        elif flags == Flags.ERROR:
            raise CardDeviation("FLAGS became clear again without a reset")

    def interrupt_came(self) -> None:
        """Vector 0 was delivered."""
        if not self._now["card_vector0"]:
            raised = self._judge.enabled("card.raise_vector0")
            self._take("card.raise_vector0" if raised else "card.spurious_vector0")
            if raised:
                self._events.raised()

    def reset_written(self) -> None:
        """RST was written to FLAGS: the card has forgotten everything."""
        self.known = True
        self._events.reset()
        self._removed.clear()

    # The card's steps

    def _take(self, rule: str, *values: int) -> None:
        if not self._judge.enabled(rule, *values):
            wrong = self._judge.deviation("what the card did is not allowed", rule, values)
            raise CardDeviation(wrong.reason)
        self._judge.fire(rule, *values)

    def _complete(self, ring: str) -> None:
        """The slot at the card's index came back."""
        match ring:
            case "tx":
                self._send()
            case "rx":
                self._receive()
            case _:
                self._stores.seen("cmd", self._now["cmd_dev_i"])
                self._carry_out(until_returned=True)
        self._events.completed(ring)

    def _catch_up(self, ring: str) -> None:
        """Let the card have given back whatever it has given back."""
        now = self._now
        while ring in self._rings and now[f"{ring}_based"]:
            slot = now[f"{ring}_dev_i"]
            if not self.unchanged.is_cards(ring, slot) or not self._rings.has_completion(
                ring, slot
            ):
                return
            self._complete(ring)

    def _send(self) -> None:
        now = self._now
        while not now["card_started"] and self._go_on_with_commands():
            pass
        self._stores.seen("tx", now["tx_dev_i"])
        self._hand_back("tx")

    def _hand_back(self, ring: str) -> None:
        """A packet engine goes on until it has handed its slot back."""
        rule = ""
        while rule != f"{ring}.complete":
            rule = self._steps[ring][self._now[f"{ring}_stage"]]
            self._take(rule)

    def _receive(self) -> None:
        now = self._now
        slot = now["rx_dev_i"]
        header = self._rings.header(slot)
        if header.length > LIMITS.max_packet:
            raise CardDeviation(
                f"a packet of {header.length} bytes in receive slot {slot}, whose buffers hold "
                f"{LIMITS.max_packet}"
            )
        self._stores.seen("rx", slot)
        self._receiving = True
        try:
            self._arrive(header.destination, int(header.length > 0))
        finally:
            self._receiving = False
        self._hand_back("rx")
        self._removed.clear()

    def _arrive(self, destination: int, length: int) -> None:
        """A packet arrived that a filter accepts, or did accept when the packet arrived."""
        now = self._now
        while True:
            accepting = list(self._filters.accepting(destination))
            for key in accepting:
                if now["card_filters"][key]:
                    self._take("rx.arrive", key, length)
                    return
            for key in accepting:
                if key in self._removed:
                    self._path.insert(self._removed[key].position, ("rx.arrive", key, length))
                    self._judge.stepper.set("rx.arriving", length)
                    self._judge.stepper.set("rx.stage", Stage.LOOK)
                    return
            if not self._go_on_with_commands():
                raise CardDeviation(
                    f"a packet for {destination:#010x} was received, which no filter accepts"
                )

    # Commands

    def _go_on_with_commands(self) -> bool:
        """Let the card have carried out one more command, if it may have."""
        now = self._now
        slot = now["cmd_dev_i"]
        if now["cmd_stage"] in EXECUTED:
            if not self._rings.has_completion("cmd", slot):
                return False
            self._carry_out(until_returned=True)
            self._events.completed("cmd")
            return True
        if not self.unchanged.is_cards("cmd", slot) or now["cmd_kind_new"][slot] == Command.STOP:
            return False
        self._stores.seen("cmd", slot)
        self._carry_out(until_returned=False)
        return True

    def _carry_out(self, *, until_returned: bool) -> None:
        now = self._now
        while True:
            stage = now["cmd_stage"]
            if stage in EXECUTED and not until_returned:
                return
            if stage == Stage.EXECUTE:
                self._before_execution(Command(now["cmd_seen_kind"]))
            elif stage == Stage.WRITE_OWNER:
                self._check_answer()
            rule = self._steps["cmd"][stage]
            self._take(rule)
            if rule == "cmd.complete":
                return

    def _before_execution(self, command: Command) -> None:
        """Take first what the card can do no more once a command is carried out."""
        now = self._now
        if command in {Command.STOP, Command.RMFILT, Command.FLUSHFILT} and not self._receiving:
            self._catch_up("tx")
            self._catch_up("rx")
        if command is Command.STOP:
            self._events.stops()
        elif command is Command.RMFILT:
            self._removed[now["cmd_seen_key"]] = self._path.mark()
        elif command is Command.FLUSHFILT:
            for key, count in enumerate(now["card_filters"]):
                if count:
                    self._removed[key] = self._path.mark()

    def _check_answer(self) -> None:
        now = self._now
        slot = now["cmd_dev_i"]
        command, error = Command(now["cmd_seen_kind"]), self._rings.error(slot)
        right = Result(now["cmd_status"][slot])
        if ANSWERS.get(errno_of(command, error)) is not right:
            raise CardDeviation(
                f"{command.name} was answered with error {error}, where the specification says "
                f"{right.name}"
            )

    # Failure and events

    def _fail(self) -> None:
        if self._now["card_flags"] == Flags.CLEAR:
            for ring in ("cmd", "tx", "rx"):
                self._catch_up(ring)
            self._events.stops()
        self._take("card.fatal_error")
        self._events.halts()

    def _completion_told(self, ring: str, bit: Bit) -> None:
        if not self._events.to_be_told(ring):
            slot = self._now[f"{ring}_dev_i"]
            there = ring in self._rings and self.unchanged.is_cards(ring, slot)
            if not there or not self._rings.has_completion(ring, slot):
                raise CardDeviation(
                    f"{bit.name} was set, and no slot of the {ring} ring came back since it was "
                    "last set"
                )
            self._complete(ring)
        self._events.tell(ring)

    def _packet_dropped(self, for_want_of_a_slot: bool) -> None:
        now = self._now
        while not now["card_started"] and self._go_on_with_commands():
            pass
        self._events.drop()
        slot = now["rx_dev_i"]
        if not for_want_of_a_slot or "rx" not in self._rings or self._events.slots_came:
            return
        for _ in range(self._judge.spec.scope.ring_size):
            if not self.unchanged.is_cards("rx", slot) or now["rx_owner_pending"][slot]:
                return
            if self._rings.owner("rx", slot) == Owner.DEVICE:
                raise CardDeviation(f"RXDROP was set, and receive slot {slot} was the card's")
            slot = slot + 1 & self._judge.spec.scope.ring_size - 1

    def slot_given(self) -> None:
        """A reader gave a receive slot back."""
        self._events.slots_came = True
