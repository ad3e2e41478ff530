"""What steps and changes are called where people read them, from data that a protocol gives.

A rule has a phrase, a variable worth showing a word. The phrase of a rule that does something which
can be seen follows from that, unless the protocol has a better one. A phrase is a template:
`{name}` is a variable after the step, `{<name}` before it; `[t]` and `[k]` are the step's
parameters, any other index is itself a variable; `|word` says how the value is called.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from engine.rules import Kind, Operation, Party, Transition
from engine.terms import Term
from engine.trace import Change, Step, Values

__all__ = ["Column", "Context", "Phrases", "Word", "either", "phrase_of", "say", "step_name"]


class Column(enum.IntEnum):
    """Where something stands."""

    HOST = 0
    MEMORY = 1
    DEVICE = 2


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


Word: TypeAlias = Callable[[Context, Change], str]
"""Says a change in words; "" where it is not worth a word."""


def either(yes: str, no: str = "") -> Word:
    """One text for a flag that is set, another for one that is cleared."""
    return lambda context, change: yes if change.new else no


def say(words: str, names: type[enum.IntEnum] | None = None) -> Word:
    """A text in which `{new}` is the new value, by name if it has one, and `{i}` the index."""

    def word(context: Context, change: Change) -> str:
        value = change.new if names is None else names(change.new).name
        return words.format(new=value, i=change.index)

    return word


_SLOT: Final = re.compile(r"\{(<?)([a-z_0-9.]+)(?:\[([a-z_.]+)\])?(?:\|(\w+))?\}")


def _no_choices(step: Step) -> Iterable[str]:
    return ()


@attrs.frozen(eq=False)
class Phrases:
    """How a protocol's runs are told.

    Attributes:
        steps: A template for each rule; one without goes by what it does, else by its name.
        words: The variables that are shown, most telling first, with the column they stand in.
        values: What `|word` in a template makes of a value.
        computed: Names in templates that are no variables.
        named: Variables whose numbers have names.
        threads: Threads that have a name; any other is a user.
        choices: What a reader is told of a step's parameters.
        legend: What the words mean, below a ladder.
    """

    steps: Mapping[str, str] = attrs.field(factory=dict)
    words: Mapping[str, tuple[Column, Word]] = attrs.field(factory=dict)
    values: Mapping[str, Callable[[Any], str]] = attrs.field(factory=dict)
    computed: Mapping[str, Callable[[Context], str]] = attrs.field(factory=dict)
    named: Mapping[str, type[enum.IntEnum]] = attrs.field(factory=dict)
    threads: Mapping[int, str] = attrs.field(factory=dict)
    choices: Callable[[Step], Iterable[str]] = _no_choices
    legend: str = ""

    def thread(self, number: int) -> str:
        """What a thread is called."""
        return self.threads.get(number, f"user {number}")

    def phrase(self, context: Context) -> str:
        """What the step does, in a few words."""
        step = context.step
        template = self.steps.get(step.rule)
        if template is None:
            return step_name(step)

        def value(match: re.Match[str]) -> str:
            earlier, name, index, word = match.groups()
            if name in self.computed:
                return self.computed[name](context)
            values = context.before if earlier else context.after
            found = _value(step, values, name)
            if index is not None:
                found = found[_value(step, values, index) % len(found)]
            return self.values[word](found) if word else str(found)

        return _SLOT.sub(value, template)

    def subject(self, step: Step) -> str:
        """Which thread takes the step; "" for memory and device."""
        thread = step.parameters.get("t")
        if thread is not None:
            return f"{self.thread(thread)}: "
        return "processor: " if step.party is Party.HOST else ""

    def chosen(self, step: Step) -> str:
        """The choices that were made with the step, where they mean something to a reader."""
        parts = list(self.choices(step))
        return f" ({', '.join(parts)})" if parts else ""

    def changes(self, context: Context, column: Column) -> list[str]:
        """What the step changed, as told in one column: most telling first, each once."""
        rank = {name: place for place, name in enumerate(self.words)}
        shown: dict[str, None] = {}
        known = [change for change in context.step.changes if change.variable in rank]
        for change in sorted(known, key=lambda change: rank[change.variable]):
            where, word = self.words[change.variable]
            if where is column and (words := word(context, change)):
                shown[words] = None
        return list(shown)


def _value(step: Step, values: Values, name: str) -> Any:
    return step.parameters[name] if name in step.parameters else values[name]


def step_name(step: Step) -> str:
    """The rule's name as words: `tx.ring_doorbell` is `tx ring doorbell`."""
    return step.rule.replace(".", " ").replace("_", " ")


# What a step is called by what it does


_SAID: Final[Mapping[Kind, str]] = {
    Kind.LOCK: "asks for the lock",
    Kind.UNLOCK: "gives up the lock",
    Kind.SLEEP: "sleeps",
    Kind.READ: "reads $",
    Kind.WRITE: "writes $",
    Kind.ARRIVE: "$ arrives",
    Kind.DOORBELL: "rings doorbell $",
    Kind.FENCE: "barrier",
    Kind.FREE: "frees memory",
}
_MOVES: Final[Mapping[tuple[Kind, Party], str]] = {
    (Kind.LOAD, Party.HOST): "loads",
    (Kind.STORE, Party.HOST): "stores",
    (Kind.STORE, Party.MEMORY): "visible",
    (Kind.LOAD, Party.MEMORY): "loads",
    (Kind.LOAD, Party.DEVICE): "reads",
    (Kind.STORE, Party.DEVICE): "writes",
}


def phrase_of(step: Transition) -> str:
    """The template that follows from the first thing that a step does; "" if nothing is seen."""
    for item in step.operations:
        verb = _MOVES.get((item.kind, step.rule.party))
        if verb is not None:
            value = f": {item.value}" if item.value else ""
            word = item.word.replace("_", " ")
            return f"{verb} {item.ring}{_slot(item)} {word}{_out_of_turn(step, item)}{value}"
        if item.kind in _SAID:
            return _SAID[item.kind].replace("$", f"{item.name}{_slot(item)}")
    return ""


def _out_of_turn(step: Transition, item: Operation) -> str:
    """That a load is not satisfied in its turn: no thread takes the step, or memory does."""
    if item.kind is not Kind.LOAD:
        return ""
    if step.rule.party is Party.MEMORY:
        return " late"
    return " ahead" if step.rule.party is Party.HOST and not step.rule.parameters else ""


def _slot(item: Operation) -> str:
    """The slot as a template, as it is before the step; "" where it is no plain variable."""
    slot = item.slot
    if slot is None:
        return ""
    if slot.operation == "constant":
        return f"[{slot.value}]"
    name = _plain(slot)
    if not name and slot.operation == "select":
        array, index = map(_plain, slot.arguments)
        name = f"{array}[{index}]" if array and index else ""
    if not name:
        return ""
    parameter = slot.operation == "symbol" and slot.name.startswith("?")
    return f"[{{{name}}}]" if parameter else f"[{{<{name}}}]"


def _plain(term: Term) -> str:
    return term.name.removeprefix("?") if term.operation == "symbol" else ""
