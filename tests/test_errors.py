"""What can go wrong has a number, a class that Python programs know, and words that help."""

import copy
import errno
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl import errors
from impl.errors import DuctError

MEANINGS = {
    "DuctError": (errno.EIO, OSError),
    "CallInterruptedError": (errno.EINTR, InterruptedError),
    "CardError": (errno.EIO, OSError),
    "CardFailedError": (errno.EIO, OSError),
    "SpecificationError": (errno.EIO, OSError),
    "ClosedError": (errno.EBADF, OSError),
    "WouldBlockError": (errno.EAGAIN, BlockingIOError),
    "WaitTimeoutError": (errno.ETIMEDOUT, TimeoutError),
    "InvalidArgumentError": (errno.EINVAL, ValueError),
    "PacketTooLongError": (errno.EMSGSIZE, ValueError),
    "FilterTableFullError": (errno.ENOSPC, OSError),
    "NoSuchFilterError": (errno.ENOENT, OSError),
    "UnknownAddressError": (errno.ENODEV, ValueError),
    "NoSuchCardError": (errno.ENODEV, OSError),
    "NotSupportedError": (errno.EOPNOTSUPP, OSError),
    "NotSetUpError": (errno.ENXIO, OSError),
    "NotPermittedError": (errno.EACCES, PermissionError),
    "CardInUseError": (errno.EBUSY, OSError),
    "NoDmaMemoryError": (errno.ENOMEM, OSError),
    "UnsupportedMachineError": (errno.ENOSYS, OSError),
}

kinds = st.sampled_from([getattr(errors, name) for name in MEANINGS])


def test_every_error_is_listed_here_and_there():
    assert sorted(MEANINGS) == errors.__all__
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(MEANINGS)


def test_a_call_that_was_ended_has_handed_nothing_over_unless_it_is_said():
    assert errors.CallInterruptedError("ended").handed_over == 0


@pytest.mark.parametrize(("name", "meaning"), MEANINGS.items(), ids=MEANINGS)
def test_an_error_has_the_errno_of_the_datasheet_and_the_class_that_python_has_for_it(
    name, meaning
):
    code, builtin = meaning
    kind = getattr(errors, name)
    error = kind("what was given")
    assert error.errno == code == kind.code
    assert isinstance(error, DuctError)
    assert isinstance(error, OSError)
    assert isinstance(error, builtin)


@given(kinds, st.text())
def test_an_error_says_its_words(kind, words):
    error = kind(words)
    assert error.strerror == words
    assert str(error) == f"[Errno {kind.code}] {words}"


@given(kinds, st.text())
def test_an_error_survives_the_way_to_another_process(kind, words):
    for error in (pickle.loads(pickle.dumps(kind(words))), copy.copy(kind(words))):
        assert type(error) is kind
        assert (error.errno, error.strerror) == (kind.code, words)


@pytest.mark.parametrize("name", MEANINGS)
def test_an_error_is_explained_in_a_sentence_and_a_paragraph(name):
    kind = getattr(errors, name)
    summary, paragraph = kind.__doc__.strip().split("\n\n")
    assert "\n" not in summary
    assert paragraph.rstrip().endswith(".")
    if kind is not DuctError:
        assert summary.endswith(f"({errno.errorcode[kind.code]}).")
