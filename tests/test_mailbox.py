"""The mailbox, which knows the engine alone, is proved, searched, broken, told and judged by it."""

import ast
import functools
import inspect
import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catch import catch
from engine.command.main import main
from engine.discharge import discharge
from engine.executor import Executor
from engine.judge import CardDeviation, Deviation
from engine.obligations import Catalogue
from engine.scope import Scope
from engine.search import search
from engine.smt import Machine as Arithmetic
from examples.mailbox import driver
from examples.mailbox.driver import BARRIERS, FULL, Machine, call
from examples.mailbox.proof import THEORY, busy
from examples.mailbox.spec import MAILBOX, specification

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "mailbox_no_acquire.txt"
SHORTEST = {"no-release": 21, "no-acquire": 30, "early-doorbell": 8, "no-doorbell": 6}
SEEDS = range(30)
CALLS = 20

# Proofs


def verdicts(theory):
    known = Catalogue(theory)
    return {
        (item.arithmetic, item.id): discharge(known, item).result for item in known.obligations()
    }


def test_everything_is_proved_in_both_arithmetics():
    found = verdicts(THEORY)
    assert set(found.values()) == {"proved"}
    assert {arithmetic for arithmetic, _ in found} == {"integer", "machine"}
    kinds = {name.partition("/")[0] for _, name in found}
    assert kinds == {
        *("initial", "step", "property", "race"),
        *("deadlock", "rule", "promise", "vacuity"),
    }


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_it_does_not_matter_when_the_number_of_requests_wraps(bits):
    """A counter of two bits is back at zero after four requests."""
    protocol = attrs.evolve(MAILBOX, machine=Arithmetic(bits, (0,)))
    system = protocol.system(step.rule for step in specification().transitions)
    small = attrs.evolve(THEORY, protocol=protocol, specification=lambda: system)
    found = verdicts(small)
    proved = {name for (arithmetic, name), _ in found.items() if arithmetic == "machine"}
    assert len(proved) > 40
    assert set(found.values()) == {"proved"}


@pytest.mark.parametrize("left_out", [item.name for item in THEORY.invariants])
def test_every_conjunct_of_the_invariant_is_needed(left_out):
    weaker = [item for item in THEORY.invariants if item.name != left_out]
    assert "refuted" in verdicts(attrs.evolve(THEORY, invariants=weaker)).values()


# Search


def test_the_shortest_way_to_an_answer_takes_every_step_once():
    executor = Executor.of(specification(), Scope())
    s = MAILBOX.symbols
    answered = executor.compile(~busy(s) & (s.box.sent == 1))
    found = search(executor, bad=answered)
    assert [step.name for step in found.path] == [
        *("begin", "store_data", "hand_over", "ring_doorbell"),
        *("box.data_visible", "box.flag_visible", "doorbell_arrives"),
        *("device.look", "device.fetch", "device.answer", "device.give_back"),
        *("take_interrupt", "find_answer", "load_answer"),
    ]


@pytest.mark.parametrize("fault", THEORY.faults, ids=lambda fault: fault.id)
def test_each_fault_is_caught_on_its_shortest_run(fault):
    found = catch(THEORY, fault)
    assert (found.result, found.ring_size) == ("caught", 1)
    assert found.steps == SHORTEST[fault.id]


def test_nothing_is_caught_where_nothing_is_wrong():
    for case in THEORY.cases():
        innocent = attrs.evolve(case, change=lambda system: system)
        found = catch(attrs.evolve(THEORY, cases=lambda innocent=innocent: [innocent]), case.fault)
        assert found.result == "missed"


@pytest.mark.parametrize("fault", THEORY.faults, ids=lambda fault: fault.id)
def test_a_fault_can_not_be_proved(fault):
    assert "refuted" in {
        discharge(known, item).result
        for known in [Catalogue(THEORY, THEORY.faulty(fault))]
        for item in known.obligations()
    }


# The command


def command(*options):
    return subprocess.run(
        [sys.executable, "-m", "examples.mailbox.check", *options],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_command_proves_the_mailbox():
    done = command()
    assert done.returncode == 0
    assert "All 122 obligations are proved and all 4 faults are caught, in " in done.stdout


def test_a_fault_is_drawn_as_a_ladder(capsys):
    assert main(THEORY, ["--fault", "no-acquire"]) == 1
    assert capsys.readouterr().out == GOLDEN.read_text(encoding="utf-8")


def test_the_command_lists_and_selects(capsys, tmp_path):
    assert main(THEORY, ["--list"]) == 0
    listed = capsys.readouterr().out
    assert "Properties (8), with the number of their obligations\n" in listed
    assert "  own-answer              2  A call returns the answer to its own request.\n" in listed
    assert "  no-doorbell     classic  deadlock-freedom: the doorbell is not rung\n" in listed

    results = tmp_path / "results.json"
    assert main(THEORY, ["--only", "own-answer", "--jobs", "1", "--json", str(results)]) == 5
    assert "All 2 obligations are proved and the one fault is caught" in capsys.readouterr().out
    told = json.loads(results.read_text(encoding="utf-8"))
    assert [item["id"] for item in told["obligations"]] == ["property/own-answer"] * 2
    assert [item["id"] for item in told["faults"]] == ["no-acquire"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fault", "no-aquire"], "there is no fault 'no-aquire'; did you mean no-acquire"),
        (["--only", "answers"], "--only 'answers' matches no obligation, property or fault"),
        (["--ring-size", "2"], "--ring-size: must be any or 1, not '2'"),
        (["--ring", "1"], "there is no option '--ring'; did you mean --"),
    ],
)
def test_a_mistake_in_the_options_is_told_in_one_line(options, told, capsys):
    assert main(THEORY, options) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"examples.mailbox.check: {told}")
    assert err.count("\n") == 1


def test_a_device_with_one_slot_has_one_ring_size(capsys):
    assert main(THEORY, ["--ring-size", "1", "--only", "own-answer", "--jobs", "1"]) == 5
    assert "Obligations hold, if these do, for rings of 1 slot, in " in capsys.readouterr().out


# Runs


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_whatever_memory_and_device_do_all_calls_are_steps(seed):
    machine = Machine(seed)
    for request in range(CALLS):
        assert call(machine, request) == request + 1
    assert machine.judge.accesses["doorbell"] == CALLS


def test_runs_take_every_step_of_the_specification():
    taken = set()
    for seed in SEEDS:
        machine = Machine(seed)
        for request in range(CALLS):
            call(machine, request)
        taken |= {step[0] for step in machine.judge.path}
    assert taken == {step.rule.name for step in specification().transitions}


def deviations(calls, make=Machine):
    """How the runs deviate that do."""
    found = []
    for seed in SEEDS:
        machine = make(seed)
        try:
            for request in range(CALLS):
                calls(machine, request)
        except Deviation as deviation:
            found.append(deviation)
    return found


NAMED = {
    "release": "its barrier does not hold: release: data before flag",
    "acquire": "barrier: acquire: flag before answer",
    "doorbell-barrier": "its barrier does not hold: flag before doorbell",
}


@pytest.mark.parametrize("barrier", BARRIERS)
def test_without_a_barrier_some_run_deviates_and_names_it(barrier):
    found = deviations(call, functools.partial(Machine, without=[barrier]))
    assert len(found) > len(SEEDS) // 2
    assert {deviation.culprit for deviation in found} == {"the driver"}
    assert {str(deviation).partition("\n  ")[2].splitlines()[1].strip() for deviation in found} == {
        NAMED[barrier]
    }


def swapped():
    """The driver with two neighbouring lines of its exchanged, wherever there are two."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(call)))
    (loop,) = (node for node in ast.walk(tree) if isinstance(node, ast.While))
    for lines in (tree.body[0].body, loop.body):
        first = 1 if ast.get_docstring(tree.body[0]) and lines is tree.body[0].body else 0
        for at in range(first, len(lines) - 1):
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
            yield f"{ast.unparse(lines[at + 1])} <-> {ast.unparse(lines[at])}", ast.unparse(tree)
            lines[at], lines[at + 1] = lines[at + 1], lines[at]


SWAPPED = dict(swapped())


def test_lines_are_swapped_everywhere():
    assert len(SWAPPED) == 9


@pytest.mark.parametrize("which", SWAPPED)
def test_two_lines_of_the_driver_swapped_deviate(which):
    names = vars(driver).copy()
    exec(SWAPPED[which], names)  # noqa: S102 - the driver, rewritten above
    found = deviations(names["call"])
    assert len(found) > len(SEEDS) // 2
    assert {deviation.culprit for deviation in found} == {"the driver"}


def test_a_driver_that_never_rings_is_told_what_it_waits_for():
    class Deaf(Machine):
        def ring_doorbell(self):
            """Nothing."""

    (told, *_) = deviations(call, Deaf)
    assert str(told).startswith("no interrupt comes\n  take_interrupt: Read STATUS, which ")
    assert "threads.pc[0] = DOORBELL" in str(told)


# A device that does wrong


class Adds2(Machine):
    def _answer_to(self, request):
        return request + 2


class GivesBackTooEarly(Machine):
    def _device(self):
        if self.judge.enabled("device.answer"):
            self.judge.fire("device.give_back")
        super()._device()


class TakesTheSlotBackUnseen(Machine):
    def _device(self):
        super()._device()
        if self.judge.enabled("device.answer"):
            self._memory["flag"] = 0


class KeepsTheSlot(Machine):
    def _device(self):
        super()._device()
        if self.judge.enabled("take_interrupt", 0):
            self._memory["flag"] = FULL


@pytest.mark.parametrize(
    ("device", "told"),
    [
        (Adds2, "the device answered request 0 with 2; right is 1"),
        (GivesBackTooEarly, "device.give_back is not allowed now\n"),
        (TakesTheSlotBackUnseen, "the device stored flag EMPTY out of turn"),
        (KeepsTheSlot, "the device stored flag FULL out of turn"),
    ],
)
def test_a_device_that_does_wrong_is_blamed(device, told):
    found = deviations(call, device)
    assert found
    assert {type(deviation) for deviation in found} == {CardDeviation}
    assert all(str(deviation).startswith(told) for deviation in found)


def test_the_program_says_what_became_of_it():
    def said(*options):
        done = subprocess.run(
            [sys.executable, "-m", "examples.mailbox.driver", *options],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout

    assert said("--calls", "20")[0] == 0
    status, out = said("--without", "release")
    assert status == 1
    assert ", the driver: box.flag_visible (k 0) is not allowed now\n" in out


# It is a part of the project


def test_the_mailbox_loads_nothing_of_the_card():
    code = """
import sys, examples.mailbox.check, examples.mailbox.driver, examples.mailbox.proof
parts = {name.partition(".")[0] for name in sys.modules}
print(*sorted(parts & {"model", "proofs", "judge", "impl", "monitor", "emulator", "properties"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == "\n"


def test_examples_are_packaged_linted_and_typed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "examples*" in project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert "examples" in project["tool"]["ruff"]["lint"]["isort"]["known-first-party"]
    assert "examples" in project["tool"]["mypy"]["files"]
