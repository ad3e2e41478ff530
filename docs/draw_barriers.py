"""Draw the list of all barriers, from what has them: `python -m docs.draw_barriers`.

Where a barrier stands in the specification is told by the word or rule that declares it, and where
in the driver by the fault that removes it: the lines that the fault changes have it. The run that
goes wrong without it is the one that the proofs find, and the verdicts are those that herd7 gave
(`docs.ask_herd7`). What is not made stands in `docs/barriers.txt`. Run it from the project's
folder; it writes `docs/barriers.md`.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from docs.ask_herd7 import recorded
from docs.draw_litmus import BY_BARRIER, OTHERS, PO, Litmus, Order, litmus_tests
from engine.catch import Catch, catch
from engine.faults import Fault
from engine.ladder import ladder
from engine.mutations import barriers
from engine.places import of_body
from engine.weak_memory import lateness_name, speculation_name, visible_name
from impl.barriers import INSTRUCTIONS, LINUX
from model.faults import BARRIERS
from model.system import specification
from model.words import WORDS
from proofs.theory import THEORY
from properties.faults import SAME_LINE, fault

__all__ = ["DOCUMENT", "Site", "document", "drawn", "sites", "standing"]

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = Path(__file__).with_name("barriers.md")
TEMPLATE: Final = Path(__file__).with_name("barriers.txt")
HANDLES: Final = {"device", "_device"}
"""What the driver calls the card by."""
MACHINES: Final = {"aarch64": "aarch64", "x86_64": "x86-64"}
VERDICT: Final = {True: "allowed", False: "forbidden"}
WIDTH: Final = 100


# Where a barrier stands


@attrs.frozen
class Site:
    """A line of the driver that executes a barrier.

    Attributes:
        module: Name of the module in `impl`.
        line: Its number.
        function: The method that it is in, with the class.
        operation: The barrier, as `impl.memory` calls it.
    """

    module: str
    line: int
    function: str
    operation: str

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"impl/{self.module}.py:{self.line}"


def _source(module: str) -> str:
    return (ROOT / "impl" / f"{module}.py").read_text(encoding="utf-8")


@functools.cache
def sites() -> tuple[Site, ...]:
    """Every line of the driver that executes a barrier."""
    modules = sorted(path.stem for path in (ROOT / "impl").glob("*.py"))
    return tuple(site for module in modules for site in _sites_of(module))


def _sites_of(module: str) -> Iterator[Site]:
    for part in ast.parse(_source(module)).body:
        within = part.body if isinstance(part, ast.ClassDef) else [part]
        prefix = f"{part.name}." if isinstance(part, ast.ClassDef) else ""
        for function in within:
            for node in ast.walk(function):
                match node:
                    case ast.Attribute(value=card, attr=operation) if (
                        operation in LINUX and _called(card) in HANDLES
                    ):
                        name = f"{prefix}{getattr(function, 'name', module)}"
                        yield Site(module, node.lineno, name, operation)


def _called(node: ast.expr) -> str:
    """The last name of what a method is called on."""
    return ast.unparse(node).rpartition(".")[2]


def standing(name: str) -> Site:
    """The line of the driver that a fault takes a barrier from.

    Raises `ValueError` unless the fault changes exactly one such line.
    """
    found: set[Site] = set()
    for change in fault(SAME_LINE.get(name, name)).changes:
        before, _, _ = _source(change.module).partition(change.old)
        first = before.count("\n") + 1
        lines = range(first, first + len(change.old.splitlines()))
        found |= {site for site in sites() if site.module == change.module and site.line in lines}
    if len(found) != 1:
        raise ValueError(f"{name} takes away {len(found)} barriers of the driver, and not one")
    return found.pop()


def _declared(rule: str, barrier: str) -> str:
    """The file and line of the specification that demand the barrier."""
    for word in WORDS:
        for name, declared in (
            *((visible_name(word), order) for order in word.after),
            (speculation_name(word), word.speculation),
            (lateness_name(word), word.lateness),
        ):
            if declared is not None and (name, declared.barrier) == (rule, barrier):
                return declared.place
    return of_body(specification().named(rule).rule.body)


# The run that goes wrong


def drawn(found: Catch) -> str:
    """The run on which a fault shows, as text."""
    phrases = THEORY.specification().phrases
    lines = ladder(found.trace, phrases, fold=found.boot, fold_text=found.story, explain=False)
    return "\n".join(lines)


def runs() -> dict[str, str]:
    """The run of each barrier's fault; takes ten seconds or more."""
    return {item.id: drawn(catch(THEORY, item)) for item in BARRIERS.values()}


# The document


@attrs.frozen
class Entry:
    """What is told of one barrier."""

    rule: str
    barrier: str
    fault: Fault
    site: Site
    declared: str
    order: Order

    @property
    def title(self) -> str:
        """The heading."""
        return f"{self.rule}: {self.barrier}"


def _entries() -> list[Entry]:
    orders = {order.name: order for order in BY_BARRIER}
    found = []
    for rule, barrier in barriers(specification()):
        said = BARRIERS[rule, barrier]
        order = orders.pop(said.id.removeprefix("no-barrier-"))
        site = standing(said.id)
        if next(iter(order.fillings)) != site.operation:
            raise ValueError(f"the litmus tests of {said.id} are not about {site.operation}")
        found.append(Entry(rule, barrier, said, site, _declared(rule, barrier), order))
    if orders:
        raise ValueError(f"litmus tests of no barrier: {', '.join(orders)}")
    idle = set(sites()) - {entry.site for entry in found}
    if idle:
        where = ", ".join(f"{site.place} ({site.function})" for site in idle)
        raise ValueError(f"a barrier that the specification does not demand: {where}")
    return found


def _link(place: str) -> str:
    file, _, line = place.rpartition(":")
    return f"[{place}](../{file}#L{line})"


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " _-")
    return kept.replace(" ", "-")


@functools.cache
def _verdicts() -> dict[str, bool]:
    return recorded()[1]


def _verdict(test: Litmus) -> str:
    """What herd7 says of a test, with a link to it."""
    return f"[{VERDICT[_verdicts()[test.path]]}](litmus/{test.path})"


def _tests(order: str) -> dict[tuple[str, str], Litmus]:
    """The litmus tests of an order, by machine and by what provides it there."""
    return {
        (item.machine, item.filling): item for item in litmus_tests() if item.order.name == order
    }


def _cells(machine: str, entry: Entry) -> tuple[str, str]:
    """herd7's verdicts without the barrier and with it; the instruction comes first."""
    tests = _tests(entry.order.name)
    without = _verdict(tests[machine, PO])
    having = tests.get((machine, entry.site.operation))
    return without, "no instruction" if having is None else _verdict(having)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for cells in lines:
        yield f"| {' | '.join(cells)} |"
    yield ""


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)
    yield ""


def _summary(entries: Sequence[Entry]) -> Iterator[str]:
    head = ["what is held back: by what", "in the driver", "barrier"]
    head += [f"{name}: without, with" for name in MACHINES.values()]
    lines = [
        [
            f"[{entry.title}](#{_anchor(entry.title)})",
            f"`{entry.site.function}`",
            f"`{entry.site.operation}`",
            *(", ".join(_cells(machine, entry)) for machine in MACHINES),
        ]
        for entry in entries
    ]
    yield from _table(head, lines)


def _section(entry: Entry, run: str) -> Iterator[str]:
    operation = entry.site.operation
    lines = [
        ["specification", _link(entry.declared)],
        ["driver", f"{_link(entry.site.place)}, `{entry.site.function}`: `{operation}`"],
        ["Linux", f"`{LINUX[operation]}`"],
    ]
    for machine, name in MACHINES.items():
        text = getattr(INSTRUCTIONS[machine], operation).text
        without, having = _cells(machine, entry)
        said = f"`{text}`; herd7: {without} without, {having} with it"
        lines.append([name, said if text else f"no instruction; herd7: {without}"])
    lines.append(["breaks without it", f"`{entry.fault.property}`"])
    yield from (f"### {entry.title}", "")
    yield from _table(["", ""], lines)
    yield from _wrapped(" ".join(entry.fault.explanation.split()))
    yield from ("<details><summary>", "")
    yield f"The run: `python -m proofs.check --fault {entry.fault.id}`"
    yield from ("", "</summary>", "", "```text", run, "```", "", "</details>", "")


def _lines_of_the_driver(entries: Sequence[Entry]) -> Iterator[str]:
    lines = []
    for site in sites():
        stands_for = [
            f"[{entry.title}](#{_anchor(entry.title)})" for entry in entries if entry.site == site
        ]
        where = f"{_link(site.place)}, `{site.function}`"
        lines.append([where, f"`{site.operation}`", "<br>".join(stands_for)])
    yield from _table(["line", "barrier", "stands for"], lines)


def _all_verdicts(order: str) -> str:
    """What herd7 says of each test of an order, on both machines."""
    tests = _tests(order)
    return "<br>".join(
        f"{filling}: {', '.join(_verdict(tests[machine, filling]) for machine in MACHINES)}"
        for machine, filling in tests
        if machine == "aarch64"
    )


def document(drawings: Mapping[str, str]) -> str:
    """The document, given the drawing of each fault's run.

    Raises `ValueError` where specification, driver and litmus tests do not name the same barriers.
    """
    entries = _entries()
    who, verdicts = recorded()
    sections = (line for entry in entries for line in _section(entry, drawings[entry.fault.id]))
    return TEMPLATE.read_text(encoding="utf-8").format(
        barriers=len(entries),
        lines=len(sites()),
        tests=len(verdicts),
        who=who,
        herd7={order.name: _all_verdicts(order.name) for order in OTHERS},
        summary=_joined(_summary(entries)),
        lines_of_the_driver=_joined(_lines_of_the_driver(entries)),
        sections=_joined(sections),
    )


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip()


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(runs()), encoding="utf-8")


if __name__ == "__main__":
    main()
