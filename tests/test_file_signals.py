"""A signal at any bytecode of a call over a device file: it is raised, and everybody goes on.

Each call is struck as those of the driver are (`tests/test_signals.py`). Then it has raised what
the handler raised, no open file is left, and the driver object and others go on. A sample of it
runs every time, all of it with DUCT_PROFILE=nightly.
"""

import itertools
import random

import pytest

from impl.duct import open_duct
from impl.errors import ClosedError
from model.layout import ECHO
from properties.profiles import chosen
from tests.background import PATIENCE, Background, until
from tests.calls import (
    ADDRESS,
    MASK,
    close,
    filters,
    iterate,
    open_again,
    open_another,
    read,
    receive,
    receive_batch,
    send,
    send_batch,
    send_unwaited,
)
from tests.struck import EXPOSED, Struck, striking
from tests.test_device import Machine
from tests.test_device_file import Calls
from tests.test_signals import name_of, undo_filters

PAYLOADS = [b"one", b"two"]
END = b"the end"
STEP = 29
"""From one bytecode that is struck to the next, if it is not all of them."""
LOST = {
    *("device_file._interruptibly", "device_file.<lambda>"),  # as with any read of a file
    "device_file.receive",
}
"""Functions in which a packet is lost with the result, beyond those of the driver's."""


class Files:
    """Device files of one card, whose every open is counted."""

    def __init__(self, machine):
        self.machine = machine
        self.calls = Calls(machine.kernel)

    def open(self):
        """Another driver object."""
        return open_duct("/dev/duct0", calls=self.calls)


@pytest.fixture
def here():
    with Machine() as machine, striking():
        yield Files(machine)


def poll(duct, _here, _got):
    duct.poll()
    duct.fileno()


def bytecodes(call):
    """Which bytecodes are struck: all of them, or some from one end to the other."""
    if chosen().name == "nightly":
        return itertools.count(1)
    return itertools.count(random.Random(call.__name__).randint(1, STEP), STEP)


def struck_at(call, duct, here, number, got=None):
    struck = Struck(lambda: call(duct, here, [] if got is None else got), number)
    struck.check()
    return struck


@pytest.mark.parametrize(
    "call", [send, send_batch, send_unwaited, filters, poll, open_another], ids=name_of
)
def test_a_call_that_is_struck_raises_it_and_others_go_on(call, here):
    for number in bytecodes(call):
        duct, reader = here.open(), here.open()
        struck = struck_at(call, duct, here, number)
        if call is filters:
            undo_filters(duct)
        duct.send(ECHO.address, END, timeout=PATIENCE)
        while reader.receive(timeout=PATIENCE).payload != END:
            pass
        duct.add_multicast(MASK, ADDRESS, timeout=PATIENCE)
        duct.close()
        reader.close()
        assert not here.calls.files, struck.place
        if struck.place is None:
            break


@pytest.mark.parametrize("call", [receive, receive_batch, read, iterate], ids=name_of)
def test_what_a_call_that_is_struck_had_received_is_for_the_next_one(call, here):
    for number in bytecodes(call):
        duct = here.open()
        for payload in PAYLOADS:
            duct.send(ECHO.address, payload, timeout=PATIENCE)
        until(lambda duct=duct: duct.poll().next_length == len(PAYLOADS[0]))
        got = []
        struck = struck_at(call, duct, here, number, got)
        duct.send(ECHO.address, END, timeout=PATIENCE)
        while (payload := duct.receive(timeout=PATIENCE).payload) != END:
            got.append(payload)
        lost = len(PAYLOADS) - len(got)
        assert got == PAYLOADS[lost:], struck.place
        with_the_result = "lost with the result" in EXPOSED.get(struck.function, "")
        assert not lost or with_the_result or struck.function in LOST, struck.place
        duct.close()
        assert not here.calls.files, struck.place
        if struck.place is None:
            break


@pytest.mark.parametrize("call", [close, open_again], ids=name_of)
def test_an_open_or_close_that_is_struck_leaves_nothing(call, here):
    for number in bytecodes(call):
        duct = here.open()
        waiting = Background(duct.receive)
        here.machine.asleep(1)
        struck = struck_at(call, duct, here, number)
        duct.close()
        assert isinstance(waiting.join().error, ClosedError), struck.place
        assert not here.calls.files, struck.place
        if struck.place is None:
            break
