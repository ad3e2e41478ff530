"""The socket of a server: who has its path, who gets it next, and when it is gone."""

import errno
import os
import socket

import pytest

from emulator.unix_socket import ListeningSocket
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.server import Server
from tests.vfio_user.place import Place, works_for_the_next_client


def test_a_socket_in_use_is_refused_and_left_alone(place):
    with pytest.raises(OSError, match="another process listens at this socket") as refused:
        Server(place.path, place.running, ClientMemory())
    assert refused.value.errno == errno.EADDRINUSE
    works_for_the_next_client(place)


def test_a_socket_that_a_dead_server_left_is_taken_over(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "card"))
    place = Place(tmp_path / "card")
    works_for_the_next_client(place)
    place.close()
    assert not (tmp_path / "card").exists()


def test_a_socket_that_can_be_seen_can_be_connected_to(tmp_path, monkeypatch):
    path = tmp_path / "socket"
    there = []

    class Watched(socket.socket):
        def listen(self):
            there.append(path.exists())
            super().listen()

    monkeypatch.setattr("emulator.unix_socket.socket", Watched)
    listening = ListeningSocket.at(str(path), socket.SOCK_STREAM)
    assert there == [False]
    assert os.listdir(tmp_path) == ["socket"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listening.close()
    assert os.listdir(tmp_path) == []


def test_of_two_that_want_a_path_one_gets_it(tmp_path, monkeypatch):
    """Both have seen that nobody is there."""
    path = str(tmp_path / "socket")
    first = []

    class Late(socket.socket):
        def listen(self):
            monkeypatch.undo()
            first.append(ListeningSocket.at(path, socket.SOCK_STREAM))
            super().listen()

    monkeypatch.setattr("emulator.unix_socket.socket", Late)
    with pytest.raises(FileExistsError):
        ListeningSocket.at(path, socket.SOCK_STREAM)
    assert os.listdir(tmp_path) == ["socket"]
    first[0].close()


def test_a_file_is_not_taken_for_a_socket(tmp_path, place):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match="something that is not a socket is there"):
        Server(str(path), place.running, ClientMemory())
    assert path.read_text() == "precious"


def test_a_socket_that_was_replaced_is_not_removed(tmp_path):
    place = Place(tmp_path / "card")
    os.rename(tmp_path / "card", tmp_path / "moved")
    (tmp_path / "card").write_text("another")
    place.close()
    assert (tmp_path / "card").read_text() == "another"
