"""A run is its decisions: it can be saved, replayed, and shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from judge.judge import Deviation, Specification
from properties.driver_source import PRESENT, DriverCode, SourceChange
from properties.replay import Run, main, replay, save
from properties.simulation.simulation import Setup, Simulation

ROOT = Path(__file__).resolve().parent.parent
SETUP = Setup(ring_shift=0)
FORGETFUL = SourceChange(
    "ring",
    """        # The card must find the owner byte when it looks.
        self._device.before_register_write()
""",
    "",
)


def a_run(code=PRESENT):
    """Open the card, send a packet, receive one, close."""
    simulation = Simulation(SETUP, Specification(SETUP.scope()), code)
    simulation.decide(("open",))
    simulation.settle()
    simulation.decide(("send", 0, 0xEC60, (5000,), True))
    simulation.decide(("offer", 0x34565CAB, 3))
    simulation.decide(("receive", 0, True, False))
    simulation.finish()
    return simulation


def go_on_with_stores_last(simulation):
    """Register writes arrive first, stores become visible as late as can be."""
    while options := sorted(simulation.options(), key=lambda item: (item[0] == "show", item)):
        simulation.decide(next((item for item in options if item[0] == "arrive"), options[0]))


def test_the_same_decisions_give_the_same_run():
    first = a_run()
    second, deviation = replay(Run(SETUP, tuple(first.decisions)), PRESENT)
    assert deviation is None
    assert second.judge.path == first.judge.path
    assert second.judge.accesses == first.judge.accesses
    assert [kind for kind, _ in first.results] == ["open", "send", "receive", "close"]


def test_a_run_survives_being_written_down():
    run = Run(SETUP, tuple(a_run().decisions), "some-fault")
    assert Run.from_json(json.loads(json.dumps(run.to_json()))).setup == run.setup
    assert Run.from_json(run.to_json()).fault == "some-fault"


def test_the_steps_of_a_run_are_a_trace_of_the_specification():
    simulation = a_run()
    trace = simulation.judge.trace("a run", "")
    assert len(trace.steps) == len(simulation.judge.path)
    rules = [step.rule for step in trace.steps]
    assert rules.index("tx.store_owner") < rules.index("tx.send") < rules.index("tx.reclaim")


def test_replaying_a_good_run_exits_with_0(tmp_path, capsys):
    path = tmp_path / "run.json"
    save(Run(SETUP, tuple(a_run().decisions)), path)
    assert main([str(path)]) == 0
    assert "==> no deviation" in capsys.readouterr().out


def test_replaying_a_deviation_exits_with_1_and_names_the_barrier(tmp_path, capsys, monkeypatch):
    code = DriverCode.changed([FORGETFUL])
    simulation = Simulation(SETUP, Specification(SETUP.scope()), code)
    simulation.decide(("open",))
    with pytest.raises(Deviation) as found:
        go_on_with_stores_last(simulation)
    assert "its barrier does not hold: owner before doorbell" in found.value.reason
    path = tmp_path / "run.json"
    itf = tmp_path / "trace.itf.json"
    save(Run(SETUP, tuple(simulation.decisions), "forgetful"), path)
    monkeypatch.setattr("properties.replay._code", lambda run, present: code)
    assert main([str(path), "--itf", str(itf)]) == 1
    assert "==> cmd.doorbell_arrives is not allowed now" in capsys.readouterr().out
    assert json.loads(itf.read_text())["states"]


def test_the_run_that_the_readme_shows_is_what_the_command_prints(capsys):
    assert main([str(ROOT / "docs" / "no-barrier-tx-fields.json")]) == 1
    printed = capsys.readouterr().out
    shown = printed[printed.index("step │") : printed.index("What the steps mean")].rstrip()
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["PYTHONIOENCODING", "LC_ALL"],
)
def test_a_run_is_shown_where_only_ascii_can_be(environment):
    done = subprocess.run(
        [sys.executable, "-m", "properties.replay", "docs/no-barrier-tx-fields.json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\n  90 | user 2: calls write " in done.stdout
    assert done.stdout.isascii()


def test_the_driver_as_it_is_comes_through_that_run(capsys):
    assert main(["--present", str(ROOT / "docs" / "no-barrier-tx-fields.json")]) == 0
    assert "==> no deviation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is not JSON"),
        (b"# duct: a driver", "it is not JSON"),
        (b"\xff\x00", "it is not JSON"),
        (b"{}", "it is no run of version 1"),
        (b"[1]", "it is no run of version 1"),
        (b'{"version": 2}', "it is no run of version 1"),
        (b'{"version": 1}', "it does not say 'decisions'"),
        (b'{"version": 2, "steps": []}', "trace format must be version 1, not 2"),
    ],
    ids=str,
)
def test_a_file_that_is_no_run_is_told_in_one_line(tmp_path, capsys, content, why):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == (
        f"properties.replay: {path} is no run ({why}); failing tests and monitors save runs, and "
        "docs/no-barrier-tx-fields.json is one\n"
    )


def test_a_missing_file_is_told_in_one_line(tmp_path, capsys):
    path = tmp_path / "none.json"
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == f"properties.replay: {path}: No such file or directory\n"


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "properties.replay", "docs/no-barrier-tx-fields.json"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, cwd=ROOT, env=buffered, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_change_that_does_not_fit_says_so():
    with pytest.raises(ValueError) as error:
        DriverCode.changed([SourceChange("ring", "no such line", "")])
    assert str(error.value) == "impl/ring.py has 0 places, and not one, that read 'no such line'"


def test_a_change_is_to_a_layer_of_the_driver():
    with pytest.raises(ValueError) as error:
        DriverCode.changed([SourceChange("errors", "x", "y")])
    assert str(error.value).startswith("a change is to one of packet, dma, ring")


def test_a_changed_driver_leaves_the_installed_one_as_it_is():
    import impl.ring

    changed = DriverCode.changed([FORGETFUL])
    assert changed.Controller is not PRESENT.Controller
    assert PRESENT.Controller.__module__ == "impl.controller"
    assert impl.ring.CommandRing.__init__.__globals__ is vars(impl.ring)


def test_a_run_without_accesses_is_no_success():
    simulation = Simulation(SETUP, Specification(SETUP.scope()), PRESENT)
    simulation.judge.accesses.clear()
    with pytest.raises(Deviation) as error:
        simulation.finish()
    assert error.value.reason == "nothing was judged"
