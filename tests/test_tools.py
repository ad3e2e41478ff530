"""The commands: what they print, how they fail, and that they leave the card closed."""

import contextlib
import io
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.backend import default
from emulator.quotes import QUOTES
from impl.attach import ATTACHMENTS
from impl.driver import DuctDriver
from model.layout import ECHO, LIMITS
from userland import ductclient, ductctl, tool

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {"ductctl": ductctl.main, "ductclient": ductclient.main}
CARD = "emulated:tools"
PATIENCE = 30


@pytest.fixture
def call(monkeypatch, capsysbinary):
    """Call a command: its status, standard output and standard error."""

    def run(tool_name, *arguments, given=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capsysbinary.readouterr()
        status = TOOLS[tool_name](arguments)
        output, error = capsysbinary.readouterr()
        return status, output, error.decode()

    return run


def ready(duct):
    """Wait until a packet waits."""
    poll = select.poll()
    poll.register(duct.fileno(), select.POLLIN)
    assert poll.poll(PATIENCE * 1000)


def closed():
    """Whether nobody in this process has the card any more."""
    return CARD not in ATTACHMENTS._cards


@contextlib.contextmanager
def a_packet_waits(payload):
    """The card, open, with a packet that nobody has taken yet; and a way to see who sent it."""
    with DuctDriver.open(CARD) as duct:
        duct.send(duct.info.hwaddr, payload)
        ready(duct)
        yield duct


# ductctl


@pytest.mark.parametrize("option", [[], ["-i"], ["--info"]], ids=str)
def test_ductctl_says_what_the_card_is(call, option):
    hwaddr = default().card("tools").card.hwaddr
    expected = f"{CARD}: duct v2.1, hwaddr: {hwaddr:08x}\n".encode()
    assert call("ductctl", "-d", CARD, *option) == (0, expected, "")
    assert closed()


def test_the_default_card_in_software_has_the_address_of_the_datasheet(call):
    expected = b"emulated:: duct v2.1, hwaddr: 34565cab\n"
    assert call("ductctl", "--device", "emulated:") == (0, expected, "")


@given(payload=st.binary(max_size=300), option=st.sampled_from(["-s", "--send"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ductctl_sends_standard_input_as_one_packet(call, payload, option):
    with DuctDriver.open(CARD) as duct:
        address = f"{duct.info.hwaddr:x}"
        assert call("ductctl", "-d", CARD, option, address, given=payload) == (0, b"", "")
        assert duct.receive(timeout=PATIENCE).payload == payload


def test_ductctl_sends_the_longest_packet_and_no_longer_one(call):
    longest = os.urandom(LIMITS.max_packet)
    assert call("ductctl", "-d", CARD, "-s", "0xEC60", given=longest) == (0, b"", "")
    message = "ductctl: standard input is longer than the 16384 bytes that a packet carries\n"
    assert call("ductctl", "-d", CARD, "-s", "ec60", given=longest + b"x") == (1, b"", message)
    assert closed()


@given(
    payload=st.binary(max_size=300) | st.sampled_from([b"\0\r\n\xff", bytes(LIMITS.max_packet)]),
    option=st.sampled_from(["-r", "--receive"]),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ductctl_receives_a_packet_byte_for_byte(call, payload, option):
    with a_packet_waits(payload) as duct:
        own = f"{duct.info.hwaddr:08x}"
        message = f"rx: {own} => {own} ({len(payload)} bytes)\n"
        assert call("ductctl", "-d", CARD, option) == (0, payload, message)


def test_ductctl_waits_for_a_packet_no_longer_than_it_was_told(call):
    message = "ductctl: waited 0.05 s for a packet\n"
    assert call("ductctl", "-d", CARD, "-r", "-t", "0.05") == (1, b"", message)
    assert call("ductctl", "-d", CARD, "-r", "--timeout", "0") == (
        1,
        b"",
        "ductctl: no packet waits\n",
    )
    assert closed()


# ductclient


@pytest.mark.parametrize("option", ["-m", "--monitor"])
@pytest.mark.parametrize("command", [["ductctl"], ["ductclient", "-q"]], ids=lambda item: item[0])
def test_the_monitor_says_how_much_it_judged(call, command, option):
    status, _, error = call(*command, "-d", "emulated:", option)
    assert status == 0
    assert re.fullmatch(
        rb"the monitor judged [1-9][\d,]* accesses, and all were right\n",
        error.encode() if isinstance(error, str) else error,
    )


@pytest.mark.parametrize("option", ["-q", "--quote"])
def test_ductclient_prints_the_quote_of_the_day(call, option):
    status, output, error = call("ductclient", "-d", CARD, option)
    assert (status, error) == (0, "")
    assert output.endswith(b"\n")
    assert output[:-1].decode() in QUOTES
    assert closed()


@given(
    text=st.lists(st.binary(max_size=60) | st.just(bytes(LIMITS.max_packet))).map(b"\n".join),
    option=st.sampled_from(["-e", "--echo"]),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ductclient_gives_back_what_it_was_given(call, text, option):
    assert call("ductclient", "-d", CARD, option, given=text) == (0, text, "")


def test_ductclient_answers_each_line_before_it_reads_the_next():
    command = [sys.executable, "-m", "userland.ductclient", "-d", "emulated:", "-e"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for line in (b"hello duct and world!\n", b"\n", b"again\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_ductclient_tells_which_line_is_too_long(call):
    text = b"one\n" + bytes(LIMITS.max_packet) + b"\n" + bytes(LIMITS.max_packet + 1) + b"\nfour\n"
    message = "ductclient: line 3 is longer than the 16384 bytes that a packet carries\n"
    expected = b"one\n" + bytes(LIMITS.max_packet) + b"\n"
    assert call("ductclient", "-d", CARD, "-e", given=text) == (1, expected, message)
    assert closed()


def test_ductclient_skips_packets_that_are_no_answer(call):
    with a_packet_waits(b"not an answer"):
        assert call("ductclient", "-d", CARD, "-e", given=b"hello") == (0, b"hello", "")


@pytest.mark.parametrize(("option", "service"), [("-e", "echo"), ("-q", "quote")])
def test_ductclient_does_not_wait_for_ever_for_a_service(call, option, service, monkeypatch):
    monkeypatch.setattr(default().net, "stations", ())
    for text in ("0.05", "0"):
        message = f"ductclient: the {service} service did not answer within {text} s\n"
        result = call("ductclient", "-d", CARD, option, "-t", text, given=b"hello\n")
        assert result == (1, b"", message)
    assert closed()


# Cards that are not there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ductctl"], "ductctl: there is no card at /dev/duct0; try: ductctl -d emulated:\n"),
        (
            ["ductclient", "-e"],
            "ductclient: there is no card at /dev/duct0; try: ductclient -d emulated: -q\n",
        ),
        (
            ["ductctl", "-d", "emulated:!"],
            "ductctl: the name of an emulated card consists of letters, digits, - and _, not '!'\n",
        ),
    ],
    ids=str,
)
def test_a_card_that_is_not_there_is_told_in_one_line(call, arguments, message):
    assert call(*arguments) == (1, b"", message)


@pytest.mark.parametrize("device", ["duct7", "7", "/dev/duct7"])
def test_a_file_that_nobody_serves_is_told_with_who_would(call, device):
    message = "ductctl: nothing serves /dev/duct7; ductd does, and has to be started\n"
    assert call("ductctl", "-d", device) == (1, b"", message)


def test_a_file_has_no_monitor(call):
    message = "ductctl: /dev/duct7 is a file; its monitor is that of ductd --monitor\n"
    assert call("ductctl", "-m", "-d", "7") == (1, b"", message)


@pytest.mark.parametrize("address", ["nowhere:", "duct", ""])
def test_an_address_that_names_no_card_is_told_with_the_schemes_that_do(call, address):
    status, output, error = call("ductctl", "-d", address)
    assert (status, output) == (1, b"")
    assert re.fullmatch(
        rf"ductctl: '{address}' names no card: an address begins with one of .*emulated:.*\n",
        error,
    )


def test_a_card_that_failed_is_told_and_works_the_next_time(call):
    with DuctDriver.open(CARD):
        default().card("tools").fail()
        waiting = time.monotonic() + PATIENCE
        while (result := call("ductctl", "-d", CARD))[0] == 0:
            assert time.monotonic() < waiting
    message = "ductctl: the card reported a fatal error (HWERR); close every open of it first\n"
    assert result == (1, b"", message)
    assert call("ductctl", "-d", CARD)[0] == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/dev/uio0"), "/dev/uio0: Permission denied"),
        (OSError("two\nlines"), "two lines"),
        (ValueError("a bad value"), "a bad value"),
    ],
    ids=repr,
)
def test_whatever_goes_wrong_is_told_in_one_line(call, monkeypatch, error, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(tool, "open_duct", fail)
    assert call("ductctl") == (1, b"", f"ductctl: {line}\n")


def test_a_mistake_of_the_program_itself_is_told_with_its_place(call, monkeypatch):
    def fail(*_, **__):
        raise LookupError("oh")

    monkeypatch.setattr(tool, "open_duct", fail)
    status, output, error = call("ductctl")
    assert (status, output) == (1, b"")
    assert re.fullmatch(r"ductctl: failed: LookupError: oh \(test_tools\.py:\d+\)\n", error)


# Usage


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["ductctl", "-s", "xyz"], "argument -s/--send: 1 to 8 hexadecimal digits, not 'xyz'"),
        (
            ["ductctl", "-s", "123456789"],
            "argument -s/--send: 1 to 8 hexadecimal digits, not '123456789'",
        ),
        (["ductctl", "--send=-1"], "argument -s/--send: 1 to 8 hexadecimal digits, not '-1'"),
        (["ductctl", "-s"], "argument -s/--send: expected one argument"),
        (["ductctl", "-i", "-r"], "argument -r/--receive: not allowed with argument -i/--info"),
        (["ductctl", "-t", "1"], "-t is for -s, -r and -w; nothing else waits"),
        (
            ["ductctl", "-r", "-t", "soon"],
            "argument -t/--timeout: a number of seconds from 0 on, not 'soon'",
        ),
        (
            ["ductctl", "-r", "--timeout=-1"],
            "argument -t/--timeout: a number of seconds from 0 on, not '-1'",
        ),
        (
            ["ductctl", "-r", "--timeout=nan"],
            "argument -t/--timeout: a number of seconds from 0 on, not 'nan'",
        ),
        (
            ["ductctl", "-r", "--timeout=inf"],
            "argument -t/--timeout: a number of seconds from 0 on, not 'inf'",
        ),
        (["ductctl", "extra"], "there is no command 'extra' among list, bind, unbind"),
        (
            ["ductctl", "lst"],
            "there is no command 'lst' among list, bind, unbind; did you mean list?",
        ),
        (["ductctl", "emulated:"], "a card is named by -d: ductctl -d emulated:"),
        (["ductctl", "-i", "extra"], "unrecognized arguments: extra"),
        (["ductctl", "--inf"], "unrecognized arguments: --inf"),
        (["ductclient"], "one of the arguments -e/--echo -q/--quote is required"),
        (
            ["ductclient", "-e", "-q"],
            "argument -q/--quote: not allowed with argument -e/--echo",
        ),
    ],
    ids=str,
)
def test_wrong_usage_is_told_in_one_line(call, arguments, mistake):
    name = arguments[0]
    assert call(*arguments) == (2, b"", f"{name}: {mistake}; see {name} --help\n")


@pytest.mark.parametrize("name", TOOLS)
def test_the_help_names_every_option_in_both_forms_and_shows_an_example(call, name):
    status, output, error = call(name, "--help")
    text = output.decode()
    assert (status, error) == (0, "")
    assert call(name, "-h") == (status, output, error)
    assert f"{name} -d emulated:" in text
    long_forms = {"ductctl": "device info send receive timeout", "ductclient": "device echo quote"}
    for option in long_forms[name].split():
        assert re.search(rf"-{option[0]}\b.*--{option}\b", text), option
    assert "exit status" in text
    assert max(map(len, text.splitlines())) < 90


@pytest.mark.parametrize("name", TOOLS)
def test_every_example_of_the_help_does_what_it_says(call, name):
    text = call(name, "--help")[1].decode()
    examples = re.findall(rf"^  ((?:[a-z]+ [^|\n]+\| )?{name} -d .*?)  ", text, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        if "-r" in example:  # nothing comes in a process of its own
            continue
        command = example.replace(name, f"{sys.executable} -m userland.{name}")
        done = subprocess.run(
            command, cwd=ROOT, shell=True, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), example


@pytest.mark.parametrize("name", TOOLS)
def test_the_version_is_the_packages(call, name):
    expected = f"{name} {version('duct-driver')}\n".encode()
    assert call(name, "--version") == (0, expected, "")


# Signals, pipes and full disks


def start(*arguments, **streams):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=streams.get("stdin", subprocess.DEVNULL),
        stdout=streams.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def not_ignored(number):
    """As nohup does, whoever started the tests may ignore a signal, and so would commands then."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_without_a_word(number, status):
    command = ["userland.ductclient", "-d", "emulated:", "-e"]
    with not_ignored(number), start(*command, stdin=subprocess.PIPE) as process:
        # An answer tells that the command is at work, and waits for the next line.
        process.stdin.write(b"at work\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"at work\n"
        process.send_signal(number)
        assert process.wait(PATIENCE) == status
        assert process.stderr.read() == b""


def test_a_signal_closes_the_card_first(call, monkeypatch):
    """The card must not go on writing to memory of a process that is gone."""

    class Interrupting(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, _buffer):
            assert not closed()
            signal.raise_signal(signal.SIGTERM)

    stream = io.TextIOWrapper(io.BufferedReader(Interrupting()))
    monkeypatch.setattr(io, "TextIOWrapper", lambda _: stream)
    assert call("ductctl", "-d", CARD, "-s", "ec60") == (143, b"", "")
    assert closed()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_the_caller_ignores_is_ignored():
    command = f"trap '' TERM; exec {sys.executable} -m userland.ductclient -d emulated: -e"
    with subprocess.Popen(
        command, cwd=ROOT, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
            process.terminate()
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "command", [["userland.ductctl", "-d", "emulated:"], ["userland.ductctl", "--help"]], ids=str
)
def test_a_reader_that_has_gone_is_no_error_to_talk_about(command):
    reader, writer = os.pipe()
    os.close(reader)
    with start(*command, stdout=writer) as process:
        os.close(writer)
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_told_in_one_line():
    command = ["userland.ductclient", "-d", "emulated:", "-q"]
    with open("/dev/full", "wb") as full, start(*command, stdout=full) as process:
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b"ductclient: No space left on device\n"


@pytest.mark.parametrize(
    ("stream", "command", "message"),
    [
        ("stdin", ["ductclient", "-d", CARD, "-e"], "ductclient: standard input is closed\n"),
        ("stdin", ["ductctl", "-d", CARD, "-s", "1"], "ductctl: standard input is closed\n"),
    ],
)
def test_a_stream_that_is_closed_is_told_in_one_line(call, monkeypatch, stream, command, message):
    monkeypatch.setattr(io, "TextIOWrapper", lambda _: None)
    assert call(*command) == (1, b"", message)
    assert closed()


def test_a_command_in_a_thread_leaves_signals_alone():
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(ductctl.main(["-d", CARD, "-i"])))
    thread.start()
    thread.join(PATIENCE)
    assert statuses == [0]


def test_the_echo_is_where_the_datasheet_says(call):
    """The address that the help names is the one that is asked."""
    assert f"{ECHO.address:#x}" in call("ductclient", "--help")[1].decode()
