"""Ways to a card: to one at an address, or to a new one in software."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import cast

import attrs

from impl.attach import ATTACHMENTS, Attachments
from impl.driver import DuctDriver
from impl.duct import file_of, open_duct
from impl.errors import (
    CardInUseError,
    NoSuchCardError,
    NotPermittedError,
    NotSetUpError,
    UnknownAddressError,
    WouldBlockError,
)
from impl.watch import Watch
from properties.bench_control import BenchControl
from properties.conformance.helpers import MOMENT, NOBODY, SOON

__all__ = ["AddressError", "Backend", "BackendMaker", "Clogged", "at_address", "emulated", "fill"]


class AddressError(Exception):
    """An address leads to no card that can be opened: no check could be made. Says why."""


_NO_CARD = (
    CardInUseError | NoSuchCardError | NotPermittedError | NotSetUpError | UnknownAddressError
)


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
        views: Packets can be looked at where the card wrote them; None: they cannot.
    """

    name: str
    make: Callable[[], DuctDriver]
    make_clogged: Callable[[], Clogged] | None = None
    make_pair: Callable[[], tuple[DuctDriver, DuctDriver]] | None = None
    fail: Callable[[], None] | None = None
    views: bool | None = True


BackendMaker = Callable[[], AbstractContextManager[Backend]]


def fill(duct: DuctDriver) -> None:
    """Fill the transmit ring of a card that stands still."""
    with contextlib.suppress(WouldBlockError):
        while True:
            duct.send(NOBODY, b"", blocking=False)


class Opener:
    """Opens cards, with a monitor or without.

    Args:
        monitor: Let the specification judge every access.
        attachments: Who keeps count of the cards in use.
    """

    def __init__(self, *, monitor: bool, attachments: Attachments = ATTACHMENTS) -> None:
        self._monitor = monitor
        self._attachments = attachments
        self._watches: list[Watch] = []

    def open(self, address: str) -> DuctDriver:
        """Open a card, which whoever had it before may let go of only in a moment.

        Raises:
            AddressError: There is no card that can be opened, or somebody keeps it for longer than
                `SOON`.
            OSError: It does not open.
        """
        deadline = time.monotonic() + SOON
        while True:
            try:
                duct = self._open(address)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                    if isinstance(error, _NO_CARD):
                        raise AddressError(error.strerror) from error
                    raise
                time.sleep(MOMENT)
            else:
                if duct.watch is not None:
                    self._watches.append(duct.watch)
                return duct

    def _open(self, address: str) -> DuctDriver:
        if file_of(address) is not None:
            # It has the calls of a driver, which is all that checks know.
            return cast(DuctDriver, open_duct(address, monitor=self._monitor))
        return DuctDriver.open(address, monitor=self._monitor, attachments=self._attachments)

    def check(self) -> None:
        """Whatever was judged was right, and all of it was judged."""
        for watch in self._watches:
            assert not watch.finding, watch.finding
            assert not watch.gave_up, f"the monitor gave up: {watch.gave_up}"
            assert watch.accesses


@contextlib.contextmanager
def at_address(
    address: str,
    other: str | None = None,
    *,
    control: BenchControl | None = None,
    monitor: bool = False,
) -> Iterator[Backend]:
    """Whatever card is at an address.

    Args:
        address: Where it is.
        other: Where another card on the same net is, if there is one.
        control: The first card's control channel. Without one, nothing can be done to the card but
            by the driver.
        monitor: Let the specification judge every access.
    """
    opener = Opener(monitor=monitor)

    def make(where: str = address) -> DuctDriver:
        return opener.open(where)

    def make_pair() -> tuple[DuctDriver, DuctDriver]:
        assert other is not None
        return make(), make(other)

    pair = make_pair if other is not None else None
    views = True if file_of(address) is None else None
    if control is None:
        yield Backend(address, make, make_pair=pair, views=views)
        opener.check()
        return
    _leave_alone(control)  # whoever had the channel before may have ended in the middle of a check
    try:
        clogged = clogging(make, control.stand_still, control.go_on)
        yield Backend(address, make, clogged, pair, control.fail, views)
        opener.check()
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
    change: Callable[[object], None] = lambda _card: None, *, monitor: bool = False
) -> Iterator[Backend]:
    """A new card in software, on a net of its own.

    Args:
        change: Called with each running card before it is opened; may change how it behaves.
        monitor: Let the specification judge every access.
    """
    from emulator.backend import Laboratory

    laboratory = Laboratory()
    opener = Opener(monitor=monitor, attachments=Attachments(lambda: {"emulated": laboratory.open}))
    card = laboratory.card()
    change(card)
    change(laboratory.card("other"))

    def make(name: str = "") -> DuctDriver:
        return opener.open(f"emulated:{name}")

    make_clogged = clogging(make, card.stand_still, card.go_on)
    try:
        yield Backend("emulated", make, make_clogged, lambda: (make(), make("other")), card.fail)
        opener.check()
    finally:
        laboratory.power_off()
