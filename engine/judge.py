"""The specification as the judge of a run: each thing that is seen must be a step that is allowed.

A `Judge` runs the specification beside a driver and a device, step by step. Whatever a thread is
seen to do must be a step that the specification allows in the state that both are in; if it is
none, a `Deviation` names what was seen, what is allowed instead, and where the two differ. Steps of
which nothing is seen are taken as soon as they may be. What is seen of which step follows from what
the rules declare (`engine.table`).

    judge = Judge(Specification(system, scope))
    judge.fire("begin_write", user, 0)             # what nobody can infer is told
    judge.observe(user, ("store", "box.data"), 0)  # what is seen is judged
"""

from __future__ import annotations

import enum
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from engine.codegen import reads
from engine.executor import Executor
from engine.protocol import System
from engine.recording import recorded
from engine.rules import Party
from engine.scope import FlatState, Instance, Layout, Scope
from engine.stepper import Step, Stepper
from engine.table import Seen, say, table_of
from engine.terms import TRUE, Bool, Term, conjuncts
from engine.trace import Trace
from engine.updates import mangled

__all__ = ["CardDeviation", "Deviation", "Judge", "Specification"]


class Path(Protocol):
    """The steps taken so far."""

    def append(self, step: Step, /) -> None:
        """One more step was taken."""

    def insert(self, position: int, step: Step, /) -> None:
        """A step turns out to have been taken earlier."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Step]: ...


class Deviation(AssertionError):  # noqa: N818 - a finding about the code under test
    """Driver or card did something that the specification does not allow.

    Attributes:
        reason: What was done, and what is allowed.
        culprit: Who did it.
    """

    culprit = "the driver"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CardDeviation(Deviation):
    """The card did something that the specification does not allow."""

    culprit = "the card"


class Specification:
    """A system at fixed sizes, ready to judge one run after another.

    Attributes:
        scope: The sizes.
        stepper: Takes the steps.
        table: What may be seen of a thread, and which steps that is.
        by_rule: The rules, by name.
        also_needs: The parameters of each rule behind its first, by the rule's name.
        queues: What sleepers on each wait queue wait for, for messages.
    """

    def __init__(
        self,
        system: System,
        scope: Scope,
        *,
        without: Iterable[str] = (),
        unseen: Iterable[str] = (),
        queues: type[enum.Enum] | None = None,
    ) -> None:
        """Take `without` and `unseen` as `engine.table.table_of` does."""
        self.scope = scope
        self.stepper = Stepper(system, scope)
        self.executor = Executor(self.stepper.layout)
        self.table = table_of(system, without=without, unseen=unseen)
        self.by_rule = {item.rule.name: item.rule for item in system.transitions}
        self.also_needs = {
            name: [item.name for item in rule.parameters[1:]] for name, rule in self.by_rule.items()
        }
        self.queues = queues
        self.slots = {
            name: self.stepper.term(name, "slot", item.slot)
            for name, item in self.table.deciding.items()
            if item.slot is not None
        }
        self.silent = {
            pc: tuple((name, self._silent_while(name, when)) for name, when in rules)
            for pc, rules in self.table.silent.items()
        }

    def _silent_while(self, name: str, when: Bool) -> Callable[..., bool] | None:
        return None if when is TRUE else self.stepper.term(name, "silent", when)

    @functools.cached_property
    def fair(self) -> list[Instance]:
        """All steps that somebody must take where they may be taken."""
        layout = Layout.of(self.stepper.layout.system, self.scope)
        return [item for item in layout.instances if item.process is not None]


class Judge:
    """Follows one run.

    Attributes:
        spec: The system that judges.
        stepper: Holds the state that the specification is in.
        now: The present value of every variable, by its mangled name. To be read only.
        accesses: Number of accesses judged so far, by kind.
        path: The steps of the specification taken so far.
    """

    def __init__(self, spec: Specification, start: FlatState | None = None) -> None:
        self.spec = spec
        self.stepper = spec.stepper
        self._start = spec.executor.initial() if start is None else start
        self.stepper.load(self._start)
        self.now: Mapping[str, Any] = self.stepper.now
        self.accesses: Counter[str] = Counter()
        self.path: Path = []
        protocol = spec.stepper.layout.system.protocol
        self.labels = protocol.labels
        self.phrases = spec.stepper.layout.system.phrases
        self._pcs: list[int] = self.now[mangled(protocol.pc)]

    # The specification's state

    def pc(self, t: int) -> Any:
        """Where thread t is in its program."""
        return self.labels(self._pcs[t])

    def enabled(self, rule: str, *values: int) -> bool:
        """Whether a step may be taken."""
        return self.stepper.is_enabled((rule, *values))

    # Steps

    def fire(self, rule: str, *values: int) -> None:
        """Take a step that may be taken.

        Raises:
            Deviation: It may not; a `CardDeviation` if it is the device's.
        """
        step = (rule, *values)
        if not self.stepper.is_enabled(step):
            raise self.deviation(f"{self._named(rule, values)} is not allowed now", rule, values)
        self._take(step)

    def _take(self, step: Step) -> None:
        self.stepper.fire(step)
        self.path.append(step)

    def _named(self, rule: str, values: Iterable[int]) -> str:
        names = (parameter.name for parameter in self.spec.by_rule[rule].parameters)
        inside = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=False))
        return f"{rule} ({inside})" if inside else rule

    def deviation(
        self, reason: str, rule: str | None = None, values: tuple[int, ...] = ()
    ) -> Deviation:
        """What is to be raised; tells which conditions of the rule do not hold."""
        lines = [reason]
        if rule is not None:
            lines += self._unmet(rule, values)
        device = rule is not None and self.spec.by_rule[rule].party is Party.DEVICE
        return (CardDeviation if device else Deviation)("\n".join(lines))

    def _unmet(self, rule: str, values: tuple[int, ...]) -> list[str]:
        """Which conditions of a rule do not hold, and what the variables are that they read."""
        known = self.spec.by_rule[rule]
        lines = [f"  {rule}: {known.meaning}"]
        names = tuple(parameter.name for parameter in known.parameters)
        state = self.stepper.state()
        step = self.stepper.layout.instance(rule, values)
        for guard in step.transition.guards:
            if not self.spec.executor.compile(guard.condition, names)(state, *values):
                kind = "barrier" if guard.barrier else "condition"
                lines.append(f"  its {kind} does not hold: {guard.name or 'its guard'}")
        lines += self._read_by(step)
        return lines

    def _read_by(self, step: Instance) -> list[str]:
        """The variables that a false guard reads, as the specification has them."""
        wrong = [part for part in conjuncts(step.guard) if not self._holds(part)]
        used = reads(wrong)
        now = self.now
        told = [f"{name} = {self._shown(name, now[mangled(name)])}" for name in sorted(used.whole)]
        for name, index in sorted(used.elements):
            values = now[mangled(name)]
            told.append(f"{name}[{index}] = {self._shown(name, values[index % len(values)])}")
        return [f"  in the specification {', '.join(told)}"] if told else []

    def _holds(self, condition: Term) -> bool:
        assert isinstance(condition, Bool)
        return bool(self.spec.executor.compile(condition)(self.stepper.state()))

    def barriers(self, rule: str) -> list[str]:
        """The barriers that a rule stands behind."""
        known = self.spec.by_rule[rule]
        lines = [f"  {rule}: {known.meaning}"]
        guards = self.stepper.transition(rule).guards
        return lines + [f"  barrier: {item.name}" for item in guards if item.barrier]

    def settle(self, t: int) -> None:
        """Take all steps of thread t of which nothing is seen."""
        pcs, silent = self._pcs, self.spec.silent
        while True:
            for rule, silent_while in silent.get(pcs[t], ()):
                step = self.silent_step(rule, t, silent_while)
                if step is not None and self.stepper.is_enabled(step):
                    self._take(step)
                    break
            else:
                return

    def silent_step(
        self, rule: str, t: int, silent_while: Callable[..., bool] | None
    ) -> Step | None:
        """The step by which thread t takes a rule unseen; None where it cannot.

        Args:
            rule: A rule of which nothing is seen, at least at times.
            t: The thread.
            silent_while: Tells whether nothing is seen of it now; None: nothing ever.
        """
        step = (rule, *self.values(rule, t))
        return step if silent_while is None or silent_while(*step[1:]) else None

    def values(self, rule: str, t: int) -> tuple[int, ...]:
        """The parameters of a step that thread t is seen to take."""
        return t, *[0] * len(self.spec.also_needs[rule])

    def observe(self, t: int, seen: Seen, slot: int | None = None) -> str:
        """Thread t was seen to do something: take the step that it is. Returns the rule.

        Raises:
            Deviation: It is none that is allowed.
        """
        self.accesses[seen[0]] += 1
        self.settle(t)
        rules = self.spec.table.seen.get(self._pcs[t], {}).get(seen, ())
        for rule in rules:
            step = (rule, *self.values(rule, t))
            if self.stepper.is_enabled(step):
                self._check_slot(step, t, slot, seen)
                self._take(step)
                self.settle(t)
                return rule
        raise self._unexpected(t, seen, rules)

    def _check_slot(self, step: Step, t: int, slot: int | None, seen: Seen) -> None:
        declared = self.spec.slots.get(step[0])
        if slot is None or declared is None:
            return
        right = declared(*step[1:])
        if right != slot:
            raise self.deviation(
                f"{self.who(t)}: {self.say(seen)} of slot {slot}, "
                f"where the specification says slot {right}",
            )

    def _unexpected(self, t: int, seen: Seen, rules: tuple[str, ...]) -> Deviation:
        allowed = [self.say(item) for item in self.spec.table.seen.get(self._pcs[t], {})]
        instead = " or ".join(allowed) if allowed else "nothing"
        reason = (
            f"{self.who(t)}: {self.say(seen)} is not allowed here; at {self.pc(t).name} the "
            f"specification allows: {instead}"
        )
        lines = [reason]
        for rule in rules:
            lines += self._unmet(rule, self.values(rule, t))
        return Deviation("\n".join(lines))

    def say(self, seen: Seen) -> str:
        """What is seen, in words."""
        return say(seen, self.spec.queues)

    def who(self, t: int) -> str:
        """A thread in words."""
        name = self.phrases.thread(t)
        return name if name == f"user {t}" else f"the {name}"

    # Traces

    def trace(self, title: str, verdict: str) -> Trace:
        """The run so far as the common kind of trace."""
        return recorded(self.stepper, self._start, self.path, title, verdict)

    def _shown(self, name: str, value: Any) -> str:
        """A variable's value; program counters by name."""
        if name != self.stepper.layout.system.protocol.pc:
            return repr(value)
        values = value if isinstance(value, list) else [value]
        return " ".join(self.labels(item).name for item in values)
