"""What is seen while the proofs run: the share of the work that is done, and counts beside it."""

import io
import re

import pytest
from rich.console import Console

from engine.command.costs import COSTS, SEARCH, Costs
from engine.command.progress import progress
from engine.obligations import Catalogue
from model.system import specification
from proofs.theory import THEORY

TOTALS = {"obligation": 1000, "fault": 2}
DEAR, CHEAP = 10.0, 0.1


def shown(*, terminal, width=80, cheap=900, dear=100, close=False):
    """What a console shows of a run that has settled some cheap obligations, and some dear ones."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    work = 900 * CHEAP + 100 * DEAR + 2 * SEARCH
    bar = progress(console, TOTALS, work)
    for _ in range(cheap):
        bar.advance("obligation", CHEAP)
    for _ in range(dear):
        bar.advance("obligation", DEAR)
    bar.tick()
    if close:
        for _ in range(2):
            bar.advance("fault", SEARCH)
        bar.tick()
    return out.getvalue()


def last_bar(text):
    return re.findall(r"(\d+) % .*?([\d,]+/[\d,]+ obligations, \d+/\d+ faults)", text)[-1]


def test_the_share_is_of_the_work_and_the_counts_stand_beside_it():
    assert last_bar(shown(terminal=True, dear=0)) == ("8", "900/1,000 obligations, 0/2 faults")
    assert last_bar(shown(terminal=True, cheap=0)) == ("91", "100/1,000 obligations, 0/2 faults")


def test_lines_tell_the_same_where_there_is_no_terminal():
    lines = shown(terminal=False, dear=0).splitlines()
    assert [re.sub(r"[\d.]+ s$", "T", line) for line in lines] == [
        "   5 %  546 of 1,000 obligations, 0 of 2 faults, T"
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_all_of_it_is_done_only_when_all_is_settled(terminal):
    assert "100 %" not in shown(terminal=terminal)
    assert "100 %" in shown(terminal=terminal, close=True)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_bar_fits_the_terminal(width):
    text = shown(terminal=True, width=width)
    lines = re.split(r"[\r\n]|\x1b\[[\dA-K?;]*[A-Za-z]", text)
    assert max(map(len, lines)) <= width
    assert last_bar(text) == ("99", "1,000/1,000 obligations, 0/2 faults")


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.of(THEORY).obligations()


@pytest.fixture(scope="module")
def costs():
    return Costs(specification())


def test_each_kind_of_obligation_has_a_cost_and_each_cost_a_kind(catalogue, costs):
    assert {(costs.kind(item.id), item.arithmetic) for item in catalogue} == set(COSTS)


def test_a_step_of_the_driver_costs_more_than_a_step_of_a_promise(catalogue, costs):
    known = {(item.id, item.arithmetic): costs.of(item) for item in catalogue}
    promise = next(name for name, _ in known if name.startswith("promise/lock/step/"))
    assert known["step/tx.store_owner", "machine"] > 10 * known[promise, "machine"]
