"""Programs in C on /dev/duct0, which ductd serves over the kernel's CUSE."""

import re
import signal
import time
from collections.abc import Iterator

import pytest

from lab.bench import Bench
from lab.device import DEVICE, PID_FILE, PROGRAMS, compile_programs, served
from lab.guest import Guest, Process
from lab.prepare import PROJECT
from lab.scenes.conftest import Way
from properties.conformance import CHECKS

DATASHEET = [name for name in PROGRAMS if name not in {"load", "opens", "waits"}]
PATIENCE = 400.0


@pytest.fixture(scope="session")
def compiler(one_guest: Bench) -> Guest:
    """The guest, with the kernel's module and all programs compiled."""
    compile_programs(one_guest.guest)
    return one_guest.guest


@pytest.fixture(scope="module")
def daemon(way: Way, compiler: Guest) -> Iterator[Process]:
    """The daemon, which serves the first card."""
    with served(compiler, way.address(way.bench.seats[0]), "--pid-file", PID_FILE) as daemon:
        yield daemon


def waiting(guest: Guest, *how: str) -> Process:
    """A program that waits for a packet, in read or in `poll`."""
    program = guest.start("/tmp/waits", DEVICE, *how)
    program.wait_for("waiting\n")
    # It says so just before.
    time.sleep(1)
    return program


# The datasheet's table


@pytest.mark.parametrize("program", DATASHEET)
def test_a_program_finds_the_device_as_the_datasheet_says(
    daemon: Process, compiler: Guest, program: str
) -> None:
    printed = compiler.check(f"/tmp/{program}", DEVICE, seconds=PATIENCE)
    assert printed.endswith("checks hold\n")
    assert daemon.running


def test_a_program_of_bsd_works_under_the_names_that_it_knows(
    daemon: Process, compiler: Guest
) -> None:
    assert compiler.check("/tmp/duct_echo", "-n", "2", "hello") == "0000ec60: hello\n" * 2
    wrong = compiler.run("/tmp/duct_echo", "-n", "0", "hello")
    assert (wrong.status, wrong.output) == (1, "duct_echo: count is too small: 0\n")
    to_the_group, quote = compiler.check("/tmp/duct_group").splitlines()
    assert to_the_group == "80771234: to the group"
    assert len(quote) > len("00000000: ")


def test_a_tool_of_bsd_names_the_device_says_what_it_is_sends_and_receives(
    daemon: Process, compiler: Guest
) -> None:
    line = compiler.check("/tmp/duct_card")
    assert re.fullmatch(r"/dev/duct0: duct v2\.1, hwaddr: [0-9a-f]{8}\n", line)
    for name in ("0", "duct0", "/dev/duct0"):
        assert compiler.check("/tmp/duct_card", "-i", "-d", name) == line
    for arguments in (["-x"], ["-r", "-i"], ["-d", "9"], ["-s", "here"], ["-d", "duct8"]):
        assert compiler.run("/tmp/duct_card", *arguments).status == 1
    own = line.split()[-1]
    receives = compiler.start("/tmp/duct_card", "-r")
    # Its open keeps the card started; until then the packet would find nobody.
    sends = ("/tmp/duct_card", "-s", own)
    while receives.running:
        compiler.check(*sends, stdin="11 letters\n")
        time.sleep(0.2)
    told = receives.wait()
    assert told.status == 0
    assert set(told.output.splitlines()) == {f"rx: {own} => {own} (11 bytes)", "11 letters"}


def test_the_program_of_the_readme_does_what_it_says(daemon: Process, compiler: Guest) -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"&& \./a\.out\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(program.splitlines()) <= 20
    build = "cat >/tmp/echo.c && tcc -I$(ductctl --include-dir) -o /tmp/echo /tmp/echo.c"
    compiler.check("sh", "-c", build, stdin=program)
    assert compiler.check("/tmp/echo") == shown


def test_one_thread_serves_many_packets_by_selectors_by_asyncio_and_by_streams(
    daemon: Process, compiler: Guest
) -> None:
    printed = compiler.check("python3", "/srv/examples/device_selectors.py", DEVICE, "49")
    line = ", ".join(f"packet {number}" for number in range(49))
    assert printed.splitlines() == [line] * 3


# The driver's own calls over the file


def test_the_tools_take_the_device_for_granted(daemon: Process, compiler: Guest) -> None:
    for name in ([], ["-d", "duct0"], ["-d", "0"]):
        assert compiler.check("ductctl", *name).startswith("/dev/duct0: duct v2.1, hwaddr: ")
    assert compiler.check("ductclient", "-q").strip()
    lines = "".join(f"line {number}\n" for number in range(20))
    assert compiler.check("ductclient", "-e", stdin=lines) == lines


def test_the_driver_s_calls_over_files_are_what_programs_rely_on(
    way: Way, daemon: Process, compiler: Guest
) -> None:
    if way.kind != "vfio":
        pytest.skip("it takes a minute, and what is below the daemon makes no difference to files")
    seat, other = way.bench.seats
    command = ("python3", "-m", "properties.conformance", DEVICE, "/dev/duct1")
    with served(compiler, way.address(other), name="duct1"):
        printed = compiler.check(*command, "--control", seat.control, seconds=PATIENCE)
    left_out = [check for check in CHECKS if check.needs == "views"]
    assert left_out
    ending = f"{len(CHECKS) - len(left_out)} holds, {len(left_out)} left out"
    assert printed.splitlines()[-1] == ending
    assert daemon.running


# Signals and ends


def test_a_program_that_is_killed_while_it_waits_takes_no_packet(
    daemon: Process, compiler: Guest
) -> None:
    program = waiting(compiler)
    program.signal(signal.SIGKILL)
    assert program.wait().status == -signal.SIGKILL
    assert compiler.check("/tmp/duct_echo", "still served") == "0000ec60: still served\n"


def test_only_whom_the_mode_admits_may_open_the_device(daemon: Process, compiler: Guest) -> None:
    assert compiler.check("stat", "-c", "%a %U %G", DEVICE).split() == ["660", "root", "duct"]
    line = f"setpriv --reuid 1234 --regid 1234 --clear-groups cat {DEVICE}"
    assert "Permission denied" in compiler.run("sh", "-c", line).output


def test_a_second_daemon_for_the_same_name_is_refused(way: Way, daemon: Process) -> None:
    ended = way.bench.guest.run("ductd", "emulated:")
    assert ended.status == 1
    assert ended.output == ("ductd: the kernel makes no device 'duct0'; the name may be in use\n")
    assert daemon.running


def test_a_failure_of_the_card_ends_calls_and_the_next_open_resets_it(
    way: Way, daemon: Process, compiler: Guest
) -> None:
    programs = waiting(compiler), waiting(compiler, "poll")
    way.bench.seats[0].outside.fail()
    reads, polls = (program.wait() for program in programs)
    assert (reads.status, polls.status) == (1, 1)
    assert reads.output.endswith("waiting\nread -1, Input/output error\n")
    assert polls.output.endswith("poll inerr\nread -1, Input/output error\n")
    assert compiler.check("/tmp/duct_echo", "back") == "0000ec60: back\n"


def test_an_open_that_waits_for_the_card_is_ended_by_a_signal_and_leaves_nothing_open(
    way: Way, daemon: Process, compiler: Guest
) -> None:
    outside = way.bench.seats[0].outside
    outside.stand_still()
    try:
        assert compiler.check("/tmp/opens", DEVICE).endswith("checks hold\n")
        program = compiler.start("/tmp/waits", DEVICE)
        time.sleep(1)
        program.signal(signal.SIGKILL)
        assert program.wait().status == -signal.SIGKILL
    finally:
        outside.go_on()
    # Among what this one checks is that the last close stops the card.
    assert compiler.check("/tmp/processes", DEVICE).endswith("checks hold\n")
