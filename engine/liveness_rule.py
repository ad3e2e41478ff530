"""The step from falling ranks to "at last", as two lemmas that solvers check.

What is asked of each promise (`engine.leads_to`) speaks of single steps. That the goal is then
reached in every run is one argument for all promises. It is written down here over an arbitrary
run, of which nothing is known but what those obligations say of its steps:

    least-rank   Of the ranks that occur in a run, one is the least. A rank is a list of natural
                 numbers; the lemma is the step from lists of some length to lists of one more.
    fair-run     No run keeps to the obligations and to weak fairness, and never reaches the goal.

Neither has a size: moments, ranks and helpers are members of sets about which nothing is known.
Two things about natural numbers and runs are no statements of first-order logic, and stand in the
texts as what they say of the sets in question: a set of natural numbers that is not empty has a
least member, and what is so at some moment and stays so in each step is so at every later moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.question import Entry

__all__ = ["LEMMAS", "LIVENESS_RULE", "lemmas"]

LIVENESS_RULE: Final = "liveness-rule"

LEAST_RANK: Final = """\
; A rank is a number and the rest of a list. Sets of rests have least members (the lemma for shorter
; lists; of empty lists, all are equal); then so has every set of ranks that is not empty.
(set-logic ALL)
(declare-sort Rank 0)
(declare-sort Rest 0)
(declare-fun head (Rank) Int)
(declare-fun rest (Rank) Rest)
(declare-fun lower (Rest Rest) Bool)
(define-fun below ((a Rank) (b Rank)) Bool
  (or (< (head a) (head b)) (and (= (head a) (head b)) (lower (rest a) (rest b)))))
; The set, and that it is not empty.
(declare-fun occurs (Rank) Bool)
(declare-const some Rank)
(assert (occurs some))
; The heads of its members are natural numbers. One of them is the least.
(assert (forall ((a Rank)) (! (=> (occurs a) (<= 0 (head a))) :pattern ((occurs a)))))
(declare-const first Rank)
(assert (=> (forall ((a Rank)) (=> (occurs a) (<= 0 (head a))))
  (and (occurs first)
    (forall ((a Rank)) (! (=> (occurs a) (<= (head first) (head a))) :pattern ((occurs a)))))))
; Of the members with that head, one has the least rest.
(declare-const least Rank)
(define-fun leading ((a Rank)) Bool (and (occurs a) (= (head a) (head first))))
(assert (=> (leading first)
  (and (leading least)
    (forall ((a Rank))
      (! (=> (leading a) (not (lower (rest a) (rest least)))) :pattern ((occurs a)))))))
; It is the least of all.
(assert (not (and (occurs least)
  (forall ((a Rank)) (=> (occurs a) (not (below a least)))))))
(check-sat)
"""

FAIR_RUN: Final = """\
; A run in which the premise holds and the goal is never reached. A helper is a process, or an
; earlier promise with its arguments; `helper` is whom the case that applies names.
(set-logic ALL)
(declare-sort Moment 0)
(declare-sort Rank 0)
(declare-sort Helper 0)
(declare-fun next (Moment) Moment)
(declare-fun since (Moment Moment) Bool)
(declare-fun below (Rank Rank) Bool)
(declare-fun rank (Moment) Rank)
(declare-fun helper (Moment) Helper)
(declare-fun process (Helper) Bool)
(declare-fun able (Moment Helper) Bool)
(declare-fun moves (Moment Helper) Bool)
(declare-fun premise (Moment Helper) Bool)
(declare-fun goal (Moment Helper) Bool)
; promise/*/helper: a process that helps can act; of a promise that helps the premise holds, and its
; goal does not.
(assert (forall ((i Moment)) (!
  (ite (process (helper i))
    (able i (helper i))
    (and (premise i (helper i)) (not (goal i (helper i)))))
  :pattern ((helper i)))))
; promise/*/step: the rank falls; or it and the helper stay, and the step was not the helper's and
; did not bring about the goal of the promise that helps.
(assert (forall ((i Moment)) (!
  (or (below (rank (next i)) (rank i))
    (and (= (rank (next i)) (rank i)) (= (helper (next i)) (helper i))
      (ite (process (helper i))
        (not (moves i (helper i)))
        (not (goal (next i) (helper i))))))
  :pattern ((next i)) :pattern ((moves i (helper i))))))
; Weak fairness: at some later moment a process cannot act, or it does.
(assert (forall ((i Moment) (h Helper)) (!
  (=> (process h) (exists ((j Moment)) (and (since i j) (or (not (able j h)) (moves j h)))))
  :pattern ((able i h)))))
; Earlier promises are kept.
(assert (forall ((i Moment) (h Helper)) (!
  (=> (and (not (process h)) (premise i h) (not (goal i h)))
    (exists ((j Moment)) (and (since i j) (goal (next j) h))))
  :pattern ((premise i h)))))
; The lemma about ranks: at some moment the rank is the least of all.
(declare-const least Moment)
(assert (forall ((i Moment)) (! (not (below (rank i) (rank least))) :pattern ((rank i)))))
; Induction: rank and helper are at every later moment what they are at that one, or some step is
; the first to change them.
(declare-const last Moment)
(define-fun same ((i Moment)) Bool
  (and (= (rank i) (rank least)) (= (helper i) (helper least))))
(assert (or (not (same least))
  (and (since least last) (same last) (not (same (next last))))
  (forall ((i Moment)) (! (=> (since least i) (same i)) :pattern ((since least i))))))
(check-sat)
"""

LEMMAS: Final = {
    "least-rank": ("Of ranks that occur, one is the least.", LEAST_RANK),
    "fair-run": (
        "A fair run on which ranks fall as they must reaches the goal.",
        FAIR_RUN,
    ),
}
"""By name: what is said, and the SMT-LIB text, which no assignment satisfies."""


def lemmas() -> Iterator[Entry]:
    """The lemmas that every promise rests on: `rule/NAME`.

    They have no arithmetic of their own, and are asked with each, so that neither does without.
    """
    for name, (meaning, text) in LEMMAS.items():
        yield Entry(
            f"rule/{name}", LIVENESS_RULE, "lemma", meaning,
            None, stands_on=(), text=text,
        )  # fmt: skip
