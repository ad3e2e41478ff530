"""Answers kept from earlier runs: of which questions a solver has said *unsat*, that is, proved.

A question is known by the SHA-256 of everything that its answer depends on: the SMT-LIB text, the
solver and its version, what the solver was told, its limits and seed among that. Only proofs are
kept. Whatever else was said is asked again. What a random run has shown is known by the SHA-256 of
all that the run depends on (`engine.digest`); of a run on which a fault shows the path is noted, to
be replayed (`engine.kept_runs`).

The file is a line that says what it is, and a line for each answer: the question's SHA-256, a
checksum, and the note if there is one. A line is appended in one write, so that runs at the same
time do not mix theirs up. A line that is damaged, or half written, is passed over; a file that does
not begin as it must is refused and left alone. This guards against accidents, not against malice:
whoever may write the file can compute checksums too. `--fresh` asks everything anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Final

from engine.solvers import OPTIONS, version

__all__ = ["Answers", "ForeignFileError", "key_of"]

HEAD: Final = b"answers kept by a proof, format 1: SHA-256 of what was proved, checksum\n"
LINE: Final = re.compile(rb"([0-9a-f]{64}) ([0-9a-f]{16})(?: ([ -~]+))?")
MOST: Final = 200_000
"""How many answers a file may hold; the older half is dropped when there are more."""


class ForeignFileError(ValueError):
    """The file holds something else than kept answers; it was not changed."""


def key_of(solver: str, text: str, seed: int) -> str:
    """What a question is known by: the SHA-256 of all that its answer depends on."""
    asked = json.dumps([solver, version(solver), OPTIONS[solver], seed], sort_keys=True)
    return hashlib.sha256(f"{asked}\n{text}".encode()).hexdigest()


class Answers:
    """The questions that earlier runs have proved, and where this run notes what it proves.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, which need not exist yet.

        Raises:
            ForeignFileError: it holds something else.
            OSError: it cannot be read.
        """
        self.path = path
        self._earlier: dict[str, str] = {}
        self._added: dict[str, str] = {}
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        if data and not data.startswith(HEAD):
            raise ForeignFileError(f"{path} does not hold kept answers")
        for line in data[len(HEAD) :].split(b"\n"):
            parts = LINE.fullmatch(line)
            if parts is None:
                continue
            key, note = parts[1].decode(), (parts[3] or b"").decode()
            if parts[2].decode() == _checksum(key, note):
                self._earlier[key] = note
        if len(self._earlier) > MOST:
            self._shorten()

    def __contains__(self, key: str) -> bool:
        """Whether an earlier run has proved the question with this key."""
        return key in self._earlier

    def __len__(self) -> int:
        return len(self._earlier)

    def note(self, key: str) -> str:
        """What an earlier run noted of the question with this key; "" if there is nothing."""
        return self._earlier.get(key, "")

    def add(self, key: str, note: str = "") -> None:
        """Note for later runs that the question with this key is proved, if that can be written.

        `note` is printable ASCII; of two notes the later one counts.
        """
        if note != self._added.get(key, self._earlier.get(key)):
            self._added[key] = note
            with contextlib.suppress(OSError):
                self._append(_line(key, note))

    def _append(self, line: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            # Two that find the file empty both write the head: the second one is no answer, and
            # passed over.
            os.write(file, line if os.fstat(file).st_size else HEAD + line)
        finally:
            os.close(file)

    def _shorten(self) -> None:
        """Write the file anew with the younger half, as a whole or not at all."""
        self._earlier = dict(list(self._earlier.items())[-(MOST // 2) :])
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        beside.write_bytes(HEAD + b"".join(_line(*item) for item in self._earlier.items()))
        beside.replace(self.path)


def _checksum(key: str, note: str) -> str:
    return hashlib.sha256(f"proved {key}{note}".encode()).hexdigest()[:16]


def _line(key: str, note: str) -> bytes:
    parts = [key, _checksum(key, note), *([note] if note else [])]
    return " ".join(parts).encode() + b"\n"
