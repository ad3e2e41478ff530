"""The words of memory that host and card share, and the barriers that order them.

Each word of a slot is declared here once (`engine.words`). The owner byte is how host and card hand
a slot over; every other word is touched by one of them at a time. Two words stand for a payload: an
early one and a late one of its buffer.

Loads of the words that the card may still write are satisfied early where no acquire barrier
forbids it. Only the thread that holds the lock loads these, so one early value for each is enough.
Loads of a payload, which a reader makes without the lock, are satisfied late where no release
barrier forbids it, at most until the reader gives up the lock with which it gives the slot back:
unlocking is a release. All other loads of the host's have the lock's release behind them before
anybody gives the slot away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.terms import And, Bool, If, Number, next_index
from engine.words import Lateness, Order, Speculation, Word
from model.state import EVENT_THREAD, Label, State
from model.thread_spec import at, holder, holds, lock_is_held

__all__ = ["CMD", "DEVICE", "HOST", "LOOKING", "RX", "SCAN", "TX", "WORDS"]

HOST: Final = False
"""The owner byte of a slot that is the host's."""
DEVICE: Final = True
"""The owner byte of a slot that is the card's."""
OWNERS: Final[Mapping[int, str]] = {HOST: "HOST", DEVICE: "DEVICE"}

SCAN: Final = (
    Label.CMD_SCAN,
    Label.CMD_RECLAIM,
    Label.TX_SCAN,
    Label.TX_RECLAIM,
    Label.RX_READY,
)
"""Where the handler looks at the rings, behind its EVFLAGS read, in order."""
LOOKING: Final = (
    Label.RX_OWNER,
    Label.RX_HEADER,
    Label.RX_NEXT,
    Label.RX_CANCEL,
    Label.RX_LEAVE_QUEUE,
)
"""Where a reader with the lock may have the load of an owner byte before it."""


def handler_may_look_ahead(s: State, last: Label, barrier: bool = True) -> Bool:
    """The handler stands after the barrier behind its EVFLAGS read, and not beyond `last`."""
    before = SCAN[: SCAN.index(last) + 1]
    labels = before if barrier else (Label.READ_EVENTS, *before)
    return And(lock_is_held(s), holds(s, holder(s), *labels), holder(s) == EVENT_THREAD)


def _oldest_request(ring: str, reclaim: Label) -> Speculation:
    """The handler's load of the owner byte of the oldest request, or of the one behind it."""

    def reclaiming(s: Any) -> Bool:
        return holds(s, holder(s), reclaim)

    def slot(s: Any) -> Number:
        group = getattr(s, ring)

        return If(reclaiming(s), next_index(group.cons_i), group.cons_i)

    def window(s: Any) -> Bool:
        group = getattr(s, ring)
        return And(
            handler_may_look_ahead(s, reclaim, barrier=False),
            group.cons != group.prod,
            ~reclaiming(s) | (group.cons + 1 != group.prod),
        )

    return Speculation(
        flag="owner_speculated",
        holds=("speculated_owner",),
        slot=slot,
        barrier="acquire: event flags before owner",
        behind=lambda s: handler_may_look_ahead(s, reclaim),
        window=window,
        meaning="The handler's next load of an owner byte is satisfied ahead of its turn.",
    )


def _next_packet() -> Speculation:
    """The load of the owner byte of the next packet, or of the one behind it."""

    def receiving(s: State) -> Bool:
        return lock_is_held(s) & holds(s, holder(s), *LOOKING)

    def slot(s: State) -> Number:

        consuming = holds(s, holder(s), Label.RX_HEADER)
        return If(consuming, next_index(s.rx.cons_i), s.rx.cons_i)

    def handler(s: State, barrier: bool) -> Bool:
        return handler_may_look_ahead(s, Label.RX_READY, barrier) & s.rx.live

    return Speculation(
        flag="owner_speculated",
        holds=("speculated_owner",),
        slot=slot,
        barrier="acquire: event flags before owner",
        behind=lambda s: receiving(s) | handler(s, True),
        window=lambda s: receiving(s) | handler(s, False),
        meaning=(
            "The next load of an owner byte by a reader or the handler is satisfied ahead of its "
            "turn."
        ),
    )


def _request_owner(ring: str, reclaim: Label, after: tuple[Order, ...], exists: str) -> Word:
    return Word(
        ring,
        "owner",
        holds=("owner",),
        buffered=("owner_new",),
        pending="owner_pending",
        visible="The stored owner byte of slot k becomes visible to the card.",
        after=after,
        values=OWNERS,
        synchronises=True,
        exists=exists,
        speculation=_oldest_request(ring, reclaim),
    )


class TX:
    """The words of a transmit slot and its buffers."""

    fields: Final = Word(
        "tx",
        "fields",
        holds=("fields", "zero"),
        buffered=("sequence", "zero_new"),
        pending="fields_pending",
        visible="The stored fields of slot k become visible to the card.",
        exists="exists",
    )
    first_word: Final = Word(
        "tx",
        "first_word",
        holds=("first_word",),
        buffered=("sequence",),
        pending="first_word_pending",
        visible="A stored early word of the payload becomes visible to the card.",
        exists="exists",
    )
    last_word: Final = Word(
        "tx",
        "last_word",
        holds=("last_word",),
        buffered=("sequence",),
        pending="last_word_pending",
        visible="A stored late word of the payload becomes visible to the card.",
        exists="exists",
    )
    owner: Final = _request_owner(
        "tx",
        Label.TX_RECLAIM,
        after=(
            Order("release: fields before owner", ("fields",)),
            Order("release: payload before owner", ("first_word", "last_word")),
        ),
        exists="exists",
    )


class CMD:
    """The words of a command slot. Its memory is never freed."""

    fields: Final = Word(
        "cmd",
        "fields",
        holds=("fields", "kind", "key"),
        buffered=("sequence", "kind_new", "key_new"),
        pending="fields_pending",
        visible="The stored fields of slot k become visible to the card.",
    )
    status: Final = Word(
        "cmd",
        "status",
        holds=("status_sequence", "status"),
        speculation=Speculation(
            flag="status_speculated",
            holds=("speculated_sequence", "speculated_status"),
            slot=lambda s: s.cmd.cons_i,
            barrier="acquire: owner before status",
            behind=lambda s: holds(s, holder(s), Label.CMD_RECLAIM),
            window=lambda s: (
                lock_is_held(s)
                & holds(s, holder(s), Label.CMD_SCAN, Label.CMD_RECLAIM)
                & (s.cmd.cons != s.cmd.prod)
            ),
            meaning="The handler's load of the error byte is satisfied ahead of its turn.",
        ),
    )
    owner: Final = _request_owner(
        "cmd",
        Label.CMD_RECLAIM,
        after=(
            Order("release: fields before owner", ("fields",)),
            Order(
                "release: register read before owner", until=lambda s, _: ~s.driver.read_unanswered
            ),
        ),
        exists="",
    )


def _payload_load(into: str, *still: Label) -> Lateness:
    """A reader's load of a payload word, which may be late until it has given the slot back."""

    def slot(s: State, t: Number) -> Number:
        return s.threads.slot[t]

    def window(s: State, t: Number) -> Bool:
        return at(s, t, *still, Label.RX_REPOST, Label.EXIT) & (s.threads.copied[t] != 0)

    def before(s: State, t: Number) -> Bool:
        return s.rx.held[slot(s, t)] | s.rx.owner_pending[slot(s, t)]

    return Lateness(
        into=(into,),
        slot=slot,
        window=window,
        barrier="release: loads before owner",
        before=before,
        meaning="A reader's load of the payload is satisfied behind its turn.",
    )


class RX:
    """The words of a receive slot and its buffers."""

    pointer: Final = Word(
        "rx",
        "pointer",
        holds=("pointer",),
        buffered=("pointer_new",),
        pending="pointer_pending",
        visible="The stored buffer pointer of slot k becomes visible to the card.",
        exists="exists",
    )
    header: Final = Word(
        "rx",
        "header",
        holds=("header", "length"),
        exists="exists",
        speculation=Speculation(
            flag="header_speculated",
            holds=("speculated_sequence", "speculated_length"),
            slot=lambda s: s.rx.cons_i,
            barrier="acquire: owner before header",
            behind=lambda s: holds(s, holder(s), Label.RX_HEADER),
            window=lambda s: lock_is_held(s) & holds(s, holder(s), Label.RX_OWNER, Label.RX_HEADER),
            meaning="The reader's load of the header is satisfied ahead of its turn.",
        ),
    )
    first_word: Final = Word(
        "rx",
        "first_word",
        holds=("first_word",),
        exists="exists",
        lateness=_payload_load("threads.got_first_word", Label.RX_LAST_WORD, Label.RX_POINTER),
    )
    last_word: Final = Word(
        "rx",
        "last_word",
        holds=("last_word",),
        exists="exists",
        lateness=_payload_load("threads.got_last_word", Label.RX_POINTER),
    )
    owner: Final = Word(
        "rx",
        "owner",
        holds=("owner",),
        buffered=("owner_new",),
        pending="owner_pending",
        visible="The stored owner byte of receive slot k becomes visible to the card.",
        after=(Order("release: pointer before owner", ("pointer",)),),
        values=OWNERS,
        synchronises=True,
        exists="exists",
        speculation=_next_packet(),
    )


WORDS: Final[tuple[Word, ...]] = (
    TX.fields,
    TX.owner,
    CMD.fields,
    CMD.owner,
    TX.first_word,
    TX.last_word,
    RX.pointer,
    RX.owner,
    CMD.status,
    RX.header,
    RX.first_word,
    RX.last_word,
)
"""All of them."""
