"""Lines at a UNIX socket: whatever a client does, the others are served, and the log says what."""

import contextlib
import gc
import logging
import os
import socket
import time

import pytest

from emulator.line_server import MAX_LINE, LineServer

PATIENCE = 20
MAX_CLIENTS = 16


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lines")


@pytest.fixture
def server(path, caplog):
    """A server that answers a line with the same line in capitals."""
    caplog.set_level(logging.INFO)
    it = LineServer(path, str.upper)
    yield it
    it.close()


def connected(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(path)
    return client


def asked(client, data):
    """What comes back for some bytes, up to the end of a line."""
    client.sendall(data)
    answer = b""
    while not answer.endswith(b"\n"):
        part = client.recv(1)
        assert part, "the server has ended the connection"
        answer += part
    return answer


def told(caplog, text):
    """Wait until the log says something."""
    end = time.monotonic() + PATIENCE
    while text not in caplog.messages:
        assert time.monotonic() < end, caplog.messages
        time.sleep(0.001)


def is_let_go(client):
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def test_each_line_has_its_answer(server, path):
    with connected(path) as client:
        assert asked(client, b"hello\n") == b"HELLO\n"
        assert asked(client, b"  and again \r\n") == b"AND AGAIN\n"
        assert asked(client, b"one\ntwo\n") == b"ONE\n"
        assert asked(client, b"") == b"TWO\n"


def test_a_line_may_come_byte_by_byte(server, path):
    with connected(path) as client:
        for byte in b"hell":
            client.sendall(bytes([byte]))
        assert asked(client, b"o\n") == b"HELLO\n"


def test_an_empty_line_has_no_answer(server, path):
    with connected(path) as client:
        assert asked(client, b"\n \n\r\nnext\n") == b"NEXT\n"


def test_a_line_may_be_as_long_as_is_allowed(server, path):
    with connected(path) as client:
        line = b"x" * MAX_LINE
        assert asked(client, line + b"\n") == line.upper() + b"\n"


def test_clients_are_served_side_by_side_and_may_be_silent(server, path):
    with connected(path) as silent, connected(path) as begun, connected(path) as client:
        begun.sendall(b"half a ")
        assert asked(client, b"one\n") == b"ONE\n"
        assert asked(begun, b"line\n") == b"HALF A LINE\n"
        assert asked(silent, b"at last\n") == b"AT LAST\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * (MAX_LINE + 1), f"a line has at most {MAX_LINE} bytes"),
        (b"x" * (MAX_LINE + 1) + b"\n", f"a line has at most {MAX_LINE} bytes"),
        (b"x" * 1_000_000, f"a line has at most {MAX_LINE} bytes"),
        (b"\xff\xfe\n", "a line consists of printable ASCII characters"),
        (b"ping\0\n", "a line consists of printable ASCII characters"),
        (os.urandom(64).replace(b"\n", b"\xff") + b"\n", "a line consists of printable ASCII"),
    ],
    ids=["too long", "too long with an end", "endless", "not ASCII", "NUL", "random"],
)
def test_a_client_that_sends_no_lines_is_made_to_leave(server, path, caplog, data, reason):
    with connected(path) as bad, connected(path) as good:
        with contextlib.suppress(ConnectionError):
            bad.sendall(data)
        assert is_let_go(bad)
        assert asked(good, b"fine\n") == b"FINE\n"
    said = [text for text in caplog.messages if text.startswith("bench 1 was made to leave: ")]
    assert [text.startswith(f"bench 1 was made to leave: {reason}") for text in said] == [True]


def test_a_client_that_does_not_read_is_made_to_leave(server, path, caplog):
    with connected(path) as bad, connected(path) as good:
        with contextlib.suppress(ConnectionError):
            while True:
                bad.sendall(b"x\n" * 512)
        assert asked(good, b"fine\n") == b"FINE\n"
    assert "bench 1 was made to leave: it does not read its answers" in caplog.messages


def test_a_client_that_vanishes_is_told_of(server, path, caplog):
    connected(path).close()
    told(caplog, "bench 1 has gone")
    with connected(path) as client:
        client.sendall(b"half")
    told(caplog, "bench 2 has gone in the middle of a line")
    with connected(path) as client:
        client.sendall(b"whole\n" * 100)
    end = time.monotonic() + PATIENCE
    while not any(text.startswith("bench 3 has gone") for text in caplog.messages):
        assert time.monotonic() < end
        time.sleep(0.001)
    with connected(path) as client:
        assert asked(client, b"fine\n") == b"FINE\n"


def test_only_so_many_clients_are_let_in(server, path, caplog):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(path)) for _ in range(MAX_CLIENTS)]
        for client in clients:
            assert asked(client, b"here\n") == b"HERE\n"
        assert is_let_go(stack.enter_context(connected(path)))
        assert asked(clients[0], b"still here\n") == b"STILL HERE\n"
    assert f"bench {MAX_CLIENTS + 1} was not let in: {MAX_CLIENTS} are served at a time" in (
        caplog.messages
    )
    told(caplog, "bench 1 has gone")
    with connected(path) as client:
        assert asked(client, b"again\n") == b"AGAIN\n"


def test_a_mistake_of_the_server_costs_one_client(path, caplog):
    def answer(line):
        if line == "break":
            raise ZeroDivisionError
        return line

    server = LineServer(path, answer)
    with connected(path) as bad, connected(path) as good:
        bad.sendall(b"break\n")
        assert is_let_go(bad)
        assert asked(good, b"fine\n") == b"fine\n"
    assert "bench 1 was made to leave by a mistake of the server" in caplog.messages
    server.close()


def test_the_end_lets_all_clients_go_and_removes_the_socket(path):
    server = LineServer(path, str.upper)
    with connected(path) as client:
        assert asked(client, b"here\n") == b"HERE\n"
        server.close()
        assert is_let_go(client)
    assert not os.path.exists(path)


def test_no_descriptor_is_left_behind(path):
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    gc.collect()  # of what other tests left
    before = open_files()
    server = LineServer(path, str.upper)
    for _ in range(20):
        with connected(path) as client:
            client.sendall(b"\xff\n")
            assert is_let_go(client)
    server.close()
    assert open_files() == before
