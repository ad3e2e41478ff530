"""A driver for the mailbox, judged by the specification at every access.

    python -m examples.mailbox.driver [--without release|acquire|doorbell-barrier] [--calls N]

The machine below is as weak as the barriers allow: stores become visible in any order that no
barrier forbids, a load may have been satisfied early, the doorbell arrives late, interrupts come
without a reason. Whatever it does is a step of the specification, or the run ends with a
`Deviation` that says what is wrong and whose fault it is.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Collection
from typing import Final

from engine.judge import CardDeviation, Deviation, Judge, Specification
from engine.scope import Scope
from examples.mailbox.spec import specification

__all__ = ["BARRIERS", "EMPTY", "FULL", "Machine", "call"]

EMPTY, FULL = 0, 1
FLAGS: Final = ("EMPTY", "FULL")
THREAD: Final = 0
SLOT: Final = 0
BARRIERS: Final = ("release", "acquire", "doorbell-barrier")
PATIENCE: Final = 1000
"""How often others take their turns before an interrupt counts as lost."""


def call(machine: Machine, request: int) -> int:
    """Let the device answer a request: this is the whole driver."""
    machine.store("data", request)
    machine.barrier("release")  # the device must find the data when it finds the flag
    machine.store("flag", FULL)
    machine.barrier("doorbell-barrier")  # and the flag when it hears the doorbell
    machine.ring_doorbell()
    while True:
        machine.wait_for_interrupt()
        machine.read_status()
        if machine.load("flag") == EMPTY:
            break
    machine.barrier("acquire")  # the answer is read after the flag
    return machine.load("answer")


class Machine:
    """Weak memory and the device, with the specification beside them.

    Attributes:
        judge: The specification, in the state that the run is in.
    """

    def __init__(self, seed: int, without: Collection[str] = ()) -> None:
        """Barriers that are named in `without` do nothing."""
        self.judge = Judge(Specification(specification(), Scope()))
        self._random = random.Random(seed)
        self._without = frozenset(without)
        self._memory = {"data": -1, "flag": EMPTY, "answer": -1}
        self._pending: list[tuple[str, int, int]] = []  # word, value, how many barriers before it
        self._barriers = 0
        self._doorbell: int | None = None  # how many barriers stood before the one that is posted
        self._early: tuple[int, bool] | None = None  # the answer, and whether it might be loaded
        self._requests: list[int] = []
        self._seen = -1
        self.judge.fire("begin", THREAD)

    # What the driver does

    def store(self, word: str, value: int) -> None:
        """Store a word; it becomes visible later."""
        named = f"box.flag {FLAGS[value]}" if word == "flag" else f"box.{word}"
        self.judge.observe(THREAD, ("store", named), SLOT)
        self._pending.append((word, value, self._barriers))
        if word == "data":
            self._requests.append(value)
        self._others()

    def load(self, word: str) -> int:
        """Load a word: the driver's own store if that is pending, or what memory held, or holds."""
        self._others()
        value = self._memory[word]
        for stored, waiting, _ in self._pending:
            value = waiting if stored == word else value
        if word == "flag":
            self._flag_is_right(value)
            self.judge.observe(THREAD, ("load", f"box.flag {FLAGS[value]}"), SLOT)
        else:
            value = self._as_loaded_early(value)
            self.judge.observe(THREAD, ("load", f"box.{word}"), SLOT)
            self._answer_is_right(value)
            self.judge.fire("begin", THREAD)  # the next request
        return value

    def barrier(self, name: str) -> None:
        """What comes later is not seen before what came earlier."""
        if name not in self._without:
            self._barriers += 1
            self._early = None

    def ring_doorbell(self) -> None:
        """Write the doorbell; it arrives later."""
        self.judge.observe(THREAD, ("doorbell", "box"), SLOT)
        self._doorbell = self._barriers
        self._others()

    def wait_for_interrupt(self) -> None:
        """Return when the interrupt was raised."""
        for _ in range(PATIENCE):
            if self.judge.enabled("take_interrupt", THREAD):
                return
            self._others()
        raise self.judge.deviation("no interrupt comes", "take_interrupt", (THREAD,))

    def read_status(self) -> None:
        """Acknowledge the interrupt."""
        self.judge.observe(THREAD, ("read", "STATUS"))
        self._others()

    # What happens meanwhile

    def _others(self) -> None:
        """Memory and the device take some steps."""
        turns = (self._show_store, self._doorbell_arrives, self._device, self._device)
        for _ in range(self._random.randrange(4)):
            self._random.choice(turns)()
        if self._random.random() < 0.05 and self.judge.enabled("spurious_interrupt"):
            self.judge.fire("spurious_interrupt")
        if self._early is None and self._random.random() < 0.5:
            self._early = self._memory["answer"], self.judge.enabled("box.speculate_answer")
            if self._early[1]:
                self.judge.fire("box.speculate_answer")

    def _show_store(self) -> None:
        """One of the stores that no barrier keeps waiting for another becomes visible."""
        ready = [item for item in self._pending if item[2] == self._pending[0][2]]
        if ready:
            word, value, _ = store = self._random.choice(ready)
            self._pending.remove(store)
            self._memory[word] = value
            self.judge.fire(f"box.{word}_visible", SLOT)

    def _doorbell_arrives(self) -> None:
        before = self._doorbell
        if before is not None and not any(barriers < before for *_, barriers in self._pending):
            self._doorbell = None
            self.judge.fire("doorbell_arrives")

    def _device(self) -> None:
        """The device does what it may do next, on the bytes in memory."""
        memory = self._memory
        if self.judge.enabled("device.look"):
            self.judge.fire("device.look")
        elif self.judge.enabled("device.fetch"):
            self.judge.fire("device.fetch")
            self._seen = memory["data"]
        elif self.judge.enabled("device.answer"):
            self.judge.fire("device.answer")
            memory["answer"] = self._answer_to(self._seen)
        elif self.judge.enabled("device.give_back"):
            self.judge.fire("device.give_back")
            memory["flag"] = EMPTY

    def _answer_to(self, request: int) -> int:
        """What the device makes of a request."""
        return request + 1

    # Whether values are right: the specification knows whose a word is, this machine what it says

    def _as_loaded_early(self, value: int) -> int:
        """The answer that the processor has, if no barrier made it forget it."""
        early, self._early = self._early, None
        if early is None:
            return value
        if not early[1]:
            lines = self.judge.barriers("box.speculate_answer")
            raise Deviation("\n".join(["the load of the answer is satisfied too early", *lines]))
        return early[0]

    def _flag_is_right(self, value: int) -> None:
        now = self.judge.now
        name = "box_full_new" if now["box_flag_pending"][SLOT] else "box_full"
        if value != now[name][SLOT]:
            raise CardDeviation(f"the device stored flag {FLAGS[value]} out of turn")

    def _answer_is_right(self, value: int) -> None:
        request = self._requests[self.judge.now["threads_got"][THREAD]]
        if value != request + 1:
            raise CardDeviation(
                f"the device answered request {request} with {value}; right is {request + 1}"
            )


def main() -> int:
    """Make calls until one deviates."""
    parser = argparse.ArgumentParser(prog="python -m examples.mailbox.driver")
    parser.add_argument("--without", action="append", default=[], choices=BARRIERS,
                        help="leave a barrier of the driver's out; repeatable")  # fmt: skip
    parser.add_argument("--calls", type=int, default=1000, help="how many (default: 1000)")
    options = parser.parse_args()
    machine = Machine(seed=1, without=options.without)
    try:
        for request in range(options.calls):
            call(machine, request)
    except Deviation as deviation:
        print(f"call {request}, {deviation.culprit}: {deviation}")
        return 1
    accesses = sum(machine.judge.accesses.values())
    print(f"{options.calls:,} calls, {accesses:,} accesses judged: all are steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
