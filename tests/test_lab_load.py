"""The daemon under the load of the lab: another one whenever one is killed, and told to end."""

import signal
import threading

import pytest

from lab import load
from lab.guest import Ended, GuestError

LONG = 30 * 24 * 3600


class Daemon:
    """A daemon in a guest, which lives until it is told to end, however long that is.

    Attributes:
        signals: What it was told.
    """

    def __init__(self):
        self.signals = []
        self._ended = threading.Event()
        self._status = None

    @property
    def running(self):
        return not self._ended.is_set()

    def signal(self, number):
        self.signals.append(number)
        self.ends(0)

    def ends(self, status):
        self._status = status
        self._ended.set()

    def wait(self, seconds=240):
        if seconds < LONG and self.running:
            raise GuestError(f"it does not end ({seconds} s are over)")
        self._ended.wait()
        return Ended(self._status, "")


@pytest.fixture
def daemons(monkeypatch):
    made = []

    def started(*_):
        made.append(Daemon())
        return made[-1]

    monkeypatch.setattr(load, "started", started)
    return made


def test_a_daemon_lives_as_long_as_the_load_and_is_told_to_end(daemons):
    with load.kept_up(None, "vfio:card") as kept:
        assert kept == daemons
    assert [daemon.signals for daemon in daemons] == [[signal.SIGTERM]]


def test_one_that_was_killed_is_followed_by_another(daemons):
    with load.kept_up(None, "vfio:card"):
        daemons[0].ends(-signal.SIGKILL)
        while len(daemons) < 2:
            pass
    assert [daemon.signals for daemon in daemons] == [[], [signal.SIGTERM]]


def test_why_another_could_not_be_started_is_told(daemons, monkeypatch):
    tried = threading.Event()

    def fails(*_):
        tried.set()
        raise GuestError("the guest is gone")

    @load.kept_up(None, "vfio:card")
    def run():
        monkeypatch.setattr(load, "started", fails)
        daemons[0].ends(-signal.SIGKILL)
        assert tried.wait(60)

    with pytest.raises(AssertionError, match="the guest is gone"):
        run()
