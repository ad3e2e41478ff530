"""Opening, closing and recovering a card.

The first open starts the card, the last close stops it, and only one thread at a time does either:
the *conductor*. Memory of the packet rings is freed only after the card has answered STOP or has
finished a reset; if a reset fails too, the memory is kept, and the next open tries again.

The steps, and their order, are those of `model/driver_spec.py`. What a signal handler raises in the
middle of them does not end them: the card is first brought to a state that is known, and then it is
raised.
"""

from __future__ import annotations

from collections.abc import Sequence

from impl.controller import Controller, Life, Wait, attempted
from impl.dma import PacketMemory, ResetFinished, StopCompleted
from impl.errors import CardFailedError, ClosedError, DuctError, WaitTimeoutError
from impl.request import Request
from impl.runtime import ExpiredError, WaitQueue
from model.layout import (
    CMDBASE,
    CMDSHIFT,
    EXACT_MASK,
    FLAGS,
    HWADDR,
    RST,
    RXBASE,
    RXSHIFT,
    TXBASE,
    TXSHIFT,
    Command,
    is_fatal,
)

__all__ = ["Lifecycle"]


class Lifecycle:
    """Opens and closes one card for all its users.

    Attributes:
        needs_reset: The card must be reset before it is used: nobody knows what it does.
    """

    def __init__(self, controller: Controller) -> None:
        self.needs_reset = True
        self._controller = controller
        self._device = controller.device
        self._runtime = controller.runtime
        self._settings = controller.settings
        self._opens = 0
        self._memory: PacketMemory | None = None

    # Open

    def open(self, timeout: float | None = None) -> None:
        """Count one more open; the first one starts the card.

        Args:
            timeout: Seconds to wait for somebody else's open or close; None: as long as it takes.

        Raises:
            CardFailedError: The card failed and others still have it open, or it does not start.
            WaitTimeoutError: The time is over.
        """
        controller = self._controller
        deadline = None if timeout is None else self._runtime.now() + timeout
        self._runtime.lock()
        try:
            while controller.life in {Life.OPENING, Life.CLOSING}:
                self._wait_for_others(timeout, deadline)
            if controller.life is Life.CLOSED:
                self._open_first()
            elif controller.failed:
                raise CardFailedError(f"{controller.failure}; close every open of it first")
            self._opens += 1
        finally:
            self._runtime.unlock()

    def _wait_for_others(self, timeout: float | None, deadline: float | None) -> None:
        try:
            self._runtime.sleep(WaitQueue.LIFE, deadline)
        except ExpiredError:
            raise WaitTimeoutError(
                f"waited {round(timeout or 0, 2):g} s for somebody else to open or close the card"
            ) from None

    def _open_first(self) -> None:
        controller = self._controller
        controller.life = Life.OPENING
        problem = self._start()
        controller.life = Life.CLOSED if problem else Life.OPEN
        self._runtime.wake(WaitQueue.LIFE)
        if isinstance(problem, DuctError):
            raise CardFailedError(f"the card does not start: {problem.strerror}") from problem
        if problem is not None:
            raise problem

    def _start(self) -> BaseException | None:
        """Start the card. If that does not succeed, undo it and return the reason."""
        controller = self._controller
        started = False
        try:
            controller.start()
            if self.needs_reset or controller.failed:
                self._recover()
            self._set_up()
            self._command(Command.START)
            started = True
            self._command(Command.ADDFILT, EXACT_MASK, controller.info.hwaddr)
            controller.show_writable()
        except BaseException as problem:
            controller.life = Life.CLOSING
            undone = attempted(self._shut_down if started else self._undo_set_up)
            return _foremost([problem, undone, attempted(controller.show_writable)])
        return None

    def _undo_set_up(self) -> BaseException | None:
        """The card was not started, as far as is known."""
        if self.needs_reset:
            return None
        # A START that failed or was interrupted may have started the card all the same.
        return self._recover_if_possible()

    # Close

    def close(self, handle: object = None) -> None:
        """Count one open less; the last close ends all calls and stops the card.

        Args:
            handle: Calls that wait on behalf of it end in any case.

        Raises:
            CardFailedError: The card could not be stopped and not be reset either. It counts as
                closed; its memory is kept, and the next open tries again.
            ClosedError: Nobody has the card open.
        """
        self._runtime.lock()
        try:
            if not self._opens:
                raise ClosedError("the card is not open")
            self._opens -= 1
            self._runtime.cancel(handle)
            if not self._opens:
                self._close_last()
        finally:
            self._runtime.unlock()

    def _close_last(self) -> None:
        controller = self._controller
        controller.life = Life.CLOSING
        # Each of them, whatever becomes of the others.
        problems = [attempted(controller.wake_everyone)]
        problems += [attempted(self._wait_for_leavers), attempted(self._drain)]
        problems += [attempted(self._shut_down)]
        controller.life = Life.CLOSED
        self._runtime.wake(WaitQueue.LIFE)
        problem = _foremost(problems)
        if problem is not None:
            raise problem
        if self.needs_reset:
            raise CardFailedError(
                "the card neither stops nor resets; its memory is kept, and the next open tries "
                "again"
            )

    def _wait_for_leavers(self) -> BaseException | None:
        """Wait until every call has ended. They were told to; nothing can hold them up."""
        interruption: BaseException | None = None
        while self._controller.inside:
            try:
                self._runtime.sleep(WaitQueue.LIFE)
            except BaseException as error:
                interruption = error
        return interruption

    def _drain(self) -> BaseException | None:
        """Let the card send what is queued, but not for ever."""
        controller = self._controller
        deadline = self._runtime.now() + self._settings.drain_timeout
        try:
            while not controller.failed and controller.transmit.outstanding:
                self._runtime.sleep(WaitQueue.LIFE, deadline)
        except ExpiredError:
            return None
        except BaseException as interruption:
            return interruption
        return None

    def _shut_down(self) -> BaseException | None:
        """Stop the card and free the packet rings. Whatever goes wrong, a reset follows."""
        try:
            stopped = self._command(Command.STOP)
            self._command(Command.FLUSHFILT)
        except DuctError:
            return self._recover_if_possible()
        except BaseException as interruption:
            self._recover_if_possible()
            return interruption
        self._retire_packet_rings()
        self._free(StopCompleted(stopped))
        return None

    # Reset

    def _recover_if_possible(self) -> BaseException | None:
        """Reset the card. If it does not come back, `needs_reset` says so."""
        try:
            self._recover()
        except DuctError:
            return None
        except BaseException as interruption:
            return interruption
        return None

    def _recover(self) -> None:
        """Reset the card and set up its command ring anew; free what a failure left over.

        Raises:
            CardFailedError: The card does not come back. Its memory is kept.
        """
        controller = self._controller
        self.needs_reset = True
        self._device.write(FLAGS, RST.mask)
        # Nothing that is on its way will ever be answered.
        controller.commands.retire()
        self._retire_packet_rings()
        evidence = self._await_reset()
        controller.failed = False
        # Until it was reset it may know addresses that a killed driver gave it.
        self._device.enable_bus_master()
        controller.commands.restart(controller.command_memory)
        for slot in range(controller.commands.slots):
            controller.commands.initialise_slot(slot)
        # The card looks at the ring as soon as it knows its address, so that is written last.
        self._device.fence()
        self._device.write(CMDSHIFT, self._settings.ring_shift)
        self._device.write(CMDBASE, controller.command_memory.bus_address())
        self.needs_reset = False
        self._free(evidence)

    def _await_reset(self) -> ResetFinished:
        """Read FLAGS until it says 0. Raises `CardFailedError` if it does not in good time."""
        flags = self._device.read(FLAGS)
        for _ in range(self._settings.reset_polls):
            if not flags:
                break
            if is_fatal(flags):
                # It failed again while it was coming back.
                self._device.write(FLAGS, RST.mask)
            self._runtime.pause(self._settings.reset_pause)
            flags = self._device.read(FLAGS)
        if flags:
            raise CardFailedError(
                f"the card is not back after {self._settings.reset_polls + 1} reads of FLAGS, "
                f"which says {FLAGS.describe(flags)}; its memory is kept, and the next open tries "
                "again"
            )
        return ResetFinished(flags)

    # Packet rings

    def _set_up(self) -> None:
        """Give the card packet rings: slots to send from the host's, slots to receive its own."""
        controller, device = self._controller, self._device
        memory = PacketMemory(device, controller.transmit.slots)
        self._memory = memory
        controller.transmit.start_over(memory)
        controller.receive.start_over(memory)
        for slot in range(controller.transmit.slots):
            controller.transmit.initialise_slot(slot)
            controller.receive.initialise_slot(slot)
        # The card may look at the rings as soon as it has started.
        device.fence()
        shift = self._settings.ring_shift
        for base, size, ring in (
            (TXBASE, TXSHIFT, memory.transmit_ring),
            (RXBASE, RXSHIFT, memory.receive_ring),
        ):
            device.write(size, shift)
            device.write(base, ring.bus_address())
        # A card may see START in memory before it hears the doorbell; it must know the rings by
        # then. Register writes arrive before a read that follows them is answered, and START
        # waits for the answer.
        device.read(HWADDR)
        device.release_loads()
        self._runtime.set_readable(controller.failed)

    def _retire_packet_rings(self) -> None:
        """The packet rings are detached; their memory may still be the card's."""
        self._controller.transmit.retire()
        self._controller.receive.retire()

    def _free(self, evidence: StopCompleted | ResetFinished) -> None:
        """Free the memory of the packet rings, if there is any."""
        if self._memory is not None:
            try:
                self._memory.free(evidence)
            finally:
                self._memory = None

    def _command(self, command: Command, mask: int = 0, address: int = 0) -> Request:
        timeout = self._settings.command_timeout
        wait = Wait(timeout=timeout, deadline=self._runtime.now() + timeout, conducts=True)
        return self._controller.command(command, mask, address, wait)


def _foremost(problems: Sequence[BaseException | None]) -> BaseException | None:
    """What is told of several problems: what a signal handler raised, or else the first one."""
    there = [problem for problem in problems if problem is not None]
    raised = [problem for problem in there if not isinstance(problem, DuctError)]
    return next(iter(raised or there), None)
