"""The host's end of the port of a lab's agent."""

from __future__ import annotations

import json
from typing import IO

import attrs


@attrs.define
class Talk:
    """What is said to an agent, and what it answers, line by line.

    Attributes:
        port: Both ways, without a buffer.
        commands: Commands started so far; each has the number that it then is.
    """

    port: IO[bytes]
    commands: int = 0

    def say(self, **message: object) -> None:
        self.port.write(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, object]:
        heard: dict[str, object] = json.loads(self.port.readline())
        return heard

    def start(self, *command: str, given: str = "") -> int:
        self.commands += 1
        self.say(id=self.commands, command=command, input=given)
        return self.commands

    def result(self) -> tuple[str, object]:
        """What the commands print until one of them ends, and its status."""
        printed = ""
        while "status" not in (heard := self.hear()):
            printed += str(heard["output"])
        return printed, heard["status"]

    def run(self, *command: str, given: str = "") -> tuple[str, object]:
        self.start(*command, given=given)
        return self.result()
