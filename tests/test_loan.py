"""Memory on loan is known to be in use, and the garbage collector bears with it."""

import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from impl import loan
from impl.loan import Loan

ROOT = Path(__file__).resolve().parent.parent


def test_what_was_lent_is_the_memory_itself():
    memory = bytearray(b"payload")
    lent = Loan(memoryview(memory)[2:5])
    memory[2] = ord("Y")
    assert bytes(lent.view) == b"Ylo"


def test_a_view_cannot_be_used_after_the_end():
    lent = Loan(memoryview(b"payload"))
    lent.end()
    lent.end()
    with pytest.raises(ValueError, match="released"):
        bytes(lent.view)


def test_a_loan_does_not_end_while_a_slice_is_left():
    lent = Loan(memoryview(b"payload"))
    part = lent.view[2:]
    with pytest.raises(BufferError):
        lent.end()
    assert (bytes(part), bytes(lent.view)) == (b"yload", b"payload")
    part.release()
    lent.end()


@pytest.mark.parametrize("ended", [True, False])
def test_a_loan_that_is_over_keeps_no_memory(ended):
    memory = bytearray(8)
    lent = Loan(memoryview(memory))
    if ended:
        lent.end()
    del lent
    Loan(memoryview(b"")).end()
    memory.append(0)  # which a bytearray refuses while anything refers to it


def test_what_a_slice_refers_to_is_kept_although_the_loan_is_gone():
    before = set(loan._KEPT)
    memory = bytearray(b"payload")
    lent = Loan(memoryview(memory))
    part = lent.view[2:]
    gone = weakref.ref(lent)
    del lent
    Loan(memoryview(b"")).end()
    assert gone() is None
    with pytest.raises(BufferError):
        memory.append(0)
    part.release()
    Loan(memoryview(b"")).end()
    memory.append(0)
    assert set(loan._KEPT) <= before


def test_the_garbage_collector_survives_loans_in_cycles():
    # In a process of its own, since what must not happen would take the interpreter with it.
    script = """
import gc
from impl.loan import Loan
class Holder: pass
lent = Loan(memoryview(bytearray(8)))
holder = Holder()  # The collector clears older objects first.
holder.itself, holder.lent = holder, lent
del holder, lent
gc.collect()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
