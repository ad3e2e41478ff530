"""What scenes have in common: one guest with two cards, bound to UIO and then to VFIO."""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs
import pytest

from lab.bench import Bench, Seat, bench
from lab.prepare import Parts, prepare


@attrs.frozen
class Way:
    """How the cards of the guest are reached.

    Attributes:
        kind: "uio" or "vfio".
        bench: The guest and its cards.
    """

    kind: str
    bench: Bench

    def address(self, seat: Seat) -> str:
        """The driver's address of a card."""
        return f"{self.kind}:{seat.function}"


KINDS = [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in ("uio", "vfio")]
"""Scenes that share a guest run one after the other; those of other guests meanwhile."""


@pytest.fixture(scope="session")
def parts() -> Parts:
    return prepare(lambda _doing: None)


@pytest.fixture(scope="session")
def one_guest(parts: Parts) -> Iterator[Bench]:
    """A guest in which UIO and VFIO both work."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    with bench(parts, f"guest{worker}") as made:
        yield made


@pytest.fixture(scope="session", params=KINDS)
def way(request: pytest.FixtureRequest, one_guest: Bench) -> Iterator[Way]:
    """The cards of the guest, bound to a driver of the kernel, and unbound when it is over."""
    for seat in one_guest.seats:
        one_guest.guest.check("ductctl", "bind", request.param, seat.function)
    yield Way(request.param, one_guest)
    for seat in one_guest.seats:
        one_guest.guest.check("ductctl", "unbind", seat.function)
