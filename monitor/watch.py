"""The monitor as the driver finds it, by the entry point group `duct.monitors`."""

from __future__ import annotations

from typing import cast, final

from impl.controller import Controller
from impl.lifecycle import Lifecycle
from impl.memory import Device
from impl.runtime import Runtime
from impl.settings import Monitoring, Settings
from impl.watch import Watch
from monitor.calls import Calls, WatchedController, WatchedLifecycle
from monitor.device import WatchedDevice
from monitor.observer import Observer
from monitor.runtime import WatchedRuntime

__all__ = ["Monitor", "watch"]


@final
class Monitor(Watch):
    """Lets the specification judge one driver while it runs.

    Attributes:
        observer: What is known so far.
    """

    def __init__(self, settings: Settings, monitoring: Monitoring) -> None:
        self.observer = Observer(settings, monitoring.saves_to)

    def device(self, device: Device) -> Device:
        """The card, with every access judged."""
        self.observer.attend(device)
        return WatchedDevice(device, self.observer)

    def runtime(self, runtime: Runtime) -> Runtime:
        """The driver's lock and sleeps, judged."""
        watched = WatchedRuntime(runtime, self.observer)
        self._calls = Calls(self.observer, watched)
        return watched

    def controller(self, controller: Controller) -> Controller:
        """The calls of users, judged. It has all that a controller has."""
        return cast(Controller, WatchedController(controller, self._calls))

    def lifecycle(self, lifecycle: Lifecycle) -> Lifecycle:
        """Opening and closing, judged."""
        return cast(Lifecycle, WatchedLifecycle(lifecycle, self._calls))

    @property
    def accesses(self) -> int:
        """Number of accesses judged so far."""
        return sum(self.observer.judge.accesses.values())

    @property
    def finding(self) -> str:
        """What was wrong, and who did it; "" while nothing is."""
        return self.observer.verdict.told

    @property
    def gave_up(self) -> str:
        """Why nothing is judged any more, though nothing was wrong; "" while it is."""
        return self.observer.verdict.gave_up


def watch(settings: Settings, monitoring: Monitoring) -> Watch:
    """A monitor for a card that is about to be opened."""
    return Monitor(settings, monitoring)
