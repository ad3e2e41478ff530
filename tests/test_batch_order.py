"""A batch fills all its slots in, then hands them over: what the judge takes for granted of that.

The specification hands over slot by slot. The judge takes its step early, when the driver fills in
the next slot, and the driver stores the owner byte later (docs/comparison.md, Batch order).
"""

import pytest

from engine.codegen import reads
from engine.rules import Party
from model.system import specification
from properties.driver_source import DriverCode, SourceChange
from properties.fault_runs import search
from properties.profiles import chosen

EARLY = ("tx.store_owner", "tx.next_of_batch", "tx.claim")
"""The steps that are taken before the owner byte is stored."""
OWN = {"threads.completed", "threads.handed", "threads.more", "threads.pc"}
OWN |= {"threads.request", "threads.slot", "threads.zero"}
"""What a step changes of its own thread only."""
SHOWN = {
    # Taken when the store, or the doorbell, really arrives.
    "tx.owner_visible": {"tx.owner_new", "tx.owner_pending"},
    "tx.doorbell_arrives": {
        *("tx.doorbell_value", "tx.doorbells_posted", "tx.owner_pending", "tx.sequence"),
    },
    # Whose packet is in the slot that is being stored to.
    "tx.first_word_visible": {"tx.sequence"},
    "tx.last_word_visible": {"tx.sequence"},
    "tx.fields_visible": {"tx.sequence"},
}
"""The only rules that anybody may take without the lock and that read what those steps change."""


def read_by(step):
    found = reads([step.guard, *step.updates.values()])
    return found.whole | {name for name, _ in found.elements}


def test_nobody_without_the_lock_can_tell_that_an_owner_store_was_issued():
    steps = {step.rule.name: step for step in specification().transitions}
    changed = set().union(*(steps[name].updates for name in EARLY))
    assert changed > OWN
    told = {
        name: read_by(step) & changed - OWN
        for name, step in steps.items()
        if "lock.serving" not in reads([step.guard]).whole
    }
    assert {name: seen for name, seen in told.items() if seen} == SHOWN
    assert not any(steps[name].rule.party is Party.DEVICE for name in SHOWN)


@pytest.mark.parametrize("name", EARLY)
def test_those_steps_need_the_lock(name):
    (step,) = (step for step in specification().transitions if step.rule.name == name)
    assert "lock.serving" in reads([step.guard]).whole


PUT = (
    "        first, end = self.produced, min(last + 1, begin + self.room)\n"
    "        for number in range(begin, end):\n"
    "            self.fill_in(batch[number])\n"
    "            self.produced += 1\n"
    "        self._device.release()\n"
    "        for number in {order}:\n"
    "            slot = first + number - begin & self._mask\n"
    "            self._octets[slot * self.slot_size + OWNER] = DEVICE\n"
    "            self._waiting[slot] = request if number == last else None\n"
)
SLOT_BY_SLOT = (
    "        for number in range(begin, min(last + 1, begin + self.room)):\n"
    "            self.fill_in(batch[number])\n"
    "            self.hand_over(request if number == last else None)\n"
)
ORDERS = {
    "batch order": "range(begin, end)",
    "batch order, the last slot first": "reversed(range(begin, end))",
}


def in_order(order):
    return DriverCode.changed([SourceChange("ring", SLOT_BY_SLOT, PUT.format(order=order))])


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_orders_that_are_right_are_allowed(order):
    found = search(in_order(order), examples=30 if chosen().name == "dev" else 100)
    assert found.deviation is None
    assert found.accesses > 1000


def test_batch_order_needs_its_barrier_behind_all_fields():
    put = PUT.format(order="range(begin, end)").replace("        self._device.release()\n", "")
    filled = "            self.fill_in(batch[number])\n"
    early = put.replace(filled, "            self._device.release()\n" + filled)
    code = DriverCode.changed([SourceChange("ring", SLOT_BY_SLOT, early)])
    assert search(code).deviation is not None
