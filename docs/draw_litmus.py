"""Draw each order that the driver relies on as litmus tests: `python -m docs.draw_litmus`.

A litmus test is a small program for several processors and a question about its end: can it come to
this? herd7 answers for the memory model of an architecture. Here the driver's accesses are one
thread, with the instructions that `impl.barriers` calls, and the card is another, whose accesses
are in order, so a full barrier stands between any two of them. Each end asked for is the bad one.
Registers are ordinary memory here, and so are non-temporal stores: herd7's models know no other.

Every order is asked for with what provides it, and with nothing but program order (`+po`). Run it
from the project's folder; it writes `docs/litmus`, and `docs.ask_herd7` asks.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from impl.barriers import INSTRUCTIONS
from model.faults import BARRIERS

__all__ = [
    "BY_BARRIER",
    "FOLDER",
    "MODELS",
    "OTHERS",
    "PO",
    "Litmus",
    "Order",
    "files",
    "litmus_tests",
]

FOLDER: Final = Path(__file__).with_name("litmus")
MODELS: Final = {"aarch64": "aarch64.cat", "x86_64": "x86tso-mixed.cat"}
"""The memory model that herd7 is asked about for each machine."""
NAMES: Final = {"aarch64": "AArch64", "x86_64": "X86_64"}
"""How herd7 calls the machines."""
PO: Final = "po"
"""Program order, and nothing else."""
PREFIX: Final = "no-barrier-"
AND: Final = " /\\ "


# What a thread does


@attrs.frozen
class Store:
    """A store to a place, which holds 0 before."""

    place: str
    value: int = 1


@attrs.frozen
class Load:
    """A load of a place, and what it yields in the bad end."""

    place: str
    seen: int


@attrs.frozen
class Barrier:
    """A barrier of `impl.memory`."""

    operation: str


@attrs.frozen
class InOrder:
    """What keeps the card's accesses in order, and those of whoever is not the driver."""


@attrs.frozen
class Branch:
    """A branch on what was loaded before, behind which the program goes on either way."""


@attrs.frozen
class Unlock:
    """A lock is given up: a store-release."""

    place: str


@attrs.frozen
class Lock:
    """That lock is got: a load-acquire."""

    place: str


@attrs.frozen
class Gap:
    """Where what provides the order stands, in a test that has it."""


Step: TypeAlias = Store | Load | Barrier | InOrder | Branch | Unlock | Lock | Gap
Thread: TypeAlias = tuple[Step, ...]
GAP: Final = Gap()
Fillings: TypeAlias = Mapping[str, tuple[Step, ...]]


@attrs.frozen
class Order:
    """An order that the driver relies on.

    Attributes:
        name: What it is called; that of a barrier is its fault's without `no-barrier-`.
        about: What must not happen, in one line.
        threads: The driver first.
        fillings: What may stand in the gap, by the name of the test, `po` for nothing. The first
            is what the driver has.
        final: What a place holds in the bad end.
        cast: Who the threads are.
    """

    name: str
    about: str
    threads: tuple[Thread, ...]
    fillings: Fillings
    final: Mapping[str, int] = attrs.field(factory=dict)
    cast: tuple[str, ...] = ("the driver", "the card")


def _in_order(*accesses: Step) -> Thread:
    """A thread whose accesses are in order."""
    steps: list[Step] = []
    for access in accesses:
        steps += [access, InOrder()]
    return tuple(steps[:-1])


def _by(operation: str, *weaker: str) -> Fillings:
    """A barrier, nothing, and weaker barriers than the driver's."""
    tried: dict[str, tuple[Step, ...]] = {operation: (Barrier(operation),), PO: ()}
    return tried | {name: (Barrier(name),) for name in weaker}


# The orders, each in the driver's words


def _handed_over(name: str, contents: str, owner: str) -> Order:
    return Order(
        name,
        f"The card finds the slot its own ({owner}) and what is behind it old ({contents}).",
        ((Store(contents), GAP, Store(owner)), _in_order(Load(owner, 1), Load(contents, 0))),
        _by("release"),
    )


def _looked_at(name: str, first: str, behind: str) -> Order:
    return Order(
        name,
        f"The driver sees what the card wrote last ({first}), and not what it wrote before "
        f"({behind}).",
        ((Load(first, 1), GAP, Load(behind, 0)), _in_order(Store(behind), Store(first))),
        _by("acquire"),
    )


def _given_back(name: str, host: Thread, late: str, owner: str, about: str) -> Order:
    return Order(name, about, (host, _in_order(Load(owner, 1), Store(late))), _by("release_loads"))


def _announced(name: str, operation: str, slot: str, register: str) -> Order:
    return Order(
        name,
        f"The card is told to look ({register}), and finds the slot as it was before ({slot}).",
        ((Store(slot), GAP, Store(register)), _in_order(Load(register, 1), Load(slot, 0))),
        _by(operation, "release"),
    )


def _freed(name: str, slot: str) -> Order:
    return Order(
        name,
        f"Memory is freed, its next owner stores 2 to it, and the driver's store ({slot}) comes "
        "behind that.",
        ((Store(slot), GAP, Store("freed")), _in_order(Load("freed", 1), Store(slot, 2))),
        _by("fence", "release"),
        {slot: 1},
        _TO_THE_NEXT,
    )


_TO_THE_NEXT: Final = "the driver", "the memory's next owner"
_TWO_THREADS: Final = "a thread of the driver", "the next one", "the card"

_RX_LOADS: Final = "The reader gets what the card wrote when the slot was its own again ({})."

BY_BARRIER: Final[tuple[Order, ...]] = (
    _announced("cmd-base", "fence", "cmd_owner", "cmdbase"),
    _freed("tx-free", "tx_payload"),
    _freed("rx-free", "rx_pointer"),
    _announced("tx-base", "fence", "tx_owner", "txbase"),
    _announced("rx-base", "fence", "rx_pointer", "rxbase"),
    _handed_over("tx-fields", "tx_fields", "tx_owner"),
    _handed_over("tx-payload", "tx_payload", "tx_owner"),
    _announced("tx-doorbell", "before_register_write", "tx_owner", "dbell"),
    _looked_at("tx-events", "evflags", "tx_owner"),
    _handed_over("cmd-fields", "cmd_fields", "cmd_owner"),
    _announced("cmd-doorbell", "before_register_write", "cmd_owner", "dbell"),
    _looked_at("cmd-events", "evflags", "cmd_owner"),
    _handed_over("rx-pointer", "rx_pointer", "rx_owner"),
    _looked_at("cmd-result", "cmd_owner", "cmd_error"),
    _looked_at("rx-events", "evflags", "rx_owner"),
    _looked_at("rx-header", "rx_owner", "rx_header"),
    _given_back(
        "rx-first-load",
        (Load("rx_first", 1), Store("rx_pointer"), GAP, Barrier("release"), Store("rx_owner")),
        *("rx_first", "rx_owner", _RX_LOADS.format("rx_first")),
    ),
    _given_back(
        "rx-last-load",
        (
            *(Load("rx_first", 0), Barrier("release_loads"), Load("rx_last", 1)),
            *(Store("rx_pointer"), GAP, Barrier("release"), Store("rx_owner")),
        ),
        *("rx_last", "rx_owner", _RX_LOADS.format("rx_last")),
    ),
    _given_back(
        "start-read",
        (Load("answer", 1), GAP, Store("cmd_fields"), Barrier("release"), Store("cmd_owner")),
        *("answer", "cmd_owner"),
        "The card executes START (cmd_owner) before it knows the packet rings, which is when the "
        "register read is answered (answer).",
    ),
)
"""The orders that a barrier of the specification demands."""

_BRANCH: Final[Fillings] = {"ctrl": (Branch(),), PO: ()}
_LOCK: Final[Fillings] = {"lock": (), PO: ()}

OTHERS: Final[tuple[Order, ...]] = (
    _looked_at("rx-payload", "rx_owner", "rx_payload"),
    Order(
        "reset-over",
        "A command slot is set up (cmd_owner) before FLAGS says that the reset is over (flags): "
        "the card still uses the slot.",
        (
            (Load("flags", 1), GAP, Store("cmd_owner")),
            _in_order(Load("cmd_owner", 1), Store("flags")),
        ),
        _BRANCH,
    ),
    Order(
        "slot-returned",
        "A slot is filled in (tx_payload) before its owner byte says that the card is done with it "
        "(tx_owner).",
        (
            (Load("tx_owner", 1), GAP, Store("tx_payload")),
            _in_order(Load("tx_payload", 1), Store("tx_owner")),
        ),
        _BRANCH,
    ),
    Order(
        "slot-passed-on",
        "The handler finds a slot returned (tx_owner), and a sender who gets the lock behind it "
        "fills it in (tx_payload) while the card still reads it.",
        (
            (Load("tx_owner", 1), Unlock("mutex")),
            (Lock("mutex"), Store("tx_payload")),
            _in_order(Load("tx_payload", 1), Store("tx_owner")),
        ),
        _LOCK,
        cast=_TWO_THREADS,
    ),
    Order(
        "header-taken",
        "A reader loads a header (rx_header) and gives up the lock; the slot is given back "
        "(rx_owner) under the lock, and the header is the one of the next packet.",
        (
            (Load("rx_header", 1), Unlock("mutex")),
            (Lock("mutex"), Store("rx_owner")),
            _in_order(Load("rx_owner", 1), Store("rx_header")),
        ),
        _LOCK,
        cast=_TWO_THREADS,
    ),
    Order(
        "free-by-kernel",
        "Memory is freed by a kernel with locks of its own, its next owner stores 2 to it, and the "
        "driver's store (tx_payload) comes behind that.",
        (
            (Store("tx_payload"), Unlock("mutex")),
            (Lock("mutex"), Store("tx_payload", 2)),
        ),
        _LOCK,
        {"tx_payload": 1},
        _TO_THE_NEXT,
    ),
)
"""Orders that are taken for granted: a branch, a lock or another order's barrier makes them."""


# Tests


@attrs.frozen
class Litmus:
    """A litmus test.

    Attributes:
        machine: As `platform.machine` names it.
        order: What it is about.
        filling: What stands in the gap.
    """

    machine: str
    order: Order
    filling: str

    @property
    def name(self) -> str:
        """What herd7 calls it."""
        return f"{self.order.name}+{self.filling}"

    @property
    def path(self) -> str:
        """Its file, in `docs/litmus`."""
        return f"{self.machine}/{self.name}.litmus"

    @property
    def allowed(self) -> bool:
        """Whether the bad end is expected to be possible: nothing orders the driver's accesses."""
        return self.machine == "aarch64" and self.filling == PO

    @property
    def instruction(self) -> str:
        """The barrier in the gap as an instruction; "" if there is none."""
        return " ".join(
            getattr(INSTRUCTIONS[self.machine], step.operation).text
            for step in self.order.fillings[self.filling]
            if isinstance(step, Barrier)
        )

    @property
    def text(self) -> str:
        """The test, in herd7's format."""
        threads = [self._filled(thread) for thread in self.order.threads]
        program = _PROGRAMS[self.machine]
        made = [program(number, thread) for number, thread in enumerate(threads)]
        ends = [end for thread in made for end in thread.ends]
        ends += [f"[{place}]={value}" for place, value in self.order.final.items()]
        return "\n".join(
            [
                f"{NAMES[self.machine]} {self.name}",
                *_comment(
                    [*self._said(), f"Expected: {'allowed' if self.allowed else 'forbidden'}."]
                ),
                *("{", *(thread.addresses for thread in made if thread.addresses), "}"),
                *_columns([thread.lines for thread in made]),
                f"exists ({AND.join(ends)})",
                "",
            ]
        )

    def _filled(self, thread: Thread) -> Thread:
        """What the thread does in this test; in program order alone a lock is a plain flag."""
        steps: list[Step] = []
        for step in thread:
            match step:
                case Gap():
                    steps += self.order.fillings[self.filling]
                case Unlock() if self.filling == PO:
                    steps.append(Store(step.place))
                case Lock() if self.filling == PO:
                    steps.append(Load(step.place, 1))
                case _:
                    steps.append(step)
        return tuple(steps)

    def _said(self) -> Iterator[str]:
        fault = _FAULTS.get(self.order.name)
        if fault is not None:
            rule, barrier = fault
            yield f'The barrier of {rule} in the specification, "{barrier}".'
        else:
            yield "An order for which the specification demands no barrier."
        yield self.order.about
        if self.instruction:
            yield f"Here with {self.filling}: {self.instruction}."
        elif self.filling == PO:
            yield "Here with nothing but program order."
        cast = "; ".join(f"P{number}: {who}" for number, who in enumerate(self.order.cast))
        yield f"{cast}. Only the driver's accesses may be out of order; registers are memory."


_FAULTS: Final = {fault.id.removeprefix(PREFIX): key for key, fault in BARRIERS.items()}


def litmus_tests() -> Iterator[Litmus]:
    """All tests, but those of a barrier that is no instruction on the machine."""
    for machine in MODELS:
        for order in BY_BARRIER + OTHERS:
            for filling, steps in order.fillings.items():
                test = Litmus(machine, order, filling)
                if test.instruction or not any(isinstance(step, Barrier) for step in steps):
                    yield test


# Programs


class _AArch64:
    """A thread in aarch64's instructions: the address of access n in X2n+1, its value in W2n."""

    def __init__(self, number: int, thread: Thread) -> None:
        self.lines: list[str] = []
        self.ends: list[str] = []
        self._number = number
        self._places: list[str] = []
        for step in thread:
            self._add(step)

    @property
    def addresses(self) -> str:
        """The registers as they are at first."""
        return " ".join(
            f"{self._number}:X{2 * access + 1}={place};"
            for access, place in enumerate(self._places)
        )

    def _add(self, step: Step) -> None:
        value, address = 2 * len(self._places), 2 * len(self._places) + 1
        match step:
            case Store() | Unlock():
                number = step.value if isinstance(step, Store) else 1
                store = "STR" if isinstance(step, Store) else "STLR"
                self.lines += [f"MOV W{value},#{number}", f"{store} W{value},[X{address}]"]
            case Load() | Lock():
                load = "LDR" if isinstance(step, Load) else "LDAR"
                self.lines.append(f"{load} W{value},[X{address}]")
                seen = step.seen if isinstance(step, Load) else 1
                self.ends.append(f"{self._number}:X{value}={seen}")
            case Barrier():
                self.lines.append(getattr(INSTRUCTIONS["aarch64"], step.operation).text.upper())
            case InOrder():
                self.lines.append("DMB SY")
            case Branch():
                label = f"L{self._number}{len(self.lines)}"
                self.lines += [f"CBNZ W{value - 2},{label}", f"{label}:"]
        if isinstance(step, Store | Unlock | Load | Lock):
            self._places.append(step.place)


class _X86:
    """A thread in x86-64's instructions: every load into a register of its own."""

    REGISTERS: Final = ("eax", "ebx", "ecx", "edx")

    def __init__(self, number: int, thread: Thread) -> None:
        self.lines: list[str] = []
        self.ends: list[str] = []
        self.addresses = ""
        self._number = number
        for step in thread:
            self._add(step)

    def _add(self, step: Step) -> None:
        loaded = len(self.ends)
        match step:
            case Store() | Unlock():
                number = step.value if isinstance(step, Store) else 1
                self.lines.append(f"movl ${number},({step.place})")
            case Load() | Lock():
                register = self.REGISTERS[loaded]
                self.lines.append(f"movl ({step.place}),%{register}")
                seen = step.seen if isinstance(step, Load) else 1
                self.ends.append(f"{self._number}:r{register[1:]}={seen}")
            case Barrier():
                text = getattr(INSTRUCTIONS["x86_64"], step.operation).text
                self.lines += [text] if text else []
            case InOrder():
                self.lines.append("mfence")
            case Branch():
                label = f"L{self._number}{len(self.lines)}"
                register = self.REGISTERS[loaded - 1]
                self.lines += [f"cmpl $0,%{register}", f"jne {label}", f"{label}:"]


_PROGRAMS: Final[Mapping[str, type[_AArch64 | _X86]]] = {"aarch64": _AArch64, "x86_64": _X86}


def _columns(threads: Sequence[Sequence[str]]) -> Iterator[str]:
    """The threads beside each other."""
    columns = [[f"P{number}", *lines] for number, lines in enumerate(threads)]
    widths = [max(map(len, column)) for column in columns]
    for row in zip_longest(*columns, fillvalue=""):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f" {' | '.join(cells)} ;"


def _comment(sentences: Sequence[str]) -> Iterator[str]:
    yield "(*"
    for sentence in sentences:
        yield from textwrap.wrap(sentence, 96, initial_indent=" * ", subsequent_indent=" * ")
    yield " *)"


def files() -> dict[str, str]:
    """The text of each file, by its path in `docs/litmus`."""
    return {test.path: test.text for test in litmus_tests()}


def main() -> None:
    """Write the files, and remove those that are none any more."""
    made = files()
    for old in FOLDER.glob("*/*.litmus"):
        if old.relative_to(FOLDER).as_posix() not in made:
            old.unlink()
    for name, text in made.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
