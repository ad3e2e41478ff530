"""The rule for "at last": what it refuses, and that it is enough."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs
import pytest

from engine.discharge import discharge, script
from engine.leads_to import Case, Promise, RelianceError, Relies, count, falls
from engine.liveness_rule import LEMMAS
from engine.mutations import leaves
from engine.obligations import Catalogue, Obligation
from engine.smt import Arithmetic
from engine.solvers import Answer, ask
from engine.terms import FALSE, TRUE, constant
from proofs.ranking import PROMISES
from proofs.theory import THEORY
from tests.test_theory import SMALL, TAKEN, State, is_full, proved

# A promise that relies on another


def relying(name: str, *others: Promise, without: tuple[str, ...] = ()) -> Promise:
    """A promise that leaves everything to others."""
    return attrs.evolve(
        TAKEN,
        name=name,
        cases=lambda s: [Case("other", is_full(s), Relies(other, ())) for other in others],
        without=dict.fromkeys(without, "It is assumed."),
    )


def refusal(*promises: Promise) -> str:
    """Why these promises are refused before a solver is asked."""
    with pytest.raises(RelianceError) as raised:
        Catalogue(attrs.evolve(SMALL, promises=promises))
    return str(raised.value)


def test_a_promise_may_rely_on_one_that_stands_before_it():
    known = Catalogue(attrs.evolve(SMALL, promises=[TAKEN, relying("one", TAKEN)]))
    results = {name: result for name, result in proved(known).items() if "/one/" in name}
    assert set(results.values()) == {"proved"}
    assert "promise/one/helper" in results


def test_a_promise_that_relies_on_itself_is_refused():
    """By the other questions it would be proved: its rank is always 0, and it is always open."""
    selves: list[Promise] = []
    nonsense = attrs.evolve(
        TAKEN,
        name="nonsense",
        premise=lambda s: TRUE,
        goal=lambda s: FALSE,
        rank=lambda s: (constant(0),),
        cases=lambda s: [Case("self", TRUE, Relies(selves[0], ()))],
    )
    selves.append(nonsense)
    assert refusal(nonsense) == (
        "promise nonsense (case 'self') relies on itself, which proves nothing; "
        "name a process, or a promise that stands before it"
    )


def test_a_circle_of_two_is_refused():
    circle: list[Promise] = []
    circle.append(
        attrs.evolve(
            TAKEN, name="one", cases=lambda s: [Case("other", TRUE, Relies(circle[1], ()))]
        )
    )
    circle.append(relying("two", circle[0]))
    for promises, first, second in ((circle, "one", "two"), (circle[::-1], "two", "one")):
        assert refusal(*promises) == (
            f"promise {first} (case 'other') relies on {second}, which stands after it; write "
            f"{second} before {first}, unless that relies on this one in turn: "
            "promises that rely on each other prove nothing"
        )


def test_a_promise_that_is_not_proved_helps_nobody():
    assert refusal(relying("one", TAKEN)) == (
        "promise one (case 'other') relies on taken, which is not among the promises to be proved; "
        "write taken before one"
    )


def test_a_helper_gets_its_arguments():
    of_thread = attrs.evolve(TAKEN, parameters=("t",), cases=lambda s, t: TAKEN.cases(s))
    assert refusal(of_thread, relying("one", of_thread)) == (
        "promise one (case 'other') relies on taken for 0 arguments; write one for each of (t)"
    )


def test_a_promise_assumes_what_those_assume_that_it_relies_on():
    careful = attrs.evolve(TAKEN, without={"put": "It is assumed."})
    assert refusal(careful, relying("one", careful, without=("take",))) == (
        "promise one (case 'other') relies on taken, which assumes that there is no put; "
        "write the same in `without` of one"
    )
    assert Catalogue(
        attrs.evolve(SMALL, promises=[careful, relying("one", careful, without=("put", "take"))])
    )


def reached(s: State):
    """Nothing was taken yet."""
    return s.box.got == 0


def test_a_helper_whose_goal_is_reached_is_refuted():
    """`kept` is kept, as its goal is its premise; and no rule changes what either speaks of."""
    kept = attrs.evolve(
        TAKEN,
        name="kept",
        premise=reached,
        goal=reached,
        rank=lambda s: (count(reached(s)),),
    )
    nonsense = attrs.evolve(
        relying("nonsense", kept),
        premise=reached,
        goal=lambda s: FALSE,
        rank=lambda s: (constant(0),),
        cases=lambda s: [Case("other", TRUE, Relies(kept, ()))],
    )
    theory = attrs.evolve(SMALL, promises=[kept, nonsense])
    forgetful = leaves("take", "box.got", "Take the message, and forget it.")
    results = proved(Catalogue(theory, forgetful(SMALL.specification())))
    about = {name: result for name, result in results.items() if name.startswith("promise/")}
    wrong = {name for name, result in about.items() if result != "proved"}
    assert wrong == {"promise/nonsense/helper"}


def test_a_helper_whose_premise_does_not_hold_is_refuted():
    never_full = attrs.evolve(TAKEN, name="never", premise=lambda s: FALSE)
    theory = attrs.evolve(SMALL, promises=[never_full, relying("one", never_full)])
    results = proved(Catalogue(theory))
    assert results["promise/one/helper"] == "refuted"


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_the_card_s_promises_rely_on_open_ones(promise):
    known = Catalogue.of(THEORY)
    for arithmetic in ("integer", "machine"):
        item = Obligation(f"promise/{promise.name}/helper", "", "deadlock", arithmetic, "")
        assert discharge(known, item).result == "proved"


# The rule itself


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
@pytest.mark.parametrize("name", LEMMAS)
def test_the_lemmas_are_proved_by_both_solvers(name, solver):
    known = Catalogue.of(THEORY)
    items = [item for item in known.obligations() if item.id == f"rule/{name}"]
    assert {item.arithmetic for item in items} == {kind.value for kind in Arithmetic}
    item = items[0]
    assert discharge(known, item, solver=solver).result == "proved"
    text = script(known, item)
    assert text.startswith(f"; rule/{name}\n")
    assert ask(solver, text) is Answer.UNSATISFIABLE


def test_ranks_are_compared_like_words_in_a_dictionary():
    ranks = list(itertools.product(range(3), repeat=3))
    for before, later in itertools.product(ranks, repeat=2):
        falling, equal = falls(list(map(constant, before)), list(map(constant, later)))
        assert (falling is TRUE, equal is TRUE) == (later < before, later == before)


@attrs.frozen
class Look:
    """A state of a small run: its rank, who helps, who could act, and who acts next, if any."""

    rank: int
    helper: int
    able: frozenset[int]
    actor: int | None


LOOKS = [
    Look(rank, helper, frozenset(able), actor)
    for rank, helper in itertools.product(range(2), repeat=2)
    for able in ((), (0,), (1,), (0, 1))
    for actor in (None, *able)
]
HYPOTHESES: dict[str, Callable[[list[Look], list[int]], bool]] = {
    "helper": lambda run, loop: all(look.helper in look.able for look in run),
    "step": lambda run, loop: all(
        later.rank < look.rank
        or (later.rank == look.rank and later.helper == look.helper and look.actor != look.helper)
        for look, later in zip(run, [*run[1:], run[loop[0]]], strict=True)
    ),
    "fairness": lambda run, loop: all(
        any(helper not in run[place].able or run[place].actor == helper for place in loop)
        for helper in range(2)
    ),
}


def small_runs() -> Iterator[tuple[list[Look], list[int]]]:
    """Every run of up to three states that ends in a loop: its states, and the places in it."""
    for length in (1, 2, 3):
        for run in itertools.product(LOOKS, repeat=length):
            for first in range(length):
                yield list(run), list(range(first, length))


def test_no_small_run_keeps_to_the_rule_and_each_part_of_it_is_needed():
    """The lemma again, by trying: and that what it assumes is no contradiction in itself."""
    missing: set[str] = set()
    for run, loop in small_runs():
        broken = [name for name, holds in HYPOTHESES.items() if not holds(run, loop)]
        assert broken
        if len(broken) == 1:
            missing.add(broken[0])
    assert missing == set(HYPOTHESES)
