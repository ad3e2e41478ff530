"""Kept answers: what is believed of a file, and what it takes to believe it."""

import json
import multiprocessing
import re
from xml.etree import ElementTree

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import answers as module
from engine.answers import HEAD, Answers, ForeignFileError, key_of
from engine.command.main import main
from engine.discharge import NOTHING, Past, discharge
from engine.obligations import Catalogue
from engine.question import Entry
from engine.solvers import Answer
from tests.test_theory import WHOLE

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

KEYS = st.text("0123456789abcdef", min_size=64, max_size=64)
SETTINGS = settings(max_examples=200, deadline=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A file that does not exist yet, each time that it is called."""
    folder = tmp_path_factory.mktemp("answers")
    return lambda: folder / f"{len(list(folder.iterdir()))}"


def believed(path, keys):
    try:
        found = Answers(path)
    except ForeignFileError:
        return set()
    return {key for key in keys if key in found}


# What a question is known by


def test_a_key_covers_everything_that_an_answer_depends_on(monkeypatch):
    keys = {key_of("z3", "(check-sat)", 0)}
    for solver, text, seed in (
        ("cvc5", "(check-sat)", 0),
        ("z3", "(check-sat) ", 0),
        ("z3", "(check-sat)", 1),
    ):
        keys.add(key_of(solver, text, seed))
    with monkeypatch.context() as other:
        other.setattr(module, "version", lambda solver: "0.1")
        keys.add(key_of("z3", "(check-sat)", 0))
    for option in module.OPTIONS["z3"]:
        with monkeypatch.context() as other:
            told = {**module.OPTIONS["z3"], option: 1}
            other.setattr(module, "OPTIONS", {**module.OPTIONS, "z3": told})
            keys.add(key_of("z3", "(check-sat)", 0))
    assert len(keys) == 5 + len(module.OPTIONS["z3"])
    assert "rlimit" in module.OPTIONS["z3"]
    assert "rlimit" in module.OPTIONS["cvc5"]


# The file


@SETTINGS
@given(kept=st.sets(KEYS, max_size=5), asked=st.sets(KEYS, max_size=5))
def test_what_was_kept_is_known_and_nothing_else(place, kept, asked):
    path = place()
    first = Answers(path)
    for key in [*kept, *kept]:
        first.add(key)
    again = Answers(path)
    assert len(again) == len(kept)
    assert {key for key in kept | asked if key in again} == kept


@SETTINGS
@given(data=st.data(), kept=st.lists(KEYS, min_size=1, max_size=4, unique=True))
def test_a_damaged_file_is_never_believed_wrongly(place, data, kept):
    path = place()
    first = Answers(path)
    for key in kept:
        first.add(key)
    whole = path.read_bytes()
    at = data.draw(st.integers(len(HEAD), len(whole) - 1) | st.integers(0, len(whole) - 1))
    bytes_ = st.sampled_from([b"0", b"5", b"f"]) | st.binary(max_size=2)
    instead = data.draw(bytes_.filter(lambda some: some != whole[at : at + 1]))
    path.write_bytes(whole[:at] + instead + whole[at + 1 :])
    damaged = path.read_bytes()
    try:
        found = Answers(path)
    except ForeignFileError:
        assert not damaged.startswith(HEAD)
        return
    # Whatever is believed was kept: nobody has to know the key that a changed line spells.
    spelt = {line[:64].decode("ascii", "replace") for line in damaged[len(HEAD) :].splitlines()}
    assert {key for key in spelt | set(kept) if key in found} <= set(kept)
    assert len(found) >= len(kept) - 2
    path.write_bytes(whole[:at])  # ended in the middle
    assert believed(path, kept) <= set(kept)


@SETTINGS
@given(content=st.binary(min_size=1, max_size=200))
def test_a_foreign_file_is_refused_and_left_alone(place, content):
    path = place()
    path.write_bytes(content)
    with pytest.raises(ForeignFileError, match="does not hold kept answers"):
        Answers(path)
    assert path.read_bytes() == content


def test_a_file_of_another_format_is_foreign(tmp_path):
    path = tmp_path / "answers"
    path.write_bytes(HEAD.replace(b"format 1", b"format 2"))
    with pytest.raises(ForeignFileError):
        Answers(path)


def append(path, first, count):
    kept = Answers(path)
    for number in range(first, first + count):
        kept.add(f"{number:064x}")


def test_runs_at_the_same_time_do_not_mix_their_answers_up(tmp_path):
    path = tmp_path / "answers"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=append, args=(path, 1000 * number, 300)) for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = Answers(path)
    assert len(found) == 4 * 300
    assert all(f"{1000 * n + at:064x}" in found for n in range(4) for at in range(300))


def test_an_answer_that_cannot_be_written_is_asked_again(tmp_path):
    path = tmp_path / "nowhere" / "answers"
    Answers(path).add("0" * 64)
    assert "0" * 64 not in Answers(path)


def test_what_this_run_has_proved_is_no_earlier_answer(tmp_path):
    found = Answers(tmp_path / "answers")
    found.add("0" * 64)
    assert "0" * 64 not in found
    assert "0" * 64 in Answers(tmp_path / "answers")


def test_a_file_that_has_grown_too_long_keeps_its_younger_half(tmp_path, monkeypatch):
    path = tmp_path / "answers"
    append(path, 0, 21)
    monkeypatch.setattr(module, "MOST", 20)
    found = Answers(path)
    assert [number for number in range(21) if f"{number:064x}" in found] == list(range(11, 21))
    assert len(Answers(path)) == 10
    assert list(tmp_path.iterdir()) == [path]


# Deciding


def named(known, name, arithmetic="integer"):
    found = [item for item in known.obligations() if (item.id, item.arithmetic) == name]
    found += [o for o in known.obligations() if (o.id, o.arithmetic) == (name, arithmetic)]
    return found[0]


@pytest.mark.parametrize("said", [Answer.SATISFIABLE, Answer.UNKNOWN])
def test_only_what_is_proved_is_kept(said, tmp_path, monkeypatch):
    path = tmp_path / "answers"
    monkeypatch.setattr("engine.discharge.ask", lambda solver, text, seed: said)
    known = Catalogue(WHOLE)
    verdict = discharge(known, named(known, "step/take"), past=Past(answers=Answers(path)))
    assert verdict.result != "proved"
    assert not path.exists()


def test_what_is_proved_again_is_not_asked_again(tmp_path, monkeypatch):
    path = tmp_path / "answers"
    known = Catalogue(WHOLE)
    item = named(known, "step/take")
    first = discharge(known, item, past=Past(answers=Answers(path)))
    assert (first.result, first.kept) == ("proved", False)
    monkeypatch.setattr("engine.discharge.ask", None)
    again = discharge(known, item, past=Past(answers=Answers(path)))
    assert (again.result, again.kept) == ("proved", True)


def planted(known, item, path, monkeypatch):
    """An answer in the file that is false, and has the right key and checksum."""
    asked = []
    with monkeypatch.context() as listening:
        listening.setattr(
            "engine.discharge.ask",
            lambda solver, text, seed: asked.append((solver, text, seed)) or Answer.UNKNOWN,
        )
        discharge(known, item)
    file = Answers(path)
    for solver, text, seed in asked:
        file.add(key_of(solver, text, seed))
    return asked


def test_a_fresh_run_believes_no_file_whatever_it_says(tmp_path, monkeypatch):
    path = tmp_path / "answers"
    known = Catalogue(WHOLE, WHOLE.faulty("forgets"))
    item = named(known, "step/take")
    assert planted(known, item, path, monkeypatch)
    # The file guards against accidents, not against who computes its checksums.
    assert discharge(known, item, past=Past(answers=Answers(path))).kept
    assert discharge(known, item, past=NOTHING).result == "refuted"


@pytest.mark.parametrize(
    "change", ["seed", "solver", "version", "limit", "ring_size", "arithmetic", "rule"]
)
def test_an_answer_to_another_question_is_not_believed(change, tmp_path, monkeypatch):
    path = tmp_path / "answers"
    known = Catalogue(WHOLE)
    assert discharge(known, named(known, "step/take"), past=Past(answers=Answers(path))).result
    options = {}
    item = named(known, "step/take", "machine" if change == "arithmetic" else "integer")
    if change in ("seed", "solver", "ring_size"):
        options[change] = {"seed": 1, "solver": "cvc5", "ring_size": 2}[change]
    elif change == "version":
        monkeypatch.setattr(module, "version", lambda solver: "0.1")
    elif change == "limit":
        less = {**module.OPTIONS["z3"], "rlimit": 1000}
        monkeypatch.setattr(module, "OPTIONS", {**module.OPTIONS, "z3": less})
    elif change == "rule":
        known = Catalogue(WHOLE, WHOLE.faulty("forgets"))
    found = discharge(known, item, past=Past(answers=Answers(path)), **options)
    assert not found.kept
    assert found.result == ("refuted" if change == "rule" else "proved")


def test_a_text_of_its_own_is_kept_too(tmp_path):
    known = Catalogue(attrs.evolve(WHOLE, promises=()))
    known.entries["own/text"] = Entry(
        "own/text", "own", "lemma", "False is false.", None, text="(assert false)\n(check-sat)\n"
    )
    item = named(known, "own/text")
    path = tmp_path / "answers"
    found = [discharge(known, item, past=Past(answers=Answers(path))).kept for _ in range(2)]
    assert found == [False, True]


# The command


def run(path, *options):
    report = path.with_suffix(".json")
    arguments = ["--jobs", "2", "--json", str(report), *options]
    assert main(WHOLE, arguments) == 0
    data = json.loads(report.read_text())
    return data, {(e["id"], e["arithmetic"]) for e in data["obligations"] if e["kept"]}


def test_a_second_run_says_which_answers_were_kept(tmp_path, capsys, monkeypatch):
    path = tmp_path / "answers"
    data, kept = run(path, "--answers", str(path))
    assert (kept, data["summary"]["kept"]) == (set(), 0)
    assert "kept" not in capsys.readouterr().out
    monkeypatch.setattr("engine.discharge.ask", None)
    data, kept = run(path, "--answers", str(path), "--junit", str(tmp_path / "result.xml"))
    # The rest is true by its form.
    names = {name for name, _ in kept}
    assert {"step/take", "property/taken", "rule/fair-run", "vacuity/rule/take"} <= names
    assert data["summary"]["kept"] == len(kept) > 9
    assert (data["summary"]["faults_replayed"], data["faults"][0]["replayed"]) == (1, True)
    told = rf"s; {len(kept)} answers kept from earlier runs, 1 fault shown by a run replayed\.$"
    assert re.search(told, capsys.readouterr().out, re.MULTILINE)
    cases = ElementTree.parse(tmp_path / "result.xml").getroot().iter("testcase")
    notes = [case.findtext("system-out") for case in cases]
    assert notes.count("kept from an earlier run") == len(kept)


def test_fresh_neither_reads_nor_writes(tmp_path):
    path = tmp_path / "answers"
    run(path, "--answers", str(path))
    theory = attrs.evolve(WHOLE, answers=path)
    before = path.read_bytes()
    report = tmp_path / "report.json"
    assert main(theory, ["--jobs", "1", "--fresh", "--json", str(report)]) == 0
    assert json.loads(report.read_text())["summary"]["kept"] == 0
    assert path.read_bytes() == before
    path.write_bytes(b"foreign")
    assert main(theory, ["--jobs", "1", "--fresh"]) == 0
    assert path.read_bytes() == b"foreign"


def test_a_foreign_file_is_told_in_one_line(tmp_path, capsys):
    path = tmp_path / "answers"
    path.write_text("dear diary")
    assert main(WHOLE, ["--answers", str(path)]) == 3
    assert capsys.readouterr().err == (
        f"tests.box: {path} does not hold kept answers, and is left as it is; move it away, name "
        "another file with --answers, or ask everything anew with --fresh\n"
    )
    assert path.read_text() == "dear diary"


def test_fresh_and_a_file_of_answers_exclude_each_other(tmp_path, capsys):
    assert main(WHOLE, ["--fresh", "--answers", str(tmp_path / "answers")]) == 3
    assert (
        capsys.readouterr().err == "tests.box: --fresh uses no kept answers; leave --answers out\n"
    )
