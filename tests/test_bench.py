"""The benchmark runs and prints its table; no figure is judged."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import forward
from bench.__main__ import main
from bench.forward import BATCHES, RESULTS
from impl.datapath.loader import chosen

ROOT = Path(__file__).resolve().parent.parent


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--seconds", "0.01", "--no-proofs"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["measurement", "rate", "unit", "ratio"]
    assert lines[-1].startswith("walk, interpreted")
    assert lines[-1].endswith("1x")


def test_a_wrong_option_is_refused() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "--seconds", "soon"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "argument --seconds: invalid float value: 'soon'" in ran.stderr


def forwarded(monkeypatch: pytest.MonkeyPatch, place: Path, *options: str) -> None:
    words = ["bench.forward", "--seconds", "0.01", "--results", str(place), *options]
    monkeypatch.setattr(sys, "argv", words)
    forward.main()


def test_what_a_packet_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "results.json"
    forwarded(monkeypatch, place)
    lines = capsys.readouterr().out.splitlines()
    heads = re.split(r"  +", lines[0].strip())
    assert heads == ["in a batch", "C", "Python", "Python, arrays", "C kernel", "C kernel, arrays"]
    assert [int(line.split()[0]) for line in lines[1:]] == list(BATCHES)
    found = json.loads(place.read_text())["forward"]
    assert list(found) == [str(batch) for batch in BATCHES]
    names = {"scalar_ns", "arrays_ns"}
    names |= {"kernel_api_ns", "kernel_ns"} if chosen().kernel is not None else set()
    if shutil.which("cc"):
        names |= {"c_ns", *(name.replace("_ns", "_ratio") for name in names)}
    for figures in found.values():
        assert figures.keys() == names
        assert all(value > 0 for value in figures.values())


def test_where_the_time_goes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forwarded(monkeypatch, tmp_path / "none.json", "--profile", "4")
    assert "(fill_in)" in capsys.readouterr().out
    assert not (tmp_path / "none.json").exists()


def test_without_a_compiler_there_are_no_ratios(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(forward.shutil, "which", lambda _name: None)
    monkeypatch.setenv("DUCT_KERNEL", "off")
    place = tmp_path / "results.json"
    forwarded(monkeypatch, place)
    for figures in json.loads(place.read_text())["forward"].values():
        assert figures.keys() == {"scalar_ns", "arrays_ns"}


def test_the_table_of_the_document_agrees_with_itself() -> None:
    """Whose figures they are the document says; a run of today has others."""
    text = (ROOT / "docs" / "performance.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (.*) \|$", text, re.MULTILINE)
    assert [int(batch) for batch, *_ in rows] == list(BATCHES)
    for _, c, others in rows:
        for cell in others.split(" | "):
            cost, ratio = re.fullmatch(r"([\d,]+) \(([\d,.]+)\)", cell).groups()
            times = float(cost.replace(",", "")) / float(c)
            assert times == pytest.approx(float(ratio.replace(",", "")), rel=0.05)


def test_the_results_of_a_run_are_there_for_each_batch() -> None:
    found = json.loads((ROOT / RESULTS).read_text())["forward"]
    assert list(found) == [str(batch) for batch in BATCHES]
