"""What README promises is what is proved: each sentence names its properties, and none is left out.

README's table under `What is proved` has one sentence a row: its kind, what it claims, and the
properties behind it. Whoever states a property names it in a row there, or writes a row for it;
whoever states a property of steps also gives it a row in docs/proof.md, which the failing test
prints.
"""

import inspect
import re
from functools import cache
from pathlib import Path

import attrs
import pytest

from engine.obligations import Catalogue
from engine.races import NO_ACCESS_AFTER_FREE, RACE_FREEDOM
from proofs.theory import THEORY

ROOT = Path(__file__).resolve().parent.parent
PROMISES = "What is proved"
OUTCOMES = "What callers are told"
IDS = re.compile(r"`[a-z][a-z0-9_-]*`(?: `[a-z][a-z0-9_-]*`)*")


@attrs.frozen
class Sentence:
    """A row of README's table."""

    kind: str
    claim: str
    ids: tuple[str, ...]


@cache
def proved():
    """The properties, by the kind of sentence that may stand on them."""
    states = {item.name for item in THEORY.properties} | {RACE_FREEDOM, NO_ACCESS_AFTER_FREE}
    steps = {item.name for item in THEORY.steps}
    promises = {item.property for item in THEORY.promises}
    everything = {entry.property for entry in Catalogue(THEORY).entries.values()}
    assert states | steps | promises < everything
    return {
        "safety": frozenset(states),
        "outcome": frozenset(steps),
        "liveness": frozenset(promises),
        "proof": frozenset(everything - states - steps - promises),
    }


def section(document, heading):
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no section {heading!r}"
    return found[1]


def rows(text):
    """The cells of each row of a section's tables, without head and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rule = [set("".join(row)) == {"-"} for row in cells].index(True)
    return cells[rule + 1 :]


def sentences(text):
    return [
        Sentence(kind, claim, tuple(re.findall(r"`([^`]*)`", ids)))
        for kind, claim, ids in rows(text)
    ]


def complaints(text, known):
    """What is wrong with a table of promises, where these are the properties of each kind."""
    found = []
    said = {kind: set() for kind in known}
    for kind, claim, ids in rows(text):
        if kind not in known:
            found.append(f"{kind!r} is no kind of sentence; there are {', '.join(known)}")
            continue
        if not claim.endswith(".") or ". " in claim:
            found.append(f"is not one sentence: {claim}")
        if not IDS.fullmatch(ids):
            found.append(f"names no properties, or something else beside them: {claim} | {ids}")
        for name in re.findall(r"`([^`]*)`", ids):
            if name in known[kind]:
                said[kind].add(name)
            else:
                others = [other for other in known if name in known[other]]
                what = f"is of kind {' and '.join(others)}, not {kind}" if others else "is unknown"
                found.append(f"{name} {what}: {claim}")
    for kind in known:
        found += [f"{name} ({kind}) stands behind no sentence" for name in known[kind] - said[kind]]
    return sorted(found)


# What README promises


def test_each_sentence_names_its_properties_and_each_property_has_a_sentence():
    wrong = complaints(section("README.md", PROMISES), proved())
    assert wrong == [], "put it right in the table of README.md, What is proved"


def test_no_sentence_is_said_twice():
    claims = [item.claim for item in sentences(section("README.md", PROMISES))]
    assert len(set(claims)) == len(claims) > len(proved())


def test_a_property_that_is_also_a_promise_has_a_sentence_of_each_kind():
    kinds = {
        item.kind
        for item in sentences(section("README.md", PROMISES))
        if "recoverability" in item.ids
    }
    assert kinds == {"safety", "liveness"}


def rows_of_kind(kind):
    """The lines of README's table that are of this kind."""
    lines = section("README.md", PROMISES).splitlines()
    return [line for line in lines if line.startswith(f"| {kind} |")]


def new_complaints(text, known):
    """What is wrong now and was not before."""
    return set(complaints(text, known)) - set(complaints(section("README.md", PROMISES), proved()))


@pytest.mark.parametrize("name", sorted(set().union(*proved().values())))
def test_renaming_any_property_is_noticed(name):
    text = section("README.md", PROMISES)
    renamed = {
        kind: frozenset(f"{item}-2" if item == name else item for item in names)
        for kind, names in proved().items()
    }
    found = new_complaints(text, renamed)
    assert [item for item in found if item.startswith(f"{name} is unknown")]
    assert [item for item in found if item.startswith(f"{name}-2 (")]


@pytest.mark.parametrize("kind", list(proved()))
def test_a_sentence_that_loses_its_properties_is_noticed(kind):
    row = rows_of_kind(kind)[0]
    [[_, claim, ids]] = rows(f"|---|\n{row}")
    found = new_complaints(section("README.md", PROMISES).replace(ids, ""), proved())
    assert f"names no properties, or something else beside them: {claim} | " in found
    assert [item for item in found if item.endswith("stands behind no sentence")]


def test_a_sentence_that_is_added_to_another_is_noticed():
    [[_, claim, _]] = rows(f"|---|\n{rows_of_kind('liveness')[0]}")
    longer = f"{claim} Nothing ever goes wrong."
    found = new_complaints(section("README.md", PROMISES).replace(claim, longer), proved())
    assert found == {f"is not one sentence: {longer}"}


def test_a_new_property_without_a_sentence_is_noticed():
    for kind in proved():
        known = {**proved(), kind: proved()[kind] | {"late-outcome"}}
        found = new_complaints(section("README.md", PROMISES), known)
        assert found == {f"late-outcome ({kind}) stands behind no sentence"}


def test_liveness_that_is_claimed_of_a_safety_property_is_noticed():
    row = rows_of_kind("safety")[0]
    [[_, _, ids]] = rows(f"|---|\n{row}")
    text = section("README.md", PROMISES).replace(row, row.replace("| safety |", "| liveness |"))
    found = new_complaints(text, proved())
    for name in re.findall(r"`([^`]*)`", ids):
        assert [item for item in found if item.startswith(f"{name} is of kind safety")]


# What docs/proof.md says of the same properties


def row_for(item):
    """The row of a property of steps: its name, and the whole of what its docstring says."""
    return [f"`{item.name}`", " ".join(inspect.getdoc(item.body).split())]


def as_line(row):
    return f"| {' | '.join(row)} |"


@pytest.mark.parametrize("item", THEORY.steps, ids=lambda item: item.name)
def test_a_property_of_steps_says_in_the_document_what_it_says_in_the_source(item):
    assert row_for(item) in rows(section("docs/proof.md", OUTCOMES)), as_line(row_for(item))


def test_the_table_of_outcomes_has_them_in_order_and_nothing_else():
    names = [name for name, _ in rows(section("docs/proof.md", OUTCOMES))]
    assert names == [f"`{item.name}`" for item in THEORY.steps]


def test_as_many_properties_are_stated_as_the_document_says():
    text = " ".join((ROOT / "docs" / "proof.md").read_text(encoding="utf-8").split())
    counts = [len(of) for of in (THEORY.properties, THEORY.steps, THEORY.promises)]
    said = re.search(r"short: (\d+) of states, (\d+) of steps, and (\d+) promises", text)
    assert said, "docs/proof.md does not count the properties"
    assert [int(count) for count in said.groups()] == counts


def test_the_document_names_each_property_that_no_fault_breaks():
    text = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
    listed = re.search(r"have no fault of\s+their own\s+\(([^)]*)\)", text)
    broken = {fault.property for fault in THEORY.faults}
    kinds = proved()
    stated = kinds["safety"] | kinds["outcome"] | kinds["liveness"]
    assert set(re.findall(r"`([^`]*)`", listed[1])) == stated - broken
