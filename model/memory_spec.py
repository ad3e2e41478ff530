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

from model.algebra import TRUE, And, Bool, If, Number, next_index
from model.device_spec import receive_doorbell
from model.ring_spec import COMMAND, TRANSMIT, RequestProgram
from model.rules import SLOT, Party, Rule, RuleBook, bind
from model.state import EVENT_THREAD, Label, State
from model.thread_spec import holder, holds, lock_is_held

__all__ = ["BOOK", "memory_rules"]

BOOK: Final = RuleBook()
ORDER: Final = "Order of memory accesses"


# Stores become visible


def fields_visible(p: RequestProgram, s: State, k: Number) -> None:
    """The stored fields of slot k become visible to the card."""
    ring = p.ring(s)
    s.require(ring.fields_pending[k])
    s.writes(p.name, "fields", k)
    ring.fields[k] = ring.tag[k]
    ring.fields_pending[k] = False
    if p is COMMAND:
        s.cmd.kind[k] = s.cmd.kind_new[k]
        s.cmd.key[k] = s.cmd.key_new[k]


def owner_visible(p: RequestProgram, s: State, k: Number) -> None:
    """The stored owner byte of slot k becomes visible to the card."""
    ring = p.ring(s)
    s.require(ring.owner_pending[k])
    s.barrier("release: fields before owner", ~ring.fields_pending[k])
    if p is TRANSMIT:
        s.barrier("release: payload before owner", ~s.tx.head_pending[k] & ~s.tx.tail_pending[k])
    ring.owner[k] = ring.owner_new[k]
    ring.owner_pending[k] = False


def doorbell_arrives(p: RequestProgram, s: State) -> None:
    """The oldest doorbell under way reaches the card."""
    ring = p.ring(s)
    slot = ring.bell_value[ring.heard]
    s.require(ring.heard != ring.rung)
    s.barrier("owner before doorbell", ~And(ring.owner_pending[slot], ring.tag[slot] == ring.heard))
    ring.heard = ring.heard + 1
    receive_doorbell(p, s, slot)


def tx_head_visible(s: State, k: Number) -> None:
    """A stored early word of the payload becomes visible to the card."""
    s.require(s.tx.head_pending[k])
    s.writes("tx", "head", k)
    s.tx.head[k] = s.tx.tag[k]
    s.tx.head_pending[k] = False


def tx_tail_visible(s: State, k: Number) -> None:
    """A stored late word of the payload becomes visible to the card."""
    s.require(s.tx.tail_pending[k])
    s.writes("tx", "tail", k)
    s.tx.tail[k] = s.tx.tag[k]
    s.tx.tail_pending[k] = False


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
    Label.CMD_RECLAIM,
    Label.CMD_TAKE,
    Label.TX_RECLAIM,
    Label.TX_TAKE,
    Label.RX_READY,
)
"""Where the handler looks at the rings, behind its EVFLAGS read, in order."""


def handler_may_look_ahead(s: State, last: Label, barrier: bool = True) -> Bool:
    """The handler stands after the barrier behind its EVFLAGS read, and not beyond `last`."""
    before = SCAN[: SCAN.index(last) + 1]
    labels = before if barrier else (Label.READ_EVENTS, *before)
    return And(lock_is_held(s), holds(s, holder(s), *labels), holder(s) == EVENT_THREAD)


def load_owner_early(p: RequestProgram, s: State) -> None:
    """The handler's next load of an owner byte is satisfied ahead of its turn."""
    ring = p.ring(s)
    taking = holds(s, holder(s), p.take)
    slot = If(taking, next_index(ring.cons_i), ring.cons_i)
    s.barrier("acquire: event flags before owner", handler_may_look_ahead(s, p.take, barrier=True))
    s.require(handler_may_look_ahead(s, p.take, barrier=False))
    s.require(~ring.early & (ring.cons != ring.prod) & (~taking | (ring.cons + 1 != ring.prod)))
    s.reads(p.name, "owner", slot)
    ring.early = TRUE
    ring.early_owner = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])


def load_result_early(s: State) -> None:
    """The handler's load of the error byte is satisfied ahead of its turn."""
    slot = s.cmd.cons_i
    s.barrier("acquire: owner before result", holds(s, holder(s), Label.CMD_TAKE))
    s.require(lock_is_held(s) & holds(s, holder(s), Label.CMD_RECLAIM, Label.CMD_TAKE))
    s.require(~s.cmd.early_result & (s.cmd.cons != s.cmd.prod))
    s.reads("cmd", "result", slot)
    s.cmd.early_result = TRUE
    s.cmd.early_tag = s.cmd.result[slot]
    s.cmd.early_code = s.cmd.code[slot]


def load_rx_owner_early(s: State) -> None:
    """The next load of an owner byte by a reader or the handler is satisfied ahead of its turn."""
    ring = s.rx
    taking = holds(s, holder(s), Label.RX_HEADER)
    slot = If(taking, next_index(ring.cons_i), ring.cons_i)
    reads = lock_is_held(s) & holds(s, holder(s), Label.RX_OWNER, Label.RX_HEADER, Label.RX_NEXT)
    ahead, sooner = (
        handler_may_look_ahead(s, Label.RX_READY, barrier) & ring.live for barrier in (True, False)
    )
    s.barrier("acquire: event flags before owner", reads | ahead)
    s.require((reads | sooner) & ~ring.early)
    s.reads("rx", "owner", slot)
    ring.early = TRUE
    ring.early_owner = If(ring.owner_pending[slot], ring.owner_new[slot], ring.owner[slot])


def load_header_early(s: State) -> None:
    """The reader's load of the header is satisfied ahead of its turn."""
    slot = s.rx.cons_i
    s.barrier("acquire: owner before header", holds(s, holder(s), Label.RX_HEADER))
    s.require(lock_is_held(s) & holds(s, holder(s), Label.RX_OWNER, Label.RX_HEADER))
    s.require(~s.rx.early_header)
    s.reads("rx", "header", slot)
    s.rx.early_header = TRUE
    s.rx.early_tag = s.rx.header[slot]
    s.rx.early_length = s.rx.length[slot]


def memory_rules() -> list[Rule]:
    """All rules of this file."""
    memory, host = Party.MEMORY, Party.HOST
    rules: list[Rule] = []
    for p in (TRANSMIT, COMMAND):
        for slot_body in (fields_visible, owner_visible):
            name = f"{p.name}.{slot_body.__name__}"
            rules.append(Rule(name, memory, ORDER, (SLOT,), name, bind(slot_body, p)))
        arrives = f"{p.name}.doorbell_arrives"
        rules.append(Rule(arrives, memory, ORDER, (), arrives, bind(doorbell_arrives, p)))
        rules.append(
            Rule(f"{p.name}.load_owner_early", host, ORDER, (), "", bind(load_owner_early, p))
        )
    visible: list[Callable[..., None]] = [
        tx_head_visible,
        tx_tail_visible,
        rx_pointer_visible,
        rx_owner_visible,
    ]
    for body in visible:
        name = body.__name__.replace("_", ".", 1)
        rules.append(Rule(name, memory, ORDER, (SLOT,), name, body))
    early: list[Callable[..., None]] = [load_result_early, load_rx_owner_early, load_header_early]
    rules.extend(Rule(body.__name__, host, ORDER, (), "", body) for body in early)
    return rules
