"""Every fault that a driver could have is caught, and the driver as it is passes the same tests."""

import re

import pytest

from model.faults import CATALOGUE
from model.state import Label
from proofs.theory import THEORY
from properties.card_faults import CARD_FAULTS
from properties.driver_source import PRESENT, DriverCode
from properties.fault_runs import FIRST, SCENES, Scene, at, caught, play, search
from properties.faults import FAULTS, SAME_LINE, DriverFault, fault
from properties.replay import Run, replay
from properties.simulation.host import Ending
from properties.simulation.simulation import HWADDR, Simulation

CARDS_MISTAKES = {
    "relaxed-ordering",
    "look-cleared-late",
    "stop-starves",
    "scans-after-reset",
    "for-a-stranger",
    "removes-what-is-not-there",
    "no-space-with-space",
    "sends-after-failure",
    "looks-for-ever",
    "event-survives-reset",
}
"""Of the faults of the specification, those that no driver can make."""
NOT_STOPPED = r"at RESET the specification allows: the write of RST|at CMD_FIELDS"
NOT_WOKEN = "was not woken"
READABLE = "pollers see readable"
WRITABLE = "pollers see writable"
EVENTS = "acquire: event flags before owner"
NO_FAILURE = "at RESET the specification allows: the write of RST|at INIT_TX|FLAGS at CMD_FIELDS"
FOUND = {
    "free-while-started": NOT_STOPPED,
    "stop-failed-free": NOT_STOPPED,
    "rx-before-start": NOT_STOPPED,
    "fatal-is-forever": NO_FAILURE,
    "failure-taken-for-granted": NO_FAILURE,
    "result-of-another": "load cmd.status is not allowed",
    "shared-result": "the specification says (ENOSPC|ENOENT|OK)",
    "waits-for-another": "sleep for a transmit slot",
    "wake-before-advance": "give up the lock is not allowed",
    "unlock-then-sleep": "give up the lock is not allowed here; .* allows: sleep",
    "wrong-channel": NOT_WOKEN,
    "reset-spins": "read FLAGS is not allowed",
    "double-fetch": "load rx.header",
    "unchecked-length": "rx.first_word|buffers of slot|received packet",
    "length-not-checked": "bytes 0 to 19999 of the buffers of slot 0",
    "acquire-too-early": "acquire: owner before header",
    "open-count": "give up the lock is not allowed",
    "open-leak": "give up the lock is not allowed",
    "doorbell-wrong-index": "of slot 1, where the specification says slot 0",
    "doorbell-wrong-ring": "ring the cmd doorbell",
    "no-doorbell": "ring the cmd doorbell",
    "batch-sleeps-unrung": "does not ring the doorbell",
    "one-per-interrupt": "at TX_SCAN|at CMD_SCAN",
    "reclaim-starves": "give up the lock is not allowed",
    "readable-at-every-event": READABLE,
    "last-packet-leaves-readable": READABLE,
    "readiness-cleared-unseen": READABLE,
    "readiness-never-set": READABLE,
    "readiness-never-cleared": READABLE,
    "readiness-kept-over-close": READABLE,
    "full-ring-not-shown": WRITABLE,
    "free-slot-not-shown": WRITABLE,
    "submit-without-lock": "at IDLE the specification allows: nothing",
    "waits-anyway": "sleep|at TX_TURN",
    "returns-when-queued": "at TX_WAIT the specification allows: sleep",
    "batch-stops-short": "give up the lock is not allowed|2 of .* packets were sent|"
    "at TX_(TURN|FIRST_WORD)|pollers see writable = True",
    "result-not-looked-at": "the specification says (ENOSPC|ENOENT)",
    "wake-up-ends-call": "at RX_(OWNER|HEADER) the specification allows: load rx|is at RX_OWNER"
    "|load rx.owner DEVICE is not allowed here; at EXIT",
    "never-waits": "no packet waits.*the specification is at RX_OWNER",
    "full-ring-is-an-error": "CardFailedError.*the specification says EAGAIN",
    "interruption-says-ok": "the specification says EINTR",
    "failed-open-says-ok": "the specification says EIO",
    "stale-command-index": "cmd.fields",
    "phantom-write": "the specification says EAGAIN",
    "pollers-not-told": f"{READABLE}|{WRITABLE}",
    "wake-before-free": "asks for the lock at IDLE",
    "bus-master-before-reset": "card_bus_master: True, and the specification says False",
    "bus-master-never-set": "at BUS_MASTER the specification allows: write Bus Master",
    "bus-master-during-reset": "write Bus Master is not allowed here; at POLL",
    "own-address-forgotten": "at CMD_FIELDS the specification allows: store cmd.fields",
    "reset-instead-of-stop": "write to FLAGS at CMD_FIELDS",
    "spins": "specification allows: sleep",
    "events-not-read": "at READ_EVENTS the specification allows: read EVFLAGS",
    "no-barrier-tx-fields": "release: fields before owner",
    "no-barrier-tx-payload": "release: (payload|fields) before owner",
    "no-barrier-cmd-fields": r"cmd\.owner_visible.*release: fields before owner",
    "no-barrier-tx-doorbell": r"tx\.doorbell_arrives.*owner before doorbell",
    "no-barrier-cmd-doorbell": r"cmd\.doorbell_arrives.*owner before doorbell",
    "no-barrier-cmd-result": "acquire: owner before status",
    "no-barrier-rx-header": "acquire: owner before header",
    "no-barrier-tx-events": EVENTS,
    "no-barrier-cmd-events": EVENTS,
    "no-barrier-rx-events": EVENTS,
    "no-barrier-rx-pointer": "release: pointer before owner",
    "no-barrier-rx-first-load": "release: loads before owner",
    "no-barrier-rx-last-load": "rx.last_word_late.*release: loads before owner",
    "no-barrier-start-read": "release: register read before owner",
    "no-barrier-cmd-base": "CMD_FENCE",
    "no-barrier-tx-base": "INIT_FENCE",
    "no-barrier-tx-free": "stores before receive memory is freed",
    "line-not-woken": NOT_WOKEN,
    "completion-not-woken": NOT_WOKEN,
    "readers-not-woken": NOT_WOKEN,
    "drain-not-woken": NOT_WOKEN,
    "leaver-wakes-nobody": NOT_WOKEN,
    "failure-wakes-nobody": f"{NOT_WOKEN}|{READABLE}",
    "open-wakes-nobody": NOT_WOKEN,
    "closed-wakes-nobody": NOT_WOKEN,
    "close-cancels-nothing": "a driver that was closed",
    "views-kept-at-close": "have not come back",
    "late-view-kept": "have not come back",
    "packet-memory-leaks": "free",
    "looks-after-free": "freed",
    "rings-used-after-stop": "freed",
    "packet-rings-not-retired": "freed",
    "no-flush-before-start": "at READ_BACK the specification allows: read HWADDR",
    "pages-overlap": "bytes .*, and it is",
    # A packet of one byte is not copied at all.
    "copies-too-little": "received packet .* and it is|allows: load rx.last_word",
}
"""What the finding says, where one kind of finding alone would be right."""
EACH = pytest.mark.parametrize("wrong", FAULTS, ids=lambda item: item.fault.id)


# What there is


def test_each_fault_of_the_specification_that_a_driver_can_make_is_here():
    for proved in THEORY.faults:
        if proved.id in SAME_LINE:
            assert fault(SAME_LINE[proved.id])
        elif proved.id not in CARDS_MISTAKES:
            assert fault(proved.id).fault is proved


def test_what_is_described_is_made_somewhere():
    made = [*THEORY.faults, *(item.fault for item in (*FAULTS, *CARD_FAULTS))]
    assert {item.id for item in made} == {item.id for item in CATALOGUE}


def test_each_fault_is_described_once():
    assert len({item.id for item in CATALOGUE}) == len(CATALOGUE)
    assert len({item.title for item in CATALOGUE}) == len(CATALOGUE)


def test_what_is_nowhere_described_is_no_fault():
    with pytest.raises(KeyError):
        DriverFault("gremlins", ())


def test_names_differ():
    assert len({item.fault.id for item in FAULTS}) == len(FAULTS)


def test_an_unknown_fault_names_the_known_ones():
    with pytest.raises(ValueError) as error:
        fault("gremlins")
    assert str(error.value).startswith("'gremlins' is no fault; known are zero-length-stall, wild-")


def test_scenes_and_expectations_are_of_faults():
    names = {item.fault.id for item in FAULTS}
    assert SCENES.keys() <= names
    assert FOUND.keys() <= names


@EACH
def test_no_fault_stands_on_another_ones_changes(wrong):
    others = [item.fault.id for item in FAULTS if item.changes == wrong.changes]
    assert others == [wrong.fault.id]


# Each is caught


@EACH
def test_a_fault_is_caught(wrong):
    found = caught(wrong)
    assert found.deviation is not None
    assert re.search(FOUND.get(wrong.fault.id, ""), found.deviation.reason, re.DOTALL)
    assert found.accesses > 0


# The driver as it is


def test_the_driver_passes_the_search():
    found = search(PRESENT)
    assert found.deviation is None
    assert found.accesses > 100_000


@pytest.mark.parametrize("name", SCENES)
def test_the_driver_passes_the_scenes(name):
    found = play(SCENES[name], PRESENT)
    assert found.deviation is None


def test_a_signal_while_a_close_waits_for_callers_does_not_end_its_draining():
    def held_up(_, decision):
        return decision == ("run", FIRST) or decision[0] == "card"

    def act(script):
        script.opened()
        script.do("offer", HWADDR, 1)
        script.rest()
        script.do("receive", 0, True, False)
        script.until(at(Label.RX_FIRST_WORD))
        script.do("send", 0, HWADDR, (1,), False)
        script.rest(without=held_up)
        script.do("close", 0)
        script.until(at(Label.LEAVE, thread=FIRST + 1, asleep=True), without=held_up)
        script.until(
            at(Label.IDLE),
            without=lambda _, decision: decision[0] == "card" or decision[:2] == ("up", FIRST + 1),
        )
        script.do("up", FIRST + 1, Ending.SIGNAL)
        script.rest()

    assert play(Scene(act), PRESENT).deviation is None


# What a finding is


@pytest.mark.parametrize(
    "name", ["no-barrier-tx-fields", "shared-result", "views-kept-at-close", "failure-during-reset"]
)
def test_a_finding_can_be_replayed(name):
    found = caught(fault(name))
    run = Run.from_json(found.run.to_json())
    assert run.fault == name
    _, again = replay(run, DriverCode.changed(fault(run.fault).changes))
    assert again is not None
    assert again.reason == found.deviation.reason
    _, none = replay(run, PRESENT)
    assert none is None


def test_a_mistake_of_the_harness_is_no_finding(monkeypatch):
    def broken(simulation, vector):
        raise LookupError("the harness is wrong")

    monkeypatch.setattr(Simulation, "_do_deliver", broken)
    with pytest.raises(LookupError):
        search(PRESENT, examples=1)


def test_a_scene_that_leads_nowhere_is_no_finding():
    def waits_in_vain(script):
        script.do("open")
        script.until(lambda simulation: False)

    with pytest.raises(RuntimeError) as error:
        play(Scene(waits_in_vain), PRESENT)
    assert str(error.value) == "nothing goes on, and the scene's condition does not hold"
