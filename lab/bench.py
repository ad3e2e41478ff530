"""A guest with cards in it, and the handles by which a scene treats both."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from lab.architecture import Architecture
from lab.cards import LabCard, cards
from lab.guest import Guest, booted
from lab.prepare import Parts
from lab.qemu import FIRST_SLOT
from properties.bench_control import BenchControl

__all__ = [
    "BOTH_WAYS",
    "HUGE_PAGES",
    "UNTRANSLATED",
    "Bench",
    "Seat",
    "bench",
    "pages_apart",
    "places",
]

HUGE_PAGES: Final = "lab.huge_pages=128"
"""Kernel parameter: pages of 2 MiB for UIO; the largest rings take 65 for each direction."""

PAGE_ORDER: Final = 12
"""Pages of the guests have 2 to the power of this bytes."""
UNTRANSLATED: Final = "iommu.passthrough=1"
"""Kernel parameter: the IOMMU translates for VFIO only."""
BOTH_WAYS: Final = (UNTRANSLATED, HUGE_PAGES)
"""Kernel parameters of a guest in which UIO works as well as VFIO."""


def function_of(number: int) -> str:
    """The PCI address of a guest's card, counted from 0."""
    return f"0000:00:{FIRST_SLOT + number:02x}.0"


def pages_apart(architecture: Architecture, slots: int) -> tuple[str, ...]:
    """Kernel parameters by which VFIO can map the registers of each of so many cards."""
    if not architecture.pages_shared:
        return ()
    aligned = (f"{PAGE_ORDER}@{function_of(number)}" for number in range(slots))
    return (f"pci=resource_alignment={';'.join(aligned)}",)


@attrs.frozen
class Seat:
    """A card that is plugged into a guest.

    Attributes:
        card: The card.
        function: Its PCI address in the guest.
        control: Its control channel, as the guest sees it.
        outside: Its control channel, as the host sees it.
    """

    card: LabCard
    function: str
    control: str
    outside: BenchControl


@attrs.frozen
class Bench:
    """A guest and its cards."""

    guest: Guest
    seats: Sequence[Seat]


@contextlib.contextmanager
def places() -> Iterator[Path]:
    """A folder for sockets, whose paths must be short; with it they are gone."""
    with tempfile.TemporaryDirectory(prefix="duct-lab-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def bench(
    parts: Parts,
    name: str,
    *,
    slots: int = 2,
    kernel: Sequence[str] = BOTH_WAYS,
    temper: Sequence[str] = (),
) -> Iterator[Bench]:
    """A guest with cards on one net, for as long as this lasts.

    Args:
        parts: What the lab is made of.
        name: What the guest is called; its logs too.
        slots: How many cards it has.
        kernel: Further parameters of its kernel.
        temper: How the cards behave: options of `python -m emulator`.
    """
    with places() as folder, contextlib.ExitStack() as stack:
        names = [f"{name}{number}" for number in range(slots)]
        plugged = stack.enter_context(cards(names, folder, parts.logs, *temper))
        yield stack.enter_context(plug_in(parts, folder, name, plugged, kernel))


@contextlib.contextmanager
def plug_in(
    parts: Parts, folder: Path, name: str, plugged: Sequence[LabCard], kernel: Sequence[str]
) -> Iterator[Bench]:
    """A guest with cards that are there already."""
    ports = {f"control-{number}": card.control for number, card in enumerate(plugged)}
    sockets = [card.socket for card in plugged]
    with (
        booted(parts, folder, name, sockets, ports, kernel) as guest,
        contextlib.ExitStack() as stack,
    ):
        seats = [
            Seat(
                card,
                function_of(number),
                f"/dev/virtio-ports/control-{number}",
                stack.enter_context(BenchControl.at(str(card.control))),
            )
            for number, card in enumerate(plugged)
        ]
        yield Bench(guest, seats)
