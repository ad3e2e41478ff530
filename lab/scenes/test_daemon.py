"""ductd from its beginning to its end, with a card in software: one is as good as another here."""

import re
import signal

from lab.device import DEVICE, served
from lab.guest import Guest
from lab.scenes.test_device import DATASHEET, PATIENCE, compiler, waiting

__all__ = ["compiler"]


def test_a_card_in_software_is_served_as_well_and_judged(compiler: Guest) -> None:
    with served(compiler, "emulated:", "--monitor") as daemon:
        for program in DATASHEET:
            printed = compiler.check(f"/tmp/{program}", DEVICE, seconds=PATIENCE)
            assert printed.endswith("checks hold\n")
    assert "no call succeeds" not in daemon.wait().output


def test_calls_that_wait_end_when_the_daemon_is_told_to(compiler: Guest) -> None:
    with served(compiler, "emulated:") as daemon:
        programs = waiting(compiler), waiting(compiler, "poll")
        daemon.signal(signal.SIGTERM)
        reads, polls = (program.wait().output for program in programs)
        assert reads.endswith("read -1, No such device\n")
        # Its read comes later, when nobody is there any more.
        assert "\npoll err\nread -1, " in polls
        daemon.wait()


def test_calls_that_wait_end_when_the_daemon_is_killed_and_another_serves_on(
    compiler: Guest,
) -> None:
    daemon = compiler.start("ductd", "emulated:")
    daemon.wait_for(f"{DEVICE} is emulated:")
    programs = waiting(compiler), waiting(compiler, "poll")
    daemon.signal(signal.SIGKILL)
    assert daemon.wait().status == -signal.SIGKILL
    reads, polls = (program.wait().output for program in programs)
    assert reads.endswith("read -1, Software caused connection abort\n")
    assert polls.endswith("poll err\nread -1, Transport endpoint is not connected\n")
    with served(compiler, "emulated:"):
        assert compiler.check("/tmp/info", DEVICE).endswith("checks hold\n")


def test_whom_the_daemon_lets_open_the_device_is_an_option(compiler: Guest) -> None:
    options = ("--mode", "0604", "--owner", "1234", "--group", "5678", "--pid-file", "/run/d.pid")
    with served(compiler, "emulated:", *options):
        told = compiler.check("stat", "-c", "%a %u %g", DEVICE)
        assert told == "604 1234 5678\n"
        number = compiler.check("cat", "/run/d.pid").strip()
        assert compiler.check("readlink", f"/proc/{number}/exe").startswith("/usr/bin/python3")
    assert compiler.run("cat", "/run/d.pid").status


def test_what_passes_is_captured_for_tcpdump_and_wireshark(compiler: Guest) -> None:
    with served(compiler, "emulated:", "--capture", "/tmp/duct.pcapng"):
        compiler.check("/tmp/duct_echo", "hello")
    told = compiler.check("tcpdump", "-Z", "root", "--count", "-r", "/tmp/duct.pcapng")
    assert told.endswith("2 packets\n")
    assert re.search(r"packets: +2\n", compiler.check("capinfos", "-c", "/tmp/duct.pcapng"))


def test_the_daemon_goes_on_as_another_user_without_privileges(compiler: Guest) -> None:
    with served(compiler, "emulated:", "--user", "1234", "--pid-file", "/tmp/d.pid") as daemon:
        assert "running as user 1234" in daemon.wait_for("running as")
        number = compiler.check("cat", "/tmp/d.pid").strip()
        told = compiler.check("grep", "-E", "^(Uid|Gid|CapEff):", f"/proc/{number}/status")
        assert set(told.split()) == {"Uid:", "Gid:", "CapEff:", "1234", "0000000000000000"}
        assert compiler.check("/tmp/info", DEVICE).endswith("checks hold\n")
