"""What may happen to a driver whose card is hostile: the strategies that Hypothesis draws from."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import attrs
from hypothesis import strategies as st

from impl.memory import Purpose
from model.layout import COMMAND_SLOT, EVFLAGS, PACKET_SLOT, RST, SEQ, Owner
from properties.simulation.host import Ending

__all__ = ["SLOT_SIZES", "Decision", "Setup", "decisions", "setups"]

Decision: TypeAlias = tuple[Any, ...]
"""What happens next, as plain data: its kind, and what it is about."""

SLOT_SIZES: Final = {
    Purpose.COMMAND_RING: COMMAND_SLOT.size,
    Purpose.TRANSMIT_RING: PACKET_SLOT.size,
    Purpose.RECEIVE_RING: PACKET_SLOT.size,
}
"""Bytes of a slot of each ring."""
OWNERS: Final = (Owner.HOST.value, Owner.DEVICE.value, 0x00, 0xFF)
LENGTHS: Final = (5, 0, 1, 4096, 16384, 16385, 20480, 65536, 0x7FFF_FFFF, 0xFFFF_FFFF)
WORDS: Final = st.sampled_from([0, 1, 0x1000, 0xFFFF_FFFF, 0x8000_0000])
_ALL_EVENTS: Final = sum(bit.mask for bit in EVFLAGS.bits)
_FLAGS: Final = st.sampled_from([0, 0, RST.mask, SEQ.mask, RST.mask | SEQ.mask, 0xFFFF_FFFF])


@attrs.frozen
class Setup:
    """The sizes of a run, and the habits of the card in it.

    Attributes:
        ring_shift: log2 of the slots of each ring.
        polls: Reads of FLAGS before a reset is given up.
        posted: Register writes that may be under way at once.
        fill: The byte that fresh memory is full of.
        flags: What FLAGS reads as, over and over.
        others: What other registers read as, over and over.
        opened: The card behaves until it is open.
        obliging: It answers requests before they time out, when nothing else happens.
        answer: The error byte of such answers.
        releases: Users give back what they have on loan before they close.
    """

    ring_shift: int = 1
    polls: int = 2
    posted: int = 2
    fill: int = 0xA5
    flags: tuple[int, ...] = (0,)
    others: tuple[int, ...] = (0,)
    opened: bool = True
    obliging: bool = False
    answer: int = 0
    releases: bool = False


def setups() -> st.SearchStrategy[Setup]:
    """Any run's sizes, and any habits of the card."""
    words = st.one_of(st.sampled_from([0, _ALL_EVENTS]), st.integers(0, 0xFFFF_FFFF))
    return st.builds(
        Setup,
        ring_shift=st.integers(0, 2),
        polls=st.integers(1, 3),
        posted=st.integers(1, 3),
        fill=st.sampled_from([0xA5, Owner.HOST.value, Owner.DEVICE.value, 0]),
        flags=st.lists(_FLAGS | st.integers(0, 0xFFFF_FFFF), min_size=1, max_size=4).map(tuple),
        others=st.lists(words, min_size=1, max_size=3).map(tuple),
        opened=st.sampled_from([True, True, True, False]),
        obliging=st.booleans(),
        answer=st.sampled_from([0, 0, 1, 0xFF]),
        releases=st.booleans(),
    )


def decisions(least: int = 30, most: int = 120) -> st.SearchStrategy[list[Decision]]:
    """Anything that may happen, one after the other."""
    small = st.integers(0, 7)
    # A few steps, so that the card may come in between any two; or many, so that calls end.
    picks = st.one_of(st.binary(min_size=1, max_size=3), st.binary(min_size=8, max_size=64))
    go = st.tuples(st.just("go"), picks)
    words = st.tuples(st.sampled_from(LENGTHS), WORDS, WORDS, st.integers(0, 3), WORDS)
    packet = st.tuples(st.just("packet"), words)
    slot = st.tuples(
        st.just("slot"),
        st.sampled_from([Purpose.RECEIVE_RING, *SLOT_SIZES]),
        st.none() | small,
        st.sampled_from([Owner.HOST.value, Owner.HOST.value, *OWNERS]),
        words,
    )
    write = st.tuples(
        st.just("write"),
        small,
        st.integers(0, 0x1_0000),
        st.binary(min_size=1, max_size=64),
    )
    vector = st.tuples(st.just("vector"), st.sampled_from([0] * 7 + [1]))
    up = st.tuples(
        st.just("up"),
        small,
        st.sampled_from([Ending.SPURIOUS, Ending.EXPIRED]),
    )
    sizes = st.lists(st.sampled_from([0, 1, 5000, 16384]), min_size=1, max_size=3).map(tuple)
    outcome = st.one_of(
        st.tuples(st.just("show"), small),
        st.just(("arrive",)),
        st.just(("answer",)),
        st.just(("answer",)),
    )
    call = st.one_of(
        st.just(("open",)),
        st.tuples(st.just("close"), small),
        st.tuples(st.just("send"), small, sizes, st.booleans()),
        st.tuples(st.just("send"), small, sizes, st.booleans()),
        st.tuples(st.just("receive"), small, st.booleans()),
        st.tuples(st.just("receive"), small, st.booleans()),
        st.tuples(st.just("view"), small, st.booleans()),
        st.tuples(st.just("view"), small, st.booleans()),
        st.tuples(st.just("poll"), small),
        st.tuples(st.just("filter"), small, st.booleans()),
        st.tuples(st.just("release"), small),
        st.tuples(st.just("release"), small),
    )
    return st.lists(
        st.one_of(go, call, go, slot, packet, write, vector, up, outcome, go, call, go),
        min_size=least,
        max_size=most,
    )
