"""Hints: they cost nothing but time if they are wrong, and spare most of it if they are right."""

import functools
import re

import attrs
import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.command.main import main
from engine.discharge import Past, answer_of, discharge, find_hint
from engine.hints import Hint, joined, read_hints, write_hints
from engine.induction import Instantiator
from engine.obligations import Catalogue
from engine.smt import Arithmetic
from engine.solvers import OPTIONS, Answer, ask, core, narrowed
from proofs.theory import HINTS, THEORY
from tests.test_theory import WHOLE

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

RIGHT, WRONG = Catalogue(WHOLE), Catalogue(WHOLE, WHOLE.faulty("forgets"))
TOPICS = sorted({RIGHT.topic_of(item) for item in RIGHT.obligations()})
NAMES = [item.name for item in WHOLE.invariants]


def verdicts(known, hints, solver="z3"):
    """What is said of everything that a solver is asked, with these hints."""
    known.decided.clear()
    asked = [item for item in known.obligations() if item.kind != "vacuity"]
    return {
        (item.id, item.arithmetic): discharge(known, item, solver=solver, past=Past(hints)).result
        for item in asked
    }


@functools.cache
def without_hints(known, solver="z3"):
    return verdicts(known, {}, solver)


# They never change a verdict

HINT = st.builds(
    Hint,
    st.frozensets(st.sampled_from([*NAMES, "no.such-conjunct", "box.full@00000000", "h0", ""])),
    st.integers(1, 3),
)


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
@settings(max_examples=15, deadline=None)
@given(hints=st.dictionaries(st.sampled_from([*TOPICS, "nothing"]), HINT))
def test_no_hint_changes_a_verdict(solver, hints):
    for known in (RIGHT, WRONG):
        assert verdicts(known, hints, solver) == without_hints(known, solver)
    assert without_hints(WRONG, solver)["step/take", "integer"] == "refuted"


def test_hints_of_other_questions_change_no_verdict():
    found = {item: find_hint(RIGHT, item) for item in RIGHT.obligations()}
    hints = [hint for hint in found.values() if hint is not None]
    for away in range(1, 4):
        moved = {topic: hints[(at + away) % len(hints)] for at, topic in enumerate(TOPICS)}
        assert verdicts(WRONG, moved) == without_hints(WRONG)


def assertions(*texts):
    """What each text asserts, with its definitions put in, as a set of numbers."""
    context = z3.Context()  # in which what is alike is one object
    parsed = [z3.parse_smt2_string(text, ctx=context) for text in texts]
    return [{item.get_id() for item in found} for found in parsed]


@pytest.mark.parametrize("arithmetic", ["integer", "machine"])
@pytest.mark.parametrize("name", ["step/tx.claim", "property/transmit-fifo", "index/tx.reclaim"])
def test_what_is_asked_with_a_hint_is_a_part_of_the_whole(name, arithmetic, monkeypatch):
    known = Catalogue.of(THEORY)
    items = [o for o in known.obligations() if (o.id, o.arithmetic) == (name, arithmetic)]
    asked = []
    monkeypatch.setattr(
        "engine.discharge.ask", lambda solver, text, seed: asked.append(text) or Answer.SATISFIABLE
    )
    whole_of = known.entries[name].question()
    for item in items:
        for hint in (read_hints(HINTS)[name], Hint(frozenset(), 1), Hint(frozenset({"?"}), 3)):
            asked.clear()
            answer_of(THEORY, whole_of, Arithmetic(item.arithmetic), (hint.rounds,), hint)
            part, whole = assertions(*asked[:2])  # its conjuncts, one by one, are behind these
            assert part < whole


# They are of use


@functools.cache
def kept_hints():
    return read_hints(HINTS)


SAMPLE = (
    *("step/tx.store_owner", "step/mark_readable", "step/rx.repost", "index/tx.reclaim"),
    *("property/transmit-fifo", "property/no-lost-packet", "deadlock/call", "deadlock/reader"),
    *("promise/tx-turn/rank", "promise/tx-turn/helper", "property/send-outcome/tx.completed"),
)


def test_most_of_a_sample_is_proved_with_hints_alone():
    known = Catalogue.of(THEORY)
    hinted = [item for item in SAMPLE if item in known.entries]
    assert len(hinted) > len(SAMPLE) // 2
    by_hint = [
        name
        for name in hinted
        if answer_of(
            THEORY,
            known.entries[name].question(),
            known.entries[name].arithmetics[0],
            (),
            kept_hints().get(name),
        )
        is Answer.UNSATISFIABLE
    ]
    missing = sorted(set(hinted) - set(by_hint))
    assert len(by_hint) >= 0.8 * len(hinted), f"{missing}: python -m proofs.check --write-hints"


def test_hints_leave_most_hypotheses_out():
    known = Catalogue.of(THEORY)
    question = known.entries["property/transmit-fifo"].question()
    everything = Instantiator(THEORY.protocol.symbols, THEORY.ordinary, 1).hypotheses(
        [~claim for _, claim in question.parts]
    )
    needed = kept_hints()["property/transmit-fifo"].needed
    assert len(needed & set(everything.values())) < len(everything) / 4


def test_hints_exist_for_most_questions_and_stay_small():
    known = Catalogue.of(THEORY)
    asked = [item for item in known.obligations() if known.entries[item.id].question is not None]
    topics = {known.topic_of(item) for item in asked}
    assert len(topics & set(kept_hints())) > 0.8 * len(topics)
    assert HINTS.stat().st_size < 1 << 20


# Finding them


def test_a_core_names_what_contradicts_itself():
    text = (
        "(declare-const x Int)\n(assert (! (< x 0) :named low))\n(assert (! (< x 9) :named more))\n"
        "(assert (! (> x 0) :named high))\n(check-sat)\n"
    )
    assert core(text) == {"low", "high"}
    assert core(text.replace("(> x 0)", "(> x (- 9))")) is None


def test_what_is_not_needed_is_left_out_of_a_text():
    lines = [
        "(declare-const x Int)",
        "(declare-const y Int)",
        *("(assert (> x 1))", "(assert (> y 0))", "(assert (< x 1))", "(assert (< y 9))"),
        "(check-sat)",
    ]
    part = narrowed("\n".join(lines))
    assert [line for line in part.splitlines() if line] == [*lines[:3], lines[4], lines[6]]
    assert ask("cvc5", part) is Answer.UNSATISFIABLE
    assert narrowed("\n".join(lines).replace("(< x 1)", "(< x 9)")) is None


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_what_is_false_is_refuted_by_either_solver_however_it_is_asked(solver, paired):
    known = Catalogue(WHOLE, WHOLE.faulty("forgets"))
    results = {
        item.id: discharge(known, item, solver=solver, paired=paired).result
        for item in known.obligations()
    }
    assert {name for name, result in results.items() if result != "proved"} == {"step/take"}


def test_z3_is_asked_once_where_cvc5_is_asked_too(monkeypatch):
    monkeypatch.setattr("engine.discharge.ask", None)
    known = Catalogue(WHOLE)
    item = next(item for item in known.obligations() if item.id == "step/take")
    assert discharge(known, item, paired=True).result == "proved"


def test_a_hint_that_was_found_is_enough():
    for item in RIGHT.obligations():
        hint, entry = find_hint(RIGHT, item), RIGHT.entries[item.id]
        if hint is not None:
            asked = (WHOLE, entry.question(), Arithmetic(item.arithmetic), (), hint)
            assert answer_of(*asked) is Answer.UNSATISFIABLE


def test_what_is_not_proved_has_no_hint():
    (item,) = [o for o in WRONG.obligations() if (o.id, o.arithmetic) == ("step/take", "integer")]
    assert find_hint(WRONG, item) is None


# The file


TOPIC = st.text("abcdefgh./-_", min_size=1, max_size=20).map(lambda name: f"step/{name}")
NAME = st.builds(
    lambda conjunct, mark: conjunct + mark,
    st.text("abcdefgh.-", min_size=1, max_size=12),
    st.just("") | st.text("0123456789abcdef", min_size=8, max_size=8).map("@{}".format),
)


@settings(deadline=None)
@given(hints=st.dictionaries(TOPIC, st.builds(Hint, st.frozensets(NAME), st.integers(1, 3))))
def test_what_is_written_is_read(tmp_path_factory, hints):
    path = tmp_path_factory.mktemp("hints") / "hints.txt"
    write_hints(path, hints)
    assert read_hints(path) == hints
    before = path.read_bytes()
    write_hints(path, dict(reversed(hints.items())))
    assert path.read_bytes() == before


@settings(deadline=None)
@given(content=st.binary(max_size=300))
def test_garbage_is_no_hint_and_no_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("hints") / "hints.txt"
    path.write_bytes(content)
    assert all(hint.rounds in (1, 2, 3) for hint in read_hints(path).values())


def test_no_file_is_no_hint(tmp_path):
    assert read_hints(None) == read_hints(tmp_path / "none") == read_hints(tmp_path) == {}


def test_hints_for_two_questions_serve_both():
    one, two = Hint(frozenset("ab"), 1), Hint(frozenset("bc"), 2)
    assert joined(one, two) == Hint(frozenset("abc"), 2)
    assert joined(None, one) == one


# The command


def test_hints_are_written_by_the_command(tmp_path, capsys):
    path = tmp_path / "hints.txt"
    theory = attrs.evolve(WHOLE, hints=path)
    path.write_text("step/gone 1: box.full\nstep/take 1: nonsense\nstep/put 1: nonsense\n")
    assert main(theory, ["--write-hints", "--jobs", "1", "--only", "step/take"]) == 0
    hints = read_hints(path)
    assert set(hints) == {"step/take", "step/put"}
    assert hints["step/put"].needed == {"nonsense"}
    assert hints["step/take"].needed == {"box.full"}
    assert main(theory, ["--write-hints", "--jobs", "2"]) == 0
    assert set(read_hints(path)) == set(TOPICS) - {
        name for name in TOPICS if name.startswith(("vacuity/", "rule/", "initial/"))
    }
    assert re.search(r"\d hints are in .*hints\.txt \(0 KiB\), after ", capsys.readouterr().out)
    assert main(theory, ["--jobs", "1"]) == main(theory, ["--jobs", "1", "--no-hints"]) == 0


def test_hints_are_used_unless_they_are_not_wanted(tmp_path, monkeypatch):
    path = tmp_path / "hints.txt"
    write_hints(path, {"step/take": Hint(frozenset({"box.full"}))})
    seen = []

    def discharged(known, item, *, past, **options):
        seen.append(past.hints)
        return discharge(known, item, past=past, **options)

    monkeypatch.setattr("engine.discharge.discharge", discharged)
    monkeypatch.setattr("engine.command.main.run", one_by_one)
    theory = attrs.evolve(WHOLE, hints=path)
    for options, expected in (((), ["step/take"]), (("--no-hints",), [])):
        seen.clear()
        assert main(theory, ["--only", "step/take", *options]) == 5
        assert [list(hints) for hints in seen] == [expected, expected]


def one_by_one(source, batches, jobs):
    from engine.command.work import perform

    for batch in batches:
        for task in batch:
            yield from perform(source, task)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "--write-hints has no file to write: this theory names none"),
        (("--fault", "forgets"), "--write-hints does nothing else; leave --fault out"),
        (("--list",), "--write-hints does nothing else; leave --list out"),
    ],
)
def test_what_hints_cannot_be_written_for_is_told(options, line, tmp_path, capsys):
    theory = attrs.evolve(WHOLE, hints=tmp_path / "hints.txt" if options else None)
    assert main(theory, ["--write-hints", *options]) == 3
    assert capsys.readouterr().err == f"tests.box: {line}\n"


# What the solvers are told


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_a_solver_that_runs_out_of_work_does_not_know(solver, monkeypatch):
    known, texts = Catalogue.of(THEORY), []
    item = next(item for item in known.obligations() if item.id == "step/tx.claim")
    monkeypatch.setattr(
        "engine.discharge.ask", lambda _, text, seed: texts.append(text) or Answer.UNSATISFIABLE
    )
    discharge(known, item)
    monkeypatch.setitem(OPTIONS, solver, {**OPTIONS[solver], "rlimit": 500})
    assert ask(solver, texts[0]) is Answer.UNKNOWN
