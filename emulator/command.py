"""The command engine: START, STOP and the filter table.

A command that the datasheet does not name is answered with an error byte of the card's own, which
the host must take for a device error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from emulator.card_state import FatalError
from emulator.receive import ReceiveEngine
from emulator.ring_engine import RequestEngine
from emulator.transmit import TransmitEngine
from model.layout import COMMAND_SLOT, LIMITS, SEQ, Command, CommandSlot, Owner, unpack
from model.state import Stage

__all__ = ["UNKNOWN_COMMAND", "CommandEngine"]

DONE: Final = 0
REFUSED: Final = 1
UNKNOWN_COMMAND: Final = 0xFF
"""The answer to a command that does not exist."""

_ERROR: Final = COMMAND_SLOT.part("error")


@attrs.define(eq=False)
class CommandEngine(RequestEngine):
    """The engine of the command ring.

    Attributes:
        tx: The transmit engine, which START and STOP act on.
        rx: The receive engine, likewise.
        slot: The command as fetched.
        answer: The error byte to be written.
    """

    tx: TransmitEngine = attrs.field(kw_only=True, repr=False)
    rx: ReceiveEngine = attrs.field(kw_only=True, repr=False)
    slot: CommandSlot = attrs.field(default=CommandSlot(Owner.HOST), init=False)
    answer: int = attrs.field(default=DONE, init=False)

    def stages(self) -> dict[Stage, Callable[[], None]]:
        """The step at each stage."""
        return {
            Stage.LOOK: self.examine,
            Stage.FETCH: self.fetch,
            Stage.EXECUTE: self.execute,
            Stage.STOPPING: self.stopped,
            Stage.WRITE_STATUS: self.write_status,
            Stage.WRITE_OWNER: self.complete,
        }

    def add_steps(self, steps: list[str]) -> None:
        """Append the names of the steps that the engine may take, while the card works."""
        stage = self.stage
        if stage is not Stage.IDLE:
            if stage is not Stage.STOPPING or self.tx.stage is self.rx.stage is Stage.IDLE:
                steps.append(self.next[stage])
        elif self.based:
            if self.look:
                steps.append("cmd.look")
            steps.append("cmd.look_ahead")

    def fetch(self) -> None:
        """Read the slot's fields: the command, its mask and address."""
        self.slot = unpack(CommandSlot, self.read_slot())
        self.stage = Stage.EXECUTE

    def execute(self) -> None:
        """Execute the command fetched; STOP first lets the packet engines come to rest."""
        stop = self.slot.type == Command.STOP
        self.stage = Stage.STOPPING if stop else Stage.WRITE_STATUS
        self.answer = self._carry_out(self.slot)

    def stopped(self) -> None:
        """Both packet engines are at rest: packet traffic is off."""
        self.card.started = False
        self.card.stopping = False
        self.stage = Stage.WRITE_STATUS

    def write_status(self) -> None:
        """Write the error byte."""
        self.write_slot(_ERROR, self.answer)
        self.stage = Stage.WRITE_OWNER

    def _carry_out(self, slot: CommandSlot) -> int:
        """Do what a command says; returns its error byte."""
        card = self.card
        entry = (slot.filtmask, slot.filtaddr)
        match slot.type:
            case Command.START:
                self._start()
            case Command.STOP:
                if not card.started:
                    raise FatalError(SEQ)
                card.stopping = True
            case Command.ADDFILT:
                if card.refuse_filters:
                    return card.refuse_filters
                if len(card.filters) >= LIMITS.filters:
                    return REFUSED
                card.filters = [*card.filters, entry]
            case Command.RMFILT:
                if entry not in card.filters:
                    return REFUSED
                left = card.filters.copy()
                left.remove(entry)
                card.filters = left
            case Command.FLUSHFILT:
                card.filters = []
            case _:
                return UNKNOWN_COMMAND
        return DONE

    def _start(self) -> None:
        """Begin packet traffic, both packet rings from slot 0 on."""
        card, tx, rx = self.card, self.tx, self.rx
        if card.started or not tx.based or not rx.based:
            raise FatalError(SEQ)
        card.started = True
        tx.dev_i = 0
        rx.dev_i = 0
        tx.look = False
