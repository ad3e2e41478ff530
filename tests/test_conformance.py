"""The conformance suite over the card in software, when it behaves well and when it is moody."""

import errno
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.register_assert_rewrite("properties.conformance")

from emulator.backend import default, open_emulated  # noqa: E402
from emulator.behaviour import Behaviour  # noqa: E402
from emulator.control import Control  # noqa: E402
from emulator.line_server import LineServer  # noqa: E402
from impl.driver import DuctDriver  # noqa: E402
from impl.errors import (  # noqa: E402
    CardFailedError,
    NoSuchCardError,
    NotPermittedError,
    NotSetUpError,
    WouldBlockError,
)
from properties import conformance  # noqa: E402
from properties.bench_control import BenchControl  # noqa: E402
from properties.conformance import (  # noqa: E402
    CHECKS,
    Check,
    HangError,
    at_address,
    emulated,
    run_guarded,
)

ROOT = Path(__file__).resolve().parent.parent

MOODS = {
    "plain": Behaviour(),
    "moody": Behaviour(
        interrupt_delay=0.001,
        merge=4,
        spurious_every=7,
        finish_at_stop=True,
        look_ahead=True,
        seed=1,
    ),
}


def backend_of(mood, *, monitor=False):
    def change(card):
        card.behaviour = MOODS[mood]

    return lambda: emulated(change, monitor=monitor)


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_emulated_card_conforms(check, mood):
    assert run_guarded(check, backend_of(mood)), "the emulated card has every ability"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_emulated_card_conforms_without_the_kernel(check, monkeypatch):
    monkeypatch.setenv("DUCT_KERNEL", "off")
    assert run_guarded(check, backend_of(next(iter(MOODS))))


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_emulated_card_conforms_while_the_monitor_looks_on(check, mood):
    assert run_guarded(check, backend_of(mood, monitor=True))


# The suite itself must be able to fail


def one(body, needs=""):
    return Check(body.__name__, body, needs)


def nothing_is_wrong(_backend):
    pass


def something_is_wrong(_backend):
    left, right = 1, 2
    assert left == right


def something_is_refused(_backend):
    raise WouldBlockError("no packet waits")


def it_never_ends(_backend):
    threading.Event().wait(30)


def test_a_check_that_hangs_is_a_failure_that_tells_where():
    with pytest.raises(HangError) as caught:
        run_guarded(one(it_never_ends), emulated, patience=0.3)
    text = str(caught.value)
    assert text.startswith("did not end within 0.3 s\n")
    assert "it_never_ends:\n" in text
    assert "threading.Event().wait(30)" in text


def test_a_check_that_the_backend_is_not_able_to_make_is_left_out():
    for needs in ("make_clogged", "make_pair", "fail"):
        able = one(something_is_wrong, needs)
        assert not run_guarded(able, lambda: at_address("emulated:"))


def test_a_second_address_is_a_second_card():
    with at_address("emulated:", "emulated:other") as backend:
        one_, other = backend.make_pair()
        with one_, other:
            assert one_.info.hwaddr != other.info.hwaddr


# A card that is reached by its address, and told what to do by its control channel


@pytest.fixture
def controlled(tmp_path):
    """A card's address and its control channel, as a path."""
    name = f"controlled-{tmp_path.name}"
    path = str(tmp_path / "control")
    server = LineServer(path, Control(default().card(name)).answer)
    yield f"emulated:{name}", path
    server.close()


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check.needs in {"make_clogged", "fail"}],
    ids=lambda check: check.name,
)
def test_a_control_channel_gives_a_card_at_an_address_every_ability(controlled, check):
    address, path = controlled
    with BenchControl.at(path) as control:
        assert run_guarded(check, lambda: at_address(address, control=control))


def test_what_was_done_to_a_card_is_undone_before_a_check_and_after_it(controlled):
    address, path = controlled
    with BenchControl.at(path) as control:
        for leave in (control.stand_still, control.mute_interrupts):
            leave()
            with at_address(address, control=control) as backend:
                with backend.make() as duct:
                    duct.send(duct.info.hwaddr, b"goes on", timeout=20)
                    assert duct.receive(timeout=20).payload == b"goes on"
                leave()
            with at_address(address) as backend, backend.make() as duct:
                duct.send(duct.info.hwaddr, b"goes on", timeout=20)
                assert duct.receive(timeout=20).payload == b"goes on"


def test_a_card_that_somebody_lets_go_of_late_is_waited_for(monkeypatch):
    address = "emulated:let-go-of-late"
    holder = open_emulated("let-go-of-late")
    monkeypatch.setattr("properties.conformance.backends.SOON", 0.1)
    with at_address(address) as backend:
        with pytest.raises(OSError, match="busy") as busy:
            backend.make()
        assert busy.value.errno == errno.EBUSY
        monkeypatch.setattr("properties.conformance.backends.SOON", 30)
        threading.Timer(0.1, holder.close).start()
        with backend.make() as duct:
            assert duct.info


def test_only_a_card_that_somebody_has_is_waited_for(monkeypatch):
    tried = []

    def open_(address, **_options):
        tried.append(address)
        raise PermissionError(errno.EACCES, "not permitted")

    monkeypatch.setattr(DuctDriver, "open", open_)
    with at_address("emulated:forbidden") as backend, pytest.raises(PermissionError):
        backend.make()
    assert tried == ["emulated:forbidden"]


@pytest.mark.parametrize("body", [something_is_wrong, something_is_refused])
def test_what_a_check_raises_is_its_failure(body):
    with pytest.raises((AssertionError, WouldBlockError)):
        run_guarded(one(body), emulated)


@pytest.fixture
def checks(monkeypatch):
    """Checks instead of the real ones."""

    def replace(*these):
        monkeypatch.setattr("properties.conformance.command.CHECKS", these)

    return replace


def lines(capsys):
    """What was printed, without times."""
    text = re.sub(r" +\d+\.\d\d s ", " T ", capsys.readouterr().out)
    return re.sub(r":\d+: ", ":N: ", text).splitlines()


def test_the_command_prints_a_line_for_each_check(checks, capsys):
    checks(one(nothing_is_wrong), one(something_is_refused), one(something_is_wrong, "fail"))
    assert conformance.main(["emulated:conformance"]) == 1
    assert lines(capsys) == [
        "holds T  nothing is wrong",
        "FAILS T  something is refused",
        '    test_conformance.py:N: raise WouldBlockError("no packet waits")',
        "    WouldBlockError: [Errno 11] no packet waits",
        "left out T  something is wrong",
        "1 holds, 1 FAILS, 1 left out",
    ]


def test_the_command_ends_well_if_all_that_could_be_checked_holds(checks, capsys):
    checks(one(nothing_is_wrong), one(something_is_wrong, "make_pair"))
    assert conformance.main(["emulated:conformance"]) == 0
    assert lines(capsys)[-1] == "1 holds, 1 left out"


def test_the_command_stops_at_a_check_that_hangs(checks, capsys, monkeypatch):
    checks(one(it_never_ends), one(nothing_is_wrong))
    monkeypatch.setattr("properties.conformance.running.PATIENCE", 0.3)
    assert conformance.main(["emulated:"]) == 1
    printed = lines(capsys)
    assert printed[:2] == ["FAILS T  it never ends", "    did not end within 0.3 s"]
    assert printed[-2:] == [
        "The card is in an unknown state now; the other checks were not made.",
        "1 FAILS",
    ]


def test_the_command_makes_the_checks_that_were_asked_for(capsys):
    assert conformance.main(["emulated:conformance", "--only", "*quote*"]) == 0
    assert lines(capsys) == ["holds T  a quote answers an empty packet", "1 holds"]


def test_the_command_uses_the_control_channel_that_it_is_given(controlled, capsys):
    address, path = controlled
    assert conformance.main([address, "--control", path, "--only", "a_full_ring_blocks"]) == 0
    assert lines(capsys) == ["holds T  a full ring blocks", "1 holds"]
    assert conformance.main([address, "--only", "a_full_ring_blocks"]) == 0
    assert lines(capsys) == ["left out T  a full ring blocks", "1 left out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["emulated:", "--control", "/nothing/there"],
            '--control is not for "emulated:", which can be made to do anything anyway',
        ),
        (
            ["emulated:a", "--control", "/nothing/there"],
            "--control /nothing/there: No such file or directory",
        ),
    ],
)
def test_the_command_refuses_a_control_channel_that_cannot_be(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        conformance.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {message}\n")


@pytest.mark.parametrize("address", ["emulated:", "emulated:monitored"])
def test_the_command_opens_with_a_monitor_if_it_is_told_to(checks, capsys, monkeypatch, address):
    given = []

    def open_(_address, **options):
        given.append(options.get("monitor"))
        raise WouldBlockError("enough")

    monkeypatch.setattr(DuctDriver, "open", open_)
    checks(one(lambda backend: backend.make()))
    for option in ([], ["--monitor"]):
        assert conformance.main([address, *option]) == 1
    assert given == [False, True]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, "'nope:' names no card: an address begins with one of emulated:, uio:, vfio:"),
        (NoSuchCardError("there is no card here"), "there is no card here"),
        (NotPermittedError("not for you"), "not for you"),
        (NotSetUpError("no IOMMU"), "no IOMMU"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("option", [[], ["--monitor"]], ids=str)
def test_an_address_that_leads_to_no_card_is_told_once(capsys, monkeypatch, error, line, option):
    def fail(_address, **_options):
        raise error

    if error is not None:
        monkeypatch.setattr(DuctDriver, "open", fail)
    assert conformance.main(["nope:", *option]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"python -m properties.conformance: {line}\n")


def test_a_card_that_does_not_open_fails_each_check(checks, capsys, monkeypatch):
    def fail(_address, **_options):
        raise CardFailedError("it does not start")

    monkeypatch.setattr(DuctDriver, "open", fail)
    checks(one(lambda backend: backend.make()), one(lambda backend: backend.make()))
    assert conformance.main(["vfio:"]) == 1
    assert lines(capsys)[-1] == "2 FAILS"


def test_the_command_refuses_a_pattern_that_matches_nothing(capsys):
    with pytest.raises(SystemExit) as caught:
        conformance.main(["emulated:", "--only", "nothing"])
    assert caught.value.code == 2
    expected = f"--only 'nothing' matches none of {len(CHECKS)} checks\n"
    assert capsys.readouterr().err.endswith(expected)


def test_the_suite_runs_as_a_command_without_a_test_framework():
    script = (
        "import sys; from properties import conformance; "
        "status = conformance.main(['emulated:', '--only', '*quote*']); "
        "assert not {'pytest', 'hypothesis'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


def test_the_suite_refuses_to_run_where_assertions_are_left_out():
    command = [sys.executable, "-O", "-m", "properties.conformance", "emulated:"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "RuntimeError: the checks are made of assert statements, which python -O leaves out\n"
    )


def test_every_check_has_a_name_of_its_own():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
