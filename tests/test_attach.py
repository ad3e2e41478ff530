"""From an address to a card: who shares it, when it is let go of, and what is left behind."""

import gc
import threading
from importlib.metadata import EntryPoint

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impl import attach
from impl.attach import Attachments, backends
from impl.datapath.loader import PYTHON
from impl.errors import InvalidArgumentError, UnknownAddressError, WaitTimeoutError
from impl.memory import Device
from impl.settings import Monitoring, Settings
from impl.watch import Watch

PATIENCE = 30
SMALL = Settings(ring_shift=1)


class FakeDevice(Device):
    """A device that nothing is asked of but to be there."""

    def __init__(self, log, rest, *, broken=None):
        self.log = log
        self.rest = rest
        self.broken = broken
        self.closed = threading.Event()
        log.append(("open", rest))

    def allocate(self, size, _purpose):
        if self.broken is not None:
            raise self.broken
        return bytearray(size)

    def read(self, _register):
        return 0

    def wait_for_interrupt(self, _vector):
        assert self.closed.wait(PATIENCE), "the driver never closed the device"
        return False

    def close(self):
        self.closed.set()
        self.log.append(("close", self.rest))

    def unused(self, *_):
        raise AssertionError("nobody should ask for this")

    free = acquire = release = release_loads = before_register_write = fence = write = unused
    enable_bus_master = unused


@pytest.fixture
def log():
    return []


@pytest.fixture
def cards(log):
    return Attachments(lambda: {"fake": lambda rest: FakeDevice(log, rest)})


def at_rest(attachment):
    """The card as it is after an open and a close: it need not be reset."""
    attachment.lifecycle.needs_reset = False


def join_at_rest(cards, address, settings_=None):
    attachment = cards.join(address, settings_)
    at_rest(attachment)
    return attachment


# Sharing


def test_all_who_name_an_address_share_its_card(cards, log):
    first, second = join_at_rest(cards, "fake:a"), cards.join("fake:a", None)
    assert first is second
    assert log == [("open", "a")]
    cards.leave("fake:a")
    assert log == [("open", "a")]
    cards.leave("fake:a")
    assert log == [("open", "a"), ("close", "a")]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=20))
@settings(max_examples=50)
def test_a_card_is_held_exactly_while_somebody_uses_it(steps):
    log, users = [], {"a": 0, "b": 0}
    cards = Attachments(lambda: {"fake": lambda rest: FakeDevice(log, rest)})
    expected = []

    def leave(name):
        cards.leave(f"fake:{name}")
        users[name] -= 1
        expected.extend([("close", name)] * (users[name] == 0))

    for name, joins in steps:
        if joins:
            expected.extend([("open", name)] * (users[name] == 0))
            join_at_rest(cards, f"fake:{name}")
            users[name] += 1
        elif users[name]:
            leave(name)
        assert log == expected
    for name, count in list(users.items()):
        for _ in range(count):
            leave(name)
    assert log == expected


def test_threads_that_come_and_go_never_meet_two_devices_of_one_card(cards, log):
    def work():
        for _ in range(30):
            join_at_rest(cards, "fake:a")
            cards.leave("fake:a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert log == [("open", "a"), ("close", "a")] * (len(log) // 2)


def test_what_follows_the_first_colon_is_the_backends_business(cards, log):
    join_at_rest(cards, "fake:0000:00:05.0")
    cards.leave("fake:0000:00:05.0")
    assert log == [("open", "0000:00:05.0"), ("close", "0000:00:05.0")]


# Settings


def test_settings_hold_for_all_who_share_the_card(cards):
    first = join_at_rest(cards, "fake:", SMALL)
    assert first.controller.settings == SMALL
    assert cards.join("fake:", None) is first
    assert cards.join("fake:", Settings(ring_shift=1)) is first
    for _ in range(3):
        cards.leave("fake:")


def test_without_settings_the_defaults_hold(cards):
    assert join_at_rest(cards, "fake:").controller.settings == Settings()
    cards.leave("fake:")


def test_other_settings_are_refused_while_the_card_is_in_use(cards, log):
    join_at_rest(cards, "fake:", SMALL)
    other = Settings(ring_shift=2)
    with pytest.raises(InvalidArgumentError) as caught:
        cards.join("fake:", other)
    assert caught.value.strerror == (
        "fake: is in use with ring_shift=1, and ring_shift=2 was asked for; close every other open "
        "of it first"
    )
    cards.leave("fake:")
    assert join_at_rest(cards, "fake:", other).controller.settings == other
    cards.leave("fake:")
    assert len(log) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ring_shift": -1}, "ring_shift is 0 to 12, not -1"),
        ({"ring_shift": 13}, "ring_shift is 0 to 12, not 13"),
        ({"reset_polls": 0}, "reset_polls is 1 or more, not 0"),
        ({"reset_pause": -0.1}, "reset_pause is 0 to 86400 seconds, not -0.1"),
        ({"drain_timeout": -1}, "drain_timeout is 0 to 86400 seconds, not -1"),
        ({"command_timeout": -1}, "command_timeout is 0 to 86400 seconds, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(InvalidArgumentError) as caught:
        Settings(**wrong)
    assert caught.value.strerror == message


CHANGED = {"ring_shift": 3, "reset_polls": 7, "reset_pause": 0.5, "drain_timeout": 2.5,
           "command_timeout": 1.5}  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Settings)])
def test_settings_that_differ_in_any_field_are_refused_by_its_name(cards, field):
    join_at_rest(cards, "fake:", SMALL)
    with pytest.raises(InvalidArgumentError) as caught:
        cards.join("fake:", attrs.evolve(SMALL, **{field: CHANGED[field]}))
    assert caught.value.strerror == (
        f"fake: is in use with {field}={getattr(SMALL, field)!r}, and {field}={CHANGED[field]!r} "
        "was asked for; close every other open of it first"
    )
    assert cards.join("fake:", SMALL).users == 2
    cards.leave("fake:")
    cards.leave("fake:")


def test_all_that_differs_is_named(cards):
    join_at_rest(cards, "fake:", SMALL)
    with pytest.raises(InvalidArgumentError) as caught:
        cards.join("fake:", Settings(reset_polls=2), Monitoring(saves_to="run.json"))
    assert caught.value.strerror == (
        "fake: is in use with ring_shift=1, reset_polls=1000, no monitor, and ring_shift=6, "
        "reset_polls=2, Monitoring(saves_to=PosixPath('run.json')) was asked for; close every "
        "other open of it first"
    )
    cards.leave("fake:")


def test_other_settings_for_a_card_that_is_kept_say_how_it_is_let_go_of(cards):
    attachment = join_at_rest(cards, "fake:", SMALL)
    attachment.lifecycle.needs_reset = True
    cards.leave("fake:")
    with pytest.raises(InvalidArgumentError) as caught:
        cards.join("fake:", Settings(ring_shift=2))
    assert caught.value.strerror == (
        "fake: could not be stopped and is kept with ring_shift=1, and ring_shift=2 was asked for; "
        "open and close it once as it is, which resets it"
    )
    at_rest(cards.join("fake:", None))
    cards.leave("fake:")


class Nobody(Watch):
    """A watch that looks at nothing."""

    accesses = 0
    finding = gave_up = ""

    def same(self, watched):
        return watched

    device = runtime = controller = lifecycle = same


@pytest.fixture
def watched(log):
    return Attachments(
        lambda: {"fake": lambda rest: FakeDevice(log, rest)}, lambda: lambda *_: Nobody()
    )


def test_who_has_the_same_monitor_or_asks_for_none_shares_the_card(watched):
    watch = Monitoring(saves_to="run.json")
    at_rest(watched.join("fake:", None, watch))
    assert watched.join("fake:", None, watch).users == 2
    assert watched.join("fake:", None).users == 3
    with pytest.raises(InvalidArgumentError, match="in use with Monitoring"):
        watched.join("fake:", None, Monitoring())
    for _ in range(3):
        watched.leave("fake:")


def test_packets_are_moved_in_python_where_somebody_watches_and_else_as_fast_as_can_be(
    watched, monkeypatch
):
    fastest = attrs.evolve(PYTHON, name="the fastest")
    monkeypatch.setattr(attach, "chosen", lambda: fastest)
    plain = join_at_rest(watched, "fake:plain")
    at_rest(watched.join("fake:watched", None, Monitoring()))
    assert plain.controller.datapath is fastest
    assert watched.join("fake:watched", None).controller.datapath is PYTHON
    watched.leave("fake:plain")
    for _ in range(2):
        watched.leave("fake:watched")


def test_whoever_sets_no_time_waits_for_the_others_as_long_as_it_takes(monkeypatch, log):
    asked = []

    class Lock:
        def acquire(self, timeout):
            asked.append(timeout)
            return True

        def release(self):
            pass

        __enter__ = __exit__ = lambda *_: None

    monkeypatch.setattr(attach.threading, "Lock", Lock)
    cards = Attachments(lambda: {"fake": lambda rest: FakeDevice(log, rest)})
    monkeypatch.undo()
    join_at_rest(cards, "fake:")
    cards.leave("fake:")
    assert asked == [-1]


def test_whoever_waits_for_another_who_takes_hold_of_a_card_waits_no_longer_than_told(log):
    reached, go_on = threading.Event(), threading.Event()

    def slow(rest):
        reached.set()
        assert go_on.wait(PATIENCE)
        return FakeDevice(log, rest)

    cards = Attachments(lambda: {"fake": slow})
    other = threading.Thread(target=lambda: join_at_rest(cards, "fake:"))
    other.start()
    assert reached.wait(PATIENCE)
    for timeout in (0, 0.01):
        with pytest.raises(WaitTimeoutError) as caught:
            cards.join("fake:", None, timeout=timeout)
        assert caught.value.strerror == (
            f"waited {timeout} s for somebody else to take hold of a card or let go of it"
        )
    go_on.set()
    other.join(PATIENCE)
    assert cards.join("fake:", None, timeout=float("inf")).users == 2
    cards.leave("fake:")
    cards.leave("fake:")


# Keeping hold


def test_a_card_that_may_still_write_is_held_until_it_was_reset(cards, log):
    """Its memory must stay: the device is neither closed nor opened anew."""
    attachment = join_at_rest(cards, "fake:")
    attachment.lifecycle.needs_reset = True
    cards.leave("fake:")
    assert log == [("open", "")]
    again = cards.join("fake:", None)
    assert again is attachment
    assert log == [("open", "")]
    at_rest(again)
    cards.leave("fake:")
    assert log == [("open", ""), ("close", "")]


# What cannot be reached


@given(st.text().filter(lambda text: text.partition(":")[0] not in ("one", "two")))
def test_an_unknown_scheme_is_refused_and_the_known_ones_are_named(address):
    cards = Attachments(lambda: {"one": None, "two": None})
    with pytest.raises(UnknownAddressError) as caught:
        cards.join(address, None)
    expected = f"{address!r} names no card: an address begins with one of one:, two:"
    assert caught.value.strerror == expected


def test_a_scheme_without_a_colon_is_no_address(cards):
    with pytest.raises(UnknownAddressError) as caught:
        cards.join("fake", None)
    assert caught.value.strerror == "'fake' names no card: an address begins with one of fake:"


def test_without_backends_the_message_says_so():
    with pytest.raises(UnknownAddressError) as caught:
        Attachments(dict).join("fake:", None)
    assert caught.value.strerror == "'fake:' names no card: an address begins with one of none"


def test_what_the_backend_raises_is_what_the_user_sees():
    error = PermissionError(13, "Permission denied", "/dev/uio0")

    def refuse(_rest):
        raise error

    with pytest.raises(PermissionError) as caught:
        Attachments(lambda: {"fake": refuse}).join("fake:", None)
    assert caught.value is error


@pytest.mark.parametrize("error", [OSError(12, "no memory"), KeyboardInterrupt()], ids=repr)
def test_a_card_that_cannot_be_taken_hold_of_is_let_go_of(log, error):
    broken = [error, None]
    cards = Attachments(lambda: {"fake": lambda rest: FakeDevice(log, rest, broken=broken.pop(0))})
    with pytest.raises(type(error)) as caught:
        cards.join("fake:", SMALL)
    assert caught.value is error
    assert log == [("open", ""), ("close", "")]
    gc.collect()  # a socket that was left open would warn
    join_at_rest(cards, "fake:")
    cards.leave("fake:")
    assert log == [("open", ""), ("close", "")] * 2


def test_a_card_that_was_let_go_of_leaves_no_thread(cards):
    before = set(threading.enumerate())
    join_at_rest(cards, "fake:")
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"duct events", "duct fatal"}
    cards.leave("fake:")
    assert set(threading.enumerate()) <= before


# Backends


def test_backends_are_found_by_name_and_loaded_when_they_are_used(monkeypatch):
    loaded = []

    class Point:
        def __init__(self, name):
            self.name = name

        def load(self):
            loaded.append(self.name)
            return lambda rest: f"{self.name} at {rest}"

    asked = []
    monkeypatch.setattr(
        attach,
        "entry_points",
        lambda **which: asked.append(which) or [Point("vfio"), Point("emulated")],
    )
    known = backends()
    assert asked == [{"group": "duct.backends"}]
    assert list(known) == ["emulated", "vfio"]
    assert loaded == []
    assert known["vfio"]("0000:00:05.0") == "vfio at 0000:00:05.0"
    assert loaded == ["vfio"]


def test_a_backend_that_is_not_installed_in_full_names_what_is_missing(monkeypatch):
    point = EntryPoint("broken", "no.such.module:open", "duct.backends")
    monkeypatch.setattr(attach, "entry_points", lambda **_: [point])
    with pytest.raises(ModuleNotFoundError) as caught:
        Attachments().join("broken:", None)
    assert str(caught.value) == "No module named 'no'"


def test_the_emulated_card_is_installed():
    assert "emulated" in backends()


def test_what_a_card_is_used_with_if_nothing_is_said():
    """A reset is waited for a second, and a close takes some seconds at the most."""
    assert attrs.astuple(Settings())[1:] == (1000, 0.001, 5.0, 5.0)
