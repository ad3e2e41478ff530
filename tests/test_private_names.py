"""Names that begin with an underscore are their own part's. Every file is parsed and checked.

Nothing tells of which class an object is whose private name is used. So a name counts as private to
each part of the project that gives it to anything, unless the file that uses it does so itself.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.test_imports import FILES, ROOT

PARTS = ("emulator", "impl")
"""Whose private names nobody else may use."""
TESTS = sorted((ROOT / "tests").rglob("*.py"))
REACHING = ("getattr", "setattr", "hasattr", "delattr")
"""Functions that take a name, or the path of one, as text."""

CLOCK = "time passes where the test says so, not where the system does"
CARDS = "whether a card is let go of shows only in what the process keeps of it"
CONTROLLER = "a call is stopped between the driver and its controller, where nobody comes in"
KEPT = "that nothing is kept any more shows only in what kept it"
ASLEEP = "how many sleep shows only in who is kept as asleep"
INTERRUPT = "an interrupt comes at a moment that has to be made"
EACH = "an operation of the driver fails in the middle of a call"
HELD = "a wait is held up, or has begun to end, where nobody comes in"
KERNEL = "what a kernel refuses is tried on the lines that ask it"
LOOP = "a loop wakes its tasks by it, at a moment that has to be made"
LINE = "in which order threads stand in line for the lock shows only in the line"
LINES = "the lines of the driver are run with other things in their place, or named"
ALLOWED = {
    ("proofs/refine/calls.py", "_serve"): LINES,
    ("proofs/refine/driver.py", "_give_back_again"): LINES,
    ("proofs/refine/driver.py", "_next_call"): LINES,
    ("proofs/refine/driver.py", "_show_that_another_waits"): LINES,
    ("proofs/refine/driver.py", "_show_that_none_waits"): LINES,
    ("proofs/refine/driver.py", "_turn"): LINES,
    ("properties/monitored_bench.py", "_lock"): LINE,
    ("properties/monitored_bench.py", "_sleepers"): ASLEEP,
    ("tests/test_device.py", "_cards"): CARDS,
    ("tests/test_device.py", "_sleepers"): ASLEEP,
    ("tests/test_driver_api.py", "_cards"): CARDS,
    ("tests/test_driver_api.py", "_controller"): CONTROLLER,
    ("tests/test_driver_promises.py", "_cards"): CARDS,
    ("tests/test_driver_promises.py", "_controller"): CONTROLLER,
    ("tests/test_driver_promises.py", "_loan"): KEPT,
    ("tests/test_driver_promises.py", "_memory"): KEPT,
    ("tests/test_driver_promises.py", "_poller"): KEPT,
    ("tests/test_driver_promises.py", "_views"): KEPT,
    ("tests/failing.py", "_readiness"): EACH,
    ("tests/test_deadlines.py", "_poll"): CLOCK,
    ("tests/test_deadlines.py", "_ready"): CLOCK,
    ("tests/test_driver_edges.py", "_cards"): CARDS,
    ("tests/test_driver_edges.py", "_controller"): CONTROLLER,
    ("tests/test_driver_edges.py", "_drivers"): KEPT,
    ("tests/test_driver_edges.py", "_interrupts"): INTERRUPT,
    ("tests/test_driver_edges.py", "_memory"): KEPT,
    ("tests/test_driver_edges.py", "_poll"): EACH,
    ("tests/test_driver_edges.py", "_recover_if_possible"): EACH,
    ("tests/test_driver_edges.py", "_set_up"): EACH,
    ("tests/test_driver_edges.py", "_sleepers"): ASLEEP,
    ("tests/test_driver_edges.py", "_users"): KEPT,
    ("tests/test_every_way_out.py", "_cards"): CARDS,
    ("tests/test_garbage.py", "_controller"): CONTROLLER,
    ("tests/test_garbage.py", "_interrupts"): INTERRUPT,
    ("tests/test_garbage.py", "_sleepers"): ASLEEP,
    ("tests/own_card.py", "_cards"): CARDS,
    ("tests/test_interruption.py", "_controller"): CONTROLLER,
    ("tests/test_kernel.py", "_device"): KERNEL,
    ("tests/test_kernel.py", "_join"): KERNEL,
    ("tests/test_kernel.py", "_lockdown"): KERNEL,
    ("tests/test_kernel.py", "_mapping"): KEPT,
    ("tests/test_interruption.py", "_sleepers"): ASLEEP,
    ("tests/test_loan.py", "_KEPT"): KEPT,
    ("tests/test_monitor.py", "_controller"): CONTROLLER,
    ("tests/test_monitor.py", "_gone"): "a handler forgets that it was told to end: a fault",
    ("tests/test_polling.py", "_queues"): KEPT,
    ("tests/test_readers_in_line.py", "_controller"): CONTROLLER,
    ("tests/test_ring.py", "_waiting"): KEPT,
    ("tests/test_shield.py", "_controller"): CONTROLLER,
    ("tests/test_shield.py", "_PROTECTED"): "what is protected shows only in what marks it",
    ("tests/test_shield_edges.py", "_wake"): LOOP,
    ("tests/test_shield_edges.py", "_wake_and_tell"): LOOP,
    ("tests/test_signals.py", "_cards"): CARDS,
    ("tests/test_signals.py", "_controller"): CONTROLLER,
    ("tests/test_signals.py", "_sleepers"): ASLEEP,
    ("tests/test_threads.py", "_alarmed"): CLOCK,
    ("tests/test_threads.py", "_lock"): LINE,
    ("tests/test_threads.py", "_sleepers"): ASLEEP,
    ("tests/test_tools.py", "_cards"): CARDS,
    ("tests/test_way_edges.py", "_KEPT"): KEPT,
    ("tests/test_way_edges.py", "_closed"): HELD,
    ("tests/test_way_edges.py", "_drivers"): KEPT,
    ("tests/test_way_edges.py", "_make_executable"): KERNEL,
    ("tests/test_way_edges.py", "_poll"): HELD,
    ("tests/test_way_edges.py", "_polls"): HELD,
    ("tests/test_way_edges.py", "_stop"): KEPT,
    ("tests/test_way_edges.py", "_users"): KEPT,
}
"""Uses of a private name from outside, by file and name, and why each is right."""


def is_private(name: str) -> bool:
    return name.startswith("_") and name != "_" and not name.endswith("__")


def own(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def given(tree: ast.AST) -> Iterator[str]:
    """The names that a file gives to attributes, functions, classes and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=value, attr=name, ctx=ast.Store()) if own(value):
                yield name


def used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each use of a private name that is not the object's own."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=name) if not own(value):
                yield node.lineno, name
            case ast.ImportFrom(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in REACHING:
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.lineno, argument.value.rpartition(".")[2]


def part_of(file: str) -> str:
    return file.partition("/")[0]


@pytest.fixture(scope="module")
def project() -> dict[str, ast.AST]:
    """Every file by its path, parsed."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in (*FILES, *TESTS)
    }


@pytest.fixture(scope="module")
def private(project) -> dict[str, set[str]]:
    """The private names of each part."""
    names: dict[str, set[str]] = {part: set() for part in PARTS}
    for file, tree in project.items():
        if part_of(file) in PARTS:
            names[part_of(file)].update(filter(is_private, given(tree)))
    return names


def uses(file: str, tree: ast.AST, private: dict[str, set[str]]) -> Iterator[tuple[int, str, str]]:
    """Line, name and parts of each use of a name that is private to others."""
    found = {line_and_name for line_and_name in used(tree) if is_private(line_and_name[1])}
    known = set(given(tree)) if found else set()
    for line, name in sorted(found):
        parts = [part for part in PARTS if part != part_of(file) and name in private[part]]
        if parts and name not in known:
            yield line, name, " or ".join(parts)


def violations(file: str, tree: ast.AST, private: dict[str, set[str]]) -> list[str]:
    return [
        f"{file}:{line}: {name} is private to {parts}, which may offer a public way to it"
        for line, name, parts in uses(file, tree, private)
        if (file, name) not in ALLOWED
    ]


def test_nobody_uses_what_is_private_to_the_card_or_the_driver(project, private):
    assert [line for file in project for line in violations(file, project[file], private)] == []


def test_every_exception_is_needed_and_is_one_to_the_driver(project, private):
    there = {
        (file, name) for file, tree in project.items() for _, name, _ in uses(file, tree, private)
    }
    assert set(ALLOWED) <= there
    assert {name for _, name in ALLOWED} <= private["impl"]


# The check itself must be able to fail


@pytest.mark.parametrize(
    "source",
    [
        "card._steps['tx.send'] = None",
        "stage.card.card._readers",
        "def f(running):\n    return [running.card._steps]",
        "del card._steps",
        "getattr(card, '_steps')",
        "monkeypatch.setattr(card, '_steps', None)",
        "monkeypatch.setattr('emulator.shared_net.member._PAUSE', None)",
        "from emulator.backend import _NAME",
        "memory._regions = {}",
    ],
)
def test_a_reach_into_the_card_is_found(source, private):
    (line,) = violations("tests/test_x.py", ast.parse(source), private)
    assert line.startswith("tests/test_x.py:")
    assert "is private to emulator" in line


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("tests/test_x.py", "self._steps"),
        ("tests/test_x.py", "class A:\n    def __init__(self):\n        self._steps = 1\na._steps"),
        ("tests/test_x.py", "card.__class__"),
        ("tests/test_x.py", "parser._actions"),
        ("emulator/running.py", "card._steps"),
    ],
)
def test_ones_own_names_and_those_of_others_are_left_alone(file, source, private):
    assert violations(file, ast.parse(source), private) == []
