"""Ways to a card: to one at an address, or to a new one in software."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import attrs

from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import WouldBlockError
from properties.bench_control import BenchControl
from properties.conformance.helpers import MOMENT, NOBODY, SOON

__all__ = ["Backend", "BackendMaker", "Clogged", "at_address", "emulated", "fill"]


@attrs.frozen
class Clogged:
    """A card that stands still, and whose transmit ring is full of empty packets to `NOBODY`.

    Attributes:
        duct: The driver.
        unclog: Lets the card go on.
    """

    duct: DuctDriver
    unclog: Callable[[], None]


@attrs.frozen
class Backend:
    """A way to a card, for as long as one check lasts.

    Attributes:
        name: What it is called.
        make: Opens the card, whose net has the echo and quote services. While the card is open
            already it is one more open of the same card.
        make_clogged: Opens the card and clogs it.
        make_pair: Opens two cards on one net.
        fail: Makes the open card report a fatal error.
    """

    name: str
    make: Callable[[], DuctDriver]
    make_clogged: Callable[[], Clogged] | None = None
    make_pair: Callable[[], tuple[DuctDriver, DuctDriver]] | None = None
    fail: Callable[[], None] | None = None


BackendMaker = Callable[[], AbstractContextManager[Backend]]


def fill(duct: DuctDriver) -> None:
    """Fill the transmit ring of a card that stands still."""
    with contextlib.suppress(WouldBlockError):
        while True:
            duct.send(NOBODY, b"", blocking=False)


def opened(address: str, **options: Any) -> DuctDriver:
    """Open a card, which whoever had it before may let go of only in a moment.

    Args:
        address: Where it is.
        options: More arguments for `DuctDriver.open`.

    Raises:
        OSError: It cannot be opened, or somebody keeps it (EBUSY) for longer than `SOON`.
    """
    deadline = time.monotonic() + SOON
    while True:
        try:
            return DuctDriver.open(address, **options)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
            time.sleep(MOMENT)


@contextlib.contextmanager
def at_address(
    address: str, other: str | None = None, *, control: BenchControl | None = None, **options: Any
) -> Iterator[Backend]:
    """Whatever card is at an address.

    Args:
        address: Where it is.
        other: Where another card on the same net is, if there is one.
        control: The first card's control channel. Without one, nothing can be done to the card but
            by the driver.
        options: More arguments for `DuctDriver.open`.
    """

    def make(where: str = address) -> DuctDriver:
        return opened(where, **options)

    def make_pair() -> tuple[DuctDriver, DuctDriver]:
        assert other is not None
        return make(), make(other)

    pair = make_pair if other is not None else None
    if control is None:
        yield Backend(address, make, make_pair=pair)
        return
    _leave_alone(control)  # whoever had the channel before may have ended in the middle of a check
    try:
        yield Backend(
            address, make, clogging(make, control.stand_still, control.go_on), pair, control.fail
        )
    finally:
        _leave_alone(control)


def _leave_alone(control: BenchControl) -> None:
    """Let the card do what it wants to do."""
    control.go_on()
    control.mute_interrupts(0)


def clogging(
    make: Callable[[], DuctDriver], stand_still: Callable[[], None], go_on: Callable[[], None]
) -> Callable[[], Clogged]:
    """How to open and clog a card that can be made to stand still."""

    def make_clogged() -> Clogged:
        duct = make()
        stand_still()
        fill(duct)
        return Clogged(duct, go_on)

    return make_clogged


@contextlib.contextmanager
def emulated(
    change: Callable[[object], None] = lambda _card: None, **options: Any
) -> Iterator[Backend]:
    """A new card in software, on a net of its own.

    Args:
        change: Called with each running card before it is opened; may change how it behaves.
        options: More arguments for `DuctDriver.open`.
    """
    from emulator.backend import Laboratory

    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    card = laboratory.card()
    change(card)
    change(laboratory.card("other"))

    def make(name: str = "") -> DuctDriver:
        return DuctDriver.open(f"emulated:{name}", attachments=attachments, **options)

    make_clogged = clogging(make, card.stand_still, card.go_on)
    try:
        yield Backend("emulated", make, make_clogged, lambda: (make(), make("other")), card.fail)
    finally:
        laboratory.power_off()
