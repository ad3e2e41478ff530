"""A part is not the whole: what `--only` leaves out is named, and is not success."""

from __future__ import annotations

import functools
import re
from xml.etree import ElementTree

import attrs
import pytest

from engine.command.main import main as command
from engine.command.work import Source
from engine.discharge import discharge
from engine.mutations import without_barrier
from engine.obligations import Catalogue
from engine.question import INVARIANT
from examples.mailbox.proof import THEORY as MAILBOX
from proofs.check import main
from proofs.theory import THEORY
from tests.test_check import MISTAKES, QUESTIONS, SOLVES_NOTHING, check, project, results

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def foundation(selected):
    """The invariant, and the rest of the same properties."""
    names = {INVARIANT, *(item.property for item in selected)} if selected else set()
    return [item for item in QUESTIONS if item.property in names]


def standing(special=None):
    """A project whose property stands on an invariant."""
    return attrs.evolve(project(special), foundation=foundation)


# What is told


def test_what_is_left_out_is_told_everywhere(tmp_path, capsys):
    file = tmp_path / "result.xml"
    status, data = results(tmp_path, "--only", "tx-order", "--junit", file, source=standing())
    assert status == data["exit_status"] == 5
    assert data["left_out"] == [{"property": "invariant", "obligations": 4}]
    assert [row["verdict"] for row in data["properties"]] == ["proved if the rest is"]
    out = capsys.readouterr().out
    assert re.search(r"^tx-order .* proved if the rest is$", out, re.MULTILINE)
    assert "All 2 obligations are proved and the one fault is caught" in out
    assert (
        "Relative to what was not checked, with the number of obligations: invariant (4). "
        "--with-premises\nchecks that as well.\n"
        "Obligations hold, if these do, for every ring size"
    ) in out
    suite = ElementTree.parse(file).getroot().find("testsuite[@name='premises']")
    assert suite is not None
    assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("1", "1", "0")
    left_out = suite.find("testcase[@name='invariant']/skipped")
    assert left_out is not None
    assert left_out.text == "4 obligations were not checked"


@pytest.mark.parametrize(
    ("globs", "left_out"),
    [
        (["property/*"], {"invariant": 4}),
        (["step/tx.claim"], {"invariant": 2}),
        (["tx-order", "step/tx.claim"], {"invariant": 2}),
        (["tx-order", "invariant"], {}),
        (["no-*"], {}),
    ],
)
def test_only_a_part_that_stands_on_something_else_is_relative(globs, left_out, tmp_path):
    arguments = [word for glob in globs for word in ("--only", glob)]
    status, data = results(tmp_path, *arguments, source=standing())
    assert {item["property"]: item["obligations"] for item in data["left_out"]} == left_out
    assert status == (5 if left_out else 0)


def test_what_is_asked_of_one_arithmetic_stands_on_that_one(tmp_path):
    arguments = ["--only", "tx-order", "--arithmetic", "machine"]
    assert results(tmp_path, *arguments, source=standing())[1]["left_out"] == [
        {"property": "invariant", "obligations": 2}
    ]


def test_the_premises_are_checked_if_they_are_asked_for(tmp_path, capsys):
    arguments = ["--only", "tx-order", "--with-premises"]
    status, data = results(tmp_path, *arguments, source=standing())
    assert (status, data["left_out"]) == (0, [])
    assert len(data["obligations"]) == len(QUESTIONS)
    assert [fault["id"] for fault in data["faults"]] == [MISTAKES[0].id]
    assert "Relative" not in capsys.readouterr().out
    assert check(*arguments, source=standing({"step/tx.claim": "refuted"})) == 1
    assert check("--only", "tx-order", source=standing({"step/tx.claim": "refuted"})) == 5


@pytest.mark.parametrize(("result", "status"), [("refuted", 1), ("unknown", 2)])
def test_what_goes_wrong_weighs_more_than_what_is_left_out(result, status, tmp_path):
    source = standing({"property/tx-order": result})
    assert results(tmp_path, "--only", "tx-order", source=source)[0] == status


def test_the_list_names_the_premises_too(capsys):
    source = attrs.evolve(SOLVES_NOTHING, foundation=foundation)
    assert main(["--list", "--only", "tx-order", "--with-premises"], source) == 0
    assert "step/tx.claim" in capsys.readouterr().out


# What stands on what


def properties_below(known: Catalogue, name: str) -> set[str]:
    """The properties that one stands on, itself included."""
    own = [item for item in known.obligations() if item.property == name]
    return {item.property for item in known.foundation(own)}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("invariant", set()),
        ("vacuity", set()),
        ("liveness-rule", set()),
        ("indices", {"invariant"}),
        ("transmit-fifo", {"invariant"}),
        ("race-freedom", {"invariant"}),
        ("no-access-after-free", {"invariant"}),
        ("deadlock-freedom", {"invariant"}),
        ("lock-progress", {"invariant", "liveness-rule"}),
        (
            "bounded-bypass",
            {
                *("invariant", "liveness-rule"),
                *("lock-progress", "failure-reported", "requests-complete"),
            },
        ),
    ],
)
def test_what_a_property_stands_on(name, others):
    assert properties_below(Catalogue.of(THEORY), name) == {name} | others


def test_an_obligation_of_a_kind_of_its_own_stands_on_the_invariant():
    known = Catalogue.of(MAILBOX)
    assert properties_below(known, "own-answer") == {"own-answer", "invariant"}
    assert known.foundation([]) == []


# A barrier that is missing


def source_of(theory, change):
    """The obligations of a changed specification."""
    known = Catalogue(theory, change(theory.specification()))
    return attrs.evolve(
        Source.of(theory),
        catalogue=known.obligations,
        discharge=functools.partial(discharge, known),
        group_of=known.group_of,
        foundation=known.foundation,
    )


def test_a_property_of_a_card_without_its_payload_barrier_is_not_simply_proved(capsys):
    change = without_barrier("tx.owner_visible", "release: payload before owner")
    source = source_of(THEORY, change)
    assert main(["--jobs", "1", "--only", "property/transmit-fifo"], source) == 5
    out = capsys.readouterr().out
    assert "All 2 obligations are proved" in out
    assert "Relative to what was not checked, with the number of obligations: invariant (" in out


def test_with_its_premises_a_property_without_its_barrier_is_refuted(capsys):
    change = without_barrier("box.flag_visible", "release: data before flag")
    source = source_of(MAILBOX, change)
    asked = ["--jobs", "1", "--only", "property/whole-request"]
    assert command(MAILBOX, asked, source) == 5
    assert "invariant (52)" in capsys.readouterr().out
    assert command(MAILBOX, [*asked, "--with-premises"], source) == 1
    assert re.search(r"^refuted: step/box\.flag_visible", capsys.readouterr().out, re.MULTILINE)
