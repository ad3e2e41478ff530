"""The command that changes the driver: what it changes, what it lists, and what it says at the end.

No mutant is tried here; that takes an hour, and `make mutation` does it.
"""

import ast
import subprocess
import sys
import textwrap

import pytest

from properties import mutation
from properties.mutation import (
    SURVIVORS,
    Mutant,
    MutantResult,
    Survivor,
    Workbench,
    main,
    mutants,
    read_survivors,
    report,
)

SOURCE = textwrap.dedent('''
    """A module."""

    LIMIT: int | None = 3


    class Thing:
        """A thing."""

        def act(self, one: int | None, *, two: bool = True) -> bytes | None:
            """Does it."""
            self.prepare(one)

            # The order matters.
            self.finish()
            if one is None:
                return None
            return self.found + 1
''')


@pytest.fixture
def of_source():
    pytest.importorskip("cosmic_ray")
    return mutants("impl/thing.py", SOURCE)


def changes(found):
    return {(mutant.old, mutant.new) for mutant in found}


def test_statements_are_left_out_and_neighbours_that_call_are_swapped(of_source):
    assert changes(of_source) >= {
        ("self.prepare(one)", ""),
        ("self.finish()", ""),
        ("return self.found + 1", ""),
        ("self.prepare(one); self.finish()", "self.finish(); self.prepare(one)"),
    }


def test_operators_conditions_and_constants_are_changed(of_source):
    assert changes(of_source) >= {
        ("return self.found + 1", "return self.found - 1"),
        ("return self.found + 1", "return self.found + 2"),
        ("if one is None:", "if one is not None:"),
        ("LIMIT: int | None = 3", "LIMIT: int | None = 4"),
    }


def test_annotations_docstrings_and_lists_of_parameters_are_not_changed(of_source):
    for mutant in of_source:
        assert '"""' not in mutant.old
        assert "&" not in mutant.new
        if mutant.old.startswith("def "):
            assert "two: bool = False" in mutant.new


def test_a_mutant_knows_where_it_is_and_is_python(of_source):
    assert len({mutant.source for mutant in of_source}) == len(of_source)
    for mutant in of_source:
        ast.parse(mutant.source)
        assert mutant.source != SOURCE
    (mutant,) = [item for item in of_source if item.old == "self.finish()"]
    assert mutant.within == "Thing.act"
    assert SOURCE.splitlines()[mutant.line - 1].strip() == "self.finish()"
    assert str(mutant) == "impl/thing.py:15: self.finish()  ->  (left out)"


def test_statements_of_which_one_needs_the_other_are_not_swapped():
    pytest.importorskip("cosmic_ray")
    found = mutants("impl/thing.py", "def act():\n    one = first()\n    second(one)\n")
    assert all(";" not in mutant.old for mutant in found)


# The list of survivors

ENTRY = """
[[survivor]]
file = "impl/ring.py"
within = "Ring.act"
old = "self.finish()"
new = ""
reason = "nobody can tell"
"""


def test_survivors_are_read():
    (survivor,) = read_survivors(ENTRY).values()
    assert survivor == Survivor("impl/ring.py", "Ring.act", "self.finish()", "", "nobody can tell")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("survivor = ", "the list of survivors is not TOML: Invalid value (at end of document)"),
        (ENTRY.replace("nobody can tell", " "), "survivor 1 has no reason"),
        (ENTRY + ENTRY, "survivor 2 is listed twice"),
        (
            ENTRY.replace('new = ""\n', ""),
            "survivor 1 does not have the texts file, within, old, new, reason",
        ),
    ],
)
def test_a_list_that_is_wrong_is_refused(text, message):
    with pytest.raises(mutation.BaselineError) as caught:
        read_survivors(text)
    assert str(caught.value) == message


def test_every_survivor_that_is_listed_is_a_mutant():
    pytest.importorskip("cosmic_ray")
    listed = read_survivors(SURVIVORS.read_text(encoding="utf-8"))
    for file in {key[0] for key in listed}:
        source = (mutation.ROOT / file).read_text(encoding="utf-8")
        present = {mutant.key for mutant in mutants(file, source)}
        assert {key for key in listed if key[0] == file} <= present


# What is said at the end, and the exit status


def mutant(number):
    return Mutant("impl/ring.py", number, "Ring.act", f"old {number}", f"new {number}", str(number))


def survivor(number):
    return Survivor("impl/ring.py", "Ring.act", f"old {number}", f"new {number}", "equal")


KILLED = [MutantResult(mutant(number), "search", "Deviation") for number in range(10)]
ALIVE = MutantResult(mutant(10), "")


def test_all_killed_is_well(capsys):
    assert report(KILLED, [], ["impl/ring.py"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("impl/ring.py", "10", "10", "10", "0", "0", "0", "100.0", "%")
    ]


def test_a_survivor_that_is_not_listed_is_not(capsys):
    assert report([*KILLED, ALIVE], [], ["impl/ring.py"]) == 1
    printed = capsys.readouterr().out
    assert "survived: impl/ring.py:10 in Ring.act\n    - old 10\n    + new 10\n" in printed
    assert "NOT LISTED" in printed


def test_a_survivor_that_is_listed_is(capsys):
    assert report([*KILLED, ALIVE], [survivor(10)], ["impl/ring.py"]) == 0
    assert "NOT LISTED" not in capsys.readouterr().out


def test_too_many_survivors_are_not_well_even_if_all_are_listed(capsys):
    results = [*KILLED, ALIVE, MutantResult(mutant(11), "")]
    listed = [survivor(10), survivor(11)]
    assert report(results, listed, ["impl/ring.py"]) == 1
    assert "less than 90 % of the mutants of impl/ring.py are killed" in capsys.readouterr().out
    assert report(results, listed, []) == 0


def test_survivors_that_are_killed_or_gone_are_stale(capsys):
    assert report(KILLED, [survivor(3), survivor(99)], ["impl/ring.py"]) == 0
    printed = capsys.readouterr().out
    assert "stale: impl/ring.py, Ring.act: old 3\n    is killed by search (Deviation)" in printed
    assert "stale: impl/ring.py, Ring.act: old 99\n    there is no such mutant any more" in printed
    assert report(KILLED, [survivor(99)], []) == 0
    assert "stale" not in capsys.readouterr().out


# The whole command, with a judge that needs no time


@pytest.fixture
def judged(monkeypatch, tmp_path):
    """The command with the given verdict on every mutant, and the given list of survivors."""
    pytest.importorskip("cosmic_ray")

    def run(verdict, listed, *arguments):
        survivors = tmp_path / "survivors.toml"
        survivors.write_text(listed, encoding="utf-8")
        monkeypatch.setattr(mutation, "SURVIVORS", survivors)
        monkeypatch.setattr(Workbench, "measure", lambda _bench, _file: 1.0)
        monkeypatch.setattr(
            Workbench, "judge", lambda _bench, mutant: MutantResult(mutant, verdict)
        )
        return main(list(arguments))

    return run


def test_the_command_tells_of_each_mutant_and_ends_with_the_table(judged, capsys):
    assert judged("search", "", "impl/dma.py") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "impl/dma.py as it is passes in 1 s"
    assert printed[1].startswith("   1/")
    assert printed[-1].endswith("100.0 %")


def test_the_command_fails_if_mutants_survive(judged, capsys):
    assert judged("", "", "impl/dma.py") == 1
    assert "NOT LISTED" in capsys.readouterr().out


def test_the_command_refuses_a_wrong_list(judged, capsys):
    assert judged("search", ENTRY + ENTRY, "impl/dma.py") == 2
    assert capsys.readouterr().err == "survivor 2 is listed twice\n"


@pytest.mark.parametrize(
    "name", ["impl/errors.py", "impl/dma.py:x", "impl/dma.py:1-2-3", "impl/dma.py:1"]
)
def test_the_command_refuses_what_it_cannot_change(name, capsys):
    pytest.importorskip("cosmic_ray")
    with pytest.raises(SystemExit) as caught:
        main([name])
    assert caught.value.code == 2
    assert name in capsys.readouterr().err


# Trying one, with commands that need no driver


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A copy of a project with one file, and commands that look at it."""
    project = tmp_path / "project"
    (project / "impl").mkdir(parents=True)
    (project / "impl" / "thing.py").write_text("good\n", encoding="utf-8")
    (project / ".git").mkdir()

    def command(text):
        start = "import time; text = open('impl/thing.py').read(); "
        return sys.executable, "-c", start + text

    monkeypatch.setattr(mutation, "SEARCH", command("assert 'deviates' not in text"))
    monkeypatch.setattr(
        mutation,
        "_tests_of",
        lambda _file: command("time.sleep(60 * ('hangs' in text)); assert 'fails' not in text"),
    )
    with Workbench.of(project) as copy:
        yield copy
    assert (project / "impl" / "thing.py").read_text(encoding="utf-8") == "good\n"
    assert not copy.root.exists()


def tried(bench, text):
    return bench.judge(Mutant("impl/thing.py", 1, "", "good", text, text))


@pytest.mark.parametrize(
    ("text", "killer"), [("deviates", "search"), ("fails", "tests"), ("survives", "")]
)
def test_a_mutant_is_tried_in_a_copy(bench, text, killer):
    assert tried(bench, text).killer == killer
    assert not (bench.root / ".git").exists()
    assert (bench.root / "impl" / "thing.py").read_text(encoding="utf-8") == "good\n"


def test_a_mutant_that_hangs_is_killed(bench):
    bench.limits = [30.0, 0.5]
    result = tried(bench, "hangs")
    assert (result.killer, result.detail) == ("time", "tests: over 0 s")


def test_limits_come_from_the_driver_as_it_is(bench):
    assert bench.measure("impl/thing.py") < 30
    assert bench.limits == [30.0, 30.0]


def test_a_driver_that_fails_as_it_is_cannot_be_changed(bench):
    (bench.root / "impl" / "thing.py").write_text("fails\n", encoding="utf-8")
    with pytest.raises(mutation.BaselineError) as caught:
        bench.measure("impl/thing.py")
    assert str(caught.value).startswith("impl/thing.py fails without any change:\n")


def test_the_help_needs_no_cosmic_ray():
    done = subprocess.run(
        [sys.executable, "-m", "properties.mutation", "--help"],
        cwd=mutation.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("usage: python -m properties.mutation")


def test_a_test_that_hangs_is_named():
    output = "..Timeout (0:00:20)!\n" + "\n".join(
        f'  File "{file}", line 3 in {function}'
        for file, function in (
            ("/usr/lib/threading.py", "wait"),
            ("/project/tests/test_thing.py", "test_it_ends"),
            ("/usr/lib/pytest.py", "main"),
        )
    )
    assert mutation._what_hangs(output) == "test_it_ends: over 20 s"
    assert mutation._what_hangs("..Timeout (0:00:20)!\n") == "a test: over 20 s"


def test_what_failed_is_said_in_a_few_words():
    assert mutation._what_failed("x\nFAILED tests/a.py::b - Error: long\n") == "tests/a.py::b"
    assert mutation._what_failed("x\nE: a\nValueError: bad\nnote\n") == "ValueError: bad"
