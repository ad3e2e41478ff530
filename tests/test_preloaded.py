"""A program that starts in a fork of the lab's agent is as one that `python3 -m` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.preloaded import module_of
from tests.agent_port import Talk

ROOT = Path(__file__).resolve().parent.parent


def environment(folder: Path) -> dict[str, str]:
    """Modules are found in a folder, too; `python3` is the Python that runs the tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(folder), "PATH": path}


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Talk]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    # With the agent goes the last who has the other end, so that nobody waits for it in vain.
    agent = subprocess.Popen(
        [sys.executable, "-m", "lab.agent", os.ttyname(theirs)],
        stdin=theirs,
        cwd=ROOT,
        env=environment(tmp_path),
    )
    os.close(theirs)
    with os.fdopen(ours, "r+b", buffering=0) as port:
        made = Talk(port)
        assert "ready" in made.hear()
        yield made
        agent.kill()
        agent.wait()


@pytest.mark.parametrize(
    ("command", "module", "arguments"),
    [
        ("ductctl list", "userland.ductctl", "list"),
        ("ductclient", "userland.ductclient", ""),
        ("python3 -m lab.inside.traffic uio:0 -x", "lab.inside.traffic", "uio:0 -x"),
    ],
)
def test_programs_of_the_project_are_known(command: str, module: str, arguments: str) -> None:
    assert module_of(command.split()) == (module, arguments.split())


@pytest.mark.parametrize("command", ["true", "python3", "python3 -m", "python3 -c pass", "sh -c x"])
def test_other_programs_start_as_always(command: str) -> None:
    assert module_of(command.split()) is None


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("json.tool",), '{"a": [1]}'),
        (("json.tool",), "no json"),
        (("json.tool", "--no-such-option"), ""),
        (("properties.conformance", "--help"), ""),
        (("userland.ductctl", "--help"), ""),
        (("userland.ductctl", "-d", "nothing:0"), ""),
        (("userland.ductclient", "-d", "emulated:", "-e"), "some\nlines\n"),
        (("no_such_module",), ""),
        (("fails",), ""),
        (("fails_when_loaded",), ""),
        (("leaves_a_thread",), ""),
    ],
    ids=" ".join,
)
def test_it_prints_and_ends_as_python_would_have_it(
    guest: Talk, tmp_path: Path, arguments: tuple[str, ...], given: str
) -> None:
    (tmp_path / "fails.py").write_text(
        "import sys\nif __name__ == '__main__':\n    sys.exit('there is no reason')\n"
    )
    (tmp_path / "fails_when_loaded.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "leaves_a_thread.py").write_text(
        "import threading, time\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()\n"
    )
    usual = subprocess.run(
        ["python3", "-m", *arguments],
        cwd=ROOT,
        env=environment(tmp_path),
        input=given,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    printed, status = guest.run("python3", "-m", *arguments, given=given)
    assert status == usual.returncode
    assert printed.splitlines()[-1:] == usual.stdout.splitlines()[-1:]


def test_it_loads_once_what_it_is_made_of_and_runs_each_time(guest: Talk, tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text(f"open({str(tmp_path / 'loads')!r}, 'a').write('x')\n")
    (tmp_path / "whole.py").write_text(
        "import sys\nimport part\nif __name__ == '__main__':\n    print(*sys.argv[1:], __name__)\n"
    )
    assert guest.run("python3", "-m", "whole", "1") == ("1 __main__\n", 0)
    assert guest.run("python3", "-m", "whole", "2") == ("2 __main__\n", 0)
    assert (tmp_path / "loads").read_text() == "x"


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_signals_reach_it(guest: Talk, tmp_path: Path, sent: signal.Signals) -> None:
    (tmp_path / "waits.py").write_text(
        "import time\nif __name__ == '__main__':\n"
        "    print('here', flush=True)\n    time.sleep(1000)\n"
    )
    waiting = guest.start("python3", "-m", "waits")
    assert guest.hear() == {"id": waiting, "output": "here\n"}
    assert guest.run("ductctl", "-d", "emulated:")[1] == 0
    guest.say(id=waiting, signal=int(sent))
    assert guest.hear() == {"id": waiting, "status": -sent}
