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


LOOP = "        for number in range(self.produced, end):\n"
OTHER_ORDERS = {
    "the last slot first": [
        SourceChange(
            "ring",
            LOOP,
            "        first, self.produced = self.produced, end\n"
            "        for number in reversed(range(first, end)):\n",
        ),
        SourceChange("ring", "            self.produced = number + 1\n", ""),
    ],
    "slot by slot": [
        SourceChange(
            "ring",
            "                number += 1\n",
            "                number += 1\n                self.hand_over(number)\n",
        ),
        SourceChange(
            "ring",
            "            # What cannot be filled in ends the batch, and those before it are good.\n"
            "            self.hand_over(number)\n",
            "            pass\n",
        ),
    ],
    "a barrier before each owner byte": [
        SourceChange("ring", LOOP, LOOP + "            self._device.release()\n"),
    ],
}


@pytest.mark.parametrize("order", OTHER_ORDERS)
def test_other_orders_that_are_right_are_allowed(order):
    code = DriverCode.changed(OTHER_ORDERS[order])
    found = search(code, examples=30 if chosen().name == "dev" else 100)
    assert found.deviation is None
    assert found.accesses > 1000
