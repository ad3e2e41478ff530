"""What the lab is made of, prepared once: QEMU, a kernel, the guest's files, compiled Python.

All of it is in one folder, which `make clean` removes. Whatever was finished is kept; when the list
of packages changes, it is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from lab.architecture import HOST, Architecture
from lab.debian import Archive, PreparationError, call, unpack
from lab.initramfs import archive, entries
from lab.program import command

__all__ = ["PROJECT", "Parts", "prepare"]

PROJECT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = (
    *("engine", "model", "judge", "impl", "monitor", "emulator", "properties", "userland", "lab"),
    "cuse",
)
"""What the guest may import."""
"""The checkout."""

QEMU_SUITE: Final = "trixie-backports"
"""QEMU speaks vfio-user since 10.1; trixie has 10.0."""
GUEST: Final = (
    *(
        "base-files",
        "bash",
        "busybox-static",
        "coreutils",
        "dash",
        "grep",
        "kmod",
        "less",
        "mount",
        "nano",
    ),
    *("pciutils", "procps", "python3", "python3-attr", "sed", "strace", "util-linux"),
    # For C programs: a small compiler, which is fast even here, and what BSD's programs need.
    *("libbsd-dev", "libc6-dev", "pkgconf", "tcc"),
    *("tcpdump", "wireshark-common"),
    *("systemd", "udev"),
)
_FORMAT: Final = 1
"""Raised when what this file makes of the packages changes."""
_SKIPPED: Final = frozenset({"test", "idlelib", "lib2to3", "pydoc_data", "turtledemo"})
"""Parts of Python's library that nothing in the guest imports."""

Tell = Callable[[str], None]


@attrs.frozen
class Parts:
    """Where things are, below the lab's folder.

    Attributes:
        folder: The folder, absolute.
        architecture: What kind of machine its guests are.
    """

    folder: Path
    architecture: Architecture = HOST

    @property
    def qemu(self) -> Path:
        """QEMU and its libraries."""
        return self.folder / "qemu"

    @property
    def guest(self) -> Path:
        """The guest's root folder."""
        return self.folder / "guest"

    @property
    def compiled(self) -> Path:
        """Python files compiled for the guest (PYTHONPYCACHEPREFIX)."""
        return self.folder / "compiled"

    @property
    def initramfs(self) -> Path:
        """What the kernel starts from."""
        return self.folder / "initramfs"

    @property
    def kernel(self) -> Path:
        """The guest's kernel."""
        return next((self.guest / "boot").glob("vmlinuz-*"))

    @property
    def logs(self) -> Path:
        """What guests and cards printed."""
        return self.folder / "logs"

    @property
    def stamp(self) -> Path:
        """Says of what the rest was made."""
        return self.folder / "made-of"


def prepare(
    tell: Tell, folder: Path = PROJECT / ".lab", architecture: Architecture = HOST
) -> Parts:
    """Make what is missing. Takes less than a minute with a fast connection; later, moments.

    Args:
        tell: Is told what is being done.
        folder: Where it is all kept.
        architecture: What kind of machine the guests are.

    Raises:
        PreparationError: It cannot be made.
    """
    # Programs of a guest's Debian are needed here, too: those for this machine.
    if architecture is HOST:
        tools = parts = Parts(folder)
    else:
        tools = prepare(tell, folder)
        parts = Parts(folder / architecture.name, architecture)
    parts.folder.mkdir(parents=True, exist_ok=True)
    with _alone(parts.folder / "lock"):
        recipe = _recipe(architecture)
        if not parts.stamp.exists() or parts.stamp.read_text() != recipe:
            for old in (parts.guest, parts.qemu, parts.compiled):
                shutil.rmtree(old, ignore_errors=True)
            _unpack_packages(parts, tools, tell)
            _compile_library(parts, tools, tell)
            parts.stamp.write_text(recipe)
        # These follow the checkout, and take no time.
        script = PROJECT / "lab/guest/init.sh"
        content = entries(parts.guest, script, architecture.modules)
        _replace(parts.initramfs, archive(content))
        _compile_checkout(parts, tools)
        parts.logs.mkdir(exist_ok=True)
    return parts


def _replace(path: Path, content: bytes) -> None:
    """Write a file that somebody may be reading."""
    if not path.exists() or path.read_bytes() != content:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two labs do not prepare the same folder at once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe(architecture: Architecture) -> str:
    text = repr((architecture.kernel, architecture.qemu, QEMU_SUITE, GUEST, _FORMAT))
    return hashlib.sha256(text.encode()).hexdigest() + "\n"


def _unpack_packages(parts: Parts, tools: Parts, tell: Tell) -> None:
    packages = parts.folder / "packages"
    architecture = parts.architecture
    tell("reading Debian's lists of packages")
    names = {HOST.debian, architecture.debian}
    archives = {name: Archive(parts.folder / "apt" / name, name) for name in names}
    for one in archives.values():
        one.update()
    tell("downloading QEMU")
    archives[HOST.debian].download(packages / "qemu", architecture.qemu, suite=QEMU_SUITE)
    tell("downloading the guest's files")
    debian = archives[architecture.debian]
    debian.download(packages / "guest", GUEST)
    tell("downloading the kernel")
    kernel = debian.dependency(architecture.kernel, "linux-image-")
    debian.download_one(packages / "guest", kernel)
    tell("unpacking")
    unpack(packages / "qemu", parts.qemu)
    unpack(packages / "guest", parts.guest)
    (parts.guest / "var/cache/python").mkdir(parents=True)
    for folder in ("srv", "usr/local/bin"):
        (parts.guest / folder).mkdir(parents=True, exist_ok=True)
    version = next((parts.guest / "usr/lib/modules").iterdir()).name
    call(*command(tools.guest, "usr/bin/kmod", "depmod"), "-b", parts.guest, version)
    # Maintainer scripts would have made these.
    (parts.guest / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (parts.guest / "etc/group").write_text("root:x:0:\nduct:x:900:\n")
    (parts.guest / "etc/machine-id").touch()
    shutil.rmtree(packages)
    shutil.rmtree(parts.folder / "apt")


def _library(parts: Parts) -> Path:
    """The folder of the library of the guest's Python."""
    return next((parts.guest / "usr/lib").glob("python3.*"))


def _compile_library(parts: Parts, tools: Parts, tell: Tell) -> None:
    """The packages bring no compiled files; without them each start of Python takes seconds."""
    tell("compiling the guest's Python library")
    roots = (_library(parts), parts.guest / "usr/lib/python3")
    # A link of the guest may lead anywhere on this machine.
    files = (path for root in roots for path in root.rglob("*.py") if not path.is_symlink())
    wanted = [path for path in files if not _SKIPPED & set(path.parts)]
    inside = {path: "/" + str(path.relative_to(parts.guest)) for path in wanted}
    _compile(parts, tools, inside)


def _compile_checkout(parts: Parts, tools: Parts) -> None:
    """Compile those files of the checkout that the guest may import, if they changed."""
    stale: dict[Path, str] = {}
    for package in PACKAGES:
        for path in (PROJECT / package).rglob("*.py"):
            inside = f"/srv/{path.relative_to(PROJECT)}"
            compiled = _compiled(parts, inside)
            if not compiled.exists() or compiled.stat().st_mtime < path.stat().st_mtime:
                stale[path] = inside
    if stale:
        _compile(parts, tools, stale)


def _compiled(parts: Parts, inside: str) -> Path:
    """Where the guest's Python looks for the compiled form of a file."""
    tag = "cpython-" + _library(parts).name.removeprefix("python").replace(".", "")
    path = Path(inside)
    return parts.compiled / path.relative_to("/").with_name(f"{path.stem}.{tag}.pyc")


_COMPILER: Final = """
import py_compile, sys
for line in sys.stdin:
    source, compiled, name = line.rstrip("\\n").split("\\t")
    try:
        py_compile.compile(source, compiled, name, doraise=True)
    except py_compile.PyCompileError as error:
        print(error.msg, file=sys.stderr)
"""


def _compile(parts: Parts, tools: Parts, files: dict[Path, str]) -> None:
    """Compile files for the guest's Python, by the same version of it for this machine."""
    library = _library(tools)
    if library.name != _library(parts).name:
        raise PreparationError(f"Debian has {library.name} here and another one for the guest")
    python = command(tools.guest, f"usr/bin/{library.name}")
    lines = [f"{path}\t{_compiled(parts, inside)}\t{inside}\n" for path, inside in files.items()]
    done = subprocess.run(
        [*python, "-S", "-c", _COMPILER],
        env={"PYTHONHOME": str(library.parent.parent)},
        input="".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PreparationError(f"the guest's Python does not compile: {done.stderr}")
