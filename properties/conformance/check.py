"""What a check is, and how functions become checks."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from impl.driver import DuctDriver
from properties.conformance.backends import Backend, Clogged

__all__ = ["Check", "check", "clogged_check", "failure_check", "pair_check", "view_check"]


@attrs.frozen
class Check:
    """One statement about the driver.

    Attributes:
        name: The statement.
        body: Raises if it does not hold.
        needs: The ability that a backend may lack, as an attribute of `Backend`; or "".
    """

    name: str
    body: Callable[[Backend], None]
    needs: str = ""

    def possible(self, backend: Backend) -> bool:
        """Whether the backend is able to do what the check needs."""
        return not self.needs or getattr(backend, self.needs) is not None


def check(body: Callable[[Backend], None]) -> Check:
    """A check that every backend can make."""
    return Check(body.__name__, body)


def view_check(body: Callable[[Backend], None]) -> Check:
    """A check of packets where the card wrote them."""
    return Check(body.__name__, body, "views")


def clogged_check(body: Callable[[Clogged], None]) -> Check:
    """A check of a driver whose transmit ring is full."""

    def with_clogged(backend: Backend) -> None:
        assert backend.make_clogged is not None
        clogged = backend.make_clogged()
        with clogged.duct:
            try:
                body(clogged)
            finally:
                clogged.unclog()

    return Check(body.__name__, with_clogged, "make_clogged")


def pair_check(body: Callable[[DuctDriver, DuctDriver], None]) -> Check:
    """A check of two cards on one net."""

    def with_pair(backend: Backend) -> None:
        assert backend.make_pair is not None
        one, other = backend.make_pair()
        with one, other:
            body(one, other)

    return Check(body.__name__, with_pair, "make_pair")


def failure_check(body: Callable[[Backend, Callable[[], None]], None]) -> Check:
    """A check of a card that fails when it is told to."""

    def with_failure(backend: Backend) -> None:
        assert backend.fail is not None
        body(backend, backend.fail)

    return Check(body.__name__, with_failure, "fail")
