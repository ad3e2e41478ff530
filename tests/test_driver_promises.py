"""What the driver promises in its small print: orders, races and endings that no traffic shows."""

import asyncio
import contextlib
import threading
import time

import pytest

from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import CardFailedError, ClosedError, InvalidArgumentError, WouldBlockError
from impl.packet import Packet
from impl.settings import Settings
from model.layout import ECHO, USER_HEADER

PATIENCE = 10
MULTICAST = 0x80000001


@pytest.fixture
def attachments(laboratory):
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    yield attachments
    for kept in attachments._cards.values():
        kept.detach()


@pytest.fixture
def duct(attachments):
    duct = DuctDriver.open("emulated:", attachments=attachments)
    yield duct
    # A driver that a test has left in disorder must not keep the others waiting.
    assert ended(closing(duct)), "the driver does not close"


def view_of(duct, payload=b"on loan"):
    duct.send(ECHO.address, payload)
    return duct.receive_view(timeout=PATIENCE)


def closing(duct):
    """A thread that closes the driver, and has begun to: its last calls are still to end."""
    thread = threading.Thread(target=duct.close, daemon=True)
    thread.start()
    while not duct.closed:
        time.sleep(0.001)
    return thread


def ended(thread):
    thread.join(PATIENCE)
    return not thread.is_alive()


# Views


def test_a_packet_that_was_kept_is_lent_as_any_other(duct):
    """One that a call had taken when a signal ended it."""
    duct.owed.append(Packet(1, 2, b"kept"))
    with duct.receive_view(blocking=False) as view:
        assert (view.source, view.destination, bytes(view.payload)) == (1, 2, b"kept")
    with pytest.raises(WouldBlockError):
        duct.receive_view(blocking=False)


def test_a_view_in_use_keeps_its_slot(duct, monkeypatch):
    view = view_of(duct)
    given_back = []
    monkeypatch.setattr(duct._controller, "repost", given_back.append)
    piece = view.payload[2:]
    with pytest.raises(BufferError):
        view.release()
    assert not given_back
    monkeypatch.undo()
    piece.release()
    view.release()


def test_a_view_that_could_not_be_released_is_on_loan_as_before(duct):
    view = view_of(duct)
    for _ in range(2):
        piece = view.payload[2:]
        with pytest.raises(BufferError):
            view.release()
        piece.release()
        assert bytes(view.payload) == b"on loan"
    view.release()
    with pytest.raises(ValueError):
        bytes(view.payload)


def test_a_view_ends_before_its_slot_is_the_cards(duct, monkeypatch):
    repost, views, still_readable = duct._controller.repost, {}, []

    def note(slot):
        with contextlib.suppress(ValueError):
            still_readable.append(bytes(views[slot].payload))
        repost(slot)

    for _ in range(2):
        view = view_of(duct)
        views[duct._views[view]] = view
    monkeypatch.setattr(duct._controller, "repost", note)
    view.release()
    duct.close()
    assert not still_readable


def test_nothing_refers_to_the_cards_memory_after_a_release(duct):
    view = view_of(duct)
    borrowed = view._loan._memory
    view.release()
    with pytest.raises(ValueError):
        bytes(borrowed)


def test_a_view_that_is_made_while_the_driver_is_closed_is_taken_back(duct, monkeypatch):
    duct.send(ECHO.address, b"too late")
    borrow, threads = duct._controller.receive.borrow, []

    def borrow_late(slot, header):
        threads.append(closing(duct))
        return borrow(slot, header)

    monkeypatch.setattr(duct._controller.receive, "borrow", borrow_late)
    with pytest.raises(ClosedError):
        duct.receive_view(timeout=PATIENCE)
    assert ended(threads[0])


# Closed


def test_a_closed_driver_says_so_whatever_else_is_wrong_with_a_call(duct):
    duct.close()
    with pytest.raises(ClosedError):
        duct.receive(timeout=-1)
    with pytest.raises(ClosedError):
        duct.send(ECHO.address, b"", timeout=-1)


def test_a_task_that_begins_to_wait_while_the_driver_is_closed_is_told(duct, monkeypatch):
    fileno = duct.fileno

    def close_behind():
        descriptor = fileno()
        duct.close()
        return descriptor

    monkeypatch.setattr(duct, "fileno", close_behind)
    with pytest.raises(ClosedError):
        asyncio.run(asyncio.wait_for(duct.receive_async(), PATIENCE))
    assert duct._poller is None


# Failures


def test_an_asynchronous_iteration_tells_that_the_card_failed(duct, laboratory):
    laboratory.card().fail()

    async def listen():
        return [packet async for packet in duct]

    with pytest.raises(CardFailedError):
        asyncio.run(asyncio.wait_for(listen(), PATIENCE))


@pytest.mark.parametrize("error", [CardFailedError, ClosedError])
def test_an_iteration_ends_when_the_driver_is_closed_however_it_learns_of_it(
    duct, monkeypatch, error
):
    def receive(**_options):
        duct.close()
        raise error("meanwhile")

    async def listen():
        return [packet async for packet in duct]

    monkeypatch.setattr(duct, "receive", receive)
    assert list(duct) == []
    assert asyncio.run(asyncio.wait_for(listen(), PATIENCE)) == []


def test_a_driver_whose_open_failed_is_not_counted(attachments, laboratory):
    hasty = Settings(reset_polls=1, reset_pause=0, command_timeout=0.05)
    laboratory.card().power_off()
    for _ in range(2):
        with pytest.raises(CardFailedError):
            DuctDriver.open("emulated:", attachments=attachments, settings=hasty)
    (kept,) = attachments._cards.values()
    assert not kept.users


# Arguments


def test_calls_that_send_wait_unless_they_are_told_not_to(attachments, monkeypatch):
    monkeypatch.setenv("DUCT_KERNEL", "off")  # what C sends at once does not wait
    duct = DuctDriver.open("emulated:", attachments=attachments)
    waits = []

    def send(batch, wait):
        waits.append(wait.blocking)
        return len(batch)

    monkeypatch.setattr(duct._controller, "send", send)
    for options in ({}, {"blocking": False}):
        duct.send(ECHO.address, b"", **options)
        duct.send_batch([(ECHO.address, b"")], **options)
        duct.write(bytes(USER_HEADER.size), **options)
    assert waits == [True] * 3 + [False] * 3
    duct.close()


def test_a_filter_that_is_none_never_reaches_the_card(duct, monkeypatch):
    reached = []
    monkeypatch.setattr(duct._controller, "change_filter", lambda *given: reached.append(given))
    for change in (duct.add_multicast, duct.remove_multicast):
        with pytest.raises(InvalidArgumentError):
            change(1, MULTICAST)
    assert not reached


def test_a_batch_of_one_is_one_packet(duct):
    for _ in range(2):
        duct.send(ECHO.address, b"packet")
    for _ in range(2):
        assert len(duct.receive_batch(1, timeout=PATIENCE)) == 1


@pytest.mark.parametrize("most", [0, -1])
def test_a_batch_of_none_takes_no_packet(duct, most):
    duct.send(ECHO.address, b"packet")
    with pytest.raises(InvalidArgumentError) as caught:
        duct.receive_batch(most)
    assert caught.value.strerror == f"a batch has 1 packet or more, not {most}"
    assert duct.receive(timeout=PATIENCE).payload == b"packet"


def test_the_most_of_a_batch_may_be_a_number_of_another_class(duct):
    class Number(int):
        pass

    duct.send(ECHO.address, b"packet")
    assert len(duct.receive_batch(Number(1), timeout=PATIENCE)) == 1


def test_a_batch_ends_at_an_error_and_keeps_what_was_received(duct, monkeypatch):
    def failing(packets, most, wait):
        packets.append(Packet(1, 2, b"packet"))
        raise CardFailedError("meanwhile")

    monkeypatch.setattr(duct._controller, "receive_packets", failing)
    assert [packet.payload for packet in duct.receive_batch(9, timeout=PATIENCE)] == [b"packet"]
    with pytest.raises(CardFailedError):
        duct.receive(timeout=PATIENCE)


def test_a_message_may_be_cut_to_nothing_or_not_at_all(duct):
    for size, length in ((0, 0), (1, 1), (-1, 20), (-2, 20)):
        duct.send(ECHO.address, b"four")
        assert len(duct.read(size, timeout=PATIENCE)) == length
    duct.send(ECHO.address, b"four")
    assert len(duct.read(timeout=PATIENCE)) == 20


def test_a_time_that_is_over_at_once_is_no_time(duct):
    with pytest.raises(BlockingIOError):
        duct.receive(timeout=0)
    with pytest.raises(BlockingIOError):
        duct.receive_view(timeout=0.0)
