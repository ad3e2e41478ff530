"""The daemon's command: its options, the device's file, the service manager, the header for C."""

import errno
import logging
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuse.server import CONTROL
from impl.device_calls import (
    ADD_MCAST,
    CANCEL,
    GET_INFO,
    GET_READY,
    RM_MCAST,
    SET_TIMEOUT,
)
from impl.vfio_backend import CONTAINER
from model.layout import INFO, LIMITS, MULTICAST_FILTER, USER_HEADER
from userland import ductctl, ductd
from userland.daemon import node, service

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "userland/include"
COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")


def wrong(capsys, *arguments):
    """What the command says of arguments that are wrong."""
    assert ductd.main(arguments) == 2
    output, error = capsys.readouterr()
    assert not output
    return error


# Options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: ADDRESS"),
        (["duct0"], "a card's address is SCHEME:REST, not 'duct0'"),
        (["uio:", "--name", "/"], "argument --name: letters, digits, '.', '_' and '-', not '/'"),
        (["uio:", "--mode", "9"], "argument --mode: three octal digits, such as 0660, not '9'"),
        (["emulated:", "--owner", "nobody-at-all"], "there is no user 'nobody-at-all'"),
        (["emulated:", "--group", "nobody-at-all"], "there is no group 'nobody-at-all'"),
        (["emulated:", "--user", "nobody-at-all"], "there is no user 'nobody-at-all'"),
        (["emulated:", "--capture-size", "9"], "--capture-size is for --capture"),
        (
            ["emulated:", "--capture", "file", "--capture-size", "0"],
            "argument --capture-size: a number of bytes from 1 on, not '0'",
        ),
        (["uio:", "--user", "0"], "--user is not for uio:, which takes root at each open"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_line(capsys, arguments, message):
    assert wrong(capsys, *arguments) == f"ductd: {message}; see ductd --help\n"


def test_a_card_that_is_not_there_is_told_before_anything_is_served(capsys):
    assert ductd.main(["nothing:"]) == 1
    assert "'nothing:' names no card" in capsys.readouterr().err


@pytest.mark.skipif(os.path.exists("/dev/cuse"), reason="this machine has /dev/cuse")
def test_a_machine_without_cuse_says_how_to_get_it(capsys):
    assert ductd.main(["emulated:ductd"]) == 1
    assert capsys.readouterr().err == "ductd: /dev/cuse does not exist; run: modprobe cuse\n"


def test_the_help_has_every_option(capsys):
    assert ductd.main(["--help"]) == 0
    told = capsys.readouterr().out
    for option in attrs.fields(ductd.Options):
        name = {"address": "ADDRESS", "access": "mode"}.get(option.name, option.name)
        assert name.replace("_", "-") in told
    for option in ("--owner", "--group", "--version"):
        assert option in told


def test_what_journald_reads_has_a_level_in_front(monkeypatch):
    record = logging.LogRecord("ductd", logging.ERROR, "", 0, "one\ntwo", None, None)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert ductd.Lines().format(record) == "ductd: one\ntwo"
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    assert ductd.Lines().format(record) == "<3>one\n<3>two"


# The device's file


@given(mode=st.integers(0, 0o777))
def test_the_file_gets_the_mode_that_was_asked_for(tmp_path_factory, mode):
    folder = tmp_path_factory.mktemp("dev")
    (folder / "duct0").touch()
    path = node.set_access("duct0", node.Access(mode), folder)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_that_does_not_appear_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(node, "PATIENCE", 0.02)
    with pytest.raises(FileNotFoundError, match=r"duct0 does not appear"):
        node.set_access("duct0", node.Access(), tmp_path)


def test_users_and_groups_are_names_or_numbers():
    assert node.user_id("root") == node.user_id("0") == 0
    assert node.group_id("root") == node.group_id("0") == 0
    assert service.account("root").user == 0
    assert service.account("123456") == service.Account(123456, 123456)


# The service manager


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_service_manager_that_listens_is_told(tmp_path, abstract):
    name = f"@duct-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0", 1))
        assert service.notify("READY=1", {"NOTIFY_SOCKET": name})
        assert end.recv(99) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2"}])
def test_without_one_nobody_is_told(environment):
    assert not service.notify("READY=1", environment)


def test_the_process_number_is_in_its_file_as_long_as_it_runs(tmp_path):
    path = tmp_path / "pid"
    with service.pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with service.pid_file(None):
        pass


@pytest.mark.parametrize("left", ["", "nonsense", "-5", "999999999", "99999999999999999999"])
def test_what_a_killed_daemon_left_is_replaced(tmp_path, left):
    path = tmp_path / "pid"
    path.write_text(left)
    with service.pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_the_file_of_a_daemon_that_runs_is_kept(tmp_path):
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(FileExistsError) as raised, service.pid_file(path):
        pass
    assert raised.value.errno == errno.EEXIST
    assert path.read_text() == f"{os.getppid()}\n"


# What is installed for systemd and udev


def test_the_unit_calls_the_command_as_it_is():
    unit = (ROOT / "userland/system/ductd@.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    name, *arguments = command.replace("%i", "emulated:unit").split()
    assert name == "ductd"
    assert ductd.parse(arguments).name == "duct0"
    assert "Type=notify\n" in unit
    # Nothing else opens a card that VFIO has.
    for device in (CONTROL, CONTAINER):
        assert f"DeviceAllow={device} rw\n" in unit


def test_the_rule_gives_the_file_what_the_command_does():
    rule = (ROOT / "userland/system/60-duct.rules").read_text()
    assert f'GROUP="{node.GROUP}", MODE="{node.MODE:04o}"' in rule


# The header for C


def test_ductctl_says_where_the_header_is(capsys):
    assert ductctl.main(["--include-dir"]) == 0
    folder = Path(capsys.readouterr().out.rstrip("\n"))
    assert folder == INCLUDE
    assert (folder / "duct.h").is_file()
    assert (folder / "dev/ductvar.h").is_file()


def test_the_pkg_config_file_leads_to_the_header_and_has_the_project_s_version():
    text = (INCLUDE / "pkgconfig/duct.pc").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Version: {project['version']}\n" in text
    assert "includedir=${pcfiledir}/..\n" in text
    assert "Cflags: -I${includedir}\n" in text


def test_every_file_of_the_header_is_installed():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = tool["package-data"]["userland"]
    installed = {path for pattern in patterns for path in (ROOT / "userland").glob(pattern)}
    folders = INCLUDE, ROOT / "userland/system"
    assert {path for it in folders for path in it.rglob("*") if path.is_file()} <= installed


def test_the_header_has_the_structures_of_the_datasheet():
    text = (INCLUDE / "duct.h").read_text()
    structures = {"packet_hdr": USER_HEADER, "info_arg": INFO, "mcast_arg": MULTICAST_FILTER}
    for name, structure in structures.items():
        body = re.search(rf"struct duct_{name} {{(.*?)}};", text, re.DOTALL)[1]
        fields = re.findall(r"uint32_t (?:dpkt|duct)_(\w+);", body)
        assert fields == [field.name.removesuffix("0") for field in structure.fields]
        assert 4 * len(fields) == structure.size
    assert f"#define DUCT_MAX_PACKET {LIMITS.max_packet}\n" in text


PROGRAM = r"""
#include <%s>
#include <stdio.h>
int main(void)
{
    printf("%%lx %%lx %%lx %%lx %%lx %%lx %%d %%d %%d\n", (unsigned long)DUCTIOC_GET_INFO,
        (unsigned long)DUCTIOC_ADD_MCAST, (unsigned long)DUCTIOC_RM_MCAST,
        (unsigned long)DUCTIOC_SET_TIMEOUT, (unsigned long)DUCTIOC_CANCEL,
        (unsigned long)DUCTIOC_GET_READY,
        (int)sizeof(struct duct_info_arg), (int)sizeof(struct duct_mcast_arg),
        (int)sizeof(struct duct_packet_hdr));
    return 0;
}
"""


@needs_compiler
@pytest.mark.parametrize("header", ["duct.h", "dev/ductvar.h"])
@pytest.mark.parametrize("language", ["c99", "gnu17", "c++17"])
def test_the_header_gives_c_the_numbers_and_sizes_that_the_daemon_has(tmp_path, header, language):
    source = tmp_path / ("program.cc" if language.startswith("c++") else "program.c")
    source.write_text(PROGRAM % header)
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-std={language}"]
    subprocess.run(
        [COMPILER, *strict, f"-I{INCLUDE}", "-o", tmp_path / "program", source], check=True
    )
    told = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True).stdout
    numbers = GET_INFO, ADD_MCAST, RM_MCAST, SET_TIMEOUT, CANCEL, GET_READY
    assert told == f"{' '.join(f'{number:x}' for number in numbers)} 12 8 16\n"


def test_the_command_starts_as_a_module():
    told = subprocess.run(
        [sys.executable, "-m", "userland.ductd", "--version"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    assert told.startswith("ductd ")
