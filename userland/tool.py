"""What the commands have in common: options, standard streams, and how they end.

A command ends with status 0; with 1 and one line on standard error if something cannot be done;
with 2 and one line if it was called wrongly; and with 128 + n if signal n ended it. However it
ends, it closes the card first: a card that is left running may write to memory that is not ours any
more.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import BinaryIO, Final, NoReturn, TypeVar

from impl.duct import Duct, open_duct
from impl.errors import DuctError, NoSuchCardError, SpecificationError
from model.layout import LIMITS

__all__ = ["Parser", "Problem", "binary", "opened", "read_packet", "run", "seconds"]

DEFAULT_DEVICE: Final = "/dev/duct0"
FAILED: Final = 1
WRONG_USAGE: Final = 2
BY_SIGNAL: Final = 128
DISTRIBUTION: Final = "duct-driver"

Options = TypeVar("Options")


class Problem(Exception):  # noqa: N818 - what the user reads of it is its message
    """Something that a command cannot do, in one line."""


class _Ended(BaseException):
    """A signal asked the process to end; the card is closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


# Options


class Parser(argparse.ArgumentParser):
    """A parser with the options that all commands have; mistakes are told in one line.

    Args:
        name: The command.
        description: What it does.
        epilog: Examples.
        opens: The command opens a card.
    """

    def __init__(self, name: str, description: str, epilog: str, *, opens: bool = True) -> None:
        super().__init__(
            prog=name,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if opens:
            self.add_argument(
                "-d",
                "--device",
                default=DEFAULT_DEVICE,
                metavar="DEVICE",
                help='the card: SCHEME:REST, such as "emulated:" or "vfio:0000:00:05.0"; or the '
                "file that ductd serves: a path, a name such as duct0, or 0 (default: %(default)s)",
            )
            self.add_argument(
                "-m",
                "--monitor",
                action="store_true",
                help="let the specification judge every access to the card, and say on standard "
                "error what came of it",
            )
        self.add_argument("--version", action="version", version=f"{name} {_version()}")

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"


def seconds(text: str) -> float:
    """A time in seconds as an option's value."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds from 0 on, not {text!r}")
    return value


# The card


@contextlib.contextmanager
def opened(device: str, suggestion: str, *, monitor: bool) -> Iterator[Duct]:
    """The card, open as long as this lasts.

    Args:
        device: Its address.
        monitor: Let the specification judge every access, and say what came of it.
        suggestion: What to try if nobody named a card and there is none.
    """
    try:
        driver = open_duct(device, monitor=monitor)
    except NoSuchCardError as error:
        if device == DEFAULT_DEVICE:
            raise Problem(f"there is no card at {device}; try: {suggestion}") from error
        raise
    with driver:
        yield driver
    if driver.watch is not None:
        judged = f"the monitor judged {driver.watch.accesses:,} accesses"
        ending = driver.watch.gave_up and f", then gave up: {driver.watch.gave_up}"
        print(f"{judged}{ending or ', and all were right'}", file=sys.stderr, flush=True)


# Standard streams


def binary(stream: object, name: str) -> BinaryIO:
    """The bytes behind standard input or output."""
    found: BinaryIO | None = getattr(stream, "buffer", None)
    if found is None:
        raise Problem(f"{name} is closed")
    return found


def read_packet(stream: BinaryIO) -> bytes:
    """All that `stream` has, as the payload of one packet."""
    payload = stream.read(LIMITS.max_packet + 1)
    if len(payload) > LIMITS.max_packet:
        raise Problem(
            f"standard input is longer than the {LIMITS.max_packet} bytes that a packet carries"
        )
    return payload


# How a command ends


def run(
    parse: Callable[[Sequence[str]], Options],
    work: Callable[[Options], None],
    name: str,
    arguments: Sequence[str] | None,
) -> int:
    """Parse the arguments and do the work; returns the exit status."""
    try:
        with _signals_end_the_work():
            status = 0
            try:
                options = parse(sys.argv[1:] if arguments is None else arguments)
                work(options)
            except SystemExit as ending:  # --help, --version, wrong usage
                status = int(ending.code or 0)
            if sys.stdout is not None:
                sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        status = BY_SIGNAL + signal.SIGINT
    except _Ended as ending:
        status = BY_SIGNAL + ending.number
    except BrokenPipeError:
        status = BY_SIGNAL + signal.SIGPIPE
    except Exception as error:
        print(f"{name}: {_line(error)}", file=sys.stderr)
        status = FAILED
    _drop_output()
    return status


@contextlib.contextmanager
def _signals_end_the_work() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt the work as Ctrl-C does, so that the card is closed."""

    def end(number: int, _: object) -> None:
        raise _Ended(number)

    ours: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        asking = (signal.SIGTERM, signal.SIGHUP)
        ours += [number for number in asking if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _line(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, SpecificationError):
        # Behind its first line stand the steps that led there.
        text = (error.strerror or "").partition("\n")[0]
    elif isinstance(error, DuctError | Problem | ValueError):
        text = str(getattr(error, "strerror", None) or error)
    elif isinstance(error, OSError):
        text = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        text = f"{error.filename}: {text}" if error.filename else text
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        text = f"failed: {type(error).__name__}: {error} ({where})"
    return " ".join(text.split())


def _drop_output() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
