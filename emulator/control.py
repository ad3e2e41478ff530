"""What a bench may tell a card to do, as lines of text: the words, and what they do.

A bench is whoever tests a driver from outside of the card: a laboratory on the same machine, or a
program in a virtual machine. It says one line and gets one, which is "ok", "ok JSON" or
"error TEXT".
"""

from __future__ import annotations

import json
import math

import attrs

from emulator.running import RunningCard

__all__ = ["Control"]

_REQUESTS = (
    "ping [WORD], counters, fail, stand-still, go-on, mute-interrupts on|off|N, announce-nothing"
)
_MOST_MUTED = 1_000_000


class _UnknownError(Exception):
    """There is no such request. The message says what is allowed instead."""


@attrs.frozen(eq=False)
class Control:
    """What may be done to a card.

    Attributes:
        running: The card.
    """

    running: RunningCard

    def answer(self, request: str) -> str:
        """Do what a line asks for; returns the line to answer.

        It may have to wait for the card, which may be waiting for its client to move memory.
        """
        try:
            answer = self._carry_out(request)
        except _UnknownError as error:
            return f"error {error}"
        return "ok" if answer is None else f"ok {json.dumps(answer)}"

    def _carry_out(self, request: str) -> object:
        match request.split():
            case ["ping"]:
                pass
            case ["ping", word]:
                return word
            case ["counters"]:
                return attrs.asdict(self.running.counters)
            case ["fail"]:
                self.running.fail()
            case ["stand-still"]:
                self.running.stand_still()
            case ["go-on"]:
                self.running.go_on()
            case ["mute-interrupts", how]:
                self.running.mute_interrupts(_how_many(how))
            case ["announce-nothing"]:
                self.running.announce_nothing()
            case _:
                raise _UnknownError(f"{request!r} is no request; one of these is: {_REQUESTS}")
        return None


def _how_many(how: str) -> float:
    match how:
        case "on":
            return math.inf
        case "off":
            return 0
    if how.isdecimal() and len(how) <= len(str(_MOST_MUTED)) and int(how) <= _MOST_MUTED:
        return int(how)
    raise _UnknownError(
        f"mute-interrupts takes on, off or a number from 0 to {_MOST_MUTED}, not {how!r}"
    )
