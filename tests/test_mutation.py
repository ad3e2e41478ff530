"""The command that changes what runs: what it changes, what it lists, what it says at the end.

No mutant of the project is tried here: CI tries some, and `make mutation` more.
"""

import ast
import contextlib
import itertools
import math
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from properties import fork_server, mutation, workbench
from properties.mutants import Mutant, mutants
from properties.mutation import SURVIVORS, Survivor, main, read_survivors, report
from properties.mutation_answers import HINTS, Answers, read_hints, write_hints
from properties.mutation_tests import TESTS
from properties.workbench import BaselineError, Lines, MutantResult, Workbench
from tests.background import Background

ROOT = mutation.ROOT
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


DECLARES = textwrap.dedent("""
    ONE = 1 << 0


    class Thing(abc.ABC):
        # This one is to be written.

        @abc.abstractmethod
        def act(self, one: int = 1) -> None: ...

        @functools.cache
        def acted(self, one=1):
            if one:
                return 0
            return None
""")


def test_what_is_the_same_program_or_only_declares_is_no_mutant():
    pytest.importorskip("cosmic_ray")
    assert changes(mutants("impl/thing.py", DECLARES)) == {
        ("ONE = 1 << 0", "ONE = 2 << 0"),
        ("ONE = 1 << 0", "ONE = 0 << 0"),
        ("ONE = 1 << 0", "ONE = 1 << 1"),
        ("ONE = 1 << 0", "ONE = 1 << -1"),
        ("@functools.cache", ""),
        ("def acted(self, one=1):", "def acted(self, one= 2):"),
        ("def acted(self, one=1):", "def acted(self, one= 0):"),
        ("if one:", "if not one:"),
        ("return 0", ""),
        ("return 0", "return 1"),
        ("return 0", "return -1"),
    }


def test_a_mutant_knows_where_it_is_and_is_python(of_source):
    assert len({mutant.source for mutant in of_source}) == len(of_source)
    for mutant in of_source:
        ast.parse(mutant.source)
        assert mutant.source != SOURCE
    (mutant,) = [item for item in of_source if item.old == "self.finish()"]
    assert mutant.within == "Thing.act"
    assert SOURCE.splitlines()[mutant.line - 1].strip() == "self.finish()"
    assert str(mutant) == "impl/thing.py:15: self.finish()  ->  (left out)"


def test_a_sample_is_part_of_all_and_is_the_same_when_lines_come_elsewhere(of_source):
    sample = mutants("impl/thing.py", SOURCE, 6)
    assert len(sample) == 6
    assert set(sample) <= set(of_source)
    assert set(mutants("impl/thing.py", SOURCE, 999)) == set(of_source)
    later = SOURCE.replace("    def act", "    def other(self):\n        pass\n\n    def act")
    again = {mutant.key for mutant in mutants("impl/thing.py", later, 6)}
    assert len(again & {mutant.key for mutant in sample}) >= 5


def test_every_file_that_runs_has_tests_and_all_of_them_are_there():
    parts = [*(ROOT / "impl").glob("*.py"), *(ROOT / "monitor").glob("*.py")]
    names = {str(path.relative_to(ROOT)) for path in parts}
    assert names - set(TESTS) == {
        *("impl/__init__.py", "impl/card_info.py", "impl/turn.py"),
        *("monitor/__init__.py", "monitor/outcomes.py"),
    }
    for file in {*TESTS, *(test for tests in TESTS.values() for test in tests)}:
        assert (ROOT / file).exists(), file


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
    with pytest.raises(BaselineError) as caught:
        read_survivors(text)
    assert str(caught.value) == message


def test_every_survivor_that_is_listed_is_a_mutant():
    pytest.importorskip("cosmic_ray")
    listed = read_survivors(SURVIVORS.read_text(encoding="utf-8"))
    for file in {key[0] for key in listed}:
        source = (ROOT / file).read_text(encoding="utf-8")
        places = {key[1] for key in listed if key[0] == file}
        present = {mutant.key for mutant in mutants(file, source, within=places)}
        assert {key for key in listed if key[0] == file} <= present


# What is said at the end, and the exit status


def mutant(number):
    return Mutant("impl/ring.py", number, "Ring.act", f"old {number}", f"new {number}", str(number))


def survivor(number):
    return Survivor("impl/ring.py", "Ring.act", f"old {number}", f"new {number}", "equal")


KILLED = [MutantResult(mutant(number), "tests", "test_it") for number in range(20)]
ALIVE = MutantResult(mutant(30), "")


def test_all_killed_is_well(capsys):
    assert report(KILLED, [], ["impl/ring.py"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("impl/ring.py", "20", "20", "20", "0", "0", "100.0", "%")
    ]


def test_a_survivor_that_is_not_listed_is_not(capsys):
    assert report([*KILLED, ALIVE], [], ["impl/ring.py"]) == 1
    printed = capsys.readouterr().out
    assert "survived: impl/ring.py:30 in Ring.act\n    - old 30\n    + new 30\n" in printed
    assert "NOT LISTED" in printed


def test_a_survivor_that_is_listed_is(capsys):
    assert report([*KILLED, ALIVE], [survivor(30)], ["impl/ring.py"]) == 0
    assert "NOT LISTED" not in capsys.readouterr().out


def test_too_many_survivors_are_not_well_even_if_all_are_listed(capsys):
    results = [*KILLED, ALIVE, MutantResult(mutant(31), "")]
    listed = [survivor(30), survivor(31)]
    assert report(results, listed, ["impl/ring.py"]) == 1
    assert "less than 95 % are killed: 90.9 %" in capsys.readouterr().out


def test_survivors_that_are_killed_or_gone_are_stale(capsys):
    assert report(KILLED, [survivor(3), survivor(99)], ["impl/ring.py"]) == 0
    printed = capsys.readouterr().out
    assert "stale: impl/ring.py, Ring.act: old 3\n    is killed by tests (test_it)" in printed
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
        monkeypatch.setattr(
            mutation,
            "_tried",
            lambda parts, *_, **_options: [
                MutantResult(mutant, verdict) for part in parts for mutant in part()
            ],
        )
        return main(list(arguments))

    return run


def test_the_command_ends_with_the_table(judged, capsys):
    assert judged("tests", "", "impl/dma.py") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-3].startswith("impl/dma.py")
    assert printed[-3].endswith("100.0 %")


def test_the_command_fails_if_mutants_survive(judged, capsys):
    assert judged("", "", "impl/dma.py", "--most", "3") == 1
    assert capsys.readouterr().out.count("NOT LISTED") == 3


def test_the_command_refuses_a_wrong_list(judged, capsys):
    assert judged("tests", ENTRY + ENTRY, "impl/dma.py") == 2
    assert capsys.readouterr().err == "survivor 2 is listed twice\n"


@pytest.mark.parametrize(
    "name", ["impl/turn.py", "impl/dma.py:x", "impl/dma.py:1-2-3", "impl/dma.py:1"]
)
def test_the_command_refuses_what_it_cannot_change(name, capsys):
    pytest.importorskip("cosmic_ray")
    with pytest.raises(SystemExit) as caught:
        main([name])
    assert caught.value.code == 2
    assert name in capsys.readouterr().err


def test_a_job_that_cannot_go_on_ends_the_others(monkeypatch):
    class Benches:
        @staticmethod
        def of(*_):
            return contextlib.nullcontext(Benches)

        @staticmethod
        def judge(mutant, _):
            if mutant.file == "broken":
                raise BaselineError("its tests fail")
            time.sleep(0.001)
            return MutantResult(mutant, "tests")

    monkeypatch.setattr(mutation, "Workbench", Benches)
    endless, broken = (Mutant(file, 1, "", "", "", "") for file in ("endless", "broken"))
    parts = [lambda: itertools.repeat(endless), lambda: [broken]]
    tried = Background(lambda: list(mutation._tried(parts, 2, Mock(), measures=False)))
    assert isinstance(tried.join().error, BaselineError)


@pytest.mark.parametrize(("longest", "kept"), [(math.inf, 1), (5.0, 0)])
def test_only_who_was_tried_on_all_tests_is_kept_as_alive(monkeypatch, longest, kept):
    bench = Mock(judge=lambda mutant, _: MutantResult(mutant, ""))
    monkeypatch.setattr(mutation, "Workbench", Mock(of=lambda *_: contextlib.nullcontext(bench)))
    answers = Mock(known=lambda _: None)
    tried, listed = (Mutant("thing", 1, "", "", new, "") for new in ("tried", "listed"))
    results = list(
        mutation._tried(
            [lambda: [tried, listed]],
            1,
            answers,
            measures=True,
            longest=longest,
            listed={listed.key},
        )
    )
    assert [result.killed for result in results] == [False, False]
    assert [call.args[0].mutant for call in answers.keep.call_args_list] == [tried] * kept


def test_a_sample_of_nothing_is_no_success(judged, monkeypatch, capsys):
    monkeypatch.setattr(mutation, "_sample", lambda *_: [])
    assert judged("tests", "", "--quick") == 2
    assert "of no mutant is it known who kills it" in capsys.readouterr().err


# Trying one, with tests that need no driver

THING = """
WORD = "good"

def word():
    return WORD

def lasting():
    return "good"

def alone():
    return "good"

def in_child():
    return "good"

def compiled():
    return "good"

KNOWN = {alone.__code__}
"""
THING_TEST = """
import subprocess
import sys
import time
from pathlib import Path
from impl import thing

def test_word():
    assert thing.word() != "fails"

def test_lasting():
    time.sleep(60 * (thing.lasting() == "hangs"))

def test_in_child():
    code = "from impl.thing import in_child; assert in_child() != 'fails'"
    subprocess.run([sys.executable, "-c", code], check=True)

def test_compiled():
    path = Path(thing.__file__)
    made = {}
    exec(compile(path.read_text(), str(path), "exec"), made)
    assert made["compiled"]() != "fails"

def test_known():
    assert thing.alone.__code__ in thing.KNOWN
"""


class Kept:
    """Where it is kept what tests run."""

    def __init__(self):
        self.of = {}
        self.lock = threading.Lock()

    def lines(self, test):
        return self.of.get(test)

    def keep_lines(self, test, lines):
        self.of[test] = lines

    def measuring(self, _):
        return self.lock


@pytest.fixture
def project(tmp_path):
    """A project with one file, and tests of it."""
    project = tmp_path / "project"
    for folder in ("impl", "emulator", "monitor", "tests", "properties", ".git"):
        (project / folder).mkdir(parents=True)
        (project / folder / "__init__.py").touch()
    (project / "impl" / "thing.py").write_text(THING, encoding="utf-8")
    (project / "tests" / "test_thing.py").write_text(THING_TEST, encoding="utf-8")
    (project / "tests" / "conftest.py").write_text(
        (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    server = Path(fork_server.__file__).read_text(encoding="utf-8")
    (project / "properties" / "fork_server.py").write_text(server, encoding="utf-8")
    return project


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def bench(project, kept):
    """A copy of the project."""
    with Workbench.of(project, {"impl/thing.py": ("tests/test_thing.py",)}, kept) as copy:
        yield copy
        assert (copy.root / "impl" / "thing.py").read_text(encoding="utf-8") == THING
    assert not copy.root.exists()


def changed(function, word):
    """The file with another word in one of its functions; in none: the constant."""
    before, head, after = THING.partition(f"def {function}" if function else "WORD")
    source = before + head + after.replace('"good"', f'"{word}"', 1)
    line = before.count("\n") + (2 if function else 1)
    return Mutant("impl/thing.py", line, function, "good", word, source)


def test_what_tests_run_is_found_out_once(bench, kept, monkeypatch):
    found = Lines({}, {}, 0)

    def recorded(_):
        assert kept.lock.locked(), "others may find it out at the same time"
        return found

    monkeypatch.setattr(bench, "_recorded", recorded)
    assert bench.measured("tests/test_thing.py") is found
    assert kept.of == {"tests/test_thing.py": found}
    assert not kept.lock.locked()


def test_a_mutant_is_tried_in_a_copy(bench):
    assert not (bench.root / ".git").exists()
    # Of the same length, and within a second: each is compiled anew.
    words = ("fails", "lives", "fails", "good!")
    assert [bench.judge(changed("", word)).killer for word in words] == ["tests", "", "tests", ""]
    assert bench.judge(changed("", "fails")).detail == "tests/test_thing.py::test_word"


@pytest.mark.parametrize("function", ["in_child", "compiled"])
def test_lines_that_run_in_a_process_of_their_own_or_compiled_anew_are_run_by_the_test(
    bench, function
):
    assert not bench.judge(changed(function, "lives")).killed
    result = bench.judge(changed(function, "fails"))
    assert (result.killer, result.detail) == ("tests", f"tests/test_thing.py::test_{function}")


def test_only_tests_that_run_the_line_are_run(bench, kept):
    assert bench.judge(changed("alone", "lives")).detail == ""
    lines = kept.of["tests/test_thing.py"]
    ran = {
        function: {
            test.partition("::test_")[2]
            for test, bits in lines.runs.items()
            if bits >> bench.laid_out.at("impl/thing.py", changed(function, "").line)[0] & 1
        }
        for function in ("lasting", "in_child", "alone")
    }
    # Who compiles the file may run any line of it.
    assert ran == {
        "lasting": {"lasting", "compiled"},
        "in_child": {"in_child", "compiled"},
        "alone": {"compiled"},
    }


def test_a_mutant_whose_line_no_test_runs_survives_at_once(project, kept):
    test = project / "tests" / "test_thing.py"
    test.write_text("from impl.thing import word\n\ndef test_it():\n    word()\n", encoding="utf-8")
    with Workbench.of(project, {"impl/thing.py": ("tests/test_thing.py",)}, kept) as bench:
        result = bench.judge(changed("alone", "fails"))
    assert (result.killed, result.detail) == (False, "no test runs this line")


def test_a_function_is_still_who_it_was_when_it_is_replaced(bench):
    assert not bench.judge(changed("alone", "lives")).killed
    assert bench.judge(changed("alone", "lives")).detail == ""


def test_a_mutant_that_hangs_is_killed(bench, monkeypatch):
    monkeypatch.setattr(workbench, "PATIENCE", 1)
    hangs = "tests/test_thing.py::test_lasting"
    result = bench.judge(changed("lasting", "hangs"), hangs)  # the first, whatever is quicker
    assert (result.killer, result.detail) == ("time", hangs)


@pytest.mark.parametrize("function", ["in_child", ""])
def test_where_nothing_is_measured_the_test_that_is_known_to_kill_is_the_only_one(
    project, function
):
    tests = {"impl/thing.py": ("tests/test_thing.py",)}
    killer = f"tests/test_thing.py::test_{function or 'word'}"
    with Workbench.of(project, tests, None) as bench:
        assert bench.judge(changed(function, "fails"), killer).killer == "tests"
        assert not bench.judge(changed("lasting", "lives"), killer).killed


def test_a_mutant_is_tried_as_long_as_is_said(project, kept):
    kept.of["tests/test_thing.py"] = Lines(
        {f"tests/test_thing.py::{name}": 1.0 for name in ("test_known", "test_in_child")},
        {f"tests/test_thing.py::{name}": -1 for name in ("test_known", "test_in_child")},
        0,
    )
    tests = {"impl/thing.py": ("tests/test_thing.py",)}
    for longest, killer in [(2.0, "tests"), (0.5, ""), (1.5, "")]:
        with Workbench.of(project, tests, kept, longest) as bench:
            assert bench.judge(changed("in_child", "fails")).killer == killer


def test_all_tests_of_a_file_are_run_where_nobody_knows_what_they_run(project, monkeypatch):
    monkeypatch.setattr(workbench, "HANGING", 4)
    with Workbench.of(project, {"impl/thing.py": ("tests/test_thing.py",)}, None) as bench:
        words = ("fails", "lives", "hangs")
        tried = [bench.judge(changed(name, word)) for name in ("", "lasting") for word in words]
        assert [result.killer for result in tried] == ["tests", "", "", "", "", "time"]


def test_tests_that_fail_as_it_is_are_of_no_use(project, kept):
    source = THING.replace('WORD = "good"', 'WORD = "fails"')
    (project / "impl" / "thing.py").write_text(source, encoding="utf-8")
    with (
        Workbench.of(project, {"impl/thing.py": ("tests/test_thing.py",)}, kept) as bench,
        pytest.raises(BaselineError, match="test_word fails without any change"),
    ):
        bench.measured("tests/test_thing.py")


def test_tests_that_cannot_be_imported_are_of_no_use(project, kept):
    (project / "tests" / "test_thing.py").write_text("import nothing\n", encoding="utf-8")
    with (
        Workbench.of(project, {"impl/thing.py": ("tests/test_thing.py",)}, kept) as bench,
        pytest.raises(BaselineError, match=r"cannot be collected:\n(.|\n)*nothing"),
    ):
        bench.measured("tests/test_thing.py")


# Which functions are replaced


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A = 1\n", "A = 2\n"),
        ("def f(a=1): pass\n", "def f(a=2): pass\n"),
        ("class A:\n    a = 1\n", "class A:\n    a = 2\n"),
        ("@a\ndef f(): pass\n", "def f(): pass\n"),
        ("def f():\n    return lambda: 1\n", "def f():\n    return 1\n"),
        ("def f(a):\n    return lambda: a\n", "def f(a):\n    return lambda: 1\n"),
    ],
)
def test_what_is_not_in_functions_only_cannot_be_replaced(old, new):
    assert fork_server.replaced(old, new) is None


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("def f(): return 1\n", "def f(): return 2\n", ["f"]),
        ("def f(): return 1\n", "def f(): return True\n", ["f"]),
        ("def f(): return 1\n\ndef g(): pass\n", "\ndef f(): return 1\ndef g(): pass\n", []),
        ("class A:\n    def f(a): return -a\n", "class A:\n    def f(a): return a\n", ["A.f"]),
        (
            "def f(a):\n    return lambda: a + 1\n",
            "def f(a):\n    return lambda: a - 1\n",
            ["f", "f.<locals>.<lambda>"],
        ),
    ],
)
def test_functions_that_do_something_else_are_replaced(old, new, names):
    found = fork_server.replaced(old, new)
    assert [code.co_qualname for code in found] == names


# What is known from runs before


def test_an_answer_holds_until_the_file_or_its_tests_change(project):
    tests = {"impl/thing.py": ("tests/test_thing.py",)}
    killed = MutantResult(changed("word", "fails"), "tests", "test_word")
    answers = Answers(project, tests)
    assert answers.known(killed.mutant) is None
    answers.keep(killed)
    answers.keep_lines("tests/test_thing.py", Lines({"test_word": 0.5}, {"test_word": 9}, 3))
    again = Answers(project, tests)
    assert again.known(killed.mutant) == killed
    assert again.known(changed("word", "lives")) is None
    assert again.lines("tests/test_thing.py") == Lines({"test_word": 0.5}, {"test_word": 9}, 3)
    (project / "tests" / "test_thing.py").write_text("# others", encoding="utf-8")
    other = Answers(project, tests)
    assert other.known(killed.mutant) is None
    assert other.suspect(killed.mutant) == "test_word"
    assert other.lines("tests/test_thing.py") is None


def test_a_kill_holds_whatever_other_tests_become_and_a_survival_does_not(project):
    tests = {"impl/thing.py": ("tests/test_thing.py", "tests/test_other.py")}
    other = project / "tests" / "test_other.py"
    other.write_text("", encoding="utf-8")
    killed = MutantResult(changed("word", "fails"), "tests", "tests/test_thing.py::test_word")
    alive = MutantResult(changed("word", "lives"), "")
    for result in (killed, alive):
        Answers(project, tests).keep(result)
    assert Answers(project, tests).known(alive.mutant) == alive
    other.write_text("# more", encoding="utf-8")
    again = Answers(project, tests)
    assert again.known(killed.mutant) == killed
    assert again.known(alive.mutant) is None
    (project / "tests" / "test_thing.py").write_text("# less", encoding="utf-8")
    assert Answers(project, tests).known(killed.mutant) is None


def test_a_fresh_clone_asks_the_test_first_that_killed_a_mutant(project, tmp_path):
    tests = {"impl/thing.py": ("tests/test_thing.py",)}
    path = project / HINTS
    killer = "tests/test_thing.py::test_word"
    killed, alive = (changed("word", word) for word in ("fails", "lives"))
    results = [MutantResult(killed, "tests", killer), MutantResult(alive, "")]
    assert Answers(project, tests).suspect(killed) == ""
    write_hints(path, results)
    assert Answers(project, tests).suspect(killed) == killer
    assert Answers(project, tests).suspect(alive) == ""
    other, late = changed("in_child", "fails"), changed("lasting", "hangs")
    by = "tests/test_thing.py::test_in_child"
    write_hints(path, [MutantResult(other, "tests", by), MutantResult(late, "time", by)])
    assert Answers(project, tests).suspect(killed) == killer
    assert len(read_hints(path.read_text())) == 2
    write_hints(path, [MutantResult(killed, "")])
    assert Answers(project, tests).suspect(killed) == ""


def test_the_help_needs_no_cosmic_ray():
    done = subprocess.run(
        [sys.executable, "-m", "properties.mutation", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("usage: python -m properties.mutation")
