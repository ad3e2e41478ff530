"""The control channel as whoever tests a driver uses it: at a socket, and at a character device."""

import contextlib
import errno
import os
import socket
import threading
import tty

import pytest

from emulator.control import Control
from emulator.line_server import LineServer
from model.layout import FLAGS, HWERR
from properties.bench_control import BenchControl, RequestRefusedError

FATAL = 1


@pytest.fixture
def path(laboratory, tmp_path):
    """The control channel of a card."""
    path = str(tmp_path / "control")
    server = LineServer(path, Control(laboratory.card()).answer)
    yield path
    server.close()


@contextlib.contextmanager
def other_side(answers, patience=20.0):
    """A channel whose other side answers each line with what stands for it in a table."""
    ours, theirs = socket.socketpair()

    def serve():
        with theirs, theirs.makefile() as lines, contextlib.suppress(OSError):
            for line in lines:
                theirs.sendall((answers(line.rstrip("\n")) or "").encode())

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        stream = ours.makefile("rwb", buffering=0)
    with BenchControl(stream, patience) as control:
        yield control
    thread.join()


def in_step(line):
    """The answer to a ping with a word."""
    return f'ok "{line.removeprefix("ping ")}"\n' if line.startswith("ping ") else None


def test_every_request_does_what_it_says(path, laboratory):
    card = laboratory.card()
    device = laboratory.open()
    device.enable_bus_master()
    with BenchControl.at(path) as control:
        control.ping()
        control.stand_still()
        assert not card.card.bus_master
        control.go_on()
        assert card.card.bus_master
        control.mute_interrupts(1)
        control.fail()
        assert device.read(FLAGS) == HWERR.mask
        assert control.counters() == card.counters
        assert control.counters().interrupts_muted == 1
        control.mute_interrupts()
        assert card.silent
        control.mute_interrupts(0)
        control.fail()


def test_a_request_that_is_refused_raises_what_the_card_says(path):
    with BenchControl.at(path) as control:
        with pytest.raises(RequestRefusedError) as refused:
            control.request("frob")
        assert str(refused.value).startswith("'frob' is no request; one of these is: ping")
        with pytest.raises(RequestRefusedError, match="from 0 to 1000000, not '-5'"):
            control.mute_interrupts(-5)
        control.ping()


def test_threads_share_a_channel(path):
    with BenchControl.at(path) as control:
        answers = []

        def ask(number):
            answers.extend(
                control.request(f"ping {number}-{n}") == f"{number}-{n}" for n in range(50)
            )

        threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 200


def test_a_character_device_is_as_good(path):
    """A terminal stands for the port of a virtual machine."""
    theirs, ours = os.openpty()
    tty.setraw(ours)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)

    def carry(source, sink):
        with contextlib.suppress(OSError):
            while data := os.read(source, 4096):
                os.write(sink, data)

    for way in ((theirs, connection.fileno()), (connection.fileno(), theirs)):
        threading.Thread(target=carry, args=way, daemon=True).start()
    with BenchControl.at(os.ttyname(ours)) as control:
        control.ping()
        assert control.counters().steps == 0
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    os.close(ours)


def test_what_is_no_channel_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="is a UNIX socket or a character device") as refused:
        BenchControl.at(str(tmp_path / "file"))
    assert refused.value.errno == errno.EINVAL
    with pytest.raises(FileNotFoundError):
        BenchControl.at(str(tmp_path / "nothing"))


def test_what_an_earlier_bench_left_behind_does_no_harm(laboratory):
    answer = Control(laboratory.card()).answer
    left = ["half a li", 'ok\nok 7\nerror too late\nok "another"\n']

    def answers(line):
        if left:
            # What was begun ends with the first line that comes now.
            return answer(left.pop(0) + line) + "\n" + left.pop(0)
        return answer(line) + "\n" if line else None

    with other_side(answers) as control:
        assert control.request("ping first") == "first"
        assert control.request("ping second") == "second"


def test_after_an_answer_that_did_not_come_in_time_the_next_one_is_the_right_one():
    late = []

    def answers(line):
        if line == "late":
            late.append(line)
            return None
        if late and line.startswith("ping"):
            late.clear()
            return "ok 5\n" + in_step(line)
        return in_step(line)

    with other_side(answers, patience=0.2) as control:
        assert control.request("ping first") == "first"
        with pytest.raises(TimeoutError, match=r"nobody answered at the control channel for 0.2 s"):
            control.request("late")
        assert control.request("ping next") == "next"


def test_a_channel_that_was_closed_is_told_of():
    ours, theirs = socket.socketpair()
    with ours:
        stream = ours.makefile("rwb", buffering=0)
    control = BenchControl(stream)
    theirs.close()
    with pytest.raises(ConnectionError):
        control.ping()
    control.close()
