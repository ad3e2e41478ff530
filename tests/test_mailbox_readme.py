"""What the mailbox's README shows is what happens: its commands, its quotes, its mistakes."""

import ast
import os
import re
import shutil

import attrs
import pytest

from engine.rules import USER, Party, Rule
from examples.mailbox import spec
from tests.test_readme import ROOT, blocks, here, run, steps

EXAMPLE = ROOT / "examples" / "mailbox"
TEXT = (EXAMPLE / "README.md").read_text(encoding="utf-8")
BLOCKS = list(blocks(TEXT))
COMMANDS = [step for kind, code, _ in BLOCKS if kind == "console" for step in steps(code)]
QUOTES = [code for kind, code, _ in BLOCKS if kind == "python"]
LEFT_OUT = "  # no "
"""What follows it in a command names a conjunct that is left out of the invariant."""
MOST_LINES = 260
SHOWS_A_FINDING = ("--fault", "--without", LEFT_OUT)


def compared(line):
    """A line but for the time that something took, and for answers that an earlier run has left."""
    timed = re.sub(r" +\d+\.\d s", " T s", line.rstrip())
    kept = r"[\d,]+ answers? kept from earlier runs"
    replayed = r"[\d,]+ faults? shown by a run replayed"
    return re.sub(rf"; {kept}(, {replayed})?", "", timed)


def is_shortened(shown, printed):
    """Whether `shown` is what was printed, with `...` for lines left out."""
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(is_shortened(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and is_shortened(shown[1:], printed[1:])


def without(conjunct, folder):
    """A copy of the examples in which a conjunct of the invariant is not stated."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    proof = folder / "examples" / "mailbox" / "proof.py"
    source = proof.read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any(f"'{conjunct}'" in ast.unparse(item) for item in node.decorator_list)
    )
    lines = source.splitlines(keepends=True)
    del lines[found.decorator_list[0].lineno - 1 : found.end_lineno]
    proof.write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=lambda item: str(item)[-40:])
def test_a_command_prints_what_is_shown(command, shown, tmp_path):
    typed, _, conjunct = command.partition(LEFT_OUT)
    if conjunct:
        without(conjunct, tmp_path)
        paths = f"PYTHONPATH={ROOT}{os.pathsep}$PYTHONPATH"
        done = run(f"cd {tmp_path} && {paths} {here(typed)}", shell=True)
    else:
        done = run(here(typed), shell=True)
    assert done.returncode == any(item in command for item in SHOWS_A_FINDING)
    printed = [compared(line) for line in done.stdout.splitlines()]
    assert is_shortened([compared(line) for line in shown], printed), done.stdout


def test_there_are_commands_of_each_kind():
    assert len(COMMANDS) == 4
    assert all(shown for _, shown in COMMANDS)


@pytest.mark.parametrize("quoted", QUOTES, ids=lambda text: text.strip().split("\n")[0])
def test_what_is_quoted_stands_there(quoted):
    sources = [path.read_text(encoding="utf-8") for path in EXAMPLE.glob("*.py")]
    assert any(quoted in source for source in sources)


def mistakes():
    """Each mistake that is shown, and what is said of it."""
    (listed,) = (code for kind, code, _ in BLOCKS if kind == "text" and "mine.py" in code)
    found = []
    for line in listed.splitlines():
        if line.startswith(" "):
            found[-1][1].append(line.strip())
        else:
            found.append((line, []))
    return [(code, " ".join(told)) for code, told in found]


def load(code):
    """The mailbox with a rule, or a word, that says `code` in line 9."""
    names = vars(spec).copy()
    if code.startswith("Word("):
        word = eval(compile("\n" * 8 + code, "mine.py", "eval"), names)
        attrs.evolve(spec.MAILBOX, words=(*spec.WORDS, word))
    text = "\n" * 7 + f"def wrong(s, t=None):\n    {code}"
    exec(compile(text, "mine.py", "exec"), names)  # noqa: S102 - what README shows
    own = re.search(r"\bt\b", code)
    parameters, party = ((USER,), Party.HOST) if own else ((), Party.DEVICE)
    spec.MAILBOX.lift(Rule("wrong", party, "", parameters, "", names["wrong"]))


@pytest.mark.parametrize(("code", "told"), mistakes())
def test_a_mistake_is_refused_as_shown(code, told, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError) as caught:
        load(code)
    assert str(caught.value) == told


def test_the_readme_is_short_and_names_files_that_exist():
    assert len(TEXT.splitlines()) <= MOST_LINES
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", TEXT))
    assert {"model/ring_spec.py", "engine/mutations.py"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []
    own = set(re.findall(r"`([a-z_]+\.py)`", TEXT)) - {"mine.py"}
    assert own == {"spec.py", "proof.py", "driver.py", "check.py"}


# The checks themselves must be able to fail


def test_what_is_shown_is_compared():
    printed = ["a", "b", "c"]
    for shown in (["a", "b", "c"], ["...", "c"], ["a", "..."], ["...", "b", "..."], ["..."]):
        assert is_shortened(shown, printed)
    for shown in (["a"], ["a", "c"], ["...", "b"], ["...", "c", "b", "..."], []):
        assert not is_shortened(shown, printed)
    assert compared("invariant   52      0.9 s  proved") == "invariant   52 T s  proved"
