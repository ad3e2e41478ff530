"""What came of judging so far: all was right, somebody broke a rule, or the monitor gave up."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from judge.filters import OutOfKeysError
from judge.judge import Deviation, Judge
from judge.words import StrayAccessError
from monitor.path import LongPath
from monitor.report import last_steps, save

__all__ = ["Verdict"]

OURS: Final = frozenset({"engine", "model", "judge", "monitor", "impl", "emulator"})


class Verdict:
    """Keeps what was found, and decides whether there is anything left to learn.

    Attributes:
        deviation: What was wrong.
        gave_up: Why nothing is judged any more, though nothing was wrong.
        alarming: Something was wrong, and those who sleep do not know yet.
    """

    def __init__(self, judge: Judge, path: LongPath, saves_to: Path | None) -> None:
        self.deviation: Deviation | None = None
        self.gave_up = ""
        self.alarming = False
        self._judge = judge
        self._path = path
        self._saves_to = saves_to
        self._last_steps = ""

    @property
    def over(self) -> bool:
        """Nothing is judged any more."""
        return self.deviation is not None or bool(self.gave_up)

    def failed(self, error: BaseException) -> bool:
        """Judging was left by an error; whether it is for the caller, who had a signal."""
        match error:
            case Deviation():
                self._found(error)
            case StrayAccessError():
                self._found(Deviation(f"no word of the specification: {error}"))
            case OutOfKeysError():
                self.give_up(str(error))
            case _ if _is_ours(error):
                self.give_up(f"the monitor itself failed:\n{traceback.format_exc()}")
            case _:
                self.give_up("a signal struck while an access was judged")
                return True
        return False

    def give_up(self, reason: str) -> None:
        """Judge nothing any more."""
        self.gave_up = self.gave_up or reason

    @property
    def told(self) -> str:
        """What was wrong, and who did it; "" if nothing was."""
        deviation = self.deviation
        if deviation is None:
            return ""
        return (
            f"{deviation.culprit} broke the specification: {deviation.reason}\n{self._last_steps}"
        )

    def _found(self, deviation: Deviation) -> None:
        if isinstance(deviation.__context__, KeyboardInterrupt | SystemExit | GeneratorExit):
            self.give_up("a signal struck in the middle of an access")
            return
        self._last_steps = last_steps(self._judge, self._path)
        self.deviation = deviation
        self.alarming = True
        if self._saves_to is not None:
            try:
                save(self._judge, self._path, deviation, self._saves_to)
            except OSError as error:
                self._last_steps += f"\nthe run could not be saved: {error}"

    def take_alarm(self) -> bool:
        """Whether sleepers must be woken since something was wrong; it is true once."""
        due, self.alarming = self.alarming, False
        return due


def _is_ours(error: BaseException) -> bool:
    """Whether a line of this project raised it, and no signal handler of the user's."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name = frame.f_globals.get("__name__")
    return isinstance(error, Exception) and (name is None or name.partition(".")[0] in OURS)
