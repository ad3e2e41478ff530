"""The parts of the lab that need no virtual machine; `make lab` is the rest."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.faults import Fault
from lab import initramfs
from lab.__main__ import main
from lab.agent import Agent
from lab.architecture import ARCHITECTURES
from lab.debian import Archive, PreparationError, call
from lab.guest import Process
from lab.initramfs import Entry, archive, module_order
from lab.inside import faulty
from lab.prepare import Parts
from lab.qemu import FIRST_SLOT, Machine, words
from properties.faults import DriverFault
from tests.agent_port import Talk

DEPENDENCIES = """\
kernel/fs/netfs/netfs.ko.xz:
kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet.ko.xz: kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz
"""


# The initial file system


def test_modules_are_loaded_after_those_that_they_need() -> None:
    order = [Path(path).name.partition(".")[0] for path in module_order(DEPENDENCIES, ["9p"])]
    assert order.index("netfs") < order.index("9pnet") < order.index("9p")


def test_a_module_is_loaded_once() -> None:
    order = module_order(DEPENDENCIES, initramfs.MODULES)
    assert len(order) == len(set(order)) == 4


def test_a_module_that_the_kernel_lacks_is_named() -> None:
    with pytest.raises(KeyError, match="uio"):
        module_order(DEPENDENCIES, ["uio"])


names = st.text("abcdefghij-._", min_size=1, max_size=30)
files = st.dictionaries(names, st.binary(max_size=100), max_size=5)


@given(files)
def test_an_archive_holds_what_was_put_in(files: dict[str, bytes]) -> None:
    entries = [Entry(name, 0o100755, content) for name, content in files.items()]
    assert dict(unpacked(archive(entries))) == files


def unpacked(compressed: bytes) -> Iterator[tuple[str, bytes]]:
    """Read an archive as the kernel's documentation describes it."""
    stream = io.BytesIO(gzip.decompress(compressed))
    while True:
        assert stream.tell() % 4 == 0
        assert stream.read(6) == b"070701"
        fields = [int(stream.read(8), 16) for _ in range(13)]
        name = stream.read(fields[11])
        assert name.endswith(b"\0")
        stream.read(-stream.tell() % 4)
        content = stream.read(fields[6])
        stream.read(-stream.tell() % 4)
        if name == b"TRAILER!!!\0":
            return
        yield name[:-1].decode(), content


# The virtual machine


@pytest.fixture(params=ARCHITECTURES.values(), ids=lambda item: item.name)
def parts(tmp_path: Path, request: pytest.FixtureRequest) -> Parts:
    (tmp_path / "guest/boot").mkdir(parents=True)
    (tmp_path / "guest/boot/vmlinuz-6.12").touch()
    return Parts(tmp_path, request.param)


def devices(line: list[str]) -> list[str]:
    return [after for word, after in itertools.pairwise(line) if word == "-device"]


def test_each_card_has_a_slot_of_its_own(parts: Parts) -> None:
    line = words(parts, Machine([Path("/s/a"), Path("/s/b")]))
    cards = [json.loads(device) for device in devices(line) if device.startswith("{")]
    assert [card["socket"]["path"] for card in cards] == ["/s/a", "/s/b"]
    assert [card["addr"] for card in cards] == [f"{FIRST_SLOT + n:02x}.0" for n in range(2)]


def test_the_iommu_stands_before_all_that_it_translates_for(parts: Parts) -> None:
    line = words(parts, Machine([Path("/s/a")], {"lab": Path("/s/lab")}))
    assert "iommu" in devices(line)[0]


def test_the_machine_is_of_the_kind_that_was_asked_for(parts: Parts) -> None:
    line = words(parts, Machine([]))
    assert any(word.endswith(f"qemu-system-{parts.architecture.name}") for word in line)
    parameters = line[line.index("-append") + 1].split()
    assert set(parts.architecture.parameters) < set(parameters)


def test_a_machine_that_there_is_none_of_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--machine", "vax"])
    assert "invalid choice: 'vax' (choose from" in capsys.readouterr().err


def test_the_cards_reach_the_guests_memory_by_a_shared_file(parts: Parts) -> None:
    assert "share=on" in words(parts, Machine([]))[words(parts, Machine([])).index("-object") + 1]


def test_no_kvm_is_asked_for(parts: Parts) -> None:
    line = words(parts, Machine([]))
    assert line[line.index("-accel") + 1].startswith("tcg")
    assert "-enable-kvm" not in line


def test_the_host_s_files_are_shared_read_only(parts: Parts) -> None:
    line = words(parts, Machine([]))
    shared = [after for word, after in itertools.pairwise(line) if word == "-fsdev"]
    assert shared
    assert all("readonly=on" in options for options in shared)


# The agent


@pytest.fixture
def talk() -> Iterator[Talk]:
    ours, theirs = socket.socketpair()
    port = theirs.makefile("rwb", buffering=0)
    thread = threading.Thread(target=lambda: Agent(port).serve())  # type: ignore[arg-type]
    thread.start()
    with ours, ours.makefile("rwb", buffering=0) as end:
        ours.settimeout(60)
        talk = Talk(end)
        assert "ready" in talk.hear()
        yield talk
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        assert not thread.is_alive()
    port.close()
    theirs.close()


def test_a_command_tells_what_it_prints_and_how_it_ends(talk: Talk) -> None:
    assert talk.run("sh", "-c", "echo out; echo err >&2; exit 3") == ("out\nerr\n", 3)


def test_a_command_reads_what_it_is_given(talk: Talk) -> None:
    assert talk.run("cat", given="hello") == ("hello", 0)


def test_a_command_that_does_not_exist_ends_as_in_a_shell(talk: Talk) -> None:
    printed, status = talk.run("no-such-command")
    assert "no-such-command" in printed
    assert status == 127


def test_a_signal_reaches_the_command(talk: Talk) -> None:
    number = talk.start("sh", "-c", "echo ready; exec sleep 1000")
    assert talk.hear() == {"id": number, "output": "ready\n"}
    talk.say(id=number, signal=int(signal.SIGKILL))
    assert talk.hear() == {"id": number, "status": -signal.SIGKILL}


def test_commands_run_at_the_same_time(talk: Talk) -> None:
    assert talk.start("sh", "-c", "echo ready; exec sleep 1000") == talk.hear()["id"]
    assert {"id": talk.start("true"), "status": 0} == talk.hear()


def test_a_character_that_comes_in_two_parts_stays_one(talk: Talk) -> None:
    script = "import os, time; w = os.write; w(1, b'\\xc3'); time.sleep(0.2); w(1, b'\\xa4')"
    assert talk.run(sys.executable, "-c", script) == ("ä", 0)


def test_what_runs_is_ended_when_the_host_goes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rwb", buffering=0) as port:
        thread = threading.Thread(target=lambda: Agent(port).serve())  # type: ignore[arg-type]
        thread.start()
        with ours.makefile("rwb", buffering=0) as end:
            talk = Talk(end)
            talk.hear()
            talk.start("sh", "-c", "echo $$; exec sleep 1000")
            number = int(str(talk.hear()["output"]))
            ours.shutdown(socket.SHUT_RDWR)
            thread.join(60)
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


# What runs inside


def test_drivers_with_a_barrier_too_few_are_named_over_any_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["faulty", "emulated:forgetful", "emulated:other"])
    assert faulty.main() == 0
    assert len(capsys.readouterr().out.splitlines()) == len(faulty.BARRIERS) > 10


def test_a_driver_with_nothing_wrong_is_not_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = DriverFault(Fault("nothing", "own", "nothing goes wrong"), ())
    monkeypatch.setattr(faulty, "fault", {"nothing": nothing}.get)
    monkeypatch.setattr(faulty, "BARRIERS", ("nothing",))
    monkeypatch.setattr(sys, "argv", ["faulty", "emulated:right", "emulated:other"])
    assert faulty.main() == 1
    assert capsys.readouterr().out == "nothing: nothing was wrong\n"


# Preparing, and the command


def test_a_command_that_fails_is_shown_with_what_it_said() -> None:
    with pytest.raises(PreparationError, match=r"sh -c .* failed:\nbad luck"):
        call("sh", "-c", "echo bad luck; exit 1")


def test_a_system_without_apt_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreparationError, match=r"apt-get is missing: .* needs a Debian"):
        Archive(tmp_path, "amd64").update()


APT_WITHOUT_A_NETWORK = """\
#!/bin/sh
# What apt-get does: a list that cannot be fetched is a warning, unless it was told otherwise.
case "$*" in
    *Error-Mode=any*) kind=E status=100 ;;
    update*) kind=W status=0 ;;
    *) echo "E: The value 'trixie-backports' is invalid for APT::Default-Release"; exit 100 ;;
esac
echo "Err:1 http://deb.debian.org/debian trixie InRelease"
echo "  Temporary failure resolving 'deb.debian.org'"
echo "$kind: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Temporary failure"
echo "$kind: Some index files failed to download."
exit $status
"""


def test_a_lab_without_a_network_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("apt-get", "apt-cache", "dpkg-deb"):
        (tmp_path / name).write_text(APT_WITHOUT_A_NETWORK)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("lab.debian.KEYRING", tmp_path)
    with pytest.raises(PreparationError) as failed:
        Archive(tmp_path / "apt", "amd64").update()
    assert str(failed.value) == (
        "the lab is made of packages from Debian's archive, and APT does not get them: Failed to "
        "fetch http://deb.debian.org/debian/dists/trixie/InRelease Temporary failure; it takes a "
        "network, once (http_proxy names a proxy)"
    )


def test_the_lab_says_why_it_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PreparationError("no network")

    monkeypatch.setattr("lab.__main__.prepare", fail)
    assert main(["prepare"]) == 1
    assert capsys.readouterr().err == "python -m lab: no network\n"


@pytest.mark.parametrize(
    ("ended", "status", "told"),
    [
        (pytest.ExitCode.OK, 0, ""),
        (pytest.ExitCode.TESTS_FAILED, 1, ""),
        (pytest.ExitCode.INTERNAL_ERROR, 1, ""),
        (pytest.ExitCode.NO_TESTS_COLLECTED, 2, "python -m lab: no scene matches 'nothing'\n"),
    ],
)
def test_the_exit_status_says_what_became_of_the_scenes(
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ended: pytest.ExitCode,
    status: int,
    told: str,
) -> None:
    monkeypatch.setattr("lab.__main__.prepare", lambda _tell, architecture: parts)
    monkeypatch.setattr("lab.__main__.pytest.main", lambda _arguments: ended)
    assert main(["-k", "nothing"]) == status
    assert capsys.readouterr().err == told


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["shell", "-k", "kill"])
    assert "-k chooses scenes" in capsys.readouterr().err


def test_a_command_of_the_guest_is_shown_with_what_it_printed() -> None:
    process = Process(("ductctl", "list"), None, 0)  # type: ignore[arg-type]
    process.heard({"output": "no cards\n"})
    process.heard({"status": 1})
    assert str(process) == "`ductctl list` [status 1], which printed:\nno cards\n\n"
