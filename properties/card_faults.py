"""Faults of a card: small changes of the emulated one, each of which breaks a rule.

The monitor must see each of them, and say that it was the card. The driver is as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

from emulator.card import Card
from emulator.ring_engine import Engine
from emulator.running import RunningCard
from engine.faults import Fault
from model.faults import described
from model.layout import (
    COMMAND_SLOT,
    EVFLAGS,
    FLAGS,
    LIMITS,
    PACKET_SLOT,
    RST,
    RXCOMP,
    RXDROP,
    RXJUMBO,
    TXCOMP,
    Command,
    Owner,
    Register,
)
from model.state import Flags

__all__ = ["CARD_FAULTS", "CardFault"]

HOST: Final = bytes([Owner.HOST])
DEVICE: Final = bytes([Owner.DEVICE])
LENGTH: Final = PACKET_SLOT.part("pktlen")
DESTINATION: Final = PACKET_SLOT.part("dest")
ERROR: Final = COMMAND_SLOT.part("error")
HESITATION: Final = 0.005
"""Seconds that something wrong lasts before it is put right."""
Body = Callable[[], None]


@attrs.frozen
class CardFault:
    """A mistake that a card could make, made in the emulated one.

    Attributes:
        fault: What is said of it; its id is enough.
        make: Makes a card have it.
        says: A part of what the monitor says of it.
    """

    fault: Fault = attrs.field(converter=described)
    make: Callable[[RunningCard], None]
    says: str


def before(card: Card, step: str, body: Body) -> None:
    """Do something in front of a step of the card."""

    def both(take: Body) -> None:
        body()
        take()

    card.step(step).around(both)


def behind(card: Card, step: str, body: Body) -> None:
    """Do something right behind a step of the card."""

    def both(take: Body) -> None:
        take()
        body()

    card.step(step).around(both)


def reads(card: Card, register: Register, change: Callable[[int], int]) -> None:
    """Change what a register reads as."""
    card.reading(register).around(lambda read: change(read()))


def address(engine: Engine, ahead: int, offset: int = 0) -> int:
    """The bus address of a byte of the slot so many slots ahead of the engine's index."""
    slot = engine.dev_i + ahead & (1 << engine.shift) - 1
    return engine.base + engine.ring.offset(slot) + offset


# What the card does wrong


def _returns_out_of_order(running: RunningCard) -> None:
    card = running.card
    stuck: list[int] = []

    def overtake(send: Body) -> None:
        if not stuck and card.dma.read(address(card.tx, 1), 1) == DEVICE:
            card.dma.write(address(card.tx, 1), HOST)
            card.spurious()
            stuck.append(card.tx.dev_i)
        if not stuck:
            send()

    card.step("tx.send").around(overtake)


def _returns_without_a_packet(running: RunningCard) -> None:
    card = running.card

    def give() -> None:
        if card.started and card.rx.based:
            card.dma.write(address(card.rx, 0), HOST)
            card.spurious()

    behind(card, "cmd.complete", give)


def _too_long(running: RunningCard) -> None:
    card = running.card
    behind(card, "rx.write_header", lambda: card.rx.write_slot(LENGTH, LIMITS.max_packet + 1))


def _for_a_stranger(running: RunningCard) -> None:
    card = running.card
    behind(card, "rx.write_header", lambda: card.rx.write_slot(DESTINATION, 0x0BAD))


def _before_start(running: RunningCard) -> None:
    card = running.card

    def fill() -> None:
        if card.rx.based and not card.started:
            card.rx.write_slot(LENGTH, 1)
            card.dma.write(address(card.rx, 0), HOST)
            card.rx.event = True
            card.spurious()

    before(card, "cmd.fetch", fill)


def _after_stop(running: RunningCard) -> None:
    card = running.card

    def go_on() -> None:
        if not card.started and card.rx.based:
            card.dma.write(address(card.tx, 0), DEVICE)

    before(card, "cmd.complete", go_on)


def _answers(running: RunningCard, command: Command, error: int) -> None:
    card = running.card

    def answer() -> None:
        kind = card.dma.read(address(card.cmd, 0, COMMAND_SLOT["type"].offset), 1)[0]
        if kind == command:
            card.cmd.write_slot(ERROR, error)

    behind(card, "cmd.write_status", answer)


def _strange_owner(running: RunningCard) -> None:
    card = running.card
    behind(card, "tx.complete", lambda: card.dma.write(address(card.tx, -1), b"\x00"))


def _takes_back(running: RunningCard) -> None:
    card = running.card
    behind(card, "tx.complete", lambda: card.dma.write(address(card.tx, -1), DEVICE))


def _changes_header(running: RunningCard) -> None:
    card = running.card

    def change() -> None:
        length = address(card.rx, -1, LENGTH.offset)
        if card.dma.read(address(card.rx, -1), 1) == HOST:
            card.dma.write(length, bytes([card.dma.read(length, 1)[0] ^ 1]))

    before(card, "tx.send", change)


def _event(running: RunningCard, bits: int) -> None:
    reads(running.card, EVFLAGS, lambda value: value | bits * running.card.started)


def _recovers_by_itself(running: RunningCard) -> None:
    card = running.card
    told: list[int] = []

    def read(value: int) -> int:
        if card.flags is not Flags.ERROR:
            told.clear()
        elif told:
            return 0
        else:
            told.append(value)
        return value

    reads(card, FLAGS, read)


def _owner_is_nobody(running: RunningCard) -> None:
    card = running.card
    since: dict[int, float] = {}

    def hesitate(complete: Body) -> None:
        slot = card.tx.dev_i
        begun = since.setdefault(slot, time.monotonic())
        if time.monotonic() < begun + HESITATION:
            card.dma.write(address(card.tx, 0), b"\x00")
            card.spurious()
            return
        del since[slot]
        complete()

    card.step("tx.complete").around(hesitate)


def _writes_to_a_free_slot(running: RunningCard) -> None:
    card = running.card

    def write() -> None:
        if card.started and card.dma.read(address(card.tx, 0), 1) == HOST:
            card.dma.write(address(card.tx, 0), b"\x00")

    behind(card, "cmd.complete", write)


def _resets_unasked(running: RunningCard) -> None:
    card = running.card
    reads(card, FLAGS, lambda value: RST.mask if card.started else value)


CARD_FAULTS: Final = (
    CardFault("returns-out-of-order", _returns_out_of_order, "came back before slot"),
    CardFault(
        "returns-without-a-packet", _returns_without_a_packet, "a packet of 2779096485 bytes"
    ),
    CardFault("too-long", _too_long, "16385"),
    CardFault("for-a-stranger", _for_a_stranger, "which no filter accepts"),
    CardFault("before-start", _before_start, "which no filter accepts"),
    CardFault("after-stop", _after_stop, "the tx ring"),
    CardFault(
        "no-space-with-space",
        lambda running: _answers(running, Command.ADDFILT, 1),
        "ADDFILT was answered with error 1",
    ),
    CardFault(
        "strange-error",
        lambda running: _answers(running, Command.STOP, 9),
        "STOP was answered with error 9",
    ),
    CardFault(
        "removes-what-is-not-there",
        lambda running: _answers(running, Command.RMFILT, 0),
        "RMFILT was answered with error 0",
    ),
    CardFault(
        "strange-owner", _strange_owner, "TXCOMP was set, and no slot of the tx ring came back"
    ),
    CardFault("takes-back", _takes_back, "TXCOMP was set, and no slot of the tx ring came back"),
    CardFault("changes-header", _changes_header, "the header of receive slot"),
    CardFault("completes-twice", lambda running: _event(running, RXCOMP.mask), "RXCOMP was set"),
    CardFault("sends-nothing", lambda running: _event(running, TXCOMP.mask), "TXCOMP was set"),
    CardFault("drops-with-room", lambda running: _event(running, RXDROP.mask), "RXDROP was set"),
    CardFault(
        "drops-when-stopped",
        lambda running: reads(running.card, EVFLAGS, lambda value: value | RXJUMBO.mask),
        "while packet traffic was off",
    ),
    CardFault("strange-event", lambda running: _event(running, 1 << 9), "bits 0x200"),
    CardFault("resets-unasked", _resets_unasked, "a reset that was not asked for"),
    CardFault("owner-is-nobody", _owner_is_nobody, "owner byte 0x0 in slot"),
    CardFault("writes-to-a-free-slot", _writes_to_a_free_slot, "while the slot was the host's"),
    CardFault("recovers-by-itself", _recovers_by_itself, "FLAGS became clear again"),
)
