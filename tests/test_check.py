"""The command: bad input, exit status, and what it writes."""

import contextlib
import fcntl
import io
import itertools
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

from engine.command.main import file_name
from engine.command.options import parse
from engine.command.report import Report
from engine.command.work import Failure, Proof, Search, Source
from engine.executor import Executor
from engine.record import record
from engine.solvers import Answer as Decision
from engine.solvers import ask
from engine.trace import Trace
from model.scope import Scope
from model.system import specification
from proofs.assumptions import ABOUT, ASSUMPTIONS, assumption_lines
from proofs.check import main
from proofs.theory import THEORY

ROOT = Path(__file__).resolve().parent.parent

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


# A small project to check in place of the real one


@attrs.frozen
class Question:
    id: str
    property: str
    kind: str = "safety"
    arithmetic: str = "integer"
    meaning: str = "What is asked."


@attrs.frozen
class Answer:
    result: str
    seconds: float = 0.25
    detail: str = ""
    kept: bool = False


@attrs.frozen
class Mistake:
    id: str
    property: str
    origin: str = "classic"
    title: str = "What is done."
    explanation: str = "The driver does it.\n\nThen it goes wrong."


@attrs.frozen
class Found:
    fault: Mistake
    result: str
    property: str
    trace: object
    ring_size: int = 2
    steps: int = 1
    seconds: float = 0.5
    note: str = "9 states searched."
    boot: int = 0
    story: str = ""
    kept: bool = False


def some_run():
    executor = Executor.of(specification(), Scope(ring_size=2, users=1))
    return record(executor, [("begin_open", {"t": 2})], "A run.", verdict="tx-order: broken")


RUN = some_run()
QUESTIONS = [
    Question(name, prop, arithmetic=arithmetic)
    for name, prop in (
        ("step/tx.claim", "invariant"),
        ("step/tx.reclaim", "invariant"),
        ("property/tx-order", "tx-order"),
    )
    for arithmetic in ("integer", "machine")
]
MISTAKES = [Mistake("no-barrier", "tx-order"), Mistake("no-doorbell", "progress")]
SCRIPT = "; a question\n(declare-const x Int)\n(assert (and (< x 0) (> x 0)))\n(check-sat)\n"


def answering(special=None):
    """Proves everything but what `special` says something else of, by id or (id, solver)."""

    def discharge(question, *, solver, **_):
        said = (special or {}).get((question.id, solver)) or (special or {}).get(question.id)
        if callable(said):
            said()
        if isinstance(said, Exception):
            raise said
        return Answer(said or "proved", detail="a conjunct" if said else "")

    return discharge


def catching(*missed):
    def catch(fault, *, ring_size, seed):
        result = "missed" if fault.id in missed else "caught"
        return Found(fault, result, fault.property, RUN, ring_size=ring_size or 2)

    return catch


def project(special=None, missed=(), questions=QUESTIONS, faults=MISTAKES):
    return Source(
        lambda: questions,
        answering(special),
        lambda question, *, ring_size: SCRIPT,
        faults,
        catching(*missed),
    )


def never(*arguments, **options):
    raise AssertionError("something was solved")


SOLVES_NOTHING = Source(lambda: QUESTIONS, never, never, MISTAKES, never)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def check(*arguments, source=None, jobs="2"):
    return main(["--jobs", jobs, *map(str, arguments)], project() if source is None else source)


def results(path, *arguments, **options):
    """Exit status and JSON file of a run."""
    status = check("--json", path / "result.json", *arguments, **options)
    return status, json.loads((path / "result.json").read_text())


# Bad input: one line, status 3, nothing solved


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--ring-size", "3"],
            "--ring-size: must be any or a power of two from 1 to 4096, not '3'",
        ),
        (
            ["--ring-size", "8192"],
            "--ring-size: must be any or a power of two from 1 to 4096, not '8192'",
        ),
        (
            ["--ring-size=-1"],
            "--ring-size: must be any or a power of two from 1 to 4096, not '-1'",
        ),
        (["--ring-size"], "--ring-size: expected one argument"),
        (["--jobs", "0"], "--jobs: must be a whole number from 1 to 1024, not '0'"),
        (["--jobs", "many"], "--jobs: must be a whole number from 1 to 1024, not 'many'"),
        (["--jobs", "1.5"], "--jobs: must be a whole number from 1 to 1024, not '1.5'"),
        (["--seed=-1"], "--seed: must be a whole number from 0 to 2147483647, not '-1'"),
        (["--solver", "yices"], "--solver: must be z3, cvc5 or both, not 'yices'"),
        (
            ["--arithmetic", "real"],
            "--arithmetic: must be integer, machine or both, not 'real'",
        ),
        (
            ["--fault", "no-barier"],
            "there is no fault 'no-barier'; did you mean no-barrier?; --list names all 2",
        ),
        (["--fault", "xyz"], "there is no fault 'xyz'; --list names all 2"),
        (["--fault", ""], "there is no fault ''; --list names all 2"),
        (
            ["--only", "step/rx.reclaim*"],
            "--only 'step/rx.reclaim*' matches no obligation, property or fault; did you mean "
            "step/tx.reclaim or step/tx.claim?; --list names all",
        ),
        (
            ["--only", "invariant", "--only", "invarient"],
            "--only 'invarient' matches no obligation, property or fault; did you mean invariant?; "
            "--list names all",
        ),
        (["--only", ""], "--only '' matches no obligation, property or fault; --list names all"),
        (
            ["--fault", "no-barrier", "--only", "invariant"],
            "--fault runs one fault and nothing else; leave --only out",
        ),
        (["--with-premises"], "--with-premises adds to what --only selects; give --only, too"),
        (
            ["--list", "--assumptions"],
            "--list and --assumptions print one thing each; give one of them",
        ),
        (["--jsn", "x"], "there is no option '--jsn'; did you mean --json?"),
        (["--ring", "4"], "there is no option '--ring'; did you mean --ring-size?"),
        (["everything"], "there is no option 'everything'; --help names all"),
    ],
)
def test_a_mistake_in_the_options_is_told_in_one_line(arguments, line, capsys):
    assert main(arguments, SOLVES_NOTHING) == 3
    said = capsys.readouterr()
    assert said.err == f"proofs.check: {line}\n"
    assert said.out == ""


@pytest.mark.parametrize("option", ["json", "junit"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("here", "it is a directory"),
        ("nowhere/result", "there is no directory '{root}/nowhere'"),
        ("file/result", "there is no directory '{root}/file'"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_first(option, name, why, capsys, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    path = str(tmp_path / name) if name else ""
    assert main([f"--{option}", path], SOLVES_NOTHING) == 3
    why = why.format(root=tmp_path)
    told = f"proofs.check: --{option} must name a file that can be written, not {path!r}: {why}\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("option", ["smt2", "itf"])
def test_a_folder_that_cannot_be_made_is_told_first(option, capsys, tmp_path):
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "folder")
    assert main([f"--{option}", path], SOLVES_NOTHING) == 3
    assert capsys.readouterr().err == (
        f"proofs.check: --{option} must name a directory that can be written, not {path!r}: "
        f"{str(tmp_path / 'file')!r} is no directory\n"
    )
    assert main([f"--{option}", ""], SOLVES_NOTHING) == 3


def test_a_path_that_the_system_refuses_is_told_first(capsys, tmp_path):
    path = str(tmp_path / ("x" * 300))
    assert main(["--json", path], SOLVES_NOTHING) == 3
    assert capsys.readouterr().err.endswith(f"not {path!r}: File name too long\n")


def test_two_reports_do_not_share_a_file(capsys, tmp_path):
    path = str(tmp_path / "result")
    assert main(["--json", path, "--junit", path], SOLVES_NOTHING) == 3
    assert capsys.readouterr().err == (
        f"proofs.check: --json and --junit must be different files, not both {path!r}\n"
    )


def test_bad_input_leaves_nothing_behind(tmp_path):
    old = tmp_path / "old.json"
    old.write_text("kept")
    arguments = ["--json", old, "--junit", tmp_path / "new.xml", "--smt2", tmp_path / "a" / "b"]
    assert main([*map(str, arguments), "--fault", "none"], SOLVES_NOTHING) == 3
    assert old.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [old]


def test_help_says_what_the_exit_status_means(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "exit status: 0 all is as it must be;" in said


# Exit status


def test_all_is_well(tmp_path, capsys):
    status, data = results(tmp_path)
    assert status == data["exit_status"] == 0
    assert data["summary"] == {
        "proved": 6,
        "refuted": 0,
        "unknown": 0,
        "kept": 0,
        "faults": 2,
        "faults_caught": 2,
        "faults_replayed": 0,
    }
    out = capsys.readouterr().out
    assert re.search(r"^property +obligations +time +verdict$", out, re.MULTILINE)
    assert re.search(r"^invariant +4 +1\.0 s +proved$", out, re.MULTILINE)
    assert re.search(r"^tx-order +2 +0\.5 s +proved$", out, re.MULTILINE)
    assert re.search(r"^no-barrier +tx-order +2 +1 +caught$", out, re.MULTILINE)
    assert re.search(
        r"^All 6 obligations are proved and all 2 faults are caught, in", out, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("special", "missed", "status"),
    [
        ({"step/tx.reclaim": "refuted"}, (), 1),
        ({}, ("no-doorbell",), 1),
        ({"step/tx.reclaim": "unknown"}, (), 2),
        ({"step/tx.reclaim": "refuted", "step/tx.claim": "unknown"}, (), 1),
        ({"step/tx.reclaim": RuntimeError("out of\nluck")}, (), 4),
        ({"step/tx.reclaim": RuntimeError(), "step/tx.claim": "refuted"}, ("no-doorbell",), 4),
        ({"step/tx.reclaim": die}, (), 4),
    ],
    ids=["refuted", "missed", "unknown", "refuted+unknown", "error", "error+refuted", "death"],
)
def test_the_exit_status(special, missed, status, tmp_path):
    found, data = results(tmp_path, source=project(special, missed))
    assert found == data["exit_status"] == status


@pytest.mark.parametrize(
    ("z3", "cvc5", "status"),
    [
        ("proved", "refuted", 4),
        ("refuted", "proved", 4),
        ("refuted", "refuted", 1),
        ("proved", "unknown", 2),
        ("unknown", "refuted", 1),
        ("proved", "proved", 0),
    ],
)
def test_two_solvers_are_compared(z3, cvc5, status, tmp_path, capsys):
    name = "property/tx-order"
    source = project({(name, "z3"): z3, (name, "cvc5"): cvc5})
    found, data = results(tmp_path, "--solver", "both", source=source)
    assert found == status
    assert len(data["obligations"]) == 2 * len(QUESTIONS)
    said = {e["solver"]: e["result"] for e in data["obligations"] if e["id"] == name}
    assert said == {"z3": z3, "cvc5": cvc5}
    differ = {z3, cvc5} == {"proved", "refuted"}
    assert (
        "the solvers disagree: property/tx-order (machine)" in capsys.readouterr().out
    ) == differ
    assert [item["id"] for item in data["disagreements"]] == ([name, name] if differ else [])


def test_one_solver_is_enough_unless_both_are_asked_for(tmp_path):
    source = project({("step/tx.reclaim", "cvc5"): "refuted"})
    assert results(tmp_path, source=source)[0] == 0
    assert results(tmp_path, "--solver", "cvc5", source=source)[0] == 1


def test_a_catalogue_that_fails_is_a_failure_of_the_tool(capsys):
    def broken():
        raise KeyError("tx.claim")

    assert main([], attrs.evolve(project(), catalogue=broken)) == 4
    said = capsys.readouterr().err
    assert re.fullmatch(r"proofs\.check: failed: KeyError: 'tx\.claim' \(\S+:\d+\)\n", said)


def test_a_report_that_cannot_be_written_in_the_end_is_a_failure(capsys):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    assert check("--json", "/dev/full") == 4
    assert "proofs.check: failed: /dev/full: No space left on device" in capsys.readouterr().err


# A process that dies


@pytest.mark.parametrize("jobs", ["1", "2", "7"])
def test_a_process_that_dies_costs_its_task_only(jobs, tmp_path, capsys):
    status, data = results(tmp_path, source=project({"step/tx.claim": die}), jobs=jobs)
    assert status == 4
    assert {e["id"] for e in data["obligations"] if e["result"] == "unknown"} == {"step/tx.claim"}
    assert data["summary"] == {
        "proved": 4,
        "refuted": 0,
        "unknown": 2,
        "kept": 0,
        "faults": 2,
        "faults_caught": 2,
        "faults_replayed": 0,
    }
    tasks = {failure["task"]: failure["message"] for failure in data["failures"]}
    killed = "its process was ended by SIGKILL"
    assert tasks == {"step/tx.claim (integer)": killed, "step/tx.claim (machine)": killed}
    assert f"failed: step/tx.claim (integer): {killed}" in capsys.readouterr().out


def test_a_search_that_dies_leaves_its_fault_undecided(tmp_path):
    def catch(fault, *, ring_size, seed):
        os._exit(7)

    status, data = results(tmp_path, source=attrs.evolve(project(), catch=catch))
    assert status == 4
    assert [fault["result"] for fault in data["faults"]] == ["unknown", "unknown"]
    assert data["failures"][0]["message"] == "its process ended with status 7"


def test_an_error_says_where_it_arose(tmp_path):
    status, data = results(
        tmp_path, source=project({"step/tx.reclaim": ValueError("no such thing")})
    )
    assert status == 4
    failure = data["failures"][0]
    assert failure["task"] == "step/tx.reclaim (integer) by z3"
    assert failure["message"] == "ValueError: no such thing"
    assert "in discharge" in failure["where"]


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import test_check
from proofs.check import main
def stay():
    print("reached", flush=True)
    time.sleep(600)
sys.exit(main(["--jobs", "1", "--json", {path!r}], test_check.project({{"step/tx.reclaim": stay}})))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_report_of_what_was_reached(number, tmp_path):
    path = tmp_path / "result.json"
    code = SLOW.format(tests=str(ROOT / "tests"), path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert any("reached" in line for line in process.stdout)
        for _ in range(3):  # as often as somebody who is in a hurry does
            process.send_signal(number)
            time.sleep(0.02)
        out = process.stdout.read()
        assert process.wait() == 2
    told = out.splitlines()[-1]
    assert re.fullmatch(
        r"Interrupted after \d+\.\d s: 2 of 6 obligations proved; 2 of 2 faults caught\.", told
    )
    assert "UNKNOWN" not in out
    assert "every ring size" not in out
    data = json.loads(path.read_text())
    assert data["interrupted"]
    assert data["exit_status"] == 2
    assert data["summary"]["faults_caught"] == 2
    assert [(e["id"], e["result"], e["detail"]) for e in data["obligations"]][:3] == [
        ("step/tx.claim", "proved", ""),
        ("step/tx.claim", "proved", ""),
        ("step/tx.reclaim", "unknown", "not reached"),
    ]


def test_an_interrupted_search_for_one_fault_is_told_in_one_line(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr("engine.command.main.run", interrupt)
    try:
        assert check("--fault", "no-barrier") == 2
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    told = r"Interrupted after \d+\.\d s: 0 of 1 faults caught\.\n"
    assert re.fullmatch(told, capsys.readouterr().out)


def test_what_was_found_before_an_interrupt_is_counted():
    options = parse(THEORY, ["--solver", "both"])
    report = Report(THEORY, options, QUESTIONS[:3], MISTAKES, seconds=1.25, interrupted=True)
    for solver, result in (("z3", "proved"), ("cvc5", "refuted")):
        report.add(Proof(QUESTIONS[0], solver, Answer(result)))
    report.add(Search(MISTAKES[0], Found(MISTAKES[0], "missed", "tx-order", RUN)))
    report.add(Failure("step/tx.reclaim (integer)", "its process was ended by SIGKILL"))
    assert list(report.lines()) == [
        "Interrupted after 1.2 s: 1 of 6 answers proved, 1 refuted; "
        "0 of 2 faults caught, 1 missed; the tool failed 1 times."
    ]


@pytest.mark.parametrize(
    ("special", "missed", "line"),
    [
        ({}, (), "Obligations hold for every ring size, in "),
        ({}, ("no-doorbell",), "Obligations hold for every ring size, in "),
        ({"step/tx.reclaim": "refuted"}, (), "Obligations were asked for every ring size, in "),
        ({"step/tx.reclaim": "unknown"}, (), "Obligations were asked for every ring size, in "),
        ({"step/tx.reclaim": die}, (), "Obligations were asked for every ring size, in "),
    ],
    ids=["proved", "fault missed", "refuted", "unknown", "death"],
)
def test_obligations_are_said_to_hold_only_if_all_are_proved(special, missed, line, capsys):
    check(source=project(special, missed))
    assert capsys.readouterr().out.splitlines()[-1].startswith(line)


def test_workers_end_when_the_command_is_killed(tmp_path):
    code = SLOW.format(tests=str(ROOT / "tests"), path=str(tmp_path / "result.json"))
    code = code.replace("time.sleep(600)", "time.sleep(0.5)")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert any("reached" in line for line in process.stdout)
        process.kill()
        # The workers hold the other end of this pipe: it is at its end when they are gone.
        began = time.monotonic()
        process.stdout.read()
        assert time.monotonic() - began < 60


# What is written


OBLIGATION = {"id", "property", "kind", "arithmetic", "solver", "result", "seconds"}
FAULT = {"id", "result", "property", "ring_size", "steps", "trace"}
WHOLE = {"version", "command", "seed", "tools", "seconds", "obligations", "faults", "summary"}


@pytest.mark.parametrize(
    ("special", "missed"),
    [({}, ()), ({"step/tx.reclaim": "refuted"}, ("no-barrier",)), ({"step/tx.claim": die}, ())],
    ids=["success", "violation", "death"],
)
def test_the_json_file_is_complete_on_success_and_on_failure(special, missed, tmp_path):
    _, data = results(tmp_path, "--seed", "7", source=project(special, missed))
    assert data.keys() >= WHOLE
    assert data["version"] == 1
    assert data["seed"] == 7
    assert data["command"][:3] == ["python", "-m", "proofs.check"]
    assert data["command"][3:] == [
        "--jobs", "2", "--json", str(tmp_path / "result.json"), "--seed", "7",
    ]  # fmt: skip
    assert data["tools"].keys() >= {"python", "z3", "cvc5"}
    assert all(isinstance(version, str) for version in data["tools"].values())
    assert isinstance(data["seconds"], float)
    assert [(e["id"], e["arithmetic"]) for e in data["obligations"]] == [
        (item.id, item.arithmetic) for item in QUESTIONS
    ]
    for entry in data["obligations"]:
        assert entry.keys() >= OBLIGATION
        assert entry["result"] in {"proved", "refuted", "unknown"}
        assert isinstance(entry["seconds"], float)
    assert [entry["id"] for entry in data["faults"]] == [fault.id for fault in MISTAKES]
    for entry in data["faults"]:
        assert entry.keys() >= FAULT
        assert entry["result"] in {"caught", "missed"}
        assert entry["trace"][0]["rule"] == "begin_open"
    counted = sum(data["summary"][what] for what in ("proved", "refuted", "unknown"))
    assert counted == len(data["obligations"])


def test_results_do_not_depend_on_the_number_of_processes(tmp_path):
    source = project({"step/tx.reclaim": "refuted"}, ("no-barrier",))
    one, many = (results(tmp_path, source=source, jobs=jobs)[1] for jobs in ("1", "5"))
    for data in (one, many):
        del data["seconds"], data["command"]
    assert one == many


def test_junit_is_well_formed_and_says_what_went_wrong(tmp_path):
    source = project({"step/tx.reclaim": "refuted", "step/tx.claim": "unknown"}, ("no-barrier",))
    assert check("--junit", tmp_path / "result.xml", source=source) == 1
    root = ElementTree.parse(tmp_path / "result.xml").getroot()
    counts = {
        suite.get("name"): tuple(suite.get(what) for what in ("tests", "failures", "errors"))
        for suite in root.iter("testsuite")
    }
    assert counts == {
        "invariant": ("4", "2", "2"),
        "tx-order": ("2", "0", "0"),
        "faults": ("2", "1", "0"),
    }
    failure = root.find("testsuite/testcase[@name='step/tx.reclaim (integer, z3)']/failure")
    assert failure.get("message") == "refuted"
    assert failure.text == "a conjunct"


def test_junit_survives_what_xml_cannot_hold(tmp_path):
    def discharge(question, *, solver, **_):
        return Answer("unknown", detail="a \x00 <b> & \ud800")

    source = attrs.evolve(project(), discharge=discharge)
    assert check("--junit", tmp_path / "result.xml", source=source) == 2
    root = ElementTree.parse(tmp_path / "result.xml").getroot()
    assert root.find("testsuite/testcase/error").text == "a ? <b> & ?"


def test_each_obligation_is_written_as_a_file(tmp_path):
    assert check("--smt2", tmp_path / "new" / "smt2", "--only", "invariant") == 0
    files = {str(p.relative_to(tmp_path / "new" / "smt2")) for p in tmp_path.rglob("*.smt2")}
    assert files == {
        f"{arithmetic}/step/{rule}.smt2"
        for arithmetic, rule in itertools.product(
            ("integer", "machine"), ("tx.claim", "tx.reclaim")
        )
    }
    assert {p.read_text() for p in tmp_path.rglob("*.smt2")} == {SCRIPT}


def test_each_run_is_written_as_itf(tmp_path):
    assert check("--itf", tmp_path / "itf", source=project(missed=("no-doorbell",))) == 1
    assert [path.name for path in (tmp_path / "itf").iterdir()] == ["no-barrier.itf.json"]
    data = json.loads((tmp_path / "itf" / "no-barrier.itf.json").read_text())
    assert data["#meta"]["description"] == "A run."


def test_without_a_terminal_there_are_few_plain_lines(capsys):
    questions = [Question(f"step/{number}", "invariant") for number in range(500)]
    assert check(source=project(questions=questions)) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    shown = re.findall(r"^ *(\d+) %  [\d,]+ of 500 obligations, \d of 2 faults", out, re.MULTILINE)
    assert [int(share) for share in shown] == list(range(5, 101, 5))


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert check() == 0
    out = capsys.readouterr().out
    assert "\x1b" in out
    assert "obligations" in out
    assert " 5 %" not in out


# Choosing what to run


@pytest.mark.parametrize(
    ("globs", "obligations", "faults"),
    [
        (["step/tx.*"], {"step/tx.claim", "step/tx.reclaim"}, set()),
        (["tx-order"], {"property/tx-order"}, {"no-barrier"}),
        (["no-*"], set(), {"no-barrier", "no-doorbell"}),
        (["no-doorbell", "*.claim"], {"step/tx.claim"}, {"no-doorbell"}),
    ],
)
def test_only_chooses_by_id_and_by_property(globs, obligations, faults, tmp_path):
    arguments = [word for glob in globs for word in ("--only", glob)]
    status, data = results(tmp_path, *arguments)
    assert status == 0
    assert {entry["id"] for entry in data["obligations"]} == obligations
    assert {entry["id"] for entry in data["faults"]} == faults


def test_arithmetic_and_ring_size_reach_the_solver(tmp_path):
    def discharge(question, *, solver, seed, ring_size, **_):
        return Answer("proved", detail=f"{solver} {seed} {ring_size}")

    source = attrs.evolve(project(), discharge=discharge)
    arguments = ["--arithmetic", "machine", "--ring-size", "64", "--seed", "3", "--solver", "cvc5"]
    status, data = results(tmp_path, *arguments, source=source)
    assert status == 0
    assert {entry["arithmetic"] for entry in data["obligations"]} == {"machine"}
    assert {entry["detail"] for entry in data["obligations"]} == {"cvc5 3 64"}
    assert data["ring_size"] == 64
    # A fault shows at a size of its own.
    assert {entry["ring_size"] for entry in data["faults"]} == {2}


def test_a_pattern_must_match_in_the_arithmetic_asked_for(capsys):
    questions = [Question("index/tx.reclaim", "indices", arithmetic="machine")]
    arguments = ["--arithmetic", "integer", "--only", "index/*"]
    assert main(arguments, attrs.evolve(SOLVES_NOTHING, catalogue=lambda: questions)) == 3
    assert "--only 'index/*' matches no obligation" in capsys.readouterr().err


def test_one_fault_is_explained_and_shown(capsys, tmp_path):
    status, data = results(tmp_path, "--fault", "no-barrier", "--ring-size", "1")
    assert status == 1
    assert data["obligations"] == []
    assert [fault["id"] for fault in data["faults"]] == ["no-barrier"]
    assert data["faults"][0]["ring_size"] == 1
    out = capsys.readouterr().out
    assert out.index("no-barrier: What is done.") < out.index("Then it goes wrong.")
    assert out.index("Then it goes wrong.") < out.index("It breaks tx-order")
    assert out.index("It breaks tx-order") < out.index("host threads")


@pytest.mark.parametrize(("encoding", "bar"), [("ascii", "|"), ("utf-8", "│")])
def test_one_fault_is_shown_in_the_characters_that_there_are(encoding, bar, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert check("--fault", "no-barrier") == 1
    out.flush()
    assert f"\n   1 {bar} user 2: " in out.buffer.getvalue().decode(encoding)


def on_a_terminal(columns, *arguments):
    """What a terminal shows of the command when it has ended; the bar is gone then."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", "proofs.check", *arguments],
        stdout=terminal, cwd=ROOT, env=environment,
    ) as process:  # fmt: skip
        os.close(terminal)
        with contextlib.suppress(OSError):  # so a terminal says that nobody writes to it any more
            while part := os.read(controller, 1 << 16):
                shown += part
        os.close(controller)
    return process.returncode, shown.decode().rpartition("\x1b[2K")[2].splitlines()


def test_one_fault_fits_a_terminal_of_60_columns():
    status, lines = on_a_terminal(60, "--fault", "unchecked-length")
    assert status == 1
    assert max(map(len, lines)) <= 60
    assert "step │ host threads         │ memory         │ device" in lines


def test_tables_fit_a_terminal_of_60_columns():
    report = Report(THEORY, parse(THEORY, []), QUESTIONS, [Mistake("x" * 27, "y" * 20)])
    wide, narrow = (list(report.lines(width=width)) for width in (100, 60))
    heads = [[line for line in lines if line.startswith("fault ")] for lines in (wide, narrow)]
    assert heads == [
        ["fault                        breaks                ring size  steps  verdict"],
        ["fault                        breaks                verdict"],
    ]
    assert max(len(line) for line in narrow if "  " in line) <= 60


def test_one_fault_that_is_missed_is_told(capsys):
    source = project(missed=("no-barrier",))
    assert check("--fault", "no-barrier", "--ring-size", "4", source=source) == 1
    assert "No run was found on which it shows at ring size 4." in capsys.readouterr().out


def test_one_fault_whose_search_dies_is_a_failure(capsys):
    source = attrs.evolve(project(), catch=lambda fault, *, ring_size, seed: die())
    assert check("--fault", "no-barrier", source=source) == 4
    assert "The search did not end: its process was ended by SIGKILL" in capsys.readouterr().out


# The real project


@pytest.fixture(scope="module")
def real():
    return Source.of(THEORY)


def test_obligations_and_faults_have_names_of_their_own(real):
    obligations = real.catalogue()
    keys = [(item.id, item.arithmetic) for item in obligations]
    assert len(set(keys)) == len(keys)
    assert {item.kind for item in obligations} <= {
        "safety", "liveness", "deadlock", "vacuity", "lemma", "code",
    }  # fmt: skip
    ids = [fault.id for fault in real.faults]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {item.id for item in obligations}
    names = {item.id for item in obligations}
    assert len({file_name(name) for name in names}) == len(names)
    assert not [name for name in names if ".." in name or name.startswith("/")]


@pytest.mark.parametrize("size", ["any", "8"])
def test_the_files_of_obligations_are_what_both_solvers_decide(real, size, tmp_path):
    arguments = ["--only", "property/bounds", "--smt2", tmp_path, "--ring-size", size]
    assert check(*arguments, source=real) == 5
    files = sorted(tmp_path.rglob("*.smt2"))
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "integer/property/bounds.smt2",
        "machine/property/bounds.smt2",
    ]
    for file, solver in itertools.product(files, ("z3", "cvc5")):
        assert ask(solver, file.read_text(encoding="utf-8")) is Decision.UNSATISFIABLE


def test_both_solvers_prove_a_property_and_its_faults_are_caught(real, tmp_path):
    status, data = results(tmp_path, "--only", "bounds", "--solver", "both", source=real)
    assert status == 5  # what they stand on is left out
    assert {entry["solver"] for entry in data["obligations"]} == {"z3", "cvc5"}
    assert {entry["id"] for entry in data["faults"]} >= {"double-fetch", "unchecked-length"}


def test_the_defect_of_the_reference_driver_is_explained(real, capsys, tmp_path):
    status, data = results(tmp_path, "--fault", "zero-length-stall", source=real)
    assert status == 1
    out = capsys.readouterr().out
    assert "A packet of length 0 is legal." in out
    assert "It breaks no-lost-packet: " in out
    assert "host threads" in out
    run = data["faults"][0]["run"] | {"steps": data["faults"][0]["trace"]}
    assert len(Trace.from_json(run).steps) > data["faults"][0]["steps"]


# Lists


def test_the_list_names_everything(capsys):
    assert main(["--list"], SOLVES_NOTHING) == 0
    out = capsys.readouterr().out
    for name in ("invariant", "step/tx.claim", "property/tx-order", "no-barrier", "no-doorbell"):
        assert re.search(rf"^  {re.escape(name)} ", out, re.MULTILINE), name
    assert "step/tx.claim      integer, machine  What is asked." in out


def test_the_list_follows_only(capsys):
    assert main(["--list", "--only", "progress"], SOLVES_NOTHING) == 0
    out = capsys.readouterr().out
    assert "no-doorbell" in out
    assert "no-barrier" not in out
    assert "step/tx.claim" not in out


@pytest.mark.parametrize(
    "options", [["--assumptions"], ["--list", "--only", "double-fetch"]], ids=["long", "short"]
)
def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(options):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "proofs.check", *options]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, cwd=ROOT, env=buffered, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (4, b"")


def test_the_assumptions_are_all_printed_and_numbered(capsys):
    assert main(["--assumptions"], SOLVES_NOTHING) == 0
    out = capsys.readouterr().out
    numbered = re.findall(r"^ *(\d+)\. ([a-z0-9-]+): ", out, re.MULTILINE)
    assert [int(number) for number, _ in numbered] == list(range(1, len(ASSUMPTIONS) + 1))
    assert {name for _, name in numbered} == {item.id for item in ASSUMPTIONS}
    for title in ABOUT.values():
        assert title in out
    assert "FLAGS.SEQ" in out
    assert max(map(len, assumption_lines(80))) <= 100


def test_assumptions_are_named_once_and_say_what_they_are_about():
    assert len({item.id for item in ASSUMPTIONS}) == len(ASSUMPTIONS)
    assert {item.about for item in ASSUMPTIONS} == set(ABOUT)
    for item in ASSUMPTIONS:
        assert item.statement.endswith("."), item.id
        assert item.source, item.id


@pytest.mark.parametrize("item", ASSUMPTIONS, ids=lambda item: item.id)
def test_an_assumption_names_rules_and_files_that_exist(item):
    names = [step.rule.name for step in specification().transitions]
    assert item.used_by
    for pattern in item.used_by:
        if "/" in pattern:
            assert list(ROOT.glob(pattern)), pattern
        else:
            assert any(fnmatchcase(name, pattern) for name in names), pattern


def test_every_barrier_of_the_model_has_an_assumption():
    patterns = [pattern for item in ASSUMPTIONS if "barrier" in item.id for pattern in item.used_by]
    for step in specification().transitions:
        if any(guard.barrier for guard in step.guards):
            assert any(fnmatchcase(step.rule.name, pattern) for pattern in patterns), step.rule.name
