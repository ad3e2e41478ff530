"""The environment that make runs in: when it is made, and that nothing breaks one that works.

The interpreters in these tests are scripts that only say what they are asked: an environment made
by one of them takes no time.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INTERPRETER = """\
#!/bin/sh
case "$*" in
    *base_prefix*) echo "3.11 {place}" ;;
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {bare} ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "{path}" .venv/bin/python ;;
    "-m pip install "*) echo installed >>pip.log; {install} ;;
    *) echo "runs: $*" ;;
esac
"""
INSTALLS = (
    ".venv: this takes a minute and downloads about 100 MB (340 MB unpacked): "
    "solvers, and tools of the tests"
)
NO_NETWORK = [
    ".venv: it could not be made; above are pip's words. It takes a network, and the package",
    ".venv: index https://pypi.org or another one, which is named by make PIP_INDEX_URL=https://...",
]
PUT_BACK = ".venv: the environment that was there is in its place again, as it was"


class Clone:
    """A clone of the project, as far as making the environment goes."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "bin/environment"):
            shutil.copy(ROOT / name, folder / name)
        self.python = self.interpreter("python3")

    def interpreter(self, name, install=":", too_old=0, bare=0):
        """Put an interpreter there; whatever `install` says is done in place of installing."""
        path = self.folder / name
        place = f"/opt/{name}"
        path.write_text(
            INTERPRETER.format(path=path, place=place, install=install, too_old=too_old, bare=bare)
        )
        path.chmod(0o755)
        return path

    def start(self, *arguments):
        path = f"{self.folder}:{os.environ['PATH']}"
        # Signals that whoever runs the tests ignores, as under nohup, are not ignored here.
        return subprocess.Popen(
            ["env", "--default-signal", "make", "--no-print-directory", "check", *arguments],
            cwd=self.folder,
            env={"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, *arguments):
        """The status of `make check`, and the lines that it printed of its own."""
        with self.start(*arguments) as process:
            out = process.stdout.read()
        return process.returncode, [line for line in out.splitlines() if "make: ***" not in line]

    def installations(self):
        log = self.folder / "pip.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def folders(self):
        return {path.name for path in self.folder.glob(".venv*")}

    def change_project(self):
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write("\n# changed\n")


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


RUNS = [".venv/bin/python -m proofs.check ", "runs: -m proofs.check"]


def made(why, python):
    return [f".venv: {why}; making it with {python}", INSTALLS]


def test_the_first_make_says_what_it_installs_and_the_second_is_silent(clone):
    assert clone.make() == (0, [*made("there is none yet", "python3"), *RUNS])
    assert clone.make() == (0, RUNS)
    assert clone.installations() == 1
    assert clone.folders() == {".venv"}


def test_a_project_file_that_was_only_touched_changes_nothing(clone):
    clone.make()
    (clone.folder / "pyproject.toml").touch()
    assert clone.make() == (0, RUNS)


def test_a_project_file_that_has_changed_makes_it_anew(clone):
    clone.make()
    clone.change_project()
    python = clone.folder / "python3"
    assert clone.make() == (0, [*made("pyproject.toml has changed", python), *RUNS])
    assert clone.folders() == {".venv"}


def test_without_a_network_the_first_make_says_what_is_needed(clone):
    clone.interpreter("python3", install="echo 'no index'; exit 1")
    status, lines = clone.make()
    assert status == 2
    assert lines == [*made("there is none yet", "python3"), "no index", *NO_NETWORK]
    assert clone.folders() == set()


def test_without_a_network_the_old_environment_stays_as_it_was(clone):
    clone.make()
    (clone.folder / ".venv" / "mark").touch()
    clone.change_project()
    clone.interpreter("python3", install="echo 'no index'; exit 1")
    status, lines = clone.make()
    assert status == 2
    assert lines[-4:] == ["no index", *NO_NETWORK, PUT_BACK]
    assert (clone.folder / ".venv" / "mark").exists()
    assert clone.folders() == {".venv"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_the_old_environment_as_it_was(clone, number):
    clone.make()
    (clone.folder / ".venv" / "mark").touch()
    clone.change_project()
    clone.interpreter("python3", install=": >at-it; exec sleep 60")
    with clone.start() as process:
        wait_for(clone.folder / "at-it")
        os.killpg(process.pid, number)  # as a terminal does
        assert process.wait(30)
        assert PUT_BACK in process.stdout.read()
    assert (clone.folder / ".venv" / "mark").exists()
    assert clone.folders() == {".venv"}


def test_what_a_killed_make_left_is_tidied_up(clone):
    clone.make()
    (clone.folder / ".venv" / "mark").touch()
    project = (clone.folder / "pyproject.toml").read_text()
    clone.change_project()
    clone.interpreter("python3", install=": >at-it; exec sleep 60")
    with clone.start() as process:
        wait_for(clone.folder / "at-it")
        os.killpg(process.pid, signal.SIGKILL)
    assert clone.folders() == {".venv", ".venv.before"}
    (clone.folder / "pyproject.toml").write_text(project)
    assert clone.make() == (0, RUNS)
    assert (clone.folder / ".venv" / "mark").exists()
    assert clone.folders() == {".venv"}


def test_two_makes_at_once_make_it_once(clone):
    clone.interpreter("python3", install=": >at-it; sleep 1")
    with clone.start() as first:
        wait_for(clone.folder / "at-it")
        status, lines = clone.make()
        assert (status, lines) == (0, [".venv: another make is making it; waiting", *RUNS])
        assert first.wait(30) == 0
    assert clone.installations() == 1


def test_another_interpreter_makes_it_anew_and_is_kept(clone):
    clone.make()
    other = clone.interpreter("python3.13")
    why = f"PYTHON=python3.13 is another interpreter than {clone.python}, which it was made with"
    assert clone.make("PYTHON=python3.13") == (0, [*made(why, "python3.13"), *RUNS])
    assert clone.make("PYTHON=python3.13") == clone.make() == (0, RUNS)
    clone.change_project()
    assert clone.make() == (0, [*made("pyproject.toml has changed", other), *RUNS])


def test_an_interpreter_that_is_gone_makes_it_anew(clone):
    clone.make("PYTHON=python3")
    (clone.folder / ".venv/bin/python").unlink()
    why = f"the interpreter that it was made with, {clone.python}, has changed or is gone"
    assert clone.make() == (0, [*made(why, clone.python), *RUNS])


def test_a_clone_that_was_moved_gets_an_environment_of_its_own(clone, tmp_path):
    clone.make()
    moved = clone.folder.rename(tmp_path / "moved")
    clone.folder = moved
    python = clone.interpreter("python3")
    why = f"it was made for {tmp_path}/clone/.venv, and its scripts only work there"
    status, lines = clone.make()
    assert (status, lines) == (0, [*made(why, "python3"), *RUNS])
    assert (moved / ".venv/.ready").read_text().splitlines()[:3] == [
        f"{moved}/.venv",
        "3.11 /opt/python3",
        str(python),
    ]


def test_an_environment_may_be_a_link_to_one_elsewhere(clone, tmp_path):
    clone.make()
    other = Clone(tmp_path / "other")
    (other.folder / ".venv").symlink_to(clone.folder / ".venv")
    assert other.make() == (0, RUNS)


def test_what_an_older_makefile_left_is_made_anew(clone):
    (clone.folder / ".venv").mkdir()
    assert clone.make()[1][:2] == made("it was left half made", "python3")
    (clone.folder / ".venv/.ready").write_text("")
    assert clone.make()[1][:2] == made("an older Makefile made it", "python3")


@pytest.mark.parametrize(
    ("flaw", "line"),
    [
        (
            {"too_old": 1},
            "Python 3.11 or newer is needed, and python3 is not one; name one with make PYTHON=...",
        ),
        (
            {"bare": 1},
            "the venv module of python3 is missing; on Debian: apt install python3-venv",
        ),
    ],
    ids=str,
)
def test_an_interpreter_that_will_not_do_is_told_in_one_line(clone, flaw, line):
    clone.interpreter("python3", **flaw)
    assert clone.make() == (2, [line])
    assert clone.folders() == set()


def test_an_interpreter_that_is_not_there_is_told_in_one_line_and_breaks_nothing(clone):
    clone.make()
    status, lines = clone.make("PYTHON=python3.99")
    assert (status, lines) == (2, [
        "Python 3.11 or newer is needed, and python3.99 is not one; name one with make PYTHON=..."
    ])  # fmt: skip
    assert clone.make() == (0, RUNS)


def test_every_target_that_runs_something_makes_the_environment_first():
    rules = re.findall(
        r"^([a-z-]+):(.*?)##.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert {name for name, needs, what in rules if "$(RUN)" in what} <= {
        name for name, needs, what in rules if needs.split() == ["env"]
    }


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
