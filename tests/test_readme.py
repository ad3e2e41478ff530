"""What README and the pages behind it show is what happens: snippets are taken out and run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.quotes import QUOTES

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(console|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 120

NEEDS_HARDWARE = ("sudo modprobe cuse && sudo ductd vfio:0000:00:05.0 --mode 0666 &",)
"""What a console block begins with that takes physical hardware; it is not run."""
ENDS_WITH_1 = (
    ".venv/bin/python -m properties.replay ",
    ".venv/bin/python -m proofs.check --fault ",
)
"""What is right to fail: a run that deviates, and a fault that is caught."""


def blocks(text):
    """Kind and text of each fenced block, and the output that follows it at once, if any."""
    found = list(BLOCK.finditer(text))
    for block, following in zip(found, [*found[1:], None], strict=True):
        shown = ""
        if following is not None and following[1] == "text":
            between = text[block.end() : following.start()]
            shown = following[2] if not between.strip() else ""
        yield block[1], block[2], shown


def steps(console):
    """Each command of a console block, and the lines that it prints there."""
    found = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def blocks_of(*documents):
    return [
        block
        for document in documents
        for block in blocks((ROOT / document).read_text(encoding="utf-8"))
    ]


SNIPPETS = [
    (code, shown)
    for kind, code, shown in blocks_of("README.md", "docs/driver.md")
    if kind == "python"
]
COMMANDS = [
    (steps(code), shown)
    for kind, code, shown in blocks_of("README.md", "docs/proof.md")
    if kind == "console"
]
CONSOLES = [(found, shown) for found, shown in COMMANDS if found[0][0] not in NEEDS_HARDWARE]


def here(command):
    """The command as it is run from this checkout, with the interpreter that runs the tests."""
    python = shlex.quote(sys.executable)
    return re.sub(
        r"\.venv/bin/(python|duct\w+)",
        lambda found: python if found[1] == "python" else f"{python} -m userland.{found[1]}",
        command,
    )


def run(command, *, shell=False):
    return subprocess.run(
        command,
        shell=shell,
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(("code", "shown"), SNIPPETS, ids=lambda text: text.split("\n")[0])
def test_a_snippet_runs_as_it_stands_and_prints_what_is_shown(code, shown):
    done = run([sys.executable, "-c", code])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == shown or not shown
    assert done.stdout


@pytest.mark.parametrize(("commands", "shown"), CONSOLES, ids=lambda what: str(what)[:60])
def test_a_command_does_what_is_shown(commands, shown):
    for command, lines in commands:
        if command.startswith("make "):  # what these do takes minutes, and some of it is this test
            done = run(["make", "--dry-run", *shlex.split(command, comments=True)[1:]])
            assert (done.returncode, done.stderr) == (0, ""), command
            continue
        done = run(here(command), shell=True)
        status = 1 if command.startswith(ENDS_WITH_1) else 0
        assert (done.returncode, done.stderr) == (status, ""), command
        if command.endswith(" -q"):
            assert {done.stdout.rstrip("\n"), *lines} <= set(QUOTES)
        elif lines:
            assert done.stdout.splitlines() == lines
        assert shown in done.stdout


def test_there_are_snippets_and_commands_and_only_what_is_named_is_left_out():
    assert len(SNIPPETS) >= 2
    assert sum("ductclient" in str(commands) for commands, _ in CONSOLES) >= 1
    assert [found[0][0] for found, _ in COMMANDS if found[0][0] in NEEDS_HARDWARE] == list(
        NEEDS_HARDWARE
    )


def test_blocks_and_commands_are_found():
    text = "a\n```python\nx\n```\n\n```text\n1\n```\nb\n```console\n$ one\n1\n$ two\n```\n"
    assert list(blocks(text)) == [
        ("python", "x\n", "1\n"),
        ("text", "1\n", ""),
        ("console", "$ one\n1\n$ two\n", ""),
    ]
    assert steps("$ one\n1\n$ two\n") == [("one", ["1"]), ("two", [])]
