"""The driver's code as a value: the one that is installed, or one with a small named change."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

import impl
from impl.datapath.loader import PYTHON, Datapath
from impl.datapath.quick import controller_over

__all__ = ["PRESENT", "DriverCode", "SourceChange"]

LAYERS: Final = ("packet", "dma", "ring", "controller", "lifecycle", "attach", "driver")
"""The modules that a change may be made to, each importing only those before it. The words that the
driver speaks (`memory`, `runtime`) and its errors stay what they are."""


@attrs.frozen
class SourceChange:
    """Some lines of a module replaced by others.

    Attributes:
        module: Name of the module in `impl`.
        old: Text that occurs exactly once in it.
        new: What stands there instead.
    """

    module: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The changed source. Raises `ValueError` unless the text to replace occurs once."""
        if source.count(self.old) != 1:
            raise ValueError(
                f"impl/{self.module}.py has {source.count(self.old)} places, and not one, that "
                f"read {self.old!r}"
            )
        return source.replace(self.old, self.new)


@attrs.frozen(eq=False)
class DriverCode:
    """The driver's classes, all from the same source, and what moves packets for them."""

    Controller: Any
    Lifecycle: Any
    Attachment: Any
    DuctDriver: Any
    datapath: Datapath = PYTHON

    def controller(self, device: Any, runtime: Any, settings: Any) -> Any:
        """A controller, over what moves packets."""
        made = controller_over(self.Controller, self.datapath)
        return made(device, runtime, settings, self.datapath)

    def over(self, datapath: Datapath) -> DriverCode:
        """The same driver, with something else to move packets."""
        return attrs.evolve(self, datapath=datapath)

    @classmethod
    def changed(cls, changes: Sequence[SourceChange]) -> DriverCode:
        """The driver with changes made to it; the installed one is left as it is.

        Raises:
            ValueError: A change does not fit the source.
        """
        for change in changes:
            if change.module not in LAYERS:
                raise ValueError(f"a change is to one of {', '.join(LAYERS)}, not {change.module}")
        names = [f"impl.{name}" for name in LAYERS]
        kept = {name: importlib.import_module(name) for name in names}
        attributes = {name: getattr(impl, name) for name in LAYERS}
        fresh: dict[str, types.ModuleType] = {}
        try:
            for name in names:
                del sys.modules[name]
            for short, name in zip(LAYERS, names, strict=True):
                fresh[short] = _load(name, [item for item in changes if item.module == short])
        finally:
            sys.modules.update(kept)
            for short, module in attributes.items():
                setattr(impl, short, module)
        return cls(
            fresh["controller"].Controller,
            fresh["lifecycle"].Lifecycle,
            fresh["attach"].Attachment,
            fresh["driver"].DuctDriver,
        )


def _load(name: str, changes: Sequence[SourceChange]) -> types.ModuleType:
    assert impl.__file__ is not None
    path = Path(impl.__file__).parent / f"{name.rpartition('.')[2]}.py"
    source = path.read_text(encoding="utf-8")
    for change in changes:
        source = change.apply(source)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the driver's own source
    setattr(impl, name.rpartition(".")[2], module)
    return module


def _present() -> DriverCode:
    from impl.attach import Attachment
    from impl.controller import Controller
    from impl.driver import DuctDriver
    from impl.lifecycle import Lifecycle

    return DriverCode(Controller, Lifecycle, Attachment, DuctDriver)


PRESENT: Final = _present()
"""The driver as it is installed."""
