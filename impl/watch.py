"""What may stand between a driver and its card, to look at everything that passes.

A watch is found by an entry point of the group `duct.monitors`, a function that takes the card's
`Settings` and the `Monitoring` that was asked for. The driver's lines are the same with it and
without.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from impl.errors import InvalidArgumentError
from impl.memory import Device
from impl.runtime import Runtime
from impl.settings import Monitoring, Settings

if TYPE_CHECKING:
    from impl.controller import Controller
    from impl.lifecycle import Lifecycle

__all__ = ["Watch", "WatchMaker", "installed_watch"]

GROUP: Final = "duct.monitors"


class Watch(abc.ABC):
    """Looks at every access of one driver, at its lock and sleeps, and at the calls of its users.

    What the methods return does what was given does, and tells the watch.
    """

    @abc.abstractmethod
    def device(self, device: Device) -> Device:
        """The card, with every access watched."""

    @abc.abstractmethod
    def runtime(self, runtime: Runtime) -> Runtime:
        """The driver's lock and sleeps, watched."""

    @abc.abstractmethod
    def controller(self, controller: Controller) -> Controller:
        """The calls of users, watched."""

    @abc.abstractmethod
    def lifecycle(self, lifecycle: Lifecycle) -> Lifecycle:
        """Opening and closing, watched."""

    @property
    @abc.abstractmethod
    def accesses(self) -> int:
        """Number of accesses looked at so far."""

    @property
    @abc.abstractmethod
    def finding(self) -> str:
        """What was wrong, and who did it; "" while nothing is."""

    @property
    @abc.abstractmethod
    def gave_up(self) -> str:
        """Why nothing is looked at any more, though nothing was wrong; "" while it is."""


WatchMaker = Callable[[Settings, Monitoring], Watch]


def installed_watch() -> WatchMaker:
    """The one that is installed.

    Raises:
        InvalidArgumentError: None is.
    """
    points = list(entry_points(group=GROUP))
    if not points:
        raise InvalidArgumentError(
            f"no monitor is installed: no package offers an entry point of the group {GROUP}; "
            "install this project with `pip install .`, or open the card without a monitor"
        )
    maker: WatchMaker = points[0].load()
    return maker
