"""Tasks that wait for one descriptor: all of them are woken, in whichever loop they are."""

import asyncio
import contextlib
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.polling import Direction, Poller
from impl.readiness import Readiness

PATIENCE = 30
READABLE, WRITABLE = Direction.READABLE, Direction.WRITABLE


class Polled:
    """A descriptor, what it polls as, and who waits for it."""

    def __init__(self):
        self.readiness = Readiness()
        self.descriptor = self.readiness.duplicate()
        self.poller = Poller(self.descriptor)

    def set(self, direction, yes=True):
        if direction is READABLE:
            self.readiness.set_readable(yes)
        else:
            self.readiness.set_writable(yes)

    def wait(self, direction=READABLE):
        return asyncio.wait_for(self.poller.wait(direction), PATIENCE)


@contextlib.contextmanager
def polled():
    one = Polled()
    yield one
    one.poller.close()
    os.close(one.descriptor)
    one.readiness.close()


async def settle():
    """Let every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


def stops_polling(loop, descriptor):
    """Whether the loop does not poll the descriptor; if it does, it does no longer."""
    return not (loop.remove_reader(descriptor) or loop.remove_writer(descriptor))


@pytest.mark.parametrize("direction", Direction)
def test_a_descriptor_that_polls_so_is_not_waited_for(direction):
    with polled() as one:
        one.set(direction)
        asyncio.run(one.wait(direction))


@given(st.lists(st.sampled_from(list(Direction)), min_size=1, max_size=8))
@settings(max_examples=30)
def test_every_task_is_woken_when_its_direction_comes_and_not_before(directions):
    with polled() as one:

        async def everything():
            tasks = [(item, asyncio.create_task(one.wait(item))) for item in directions]
            for ready in Direction:
                await settle()
                assert not any(task.done() for item, task in tasks if item is ready)
                one.set(ready)
                await asyncio.gather(*(task for item, task in tasks if item is ready))
                one.set(ready, False)
            assert stops_polling(asyncio.get_running_loop(), one.descriptor)

        asyncio.run(everything())


@given(loops=st.integers(1, 4), tasks=st.integers(1, 4), direction=st.sampled_from(list(Direction)))
@settings(max_examples=15)
def test_tasks_of_several_loops_in_several_threads_are_woken(loops, tasks, direction):
    with polled() as one:
        waiting, woken = threading.Barrier(loops + 1, timeout=PATIENCE), []

        async def everything():
            standing = [asyncio.create_task(one.wait(direction)) for _ in range(tasks)]
            await settle()
            waiting.wait()
            await asyncio.gather(*standing)
            woken.append(tasks)

        threads = [threading.Thread(target=lambda: asyncio.run(everything())) for _ in range(loops)]
        for thread in threads:
            thread.start()
        waiting.wait()
        one.set(direction)
        for thread in threads:
            thread.join(PATIENCE)
        assert sum(woken) == loops * tasks


def test_close_wakes_every_task_of_every_loop():
    with polled() as one:
        waiting, woken = threading.Barrier(4, timeout=PATIENCE), []

        async def everything():
            standing = [asyncio.create_task(one.wait(item)) for item in Direction]
            await settle()
            waiting.wait()
            await asyncio.gather(*standing)
            woken.append(stops_polling(asyncio.get_running_loop(), one.descriptor))

        threads = [threading.Thread(target=lambda: asyncio.run(everything())) for _ in range(3)]
        for thread in threads:
            thread.start()
        waiting.wait()
        one.poller.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert woken == [True] * 3


def test_close_in_the_loop_itself_wakes_its_tasks():
    with polled() as one:

        async def everything():
            task = asyncio.create_task(one.wait())
            await settle()
            one.poller.close()
            await task
            assert stops_polling(asyncio.get_running_loop(), one.descriptor)

        asyncio.run(everything())


def test_after_close_nobody_waits():
    with polled() as one:
        one.poller.close()
        one.poller.close()
        asyncio.run(one.wait())


@given(st.lists(st.booleans(), min_size=1, max_size=6))
@settings(max_examples=30)
def test_a_task_that_is_cancelled_leaves_the_others_waiting_and_nothing_behind(cancelled):
    with polled() as one:

        async def everything():
            loop = asyncio.get_running_loop()
            tasks = [asyncio.create_task(one.wait()) for _ in cancelled]
            await settle()
            for task, yes in zip(tasks, cancelled, strict=True):
                if yes:
                    task.cancel()
            await settle()
            if all(cancelled):
                assert stops_polling(loop, one.descriptor)
            one.set(READABLE)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(end, asyncio.CancelledError) for end in ends] == cancelled
            assert stops_polling(loop, one.descriptor)

        asyncio.run(everything())


def test_a_loop_that_ended_while_a_task_waited_is_in_nobodys_way():
    with polled() as one:

        async def give_up():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.poller.wait(READABLE), 0.01)

        for _ in range(3):
            asyncio.run(give_up())
        assert not one.poller._queues
        one.set(READABLE)
        asyncio.run(one.wait())
