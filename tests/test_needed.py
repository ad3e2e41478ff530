"""A command that lacks a package says so in one line, and how to get one that has all."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.needed import NEEDED

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "bench": "attrs, greenlet, hypothesis, itf_py",
    "emulator": "attrs",
    "examples.mailbox.check": "attrs, rich, z3, cvc5, itf_py",
    "lab": "attrs, pytest, xdist",
    "proofs.check": "attrs, rich, z3, cvc5, itf_py",
    "properties.check_contracts": "attrs, crosshair",
    "properties.conformance": "attrs",
    "properties.fault_runs": "attrs, greenlet, hypothesis, itf_py",
    "properties.replay": "attrs, greenlet, itf_py",
    "userland.ductctl": "attrs",
}


def python(*arguments):
    """What an interpreter says that has nothing but its own library."""
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_outside_of_its_environment_says_what_makes_one(command):
    done = python("-m", command, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{command}: {sys.executable} lacks {COMMANDS[command]}; `make env` makes an environment "
        f"that has all: .venv/bin/python -m {command}\n"
    )


def test_whoever_imports_a_package_otherwise_gets_the_usual_error():
    done = python("-c", "import properties.replay")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'attrs'" in done.stderr


def test_every_package_that_is_named_exists():
    for package in {name for names in NEEDED.values() for name in names}:
        assert importlib.util.find_spec(package), package


def test_every_package_with_commands_asks_for_what_they_need():
    runnable = re.compile(r'^if __name__ == "__main__":', re.MULTILINE)
    paths = [path for path in ROOT.glob("[!.]*/**/*.py") if runnable.search(path.read_text())]
    parts = {path.relative_to(ROOT).parts[0] for path in paths} - {"docs", "tests", ".venv"}
    assert {"proofs", "properties", "lab"} <= parts
    for part in parts:
        assert (ROOT / part / "__init__.py").read_text().endswith("\nneeded()\n"), part
        assert part in NEEDED
