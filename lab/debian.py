"""Debian packages, downloaded and unpacked into folders. Nothing is installed, nobody is root.

APT resolves the dependencies in a state of its own, as if nothing were installed, and checks the
signatures of the archive; `dpkg-deb` unpacks. Maintainer scripts are not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

__all__ = ["MIRROR", "Archive", "PreparationError", "unpack"]

MIRROR: Final = "http://deb.debian.org/debian"
SUITES: Final = ("trixie", "trixie-security", "trixie-updates", "trixie-backports")
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS: Final = {"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg"}
_MERGED: Final = ("bin", "sbin", "lib", "lib64")
"""Folders that are links into /usr on Debian; packages rely on it and do not bring the links."""


class PreparationError(Exception):
    """The lab cannot be prepared; the message says why and what to do."""


def call(*command: str | Path, **environment: str) -> str:
    """Run a command and return what it printed.

    Raises:
        PreparationError: It failed; the message has what it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise PreparationError(f"{' '.join(map(str, command))} failed:\n{tail}")
    return done.stdout


@attrs.frozen
class Archive:
    """Debian's archive as seen from a folder that keeps APT's state.

    Attributes:
        folder: The folder.
        architecture: What machine the packages are for, as Debian calls it.
    """

    folder: Path
    architecture: str

    def update(self) -> None:
        """Fetch the lists of packages.

        Raises:
            PreparationError: This is no Debian, or the archive cannot be reached.
        """
        for tool, package in _TOOLS.items():
            if not shutil.which(tool):
                raise PreparationError(
                    f"{tool} is missing: the lab is made of Debian packages and needs a Debian "
                    f"(or a relative of it) with the package {package}"
                )
        if not KEYRING.exists():
            raise PreparationError(
                f"{KEYRING} is missing: install the package debian-archive-keyring"
            )
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text("".join(_source(suite) for suite in SUITES))
        (self.folder / "apt.conf").write_text(self._configuration())
        # Without this, apt-get goes on without the lists that it could not fetch, and what fails is
        # the next command, for a reason that misleads.
        self._apt("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")

    def download(self, target: Path, packages: Sequence[str], *, suite: str = "trixie") -> None:
        """Download packages and all that they depend on."""
        (target / "partial").mkdir(parents=True, exist_ok=True)
        self._apt(
            "apt-get",
            "install",
            "-qy",
            "--download-only",
            "-t",
            suite,
            "-o",
            f"Dir::Cache::archives={target}/",
            *packages,
        )

    def download_one(self, target: Path, package: str) -> None:
        """Download a package without its dependencies."""
        target.mkdir(parents=True, exist_ok=True)
        name = self._apt("apt-get", "download", "-q", "--print-uris", package).split()
        uri, size = name[0].strip("'"), name[2]
        self._apt("apt-get", "download", "-q", package, cwd=target)
        if not any(target.glob("*.deb")):
            raise PreparationError(f"{package}: {size} bytes from {uri} did not arrive")

    def dependency(self, package: str, prefix: str) -> str:
        """The package beginning with `prefix` that a package depends on."""
        lines = self._apt("apt-cache", "depends", package).splitlines()
        found = [line.split()[-1] for line in lines if f"Depends: {prefix}" in line]
        if not found:
            raise PreparationError(f"{package} depends on no {prefix}*")
        return found[0]

    def _apt(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        elsewhere = () if cwd is None else ("env", "-C", cwd)
        try:
            return call(*elsewhere, tool, *arguments, APT_CONFIG=str(self.folder / "apt.conf"))
        except PreparationError as error:
            raise PreparationError(_explained(str(error))) from None

    def _configuration(self) -> str:
        folder = self.folder
        settings = {
            "Dir": folder,
            "Dir::State": "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": "cache",
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Parts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return "".join(f'{name} "{value}";\n' for name, value in settings.items())


def _explained(failure: str) -> str:
    """What is wrong when APT fails, in one line: it is nearly always the network."""
    lines = [line.removeprefix("E: ") for line in failure.splitlines() if line.startswith("E: ")]
    if not lines:
        return failure
    return (
        f"the lab is made of packages from Debian's archive, and APT does not get them: "
        f"{' '.join(lines[0].split())}; it takes a network, once (http_proxy names a proxy)"
    )


def _source(suite: str) -> str:
    security = suite.endswith("-security")
    mirror = f"{MIRROR}-security" if security else MIRROR
    return f"deb [signed-by={KEYRING}] {mirror} {suite} main\n"


def unpack(packages: Path, root: Path) -> None:
    """Unpack all packages of a folder into a root folder."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for package in sorted(packages.glob("*.deb")):
        call("dpkg-deb", "--extract", package, root)
