"""What memory, card and users must be able to do in the model, since they may do it in the world.

A model in which less happens would break no promise. So each way in which loads come early or late,
in which the card acts unasked or fails, and in which a call is interrupted, is stated here, and a
random run shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from engine.possible import Possible
from engine.terms import Bool
from model.state import Flags, Label, Stage, State
from model.thread_spec import (
    SLEEPS_CMD,
    SLEEPS_LIFE,
    SLEEPS_RX,
    SLEEPS_TX,
    at,
    holder,
)
from model.words import LOOKING, SCAN

__all__ = ["POSSIBLE"]


def _said(label: Label) -> str:
    return label.name.lower().replace("_", "-")


def _by_holder(rule: str, *labels: Label) -> Iterator[Possible]:
    """By the thread that has the lock, at each of some labels."""
    for label in labels:
        yield Possible(rule, _said(label), lambda s, label=label: at(s, holder(s), label))


def _by_thread(rule: str, *labels: Label) -> Iterator[Possible]:
    """By a thread at each of some labels."""
    for label in labels:
        yield Possible(rule, _said(label), lambda s, t, label=label: at(s, t, label))


def _while(rule: str, **situations: Callable[..., Bool]) -> Iterator[Possible]:
    for name, when in situations.items():
        yield Possible(rule, name.replace("_", "-"), when)


def _owner_says(value: bool) -> Callable[[State], Bool]:
    return lambda s: s.tx.owner[s.tx.cons_i] if value else ~s.tx.owner[s.tx.cons_i]


POSSIBLE: Final = (
    # Loads that come early: before the owner byte, and before what stands in front of that
    *_by_holder("tx.speculate_owner", *SCAN[: SCAN.index(Label.TX_RECLAIM) + 1]),
    *_by_holder("cmd.speculate_owner", *SCAN[: SCAN.index(Label.CMD_RECLAIM) + 1]),
    *_by_holder("cmd.speculate_status", Label.CMD_RECLAIM),
    *_by_holder("rx.speculate_owner", *LOOKING, *SCAN),
    *_by_holder("rx.speculate_header", Label.RX_HEADER),
    *_while("tx.speculate_owner", host=_owner_says(False), device=_owner_says(True)),
    *(
        Possible(f"{ring}.speculate_{word}", "for-the-first-time",
                 lambda s, flag=f"{word}_speculated", ring=ring: ~getattr(getattr(s, ring), flag))
        for ring, word in (
            ("tx", "owner"), ("cmd", "owner"), ("cmd", "status"), ("rx", "owner"), ("rx", "header")
        )
    ),
    *_while("tx.completion_found", by_an_early_load=lambda s, t: s.tx.owner_speculated),
    *_while("tx.no_completion", by_an_early_load=lambda s, t: s.tx.owner_speculated),
    *_while("cmd.completion_found", by_an_early_load=lambda s, t: s.cmd.owner_speculated),
    *_while("cmd.reclaim", by_an_early_load=lambda s, t: s.cmd.status_speculated),
    *_while("rx.packet_found", by_an_early_load=lambda s, t: s.rx.owner_speculated),
    *_while("rx.receive_packet", by_an_early_load=lambda s, t: s.rx.header_speculated),
    # Loads that come late
    *_by_thread(
        "rx.first_word_late", Label.RX_LAST_WORD, Label.RX_POINTER, Label.RX_REPOST, Label.EXIT
    ),
    *_by_thread("rx.last_word_late", Label.RX_POINTER, Label.RX_REPOST, Label.EXIT),
    # Stores and register writes that take their time
    *_while("tx.fields_visible", after_payload=lambda s, k: ~s.tx.first_word_pending[k],
            before_payload=lambda s, k: s.tx.first_word_pending[k]),
    *_by_holder("packet_bases_arrive", Label.READ_BACK, Label.START, Label.CMD_FIELDS),
    # Whatever users may ask for
    *_while("begin_write", one=lambda s, t, zero, nonblocking, more: more == 0,
            several=lambda s, t, zero, nonblocking, more: more != 0,
            empty=lambda s, t, zero, nonblocking, more: zero != 0,
            waiting=lambda s, t, zero, nonblocking, more: nonblocking == 0,
            not_waiting=lambda s, t, zero, nonblocking, more: nonblocking != 0),
    *_while("begin_filter", add=lambda s, t, remove, key: remove == 0,
            remove=lambda s, t, remove, key: remove != 0),
    # A card that acts unasked, fails, or lies
    *_while("tx.look_ahead", unasked=lambda s: ~s.tx.look, stopping=lambda s: s.card.stopping,
            in_vain=lambda s: ~s.tx.owner[s.tx.dev_i]),
    *_while("cmd.look_ahead", unasked=lambda s: ~s.cmd.look & (s.cmd.stage == Stage.IDLE)),
    *_while("tx.examine", before_the_doorbell=lambda s: s.tx.doorbells_arrived == s.tx.dev),
    *_while("cmd.examine", before_the_doorbell=lambda s: s.cmd.doorbells_arrived == s.cmd.dev),
    *_while("card.fatal_error", working=lambda s: s.card.flags == Flags.CLEAR,
            resetting=lambda s: s.card.flags == Flags.RESETTING),
    *_while("card.spurious_vector0",
            idle=lambda s: ~(s.tx.event | s.cmd.event | s.rx.event | s.card.vector0)),
    *_while("card.withdraw_vector0", pending=lambda s: s.card.raising & ~s.card.vector0,
            raised=lambda s: s.card.vector0 & ~s.card.raising),
    *_while("rx.arrive", empty=lambda s, key, length: length == 0,
            full=lambda s, key, length: length != 0),
    *_while("rx.lie", of_the_cards_own=lambda s, k, length: s.rx.owner[k],
            of_a_held_slot=lambda s, k, length: s.rx.held[k]),
    # Calls that are interrupted, and sleeps that end without a reason
    *_by_thread("interrupt", *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_RX),
    *_by_thread("wake", *SLEEPS_TX, Label.CMD_WAIT, Label.OPEN_ENTER),
    *_by_thread("interrupt_open", Label.OPEN_ENTER),
    *_by_thread("spurious_wakeup", *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_RX, *SLEEPS_LIFE),
)  # fmt: skip
"""All of it."""
