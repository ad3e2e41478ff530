"""Which lines of the driver are run on some way, and why others are not.

A proof of lines that no way runs would be a proof of nothing. Every line of `impl/ring.py`,
`impl/controller.py` and `impl/lifecycle.py` that can run belongs to a function that some call is to
run wholly, or is named here with the reason why none does.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import impl.controller
import impl.lifecycle
import impl.ring

__all__ = ["ELSEWHERE", "EXCUSED", "RUN_BY", "functions", "missing_lines"]

MODULES: Final[tuple[types.ModuleType, ...]] = (impl.ring, impl.controller, impl.lifecycle)
RAISED: Final = "only an access that raises gets there, as one of a card that is gone may"
KERNEL: Final = "the kernel in C, which is compared and not proved"
LIFE: Final = "start, reset and freeing of the card, which are compared and not proved"
BEHIND: Final = "it follows the reset or the freeing, up to which it is proved"
BEFORE: Final = "what is done before a call begins, and touches nothing that is shared"
ABSTRACT: Final = "it only says what the classes below it have"
UNUSED: Final = "`bounds` shows that nothing gets there"
"""Reasons."""

RUN_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "peek": (
        *("Controller.peek", "Controller._enter", "Controller._leave", "Controller._check"),
        *("Controller._sleep", "Controller._surely", "Controller._wait_for_packet"),
        *("Controller._wait_in_line", "Controller._packet_waits", "Controller._announce_packet"),
        *("Controller._tell_of_packet", "ReceiveRing.peek"),
        "ReceiveRing._load_header",
    ),
    "receive_view": (
        *("Controller.receive_packet", "Controller.repost", "Controller._look_at_next"),
        *("attempted", "ReceiveRing.consume", "ReceiveRing._take"),
        *("ReceiveRing.borrow", "ReceiveRing.refill", "ReceiveRing.repost"),
        "ReceiveRing._hand_over",
    ),
    "receive_packets": (
        *("Controller.receive_packets", "Controller._show_that_none_waits"),
        *("Controller._show_that_another_waits", "Controller._unset_readable"),
        *("Controller._next_call", "Controller._give_back_again", "ReceiveRing.receive"),
        *("ReceiveRing._receive", "ReceiveRing.copy"),
    ),
    "send": (
        *("Controller.send", "Controller.submit", "Controller._announce"),
        *("Controller._wait_for_turn", "Controller._wait_for_completion"),
        *("Controller.free_slots", "Controller.show_writable", "RequestRing.room"),
        *("RequestRing.last_slot", "RequestRing.produce", "RequestRing.hand_over"),
        *("RequestRing.ring_doorbell", "RequestRing.abandon"),
        *("TransmitRing.produce", "TransmitRing.ring_doorbell", "TransmitRing.fill_in"),
    ),
    "change_filter": (
        *("Controller.change_filter", "Controller.command", "RequestRing.next_slot"),
        "CommandRing.fill_in",
    ),
    "serve_events": (
        *("Controller.serve_events", "TransmitRing.reclaim_all", "TransmitRing._returned"),
        "ReceiveRing.packet_ready",
        *("RequestRing.has_completion", "RequestRing.reclaim_all", "RequestRing.reclaim"),
        "CommandRing._result",
    ),
    "open": ("Lifecycle.open", "Lifecycle._wait_for_others"),
    "close": (
        *("Lifecycle.close", "Lifecycle._close_last", "Lifecycle._wait_for_leavers"),
        *("Lifecycle._drain", "Lifecycle._shut_down", "Lifecycle._command"),
        *("Lifecycle._recover_if_possible", "RequestRing.outstanding"),
    ),
    "serve_fatal": ("Controller.serve_fatal", "Controller.wake_everyone", "Controller._serve"),
}
"""By call: the functions of which it runs every line."""
ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("_Detached.__getitem__", "_Detached.__setitem__"), UNUSED),
    **dict.fromkeys(
        (
            *("RequestRing.__init__", "RequestRing.restart", "RequestRing.retire"),
            *("RequestRing._forget", "RequestRing.initialise_slot", "Controller.start"),
            *("TransmitRing.__init__", "TransmitRing.start_over", "TransmitRing.retire"),
            *("ReceiveRing.__init__", "ReceiveRing.start_over", "ReceiveRing.retire"),
            *("ReceiveRing.initialise_slot", "fields_of", "Controller.__init__"),
            *("Controller.stop", "Lifecycle.__init__", "Lifecycle._open_first"),
            *("Lifecycle._start", "Lifecycle._undo_set_up", "Lifecycle._recover"),
            *("Lifecycle._await_reset", "Lifecycle._set_up", "Lifecycle._retire_packet_rings"),
            *("Lifecycle._free", "_foremost"),
        ),
        LIFE,
    ),
    **dict.fromkeys(
        ("RequestRing.fill_in", "RequestRing._result", "TransmitRing._result"), ABSTRACT
    ),
    "TransmitRing.checked": BEFORE,
    "ReceiveRing._bound_kernel": KERNEL,
    **dict.fromkeys(("Controller._give_back", "Controller.fail"), RAISED),
}
"""Functions that no call runs wholly, and why."""
_EXCUSED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "Controller._surely",
        RAISED,
        (
            *("except BaseException:", "try:", "step()", "except BaseException as error:"),
            'self.fail(f"{what} was not dealt with ({error!r})")',
            "raise",
        ),
    ),
    (
        "Controller._serve",
        RAISED,
        (
            *("except BaseException as error:", "self.runtime.lock()", "try:"),
            *("self._served.discard(vector)", "self.runtime.unlock()", "raise"),
            'self.fail(f"the card\'s interrupts cannot be served any more ({error!r})")',
        ),
    ),
    (
        "Controller.receive_packet",
        RAISED,
        ("attempted(functools.partial(self._give_back, slot))",),
    ),
    (
        "Controller.repost",
        RAISED,
        ('self._surely("a receive slot", refill)', "raise problem"),
    ),
    (
        "Controller._give_back_again",
        RAISED,
        ('self._surely("a receive slot", refill)', "raise problem"),
    ),
    (
        "ReceiveRing.receive",
        KERNEL,
        (
            "known = packets.over(self._datapath.kernel)"
            " if isinstance(packets, PacketBatch) else packets",
            *("while True:", "part, before = min(most, self.slots), len(packets)"),
            *("kernel.receive(known, part)", "most -= part", "return"),
            "if not most or len(packets) - before < part:",
            *("if not turn.next_call():", "if not self.packet_ready():", "turn.none_waits()"),
        ),
    ),
    (
        "TransmitRing.produce",
        KERNEL,
        (
            "known = batch.over(self._datapath.kernel)"
            " if isinstance(batch, PacketBatch) else batch",
            "done = self._kernel.produce(known, begin, self.room, self.produced)",
            *("self.produced += done", "if begin + done == len(batch):"),
            "self._waiting[self.last_slot] = request",
        ),
    ),
    (
        "TransmitRing.ring_doorbell",
        KERNEL,
        ("self._kernel.doorbell(self._first_bell + self.last_slot)",),
    ),
    (
        "TransmitRing._returned",
        KERNEL,
        ("count: int = self._kernel.returned(first, end - first)", "return count"),
    ),
    (
        "Lifecycle._close_last",
        BEHIND,
        (
            *("controller.life = Life.CLOSED", "self._runtime.wake(WaitQueue.LIFE)"),
            *("problem = _foremost(problems)", "if problem is not None:", "raise problem"),
            *("if self.needs_reset:", "raise CardFailedError("),
            '"the card neither stops nor resets; its memory is kept, and the next open tries "',
        ),
    ),
    (
        "Lifecycle._shut_down",
        BEHIND,
        ("return interruption", "self._free(StopCompleted(stopped))", "return None"),
    ),
    (
        "Lifecycle._recover_if_possible",
        BEHIND,
        (
            *("except DuctError:", "return None", "except BaseException as interruption:"),
            "return interruption",
        ),
    ),
    ("attempted", RAISED, ("except BaseException as error:", "return error")),
)
EXCUSED: Final[Mapping[tuple[str, str], str]] = {
    (name, text): reason for name, reason, texts in _EXCUSED for text in texts
}
"""Lines, by function and text, that no way runs, and why."""


def functions() -> Mapping[str, types.CodeType]:
    """All functions of the driver's three files, by qualified name."""
    found: dict[str, types.CodeType] = {}
    for module in MODULES:
        source = inspect.getsource(module)
        assert module.__file__ is not None
        for code in _inside(compile(source, module.__file__, "exec")):
            if not code.co_name.startswith("<") and code.co_flags & inspect.CO_OPTIMIZED:
                found[code.co_qualname] = code
    return found


def _inside(code: types.CodeType) -> Iterator[types.CodeType]:
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield item
            yield from _inside(item)


def missing_lines(names: Sequence[str], run: Mapping[str, set[int]]) -> list[str]:
    """The lines of some functions that no way ran and that nobody excuses."""
    known = functions()
    left = []
    for name in names:
        code = known[name]
        text = inspect.getsource(
            next(module for module in MODULES if module.__file__ == code.co_filename)
        ).splitlines()
        lines = {number for _, _, number in code.co_lines() if number is not None}
        for number in sorted(lines - {code.co_firstlineno} - run.get(code.co_filename, set())):
            said = text[number - 1].strip()
            if (name, said) not in EXCUSED:
                left.append(f"{name}, line {number}: {said}")
    return left
