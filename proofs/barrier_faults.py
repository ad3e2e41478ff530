"""The removal of each single barrier, one fault each.

The barriers are taken from the specification itself: a new one has its fault at once, and is looked
for in a scenario that takes everything in, until somebody names a better one here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from engine.executor import Executor, Path
from engine.mutations import barriers, without_barrier
from engine.protocol import System
from engine.scope import FlatState
from engine.terms import Bool, constant
from model.state import Label, State
from model.thread_spec import at, holds
from proofs.fault_case import Case, Fault
from proofs.scenarios import (
    COMMANDING,
    DEADLOCK_FREEDOM,
    OPENING,
    RACE_FREEDOM,
    READING,
    RECEIVING,
    RESETTING,
    SENDING,
    Act,
    Scenario,
    calls,
    happens,
    lacking,
    opens,
    rests,
    until,
)

__all__ = ["barrier_cases", "barrier_id"]

USER: Final = constant(2)
SEND_EMPTY: Final = {"begin_write": {"zero": (1,), "nonblocking": (0,)}}
ONE_FILTER: Final = {"begin_filter": {"remove": (0,)}}


@attrs.frozen
class _Known:
    """What is known of one barrier: a short name, what breaks without it, and where that shows."""

    name: str
    property: str
    explanation: str
    scenario: Scenario
    sizes: tuple[int, ...] = (1, 2)
    shows: Callable[[State], Bool] | None = None
    settles: bool = False


TX_STORES: Final = frozenset({"tx.fields_visible", "tx.owner_visible"})
RX_STORES: Final = frozenset({"rx.pointer_visible", "rx.owner_visible"})
STARTS_SENDING: Final = frozenset({
    "tx.look_ahead", "tx.examine", "tx.fetch", "tx.read_first_word", "tx.read_last_word", "tx.send",
})  # fmt: skip
"""A card that looks at its transmit ring unasked."""


def until_free() -> Act:
    """User 2 closes the card, which stops, up to the point where its memory is freed."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        begin = executor.find("begin_close", t=2)
        state = executor.fire(state, begin)
        state, path = until(lambda s: holds(s, USER, Label.FREE))(executor, state)
        return state, (begin, *path)

    return act


def failed_open(*during: Act) -> tuple[Act, ...]:
    """The card is opened, something is under way, the card fails and is being closed."""
    return (
        opens(),
        *during,
        happens("card.fatal_error"),
        rests(),
        happens("begin_close", t=2),
        until(lambda s: holds(s, USER, Label.RESET)),
    )


_KNOWN: Final[Mapping[tuple[str, str], _Known]] = {
    ("tx.owner_visible", "release: fields before owner"): _Known(
        "tx-fields",
        "transmit-fifo",
        """
        The driver stores the slot's fields and then owner = DEVICE, with no store barrier between.
        The processor may make the owner byte visible first. The card finds its slot, reads length
        and pointers that are not there yet, and sends whatever the memory held before.
        """,
        Scenario(SENDING | {"tx.look_ahead"}, limits=SEND_EMPTY),
    ),
    ("tx.owner_visible", "release: payload before owner"): _Known(
        "tx-payload",
        "transmit-fifo",
        """
        The driver stores the payload, the fields, and then owner = DEVICE, and nothing makes the
        payload visible before the owner byte. The card sends a packet of which some words are those
        of an older packet.
        """,
        Scenario(
            SENDING | {"tx.look_ahead"},
            limits={"begin_write": {"zero": (0,), "nonblocking": (0,)}},
        ),
    ),
    ("tx.doorbell_arrives", "owner before doorbell"): _Known(
        "tx-doorbell",
        DEADLOCK_FREEDOM,
        """
        The write to DBELL is not ordered after the store of the owner byte and reaches the card
        first. The card looks at the slot, finds it the host's, and goes to rest. When the owner
        byte becomes visible nobody tells the card: the packet lies there and its writer waits.
        """,
        Scenario(SENDING, limits=SEND_EMPTY),
    ),
    ("tx.speculate_owner", "acquire: event flags before owner"): _Known(
        "tx-events",
        "no-lost-completion",
        """
        The handler reads EVFLAGS, which clears it, and then looks at the owner bytes. Without a
        load barrier between the two the processor may load an owner byte before EVFLAGS is read. A
        packet that completes in between has its event bit cleared by that read, and the handler,
        with the old owner byte in hand, takes the slot for the card's: nobody takes it back.
        """,
        Scenario(
            SENDING | {"tx.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"},
            limits=SEND_EMPTY,
        ),
        settles=True,
    ),
    ("cmd.owner_visible", "release: fields before owner"): _Known(
        "cmd-fields",
        "command-fifo",
        """
        The driver stores the command and then owner = DEVICE, with no store barrier between. The
        owner byte may become visible first: the card executes whatever the slot held before.
        """,
        Scenario(COMMANDING | {"cmd.look_ahead"}, limits=ONE_FILTER),
    ),
    ("cmd.doorbell_arrives", "owner before doorbell"): _Known(
        "cmd-doorbell",
        DEADLOCK_FREEDOM,
        """
        The write to DBELL is not ordered after the store of the owner byte and reaches the card
        first. The card looks, finds the slot the host's, and goes to rest; the command is never
        executed and its caller waits for ever.
        """,
        Scenario(COMMANDING, limits=ONE_FILTER),
    ),
    ("cmd.speculate_owner", "acquire: event flags before owner"): _Known(
        "cmd-events",
        "no-lost-completion",
        """
        Without a load barrier after the read of EVFLAGS the handler may see an owner byte that is
        older than the event flags. A command that completes in between is announced by an event bit
        that the handler has cleared, and is not taken back.
        """,
        Scenario(
            COMMANDING | {"cmd.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"},
            limits=ONE_FILTER,
        ),
        settles=True,
    ),
    ("rx.speculate_owner", "acquire: event flags before owner"): _Known(
        "rx-events",
        "no-lost-packet",
        """
        The handler reads EVFLAGS, which clears it, and then looks whether a packet waits. Without a
        load barrier between the two the owner byte may be loaded first. A packet that is delivered
        in between has its event bit cleared by that read, and the handler, with the old owner byte
        in hand, sees no packet: the card does not become readable and no reader wakes.
        """,
        Scenario(
            RECEIVING | {"rx.speculate_owner", "card.spurious_vector0", "card.withdraw_vector0"},
            limits={"begin_read": READING},
        ),
        settles=True,
    ),
    ("cmd.speculate_status", "acquire: owner before status"): _Known(
        "cmd-result",
        "own-result",
        """
        The handler loads the owner byte of a command's slot and then its error byte, with no load
        barrier between. The processor may load the error byte first, before the card has written
        it: the caller gets the result of an older command.
        """,
        Scenario(COMMANDING | {"cmd.speculate_status", "card.spurious_vector0"}, limits=ONE_FILTER),
    ),
    ("rx.speculate_header", "acquire: owner before header"): _Known(
        "rx-header",
        "receive-fifo",
        """
        The reader loads the owner byte and then the header, with no load barrier between. The
        processor may load the header first, while the card still owns the slot: the reader takes
        length and addresses of whatever lay in the slot before.
        """,
        Scenario(RECEIVING | {"rx.speculate_header"}, limits={"begin_read": READING}),
        shows=lambda s: at(s, USER, Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER),
    ),
    ("rx.owner_visible", "release: pointer before owner"): _Known(
        "rx-pointer",
        RACE_FREEDOM,
        """
        To give a slot back the driver stores its buffer pointers and then owner = DEVICE, with no
        store barrier between. The owner byte may become visible first, and the card reads the
        pointers while the driver's store to them is still on its way.
        """,
        Scenario(RECEIVING, limits={"begin_read": READING}),
    ),
    ("fence_command_slot", "command ring before its base"): _Known(
        "cmd-base",
        "command-fifo",
        """
        After a reset the driver stores owner = HOST to every command slot and then tells the card
        where the ring is. Without a barrier between the two the card may know the ring before the
        stores are visible: it finds the owner byte of a command that was under way when it failed,
        and executes that command again.
        """,
        Scenario(
            (RESETTING | {"cmd.look_ahead", "cmd.examine", "cmd.fetch"}),
            acts=failed_open(
                happens("begin_filter", t=2, remove=0, key=1),
                until(lambda s: s.threads.asleep[USER] & s.cmd.owner[s.cmd.cons_i]),
            ),
            story="user 2 opens the card and adds a filter; the card fails before it has executed "
            "that; user 2 closes it",
        ),
        sizes=(1,),
    ),
    ("free_slot", "stores before transmit memory is freed"): _Known(
        "tx-free",
        "no-store-after-free",
        """
        The driver frees the transmit buffers while stores of its own to them may still be in the
        processor's store buffer. They become visible later, in memory that belongs to somebody else
        by then.
        """,
        Scenario(
            frozenset({"free_slot"}),
            acts=(
                opens(),
                lacking(TX_STORES, calls("begin_write", zero=1, nonblocking=1, more=0)),
                happens("begin_close", t=2),
                lacking(TX_STORES, until(lambda s: holds(s, USER, Label.DRAIN))),
                happens("stop_draining", t=2),
                lacking(TX_STORES, until(lambda s: holds(s, USER, Label.FREE))),
            ),
            story="user 2 opens the card, sends a packet without waiting, and closes the card at "
            "once; the card has stopped",
        ),
        sizes=(1,),
    ),
    ("free_slot", "stores before receive memory is freed"): _Known(
        "rx-free",
        "no-store-after-free",
        """
        The driver frees the receive buffers while its last stores to the slots, of the pointers and
        owner bytes that it gave back, may still be in the processor's store buffer. They become
        visible later, in memory that belongs to somebody else by then.
        """,
        Scenario(
            frozenset({"free_slot"}),
            acts=(
                opens(),
                happens("rx.arrive", key=0, length=9999),
                lacking(RX_STORES, calls("begin_read", nonblocking=0, peek=0)),
                lacking(RX_STORES, until_free()),
            ),
            story="user 2 opens the card, reads a packet, and closes the card at once; the card "
            "has stopped",
        ),
        sizes=(1,),
    ),
    ("fence_packet_slot", "transmit ring before its base"): _Known(
        "tx-base",
        "transmit-fifo",
        """
        The driver stores owner = HOST to every transmit slot, tells the card where the ring is, and
        sends START. New memory may hold anything. If the owner stores are not visible before the
        card knows the ring, it may find DEVICE in a slot and send the garbage behind it.
        """,
        Scenario(
            (COMMANDING | OPENING | STARTS_SENDING) - {"begin_filter"},
            acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.INIT_TX))),
            story="user 2 opens the card as the first; it is reset",
            limits={"init_receive_pointer": {"stale": (0,)}},
        ),
        sizes=(1,),
    ),
    ("fence_packet_slot", "receive ring before its base"): _Known(
        "rx-base",
        "buffer-ownership",
        """
        The driver stores buffer pointers and owner = DEVICE to every receive slot, tells the card
        where the ring is, and sends START. New memory may hold anything. If the pointers are not
        visible before the card uses the ring, it writes the first packet to a wild address.
        """,
        Scenario(
            (COMMANDING | OPENING | RECEIVING) - {"begin_filter", "begin_read"},
            acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.INIT_TX))),
            story="user 2 opens the card as the first; it is reset",
            limits={"init_transmit_slot": {"stale": (0,)}},
        ),
        sizes=(1,),
    ),
}


def barrier_id(rule: str, barrier: str) -> str:
    """The name of the fault in which this barrier is missing."""
    known = _KNOWN.get((rule, barrier))
    words = known.name if known else re.sub(r"[^a-z]+", "-", f"{rule} {barrier}".lower())
    return f"no-barrier-{words.strip('-')}"


def barrier_cases(system: System) -> Iterator[Case]:
    """One fault for each barrier of the system."""
    everything = frozenset(item.rule.name for item in system.transitions)
    for rule, barrier in barriers(system):
        known = _KNOWN.get((rule, barrier)) or _Known(
            "",
            RACE_FREEDOM,
            f"The driver does not enforce that {rule} waits: {barrier}.",
            Scenario(everything),
        )
        yield Case(
            Fault(
                barrier_id(rule, barrier),
                "classic",
                f"the barrier of {rule} is missing ({barrier})",
                known.explanation,
                known.property,
            ),
            without_barrier(rule, barrier),
            known.scenario,
            sizes=known.sizes,
            shows=known.shows,
            settles=known.settles,
        )
