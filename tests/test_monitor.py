"""The monitor sees what driver and card do, names who breaks a rule, and gives no false alarm."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.backend import Laboratory
from emulator.behaviour import Behaviour
from engine.stepper import Stepper
from impl import watch as impl_watch
from impl.attach import Attachments
from impl.controller import Controller
from impl.driver import DuctDriver
from impl.errors import InvalidArgumentError, SpecificationError
from impl.settings import Monitoring, Settings
from judge.judge import Deviation
from model.layout import ECHO, EVFLAGS, IDENTITY, RXCOMP
from model.system import specification
from monitor import callers, watch
from monitor.observer import Observer
from properties import monitored, replay
from properties.card_faults import CARD_FAULTS
from properties.driver_source import DriverCode
from properties.faults import FAULTS, fault
from properties.monitored import SETTINGS, play
from tests.background import Background, until
from tests.own_process import in_own_process

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 0x0BAD_F00D
HANGS = "a call waits for ever, and waiting is a step that the specification allows"
UNSEEN = {
    "length-not-checked": "it shows only with a card that lies, and then the card is named",
    "turns-away-unlocked": "a call that accesses nothing is none to the monitor",
    "close-cancels-nothing": HANGS,
    "ignores-close": HANGS,
    "views-kept-at-close": HANGS,
    "late-view-kept": HANGS,
    "batch-overtakes": "the lock goes first to whoever it would overtake, who was woken",
    "others-overtaken": "two others would have to come while one packet is copied",
    "interrupted-reader-tells-nobody": "threads that were woken are ended by a signal only",
}
"""Faults of the driver that the run does not show, and why."""


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """What takes half a second is kept, for every process that is forked here."""
    Observer(SETTINGS, None)


@pytest.fixture
def attachments(laboratory):
    return Attachments(lambda: {"emulated": laboratory.open}, lambda: watch.watch)


def sets_for_nothing(laboratory, bits=RXCOMP.mask):
    """From now on the card says that packets came, and none do."""
    laboratory.card().card.reading(EVFLAGS).around(lambda read: read() | bits)


# No false alarm


@pytest.mark.parametrize("ring_shift", [0, 1, 6])
def test_nothing_is_wrong_with_the_driver_and_the_card(ring_shift):
    shift = Settings(
        ring_shift, SETTINGS.reset_polls, 0.001, SETTINGS.drain_timeout, SETTINGS.command_timeout
    )
    outcome = play(settings=shift)
    assert not outcome.finding
    assert not outcome.gave_up
    assert not outcome.hung
    assert outcome.accesses > 2000


def test_the_largest_rings_are_judged(attachments):
    with DuctDriver.open(
        "emulated:", settings=Settings(ring_shift=12), monitor=True, attachments=attachments
    ) as duct:
        duct.send_batch([(ECHO.address, b"x")] * 100)
        for _ in range(100):
            duct.receive(timeout=30)
    assert not duct.watch.finding
    assert duct.watch.accesses > 4 * 4096


MOODS = st.builds(
    Behaviour,
    interrupt_delay=st.sampled_from([0.0, 0.0002]),
    merge=st.integers(1, 8),
    spurious_every=st.sampled_from([0, 2, 7]),
    finish_at_stop=st.booleans(),
    look_ahead=st.booleans(),
    queue=st.sampled_from([1, 256]),
    seed=st.integers(0, 1000),
)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("receive"), st.booleans()),
        st.tuples(st.just("view"), st.booleans()),
        st.tuples(st.sampled_from(["poll", "add", "remove", "fail", "reopen", "release"])),
    ),
    max_size=25,
)


def make(call, duct, views, card):
    match call:
        case "send", number, blocking:
            duct.send_batch([(ECHO.address, b"x" * n) for n in range(number)], blocking=blocking)
        case "receive", blocking:
            duct.receive(blocking=blocking, timeout=0.005)
        case "view", blocking:
            views.append(duct.receive_view(blocking=blocking, timeout=0.005))
        case ("release",):
            for view in views:
                view.release()
        case ("poll",):
            duct.poll()
        case ("add",):
            duct.add_multicast(0xFFFFFFFF, 0x80000001)
        case ("remove",):
            duct.remove_multicast(0xFFFFFFFF, 0x80000001)
        case ("fail",):
            card.fail()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(MOODS, st.integers(0, 2), CALLS)
def test_no_card_that_keeps_to_the_rules_is_blamed(mood, ring_shift, calls):
    laboratory = Laboratory()
    card = laboratory.card()
    card.behaviour = mood
    known = Attachments(lambda: {"emulated": laboratory.open}, lambda: watch.watch)

    def reopened():
        return DuctDriver.open(
            "emulated:", settings=Settings(ring_shift), monitor=True, attachments=known
        )

    duct = reopened()
    views = []
    try:
        for call in calls:
            try:
                if call == ("reopen",):
                    duct.close()
                    assert not duct.watch.finding
                    views, duct = [], reopened()
                else:
                    make(call, duct, views, card)
            except SpecificationError:
                raise
            except OSError:
                continue
        duct.close()
        assert not duct.watch.finding
        assert not duct.watch.gave_up
    finally:
        laboratory.power_off()


def test_what_is_recorded_is_a_run_of_the_specification(laboratory, attachments):
    laboratory.card().behaviour = Behaviour(merge=4, spurious_every=3, look_ahead=True)
    with DuctDriver.open(
        "emulated:", settings=Settings(ring_shift=1), monitor=True, attachments=attachments
    ) as duct:
        for number in range(10):
            duct.send(ECHO.address, b"x" * number)
            duct.receive(timeout=10)
        judged = duct.watch.observer
        with judged.mutex:
            again = Stepper(specification(), judged.judge.spec.scope)
            again.load(judged.path.start)
            for step in judged.path:
                assert again.is_enabled(step)
                again.fire(step)
            assert again.state() == judged.judge.stepper.state()


def with_an_interrupt_just_before_it_is_let_go_of(opened, vector):
    """The wait for an interrupt, ended by the close of the device, says that one came before."""
    device = opened()
    wait = device.wait_for_interrupt
    late = iter([True])
    device.wait_for_interrupt = lambda number: (
        wait(number) or (number == vector and next(late, False))
    )
    return device


def closed_with_a_late_interrupt(laboratory, vector):
    known = Attachments(
        lambda: {
            "emulated": lambda *given: with_an_interrupt_just_before_it_is_let_go_of(
                lambda: laboratory.open(*given), vector
            )
        },
        lambda: watch.watch,
    )
    with DuctDriver.open("emulated:", monitor=True, attachments=known) as duct:
        pass
    return duct.watch


@pytest.mark.parametrize("vector", [IDENTITY.event_vector, IDENTITY.fatal_vector])
def test_a_handler_that_finds_the_card_let_go_of_has_done_nothing_wrong(laboratory, vector):
    late = closed_with_a_late_interrupt(laboratory, vector)
    assert not late.finding
    assert not late.gave_up


@pytest.mark.parametrize("vector", [IDENTITY.event_vector, IDENTITY.fatal_vector])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_serves_a_card_that_was_let_go_of_is_blamed(laboratory, monkeypatch, vector):
    never = property(lambda controller: False, lambda controller, value: None)
    monkeypatch.setattr(Controller, "_gone", never, raising=False)
    late = closed_with_a_late_interrupt(laboratory, vector)
    assert late.finding.startswith("the driver broke the specification: ")
    assert "is read after the card was let go of" in late.finding


# Who is blamed


@pytest.mark.parametrize("wrong", CARD_FAULTS, ids=lambda item: item.fault.id)
def test_a_card_that_breaks_a_rule_is_named(wrong):
    outcome = play(prepare=wrong.make)
    assert outcome.finding.startswith("the card broke the specification: ")
    assert wrong.says in outcome.finding


@pytest.mark.parametrize("name", [item.fault.id for item in FAULTS if item.fault.id not in UNSEEN])
def test_a_driver_that_breaks_a_rule_is_named(name):
    """Some leave threads behind that never end."""
    outcome = in_own_process(lambda: play(DriverCode.changed(fault(name).changes)))
    assert outcome.finding.startswith("the driver broke the specification: ")


def test_the_command_makes_a_run_with_a_fault_and_without(capsys):
    assert monitored.main([]) == 0
    assert capsys.readouterr().out.endswith(" accesses, and all were right\n")
    assert monitored.main(["--fault", "no-doorbell"]) == 1
    assert capsys.readouterr().out.startswith("the driver broke the specification: ")


def test_what_cannot_be_seen_is_about_faults_that_there_are():
    assert UNSEEN.keys() <= {item.fault.id for item in FAULTS}


# What users see of it


def test_the_call_in_which_it_is_seen_raises_and_so_does_every_later_one(laboratory, attachments):
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError) as caught:
        duct.send(NOBODY, b"hello")
    for again in (duct.poll, duct.receive, lambda: duct.send(1, b"")):
        with pytest.raises(SpecificationError):
            again()
    duct.close()
    lines = caught.value.strerror.splitlines()
    assert lines[0] == (
        "the card broke the specification: RXCOMP was set, and no slot of the rx ring came back "
        "since it was last set"
    )
    assert lines[1] == "the last steps"
    assert "step │ host threads" in caught.value.strerror
    assert caught.value.strerror == duct.watch.finding


def test_whoever_sleeps_wakes_with_it(laboratory, attachments):
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    raised = []

    def wait():
        try:
            duct.receive()
        except SpecificationError as error:
            raised.append(error)

    sleeper = threading.Thread(target=wait)
    sleeper.start()
    sets_for_nothing(laboratory)
    with laboratory.card().held() as card:
        card.spurious()
    sleeper.join(30)
    assert len(raised) == 1
    duct.close()


def test_a_packet_that_was_taken_when_it_is_seen_does_not_hold_up_the_close(
    laboratory, attachments, monkeypatch
):
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    duct.send(ECHO.address, b"hello")
    taken = []
    controller = duct._controller._inner
    receive_packet = controller.receive_packet

    def take_and_see(wait):
        taken.append(receive_packet(wait))
        duct.watch.observer.verdict.deviation = Deviation("something is wrong")
        return taken[0]

    monkeypatch.setattr(controller, "receive_packet", take_and_see)
    with pytest.raises(SpecificationError):
        duct.receive_view(timeout=30)
    assert len(taken) == 1
    duct.close()
    assert not laboratory.card().card.started


def test_the_card_is_stopped_all_the_same_and_can_be_opened_again(laboratory, attachments):
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError):
        duct.send(NOBODY, b"hello")
    duct.close()
    assert not laboratory.card().card.started
    with DuctDriver.open("emulated:", attachments=attachments) as unwatched:
        unwatched.send(ECHO.address, b"hello")
        assert unwatched.receive(timeout=30).payload == b"hello"


def test_a_call_that_begins_as_it_is_seen_does_not_sleep_on(laboratory):
    """It has been woken for good already, before it sleeps: so it must not begin."""
    monitors = []

    def watching(settings, monitoring):
        monitors.append(watch.watch(settings, monitoring))
        return monitors[-1]

    attachments = Attachments(lambda: {"emulated": laboratory.open}, lambda: watching)
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    (observer,) = (monitor.observer for monitor in monitors)
    with observer.mutex:
        reader = Background(duct.receive)
        until(lambda: sys._current_frames()[reader.thread.ident].f_code.co_name == "begun")
        observer.verdict.failed(Deviation("something is wrong"))
    error = reader.join().error
    assert isinstance(error, SpecificationError)
    assert "something is wrong" in error.strerror
    duct.close()


def test_an_open_in_which_it_is_seen_leaves_nothing_open(laboratory, attachments):
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError):
        DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    assert not laboratory.card().card.started
    laboratory.open().close()


def test_a_close_that_is_the_first_to_tell_raises(laboratory, attachments):
    duct = DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError):
        duct.close()
    assert not laboratory.card().card.started


def test_the_run_is_saved_on_request_and_can_be_shown(laboratory, attachments, tmp_path, capsys):
    file = tmp_path / "runs" / "run.json"
    duct = DuctDriver.open("emulated:", monitor=Monitoring(file), attachments=attachments)
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError):
        duct.send(NOBODY, b"hello")
    duct.close()
    assert replay.main([str(file), "--itf", str(tmp_path / "run.itf.json")]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("a monitored run, steps 1 to ")
    assert "==> the card broke the specification: RXCOMP was set" in shown
    assert json.loads((tmp_path / "run.itf.json").read_text())["states"]


def test_a_run_that_cannot_be_saved_is_told_all_the_same(laboratory, attachments, tmp_path):
    duct = DuctDriver.open("emulated:", monitor=Monitoring(tmp_path), attachments=attachments)
    sets_for_nothing(laboratory)
    with pytest.raises(SpecificationError) as caught:
        duct.send(NOBODY, b"hello")
    duct.close()
    assert "the run could not be saved: " in caught.value.strerror


# Asking for it


def test_all_opens_share_the_monitor_of_the_first(attachments):
    with (
        DuctDriver.open("emulated:", monitor=True, attachments=attachments) as one,
        DuctDriver.open("emulated:", attachments=attachments) as other,
    ):
        assert one.watch is other.watch is not None


def test_a_card_that_is_open_without_a_monitor_gets_none(attachments):
    with DuctDriver.open("emulated:", attachments=attachments) as duct:
        assert duct.watch is None
        with pytest.raises(InvalidArgumentError) as caught:
            DuctDriver.open("emulated:", monitor=True, attachments=attachments)
    assert caught.value.strerror == (
        "emulated: is in use with no monitor, and Monitoring(saves_to=None) was asked for; close "
        "every other open of it first"
    )


def test_where_no_monitor_is_installed_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(impl_watch, "entry_points", lambda group: [])
    with pytest.raises(InvalidArgumentError) as caught:
        impl_watch.installed_watch()
    assert caught.value.strerror == (
        "no monitor is installed: no package offers an entry point of the group duct.monitors; "
        "install this project with `pip install .`, or open the card without a monitor"
    )


def test_the_installed_monitor_needs_nothing_but_attrs():
    script = (
        "import sys; from impl.driver import DuctDriver; "
        "duct = DuctDriver.open('emulated:', monitor=True); duct.send(1, b'x'); duct.close(); "
        "assert duct.watch.accesses and not duct.watch.finding; "
        "found = {'z3', 'cvc5', 'hypothesis', 'greenlet', 'pytest', 'rich'} & set(sys.modules); "
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


# Where it ends


def test_with_more_calls_than_it_has_threads_for_it_gives_up(monkeypatch, attachments):
    monkeypatch.setattr(callers, "USERS", 2)
    with DuctDriver.open("emulated:", monitor=True, attachments=attachments) as duct:
        views = []
        for _ in range(3):
            duct.send(ECHO.address, b"x")
            views.append(duct.receive_view(timeout=30))
        assert duct.watch.gave_up == "more than 2 calls are under way at once"
        for view in views:
            view.release()
        duct.send(ECHO.address, b"y")
    assert not duct.watch.finding


def test_an_error_of_its_own_is_no_signal_and_the_driver_goes_on(attachments):
    with DuctDriver.open("emulated:", monitor=True, attachments=attachments) as duct:
        duct.watch.observer.judge.spec = None
        duct.send(NOBODY, b"x")
    assert duct.watch.gave_up.startswith("the monitor itself failed:")
    assert not duct.watch.finding
