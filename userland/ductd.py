"""The command `ductd`: serve a card as a character device, for programs in any language."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from cuse import Device, NoDeviceError, Server
from impl.attach import ATTACHMENTS
from impl.driver import DuctDriver
from impl.settings import Monitoring
from userland.daemon.device import DuctDevice
from userland.daemon.node import GROUP, MODE, Access, group_id, set_access, user_id
from userland.daemon.service import Account, account, become, notify, pid_file
from userland.pcapng import Capture
from userland.tool import Parser, Problem, run

__all__ = ["Lines", "main", "parse"]

NAME: Final = "ductd"
DEVICE: Final = "duct0"
DESCRIPTION: Final = """\
Serve a duct card as /dev/duct0, for programs that open, read, write, poll and ioctl it. Needs root
to start, and the kernel's module cuse (modprobe cuse). Runs until SIGTERM or SIGINT; calls that
wait then end with ENODEV, and the card is stopped."""
EPILOG: Final = """\
examples:
  ductd vfio:0000:00:05.0                     a real card as /dev/duct0
  ductd emulated: --name duct1 --mode 0666    a card in software as /dev/duct1, for everybody

exit status: 0 ended by SIGTERM or SIGINT; 1 it cannot be done; 2 wrong usage"""
_LEVELS: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""What journald takes for how serious a line is (sd-daemon(3))."""

_LOG: Final = logging.getLogger(NAME)


@attrs.frozen
class Options:
    """What was asked for.

    Attributes:
        address: The card.
        name: The device's name below /dev.
        access: Who may open it.
        user: Whom to run as once everything is open; None: whoever runs this.
        monitor: Let the specification judge every access.
        pid_file: Where to write the number of the process.
        capture: Where packets are written to.
        capture_size: Bytes after which that file is begun anew.
    """

    address: str
    name: str = DEVICE
    access: Access = Access()
    user: Account | None = None
    monitor: bool = False
    pid_file: Path | None = None
    capture: Path | None = None
    capture_size: int | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(parse, _work, NAME, arguments)


def parse(arguments: Sequence[str]) -> Options:
    """What the arguments ask for. Ends the process if they are wrong."""
    parser = Parser(NAME, DESCRIPTION, EPILOG, opens=False)
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        help='the card: SCHEME:REST, such as "vfio:0000:00:05.0" or "emulated:"',
    )
    parser.add_argument(
        "--name",
        type=_name,
        default=DEVICE,
        help="the device's name below /dev (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        type=_mode,
        default=MODE,
        metavar="OCTAL",
        help=f"the device's mode (default: {MODE:04o})",
    )
    parser.add_argument("--owner", metavar="USER", help="the device's owner (default: root)")
    parser.add_argument(
        "--group",
        metavar="GROUP",
        help=f"the device's group (default: {GROUP} if there is one, or else root)",
    )
    parser.add_argument(
        "--user",
        metavar="USER",
        help="become this user when all is open; not for uio:, which takes root at each open",
    )
    parser.add_argument("--pid-file", type=Path, metavar="FILE", help="write the process number")
    parser.add_argument(
        "-m",
        "--monitor",
        action="store_true",
        help="let the specification judge every access to the card; after a deviation, which is "
        "logged, every call ends with EIO until ductd is started again",
    )
    parser.add_argument(
        "-w",
        "--capture",
        type=Path,
        metavar="FILE",
        help="write the packets of all programs to a file that tcpdump and Wireshark read (pcapng)",
    )
    parser.add_argument(
        "--capture-size",
        type=_size,
        metavar="BYTES",
        help="when the file gets longer, rename it to FILE.1 and begin anew (default: it grows)",
    )
    given = parser.parse_args(arguments)
    if given.capture_size is not None and given.capture is None:
        parser.error("--capture-size is for --capture")
    if ":" not in given.address:
        parser.error(f"a card's address is SCHEME:REST, not {given.address!r}")
    if given.user and given.address.startswith("uio:"):
        parser.error("--user is not for uio:, which takes root at each open")
    try:
        access = Access(
            given.mode,
            -1 if given.owner is None else user_id(given.owner),
            _group(given.group),
        )
        user = None if given.user is None else account(given.user)
    except ValueError as error:
        parser.error(str(error))
    return Options(
        given.address,
        given.name,
        access,
        user,
        given.monitor,
        given.pid_file,
        given.capture,
        given.capture_size,
    )


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,62}", text):
        raise argparse.ArgumentTypeError(f"letters, digits, '.', '_' and '-', not {text!r}")
    return text


def _size(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"a number of bytes from 1 on, not {text!r}")
    return int(text)


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise argparse.ArgumentTypeError(f"three octal digits, such as 0660, not {text!r}")
    return int(text, 8)


def _group(name: str | None) -> int:
    if name is not None:
        return group_id(name)
    try:
        return group_id(GROUP)
    except ValueError:
        return -1


def _work(options: Options) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[_journal()])
    monitoring = Monitoring() if options.monitor else None
    with contextlib.ExitStack() as undo:
        undo.enter_context(pid_file(options.pid_file))
        # The card stays the daemon's, whether somebody has the device open or not.
        ATTACHMENTS.join(options.address, None, monitoring)
        undo.callback(ATTACHMENTS.leave, options.address)
        capture = None
        if options.capture is not None:
            capture = Capture(options.capture, options.name, options.capture_size)
            undo.callback(capture.close)
        device = DuctDevice(
            lambda: DuctDriver.open(options.address, monitor=options.monitor), capture
        )
        undo.callback(device.close)
        _serve(options, device, undo)


def _serve(options: Options, device: Device, undo: contextlib.ExitStack) -> None:
    try:
        server = Server.at(device, options.name)
    except FileNotFoundError as error:
        raise Problem("/dev/cuse does not exist; run: modprobe cuse") from error
    undo.callback(server.close)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
        # Being told again changes nothing.
        undo.callback(signal.signal, number, signal.SIG_IGN)
    try:
        server.start()
    except NoDeviceError as error:
        raise Problem(error.strerror) from error
    path = set_access(options.name, options.access)
    if options.user is not None:
        become(options.user)
    _LOG.info(
        "%s is %s; open are /dev/cuse, to serve it, and the card%s",
        path,
        options.address,
        f"; running as user {options.user.user}" if options.user is not None else "",
    )
    notify(f"READY=1\nSTATUS=serving {path}")
    server.serve()
    notify("STOPPING=1")
    _LOG.info("%s is gone", path)


def _journal() -> logging.Handler:
    """Lines on standard error, with a level in front if journald reads them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    return handler


class Lines(logging.Formatter):
    """One line a record, and `<N>` in front of each where journald reads it (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text."""
        text = super().format(record)
        if "JOURNAL_STREAM" not in os.environ:
            return f"{NAME}: {text}"
        level = _LEVELS.get(record.levelno, 6)
        return "\n".join(f"<{level}>{line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
