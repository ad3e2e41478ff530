"""The card, on real bytes, one step of the specification at a time.

Each step bears the name of a rule of `model.device_spec`, may be taken when that rule's guard
holds, and does what the rule does, with the same accesses to memory in the same order. The card
does nothing by itself and knows no threads: whoever owns it says which step comes next.

    while steps := [name for name in card.enabled() if name not in card.optional]:
        card.take(steps[0])

What the datasheet and the specification leave open is decided as follows.

* A ring's address is checked when the ring is used; then a bad one is FLTB. One that is not page
  aligned is FLTB as soon as it is written. A bad address in a slot is FLTR.
* Writing the address or size of a packet ring while packet traffic is on is SEQ.
* A ring whose size was not written has one slot.
* A packet to send of more than 16384 bytes is HWERR.
* Writing a register that cannot be written does nothing; one that cannot be read reads 0. A halted
  card takes addresses and sizes but no doorbells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from emulator.card_state import CardState, FatalError
from emulator.command import CommandEngine
from emulator.hook import Hook
from emulator.packet import NetPacket
from emulator.receive import Arrival, ReceiveEngine
from emulator.ring_engine import Engine
from emulator.transmit import TransmitEngine
from model.layout import (
    CMDCOMP,
    COMMAND_RING,
    DBELL,
    EVFLAGS,
    FLAGS,
    FLTB,
    HWADDR,
    HWERR,
    LIMITS,
    RECEIVE_RING,
    RST,
    RXCOMP,
    RXDROP,
    RXJUMBO,
    SEQ,
    TRANSMIT_RING,
    TXCOMP,
    VMAJ,
    VMIN,
    Bit,
    Register,
    split_doorbell,
)
from model.state import Flags

__all__ = ["Card", "NotEnabledError"]

OPTIONAL: Final = frozenset({"tx.look_ahead", "cmd.look_ahead"})
"""Steps that the specification allows and never demands."""

NO_BUS: Final = frozenset({"tx.send", "cmd.execute", "cmd.stopped"})
"""Steps at a stage that access no memory: without bus mastering all others wait, and vectors."""


class NotEnabledError(Exception):
    """A step was to be taken whose time has not come. The message names those that may be."""


@attrs.define(eq=False, kw_only=True)
class Card(CardState):
    """The card in software.

    Attributes:
        tx: The transmit ring and its engine.
        cmd: The command ring and its engine.
        rx: The receive ring and its engine.
    """

    tx: TransmitEngine = attrs.field(init=False)
    cmd: CommandEngine = attrs.field(init=False)
    rx: ReceiveEngine = attrs.field(init=False)
    _needs_bus: frozenset[str] = attrs.field(init=False, repr=False)
    _steps: dict[str, Hook[None]] = attrs.field(init=False, repr=False)
    _readers: dict[int, Hook[int]] = attrs.field(init=False, repr=False)
    _writers: dict[int, Callable[[int], None]] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.tx = tx = TransmitEngine(self, TRANSMIT_RING)
        self.rx = rx = ReceiveEngine(self, RECEIVE_RING)
        self.cmd = cmd = CommandEngine(self, COMMAND_RING, tx=tx, rx=rx)
        steps = {
            "card.reset_over": self._reset_over,
            "tx.set_event": tx.set_event,
            "cmd.set_event": cmd.set_event,
            "rx.set_event": rx.set_event,
            "card.raise_vector0": self._raise_vector0,
            **tx.steps(),
            **cmd.steps(),
            **rx.steps(),
        }
        at_stages = (name for engine in (tx, cmd, rx) for name in engine.next.values())
        self._needs_bus = frozenset({"card.raise_vector0", *at_stages} - NO_BUS)
        self._steps = {name: Hook(do) for name, do in steps.items()}
        readers: dict[Register, Callable[[], int]] = {
            VMAJ: lambda: self.version[0],
            VMIN: lambda: self.version[1],
            FLAGS: lambda: self.flag_bits,
            HWADDR: lambda: self.hwaddr,
            EVFLAGS: self._take_events,
        }
        self._readers = {register.offset: Hook(do) for register, do in readers.items()}
        self._writers = {FLAGS.offset: self._write_flags, DBELL.offset: self._receive_doorbell}
        for engine in (cmd, tx, rx):
            self._writers[engine.ring.base.offset] = self._base_writer(engine)
            self._writers[engine.ring.shift.offset] = self._shift_writer(engine)

    # Steps

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of all steps, in a fixed order."""
        return tuple(self._steps)

    @property
    def optional(self) -> frozenset[str]:
        """The names of the steps that the card may take and never has to."""
        return OPTIONAL

    def enabled(self) -> list[str]:
        """The names of the steps that may be taken now, optional ones too, in a fixed order.

        Nothing is accessed to find out, with one exception: while a STOP waits, whether the card
        may finish one more transmit slot depends on that slot's owner byte, which is read.
        """
        steps: list[str] = []
        flags = self.flags
        if flags is Flags.CLEAR:
            tx, cmd, rx = self.tx, self.cmd, self.rx
            if tx.due:
                steps.append("tx.set_event")
            if cmd.due:
                steps.append("cmd.set_event")
            if rx.due:
                steps.append("rx.set_event")
            if self.raising:
                steps.append("card.raise_vector0")
            tx.add_steps(steps)
            cmd.add_steps(steps)
            rx.add_steps(steps)
        else:
            if flags is Flags.RESETTING:
                steps.append("card.reset_over")
            if self.raising:
                steps.append("card.raise_vector0")
        if not self.bus_master:
            return [name for name in steps if name not in self._needs_bus]
        return steps

    def take(self, name: str) -> None:
        """Take one step.

        Raises:
            NotEnabledError: The step may not be taken now.
        """
        enabled = self.enabled()
        if name not in enabled:
            raise NotEnabledError(
                f"{name} may not be taken now; these may: {', '.join(enabled) or 'none'}"
            )
        try:
            self._steps[name].do()
        except FatalError as fault:
            self.halt(fault.bit)

    def step(self, name: str) -> Hook[None]:
        """A step, to put something around it. Raises `KeyError` if there is none of this name."""
        return self._steps[name]

    def _reset_over(self) -> None:
        """The reset is over: FLAGS reads 0."""
        self.flag_bits = 0
        self.flags = Flags.CLEAR

    def _raise_vector0(self) -> None:
        """Raise vector 0 for the event bits set so far."""
        self.raising = False
        self.vector0 = True

    # What happens to the card

    def may_fail(self) -> bool:
        """Whether it works, or a reset is under way."""
        return self.flags is not Flags.ERROR

    def fail(self, bit: Bit = HWERR) -> bool:
        """The card fails: it halts, sets an error bit and raises vector 1. True if it did."""
        if not self.may_fail():
            return False
        self.halt(bit)
        return True

    def spurious(self) -> bool:
        """Vector 0 is raised although nothing happened. False if it was raised already."""
        if self.vector0 or not self.bus_master:
            return False
        self.vector0 = True
        return True

    def may_withdraw(self) -> bool:
        """Whether vector 0 is on its way and no event bit is left to tell of."""
        events = self.tx.event or self.cmd.event or self.rx.event or self.rx.dropped
        return (self.raising or self.vector0) and not events

    def withdraw(self) -> bool:
        """The interrupt goes away unserved, as INTx does. False if there is a reason for it."""
        if not self.may_withdraw():
            return False
        self.raising = False
        self.vector0 = False
        return True

    def may_arrive(self) -> bool:
        """Whether the receive engine may take a packet."""
        return self.rx.may_arrive()

    def arrive(self, packet: NetPacket) -> Arrival:
        """A packet arrives from the net."""
        return self.rx.arrive(packet)

    # Registers

    def read(self, register: Register) -> int:
        """Read a register; EVFLAGS is cleared by it."""
        reader = self._readers.get(register.offset)
        return reader.do() if reader else 0

    def reading(self, register: Register) -> Hook[int]:
        """The reading of a register, to put something around it.

        Raises:
            KeyError: It is one that cannot be read.
        """
        return self._readers[register.offset]

    def write(self, register: Register, value: int) -> None:
        """Write a register.

        Raises:
            ValueError: The value does not fit the register.
        """
        if not 0 <= value < 1 << register.width:
            raise ValueError(
                f"{register.name} takes {register.width} bits; {value:#x} does not fit"
            )
        writer = self._writers.get(register.offset)
        if writer:
            writer(value)

    def _take_events(self) -> int:
        """The pending events, which are cleared."""
        tx, cmd, rx = self.tx, self.cmd, self.rx
        value = (
            tx.event * TXCOMP.mask
            | rx.event * RXCOMP.mask
            | rx.no_slot * RXDROP.mask
            | cmd.event * CMDCOMP.mask
            | rx.jumbo * RXJUMBO.mask
        )
        tx.event = cmd.event = rx.event = rx.no_slot = rx.jumbo = False
        return value

    def _write_flags(self, value: int) -> None:
        """Writing RST starts a reset, which forgets everything at once."""
        if not value & RST.mask:
            return
        self.flag_bits = RST.mask
        self.flags = Flags.RESETTING
        self.started = False
        self.stopping = False
        self.raising = False
        self.filters = []
        for engine in (self.tx, self.cmd, self.rx):
            engine.forget()

    def _receive_doorbell(self, value: int) -> None:
        """A doorbell rang. A card that does not work ignores it."""
        ring, slot = split_doorbell(value)
        engine = self.tx if ring is TRANSMIT_RING else self.cmd
        if self.flags is Flags.CLEAR and not engine.receive_doorbell(slot):
            self.halt(SEQ)

    def _may_set(self, engine: Engine, bit: Bit, *, legal: bool) -> bool:
        """Whether a ring's address or size may become what was written; if not, the card halts.

        Args:
            engine: The ring's engine.
            bit: The error bit if the value is wrong.
            legal: Whether the value is right.
        """
        works = self.flags is Flags.CLEAR
        if works and self.started and engine is not self.cmd:
            self.halt(SEQ)
            return False
        if works and not legal:
            self.halt(bit)
        return legal

    def _base_writer(self, engine: Engine) -> Callable[[int], None]:
        def write(value: int) -> None:
            if self._may_set(engine, FLTB, legal=value % LIMITS.page_size == 0):
                engine.set_base(value)

        return write

    def _shift_writer(self, engine: Engine) -> Callable[[int], None]:
        def write(value: int) -> None:
            if self._may_set(engine, SEQ, legal=value <= LIMITS.max_shift):
                engine.set_shift(value)

        return write
