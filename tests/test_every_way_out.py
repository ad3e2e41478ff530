"""Each operation fails in turn: the error is told, nothing is leaked, nobody sleeps for ever.

In an open, each kind of call, the recovery of a failed card and a close, each system call,
allocation and word fails, from the first to the last. Then the call has told an error or has
succeeded, whoever sleeps goes on or is told, all is given back, and the next open works. A sample
of it runs every time, all of it with DUCT_PROFILE=nightly.
"""

import contextlib
import itertools
import threading
import time

import pytest

from impl.controller import attempted
from impl.errors import CardFailedError, ClosedError, WaitTimeoutError
from model.layout import ECHO
from properties.profiles import chosen
from tests.background import PATIENCE
from tests.calls import (
    close,
    filters,
    open_again,
    readiness,
    receive,
    receive_batch,
    receive_view,
    recover,
    send,
    send_batch,
    send_unwaited,
)
from tests.failing import WAYS_OUT, stage

SAMPLE = 16
"""How many operations of a call fail in turn if it is not all of them."""
PAYLOAD = b"payload"


class Listening:
    """Somebody who receives, through a driver object of their own, until that ends."""

    def __init__(self, stage):
        self.duct = stage.open()
        self.packets = []
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.packets.extend(iter(self.duct))
        except BaseException as error:
            self.error = error

    def close(self):
        self.duct.close()

    def join(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "a call sleeps for ever"


def fail_and_recover(duct, here, got):
    here.card.fail()
    recover(duct, here, got)


SENDING = (send, send_batch, send_unwaited, filters, readiness)
RECEIVING = (receive, receive_view, receive_batch)
ENDING = (close, fail_and_recover, open_again)
CALLS = (*SENDING, *RECEIVING, *ENDING)


def numbers(way, call):
    """Which operations fail, in this order."""
    if chosen().name == "nightly":
        return itertools.count(1)
    # From few to many, another beginning for each call.
    first = 1 + (WAYS_OUT.index(way) + CALLS.index(call)) % 3
    return itertools.islice(
        (first + number * (number + 3) // 2 for number in itertools.count()), SAMPLE
    )


def echoes(duct, listener):
    """Whether a packet comes back; others may come before it."""
    payload = b"does it go on?"
    # What is there already takes the room of what is to come.
    while listener is None and duct.poll().next_length is not None:
        duct.receive(timeout=PATIENCE)
    for _ in range(PATIENCE):
        # A card that finds no slot for a packet drops it, so more than one is sent.
        duct.send(ECHO.address, payload, timeout=PATIENCE)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            if listener is None:
                with contextlib.suppress(WaitTimeoutError):
                    if duct.receive(timeout=1).payload == payload:
                        return True
            elif not listener.thread.is_alive() or payload in [p.payload for p in listener.packets]:
                return True
            else:
                time.sleep(0.001)
    return False


def check_error(error):
    """Errors of the system, those of the driver among them, and nothing else."""
    if error is not None:
        assert isinstance(error, OSError | MemoryError), repr(error)


def fails(stage, call, number):
    """Let an operation of a call fail. Whether there was one of that number."""
    before = stage.resources()
    duct = stage.open()
    listener = Listening(stage) if call in SENDING else None
    if call in RECEIVING:
        for _ in range(2):
            duct.send(ECHO.address, PAYLOAD, timeout=PATIENCE)
    with stage.strikes.armed(number):
        check_error(attempted(lambda: call(duct, stage, [])))
        # What the call has set going comes to its end.
        time.sleep(0.002)
    struck = stage.strikes.struck
    if call is receive_batch:
        # What ended the batch is told by the next call.
        check_error(attempted(lambda: duct.receive(blocking=False) and None))
    if not duct.closed:
        error = attempted(lambda: goes_on(duct, listener))
        assert error is None or isinstance(error, CardFailedError), repr(error)
    if listener is not None:
        check_error(attempted(listener.close))
    check_error(attempted(duct.close))
    assert duct.closed
    assert attempted(duct.close) is None
    if listener is not None:
        listener.join()
        assert listener.error is None or isinstance(
            listener.error, CardFailedError | ClosedError | OSError | MemoryError
        )
    with stage.open() as again:
        assert echoes(again, None), struck
    assert not stage.attachments._cards
    for held, was in zip(stage.resources(), before, strict=True):
        assert held == was, struck
    return struck is not None


def goes_on(duct, listener):
    assert echoes(duct, listener), "it does not go on"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("way", WAYS_OUT)
def test_whatever_fails_is_told_and_nothing_is_left_behind(way, call, tmp_path):
    with stage(way, tmp_path) as here:
        here.open().close()
        for number in numbers(way, call):
            try:
                there_was = fails(here, call, number)
            except BaseException as error:
                error.add_note(
                    f"{way}: operation {number} of {call.__name__} failed: {here.strikes.struck}"
                )
                raise
            if not there_was:
                break
