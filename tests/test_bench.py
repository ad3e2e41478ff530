"""The benchmark runs and prints its table; no figure is judged."""

import subprocess
import sys

import pytest

from bench.__main__ import main


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
