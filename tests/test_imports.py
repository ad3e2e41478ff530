"""Who may import whom, as ARCHITECTURE.md says. Every file of the project is parsed and checked."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (
    *("engine", "model", "judge", "impl", "monitor", "proofs", "emulator", "properties"),
    *("userland", "bench", "tests", "lab", "examples", "cuse"),
)


@attrs.frozen
class May:
    """What the files of one part may import.

    Names are modules; a name allows its submodules too. `others` are packages from outside; None
    allows any.
    """

    project: tuple[str, ...]
    others: tuple[str, ...] | None


# The most specific name that fits a module is the one that counts.
RULES = {
    "engine": May(("engine",), None),
    "examples": May(("examples", "engine"), ("attrs", "scapy")),
    "model": May(("model", "engine"), ("attrs",)),
    "model.layout": May((), ("attrs",)),
    "proofs": May(("proofs", "model", "engine"), None),
    "proofs.refine": May(("proofs", "judge", "impl", "model", "engine"), None),
    "judge": May(("judge", "impl", "model", "engine"), ("attrs",)),
    "impl": May(("impl", "model.layout"), ("attrs",)),
    "monitor": May(("monitor", "judge", "impl", "model", "engine"), ("attrs",)),
    "cuse": May(("cuse",), ("attrs",)),
    "engine.needed": May((), ()),
    "emulator": May(
        ("emulator", "model.layout", "engine.needed", "model.state", "impl.memory"), ("attrs",)
    ),
    "properties": May(
        ("properties", "emulator", "impl", "monitor", "judge", "model", "engine"), None
    ),
    "userland": May(("userland", "cuse", "impl", "model.layout", "engine.needed"), ("attrs",)),
    "lab": May(
        (
            "lab",
            "properties",
            "emulator.shared_net",
            "emulator.packet",
            "model.layout",
            "engine.needed",
        ),
        None,
    ),
    "lab.agent": May(("lab.preloaded",), ("attrs",)),
    "lab.preloaded": May((), None),
    "lab.inside": May(
        (
            "impl",
            "model.layout",
            "monitor.watch",
            "properties.bench_control",
            "properties.driver_source",
            "properties.faults",
        ),
        ("attrs",),
    ),
    "bench": May(
        (
            "bench",
            "engine",
            "model",
            "judge",
            "proofs",
            "impl",
            "monitor",
            "emulator",
            "properties",
        ),
        None,
    ),
}


def table() -> str:
    """The rules as ARCHITECTURE.md shows them; `python -m tests.test_imports` prints this."""
    lines = ["| who | may import | from outside |", "|---|---|---|"]
    for name, rule in RULES.items():
        known = ", ".join(f"`{item}`" for item in rule.project) or "nothing of the project"
        others = "anything" if rule.others is None else ", ".join(rule.others) or "nothing"
        lines.append(f"| `{name}` | {known} | {others} |")
    return "\n".join(lines) + "\n"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def fits(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


def imported(module: str, source: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module's source imports, wherever the import stands.

    `from model import layout` imports `model.layout`, and so does `import_module("model.layout")`.
    A call whose argument is no literal is "?".
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=base, names=names, level=level):
                if level:
                    up = level - 1 if is_package else level
                    parents = module.split(".")
                    parents = parents[: len(parents) - up]
                    base = ".".join([*parents, *([base] if base else [])])
                for alias in names:
                    yield node.lineno, base if alias.name == "*" else f"{base}.{alias.name}"
            case (
                ast.Call(func=ast.Name(id="__import__" | "import_module"))
                | ast.Call(func=ast.Attribute(attr="import_module"))
            ):
                argument = node.args[0] if node.args else None
                literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield node.lineno, argument.value if literal else "?"


def is_project(name: str) -> bool:
    return name.partition(".")[0] in PROJECT


def allows(rule: May, name: str) -> bool:
    top = name.partition(".")[0]
    if is_project(name):
        return any(fits(name, allowed) for allowed in rule.project)
    if top in sys.stdlib_module_names:
        return True
    return rule.others is None or top in rule.others


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module imports although its part of the project may not."""
    names = [name for name in RULES if fits(module, name)]
    if not names:
        return []
    rule = RULES[max(names, key=len)]
    return [
        f"line {line}: {module} may not import {name}"
        for line, name in imported(module, source, is_package=is_package)
        if not allows(rule, name)
    ]


FILES = sorted(
    path
    for part in PROJECT
    for path in (ROOT / part).rglob("*.py")
    if part != "tests" and "__pycache__" not in path.parts
)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_file_imports_only_what_its_part_may(path):
    source = path.read_text(encoding="utf-8")
    assert violations(module_name(path), source, is_package=path.name == "__init__.py") == []


def test_the_table_in_the_manifest_is_what_is_checked():
    assert table() in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_the_files_of_the_specification_are_among_those_checked():
    assert {"model.layout", "model.ring_spec", "model.system"} <= set(map(module_name, FILES))


def test_every_part_has_a_rule():
    assert {module_name(path).partition(".")[0] for path in FILES} <= set(RULES)


def test_importing_the_layout_loads_nothing_else_of_the_project():
    """`impl` stands on `model.layout` alone, so the package around it must load nothing either."""
    source = (ROOT / "model" / "__init__.py").read_text(encoding="utf-8")
    assert list(imported("model", source, is_package=True)) == []


# The check itself must be able to fail


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("model.system", "import z3", "z3"),
        ("model.system", "from cvc5 import Solver", "cvc5.Solver"),
        ("model.system", "import z3.z3util as u", "z3.z3util"),
        ("model.system", "import itf_py", "itf_py"),
        ("model.system", "def f():\n    import z3", "z3"),
        ("model.system", "if TYPE_CHECKING:\n    import z3", "z3"),
        ("model.system", "import importlib\nimportlib.import_module('z3')", "z3"),
        ("model.system", "from importlib import import_module\nimport_module('z3')", "z3"),
        ("model.system", "__import__('z3')", "z3"),
        ("model.system", "import importlib\nimportlib.import_module(name)", "?"),
        ("model.system", "import proofs", "proofs"),
        ("model.system", "from proofs.theory import THEORY", "proofs.theory.THEORY"),
        ("model.system", "from .. import proofs", ".proofs"),
        ("model.layout", "from model.state import Command", "model.state.Command"),
        ("model.layout", "from . import state", "model.state"),
        ("engine.terms", "from model.layout import LIMITS", "model.layout.LIMITS"),
        ("impl.driver", "import model", "model"),
        ("impl.driver", "from model import state", "model.state"),
        ("impl.driver", "from model import *", "model"),
        ("impl.driver", "from model import layout, system", "model.system"),
        ("impl.driver", "import model.layout_extra", "model.layout_extra"),
        ("impl.driver", "from emulator import card", "emulator.card"),
        ("impl.driver", "import hypothesis", "hypothesis"),
        ("impl.driver", "import tests.conftest", "tests.conftest"),
        ("proofs.check", "from impl import driver", "impl.driver"),
        ("engine.claims", "from model.state import State", "model.state.State"),
        ("engine.command.main", "from proofs.theory import THEORY", "proofs.theory.THEORY"),
    ],
)
def test_a_forbidden_import_is_found(module, source, name):
    lines = violations(module, source)
    assert len(lines) == 1
    assert lines[0].endswith(f": {module} may not import {name}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.system", "import attrs, enum\nfrom collections.abc import Iterable"),
        ("model.system", "from . import state\nfrom .rules import Rule"),
        ("model.system", "from model import layout\nfrom model.layout import LIMITS"),
        ("model.layout", "import struct\nimport attrs"),
        ("impl.driver", "from model import layout\nfrom model.layout import DBELL"),
        ("impl.driver", "import model.layout as layout\nfrom impl.ring import Producer"),
        ("impl.driver", "from . import ring"),
        ("proofs.check", "import z3, cvc5, rich\nfrom model.system import specification"),
        ("setup", "import anything"),
    ],
)
def test_an_allowed_import_is_not_reported(module, source):
    assert violations(module, source) == []


def test_a_relative_import_in_a_package_starts_at_the_package():
    source = "from . import state\nfrom .. import proofs"
    names = [name for _, name in imported("model", source, is_package=True)]
    assert names == ["model.state", ".proofs"]


if __name__ == "__main__":
    print(table(), end="")
