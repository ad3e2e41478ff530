"""Which faults of the driver the proof of its lines refutes, how soon, and in which words.

Each fault of `properties.faults` that changes only `impl/packet.py`, `impl/ring.py`,
`impl/controller.py` or `impl/lifecycle.py` is made in the driver's own lines, and the call that
`REACHED` names is proved. It must not be: the first thing that is not proved is printed.

Exit status: 0 all are refuted; 1 one is not; 2 the command line is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import impl
from bench.named import options
from engine.refine.explorer import Exploration
from proofs.refine.calls import CALLS, prove
from proofs.refine.driver import MODULES, load
from properties.driver_source import SourceChange
from properties.faults import FAULTS, fault

__all__ = ["NOT_REACHED", "REACHED", "changed", "explored", "main"]

_BY_CALL: Final = {
    "peek": (
        "acquire-too-early unlock-then-sleep peek-without-owner reader-overtakes "
        "newcomer-overtakes reader-never-leaves-line wake-up-ends-call never-waits "
        "turns-away-unlocked spins no-barrier-rx-header interrupted-reader-tells-nobody "
        "leaver-wakes-nobody ignores-close entering-not-counted leaving-not-counted "
        "length-not-checked peek-takes readiness-never-cleared dead-after-one readers-not-woken "
        "held-not-asked readiness-never-set readable-with-readers-in-line"
    ),
    "receive_view": (
        "zero-length-stall last-packet-leaves-readable readiness-cleared-unseen "
        "slot-never-returned no-barrier-rx-pointer no-barrier-rx-first-load "
        "next-reader-not-woken receive-index-stays held-not-noted held-for-ever "
        "wild-pointer-recycle"
    ),
    "receive_packets": (
        "double-fetch unchecked-length returned-before-copied batch-overtakes batch-tells-nobody "
        "others-overtaken no-barrier-rx-last-load pointers-not-restored copies-too-little"
    ),
    "send": (
        "waits-for-another phantom-write owner-before-fields "
        "doorbell-before-owner doorbell-wrong-index no-doorbell doorbell-wrong-ring "
        "producer-unbounded batch-sleeps-unrung batch-waits-for-first submit-without-lock "
        "waits-anyway returns-when-queued batch-stops-short full-ring-is-an-error "
        "interruption-says-ok no-barrier-tx-fields no-barrier-tx-payload no-barrier-tx-doorbell "
        "line-not-woken producer-stays waiter-not-noted batch-miscounted overtakes-the-line "
        "line-never-left waits-on-after-failure full-ring-not-shown buffers-not-advanced"
    ),
    "change_filter": (
        "result-of-another shared-result stale-command-index result-not-looked-at "
        "submit-ignores-fatal no-barrier-cmd-fields no-barrier-cmd-doorbell"
    ),
    "serve_events": (
        "wake-before-advance consumer-runs-ahead flags-after-scan one-per-interrupt "
        "reclaim-starves events-not-read no-barrier-cmd-result no-barrier-cmd-events "
        "completion-not-woken consumer-stays reclaims-nothing rxcomp-only readable-at-every-event "
        "no-barrier-tx-events no-barrier-rx-events drain-not-woken free-slot-not-shown "
        "retired-not-asked sent-unseen sent-beyond-outstanding"
    ),
    "open": "opens-together open-count open-leak failed-open-says-ok",
    "close": (
        "wrong-channel leavers-not-awaited drains-a-failed-card reset-instead-of-stop "
        "stop-failed-free filters-not-flushed rx-before-start"
    ),
    "serve_fatal": (
        "pollers-not-told failure-wakes-nobody failure-not-noted failure-taken-for-granted"
    ),
}
REACHED: Final = {name: call for call, names in _BY_CALL.items() for name in names.split()}
"""By fault: the call in which it shows."""
NOT_REACHED: Final = {
    **dict.fromkeys(
        (
            *("looks-after-free", "indices-kept-over-reset", "bus-master-before-reset"),
            *("owner-before-pointer", "fatal-is-forever", "free-while-started"),
            *("stale-owner-reopen", "reset-spins", "wake-before-free", "rebased-without-reset"),
            *("own-address-forgotten", "no-barrier-start-read", "no-barrier-cmd-base"),
            *("no-barrier-tx-base", "open-wakes-nobody", "closed-wakes-nobody"),
            *("readiness-kept-over-close", "aborted-open-keeps-card", "packet-memory-leaks"),
            *("rings-used-after-stop", "no-flush-before-start", "command-base-before-size"),
            *("reset-not-written", "bus-master-never-set", "bus-master-during-reset"),
            *("reset-given-up-early", "failure-during-reset", "needs-reset-not-set"),
            *("needs-reset-not-cleared", "command-ring-not-retired", "packet-rings-not-retired"),
            "command-slots-kept",
        ),
        "it is in lines that start or reset the card or free its memory, or behind them",
    ),
    **dict.fromkeys(("lengths-not-restored", "pages-overlap"), "it is in the bytes of a slot"),
    "close-loses-queue": "the specification lets a time limit end the wait for what is queued",
    "close-cancels-nothing": "a sleep on behalf of somebody may end like that at any time",
}
"""Faults of these files that the proof does not reach, and why."""


def explored(name: str) -> Exploration:
    """The call in which a fault shows, with the fault, up to the first thing that is not proved."""
    return prove(CALLS[REACHED[name]], load(changed(fault(name).changes)), first_failure=True)


def changed(changes: Iterable[SourceChange]) -> dict[str, str]:
    """The driver's modules with a fault."""
    root = Path(impl.__file__ or "").parent
    texts = {name: (root / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    for change in changes:
        texts[change.module] = change.apply(texts[change.module])
    return texts


def in_these_files() -> list[str]:
    """The faults that change no other file."""
    return [
        item.fault.id for item in FAULTS if all(change.module in MODULES for change in item.changes)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Refute the faults; returns the exit status."""
    names = options("bench.code_faults", __doc__, "FAULT", REACHED, arguments)
    missed = 0
    for number, name in enumerate(names, 1):
        found = explored(name)
        missed += not found.failures
        said = "" if found.failures else "NOT refuted by "
        took = f"{found.ways} ways, {found.seconds:.1f} s"
        print(f"[{number}/{len(names)}] {name}: {said}{REACHED[name]}, {took}", flush=True)
        for first in found.failures[:1]:
            print("    ", first.message, *(f"\n    in {line}" for line in first.lines[:3]), sep="")
    print(f"{len(names) - missed} of {len(names)} faults are refuted")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
