"""The list of barriers is what specification, driver, proof and herd7 say, and names them all."""

import re
import shutil
from pathlib import Path

import pytest

from docs import draw_barriers
from docs.ask_herd7 import asked, expected, recorded
from docs.draw_barriers import DOCUMENT, document, sites, standing
from docs.draw_litmus import BY_BARRIER, FOLDER, MODELS, files, litmus_tests
from engine.mutations import barriers
from impl.barriers import INSTRUCTIONS, LINUX
from model.faults import BARRIERS
from model.system import specification

ROOT = Path(__file__).resolve().parent.parent
TABLE = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


def runs_shown():
    """The run that the document shows of each fault; `tests.test_faults` compares them."""
    shown = re.findall(
        r"--fault ([\w-]+)`\n\n</summary>\n\n```text\n(.*?)\n```",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return dict(shown)


# The document


def test_the_document_is_what_is_made():
    assert document(runs_shown()) == DOCUMENT.read_text(encoding="utf-8")


def test_it_shows_a_run_without_each_barrier():
    names = {BARRIERS[key].id for key in barriers(specification())}
    assert runs_shown().keys() == names


def test_each_barrier_that_the_driver_executes_is_one_that_the_specification_demands():
    assert len(sites()) > 0
    assert {standing(BARRIERS[key].id) for key in barriers(specification())} == set(sites())


def test_a_barrier_that_nobody_demands_is_refused(monkeypatch):
    one_more = *sites(), draw_barriers.Site("ring", 1, "ReceiveRing.copy", "fence")
    monkeypatch.setattr(draw_barriers, "sites", lambda: one_more)
    with pytest.raises(ValueError, match=r"not demand: .*ReceiveRing\.copy"):
        document(runs_shown())


def test_a_fault_that_takes_no_barrier_away_says_nothing_of_where_one_stands():
    with pytest.raises(ValueError, match="no-doorbell takes away 0 barriers of the driver"):
        standing("no-doorbell")


# Litmus tests


def test_the_files_are_those_that_are_made():
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*")}
    assert there == files().keys()
    assert {name: (FOLDER / name).read_text(encoding="utf-8") for name in there} == files()


def test_each_barrier_has_tests_with_it_and_without_it_on_each_machine():
    names = [BARRIERS[key].id.removeprefix("no-barrier-") for key in barriers(specification())]
    assert sorted(order.name for order in BY_BARRIER) == sorted(names)
    there = {(item.machine, item.name) for item in litmus_tests()}
    for key in barriers(specification()):
        name, operation = BARRIERS[key].id, standing(BARRIERS[key].id).operation
        name = name.removeprefix("no-barrier-")
        for machine in MODELS:
            assert (machine, f"{name}+po") in there
            instruction = getattr(INSTRUCTIONS[machine], operation).text
            assert ((machine, f"{name}+{operation}") in there) is bool(instruction)


def test_a_test_has_the_instruction_of_its_barrier_and_the_other_has_not():
    for item in litmus_tests():
        if item.instruction:
            program = item.text.partition("*)")[2].lower()
            without = files()[f"{item.machine}/{item.order.name}+po.litmus"].partition("*)")[2]
            count = program.count(item.instruction)
            assert count == without.lower().count(item.instruction) + 1


# Verdicts


def test_herd7_gave_the_verdicts_that_are_expected():
    who, verdicts = recorded()
    assert re.fullmatch(r"herd7 7\.[\d.+]+", who)
    assert verdicts == expected()


def test_herd7_gives_them_again():
    program = shutil.which("herd7")
    if program is None:
        pytest.skip("herd7 is not on the path; its verdicts are those on record")
    assert asked(program) == recorded()[1]


def test_the_table_for_users_agrees():
    text = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
    rows = {name: cells.split(" | ") for name, cells in TABLE.findall(text) if name in LINUX}
    assert tuple(rows) == tuple(LINUX)
    verdicts = recorded()[1]
    for name, (linux, *cells) in rows.items():
        assert linux == f"`{LINUX[name]}`"
        for (machine, code), cell in zip(INSTRUCTIONS.items(), cells[:2], strict=True):
            instruction = getattr(code, name).text
            without = {
                "allowed" if verdicts[f"{machine}/{order.name}+po.litmus"] else "forbidden"
                for order in BY_BARRIER
                if next(iter(order.fillings)) == name
            }
            assert cell == f"{f'`{instruction}`' if instruction else 'nothing'}; {without.pop()}"
            assert not without
