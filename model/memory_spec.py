"""Memory between host and card: when stores, loads and register writes take effect.

The weakest memory that the driver supports (datasheet, Order of memory accesses):

* A host store waits in a store buffer and becomes visible at any later time, in any order with
  other stores, except where a barrier orders it.
* A host load may be satisfied early, at any time since the last acquire barrier that stands before
  it in its program; or late, as long as no release barrier and no unlock behind it forbids it.
* A register write is posted: it reaches the card later, register writes keep their order among
  themselves, and it may overtake older stores unless a barrier orders it. A register read is
  answered when the writes before it have arrived, and what stands behind it may come first. Two
  writes act at once: RST, since the driver touches nothing that is shared before a read of FLAGS
  has made it arrive, and the command ring's address, since the card does nothing with it before.
* The card's own writes become visible in the order in which it issues them, one at a time: the
  rules of `device_spec` write memory directly.

Which words there are, and which barrier orders them, is declared in `model.words`; the steps of
memory follow from that. The barriers here order less than real ones do (only the words of one
slot), so what holds here holds with real ones.
"""

from __future__ import annotations

from typing import Final

from engine.rules import Party, Rule, bind
from engine.terms import FALSE, And
from engine.weak_memory import memory_steps
from model.device_spec import receive_doorbell, receive_packet_bases
from model.ring_spec import COMMAND, TRANSMIT, RingOperations
from model.state import State
from model.words import WORDS

__all__ = ["memory_rules"]

ORDER: Final = "Order of memory accesses"


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


def packet_bases_arrive(s: State) -> None:
    """The packet rings' addresses reach the card; a read behind them is answered."""
    s.require(s.card.bases_posted)
    s.card.bases_posted = FALSE
    s.driver.read_unanswered = FALSE
    receive_packet_bases(s)


def memory_rules() -> list[Rule]:
    """All rules of this file: of each word, of the doorbells, and of the rings' addresses."""
    rules = [rule for word in WORDS for rule in memory_steps(word, ORDER)]
    for ops in (TRANSMIT, COMMAND):
        name = f"{ops.name}.doorbell_arrives"
        rules.append(Rule(name, Party.MEMORY, ORDER, (), name, bind(doorbell_arrives, ops)))
    name = "packet_bases_arrive"
    rules.append(Rule(name, Party.MEMORY, ORDER, (), name, packet_bases_arrive))
    return rules
