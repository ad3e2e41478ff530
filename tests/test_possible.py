"""What may happen in the world may happen in the model; less than that is noticed."""

import attrs
import pytest

from engine.discharge import discharge
from engine.mutations import only_when
from engine.obligations import Catalogue
from engine.possible import Possible
from examples.mailbox.proof import THEORY as MAILBOX
from examples.mailbox.spec import DRIVER, SLOT, Label, at
from model.state import EVENT_THREAD
from model.state import Label as CardLabel
from model.thread_spec import holder
from proofs.possible import POSSIBLE
from proofs.theory import THEORY

EARLY = Possible(
    "box.speculate_answer", "no interrupt", lambda s: at(s, DRIVER, Label.ANSWER) & ~s.box.raised
)
# The barrier stands in between.
TOO_EARLY = Possible("box.speculate_answer", "the look", lambda s: at(s, DRIVER, Label.LOOK))


def verdicts(theory, system=None):
    known = Catalogue(theory, system)
    return {
        item.id.removeprefix("vacuity/possible/"): discharge(known, item)
        for item in known.obligations()
        if item.id.startswith("vacuity/possible/")
    }


def with_possible(*items):
    return attrs.evolve(MAILBOX, possible=items)


def test_a_step_that_may_happen_is_shown_by_a_run_and_one_that_may_not_is_refuted():
    found = verdicts(with_possible(EARLY, TOO_EARLY))
    assert found["box.speculate_answer/no interrupt"].result == "proved"
    assert found["box.speculate_answer/the look"].result == "refuted"
    assert "no run reached" in found["box.speculate_answer/the look"].detail


def test_a_world_in_which_less_happens_breaks_no_promise_and_is_noticed():
    """Loads that are early only while the interrupt is raised: no other obligation fails."""
    narrowed = only_when("box.speculate_answer", lambda s: s.box.raised, "Only sometimes.")
    theory = with_possible(EARLY)
    system = narrowed(theory.specification())
    known = Catalogue(theory, system)
    wrong = {item.id for item in known.obligations() if discharge(known, item).result != "proved"}
    assert wrong == {"vacuity/possible/box.speculate_answer/no interrupt"}


def test_a_step_of_a_rule_that_there_is_not_is_no_step():
    with pytest.raises(KeyError, match=r"box\.speculates"):
        Catalogue(with_possible(Possible("box.speculates", "looking", lambda s: ~s.box.full[SLOT])))


def test_each_place_where_the_handler_and_readers_may_load_early_is_stated():
    stated = {(item.rule, item.name) for item in POSSIBLE}
    assert len(stated) == len(POSSIBLE)
    for rule in ("tx.speculate_owner", "cmd.speculate_owner", "rx.speculate_owner"):
        assert any(named == rule for named, _ in stated)
    assert {name for rule, name in stated if rule == "rx.first_word_late"} == {
        *("rx-last-word", "rx-pointer", "rx-repost", "exit")
    }


@pytest.mark.parametrize(
    ("rule", "label"),
    [("rx.speculate_header", CardLabel.RX_HEADER), ("cmd.speculate_owner", CardLabel.CMD_RECLAIM)],
)
def test_memory_that_is_stronger_than_it_may_be_is_noticed(rule, label):
    assert EVENT_THREAD == 0
    narrowed = only_when(rule, lambda s: s.threads.pc[holder(s)] != label, "Not there.")
    theory = attrs.evolve(THEORY, possible=[item for item in POSSIBLE if item.rule == rule])
    found = verdicts(theory, narrowed(THEORY.specification()))
    name = f"{rule}/{label.name.lower().replace('_', '-')}"
    assert name in {key for key, verdict in found.items() if verdict.result != "proved"}
