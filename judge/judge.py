"""The specification as the judge of every access.

The judge runs the specification beside the driver and the card, step by step. Each access must be a
step that the specification allows in the state that both are in; if it is none, the run ends there
with a `Deviation` that names the access, what is allowed instead, and where the two differ.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from engine.codegen import conjuncts, reads
from engine.executor import Executor
from engine.scope import Instance, Layout
from engine.stepper import Step, Stepper
from engine.terms import Bool, Term
from engine.trace import Trace
from engine.updates import mangled
from judge.program import ACCESSES, SILENT, Access, say
from judge.recording import recorded
from model.scope import Scope
from model.state import EVENT_THREAD, FATAL_THREAD, Label, Result
from model.system import specification

__all__ = ["CardDeviation", "Deviation", "Judge", "Specification"]

HOST, DEVICE = "HOST", "DEVICE"
SILENT_ONLY_IF: Final = frozenset(
    {
        "tx.no_completion",
        "cmd.no_completion",
        "rx.nothing_to_read",
        "rx.look_at_next",
        "no_packet_waits",
        "stop_draining",
    }
)
"""Steps that take no access in some states only; `Judge._is_silent` says in which."""


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
    """The specification at fixed sizes, ready to judge one run after another.

    Attributes:
        scope: The sizes.
        stepper: Takes the steps.
        by_rule: The rules, by name.
        also_needs: The parameters of each rule behind its first, by the rule's name.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.stepper = Stepper(specification(), scope)
        self.executor = Executor(self.stepper.layout)
        self.by_rule = {
            item.rule.name: item.rule for item in self.stepper.layout.system.transitions
        }
        self.also_needs = {
            name: [item.name for item in rule.parameters[1:]] for name, rule in self.by_rule.items()
        }

    @functools.cached_property
    def fair(self) -> list[Instance]:
        """All steps that somebody must take where they may be taken."""
        layout = Layout.of(self.stepper.layout.system, self.scope)
        return [item for item in layout.instances if item.process is not None]


class Judge:
    """Follows one run.

    Attributes:
        accesses: Number of accesses judged so far, by kind.
        path: The steps of the specification taken so far.
        stale: Whether fresh memory looks as if it were the card's.
        owed_bells: By thread: packets handed over whose doorbell is the one of a later packet.
        next_is_empty: Says whether the next packet of a thread's batch has no payload (1) or has
            one (0).
    """

    next_is_empty: Callable[[int], int]

    def __init__(self, spec: Specification, *, stale: bool = False, lies: bool = False) -> None:
        self.spec = spec
        self.stale = int(stale)
        self.stepper = spec.stepper
        self._start = spec.executor.changed(spec.executor.initial(), card__lies=lies)
        self.stepper.load(self._start)
        self.now: Mapping[str, Any] = self.stepper.now
        self.accesses: Counter[str] = Counter()
        self.path: Path = []
        self.owed_bells = [0] * spec.scope.threads
        self._expired = [False] * spec.scope.threads
        self._pcs: list[int] = self.now["threads_pc"]

    # The specification's state

    def label(self, t: int) -> Label:
        """Where thread t is in its program."""
        return Label(self._pcs[t])

    def outcome(self, t: int) -> Result:
        """How the last call of thread t ended."""
        return Result(self.now["threads_result"][t])

    def holds_lock(self, t: int) -> bool:
        """Thread t has the ticket that is being served."""
        now = self.now
        return bool(
            now["threads_ticket"][t] == now["lock_serving"] != now["lock_next"]
            and not now["threads_asleep"][t]
        )

    def enabled(self, rule: str, *values: int) -> bool:
        """Whether a step may be taken."""
        return self.stepper.is_enabled((rule, *values))

    def expired(self, t: int, yes: bool) -> None:
        """Whether the last sleep of thread t reached its deadline, or a signal ended it."""
        self._expired[t] = yes

    # Steps

    def fire(self, rule: str, *values: int) -> None:
        """Take a step that may be taken. Raises `Deviation` if it may not."""
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
        return Deviation("\n".join(lines))

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
        told = [f"{name} = {_shown(name, now[mangled(name)])}" for name in sorted(used.whole)]
        for name, index in sorted(used.elements):
            values = now[mangled(name)]
            told.append(f"{name}[{index}] = {_shown(name, values[index % len(values)])}")
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
        """Take all steps of thread t that take no access."""
        labels = self._pcs
        while True:
            for rule in SILENT.get(labels[t], ()):  # type: ignore[call-overload]
                step = self._silent(rule, t)
                if step is not None and self.stepper.is_enabled(step):
                    self._take(step)
                    break
            else:
                return

    def _silent(self, rule: str, t: int) -> Step | None:
        """The step by which thread t takes a rule without an access; None where it needs one."""
        if rule == "tx.next_of_batch":
            step = rule, t, self.next_is_empty(t)
            if self.stepper.is_enabled(step):
                self.owed_bells[t] += 1
            return step
        if rule in SILENT_ONLY_IF and not self._is_silent(rule, t):
            return None
        return rule, t

    def _is_silent(self, rule: str, t: int) -> bool:
        now = self.now
        if rule == "stop_draining":
            return self._expired[t]
        if rule in {"rx.nothing_to_read", "rx.look_at_next", "no_packet_waits"}:
            return bool(now["rx_held"][now["rx_cons_i"]] or not now["rx_live"])
        ring = rule.partition(".")[0]
        return bool(now[f"{ring}_cons"] == now[f"{ring}_prod"])

    def observe(self, t: int, access: Access, slot: int | None = None) -> str:
        """Thread t made an access: take the step that it is. Returns the rule.

        Raises:
            Deviation: It is none that is allowed.
        """
        self.accesses[access[0]] += 1
        self.settle(t)
        allowed = ACCESSES.get(self._pcs[t], {})  # type: ignore[call-overload]
        rules: tuple[str, ...] = allowed.get(access, ())
        for rule in rules:
            step = (rule, *self._values(rule, t))
            if self.stepper.is_enabled(step):
                self._check_slot(rule, t, slot, access)
                self._take(step)
                self.settle(t)
                return rule
        raise self._unexpected(t, access, rules)

    def _values(self, rule: str, t: int) -> tuple[int, ...]:
        """A step's parameters: the thread, and what memory held before it was allocated."""
        return t, *(self.stale if name == "stale" else 0 for name in self.spec.also_needs[rule])

    def _check_slot(self, rule: str, t: int, slot: int | None, access: Access) -> None:
        if slot is None:
            return
        right = self._slot_of(rule, t)
        if right is not None and right != slot:
            raise self.deviation(
                f"{self.who(t)}: {say(access)} of slot {slot}, "
                f"where the specification says slot {right}",
            )

    def _slot_of(self, rule: str, t: int) -> int | None:
        """The slot that a step of thread t is about."""
        now = self.now
        ring, _, step = rule.partition(".")
        slot: int | None = None
        if step in {"store_first_word", "store_last_word", "store_fields", "store_owner"}:
            slot = now[f"{ring}_prod_i"]
        elif step in {"completion_found", "no_completion", "take"}:
            slot = now[f"{ring}_cons_i"]
        elif step in {
            "packet_found",
            "nothing_to_read",
            "receive_packet",
            "peek_packet",
            "look_at_next",
            "mark_readable",
            "no_packet_waits",
        }:
            slot = now["rx_cons_i"]
        elif step in {
            "copy_first_word",
            "copy_last_word",
            "refill_pointer",
            "repost",
            "ring_doorbell",
        }:
            slot = now["threads_slot"][t]
        elif rule in {
            "init_command_slot",
            "init_transmit_slot",
            "init_receive_pointer",
            "init_receive_owner",
        }:
            slot = now["driver_cursor"]
        return slot

    def _unexpected(self, t: int, access: Access, rules: tuple[str, ...]) -> Deviation:
        label = self.label(t)
        allowed = [say(item) for item in ACCESSES.get(label, {})]
        instead = " or ".join(allowed) if allowed else "nothing"
        reason = (
            f"{self.who(t)}: {say(access)} is not allowed here; at {label.name} the "
            f"specification allows: {instead}"
        )
        lines = [reason]
        for rule in rules:
            lines += self._unmet(rule, self._values(rule, t))
        return Deviation("\n".join(lines))

    @staticmethod
    def who(t: int) -> str:
        """A thread in words."""
        names = {EVENT_THREAD: "the event handler", FATAL_THREAD: "the fatal handler"}
        return names.get(t, f"user {t}")

    # Traces

    def trace(self, title: str, verdict: str) -> Trace:
        """The run so far as the common kind of trace."""
        return recorded(self.stepper, self._start, self.path, title, verdict)


def _shown(name: str, value: Any) -> str:
    """A variable's value, by name where it has one."""
    if name == "threads.pc":
        labels = value if isinstance(value, list) else [value]
        return " ".join(Label(item).name for item in labels)
    return repr(value)
