"""Binding a card to the kernel driver that UIO or VFIO takes, and giving it back.

A function is bound by `driver_override`, which names the one driver that may have it, and by
asking the kernel to look for a driver anew (the kernel's Documentation/ABI/testing/sysfs-bus-pci).
What it was bound to before is noted in a file before anything is changed, and the note is removed
after all was changed back; so a bind or unbind that was interrupted is repeated, or undone, by
another one.
"""

from __future__ import annotations

import enum
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

import attrs

from impl.errors import CardInUseError, NotPermittedError, NotSetUpError
from impl.holders import holders
from impl.pci import PciFunction

__all__ = ["NOTES", "Binder", "Bus", "Way", "device_file", "way_of"]

NOTES: Final = Path("/run/duct")
"""Where it is noted what cards were bound to. A restart forgets both the notes and the bindings."""
PATIENCE: Final = 5.0
"""Seconds that the kernel is given to let go of a card, and to make its device file."""
_GLANCE: Final = 0.02


class Way(enum.Enum):
    """How a card can be reached: the scheme of its address."""

    UIO = "uio"
    VFIO = "vfio"

    @property
    def driver(self) -> str:
        """The kernel driver that it takes."""
        return {Way.UIO: "uio_pci_generic", Way.VFIO: "vfio-pci"}[self]


def way_of(function: PciFunction) -> Way | None:
    """How a card can be reached as it is bound now."""
    return next((way for way in Way if way.driver == function.driver), None)


def device_file(function: PciFunction) -> str | None:
    """The file by which programs open the function as it is bound now."""
    way = way_of(function)
    if way is Way.UIO and function.uio_name is not None:
        return f"/dev/{function.uio_name}"
    if way is Way.VFIO and function.iommu_group is not None:
        return f"/dev/vfio/{function.iommu_group}"
    return None


@attrs.define(eq=False)
class Bus:
    """What binding does to the machine.

    Attributes:
        root: The folder that `/` stands for.
    """

    root: Path = Path("/")

    def write(self, path: Path, text: str) -> None:
        """Write to a file of sysfs."""
        path.write_text(text, encoding="ascii")

    def write_patiently(self, path: Path, text: str, seconds: float) -> bool:
        """Write to a file that may keep the writer waiting; False if it still does after a while.

        Nothing can interrupt such a writer, so it is a process of its own, which may stay behind.

        Raises:
            NotSetUpError: It cannot be written.
        """
        problems: list[str] = []

        def write() -> None:
            try:
                done = subprocess.run(
                    ["tee", str(path)], input=text, capture_output=True, text=True, check=False
                )
                problems.extend([done.stderr.strip()] if done.returncode else [])
            except OSError as error:
                problems.append(str(error))

        waiting = threading.Thread(target=write, daemon=True)
        waiting.start()
        waiting.join(seconds)
        if problems:
            raise NotSetUpError(f"{path} cannot be written: {problems[0]}")
        return not waiting.is_alive()

    def load(self, module: str) -> str:
        """Load a module; returns what went wrong, or nothing."""
        try:
            done = subprocess.run(["modprobe", module], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "modprobe is not installed"
        return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""


@attrs.frozen
class _Note:
    """What a function was like before it was bound.

    Attributes:
        driver: What it was bound to.
        override: What `driver_override` said.
    """

    driver: str | None
    override: str | None


@attrs.frozen
class Binder:
    """Binds cards and gives them back.

    Attributes:
        bus: What it does it to.
        notes: The folder for its notes.
    """

    bus: Bus = attrs.field(factory=Bus)
    notes: Path = NOTES

    def bind(self, function: PciFunction, way: Way) -> bool:
        """Bind a card, and wait until its device file is there; False if it was bound so before.

        Raises:
            CardInUseError: A program uses it as it is bound now.
            NotPermittedError: The process may not.
            NotSetUpError: The kernel has no such driver, or the driver does not take the card.
        """
        try:
            return self._bind(function, way)
        except PermissionError as error:
            raise _not_permitted(function, error) from error

    def unbind(self, function: PciFunction) -> bool:
        """Bind a card to whatever it was bound to before; False if nothing had to be done.

        Raises:
            CardInUseError: A program uses it.
            NotPermittedError: The process may not.
            NotSetUpError: The driver that had the card before does not take it back.
        """
        try:
            return self._unbind(function)
        except PermissionError as error:
            raise _not_permitted(function, error) from error

    def _bind(self, function: PciFunction, way: Way) -> bool:
        driver = way.driver
        if function.driver == driver:
            self._await_file(function)
            return False
        self._load(driver)
        self._check_unused(function)
        self._take_note(function)
        self._move(function, driver)
        if function.driver != driver:
            self._restore(function)
            raise NotSetUpError(
                f"{driver} does not take {function.address}; the kernel's log (dmesg) says why. It "
                f"is bound to {function.driver or 'no driver'}, as before"
            )
        self._await_file(function)
        return True

    def _unbind(self, function: PciFunction) -> bool:
        if not self._note_file(function).exists() and way_of(function) is None:
            return False
        self._check_unused(function)
        self._restore(function)
        return True

    def _restore(self, function: PciFunction) -> None:
        before = self._note(function)
        if function.driver != before.driver:
            self._move(function, before.driver)
        self._override(function, before.override)
        if function.driver != before.driver:
            raise NotSetUpError(
                f"{function.address} was bound to {before.driver}, which does not take it back; "
                "the kernel's log (dmesg) says why"
            )
        self._note_file(function).unlink(missing_ok=True)

    def _move(self, function: PciFunction, driver: str | None) -> None:
        """Unbind a function, and let only `driver` have it."""
        self._override(function, driver)
        if function.driver is not None:
            self._release(function)
        if driver is not None:
            self.bus.write(self.bus.root / "sys/bus/pci/drivers_probe", function.address)

    def _override(self, function: PciFunction, driver: str | None) -> None:
        # An empty line removes it.
        self.bus.write(function.folder / "driver_override", f"{driver or ''}\n")

    def _release(self, function: PciFunction) -> None:
        unbind = function.folder / "driver" / "unbind"
        if not self.bus.write_patiently(unbind, function.address, PATIENCE):
            raise CardInUseError(
                f"{function.driver} does not let go of {function.address}{self._users(function)}; "
                "the kernel takes it away as soon as nobody uses it"
            )

    def _load(self, driver: str) -> None:
        if (self.bus.root / "sys/bus/pci/drivers" / driver).exists():
            return
        problem = self.bus.load(driver)
        if problem:
            raise NotSetUpError(
                f"the kernel has no driver {driver}, and its module cannot be loaded: {problem}"
            )

    def _check_unused(self, function: PciFunction) -> None:
        users = self._users(function)
        if users:
            raise CardInUseError(f"{function.address} is in use{users}; end that first")

    def _users(self, function: PciFunction) -> str:
        """Who has the device file open, as part of a sentence; nothing if nobody has."""
        file = device_file(function)
        names = [] if file is None else holders(self.bus.root, file)
        return f" by {', '.join(names)}" if names else ""

    def _await_file(self, function: PciFunction) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            file = device_file(function)
            if file is not None and (self.bus.root / file.lstrip("/")).exists():
                return
            time.sleep(_GLANCE)
        raise NotSetUpError(
            f"{function.address} is bound to {function.driver}, but there is no "
            f"{device_file(function) or 'device file'}; is it behind an IOMMU, and does udev run?"
        )

    # Notes

    def _note_file(self, function: PciFunction) -> Path:
        return self.notes / f"{function.address}.json"

    def _note(self, function: PciFunction) -> _Note:
        try:
            return _Note(**json.loads(self._note_file(function).read_text(encoding="utf-8")))
        except FileNotFoundError:
            # Somebody else bound it.
            return _Note(None, None)

    def _take_note(self, function: PciFunction) -> None:
        """Note what a function is bound to, unless there is a note: then that is of older date."""
        file = self._note_file(function)
        if file.exists():
            return
        override = (function.folder / "driver_override").read_text(encoding="ascii").strip()
        note = _Note(function.driver, None if override in {"", "(null)"} else override)
        self.notes.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(attrs.asdict(note)), encoding="utf-8")
        draft.replace(file)


def _not_permitted(function: PciFunction, error: PermissionError) -> NotPermittedError:
    return NotPermittedError(
        f"{function.address} cannot be bound or given back: {error.filename} may not be written; "
        "run as root"
    )
