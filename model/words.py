"""What steps and changes are called where people read them.

Each rule has a phrase, each variable worth showing a word. Variables that only mirror others
(indices, tickets), history, and what a phrase already tells have none; the trace has them all.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from model.layout import Command
from model.rules import Party
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label, Life, Outcome, Stage
from model.thread_spec import SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_TX
from model.trace import Change, Step, Value, Values

__all__ = ["NAMED", "Column", "Context", "changes", "choices", "phrase", "step_name", "subject"]


class Column(enum.IntEnum):
    """Where something stands."""

    HOST = 0
    MEMORY = 1
    DEVICE = 2


# What a change is called


@attrs.frozen
class Context:
    """A step with the values of all variables around it."""

    step: Step
    before: Values
    after: Values

    def at(self, name: str, index: int | None = None) -> Any:
        """A value after the step."""
        value = self.after[name]
        return value if index is None else value[index % len(value)]


CHANNELS: Final[Mapping[str, tuple[Label, ...]]] = {
    "threads.wake_tx": SLEEPS_TX,
    "threads.wake_cmd": SLEEPS_CMD,
    "threads.wake_life": SLEEPS_LIFE,
}
_Word: TypeAlias = Callable[[Context, Change], str]
"""Says a change in words; "" where it is not worth a word."""


def _owner(device: Value) -> str:
    return "DEVICE" if device else "HOST"


def _who(thread: int) -> str:
    names = {EVENT_THREAD: "handler", FATAL_THREAD: "fatal handler"}
    return names.get(thread, f"user {thread}")


def _either(yes: str, no: str = "") -> _Word:
    return lambda context, change: yes if change.new else no


def _say(words: str) -> _Word:
    """`{new}` is the new value, `{i}` the index."""
    return lambda context, change: words.format(new=change.new, i=change.index)


def _named(words: str, names: type[enum.IntEnum]) -> _Word:
    return lambda context, change: words.format(new=names(change.new).name, i=change.index)


def _outcome(context: Context, change: Change) -> str:
    return f"outcome {Outcome(change.new).name}" if change.new else ""


def _label(context: Context, change: Change) -> str:
    if change.new == Label.IDLE:
        thread = change.index
        return f"returns {Outcome(context.at('threads.outcome', thread)).name}"
    return "done" if change.new == Label.FATAL_IDLE else ""


def _pending(ring: str, word: str, name: str, value: Callable[[Context, int], str]) -> _Word:
    """A store that enters the store buffer or leaves it."""

    def words(context: Context, change: Change) -> str:
        slot = change.index or 0
        how = "buffered" if change.new else "visible"
        return f"{how}: {ring}[{slot}] {name}{value(context, slot)}"

    return words


def _memory_owner(ring: str) -> _Word:
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


def _written(ring: str, pending: str, name: str) -> _Word:
    """A word changed in memory; silent where a store became visible, or with fresh memory."""

    def words(context: Context, change: Change) -> str:
        for other in context.step.changes:
            if other.variable in (f"{ring}.exists", f"{ring}.{pending}"):
                return ""
        return f"{ring}[{change.index}] {name} of #{change.new}"

    return words


def _exists(ring: str) -> _Word:
    def words(context: Context, change: Change) -> str:
        if not change.new:
            return f"freed: {ring}[{change.index}]"
        holds = _owner(context.at(f"{ring}.owner", change.index))
        return f"new: {ring}[{change.index}], reads {holds}"

    return words


def _rung(ring: str) -> _Word:
    def words(context: Context, change: Change) -> str:
        slot = context.at(f"{ring}.bell_value", int(change.new) - 1)
        return f"posted: doorbell {ring}[{slot}]"

    return words


def _heard(ring: str) -> _Word:
    def words(context: Context, change: Change) -> str:
        slot = context.at(f"{ring}.bell_value", int(change.new) - 1)
        return f"arrives: doorbell {ring}[{slot}]"

    return words


def _wakes(context: Context, thread: int) -> bool:
    """Whether the step wakes a thread: the thread sleeps on a channel that the step signals."""
    if not context.before["threads.asleep"][thread]:
        return False
    label = context.before["threads.label"][thread]
    return any(
        change.index == thread and change.new and label in CHANNELS.get(change.variable, ())
        for change in context.step.changes
    )


def _told(context: Context, change: Change) -> str:
    thread = change.index or 0
    if not change.new:
        return ""
    return f"tells{', wakes' if _wakes(context, thread) else ''} {_who(thread)}"


def _woken(context: Context, change: Change) -> str:
    thread = change.index or 0
    told = any(
        other.variable == "threads.answered" and other.index == thread and other.new
        for other in context.step.changes
    )
    return f"wakes {_who(thread)}" if _wakes(context, thread) and not told else ""


def _tag(array: str) -> Callable[[Context, int], str]:
    return lambda context, slot: f" of #{context.at(array, slot)}"


def _owner_new(ring: str) -> Callable[[Context, int], str]:
    return lambda context, slot: f"={_owner(context.at(f'{ring}.owner_new', slot))}"


def _command(context: Context, slot: int) -> str:
    return f"{Command(context.at('cmd.kind_new', slot)).name} #{context.at('cmd.tag', slot)}"


def _nothing(context: Context, slot: int) -> str:
    return ""


def _result(context: Context, change: Change) -> str:
    slot = change.index or 0
    return f"cmd[{slot}] error byte {Outcome(context.at('cmd.code', slot)).name} of #{change.new}"


def _header(context: Context, change: Change) -> str:
    if any(other.variable == "rx.exists" for other in context.step.changes):
        return ""
    slot = change.index or 0
    return f"rx[{slot}] header of #{change.new}, {context.at('rx.length', slot)} bytes"


def _length(context: Context, change: Change) -> str:
    for other in context.step.changes:
        if other.variable in ("rx.exists", "rx.header"):
            return ""
    return f"rx[{change.index}] length {change.new}"


def _request_ring(ring: str) -> dict[str, tuple[Column, _Word]]:
    host, memory, device = Column
    bit = {"tx": "TXCOMP", "cmd": "CMDCOMP"}[ring]
    return {
        f"{ring}.line.gone": (host, _either("gives up its place")),
        f"{ring}.prod": (host, _say(f"{ring} prod={{new}}")),
        f"{ring}.cons": (host, _say(f"{ring} cons={{new}}")),
        f"{ring}.owner_pending": (memory, _pending(ring, "owner", "owner", _owner_new(ring))),
        f"{ring}.owner": (memory, _memory_owner(ring)),
        f"{ring}.rung": (memory, _rung(ring)),
        f"{ring}.heard": (memory, _heard(ring)),
        f"{ring}.look": (device, _either(f"{ring} will look")),
        f"{ring}.event": (device, _either("", f"{bit} cleared")),
        f"{ring}.based": (device, _either(f"knows {ring} ring", f"forgets {ring} ring")),
    }


_HOST, _MEMORY, _DEVICE = Column
# Every variable that is shown, most telling first within its column.
_WORDS: Final[Mapping[str, tuple[Column, _Word]]] = {
    "card.sequence_error": (_DEVICE, _either("SEQ: protocol broken")),
    "card.flags": (_DEVICE, _named("FLAGS={new}", Flags)),
    "card.vector1": (_DEVICE, _either("vector 1 raised")),
    "threads.label": (_HOST, _label),
    "threads.asleep": (_HOST, _either("sleeps")),
    "threads.answered": (_HOST, _told),
    "threads.outcome": (_HOST, _outcome),
    "driver.life": (_HOST, _named("card {new}", Life)),
    "driver.failed": (_HOST, _either("card failed", "failure forgotten")),
    "driver.handles": (_HOST, _say("opens={new}")),
    "driver.needs_reset": (_HOST, _either("reset needed")),
    "rx.ready": (_HOST, _either("readable", "not readable")),
    "rx.held": (_HOST, _either("holds the slot", "")),
    "rx.cons": (_HOST, _say("rx cons={new}")),
    **{name: word for name, word in _request_ring("tx").items() if word[0] is not _DEVICE},
    **{name: word for name, word in _request_ring("cmd").items() if word[0] is not _DEVICE},
    "threads.wake_tx": (_HOST, _woken),
    "threads.wake_cmd": (_HOST, _woken),
    "threads.wake_life": (_HOST, _woken),
    "tx.exists": (_MEMORY, _exists("tx")),
    "rx.exists": (_MEMORY, _exists("rx")),
    "tx.fields_pending": (_MEMORY, _pending("tx", "fields", "fields", _tag("tx.tag"))),
    "tx.head_pending": (_MEMORY, _pending("tx", "head", "start", _tag("tx.tag"))),
    "tx.tail_pending": (_MEMORY, _pending("tx", "tail", "end", _tag("tx.tag"))),
    "cmd.fields_pending": (_MEMORY, _pending("cmd", "fields", "", _command)),
    "cmd.result": (_MEMORY, _result),
    "rx.owner_pending": (_MEMORY, _pending("rx", "owner", "owner", _owner_new("rx"))),
    "rx.pointer_pending": (_MEMORY, _pending("rx", "pointer", "pointer", _nothing)),
    "rx.owner": (_MEMORY, _memory_owner("rx")),
    "rx.header": (_MEMORY, _header),
    "rx.length": (_MEMORY, _length),
    "rx.head": (_MEMORY, _written("rx", "", "start")),
    "rx.tail": (_MEMORY, _written("rx", "", "end")),
    "card.started": (_DEVICE, _either("traffic on", "traffic off")),
    "card.stopping": (_DEVICE, _either("stopping", "")),
    "card.filters": (_DEVICE, _say("filter {i}: {new}x")),
    "rx.event": (_DEVICE, _either("", "RXCOMP cleared")),
    "rx.dropped": (_DEVICE, _either("RXDROP set", "RXDROP cleared")),
    "rx.based": (_DEVICE, _either("knows rx ring", "forgets rx ring")),
    **{name: word for name, word in _request_ring("tx").items() if word[0] is _DEVICE},
    **{name: word for name, word in _request_ring("cmd").items() if word[0] is _DEVICE},
}
NAMED: Final[Mapping[str, type[enum.IntEnum]]] = {
    "threads.label": Label,
    "threads.back": Label,
    "threads.outcome": Outcome,
    "threads.code": Outcome,
    "driver.life": Life,
    "card.flags": Flags,
    "tx.stage": Stage,
    "cmd.stage": Stage,
    "rx.stage": Stage,
    "cmd.code": Outcome,
    "cmd.early_code": Outcome,
    "cmd.done_code": Outcome,
}
"""Variables whose numbers have names."""
_RANK: Final = {name: rank for rank, name in enumerate(_WORDS)}


# What a step is called


_SLOT: Final = re.compile(r"\{(<?)([a-z_.]+)(?:\[([a-z_.]+)\])?(?:\|(\w+))?\}")
_NAMES: Final[Mapping[str, Callable[[Any], str]]] = {
    "owner": _owner,
    "who": _who,
    "life": lambda value: Life(value).name,
    "command": lambda value: Command(value).name if value in set(Command) else f"byte {value}",
    "outcome": lambda value: Outcome(value).name,
}

# `{name}` is a variable after the step, `{<name}` before it; `[t]` and `[k]` are the step's
# parameters, any other index is itself a variable; `|word` says how the value is called.
_REQUEST_PHRASES: Final[Mapping[str, str]] = {
    "claim": "claims $[{threads.slot[t]}] for #{threads.request[t]}",
    "wait_for_turn": "$ full or not its turn",
    "refuse": "no $ slot for it",
    "quit_line": "leaves the $ line",
    "skip_place": "skips a $ place given up",
    "leave_line": "$ line: next one's turn",
    "store_fields": "stores $ fields",
    "store_owner": "stores $ owner",
    "ring_doorbell": "rings doorbell $[{threads.slot[t]}]",
    "wait_for_completion": "waits for its completion",
    "completed": "finds #{threads.answer[t]} completed",
    "give_up_waiting": "must stop waiting",
    "abandon": "abandons $[{threads.slot[t]}]",
    "reclaim_found": "loads $[{<$.cons_i}] owner: HOST",
    "reclaim_done": "nothing more to take from $",
    "take": "takes $[{<$.cons_i}]",
    "load_owner_early": "loads $ owner ahead: {$.early_owner|owner}",
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
    "enter_write": "write: joins the tx line",
    "enter_filter": "ioctl: joins the cmd line",
    "enter_read": "read: looks for a packet",
    "exit_call": "leaves",
    "event_interrupt": "takes vector 0",
    "read_events": "reads EVFLAGS",
    "mark_readable": "finds a packet",
    "no_packet_waits": "finds no packet",
    "fatal_interrupt": "takes vector 1",
    "mark_failed": "reads FLAGS",
    "wake": "wakes up",
    "wake_without_reason": "wakes up for no reason",
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
    "stop_answered": "STOP: {threads.outcome[t]|outcome}",
    "submit_flush": "wants FLUSHFILT",
    "flush_answered": "FLUSHFILT: {threads.outcome[t]|outcome}",
    "submit_start": "wants START",
    "start_answered": "START: {threads.outcome[t]|outcome}",
    "submit_unicast": "wants ADDFILT",
    "unicast_answered": "ADDFILT: {threads.outcome[t]|outcome}",
    "write_reset": "writes FLAGS.RST",
    "reset_done": "reads FLAGS: 0",
    "poll_again": "reads FLAGS: not 0",
    "give_up_reset": "gives up the reset",
    "init_command_slot": "initialises cmd[{<driver.cursor}]",
    "fence_command_slot": "barrier, cmd[{<driver.cursor}]",
    "write_command_base": "writes CMDBASE, CMDSHIFT",
    "free_slot": "frees slot {<driver.cursor}",
    "init_transmit_slot": "initialises tx[{<driver.cursor}]",
    "init_receive_pointer": "initialises rx[{<driver.cursor}]",
    "init_receive_owner": "stores rx owner",
    "fence_packet_slot": "barrier, tx[{<driver.cursor}] rx[{<driver.cursor}]",
    "write_packet_bases": "writes TX/RX BASE, SHIFT",
    "opened": "open completes",
    "closed": "close completes",
    "tx.store_head": "stores start of payload",
    "tx.store_tail": "stores end of payload",
    "tx.next_of_batch": "rings doorbell tx[{threads.slot[t]}], goes on",
    "rx.packet_found": "loads rx[{rx.cons_i}] owner: HOST",
    "rx.nothing_to_read": "no packet in rx[{rx.cons_i}]",
    "rx.read_must_end": "must stop reading",
    "rx.peek_packet": "reads rx[{rx.cons_i}] header, #{threads.got[t]}",
    "rx.take_packet": "reads rx[{<rx.cons_i}] header, #{threads.got[t]}",
    "rx.look_at_next": "looks at the next slot",
    "rx.copy_head": "copies start of #{threads.got_head[t]}",
    "rx.copy_tail": "copies end of #{threads.got_tail[t]}",
    "rx.restore_pointer": "stores rx[{threads.slot[t]}] pointer",
    "rx.give_back": "stores rx owner",
    "rx.keep": "does not give rx[{threads.slot[t]}] back",
    "rx.keep_untouched": "does not give rx[{threads.slot[t]}] back",
    "load_result_early": "loads error byte ahead: #{cmd.early_tag}",
    "load_rx_owner_early": "loads rx owner ahead: {rx.early_owner|owner}",
    "load_header_early": "loads rx header ahead: #{rx.early_tag}",
    "card.fatal_error": "fatal error",
    "card.reset_over": "reset is over",
    "card.raise_vector0": "raises vector 0",
    "card.spurious_vector0": "vector 0 for no reason",
    "tx.set_event": "EVFLAGS: sets TXCOMP",
    "cmd.set_event": "EVFLAGS: sets CMDCOMP",
    "rx.set_event": "EVFLAGS: sets RXCOMP",
    "tx.read_head": "tx[{tx.dev_i}]: reads start, #{tx.seen_head}",
    "tx.read_tail": "tx[{tx.dev_i}]: reads end, #{tx.seen_tail}",
    "tx.send": "tx[{tx.dev_i}]: sends ",
    "cmd.execute": "cmd: executes {cmd.seen_kind|command}",
    "cmd.stopped": "cmd: engines at rest",
    "cmd.write_result": "cmd[{cmd.dev_i}]: writes {cmd.done_code|outcome}",
    "rx.arrive": "packet comes",
    "rx.arrive_jumbo": "too long packet comes",
    "rx.examine": "rx[{rx.dev_i}] owner: {rx.owner[rx.dev_i]|owner}",
    "rx.fetch": "rx[{rx.dev_i}]: reads pointer, {rx.target}",
    "rx.write_head": "rx: writes start to {rx.target}",
    "rx.write_tail": "rx: writes end to {rx.target}",
    "rx.write_header": "rx[{rx.dev_i}]: writes header",
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


def phrase(context: Context) -> str:
    """What the step does, in a few words. A rule without a phrase goes by its name."""
    step = context.step
    template = _PHRASES.get(step.rule)
    if template is None:
        return step_name(step)

    def value(match: re.Match[str]) -> str:
        earlier, name, index, word = match.groups()
        values = context.before if earlier else context.after
        found = _value(step, values, name)
        if index is not None:
            found = found[_value(step, values, index) % len(found)]
        return _NAMES[word](found) if word else str(found)

    words = _SLOT.sub(value, template)
    return words + _packet(context) if step.rule == "tx.send" else words


def _value(step: Step, values: Values, name: str) -> Any:
    return step.parameters[name] if name in step.parameters else values[name]


def _packet(context: Context) -> str:
    """Which packet leaves the card: one, or a mixture."""
    fields, head = context.at("tx.seen_fields"), context.at("tx.seen_head")
    tail = context.at("tx.seen_tail")
    if context.at("tx.seen_zero"):
        return f"#{fields}, empty"
    return f"#{fields}" if fields == head == tail else f"#{fields} with #{head}/#{tail}"


def step_name(step: Step) -> str:
    """The rule's name as words: `tx.ring_doorbell` is `tx ring doorbell`."""
    return step.rule.replace(".", " ").replace("_", " ")


def subject(step: Step) -> str:
    """Which thread takes the step; "" for memory and card."""
    thread = step.parameters.get("t")
    if thread is not None:
        return f"{_who(thread)}: "
    return "processor: " if step.party is Party.HOST else ""


def choices(step: Step) -> str:
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
    return f" ({', '.join(parts)})" if parts else ""


def changes(context: Context, column: Column) -> list[str]:
    """What the step changed, as told in one column: most telling first, each once."""
    shown: dict[str, None] = {}
    known = [change for change in context.step.changes if change.variable in _WORDS]
    for change in sorted(known, key=lambda change: _RANK[change.variable]):
        where, word = _WORDS[change.variable]
        if where is column and (words := word(context, change)):
            shown[words] = None
    return list(shown)
