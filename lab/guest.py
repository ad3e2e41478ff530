"""A virtual machine that runs, and commands in it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from lab.prepare import Parts
from lab.qemu import Machine, environment, words

__all__ = ["Ended", "Guest", "GuestError", "Process", "booted"]

BOOT: Final = 120.0
"""Seconds within which a guest is ready; it takes 4 to 15."""
PATIENCE: Final = 240.0
"""Seconds within which a command ends, unless it is given more."""
_AGENT: Final = "lab"


class GuestError(Exception):
    """The guest does not start, died, or a command in it takes too long or fails."""


@attrs.frozen
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status; minus n if signal n ended it.
        output: All that it printed, standard error included.
    """

    status: int
    output: str


@attrs.define(eq=False)
class Process:
    """A command in the guest."""

    command: tuple[str, ...]
    _guest: Guest
    _number: int
    _output: str = ""
    _status: int | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet, as far as was heard."""
        return self._status is None

    def wait_for(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait until the command has printed `text`; returns all that it printed so far.

        Raises:
            GuestError: It ended without, or the time is over.
        """
        self._guest.wait_until(
            lambda: text in self._output or self._status is not None,
            seconds,
            lambda: f"{self} does not print {text!r}",
        )
        if text not in self._output:
            raise GuestError(f"{self} ended and did not print {text!r}")
        return self._output

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self._guest.tell({"id": self._number, "signal": int(number)})

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """Wait for the command's end.

        Raises:
            GuestError: The time is over; the command goes on.
        """
        self._guest.wait_until(
            lambda: self._status is not None, seconds, lambda: f"{self} does not end"
        )
        assert self._status is not None
        return Ended(self._status, self._output)

    def heard(self, message: Mapping[str, Any]) -> None:
        """The guest said something about this command."""
        self._output += message.get("output", "")
        self._status = message.get("status", self._status)

    def __str__(self) -> str:
        state = "" if self._status is None else f" [status {self._status}]"
        return f"`{' '.join(self.command)}`{state}, which printed:\n{self._output}\n"


class Guest:
    """A guest whose agent is ready. `booted` makes one.

    Attributes:
        name: What it is called.
        console: Where its console goes.
        booted_in: Seconds that the guest took from its kernel's start to its agent's, by its own
            clock.
    """

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], agent: socket.socket, console: Path
    ) -> None:
        self.name = name
        self.console = console
        self.booted_in: float | None = None
        self._qemu = process
        self._agent = agent
        self._changed = threading.Condition()
        self._processes: dict[int, Process] = {}
        self._gone = False
        self._reader = threading.Thread(target=self._listen, name=f"guest {name}", daemon=True)
        self._reader.start()
        self.wait_until(
            lambda: self.booted_in is not None, BOOT, lambda: f"guest {name} does not start"
        )

    def start(self, *command: str, stdin: str = "") -> Process:
        """Start a command; `stdin` is what it reads, a few kilobytes at the most."""
        with self._changed:
            number = len(self._processes)
            process = self._processes[number] = Process(command, self, number)
        self.tell({"id": number, "command": list(command), "input": stdin})
        return process

    def run(self, *command: str, stdin: str = "", seconds: float = PATIENCE) -> Ended:
        """Run a command to its end, whatever that is."""
        return self.start(*command, stdin=stdin).wait(seconds)

    def check(self, *command: str, stdin: str = "", seconds: float = PATIENCE) -> str:
        """Run a command that succeeds; returns what it printed.

        Raises:
            GuestError: It failed.
        """
        process = self.start(*command, stdin=stdin)
        if process.wait(seconds).status:
            raise GuestError(f"{process}")
        return process.wait().output

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message to the agent."""
        self._agent.sendall(json.dumps(message).encode() + b"\n")

    def wait_until(self, condition: Any, seconds: float, say: Any) -> None:
        """Wait for something that the agent tells.

        Raises:
            GuestError: The guest is gone, or the time is over; `say` tells what was waited for.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._gone or condition(), seconds)
            if condition():
                return
        why = "the guest is gone" if self._gone else f"{seconds:.0f} s are over"
        console = self.console.read_text(errors="replace")
        raise GuestError(f"{say()} ({why}). The console of {self.name}:\n{console[-4000:]}")

    def _listen(self) -> None:
        with self._agent.makefile("rb") as lines:
            for line in lines:
                self._heard(json.loads(line))
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _heard(self, message: Mapping[str, Any]) -> None:
        with self._changed:
            if "ready" in message:
                self.booted_in = message["ready"]
            else:
                self._processes[message["id"]].heard(message)
            self._changed.notify_all()

    def end(self) -> None:
        """Switch the guest off."""
        self._qemu.terminate()
        self._qemu.wait()
        self._reader.join()
        self._agent.close()


@contextlib.contextmanager
def booted(
    parts: Parts,
    folder: Path,
    name: str,
    cards: Sequence[Path],
    ports: Mapping[str, Path] | None = None,
    kernel: Sequence[str] = (),
) -> Iterator[Guest]:
    """A guest for as long as this lasts.

    Args:
        parts: What the lab is made of.
        folder: Where its socket is; its path is short.
        name: What it is called.
        cards: Sockets of the cards that are plugged in.
        ports: Further virtio ports, by name, with the socket that QEMU connects to.
        kernel: Further parameters of the kernel.

    Raises:
        GuestError: It does not start.
    """
    console = parts.logs / f"guest-{name}.console"
    console.write_bytes(b"")
    path = folder / f"{name}.agent"
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(str(path))
        stack.callback(path.unlink)
        listening.listen()
        listening.settimeout(BOOT)
        machine = Machine(cards, {_AGENT: path, **(ports or {})}, console, kernel)
        log = stack.enter_context((parts.logs / f"qemu-{name}.log").open("wb"))
        process = subprocess.Popen(
            words(parts, machine),
            env=os.environ | environment(parts),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        stack.callback(_reap, process)
        agent = _accepted(listening, process, Path(log.name))
        guest = Guest(name, process, agent, console)
        stack.callback(guest.end)
        yield guest


def _accepted(
    listening: socket.socket, process: subprocess.Popen[bytes], log: Path
) -> socket.socket:
    """QEMU connects before the guest starts; if it does not even start, say what it said."""
    end = time.monotonic() + BOOT
    listening.settimeout(0.2)
    while True:
        try:
            agent, _ = listening.accept()
        except TimeoutError:
            if process.poll() is not None or time.monotonic() > end:
                text = log.read_text(errors="replace")
                raise GuestError(f"QEMU does not start:\n{text}") from None
        else:
            agent.settimeout(None)
            return agent


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
