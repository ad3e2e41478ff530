"""Answers kept from earlier runs: of which questions a solver has said *unsat*, that is, proved.

A question is known by the SHA-256 of everything that its answer depends on: the SMT-LIB text, the
solver and its version, what the solver was told, its limits and seed among that. Only proofs are
kept. Whatever else was said is asked again.

The file is a line that says what it is, and a line for each answer: the question's SHA-256 and a
checksum. A line is appended in one write, so that runs at the same time do not mix theirs up. A
line that is damaged, or half written, is passed over; a file that does not begin as it must is
refused and left alone. This guards against accidents, not against malice: whoever may write the
file can compute checksums too. `--fresh` asks everything anew.
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
LINE: Final = re.compile(rb"([0-9a-f]{64}) ([0-9a-f]{16})")
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
        self._earlier: dict[str, None] = {}
        self._added: set[str] = set()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        if data and not data.startswith(HEAD):
            raise ForeignFileError(f"{path} does not hold kept answers")
        for line in data[len(HEAD) :].split(b"\n"):
            parts = LINE.fullmatch(line)
            if parts is not None and parts[2] == _checksum(parts[1]):
                self._earlier[parts[1].decode()] = None
        if len(self._earlier) > MOST:
            self._shorten()

    def __contains__(self, key: str) -> bool:
        """Whether an earlier run has proved the question with this key."""
        return key in self._earlier

    def __len__(self) -> int:
        return len(self._earlier)

    def add(self, key: str) -> None:
        """Note for later runs that the question with this key is proved, if that can be written."""
        if key not in self._earlier and key not in self._added:
            self._added.add(key)
            with contextlib.suppress(OSError):
                self._append(_line(key))

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
        kept = list(self._earlier)[-(MOST // 2) :]
        self._earlier = dict.fromkeys(kept)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        beside.write_bytes(HEAD + b"".join(map(_line, kept)))
        beside.replace(self.path)


def _checksum(key: bytes) -> bytes:
    return hashlib.sha256(b"proved " + key).hexdigest()[:16].encode()


def _line(key: str) -> bytes:
    return key.encode() + b" " + _checksum(key.encode()) + b"\n"
