"""The command `python -m emulator`: what it serves, how it ends, and how it fails."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emulator.__main__ import main
from emulator.packet import NetPacket
from emulator.vfio_user.server import Server
from model.layout import ECHO, HWADDR, RECEIVE_RING, VMAJ, VMIN, Command, Owner
from properties.bench_control import BenchControl
from tests.host import FATAL, SLOTS, Host
from tests.vfio_user.client import PciDevice

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20


@contextlib.contextmanager
def started(path, *options):
    """The command, as soon as it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator", "--socket", str(path), *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def served(path, *options):
    """The command, while it serves."""
    with started(path, *options) as process:
        process.started = process.stderr.readline()
        yield process


def wait_for(path):
    """Wait until something is at a path."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end


def ended(process, number=signal.SIGTERM):
    """Ask the process to end; its status and what it said."""
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.fixture(autouse=True)
def log():
    """The log of this process is as before when the command has set its own up here."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def fails(capsys):
    """Call the command, which fails: its status, and what it says."""

    def call(*arguments):
        status = main(list(map(str, arguments)))
        output, error = capsys.readouterr()
        assert output == ""
        return status, error

    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_it_serves_until_it_is_asked_to_end(tmp_path, number):
    path = tmp_path / "card"
    with served(path) as process:
        assert process.started == f"{path}: a card with address 34565cab waits for clients\n"
        host = Host(PciDevice(path)).start()
        host.send(ECHO.address, b"hello")
        assert host.receive() == NetPacket(0x34565CAB, ECHO.address, b"hello")
        status, said = ended(process, number)
        assert host.device.client.wait_until_gone()
        host.device.close()
    assert status == 0
    assert said == f"{path}: client 1 came\n{path}: client 1 has gone: the client went away\n"
    assert not path.exists()


def nobody(_path):
    """No client comes."""
    return contextlib.nullcontext()


def silent_client(path):
    """A client that says nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def client_within_a_message(path):
    """A client that has said three bytes of a message."""
    client = silent_client(path)
    client.sendall(b"123")
    return client


@contextlib.contextmanager
def client_that_owes_an_answer(path):
    """A client from which the card wants memory that it does not get."""
    host = Host(PciDevice(path, by_messages=True)).start()
    owes = threading.Event()
    host.device.client.instead = lambda *_: owes.set()
    host.send(ECHO.address)
    assert owes.wait(PATIENCE)
    yield
    host.device.close()


@pytest.mark.parametrize(
    "client", [nobody, silent_client, client_within_a_message, client_that_owes_an_answer]
)
def test_it_ends_whenever_it_is_asked_to_from_the_moment_at_which_there_is_a_socket(
    tmp_path, client
):
    paths = card, control = tmp_path / "card", tmp_path / "control"
    for _ in range(5):
        with started(card, "--control", control) as process:
            wait_for(card)
            with client(card):
                assert ended(process)[0] == 0
        assert not any(path.exists() for path in paths)


def test_a_server_that_breaks_is_no_good_ending(tmp_path, monkeypatch):
    def breaks(_server):
        raise MemoryError("no room")

    monkeypatch.setattr(Server, "serve", breaks)
    with pytest.raises(MemoryError, match="no room"):
        main(["--socket", str(tmp_path / "card")])
    assert not (tmp_path / "card").exists()


def test_a_bench_tells_the_card_what_to_do(tmp_path):
    card, control = tmp_path / "card", tmp_path / "control"
    with served(card, "--control", control) as process:
        host = Host(PciDevice(card)).start()
        with BenchControl.at(str(control)) as bench:
            bench.fail()
            assert bench.counters().interrupts >= 1
        assert host.device.wait_for_interrupt(FATAL)
        host.device.close()
        status, said = ended(process)
    assert status == 0
    assert f"{card}: bench 1 came\n" in said


def test_the_card_is_as_it_was_asked_for(tmp_path):
    options = ["--hwaddr", "0x1234", "--card-version", "7.9", "--refuse-filters", "1"]
    with served(tmp_path / "card", *options) as process:
        device = PciDevice(tmp_path / "card")
        assert [device.read(register) for register in (HWADDR, VMAJ, VMIN)] == [0x1234, 7, 9]
        assert Host(device).command(Command.ADDFILT, 1, 2) == 1
        device.close()
        assert ended(process)[0] == 0


def test_cards_of_two_processes_talk_and_survive_the_loss_of_the_first(tmp_path):
    net = ("--net", str(tmp_path / "net"))
    with served(tmp_path / "a", *net) as a, served(tmp_path / "b", *net) as b:
        one, other = (Host(PciDevice(tmp_path / name)).start() for name in "ab")
        here, there = one.device.read(HWADDR), other.device.read(HWADDR)
        assert here != there
        for n in range(3 * SLOTS):
            one.send(there, b"ping %d" % n)
            assert other.receive() == NetPacket(there, here, b"ping %d" % n)
            other.send(here, b"pong %d" % n)
            assert one.receive() == NetPacket(here, there, b"pong %d" % n)
        one.send(ECHO.address, b"x" * 16384)
        assert one.receive() == NetPacket(here, ECHO.address, b"x" * 16384)
        one.device.close()
        a.kill()
        # Until another process has the net, packets are lost.
        slot = other.index["RX"]
        end = time.monotonic() + PATIENCE
        while other.owner(RECEIVE_RING, slot) != Owner.HOST and time.monotonic() < end:
            other.send(ECHO.address, b"alone")
            time.sleep(0.05)
        assert other.receive() == NetPacket(there, ECHO.address, b"alone")
        other.device.close()
        status, said = ended(b)
        assert status == 0
        assert f"{tmp_path}/b: the hub of the net at {tmp_path}/net was lost\n" in said
        assert f"{tmp_path}/b: joined the net at {tmp_path}/net again\n" in said
    assert sorted(os.listdir(tmp_path)) == ["a", "net.lock"]


CLIENT = """
import sys
from model.layout import ECHO, HWADDR, RECEIVE_RING, VMAJ, VMIN, Command, Owner
from tests.host import Host
from tests.vfio_user.client import PciDevice

host = Host(PciDevice(sys.argv[1], by_messages=sys.argv[2] == "messages")).start()
print("sending", flush=True)
while True:
    host.send(host.device.read(HWADDR), b"x" * 5000)
    host.receive()
"""


@pytest.mark.parametrize("how", ["descriptor", "messages"])
def test_clients_that_are_killed_in_full_traffic_leave_the_card_to_the_next(tmp_path, how):
    path = tmp_path / "card"
    with served(path) as process:
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", CLIENT, str(path), how],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            ) as client:
                assert client.stdout.readline() == "sending\n"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    client.wait(0.2)
                assert client.poll() is None
                client.kill()
        host = Host(PciDevice(path)).start()
        host.send(ECHO.address, b"next")
        assert host.receive().payload == b"next"
        host.device.close()
        status, said = ended(process)
    assert status == 0
    assert "mistake" not in said
    assert said.count("has gone") == 4


# How it fails


def test_a_socket_in_use_is_refused(tmp_path, fails):
    path = tmp_path / "card"
    with served(path) as process:
        message = f"python -m emulator: {path}: another process listens at this socket\n"
        assert fails("--socket", path) == (1, message)
        assert ended(process)[0] == 0


def test_a_control_channel_that_cannot_be_is_refused_and_leaves_nothing(tmp_path, fails):
    path = tmp_path / "control"
    path.write_text("precious")
    message = f"{path}: something that is not a socket is there"
    assert fails("--socket", tmp_path / "card", "--control", path) == (
        1,
        f"python -m emulator: {message}\n",
    )
    assert os.listdir(tmp_path) == ["control"]


def test_a_file_is_not_overwritten(tmp_path, fails):
    (tmp_path / "file").write_text("precious")
    for option in ([], ["--net", tmp_path / "net"]):
        status, said = fails("--socket", tmp_path / "file", *option)
        assert (status, said) == (
            1,
            f"python -m emulator: {tmp_path}/file: something that is not a socket is there\n",
        )
    assert (tmp_path / "file").read_text() == "precious"
    assert not (tmp_path / "net").exists()


def test_a_net_that_cannot_be_is_refused(tmp_path, fails):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "net"))
        other.listen()
        status, said = fails("--socket", tmp_path / "card", "--net", tmp_path / "net")
    message = f"{tmp_path}/net: another process listens at this socket"
    assert (status, said) == (1, f"python -m emulator: {message}\n")
    assert not (tmp_path / "card").exists()


def test_a_path_that_is_too_long_is_refused(fails):
    path = "/tmp/" + "x" * 200
    assert fails("--socket", path) == (
        1,
        f"python -m emulator: {path}: the path of a socket has at most 107 bytes\n",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the following arguments are required: --socket"),
        (["--hwaddr", "80000000"], "argument --hwaddr: 1 to 8 hexadecimal digits, not above"),
        (["--hwaddr", "x"], "argument --hwaddr: 1 to 8 hexadecimal digits, not above 7fffffff"),
        (["--card-version", "2"], "argument --card-version: two numbers with a dot in between"),
        (["--merge", "0"], "no card behaves so: "),
        (["--interrupt-delay", "-1"], "no card behaves so: "),
        (["--refuse-filters", "256"], "no card behaves so: "),
        (["--sock", "x"], "the following arguments are required: --socket"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_in_one_line(tmp_path, fails, options, message):
    place = ["--socket", tmp_path / "card"] if options and options[0] != "--sock" else []
    status, said = fails(*place, *options)
    assert status == 2
    assert said.startswith(f"python -m emulator: {message}")
    assert said.endswith("; see python -m emulator --help\n")
    assert said.count("\n") == 1


def test_help_suffices(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--net PATH", "--hwaddr", "qemu-system-x86_64", "exit status", "--merge", "go-on"):
        assert word in text
