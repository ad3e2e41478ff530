"""What is to be proved of the driver's lines, as obligations like all others.

* `code/kept/RULE`: a step that needs no lock keeps what relates the driver to the specification.
* `code/low/bits`: what is used of the low bits of a counter.
* `code/machine/...`: what is used of barriers (`proofs.refine.barrier_machine`).
* `code/CALL/KIND`: a function of the driver, in any call that there may be of it, run on symbolic
  values beside the specification. All kinds of a call come of one exploration. Where something is
  not proved the way ends, and nothing is said of what would come behind it: so one failure leaves
  the other kinds undecided.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Final

from engine.answers import key_of
from engine.induction import step_question, touched
from engine.protocol import System
from engine.question import INVARIANT, Circumstances, Entry
from engine.refine.explorer import Exploration
from engine.smt import Arithmetic
from engine.spare import Spare
from proofs.refine.barrier_machine import texts
from proofs.refine.calls import CALLS, Call, prove
from proofs.refine.coverage import RUN_BY, missing_lines
from proofs.refine.driver import load
from proofs.refine.relation import PACKET_STAYS, RELATION
from proofs.refine.setting import without_lock
from proofs.refine.sources import digest

__all__ = ["KEPT", "KINDS", "MEANINGS", "lines"]

KEPT: Final = "code-kept"
MACHINE: Final = "code-machine"
KINDS: Final = {
    "steps": "each thing that the lines do is a step of the specification, of the right slot",
    "barriers": "each order that the specification relies on is provided by a barrier",
    "relation": "where the lock is given up the driver's fields are the specification's variables",
    "loops": "what is known where a loop begins anew, or a call waits, is so each time",
    "bounds": "nothing outside of memory and lists is touched, and nothing without the lock",
    "ends": "the call ends as the specification does, and says what it says",
    "ways": "all ways were gone, and each is one that there is",
    "progress": "wherever the lines may come again and again they take steps, or a count goes on",
    "lines": "every line is run on some way, but for those that are named with a reason",
}
"""What is proved of each function."""
MEANINGS: Final = {
    KEPT: "Steps that need no lock keep what relates the driver's fields to the specification.",
    MACHINE: "Where barriers do what they say, the orders are kept that the lines rely on.",
    **{
        f"code-{name}": f"These lines take only steps of the specification: {call.meaning}."
        for name, call in CALLS.items()
    },
}
"""What is proved of the lines, by property."""
LOW_BITS: Final = """\
(set-logic QF_UFBV)
(declare-const x (_ BitVec 64))
(declare-const n (_ BitVec 64))
(define-fun low ((y (_ BitVec 64))) (_ BitVec 64) (bvand y (bvsub n (_ bv1 64))))
(assert (or {sizes}))
(assert (not (and
  (bvult (low x) n)
  (= (low (_ bv0 64)) (_ bv0 64))
  (= (low (bvadd x (_ bv1 64)))
     (ite (= (bvadd (low x) (_ bv1 64)) n) (_ bv0 64) (bvadd (low x) (_ bv1 64)))))))
(check-sat)
""".format(sizes=" ".join(f"(= n (_ bv{1 << shift} 64))" for shift in range(13)))


def lines(theory: Any, system: System) -> Iterable[Entry]:
    """All obligations of the driver's lines."""
    s = system.protocol.symbols
    for step in system.transitions:
        if without_lock(step) and any(touched(s, item, step) for item in RELATION):
            yield Entry(
                f"code/kept/{step.rule.name}", KEPT, "lemma",
                f"the driver's fields stay related: {step.rule.meaning}",
                functools.partial(step_question, s, step, RELATION, theory.ordinary),
                arithmetics=(Arithmetic.INTEGER,),
            )  # fmt: skip
        if without_lock(step) and touched(s, PACKET_STAYS, step):
            yield Entry(
                f"code/kept/packet/{step.rule.name}", KEPT, "lemma",
                f"a packet that waits goes on waiting: {step.rule.meaning}",
                functools.partial(step_question, s, step, [PACKET_STAYS], theory.ordinary),
                arithmetics=(Arithmetic.INTEGER,),
            )  # fmt: skip
    yield Entry(
        "code/low/bits", KEPT, "lemma", "the low bits of a counter walk around the ring", None,
        arithmetics=(Arithmetic.INTEGER,), text=LOW_BITS,
    )  # fmt: skip
    for item in texts():
        yield Entry(
            f"code/machine/{item.name}", MACHINE, "lemma", item.meaning, None,
            arithmetics=(Arithmetic.INTEGER,), text=item.text,
        )  # fmt: skip
    for name, call in CALLS.items():
        for kind, meaning in KINDS.items():
            yield Entry(
                f"code/{name}/{kind}", f"code-{name}", "code", f"{call.meaning}: {meaning}", None,
                arithmetics=(Arithmetic.INTEGER,), together=f"code/{name}",
                stands_on=(INVARIANT, KEPT, MACHINE), decide=functools.partial(_decide, call, kind),
            )  # fmt: skip


def _decide(call: Call, kind: str, around: Circumstances) -> tuple[str, str, bool]:
    """Result, detail, and whether it was proved in an earlier run."""
    asked = f"code/{call.name}/{kind} ring size {around.ring_size}\n{digest()}"
    key = key_of(around.solver, asked, around.seed)
    if around.answers is not None and key in around.answers:
        return "proved", "", True
    found = _explored(call.name, around.ring_size, around.seed, around.solver, around.spare)
    result, detail = verdict(call, kind, found)
    if result == "proved" and around.answers is not None:
        around.answers.add(key)
    return result, detail, False


@functools.cache
def _explored(
    name: str, ring_size: int | None, seed: int, solver: str, spare: Spare | None
) -> Exploration:
    return prove(CALLS[name], load(), ring_size=ring_size, seed=seed, solver=solver, spare=spare)


def verdict(call: Call, kind: str, found: Exploration) -> tuple[str, str]:
    """What came of one kind of obligation of a function."""
    own = [item for item in found.failures if item.kind == kind]
    if own:
        first = own[0]
        detail = "\n".join([first.message, *(f"  in {line}" for line in first.lines), *first.steps])
        return ("unknown" if first.undecided else "refuted"), detail
    if found.failures:
        return "unknown", f"{found.failures[0].kind} are not proved, and all behind that is open"
    if kind == "ways" and not found.ways:
        return "refuted", "there is no way at all"
    if kind == "lines":
        left = missing_lines(RUN_BY[call.name], found.lines)
        if left:
            return "refuted", "no way runs: " + "; ".join(left)
    return "proved", ""
