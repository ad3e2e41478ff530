"""What scenes have in common: a guest whose two cards are bound to UIO or to VFIO."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, final

import attrs
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from lab.architecture import ARCHITECTURES, HOST
from lab.bench import BOTH_WAYS, Bench, Seat, bench, pages_apart
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


KINDS: Final = ("uio", "vfio")
CARDS: Final = 2
"""Cards of the guest that most scenes share."""


@final
class OneGuestForEachKind(LoadScopeScheduling):  # type: ignore[misc]
    """Scenes of one kind run one after the other, in the same guest; those of the other meanwhile.

    Scenes with guests of their own follow, each where there is room for it. pytest-xdist's own way
    to say so, the mark `xdist_group`, has no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Scenes with the same answer stay together."""
        kind = re.search(rf"[\[-]({'|'.join(KINDS)})[]-]", nodeid)
        return kind[1] if kind else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneGuestForEachKind:
    return OneGuestForEachKind(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--machine", choices=tuple(ARCHITECTURES), default=HOST.name)


@pytest.fixture(scope="session")
def parts(request: pytest.FixtureRequest) -> Parts:
    architecture = ARCHITECTURES[request.config.getoption("--machine")]
    return prepare(lambda _doing: None, architecture=architecture)


@pytest.fixture(scope="session")
def one_guest(parts: Parts) -> Iterator[Bench]:
    """A guest in which UIO and VFIO both work."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    kernel = (*BOTH_WAYS, *pages_apart(parts.architecture, CARDS))
    with bench(parts, f"guest{worker}", slots=CARDS, kernel=kernel) as made:
        yield made


@pytest.fixture(scope="session", params=KINDS)
def way(request: pytest.FixtureRequest, one_guest: Bench) -> Iterator[Way]:
    """The cards of the guest, bound to a driver of the kernel, and unbound when it is over."""
    for seat in one_guest.seats:
        one_guest.guest.check("ductctl", "bind", request.param, seat.function)
    yield Way(request.param, one_guest)
    for seat in one_guest.seats:
        one_guest.guest.check("ductctl", "unbind", seat.function)
