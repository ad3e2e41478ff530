"""The removal of each single barrier, one fault each.

The barriers are taken from the specification itself: a new one has its fault at once, and is looked
for in a scenario that takes everything in, until somebody names a better one here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from engine.faults import Fault, FaultCase
from engine.mutations import Mutation, barriers, without_barrier
from engine.protocol import System
from engine.races import RACE_FREEDOM
from engine.scenario import happens, lacking, until
from engine.terms import Bool
from model.faults import BARRIERS, barrier_fault
from model.state import Label, State
from model.thread_spec import holds
from proofs.scenarios import (
    COMMANDING,
    OPENING,
    RECEIVING,
    RESETTING,
    SENDING,
    USER,
    calls,
    closes,
    commanding,
    fails,
    opens,
    reader_copies,
    receiving,
    scenario,
    sending,
)

__all__ = ["barrier_cases", "missing"]


TX_STORES: Final = frozenset({"tx.fields_visible", "tx.owner_visible"})
RX_STORES: Final = frozenset({"rx.pointer_visible", "rx.owner_visible"})
STARTS_SENDING: Final = frozenset({
    "tx.look_ahead", "tx.examine", "tx.fetch", "tx.read_first_word", "tx.read_last_word", "tx.send",
})  # fmt: skip
"""A card that looks at its transmit ring unasked."""


def is_freed(s: State) -> Bool:
    """The card has stopped, and its memory is freed next."""
    return holds(s, USER, Label.FREE)


_KNOWN: Final[Mapping[str, Callable[[Fault, Mutation], FaultCase]]] = {
    "no-barrier-tx-fields": partial(FaultCase, scenario=sending("tx.look_ahead")),
    "no-barrier-tx-payload": partial(
        FaultCase,
        scenario=scenario(
            SENDING | {"tx.look_ahead"}, limits={"begin_write": {"zero": (0,), "nonblocking": (0,)}}
        ),
    ),
    "no-barrier-tx-doorbell": partial(FaultCase, scenario=sending()),
    "no-barrier-tx-events": partial(
        FaultCase,
        scenario=sending("tx.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"),
        settles=True,
    ),
    "no-barrier-cmd-fields": partial(FaultCase, scenario=commanding("cmd.look_ahead")),
    "no-barrier-cmd-doorbell": partial(FaultCase, scenario=commanding()),
    "no-barrier-cmd-events": partial(
        FaultCase,
        scenario=commanding(
            "cmd.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"
        ),
        settles=True,
    ),
    "no-barrier-rx-events": partial(
        FaultCase,
        scenario=receiving("rx.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"),
        settles=True,
    ),
    "no-barrier-cmd-result": partial(
        FaultCase, scenario=commanding("cmd.speculate_status", "card.spurious_vector0")
    ),
    "no-barrier-rx-header": partial(
        FaultCase, scenario=receiving("rx.speculate_header"), shows=reader_copies
    ),
    "no-barrier-rx-pointer": partial(FaultCase, scenario=receiving()),
    "no-barrier-rx-first-load": partial(FaultCase, scenario=receiving(), sizes=(1,)),
    "no-barrier-rx-last-load": partial(FaultCase, scenario=receiving(), sizes=(1,)),
    "no-barrier-start-read": partial(
        FaultCase,
        scenario=scenario(
            (COMMANDING | OPENING | {"cmd.look_ahead"}) - {"begin_filter"},
            acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.BASE))),
            story="user 2 opens the card as the first; its rings are set up",
        ),
        sizes=(1,),
    ),
    "no-barrier-cmd-base": partial(
        FaultCase,
        scenario=scenario(
            RESETTING | {"cmd.look_ahead", "cmd.examine", "cmd.fetch"},
            acts=(
                opens(),
                happens("begin_filter", t=2, remove=0, key=1),
                until(lambda s: s.threads.asleep[USER] & s.cmd.owner[s.cmd.cons_i]),
                fails(),
                closes(lambda s: holds(s, USER, Label.RESET)),
            ),
            story="user 2 opens the card and adds a filter; the card fails before it has executed "
            "that; user 2 closes it",
        ),
        sizes=(1,),
    ),
    "no-barrier-tx-free": partial(
        FaultCase,
        scenario=scenario(
            frozenset({"free_slot"}),
            acts=(
                opens(),
                lacking(TX_STORES, calls("begin_write", zero=1, nonblocking=1, more=0)),
                lacking(TX_STORES, closes(lambda s: holds(s, USER, Label.DRAIN))),
                happens("stop_draining", t=2),
                lacking(TX_STORES, until(is_freed)),
            ),
            story="user 2 opens the card, sends a packet without waiting, and closes the card at "
            "once; the card has stopped",
        ),
        sizes=(1,),
    ),
    "no-barrier-rx-free": partial(
        FaultCase,
        scenario=scenario(
            frozenset({"free_slot"}),
            acts=(
                opens(),
                happens("rx.arrive", key=0, length=9999),
                lacking(RX_STORES, calls("begin_read", nonblocking=0, peek=0)),
                lacking(RX_STORES, closes(is_freed)),
            ),
            story="user 2 opens the card, reads a packet, and closes the card at once; the card "
            "has stopped",
        ),
        sizes=(1,),
    ),
    "no-barrier-tx-base": partial(
        FaultCase,
        scenario=scenario(
            (COMMANDING | OPENING | STARTS_SENDING) - {"begin_filter"},
            acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.INIT_TX))),
            story="user 2 opens the card as the first; it is reset",
            limits={"init_receive_pointer": {"stale": (0,)}},
        ),
        sizes=(1,),
    ),
    "no-barrier-rx-base": partial(
        FaultCase,
        scenario=scenario(
            (COMMANDING | OPENING | RECEIVING) - {"begin_filter", "begin_read"},
            acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.INIT_TX))),
            story="user 2 opens the card as the first; it is reset",
            limits={"init_transmit_slot": {"stale": (0,)}},
        ),
        sizes=(1,),
    ),
}


def missing(rule: str, barrier: str) -> Fault:
    """The fault of a driver that lacks this barrier; one that is nowhere described gets a name."""
    if (rule, barrier) in BARRIERS:
        return BARRIERS[rule, barrier]
    words = re.sub(r"[^a-z]+", "-", f"{rule} {barrier}".lower()).strip("-")
    said = f"The driver does not enforce that {rule} waits: {barrier}."
    return barrier_fault(f"no-barrier-{words}", rule, barrier, said, RACE_FREEDOM)


def barrier_cases(system: System) -> Iterator[FaultCase]:
    """One fault for each barrier of the system."""
    everything = frozenset(item.rule.name for item in system.transitions)
    for rule, barrier in barriers(system):
        fault = missing(rule, barrier)
        made = _KNOWN.get(fault.id) or partial(FaultCase, scenario=scenario(everything))
        yield made(fault, without_barrier(rule, barrier))
