"""The scenarios in which faults of the card and its driver are looked for, and their parts.

They begin at a point in a driver's life that everybody knows: the card is open; it was opened,
failed and is being closed. See `engine.scenario` for what a scenario is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.mutations import Mutation, pretends
from engine.scenario import Act, Scenario, happens, in_turn, rests, until
from engine.terms import Bool, constant
from model.opening import open_card
from model.scope import Scope
from model.state import Label, Stage, State
from model.thread_spec import at

__all__ = [
    "CLOSING",
    "COMMANDING",
    "EMPTY",
    "FAILING",
    "FIRST_USER",
    "HANDLER",
    "ONE_FILTER",
    "OPENING",
    "OTHER",
    "READING",
    "RECEIVING",
    "RESETTING",
    "SENDING",
    "USER",
    "calls",
    "card_writes",
    "closes",
    "commanding",
    "fails",
    "opens",
    "reader_copies",
    "receiving",
    "scenario",
    "sending",
    "unlocked",
]

FIRST_USER: Final = 2
USER: Final = constant(FIRST_USER)
OTHER: Final = constant(FIRST_USER + 1)
READING: Final = {"nonblocking": (0,), "peek": (0,)}
"""Reads wait for a packet and take it."""
EMPTY: Final = {"begin_write": {"zero": (1,), "nonblocking": (0,)}}
"""Blocking writes of empty packets: the payload plays no part."""
ONE_FILTER: Final = {"begin_filter": {"remove": (0,)}}
"""Filters are added and never removed."""


# Parts of the system, by the names of their rules

HANDLER: Final = frozenset({
    "event_interrupt", "read_events", "cmd.no_completion", "tx.no_completion", "mark_readable",
    "no_packet_waits", "wake", "card.raise_vector0",
})  # fmt: skip
"""The event handler that finds nothing to take back, and sleepers that wake."""


def _request(ring: str) -> frozenset[str]:
    names = (
        "claim", "wait_for_turn", "skip_cancelled", "leave_queue",
        "store_fields", "store_owner", "ring_doorbell", "wait_for_completion", "completed",
        "completion_found", "no_completion", "reclaim",
        "fields_visible", "owner_visible", "doorbell_arrives",
        "look", "examine", "fetch", "complete", "set_event",
    )  # fmt: skip
    return frozenset(f"{ring}.{name}" for name in names)


SENDING: Final = HANDLER | _request("tx") | frozenset({
    "begin_write", "enter_write", "exit_call", "tx.store_first_word", "tx.store_last_word",
    "tx.first_word_visible", "tx.last_word_visible", "tx.read_first_word", "tx.read_last_word",
    "tx.send",
})  # fmt: skip
"""Users send packets; nothing fails and nobody gives up."""
COMMANDING: Final = HANDLER | _request("cmd") | frozenset({
    "begin_filter", "enter_filter", "exit_call", "cmd.execute", "cmd.stopped", "cmd.write_status",
})  # fmt: skip
"""Users change filters, or open and close submit commands; nothing fails and nobody gives up."""
RECEIVING: Final = HANDLER | frozenset({
    "begin_read", "enter_read", "exit_call",
    "rx.wait_for_turn", "rx.cancel_waiting", "rx.skip_cancelled", "rx.leave_queue",
    "rx.packet_found", "rx.nothing_to_read", "rx.peek_packet", "rx.receive_packet",
    "rx.look_at_next", "rx.copy_first_word", "rx.copy_last_word",
    "rx.first_word_late", "rx.last_word_late",
    "rx.refill_pointer", "rx.repost", "rx.pointer_visible", "rx.owner_visible",
    "rx.arrive", "rx.examine", "rx.fetch", "rx.write_first_word", "rx.write_last_word",
    "rx.write_header", "rx.complete", "rx.set_event",
})  # fmt: skip
"""Packets arrive and users read them; nothing fails and nobody gives up."""
OPENING: Final = frozenset({
    "begin_open", "open_first", "open_shared",
    "init_transmit_slot", "init_receive_pointer", "init_receive_owner", "fence_packet_slot",
    "tx.owner_visible", "rx.pointer_visible", "rx.owner_visible", "write_packet_bases",
    "packet_bases_arrive", "read_back", "submit_start", "start_completed", "submit_unicast",
    "unicast_completed", "opened",
})  # fmt: skip
"""The steps of an open besides its commands and a reset."""
CLOSING: Final = frozenset({
    "begin_close", "close_shared", "close_last", "wait_for_leavers", "all_left", "drain",
    "drained", "stop_draining", "submit_stop", "stop_completed", "submit_flush", "flush_completed",
    "free_slot", "closed",
})  # fmt: skip
"""The steps of a close besides its commands and a reset."""
RESETTING: Final = frozenset({
    "write_reset", "reset_done", "enable_bus_master", "poll_again", "give_up_reset",
    "card.reset_over",
    "init_command_slot", "cmd.owner_visible", "fence_command_slot", "write_command_base",
    "free_slot",
})  # fmt: skip
"""The card is reset and its command ring set up."""
FAILING: Final = frozenset({"card.fatal_error", "fatal_interrupt", "mark_failed"})
"""The card fails and the driver learns of it."""


# How a run begins


def opens(user: int = FIRST_USER) -> Act:
    """The user opens the card; all comes to rest."""
    return lambda executor, state: open_card(executor, user, state)


def calls(rule: str, t: int = FIRST_USER, **parameters: int) -> Act:
    """A user begins a call; all comes to rest."""
    return in_turn(happens(rule, t=t, **parameters), rests())


def closes(condition: Callable[[State], Bool]) -> Act:
    """The user closes the card; what must happen does, until the condition holds."""
    return in_turn(happens("begin_close", t=FIRST_USER), until(condition))


def fails() -> Act:
    """The card fails; all comes to rest."""
    return in_turn(happens("card.fatal_error"), rests())


def scenario(
    rules: frozenset[str],
    acts: tuple[Act, ...] = (opens(),),
    story: str = "user 2 opens the card",
    limits: Mapping[str, Mapping[str, tuple[int, ...]]] | None = None,
    users: int = 1,
    words: tuple[int, ...] = (9999,),
    counts: tuple[int, ...] = (0,),
    lies: bool = False,
    card: Mapping[str, int] | None = None,
) -> Scenario:
    """Some rules at work on a card that was opened, unless `acts` and `story` say otherwise.

    Args:
        rules: The steps that may be taken in the search, besides those that a fault adds.
        acts: What happens before the search, from power-on.
        story: The same in words.
        limits: Choices that are left out: rule, then parameter, to the values that it may have.
        users: User threads.
        words: What an arbitrary word of memory, or a packet's length, may be.
        counts: How many more packets a write may bring.
        lies: The card is one that may write any length at any time.
        card: What a predecessor has left of the card, by variable.
    """
    sizes = Scope(users=users, words=words, counts=counts)
    return Scenario(rules, acts, story, limits or {}, sizes, {"card.lies": lies, **(card or {})})


def sending(*more: str, users: int = 1) -> Scenario:
    """Users send empty packets and wait until they are sent; `more` steps may be taken, too."""
    return scenario(SENDING | set(more), limits=EMPTY, users=users)


def commanding(*more: str, users: int = 1) -> Scenario:
    """Users add filters; `more` steps may be taken, too."""
    return scenario(COMMANDING | set(more), limits=ONE_FILTER, users=users)


def receiving(
    *more: str, users: int = 1, words: tuple[int, ...] = (9999,), lies: bool = False
) -> Scenario:
    """Users wait for packets and take them; `more` steps may be taken, too."""
    return scenario(
        RECEIVING | set(more),
        limits={"begin_read": READING},
        users=users,
        words=words,
        lies=lies,
    )


# What is looked for


def reader_copies(s: State) -> Bool:
    """The user has the header and is about to copy the packet, or has done so."""
    return at(s, USER, Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER)


def card_writes(s: State) -> Bool:
    """The card is about to write a packet to a buffer."""
    return s.rx.stage == Stage.WRITE_FIRST_WORD


def unlocked(rule: str, meaning: str) -> Mutation:
    """The thread takes the step as if it held the lock, whoever holds it."""
    return pretends(rule, "lock.serving", lambda s, t: s.threads.ticket[t], meaning)
