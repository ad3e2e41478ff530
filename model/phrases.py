"""What the steps of host and card, and what they change, are called where people read them.

Variables that only mirror others (indices, tickets), history, and what a phrase already tells have
no word; the trace has them all.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.phrases import Column, Context, Phrases, Word, either, say
from engine.trace import Change, Step, Value
from model.layout import Command
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label, Life, Result, Stage
from model.thread_spec import SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_RX, SLEEPS_TX

__all__ = ["PHRASES"]

CHANNELS: Final[Mapping[str, tuple[Label, ...]]] = {
    "threads.wake_tx": SLEEPS_TX,
    "threads.wake_cmd": SLEEPS_CMD,
    "threads.wake_rx": SLEEPS_RX,
    "threads.wake_life": SLEEPS_LIFE,
}


def _owner(device: Value) -> str:
    return "DEVICE" if device else "HOST"


def _result_of_call(context: Context, change: Change) -> str:
    return f"result {Result(change.new).name}" if change.new else ""


def _label(context: Context, change: Change) -> str:
    if change.new == Label.IDLE:
        thread = change.index
        return f"returns {Result(context.at('threads.result', thread)).name}"
    return "done" if change.new == Label.FATAL_IDLE else ""


def _pending(ring: str, word: str, name: str, value: Callable[[Context, int], str]) -> Word:
    """A store that enters the store buffer or leaves it."""

    def words(context: Context, change: Change) -> str:
        slot = change.index or 0
        how = "buffered" if change.new else "visible"
        return f"{how} {ring}[{slot}] {name}{value(context, slot)}"

    return words


def _memory_owner(ring: str) -> Word:
    """The owner byte changed in memory; silent where a store of the host's became visible."""

    def words(context: Context, change: Change) -> str:
        drained = f"{ring}.owner_pending"
        slot = change.index or 0
        if context.before[drained][slot] and not context.after[drained][slot]:
            return ""
        if any(other.variable == f"{ring}.exists" for other in context.step.changes):
            return ""
        return f"{ring}[{slot}] owner={_owner(change.new)}"

    return words


def _written(ring: str, pending: str, name: str) -> Word:
    """A word changed in memory; silent where a store became visible, or with fresh memory."""

    def words(context: Context, change: Change) -> str:
        for other in context.step.changes:
            if other.variable in (f"{ring}.exists", f"{ring}.{pending}"):
                return ""
        return f"{ring}[{change.index}] {name} #{change.new}"

    return words


def _exists(ring: str) -> Word:
    def words(context: Context, change: Change) -> str:
        if not change.new:
            return f"freed: {ring}[{change.index}]"
        holds = _owner(context.at(f"{ring}.owner", change.index))
        return f"new: {ring}[{change.index}], reads {holds}"

    return words


def _doorbell_posted(ring: str) -> Word:
    def words(context: Context, change: Change) -> str:
        slot = context.at(f"{ring}.doorbell_value", int(change.new) - 1)
        return f"posted: doorbell {ring}[{slot}]"

    return words


def _doorbell_arrived(ring: str) -> Word:
    def words(context: Context, change: Change) -> str:
        slot = context.at(f"{ring}.doorbell_value", int(change.new) - 1)
        return f"arrives: doorbell {ring}[{slot}]"

    return words


def _wakes(context: Context, thread: int) -> bool:
    """Whether the step wakes a thread: the thread sleeps on a channel that the step signals."""
    if not context.before["threads.asleep"][thread]:
        return False
    label = context.before["threads.pc"][thread]
    return any(
        change.index == thread and change.new and label in CHANNELS.get(change.variable, ())
        for change in context.step.changes
    )


def _told(context: Context, change: Change) -> str:
    thread = change.index or 0
    if not change.new:
        return ""
    return f"{'wakes' if _wakes(context, thread) else 'tells'} {PHRASES.thread(thread)}"


def _woken(context: Context, change: Change) -> str:
    thread = change.index or 0
    told = any(
        other.variable == "threads.completed" and other.index == thread and other.new
        for other in context.step.changes
    )
    return f"wakes {PHRASES.thread(thread)}" if _wakes(context, thread) and not told else ""


def _sequence(array: str) -> Callable[[Context, int], str]:
    return lambda context, slot: f" #{context.at(array, slot)}"


def _owner_new(ring: str) -> Callable[[Context, int], str]:
    return lambda context, slot: f"={_owner(context.at(f'{ring}.owner_new', slot))}"


def _command(context: Context, slot: int) -> str:
    return f"{Command(context.at('cmd.kind_new', slot)).name} #{context.at('cmd.sequence', slot)}"


def _nothing(context: Context, slot: int) -> str:
    return ""


def _result(context: Context, change: Change) -> str:
    slot = change.index or 0
    return f"cmd[{slot}] error byte {Result(context.at('cmd.status', slot)).name} of #{change.new}"


def _header(context: Context, change: Change) -> str:
    if any(other.variable == "rx.exists" for other in context.step.changes):
        return ""
    slot = change.index or 0
    return f"rx[{slot}] header #{change.new}, {context.at('rx.length', slot)} bytes"


def _length(context: Context, change: Change) -> str:
    for other in context.step.changes:
        if other.variable in ("rx.exists", "rx.header"):
            return ""
    return f"rx[{change.index}] length {change.new}"


def _request_ring(ring: str) -> dict[str, tuple[Column, Word]]:
    host, memory, device = Column
    bit = {"tx": "TXCOMP", "cmd": "CMDCOMP"}[ring]
    return {
        f"{ring}.waiters.cancelled": (host, either("cancels")),
        f"{ring}.prod": (host, say(f"{ring} prod={{new}}")),
        f"{ring}.cons": (host, say(f"{ring} cons={{new}}")),
        f"{ring}.owner_pending": (memory, _pending(ring, "owner", "owner", _owner_new(ring))),
        f"{ring}.owner": (memory, _memory_owner(ring)),
        f"{ring}.doorbells_posted": (memory, _doorbell_posted(ring)),
        f"{ring}.doorbells_arrived": (memory, _doorbell_arrived(ring)),
        f"{ring}.look": (device, either(f"{ring} will look")),
        f"{ring}.event": (device, either("", f"{bit} cleared")),
        f"{ring}.based": (device, either(f"knows {ring} ring", f"forgets {ring} ring")),
    }


_HOST, _MEMORY, _DEVICE = Column
# Every variable that is shown, most telling first within its column.
_WORDS: Final[Mapping[str, tuple[Column, Word]]] = {
    "card.sequence_error": (_DEVICE, either("SEQ: protocol broken")),
    "card.flags": (_DEVICE, say("FLAGS={new}", Flags)),
    "card.vector1": (_DEVICE, either("vector 1 raised")),
    "threads.pc": (_HOST, _label),
    "threads.asleep": (_HOST, either("sleeps")),
    "threads.completed": (_HOST, _told),
    "threads.result": (_HOST, _result_of_call),
    "driver.life": (_HOST, say("card {new}", Life)),
    "driver.failed": (_HOST, either("card failed", "failure forgotten")),
    "driver.handles": (_HOST, say("opens={new}")),
    "driver.needs_reset": (_HOST, either("reset needed")),
    "rx.ready": (_HOST, either("readable", "not readable")),
    "rx.waiters.cancelled": (_HOST, either("cancels")),
    "rx.held": (_HOST, either("holds the slot", "")),
    "rx.cons": (_HOST, say("rx cons={new}")),
    **{name: word for name, word in _request_ring("tx").items() if word[0] is not _DEVICE},
    **{name: word for name, word in _request_ring("cmd").items() if word[0] is not _DEVICE},
    "threads.wake_tx": (_HOST, _woken),
    "threads.wake_cmd": (_HOST, _woken),
    "threads.wake_rx": (_HOST, _woken),
    "threads.wake_life": (_HOST, _woken),
    "tx.exists": (_MEMORY, _exists("tx")),
    "rx.exists": (_MEMORY, _exists("rx")),
    "tx.fields_pending": (_MEMORY, _pending("tx", "fields", "fields", _sequence("tx.sequence"))),
    "tx.first_word_pending": (
        _MEMORY,
        _pending("tx", "first_word", "first word", _sequence("tx.sequence")),
    ),
    "tx.last_word_pending": (
        _MEMORY,
        _pending("tx", "last_word", "last word", _sequence("tx.sequence")),
    ),
    "cmd.fields_pending": (_MEMORY, _pending("cmd", "fields", "", _command)),
    "cmd.status_sequence": (_MEMORY, _result),
    "rx.owner_pending": (_MEMORY, _pending("rx", "owner", "owner", _owner_new("rx"))),
    "rx.pointer_pending": (_MEMORY, _pending("rx", "pointer", "pointer", _nothing)),
    "rx.owner": (_MEMORY, _memory_owner("rx")),
    "rx.header": (_MEMORY, _header),
    "rx.length": (_MEMORY, _length),
    "rx.first_word": (_MEMORY, _written("rx", "", "first word")),
    "rx.last_word": (_MEMORY, _written("rx", "", "last word")),
    "card.started": (_DEVICE, either("traffic on", "traffic off")),
    "card.bus_master": (_DEVICE, either("may access memory")),
    "card.stopping": (_DEVICE, either("stopping", "")),
    "card.filters": (_DEVICE, say("filter {i}: {new}x")),
    "rx.event": (_DEVICE, either("", "RXCOMP cleared")),
    "rx.dropped": (_DEVICE, either("RXDROP set", "RXDROP cleared")),
    "rx.based": (_DEVICE, either("knows rx ring", "forgets rx ring")),
    **{name: word for name, word in _request_ring("tx").items() if word[0] is _DEVICE},
    **{name: word for name, word in _request_ring("cmd").items() if word[0] is _DEVICE},
}
NAMED: Final[Mapping[str, type[enum.IntEnum]]] = {
    "threads.pc": Label,
    "threads.return_to": Label,
    "threads.result": Result,
    "threads.status": Result,
    "driver.life": Life,
    "card.flags": Flags,
    "tx.stage": Stage,
    "cmd.stage": Stage,
    "rx.stage": Stage,
    "cmd.status": Result,
    "cmd.speculated_status": Result,
    "cmd.computed_status": Result,
}
"""Variables whose numbers have names."""


# What a step is called


_NAMES: Final[Mapping[str, Callable[[Any], str]]] = {
    "owner": _owner,
    "life": lambda value: Life(value).name,
    "command": lambda value: Command(value).name if value in set(Command) else f"byte {value}",
    "result": lambda value: Result(value).name,
}

_REQUEST_PHRASES: Final[Mapping[str, str]] = {
    "claim": "claims $[{threads.slot[t]}] for #{threads.request[t]}",
    "wait_for_turn": "$ full or not its turn",
    "refuse": "no $ slot for it",
    "cancel_waiting": "leaves the $ queue",
    "skip_cancelled": "skips a cancelled $ waiter",
    "leave_queue": "$ queue: next one's turn",
    "wait_for_completion": "waits for its completion",
    "completed": "finds #{threads.completed_sequence[t]} completed",
    "give_up_waiting": "must stop waiting",
    "abandon": "abandons $[{threads.slot[t]}]",
    "no_completion": "nothing to reclaim from $",
    "reclaim": "reclaims $[{<$.cons_i}]",
    "speculate_owner": "loads $ owner ahead: {$.speculated_owner|owner}",
    "look": "$: goes to look",
    "look_ahead": "$: looks unasked",
    "examine": "$[{$.dev_i}] owner: {$.owner[$.dev_i]|owner}",
    "fetch": "$[{$.dev_i}]: reads fields, #{$.seen_fields}",
    "complete": "$[{<$.dev_i}]: gives it back",
}
_PHRASES: Final[Mapping[str, str]] = {
    **{
        f"{ring}.{rule}": phrase.replace("$", ring)
        for ring in ("tx", "cmd")
        for rule, phrase in _REQUEST_PHRASES.items()
    },
    "begin_write": "calls write",
    "begin_read": "calls read",
    "begin_filter": "calls ioctl {threads.kind[t]|command}",
    "begin_open": "calls open",
    "begin_close": "calls close",
    "turn_away": "card is not usable",
    "enter_write": "write: joins the tx queue",
    "enter_filter": "ioctl: joins the cmd queue",
    "enter_read": "read: joins the rx queue",
    "exit_call": "leaves",
    "event_interrupt": "takes vector 0",
    "mark_readable": "finds a packet",
    "no_packet_waits": "finds no packet",
    "fatal_interrupt": "takes vector 1",
    "wake": "wakes up",
    "spurious_wakeup": "wakes spuriously",
    "interrupt": "gets a signal",
    "interrupt_open": "gets a signal",
    "open_shared": "shares the open card",
    "open_waits": "waits for open or close",
    "open_first": "opens as the first",
    "close_shared": "closes, others stay",
    "close_nothing": "nothing to close",
    "close_last": "closes as the last",
    "wait_for_leavers": "waits for calls to end",
    "all_left": "no call is under way",
    "drain": "waits for packets to be sent",
    "drained": "no packet to wait for",
    "stop_draining": "waits no longer",
    "submit_stop": "wants STOP",
    "stop_completed": "STOP: {threads.result[t]|result}",
    "submit_flush": "wants FLUSHFILT",
    "flush_completed": "FLUSHFILT: {threads.result[t]|result}",
    "submit_start": "wants START",
    "start_completed": "START: {threads.result[t]|result}",
    "submit_unicast": "wants ADDFILT",
    "unicast_completed": "ADDFILT: {threads.result[t]|result}",
    "write_reset": "writes FLAGS.RST",
    "reset_done": "reads FLAGS: 0",
    "poll_again": "reads FLAGS: not 0",
    "give_up_reset": "gives up the reset",
    "init_command_slot": "initialises cmd[{<driver.cursor}]",
    "write_command_base": "writes CMDBASE, CMDSHIFT",
    "free_slot": "frees slot {<driver.cursor}",
    "init_transmit_slot": "initialises tx[{<driver.cursor}]",
    "fence_packet_slot": "barrier, tx[{<driver.cursor}] rx[{<driver.cursor}]",
    "write_packet_bases": "writes TX/RX BASE, SHIFT",
    "packet_bases_arrive": "TX/RX BASE, SHIFT arrive",
    "opened": "open completes",
    "closed": "close completes",
    "tx.next_of_batch": "rings doorbell tx[{threads.slot[t]}], goes on",
    "rx.nothing_to_read": "no packet in rx[{rx.cons_i}]",
    "rx.wait_for_turn": "not its turn to read",
    "rx.refuse": "must stop reading",
    "rx.cancel_waiting": "leaves the rx queue",
    "rx.skip_cancelled": "skips a cancelled rx waiter",
    "rx.leave_queue": "rx queue: next one's turn",
    "rx.peek_packet": "reads rx[{rx.cons_i}] header, #{threads.got[t]}",
    "rx.receive_packet": "reads rx[{<rx.cons_i}] header, #{threads.got[t]}",
    "rx.look_at_next": "looks at the next slot",
    "rx.copy_first_word": "copies first word of #{threads.got_first_word[t]}",
    "rx.copy_last_word": "copies last word of #{threads.got_last_word[t]}",
    "rx.keep": "does not give rx[{threads.slot[t]}] back",
    "rx.keep_untouched": "does not give rx[{threads.slot[t]}] back",
    "cmd.speculate_status": "loads error byte ahead: #{cmd.speculated_sequence}",
    "rx.speculate_owner": "loads rx owner ahead: {rx.speculated_owner|owner}",
    "rx.speculate_header": "loads rx header ahead: #{rx.speculated_sequence}",
    "card.fatal_error": "fatal error",
    "card.reset_over": "reset is over",
    "card.raise_vector0": "raises vector 0",
    "card.spurious_vector0": "vector 0 for no reason",
    "tx.set_event": "EVFLAGS: sets TXCOMP",
    "cmd.set_event": "EVFLAGS: sets CMDCOMP",
    "rx.set_event": "EVFLAGS: sets RXCOMP",
    "tx.read_first_word": "tx[{tx.dev_i}]: first word is #{tx.seen_first_word}",
    "tx.read_last_word": "tx[{tx.dev_i}]: last word is #{tx.seen_last_word}",
    "tx.send": "tx[{tx.dev_i}]: sends {packet}",
    "cmd.execute": "cmd: executes {cmd.seen_kind|command}",
    "cmd.stopped": "cmd: engines at rest",
    "cmd.write_status": "cmd[{cmd.dev_i}]: writes {cmd.computed_status|result}",
    "rx.arrive": "packet comes",
    "rx.arrive_jumbo": "too long packet comes",
    "rx.examine": "rx[{rx.dev_i}] owner: {rx.owner[rx.dev_i]|owner}",
    "rx.fetch": "rx[{rx.dev_i}]: reads pointer, {rx.target}",
    "rx.complete": "rx[{<rx.dev_i}]: gives it over",
    "rx.lie": "overwrites rx[{k}] length",
    "card.withdraw_vector0": "takes vector 0 back",
    # steps that only faulty drivers and cards take
    "close_counts": "closes as the last",
    "cmd.fall_asleep": "falls asleep",
    "interrupt_stop": "gets a signal",
    "keep_transmit_slot": "leaves tx[{<driver.cursor}] as it is",
    "open_refused": "is refused",
    "rx.indices_equal": "finds rx indices equal",
    "rx.owner_overtakes": "rx[{rx.dev_i}]: owner comes first",
    "tx.forget": "tx: forgets the doorbell",
}


def _packet(context: Context) -> str:
    """Which packet leaves the card: one, or a mixture."""
    fields, head = context.at("tx.seen_fields"), context.at("tx.seen_first_word")
    tail = context.at("tx.seen_last_word")
    if context.at("tx.seen_zero"):
        return f"#{fields}, empty"
    return f"#{fields}" if fields == head == tail else f"#{fields} with #{head}/#{tail}"


def _choices(step: Step) -> list[str]:
    """The choices that were made with the step, where they mean something to a reader."""
    parts: list[str] = []
    for name, value in step.parameters.items():
        match name:
            case "zero" if value and "nonblocking" in step.parameters:
                parts.append("empty")
            case "nonblocking" if value:
                parts.append("no wait")
            case "peek" if value:
                parts.append("peek")
            case "more" if value:
                parts.append(f"+{value}")
            case "key" if "t" in step.parameters:
                parts.append(f"filter {value}")
            case "length":
                parts.append(f"{value} bytes")
    return parts


PHRASES: Final = Phrases(
    steps=_PHRASES,
    words=_WORDS,
    values=_NAMES,
    computed={"packet": _packet},
    named=NAMED,
    threads={EVENT_THREAD: "handler", FATAL_THREAD: "fatal handler"},
    choices=_choices,
    legend=(
        "buffered: stored by a processor, the card does not see it yet; visible: now it does; "
        "posted: a register write on its way; #n: the packet or command that a word belongs to; "
        "first word, last word: an early and a late word of the payload"
    ),
)
"""How runs of the duct card are told."""
