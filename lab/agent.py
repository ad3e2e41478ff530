"""The part of the lab inside the guest: runs commands for the host, many at a time.

Host and guest exchange lines of JSON over a virtio port. The host sends

    {"id": 1, "command": ["ductctl", "list"], "input": ""}
    {"id": 1, "signal": 9}

and gets, for each command, what it prints and how it ended (minus n: by signal n):

    {"id": 1, "output": "0000:00:05.0 ..."}
    {"id": 1, "status": 0}

The first line is `{"ready": SECONDS}`, the time since the kernel started. The port's end is the
agent's end.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import attrs

from lab import preloaded

__all__ = ["Agent", "main"]

_CHUNK: Final = 1 << 16
NOT_FOUND: Final = 127
"""Status of a command that does not exist, as shells have it."""


@attrs.define(eq=False)
class _Process:
    """A command that runs, and the pipe that it prints to."""

    number: int
    started: preloaded.Started
    prints: int
    decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )


class Agent:
    """Runs what comes in on a port, one thread for all of it."""

    def __init__(self, port: IO[bytes]) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._processes: dict[int, _Process] = {}
        self._pending = b""
        self._over = False

    def serve(self) -> None:
        """Serve until the host closes the port; then end whatever still runs."""
        self._tell({"ready": float(Path("/proc/uptime").read_text().split()[0])})
        self._selector.register(self._port, selectors.EVENT_READ, self._hear)
        while not self._over:
            for key, _ in self._selector.select():
                key.data()
        for process in self._processes.values():
            os.kill(process.started.pid, signal.SIGKILL)
            process.started.wait()
            os.close(process.prints)
        self._selector.close()

    def _hear(self) -> None:
        arrived = os.read(self._port.fileno(), _CHUNK)
        self._over = not arrived
        *lines, self._pending = (self._pending + arrived).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, request: dict[str, Any]) -> None:
        number = request["id"]
        if "signal" in request:
            process = self._processes.get(number)
            if process:
                os.kill(process.started.pid, request["signal"])
            return
        prints, writes = os.pipe()
        try:
            started = _started(request["command"], request["input"].encode(), writes)
        except OSError as error:
            os.close(prints)
            self._tell({"id": number, "output": f"{error}\n"})
            self._tell({"id": number, "status": NOT_FOUND})
            return
        finally:
            os.close(writes)
        process = self._processes[number] = _Process(number, started, prints)
        self._selector.register(prints, selectors.EVENT_READ, lambda: self._copy(process))

    def _copy(self, process: _Process) -> None:
        """Pass on what a command printed, or how it ended."""
        printed = os.read(process.prints, _CHUNK)
        text = process.decoder.decode(printed, not printed)
        if text:
            self._tell({"id": process.number, "output": text})
        if not printed:
            self._selector.unregister(process.prints)
            os.close(process.prints)
            del self._processes[process.number]
            self._tell({"id": process.number, "status": process.started.wait()})

    def _tell(self, message: dict[str, Any]) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        while line:
            line = line[os.write(self._port.fileno(), line) :]


def _started(command: Sequence[str], given: bytes, writes: int) -> preloaded.Started:
    """Start a command that reads what is given. Raises `OSError` if there is no such command."""
    reads, gives = os.pipe()
    # Small inputs only: they fit the pipe, so that this waits for nobody.
    os.write(gives, given)
    os.close(gives)
    try:
        known = preloaded.module_of(command)
        if known is not None:
            # Whatever keeps it from being loaded is told by Python itself, below.
            with contextlib.suppress(Exception, SystemExit):
                return preloaded.start(*known, reads, writes)
        popen = subprocess.Popen(command, stdin=reads, stdout=writes, stderr=writes)
        return preloaded.Started(popen.pid, popen.wait)
    finally:
        os.close(reads)


def main() -> int:
    """Serve the port that the command line names."""
    with open(sys.argv[1], "r+b", buffering=0) as port:
        Agent(port).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
