"""Rules changed mechanically: which changes there are, and that what is proved notices them."""

from __future__ import annotations

import json
import os

import attrs
import pytest

from engine.discharge import answer_of
from engine.hints import Hint
from engine.mutants import SAME, changed, does_the_same, killer, mutants
from engine.obligations import Catalogue
from engine.samples import Samples
from engine.solvers import Answer
from examples.mailbox.proof import THEORY as MAILBOX
from proofs import mutation
from proofs.mutation import Findings, main, read_survivors, selected
from proofs.theory import THEORY
from tests.test_theory import WHOLE


def named(theory, rule, place, change):
    """The mutant of a rule whose place and change begin so."""
    found = [
        item
        for item in mutants(theory.specification().named(rule))
        if item.place.startswith(place) and item.change.startswith(change)
    ]
    assert found, [item.name for item in mutants(theory.specification().named(rule))]
    return found[0]


def test_a_small_rule_has_these_mutants_and_each_but_one_is_noticed():
    """A message may be put where one is already: no property of the box says that none is lost."""
    samples = Samples(WHOLE.specification(), WHOLE.settings)
    found = {
        item.name: killer(WHOLE, item, samples)
        for name in ("put", "take")
        for item in mutants(WHOLE.specification().named(name))
    }
    assert found == {
        "put: guard 0: dropped": "declarations",
        "put: guard 0: negated (part 0)": "declarations",
        "put: guard 0: 0 becomes 1 (part 4)": "vacuity/rule/put",
        "put: guard 1: dropped": "",
        "put: guard 1: negated (part 1)": "vacuity/rule/put",
        "put: box.sent: dropped": "step/put",
        "put: box.sent: 1 becomes 2 (part 2)": "step/put",
        "put: box.message: dropped": "step/put",
        "put: box.message: 1 becomes 2 (part 2)": "step/put",
        "put: box.full: dropped": "step/put",
        "put: box.full: True becomes False (part 0)": "step/put",
        "take: guard 0: dropped": "step/take",
        "take: guard 0: negated (part 0)": "step/take",
        "take: box.got: dropped": "step/take",
        "take: box.full: dropped": "promise/taken/step/take",
        "take: box.full: False becomes True (part 0)": "promise/taken/step/take",
    }


def test_what_is_asked_of_a_mutant_is_what_differs_in_the_whole_catalogue():
    before = Catalogue.of(MAILBOX)
    for mutant in list(mutants(MAILBOX.specification().named("hand_over")))[::4]:
        after = Catalogue(MAILBOX, mutant.within(MAILBOX.specification()))
        different = set()
        for name, entry in after.entries.items():
            if entry.question is None:
                continue
            new, old = entry.question(), before.entries.get(name)
            terms = [*new.given, *(claim for _, claim in new.parts)]
            known = old.question() if old is not None and old.question is not None else None
            same = known is not None and [*map(id, terms)] == [
                *map(id, [*known.given, *(claim for _, claim in known.parts)])
            ]
            if not same:
                different.add(name)
        asked = {entry.id for entry, _ in changed(MAILBOX, mutant)}
        # What asks less than before needs no new answer.
        assert asked <= different, mutant.name
        for name in different - asked:
            old, new = before.entries[name].question, after.entries[name].question
            assert old is not None
            assert new is not None
            assert {id(claim) for _, claim in new().parts} <= {
                id(claim) for _, claim in old().parts
            }


def test_most_mutants_of_the_mailbox_are_noticed():
    samples = Samples(MAILBOX.specification(), MAILBOX.settings)
    found = {
        item.name: killer(MAILBOX, item, samples, runs=False)
        for step in MAILBOX.specification().transitions
        for item in mutants(step)
    }
    killed = sum(map(bool, found.values()))
    assert killed >= 0.8 * len(found)
    assert found["box.flag_visible: guard release: data before flag: dropped"].startswith("step/")


@pytest.mark.parametrize(
    ("rule", "place", "change", "by"),
    [
        ("tx.fetch", "guard", "2 becomes 3", "promise/tx-request/step/tx.fetch"),
        ("tx.owner_visible", "guard release: payload", "dropped", "step/tx.owner_visible"),
    ],
)
def test_mutants_of_the_card_and_its_driver_are_noticed(rule, place, change, by, few):
    found = killer(THEORY, named(THEORY, rule, place, change), few, runs=False)
    assert found == by


@pytest.fixture(scope="module")
def few():
    """Samples of short runs of the card and its driver."""
    settings = [attrs.evolve(item, steps=20_000) for item in THEORY.settings]
    return Samples(THEORY.specification(), settings)


def test_the_mutants_have_names_of_their_own():
    everything = selected("*", None, 0)
    assert len({item.name for item in everything}) == len(everything) > 4000
    drawn = [item.name for item in selected("tx.*", 5, seed=3)]
    assert drawn == [item.name for item in selected("tx.*", 5, seed=3)]
    assert all(name.startswith("tx.") for name in drawn)


def test_every_pattern_of_the_survivors_matches_a_mutant_and_has_a_reason(tmp_path):
    names = [item.name for item in selected("*", None, 0)]
    for pattern in read_survivors():
        assert any(mutation.fnmatchcase(name, pattern) for name in names), pattern
    wrong = tmp_path / "survivors.toml"
    wrong.write_text('[[survivor]]\nname = "x"\n')
    with pytest.raises(ValueError, match="every survivor has one name and a reason"):
        read_survivors(wrong)


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path):
    path = tmp_path / "findings.jsonl"
    one, two = selected("tx.claim", 2, seed=0)
    Findings(path, "state").add(one, "step/tx.claim")
    Findings(path, "state").add(two, "")
    with path.open("a", encoding="utf-8") as file:
        file.write('{"mutant": "tx.cl')
    assert Findings(path, "state").by_name == {one.name: "step/tx.claim", two.name: ""}
    assert Findings(path, "another").by_name == {}
    assert json.loads(path.read_text()) == {"state": "another"}


def test_hints_change_no_verdict_on_a_mutant():
    hints = {topic: Hint(frozenset(), 1) for topic in ("step/take", "step/put", "promise/taken")}
    samples = Samples(WHOLE.specification(), ())
    for item in (one for step in WHOLE.specification().transitions for one in mutants(step)):
        assert killer(WHOLE, item, samples, hints=hints) == killer(WHOLE, item, samples)


def test_of_a_fixed_sample_each_change_of_the_card_is_noticed_or_has_its_reason(tmp_path, capsys):
    """One in a hundred of what `make mutation ARGS=model` tries."""
    arguments = ["model", "--sample", "44", "--seed", "1", "--no-runs", "--jobs", "2"]
    status = main([*arguments, "--findings", str(tmp_path / "findings.jsonl")])
    said = capsys.readouterr().out
    assert status == 0, said
    assert "0 of these without a reason" in said


def test_a_survivor_without_a_reason_is_told(tmp_path, monkeypatch, capsys):
    asked = []

    def notices(theory, mutant, samples, *, runs, exact, hints):
        asked.append(mutant.name)
        return "" if len(asked) == 2 else "step/x"

    monkeypatch.setattr(mutation, "killer", notices)
    arguments = ["model", "--rules", "tx.claim", "--sample", "3", "--no-runs", "--jobs", "1"]
    arguments += ["--findings", str(tmp_path / "findings.jsonl")]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "2 of 3 mutants are killed (66.7 %), 1 survive, 1 of these without a reason." in out
    assert f"survives: {asked[1]}\n" in out
    assert main(arguments) == 1
    assert len(asked) == 3
    monkeypatch.setattr(mutation, "read_survivors", lambda: {asked[1]: "It means nothing."})
    assert main(arguments) == 0
    monkeypatch.setattr(mutation, "read_survivors", lambda: dict.fromkeys(asked, "Why."))
    assert main(arguments) == 1
    assert f"listed, and killed by step/x: {asked[0]}" in capsys.readouterr().out


def test_mistakes_in_the_options_are_told(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--rules", "nothing"])
    assert left.value.code == 2
    assert "--rules 'nothing' matches no rule" in capsys.readouterr().err


def test_a_rule_that_no_longer_says_what_it_does_is_noticed():
    mutant = next(
        item
        for item in selected("tx.*", None, 0)
        if item.place.startswith("load ") and item.change == "dropped"
    )
    assert (
        killer(THEORY, mutant, Samples(MAILBOX.specification(), ()), runs=False) == "declarations"
    )


# Changes that change nothing


@pytest.mark.parametrize(
    ("rule", "place", "change", "same"),
    [
        # The card reports a broken protocol never, so what it would do then makes no difference.
        ("cmd.execute", "card.flags", "or without its part 2", True),
        ("write_reset", "guard 0", "and without its part 2", True),
        ("tx.reclaim", "tx.cons", "1 becomes 2", False),
        ("tx.claim", "guard 0", "dropped", False),
    ],
)
def test_a_change_that_changes_nothing_is_proved_to(rule, place, change, same):
    assert does_the_same(THEORY, named(THEORY, rule, place, change)) is same


def test_a_change_of_what_is_declared_is_one():
    mutant = named(THEORY, "close_last", "wake ", "dropped")
    assert not does_the_same(THEORY, mutant)


def test_mutants_that_are_the_same_are_not_counted(capsys):
    found = {"a": "step/a", "b": SAME, "c": "", "d": SAME}
    assert mutation._judge(found, {}) == 1
    out = capsys.readouterr().out
    assert "1 of 2 mutants are killed (50.0 %), 1 survive, 1 of these without a reason." in out
    assert "2 more are proved to do the same" in out


# Several processes


def test_several_processes_find_what_one_finds():
    chosen = selected("tx.claim", 4, seed=0)
    work = mutation._Work(chosen, False, False, {})
    alone = dict(work.results(range(4), 1))
    assert dict(work.results(range(4), 2)) == alone
    assert set(alone) == set(range(4))


def test_a_process_that_ends_in_the_middle_is_told(monkeypatch):
    monkeypatch.setattr(mutation, "killer", lambda *_, **__: os._exit(3))
    work = mutation._Work(selected("tx.claim", 2, seed=0), False, False, {})
    with pytest.raises(RuntimeError, match="a process ended before its mutants were tried"):
        list(work.results(range(2), 2))


# States that are reached, before a solver is asked


def test_what_is_proved_is_refuted_by_no_state_that_is_reached():
    samples = Samples(MAILBOX.specification(), MAILBOX.settings)
    for step in MAILBOX.specification().transitions:
        for entry in Catalogue.of(MAILBOX).entries.values():
            if entry.question is not None:
                assert not samples.refute(step, entry.question()), (step.rule.name, entry.id)


@pytest.mark.parametrize("name", ["tx.reclaim", "rx.repost", "cmd.execute", "write_reset"])
def test_nothing_that_is_proved_of_these_rules_is_refuted_by_a_state(name, few):
    step = THEORY.specification().named(name)
    entries = Catalogue.of(THEORY).entries.values()
    about = [entry for entry in entries if entry.id.endswith(f"/{name}") and entry.question]
    assert len(about) > 10
    assert not [entry.id for entry in about if few.refute(step, entry.question())]


def test_what_a_state_refutes_the_solver_does_not_prove():
    samples = Samples(MAILBOX.specification(), MAILBOX.settings)
    refuted = 0
    for step in MAILBOX.specification().transitions:
        for mutant in list(mutants(step))[::3]:
            for entry, question in changed(MAILBOX, mutant):
                if samples.refute(mutant.step, question):
                    refuted += 1
                    answer = answer_of(MAILBOX, question, entry.arithmetics[0])
                    assert answer is not Answer.UNSATISFIABLE, (mutant.name, entry.id)
    assert refuted > 20
