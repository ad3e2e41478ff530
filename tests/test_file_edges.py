"""A device file at its edges: numbers that two programs agree on, and an open that is struck."""

import itertools
import signal

import pytest

from impl import device_calls
from impl.duct import open_duct
from impl.errors import NoSuchCardError, NotSupportedError
from impl.shield import WrappedHandler
from model.layout import ECHO
from tests.background import PATIENCE
from tests.calls import open_another
from tests.struck import SIGNAL, nobody_else_has_a_card_open, strike, striking
from tests.test_device import Machine
from tests.test_file_signals import Files, struck_at


def test_a_driver_and_a_daemon_of_other_versions_understand_each_other():
    """Linux' _IOW('z', 128, 4), _IO('z', 129) and _IOR('z', 130, 8), and what they carry."""
    assert device_calls.SET_TIMEOUT == 0x40047A80
    assert device_calls.CANCEL == 0x00007A81
    assert device_calls.GET_READY == 0x80087A82
    assert device_calls.FOREVER == device_calls.NO_PACKET == 0xFFFF_FFFF


@pytest.fixture
def handler():
    """A program's own, and no card is open."""
    before = signal.signal(SIGNAL, strike)
    with nobody_else_has_a_card_open(), Machine() as machine:
        yield Files(machine)
    signal.signal(SIGNAL, before)


def test_handlers_are_wrapped_as_long_as_a_file_is_open(handler):
    duct = handler.open()
    assert isinstance(signal.getsignal(SIGNAL), WrappedHandler)
    duct.close()
    assert signal.getsignal(SIGNAL) is strike


def test_a_file_that_cannot_be_opened_leaves_handlers_as_they_were(handler):
    with pytest.raises(NoSuchCardError):
        open_duct("/dev/duct9", calls=handler.calls)
    assert signal.getsignal(SIGNAL) is strike


def test_an_open_that_is_struck_at_any_bytecode_leaves_no_file(request):
    with Machine() as machine, striking():
        here = Files(machine)
        for number in itertools.count(1):
            struck = struck_at(open_another, None, here, number)
            assert not here.calls.files, struck.place
            if struck.place is None:
                break
        assert number > 100


def test_a_call_with_an_interruption_is_refused_and_nothing_is_sent():
    with Machine() as machine:
        duct = Files(machine).open()
        with pytest.raises(NotSupportedError):
            duct.send(ECHO.address, b"first", interruption=object())
        duct.send(ECHO.address, b"second", timeout=PATIENCE)
        assert duct.receive(timeout=PATIENCE).payload == b"second"
        duct.close()
