"""Memory between host and card: when stores, loads and register writes take effect.

The weakest memory that the driver supports (datasheet, Order of memory accesses):

* A host store waits in a store buffer and becomes visible at any later time, in any order with
  other stores, except where a barrier orders it.
* A host load may be satisfied early, at any time since the last acquire barrier that stands before
  it in its program.
* A register write is posted: it reaches the card later, register writes keep their order among
  themselves, and it may overtake older stores unless a barrier orders it.
* The card's own writes become visible in the order in which it issues them, one at a time: the
  rules of `device_spec` write memory directly.

Which words there are, and which barrier orders them, is declared in `model.words`; the steps of
memory follow from that. The barriers here order less than real ones do (only the words of one
slot), so what holds here holds with real ones.
"""

from __future__ import annotations

from typing import Final

from engine.rules import Party, Rule, bind
from engine.terms import And
from engine.weak_memory import speculation_rule, visible_rule
from model.device_spec import receive_doorbell
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


def memory_rules() -> list[Rule]:
    """All rules of this file: of each word, and of the doorbells."""
    rules: list[Rule] = []
    for word in WORDS:
        steps = visible_rule(word, ORDER), speculation_rule(word, ORDER)
        rules += [rule for rule in steps if rule is not None]
    for ops in (TRANSMIT, COMMAND):
        name = f"{ops.name}.doorbell_arrives"
        rules.append(Rule(name, Party.MEMORY, ORDER, (), name, bind(doorbell_arrives, ops)))
    return rules
