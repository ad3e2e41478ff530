"""The benchmark runs and prints its table; no figure is judged."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import datapath, forward
from bench.__main__ import main
from bench.chart import Chart, Line, drawn
from bench.charts import charts_of
from bench.forward import BATCHES
from bench.options import RESULTS, read_results, write_results
from impl.datapath.loader import chosen

ROOT = Path(__file__).resolve().parent.parent


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--seconds", "0.01", "--no-proofs"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["measurement", "rate", "unit", "ratio"]
    assert lines[-1].startswith("walk, interpreted")
    assert lines[-1].endswith("1x")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("bench --seconds soon", "--seconds: a time is seconds above 0, not 'soon'"),
        ("bench --seconds 0", "--seconds: a time is seconds above 0, not '0'"),
        ("bench.forward --seconds inf", "--seconds: a time is seconds above 0, not 'inf'"),
        ("bench.forward --payload 16385", "a number of bytes from 0 to 16384, not '16385'"),
        ("bench.forward --payload some", "a number of bytes from 0 to 16384, not 'some'"),
        ("bench.forward --profile 0", "a number of packets from 1 to 2048, not '0'"),
        ("bench.forward --results no/such/file", "a file in a folder that exists: 'no/such/file'"),
        ("bench.forward --results README.md", "'README.md' is there, and has no figures"),
        ("bench.datapath --packets -1", "it takes a number of packets from 1"),
        ("bench.datapath --charts nowhere", "--charts: there is no folder 'nowhere'"),
        ("bench.datapath --ixy nowhere", "--ixy: there is no folder 'nowhere'"),
        ("bench.datapath --ixy docs", "docs is no copy of ixy.py: it has no src/ixypy"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, says: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *words.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 2
    assert says in ran.stderr
    assert not ran.stdout


def test_a_section_is_put_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    place = tmp_path / "results.json"
    write_results({"one": 1, "other": 2}, place)
    write_results({"other": 3}, place)
    assert read_results(place) == {"one": 1, "other": 3}


# Charts

FIGURES = st.floats(0.001, 1e9)
LINES = st.lists(
    st.builds(
        Line,
        name=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20),
        points=st.lists(st.tuples(FIGURES, FIGURES), min_size=1, max_size=9).map(tuple),
        colour=st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
).map(tuple)


@given(lines=LINES, log_across=st.booleans(), log_up=st.booleans())
def test_a_chart_has_all_its_points_within_the_axes(
    lines: tuple[Line, ...], log_across: bool, log_up: bool
) -> None:
    chart = Chart("of <anything>", "across & over", "up", lines, log_across, log_up)
    root = ElementTree.fromstring(drawn(chart))
    tag = "{http://www.w3.org/2000/svg}"
    texts = [item.text for item in root.iter(f"{tag}text")]
    assert {chart.title, chart.across, chart.up} <= set(texts)
    drawn_lines = list(root.iter(f"{tag}polyline"))
    assert len(drawn_lines) == len(lines)
    for line, item in zip(lines, drawn_lines, strict=True):
        places = [tuple(map(float, pair.split(","))) for pair in item.attrib["points"].split()]
        assert len(places) == len(line.points)
        assert all(76 <= x <= 548 and 40 <= y <= 348 for x, y in places)


def test_a_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn(Chart("empty", "x", "y", ()))


def test_the_charts_of_the_document_are_those_of_the_results() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    charts = charts_of(read_results(ROOT / RESULTS))
    assert len(charts) == 5
    for name, chart in charts.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == drawn(chart)
        assert f"]({name})" in text


def test_all_of_the_datapath_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "results.json"
    forwarded(monkeypatch, place)
    words = ["--seconds", "0.001", "--packets", "1000", "--results", place, "--charts", tmp_path]
    monkeypatch.setattr(sys, "argv", ["bench.datapath", *map(str, words)])
    monkeypatch.delenv("IXY_PY", raising=False)
    monkeypatch.setattr(datapath, "SHIFTS", (8, 9))
    monkeypatch.setattr(datapath, "ROUNDS", 1)
    datapath.main()
    found = read_results(place)
    assert found.keys() == {"forward", "memory", "payloads", "mixed", "rings", "latency"}
    assert list(found["payloads"]) == ["64", "1500", "4096", "16384"]
    assert list(found["rings"]) == ["8", "9"]
    assert found["memory"]["scalar"]["packets"] >= 1000
    shares = [float(share) for share in found["latency"]["scalar"]]
    assert shares == sorted(shares)
    assert list(found["latency"]["scalar"].values()) == sorted(found["latency"]["scalar"].values())
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == sorted(charts_of(found))
    assert "memory scalar" in capsys.readouterr().out


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
