"""What the documents say about files is true: each is listed once, and nothing else is."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/comparison.md",
    "docs/contracts.md",
    "docs/hardware.md",
    "docs/proof.md",
]
PARTS = (
    "engine",
    "model",
    "proofs",
    "impl",
    "monitor",
    "emulator",
    "properties",
    "userland",
    "lab",
)


def listed(manifest: str, part: str) -> list[str]:
    """The files in the table below the heading of a part."""
    section = re.search(rf"^## {part}/.*?(?=^## |\Z)", manifest, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([\w./]+)` \|", section.group(), re.MULTILINE) if section else []


@pytest.mark.parametrize("part", PARTS)
def test_the_manifest_lists_each_file_once(part):
    manifest = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paths = [path for path in (ROOT / part).rglob("*.py") if not path.stem.startswith("__")]
    files = {path.relative_to(ROOT / part).as_posix() for path in paths}
    rows = listed(manifest, part)
    # A row that names a folder stands for all of it.
    for folder in [row for row in rows if row.endswith("/")]:
        within = {name for name in files if name.startswith(folder)}
        assert within, folder
        files = files - within | {folder}
    assert sorted(rows) == sorted(files)


def test_the_manifest_is_read_by_section():
    manifest = "## model/: a\n| `x.py` | x |\n| `y.py` | `z.py` |\n## proofs/: b\n| `w.py` | w |\n"
    assert listed(manifest, "model") == ["x.py", "y.py"]
    assert listed(manifest, "proofs") == ["w.py"]
    assert listed(manifest, "impl") == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_place_is_left_to_fill_in(document):
    assert "<!--" not in (ROOT / document).read_text(encoding="utf-8")


def test_the_figure_is_what_the_specification_does():
    made = runpy.run_path(str(ROOT / "docs" / "draw_ring.py"))
    drawn = (ROOT / "docs" / "ring.svg").read_text(encoding="utf-8")
    assert drawn == made["drawing"](made["seen"]())


def test_the_figure_of_the_stack_is_what_its_text_says():
    made = runpy.run_path(str(ROOT / "docs" / "draw_stack.py"))
    text, drawn = (ROOT / "docs" / f"stack.{kind}" for kind in ("txt", "svg"))
    assert drawn.read_text(encoding="utf-8") == made["draw"](text.read_text(encoding="utf-8"))


def test_every_command_of_the_readme_can_be_made():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b(?=[ `)])", readme))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"check", "test", "lab", "lab-shell"} <= made <= rules


def test_whatever_decides_a_verdict_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [item for extra in project["optional-dependencies"].values() for item in extra]
    for name in ("z3-solver", "cvc5", "ruff", "mypy"):
        assert [item for item in wanted if re.fullmatch(rf"{name}==[\d.]+", item)]
