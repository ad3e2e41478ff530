"""Noticing that interrupts are lost.

Whoever waits for an interrupt is woken from time to time without one, which is harmless: the
specification lets vector 0 come for no reason at any time (`card.spurious_vector0` in
`model/device_spec.py`), and a spurious vector 1 reads a FLAGS that names no error and does
nothing (`mark_failed` in `model/driver_spec.py`). If the card turns out to have had something to
say then, its interrupt is late, or was withdrawn because we came first, or is lost. It counts as
lost after that has happened several times with no interrupt in between.
"""

from __future__ import annotations

import logging
from typing import Final

import attrs

__all__ = ["Watchdog"]

_LOG: Final = logging.getLogger(__name__)

CALM: Final = 1.0
"""Seconds to wait for an interrupt when all is well."""
WARY: Final = 0.1
"""Seconds to wait when the last wait ended too early or the interrupt is lost."""
POLLING: Final = 0.005
"""Seconds to wait when interrupts are lost."""


@attrs.define(eq=False)
class Watchdog:
    """Watches over one vector.

    Attributes:
        card: The address of the card, for the message.
        vector: Which vector.
        limit: How often in a row the card may have had something to say without an interrupt.
        advice: What to check when interrupts are lost.
    """

    card: str
    vector: int
    limit: int
    advice: str
    _came: bool = attrs.field(default=True, init=False)
    _suspicious: bool = attrs.field(default=False, init=False)
    _missed: int = attrs.field(default=0, init=False)
    _told: bool = attrs.field(default=False, init=False)

    @property
    def lost(self) -> bool:
        """Whether interrupts do not arrive."""
        return self._missed >= self.limit

    @property
    def patience(self) -> float:
        """Seconds that the next wait may last."""
        if self.lost:
            return POLLING
        return WARY if self._suspicious or self._missed else CALM

    def woken(self, *, by_interrupt: bool) -> None:
        """A wait is over, because of an interrupt or of the time."""
        self._came = by_interrupt
        if by_interrupt:
            self._missed = 0
        elif self._suspicious:
            self._missed += 1
            self._tell()
        self._suspicious = False

    def saw_reason(self) -> None:
        """The card's registers say that there was a reason for an interrupt."""
        self._suspicious = not self._came

    def _tell(self) -> None:
        if self.lost and not self._told:
            self._told = True
            _LOG.warning(
                "%s: interrupts are lost: vector %d did not come when the card had something to "
                "say (%d in a row). The driver goes on by asking it every %g ms. %s",
                self.card,
                self.vector,
                self._missed,
                POLLING * 1000,
                self.advice,
            )
