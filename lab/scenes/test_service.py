"""ductd as a service: the unit as it is installed, under systemd, with all that it forbids."""

import re
import time

import pytest

from lab.device import served
from lab.prepare import PROJECT
from lab.scenes.conftest import Way
from lab.service import systemd

PATIENCE = 120


def test_the_unit_serves_a_card_comes_back_when_it_is_killed_and_stops(way: Way) -> None:
    if way.kind != "vfio":
        pytest.skip("the unit permits VFIO only")
    guest = way.bench.guest
    unit = f"ductd@{way.address(way.bench.seats[0])}"
    with systemd(guest) as run:

        def told(what: str) -> str:
            return run("systemctl", "show", "--property", what, "--value", unit).output.strip()

        assert run("systemctl", "start", unit).status == 0, run("journalctl", "-u", unit).output
        assert told("StatusText") == "serving /dev/duct0"
        assert guest.check("ductctl").startswith("/dev/duct0: duct v2.1, hwaddr: ")
        assert guest.check("ductclient", "-q").strip()

        run("systemctl", "kill", "--signal", "KILL", unit)
        end = time.monotonic() + PATIENCE
        while (told("NRestarts"), told("ActiveState")) != ("1", "active"):
            assert time.monotonic() < end, run("journalctl", "-u", unit).output
            time.sleep(0.5)
        assert guest.check("ductclient", "-q").strip()

        assert run("systemctl", "stop", unit).status == 0
        assert (told("ActiveState"), told("Result")) == ("inactive", "success")
        # Lines have their level, which journald takes off.
        lines = run("journalctl", "--priority", "info", "--output", "cat", "--unit", unit).output
        assert "\n/dev/duct0 is gone\n" in lines


def test_the_unit_is_as_exposed_as_the_documents_say(way: Way) -> None:
    unit = "userland/system/ductd@.service"
    told = way.bench.guest.check("systemd-analyze", "security", "--offline=yes", unit)
    (level,) = re.findall(r"Overall exposure level .*: ([0-9.]+)", told)
    text = " ".join((PROJECT / "docs/device.md").read_text(encoding="utf-8").split())
    assert f"`systemd-analyze security` gives the unit {level} of 10" in text


def test_the_rule_gives_the_device_to_its_group(way: Way) -> None:
    guest = way.bench.guest
    rules = "/run/udev/rules.d"
    guest.check("modprobe", "cuse")
    guest.check("sh", "-c", f"mkdir -p {rules} && cp userland/system/60-duct.rules {rules}/")
    with served(guest, "emulated:"):
        told = guest.check("udevadm", "test", "--action=add", "/sys/class/cuse/duct0")
    given = re.findall(r"/60-duct\.rules:\d+ (\w+) (\w+)", told)
    assert given == [("OWNER", "0"), ("GROUP", "900"), ("MODE", "0660")]
