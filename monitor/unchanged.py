"""What the card must have left as it was: slots of the host's, and slots out of their turn."""

from __future__ import annotations

from typing import Final

from impl.packet import Header
from judge.judge import CardDeviation, Judge
from judge.peek import Rings
from model.layout import Owner
from model.state import Flags

__all__ = ["Unchanged"]

WINDOW: Final = 16
"""Slots that are looked at for slots that came back out of order."""


class Unchanged:
    """Compares memory with what the specification says that it holds.

    Each check raises `CardDeviation` where the card has written what it must not write.
    """

    def __init__(self, judge: Judge, rings: Rings) -> None:
        self._judge = judge
        self._now = judge.now
        self._rings = rings

    def is_cards(self, ring: str, slot: int) -> bool:
        """The host handed the slot over, and the card has not given it back yet."""
        if ring == "tx" and slot in self._judge.owed_owners:
            return False
        now = self._now
        pending = now[f"{ring}_owner_pending"][slot]
        return bool(now[f"{ring}_owner_new" if pending else f"{ring}_owner"][slot])

    def check_is_hosts(self, ring: str, slot: int) -> None:
        """The host is about to hand a slot over: it must be the host's still.

        One that is not the host's to hand over is no mistake of the card's.
        """
        if self.is_cards(ring, slot):
            return
        value = self._rings.owner(ring, slot)
        if value != Owner.HOST:
            raise CardDeviation(
                f"the owner byte of slot {slot} of the {ring} ring became {value:#x} while the "
                "slot was the host's"
            )

    def check_header(self, slot: int, header: Header) -> None:
        """A reader is about to give a slot back: the packet's header must be as it was read."""
        found = self._rings.header(slot)
        if found != header:
            raise CardDeviation(
                f"the header of receive slot {slot} was {header}, and became {found} while the "
                "slot was the host's"
            )

    def check_stopped(self) -> None:
        """Packet memory is about to be freed: nothing was written since the card answered STOP."""
        now = self._now
        if now["card_flags"] != Flags.CLEAR or not now["tx_based"]:
            return
        for ring in ("tx", "rx"):
            for slot in range(self._judge.spec.scope.ring_size):
                value = self._rings.owner(ring, slot)
                if (value == Owner.DEVICE) != self.is_cards(ring, slot):
                    raise CardDeviation(
                        f"slot {slot} of the {ring} ring was written to after STOP was answered"
                    )

    def check_order(self, ring: str) -> None:
        """Slots come back in order: the newest ones are looked at first."""
        if ring not in self._rings or not self._now[f"{ring}_based"]:
            return
        size = self._judge.spec.scope.ring_size
        slot = self._now[f"{ring}_dev_i"]
        slots: list[int] = []
        while len(slots) < min(WINDOW, size) and self.is_cards(ring, slot):
            slots.append(slot)
            slot = slot + 1 & size - 1
        came_back: int | None = None
        for slot in reversed(slots):
            if self._rings.has_completion(ring, slot):
                came_back = slot
            elif came_back is not None:
                raise CardDeviation(
                    f"slot {came_back} of the {ring} ring came back before slot {slot}"
                )
