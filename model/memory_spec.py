"""Memory between host and card: when stores, loads and register writes take effect.

The weakest memory that the driver supports (datasheet, Order of memory accesses):

* A host store waits in a store buffer and becomes visible at any later time, in any order with
  other stores, except where a barrier orders it. Each rule below makes one pending store visible;
  each `s.barrier` is an order that the driver must enforce.
* A host load may be satisfied early, at any time since the last acquire barrier that stands before
  it in its program. Each `load_*_early` rule does that.
* A register write is posted: it reaches the card later, register writes keep their order among
  themselves, and it may overtake older stores unless a barrier orders it.
* The card's own writes become visible in the order in which it issues them, one at a time: the
  rules of `device_spec` write memory directly.

The barriers here order less than real ones do (only the words of one slot), so what holds here
holds with real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.rules import SLOT, Party, Rule, RuleBook, bind
from engine.terms import TRUE, And, Bool, If, Number, next_index
from model.device_spec import receive_doorbell
from model.ring_spec import COMMAND, TRANSMIT, RingOperations
from model.state import EVENT_THREAD, Label, State
from model.thread_spec import holder, holds, lock_is_held

__all__ = ["BOOK", "memory_rules"]

BOOK: Final = RuleBook()
ORDER: Final = "Order of memory accesses"


# Stores become visible


def fields_visible(ops: RingOperations, s: State, k: Number) -> None:
    """The stored fields of slot k become visible to the card."""
    ring = ops.ring(s)
    s.require(ring.fields_pending[k])
    s.writes(ops.name, "fields", k)
    ring.fields[k] = ring.sequence[k]
    ring.fields_pending[k] = False
    if ops is COMMAND:
        s.cmd.kind[k] = s.cmd.kind_new[k]
        s.cmd.key[k] = s.cmd.key_new[k]


def owner_visible(ops: RingOperations, s: State, k: Number) -> None:
    """The stored owner byte of slot k becomes visible to the card."""
    ring = ops.ring(s)
    s.require(ring.owner_pending[k])
    s.barrier("release: fields before owner", ~ring.fields_pending[k])
    if ops is TRANSMIT:
        s.barrier(
            "release: payload before owner",
            ~s.tx.first_word_pending[k] & ~s.tx.last_word_pending[k],
        )
    ring.owner[k] = ring.owner_new[k]
    ring.owner_pending[k] = False


def doorbell_arrives(ops: RingOperations, s: State) -> None:
    """The oldest doorbell under way reaches the card."""
    ring = ops.ring(s)
    slot = ring.doorbell_value[ring.doorbells_arrived]
    s.require(ring.doorbells_arrived != ring.doorbells_posted)
    s.barrier(
        "owner before doorbell",
        ~And(ring.owner_pending[slot], ring.sequence[slot] == ring.doorbells_arrived),
    )
    ring.doorbells_arrived = ring.doorbells_arrived + 1
    receive_doorbell(ops, s, slot)


def tx_first_word_visible(s: State, k: Number) -> None:
    """A stored early word of the payload becomes visible to the card."""
    s.require(s.tx.first_word_pending[k])
    s.writes("tx", "first_word", k)
    s.tx.first_word[k] = s.tx.sequence[k]
    s.tx.first_word_pending[k] = False


def tx_last_word_visible(s: State, k: Number) -> None:
    """A stored late word of the payload becomes visible to the card."""
    s.require(s.tx.last_word_pending[k])
    s.writes("tx", "last_word", k)
    s.tx.last_word[k] = s.tx.sequence[k]
    s.tx.last_word_pending[k] = False


def rx_pointer_visible(s: State, k: Number) -> None:
    """The stored buffer pointer of slot k becomes visible to the card."""
    s.require(s.rx.pointer_pending[k])
    s.writes("rx", "pointer", k)
    s.rx.pointer[k] = s.rx.pointer_new[k]
    s.rx.pointer_pending[k] = False


def rx_owner_visible(s: State, k: Number) -> None:
    """The stored owner byte of receive slot k becomes visible to the card."""
    s.require(s.rx.owner_pending[k])
    s.barrier("release: pointer before owner", ~s.rx.pointer_pending[k])
    s.rx.owner[k] = s.rx.owner_new[k]
    s.rx.owner_pending[k] = False


# Loads that are satisfied early. Only the thread that holds the lock loads shared memory that the
# card may still write, so one set of early values is enough.


SCAN: Final = (
    Label.CMD_SCAN,
    Label.CMD_RECLAIM,
    Label.TX_SCAN,
    Label.TX_RECLAIM,
    Label.RX_READY,
)
"""Where the handler looks at the rings, behind its EVFLAGS read, in order."""


def handler_may_look_ahead(s: State, last: Label, barrier: bool = True) -> Bool:
    """The handler stands after the barrier behind its EVFLAGS read, and not beyond `last`."""
    before = SCAN[: SCAN.index(last) + 1]
    labels = before if barrier else (Label.READ_EVENTS, *before)
    return And(lock_is_held(s), holds(s, holder(s), *labels), holder(s) == EVENT_THREAD)


def speculate_owner(ops: RingOperations, s: State) -> None:
    """The handler's next load of an owner byte is satisfied ahead of its turn."""
    ring = ops.ring(s)
    taking = holds(s, holder(s), ops.reclaim)
    slot = If(taking, next_index(ring.cons_i), ring.cons_i)
    s.barrier(
        "acquire: event flags before owner", handler_may_look_ahead(s, ops.reclaim, barrier=True)
    )
    s.require(handler_may_look_ahead(s, ops.reclaim, barrier=False))
    s.require(
        ~ring.owner_speculated & (ring.cons != ring.prod) & (~taking | (ring.cons + 1 != ring.prod))
    )
    s.reads(ops.name, "owner", slot)
    ring.owner_speculated = TRUE
    ring.speculated_owner = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])


def speculate_status(s: State) -> None:
    """The handler's load of the error byte is satisfied ahead of its turn."""
    slot = s.cmd.cons_i
    s.barrier("acquire: owner before status", holds(s, holder(s), Label.CMD_RECLAIM))
    s.require(lock_is_held(s) & holds(s, holder(s), Label.CMD_SCAN, Label.CMD_RECLAIM))
    s.require(~s.cmd.status_speculated & (s.cmd.cons != s.cmd.prod))
    s.reads("cmd", "status", slot)
    s.cmd.status_speculated = TRUE
    s.cmd.speculated_sequence = s.cmd.status_sequence[slot]
    s.cmd.speculated_status = s.cmd.status[slot]


def speculate_rx_owner(s: State) -> None:
    """The next load of an owner byte by a reader or the handler is satisfied ahead of its turn."""
    ring = s.rx
    taking = holds(s, holder(s), Label.RX_HEADER)
    slot = If(taking, next_index(ring.cons_i), ring.cons_i)
    reads = lock_is_held(s) & holds(s, holder(s), Label.RX_OWNER, Label.RX_HEADER, Label.RX_NEXT)
    ahead, sooner = (
        handler_may_look_ahead(s, Label.RX_READY, barrier) & ring.live for barrier in (True, False)
    )
    s.barrier("acquire: event flags before owner", reads | ahead)
    s.require((reads | sooner) & ~ring.owner_speculated)
    s.reads("rx", "owner", slot)
    ring.owner_speculated = TRUE
    ring.speculated_owner = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])


def speculate_header(s: State) -> None:
    """The reader's load of the header is satisfied ahead of its turn."""
    slot = s.rx.cons_i
    s.barrier("acquire: owner before header", holds(s, holder(s), Label.RX_HEADER))
    s.require(lock_is_held(s) & holds(s, holder(s), Label.RX_OWNER, Label.RX_HEADER))
    s.require(~s.rx.header_speculated)
    s.reads("rx", "header", slot)
    s.rx.header_speculated = TRUE
    s.rx.speculated_sequence = s.rx.header[slot]
    s.rx.speculated_length = s.rx.length[slot]


def memory_rules() -> list[Rule]:
    """All rules of this file."""
    memory, host = Party.MEMORY, Party.HOST
    rules: list[Rule] = []
    for ops in (TRANSMIT, COMMAND):
        for slot_body in (fields_visible, owner_visible):
            name = f"{ops.name}.{slot_body.__name__}"
            rules.append(Rule(name, memory, ORDER, (SLOT,), name, bind(slot_body, ops)))
        arrives = f"{ops.name}.doorbell_arrives"
        rules.append(Rule(arrives, memory, ORDER, (), arrives, bind(doorbell_arrives, ops)))
        rules.append(
            Rule(f"{ops.name}.speculate_owner", host, ORDER, (), "", bind(speculate_owner, ops))
        )
    visible: list[Callable[..., None]] = [
        tx_first_word_visible,
        tx_last_word_visible,
        rx_pointer_visible,
        rx_owner_visible,
    ]
    for body in visible:
        name = body.__name__.replace("_", ".", 1)
        rules.append(Rule(name, memory, ORDER, (SLOT,), name, body))
    early = {
        "cmd.speculate_status": speculate_status,
        "rx.speculate_owner": speculate_rx_owner,
        "rx.speculate_header": speculate_header,
    }
    rules.extend(Rule(name, host, ORDER, (), "", body) for name, body in early.items())
    return rules
