"""What the documents say of files and names is true, and figures are what they are made from."""

import builtins
import importlib
import re
import runpy
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from docs.files import modules, purpose
from model import layout
from model.system import specification
from proofs import check
from proofs.assumptions import ASSUMPTIONS
from proofs.refine.obligations import MEANINGS
from properties.card_faults import CARD_FAULTS
from properties.faults import FAULTS
from tests.test_imports import PROJECT

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
DOCUMENTS += sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS += ["examples/mailbox/README.md", "cuse/README.md"]
MOST_LINES = {"README.md": 250, "ARCHITECTURE.md": 150}
LONGEST_PURPOSE = 100
MOST_FILES = 6
"""From the driver's call to the step of the specification that it is."""

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[A-Za-z][\w-]*|_\w+")
DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\[\w+\]|\(\))?")
PATH = re.compile(r"(?<![\w./*])(?:[\w*]+/)+[\w*]+\.py\b")
FOLDER = re.compile(r"(?:[a-z_]+/)+")
COMMAND = re.compile(r"python3? -m ([\w.]+)")
ENDINGS = (
    ".c",
    ".h",
    ".pc",
    ".rules",
    ".service",
    ".json",
    ".xml",
    ".txt",
    ".svg",
    ".toml",
    ".md",
    ".py",
    ".cat",
)

OBJECTS = {"call": "Call", "duct": "DuctDriver", "watch": "Watch", "s": "Recorder"}
"""What is an object in examples, and no module."""
OTHERS = {"lspci", "sudo"}
"""Names of programs that the project does not call."""


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8")


@cache
def sources():
    """The text of all modules but this one."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in modules() if path != Path(__file__)
    )


@cache
def words():
    """Every name in the project's source, its options and its Makefile; properties of the lines."""
    files = [*modules(), ROOT / "Makefile", ROOT / "pyproject.toml"]
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in files if path.parent.name != "docs"
    )
    return {
        *re.findall(r"[A-Za-z_][\w]*", source),
        *re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+", source),
        *MEANINGS,
    }


@cache
def of_the_specification():
    """Names of rules, of state variables and of what their names begin with."""
    system = specification()
    rules = {item.rule.name for item in system.transitions}
    return rules | set(system.variables)


def resolves(name):
    """Whether a dotted name leads to a module, and from there to what it says."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        return has(found, parts[end:])
    return hasattr(builtins, parts[0]) and has(builtins, parts)


def has(found, parts):
    for part in parts:
        known = getattr(found, "__annotations__", {})
        if part in known:
            return True
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@cache
def classes():
    """The text of each class of the project, by name."""
    found = {}
    for match in re.finditer(r"^class (\w+)\b.*?(?=^\S|\Z)", sources(), re.MULTILINE | re.DOTALL):
        found[match[1]] = found.get(match[1], "") + match[0]
    return found


def is_known(name):
    """Whether a dotted name is one of the project's, of the card's or of Python's."""
    first, _, rest = name.partition(".")
    if name in entry_points():
        return True
    first = OBJECTS.get(first, first)
    if first in {*PROJECT, "docs"} or first in sys.stdlib_module_names or hasattr(builtins, first):
        return resolves(name)
    if first in classes():
        return re.search(rf"\b{rest.partition('.')[0]}\b", classes()[first]) is not None
    if first in {item.name for item in layout.REGISTERS}:
        return hasattr(layout, rest)
    return name in of_the_specification() or name in words_with_dots()


@cache
def entry_points():
    """Groups of entry points."""
    return set(tomllib.loads(text_of("pyproject.toml"))["project"]["entry-points"])


@cache
def words_with_dots():
    """Dotted names that stand in the project's text: options, labels of conjuncts, words."""
    return set(re.findall(r"[\"'`]([a-z_]+(?:\.[\w-]+)+)[\"'`]", sources()))


def spans(document):
    return SPAN.findall(FENCE.sub("", text_of(document)))


# What files are for is said in them


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_its_purpose_in_its_first_line(path):
    first = purpose(path)
    assert 0 < len(first) <= LONGEST_PURPOSE
    assert first.endswith((".", "?"))


def test_modules_are_those_of_the_project():
    names = {path.relative_to(ROOT).as_posix() for path in modules()}
    assert {"impl/ring.py", "docs/files.py", "tests/test_documents.py"} <= names
    assert not [name for name in names if name.startswith((".", "build/"))]


# What the documents name is there


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document):
    folders = {span for span in spans(document) if FOLDER.fullmatch(span)}
    named = {*PATH.findall(text_of(document)), *folders}
    assert sorted(name for name in named if not list(ROOT.glob(name.rstrip("/")))) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_named_exists(document):
    named = set(COMMAND.findall(text_of(document)))
    assert sorted(name for name in named if not is_known(name)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_dotted_name_is_one(document):
    named = {match[1] for span in spans(document) if (match := DOTTED.fullmatch(span))}
    unknown = [name for name in named if not name.endswith(ENDINGS) and not is_known(name)]
    assert sorted(unknown) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_occurs_in_the_source(document):
    named = {span.removesuffix("()") for span in spans(document)}
    unknown = {name for name in named if NAME.fullmatch(name) and name not in words()}
    assert sorted(unknown - OTHERS) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text_of(document))
    assert [target for target, _ in targets if not (path.parent / target).exists()] == []
    for target, anchor in targets:
        if anchor:
            read = (path.parent / target if target else path).read_text(encoding="utf-8")
            assert anchor in anchors(read), (target, anchor)


def anchors(text):
    """What a link may lead to: headings and lines."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    lines = {f"L{number + 1}" for number in range(len(text.splitlines()))}
    return lines | {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_place_is_left_to_fill_in(document):
    assert "<!--" not in text_of(document)


@pytest.mark.parametrize(("document", "most"), MOST_LINES.items())
def test_what_is_read_first_is_short(document, most):
    assert len(text_of(document).splitlines()) <= most


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("tx.store_owner", True),
        ("tx.take_back", False),
        ("tx.fields_pending", True),
        ("impl.driver.DuctDriver.send", True),
        ("impl.driver.DuctDriver.transmit", False),
        ("model.program", False),
        ("RequestRing.hand_over", True),
        ("RequestRing.take_back", False),
        ("FLAGS.SEQ", True),
        ("FLAGS.NONE_SUCH", False),
        ("struct.Struct", True),
        ("struct.nothing", False),
    ],
)
def test_names_are_told_apart(name, known):
    assert is_known(name) is known


# Figures


def test_the_figure_is_what_the_specification_does():
    made = runpy.run_path(str(ROOT / "docs" / "draw_ring.py"))
    drawn = (ROOT / "docs" / "ring.svg").read_text(encoding="utf-8")
    assert drawn == made["drawing"](made["seen"]())


def test_the_figure_of_the_stack_is_what_its_text_says():
    made = runpy.run_path(str(ROOT / "docs" / "draw_stack.py"))
    text, drawn = (ROOT / "docs" / f"stack.{kind}" for kind in ("txt", "svg"))
    assert drawn.read_text(encoding="utf-8") == made["draw"](text.read_text(encoding="utf-8"))


def test_the_way_of_an_access_is_short_and_what_is_drawn():
    made = runpy.run_path(str(ROOT / "docs" / "draw_access.py"))
    ways = {kind: made[kind]() for kind in ("simulated", "monitored")}
    assert made["drawing"](ways) in text_of("ARCHITECTURE.md")
    found = {way.files for run in ways.values() for way in run}
    assert [files for files in found if len(files) > MOST_FILES] == []
    callers = {way.caller for run in ways.values() for way in run}
    assert {"impl/ring.py", "impl/controller.py", "impl/lifecycle.py"} <= callers


# Numbers


def test_as_many_are_proved_and_caught_as_the_readme_says(capsys):
    assert check.main(["--list"]) == 0
    listed = capsys.readouterr().out
    counts = dict(re.findall(r"^  ([a-z_-]+) +(\d+)  ", listed, re.MULTILINE))
    shown = re.findall(r"^([a-z-]+) +(\d+) +[\d.]+ s  proved$", text_of("README.md"), re.MULTILINE)
    assert shown
    assert [(name, counts[name]) for name, _ in shown] == shown
    obligations = re.search(r"^Obligations \(([\d,]+)\)", listed, re.MULTILINE)[1]
    faults = re.search(r"^Faults \((\d+)\)", listed, re.MULTILINE)[1]
    said = f"All {obligations} obligations are proved and all {faults} faults are caught"
    assert said in text_of("README.md")
    assert f"*faults*: {faults} small changes" in text_of("docs/proof.md")
    assert f"{faults} faults: " in text_of("CHANGELOG.md")
    assert f"{len(ASSUMPTIONS)} entries" in text_of("README.md")


def test_as_many_faults_are_made_as_the_comparison_says():
    told = " ".join(text_of("docs/comparison.md").split())
    assert f"Of the {len(FAULTS)} faults of the driver" in told
    assert f"Each of the {len(CARD_FAULTS)} faults of a card" in told


# Commands


def test_every_command_of_the_readme_can_be_made():
    made = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b(?=[ `)])", text_of("README.md")))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"check", "test", "lab", "lab-shell"} <= made <= rules


def test_whatever_decides_a_verdict_is_pinned():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    wanted = [item for extra in project["optional-dependencies"].values() for item in extra]
    for name in ("z3-solver", "cvc5", "ruff", "mypy"):
        assert [item for item in wanted if re.fullmatch(rf"{name}==[\d.]+", item)]
