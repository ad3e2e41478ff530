"""The small file system from which the guest's kernel starts: busybox, the 9p modules, a script."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import attrs

__all__ = ["Entry", "archive", "entries", "module_order"]

MODULES: Final = ("9p", "9pnet_virtio")
"""Kernel modules without which the guest does not reach its files."""

_DIRECTORY: Final = 0o040755
_FILE: Final = 0o100755
_MAGIC: Final = "070701"
_END: Final = "TRAILER!!!"


@attrs.frozen
class Entry:
    """A file or folder of the archive."""

    name: str
    mode: int
    content: bytes = b""


def module_order(dependencies: str, wanted: Iterable[str]) -> list[str]:
    """The modules to load, each after those that it needs, as paths below the modules' folder.

    Args:
        dependencies: The text of `modules.dep`: `PATH: NEEDED NEEDED ...` (depmod(8)).
        wanted: Names of modules, without folder and suffix.

    Raises:
        KeyError: There is no such module.
    """
    needs: Mapping[str, list[str]] = {}
    paths: dict[str, str] = {}
    needs = {path: needed.split() for path, _, needed in _split(dependencies)}
    paths = {PurePosixPath(path).name.partition(".")[0]: path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        for needed in needs[path]:
            add(needed)
        if path not in order:
            order.append(path)

    for name in wanted:
        add(paths[name])
    return order


def _split(text: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(":") for line in text.splitlines() if line)


def entries(guest: Path, script: Path, first: Sequence[str] = ()) -> Iterator[Entry]:
    """What the guest starts from.

    Args:
        guest: The guest's root folder.
        script: What it runs first, as `/init`.
        first: Further kernel modules, to be loaded before all others.
    """
    modules = next((guest / "usr/lib/modules").iterdir())
    order = module_order((modules / "modules.dep").read_text(), (*first, *MODULES))
    for folder in ("bin", "dev", "mnt", "modules"):
        yield Entry(folder, _DIRECTORY)
    yield Entry("bin/busybox", _FILE, (guest / "usr/bin/busybox").read_bytes())
    for number, path in enumerate(order):
        name = PurePosixPath(path).name.removesuffix(".xz")
        yield Entry(f"modules/{number}-{name}", _FILE, _decompressed(modules / path))
    yield Entry("init", _FILE, script.read_bytes())


def _decompressed(module: Path) -> bytes:
    content = module.read_bytes()
    return lzma.decompress(content) if module.suffix == ".xz" else content


def archive(content: Iterable[Entry]) -> bytes:
    """A compressed cpio archive, "new ASCII" format (Linux, early-userspace/buffer-format)."""
    records = [_record(number, entry) for number, entry in enumerate(content, 1)]
    records.append(_record(0, Entry(_END, 0)))
    return gzip.compress(b"".join(records), compresslevel=1, mtime=0)


def _record(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = [number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, 0, 0, len(name), 0]
    header = (_MAGIC + "".join(f"{field:08x}" for field in fields)).encode()
    return _padded(header + name) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
