"""One client: its commands, one after the other, until it leaves or says what nobody may say.

A command that the card does not grant is answered with an error, and the client stays. A message
that no correct client sends ends the client.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import Final

import attrs

from emulator.running import RunningCard
from emulator.vfio_user.connection import Connection, Request
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.function import PciFunction
from emulator.vfio_user.protocol import (
    MAX_FDS,
    MAX_TRANSFER,
    Body,
    Command,
    DeviceInfo,
    DmaMap,
    DmaUnmap,
    Empty,
    Header,
    IrqInfo,
    IrqSet,
    ProtocolError,
    RegionAccess,
    RegionInfo,
    Version,
    parse,
)

__all__ = ["Session"]

_LOG: Final = logging.getLogger(__name__)
_MAJOR: Final = 0
_MINOR: Final = 1
_CAPABILITIES: Final = {"max_msg_fds": MAX_FDS, "max_data_xfer_size": MAX_TRANSFER}
_TOLD: Final = 100
"""Refused commands of a client that the log tells of: it must not fill a disk."""
_TAKES_FDS: Final = frozenset({Command.DMA_MAP, Command.DEVICE_SET_IRQS})


@attrs.define(eq=False)
class Session:
    """What the server and one client have to do with each other.

    Attributes:
        connection: The way to the client.
        function: The PCI function that it drives.
        memory: The memory that the card reaches.
    """

    connection: Connection
    function: PciFunction
    memory: ClientMemory
    _refused: int = attrs.field(default=0, init=False)

    @property
    def _running(self) -> RunningCard:
        return self.function.running

    def serve(self) -> None:
        """Serve the client until it is gone. Afterwards the card is as after power-on.

        Raises:
            ClientGone: It left.
            ProtocolError: It was made to leave.
        """
        try:
            self._greet()
            self.function.connect()
            while True:
                self._serve_one()
        finally:
            # An access that waits for the client's answer must end before the card can be held.
            self.connection.shut_down()
            self.function.disconnect()
            with self._running.held():
                self.memory.disconnect()
            self.connection.close()

    def _greet(self) -> None:
        """The first command says what the client speaks; the reply must not be longer."""
        request = self.connection.receive()
        request.close_fds()
        if request.header.command != Command.VERSION:
            raise ProtocolError(f"the first message is VERSION, not {request.header}")
        theirs = Version.unpack(request.data)
        if request.fds:
            raise ProtocolError("VERSION brings no file descriptors")
        if theirs.major != _MAJOR:
            raise ProtocolError(
                f"the client speaks version {theirs.major}.{theirs.minor} of the protocol, "
                f"this card {_MAJOR}.{_MINOR}"
            )
        self.memory.connect(
            self.connection, theirs.capability("max_data_xfer_size", MAX_TRANSFER, least=1)
        )
        minor = min(theirs.minor, _MINOR)
        ours = (Version.of(_MAJOR, minor, _CAPABILITIES), Version.of(_MAJOR, minor, {}))
        fits = (version for version in ours if len(version.data) <= len(theirs.data))
        self.connection.reply(request, next(fits, Version(_MAJOR, minor)))

    def _serve_one(self) -> None:
        request = self.connection.receive()
        header = request.header
        answer, number = None, 0
        try:
            if request.fds and header.command not in _TAKES_FDS:
                raise ProtocolError(f"{header} brings no file descriptors")
            body = parse(header.command, request.data)
            answer = self._carry_out(request, body)
        except OSError as error:
            number = error.errno or errno.EIO
            self._tell_of_refusal(header, number)
        finally:
            request.close_fds()
        self.connection.reply(request, None if number else answer, number)

    def _tell_of_refusal(self, header: Header, number: int) -> None:
        self._refused += 1
        if self._refused <= _TOLD:
            _LOG.info("refused %s: %s", header, os.strerror(number))
        if self._refused == _TOLD:
            _LOG.info("what else this client is refused is not told")

    def _carry_out(self, request: Request, body: Body | None) -> Body | None:
        """Do what a command says; returns the body of the answer."""
        match body:
            case RegionAccess():
                if request.header.command == Command.REGION_READ:
                    data = self.function.read(body.region, body.offset, body.count)
                    return attrs.evolve(body, data=data)
                self.function.write(body.region, body.offset, body.data)
                return attrs.evolve(body, data=b"")
            case DmaMap():
                if len(request.fds) > 1:
                    raise ProtocolError(
                        f"a map brings at most 1 file descriptor, not {len(request.fds)}"
                    )
                with self._running.held():
                    self.memory.map(body, request.fds[0] if request.fds else None)
                return None
            case DmaUnmap():
                with self._running.held():
                    self.memory.unmap(body)
                return body
            case DeviceInfo():
                return self.function.info()
            case RegionInfo():
                return self.function.region_info(body.index)
            case IrqInfo():
                return self.function.irq_info(body.index)
            case IrqSet():
                self.function.set_irqs(body, request.fds)
                return None
            case Empty():
                self.function.reset()
                return None
            case Version():
                raise ProtocolError("VERSION came a second time")
            case _:
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
