"""Requests and replies as a whole: bytes to a `Request`, an answer to bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from cuse.messages import (
    IN_HEADER_SIZE,
    NOTIFY_POLL,
    CuseInitIn,
    InHeader,
    InterruptIn,
    IoctlIn,
    MalformedError,
    Message,
    NotifyPollOut,
    Opcode,
    OpenIn,
    OutHeader,
    PollIn,
    ReadIn,
    ReleaseIn,
    WriteIn,
)

__all__ = ["Request", "body_of", "header_of", "poll_notification", "refusal", "reply"]

_BODIES: Final[Mapping[int, type[Message]]] = {
    Opcode.OPEN: OpenIn,
    Opcode.READ: ReadIn,
    Opcode.WRITE: WriteIn,
    Opcode.RELEASE: ReleaseIn,
    Opcode.INTERRUPT: InterruptIn,
    Opcode.IOCTL: IoctlIn,
    Opcode.POLL: PollIn,
    Opcode.CUSE_INIT: CuseInitIn,
}


@attrs.frozen
class Request:
    """A request.

    Attributes:
        header: Who asks, and what for.
        body: The structure that its opcode says; None if the opcode is not known.
        data: What follows: of a WRITE, what is to be written; of an IOCTL, what the caller gives.
    """

    header: InHeader
    body: Message | None
    data: bytes = b""


def header_of(message: bytes) -> InHeader:
    """The header of a request. Raises `MalformedError` if it is none, or not about this message."""
    header = InHeader.decode(message)
    if header.length != len(message):
        raise MalformedError(f"a request of {header.length} bytes came as {len(message)}")
    return header


def body_of(header: InHeader, message: bytes) -> Request:
    """The request that a message is, whose header was looked at before.

    Raises:
        MalformedError: It is too short for what it asks, or its data are not what it says.
    """
    kind = _BODIES.get(header.opcode)
    if kind is None:
        return Request(header, None)
    rest = message[IN_HEADER_SIZE:]
    body = kind.decode(rest)
    data = rest[kind.FORMAT.size :]
    if isinstance(body, WriteIn | IoctlIn):
        size = body.size if isinstance(body, WriteIn) else body.in_size
        if size != len(data):
            raise MalformedError(f"{kind.__name__} says {size} bytes, and {len(data)} follow")
    return Request(header, body, data)


def reply(unique: int, *parts: bytes) -> list[bytes]:
    """The answer to a request, as buffers to be written in one go."""
    size = OutHeader.FORMAT.size + sum(map(len, parts))
    return [OutHeader(size, 0, unique).encode(), *parts]


def refusal(unique: int, error: int) -> list[bytes]:
    """The answer that a request ended with an errno."""
    return [OutHeader(OutHeader.FORMAT.size, -error, unique).encode()]


def poll_notification(handle: int) -> list[bytes]:
    """What tells the kernel that whoever polls with `handle` should poll again."""
    size = OutHeader.FORMAT.size + NotifyPollOut.FORMAT.size
    return [OutHeader(size, NOTIFY_POLL, 0).encode(), NotifyPollOut(handle).encode()]
