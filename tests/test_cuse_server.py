"""A device that is served over a kernel of the test's own: calls, signals, polls, the end."""

import errno
import os
import re
import runpy
import select
import threading
from pathlib import Path

import pytest

from cuse import Device, NoDeviceError, OpenFile, Server
from cuse import messages as m
from cuse.messages import Opcode
from cuse.server import LONGEST
from tests.background import Background, until
from tests.fake_cuse import FakeKernel, ioctl_number, serving

SWAP = ioctl_number(3, "t", 1, 4)
README = Path(__file__).resolve().parent.parent / "cuse/README.md"


class Pipe(OpenFile):
    """What is written can be read, once; readers wait. `device` counts."""

    def __init__(self, device):
        self.device = device
        self.changed = threading.Condition()
        self.words = []
        self.notifier = None

    def read(self, size, call):
        def interrupt():
            with self.changed:
                self.changed.notify_all()

        call.on_interrupt(interrupt)
        with self.changed:
            self.device.readers += 1
            while not self.words:
                if not call.blocking:
                    raise BlockingIOError(errno.EAGAIN, "")
                if call.interrupted:
                    self.device.readers -= 1
                    raise InterruptedError(errno.EINTR, "")
                self.changed.wait()
            self.device.readers -= 1
            return self.words.pop(0)[:size]

    def write(self, data, call):
        with self.changed:
            self.words.append(data)
            self.changed.notify()
            notifier, self.notifier = self.notifier, None
        if notifier is not None:
            notifier()
        return len(data)

    def ioctl(self, command, data, call):
        if command != SWAP:
            return super().ioctl(command, data, call)
        return data[::-1]

    def poll(self, notifier, call):
        self.notifier = notifier
        return select.POLLOUT | (select.POLLIN if self.words else 0)

    def release(self):
        self.device.released.append(self)


class PipeDevice(Device):
    def __init__(self, file=Pipe):
        self.file = file
        self.opened = []
        self.released = []
        self.readers = 0

    def open(self, call):
        if call.flags & os.O_EXCL:
            raise OSError(errno.EBUSY, "")
        self.opened.append(self.file(self))
        return self.opened[-1]


@pytest.fixture
def device():
    return PipeDevice()


@pytest.fixture
def kernel(device):
    with serving(lambda descriptor: Server(device, "pipe", descriptor)) as (kernel, _):
        yield kernel


def refused(call, *arguments):
    """The errno that a call ends with."""
    with pytest.raises(OSError) as raised:
        call(*arguments)
    return raised.value.errno


# Calls


def test_the_device_has_the_name_that_was_asked_for(kernel):
    assert kernel.name == "pipe"


def test_what_is_written_is_read(kernel):
    with kernel.open() as file:
        assert file.write(b"hello") == 5
        assert file.read(3) == b"hel"


def test_each_open_is_a_file_of_its_own_and_released_once(kernel, device):
    with kernel.open() as one, kernel.open() as other:
        one.write(b"one")
        other.write(b"other")
        assert (one.read(9), other.read(9)) == (b"one", b"other")
    assert device.released == [device.opened[1], device.opened[0]]


def test_an_open_that_fails_is_the_caller_s_errno_and_leaves_no_file(kernel, device):
    assert refused(kernel.open, os.O_EXCL) == errno.EBUSY
    assert not device.opened


def test_an_ioctl_takes_and_gives_what_its_number_says(kernel):
    with kernel.open() as file:
        assert file.ioctl(SWAP, b"abcd") == b"dcba"
        assert refused(file.ioctl, SWAP + 1) == errno.ENOTTY


def test_files_that_do_nothing_say_so():
    both = select.POLLIN | select.POLLOUT
    device = PipeDevice(lambda _: OpenFile())
    with (
        serving(lambda descriptor: Server(device, "none", descriptor)) as (kernel, _),
        kernel.open() as file,
    ):
        assert refused(file.read, 1) == errno.EINVAL
        assert refused(file.write, b"") == errno.EINVAL
        assert refused(file.ioctl, SWAP) == errno.ENOTTY
        assert file.ready() & both == both


@pytest.mark.parametrize("opcode", [1, 17, 20, 25, 41, 999, Opcode.CUSE_INIT])
def test_requests_that_are_no_device_s_are_refused(kernel, opcode):
    body = m.CuseInitIn(7, 41, 0).encode()
    assert refused(kernel.begin(opcode, body).result) == errno.ENOSYS


@pytest.mark.parametrize(
    "body",
    [m.ReadIn(77, 0, 1), m.WriteIn(77, 0, 0), m.IoctlIn(77, 0, SWAP, 0), m.PollIn(77, 1)],
    ids=lambda body: type(body).__name__,
)
def test_a_file_that_nobody_opened_is_a_bad_descriptor(kernel, body):
    opcode = Opcode[type(body).__name__.removesuffix("In").upper()]
    assert refused(kernel.begin(opcode, body.encode()).result) == errno.EBADF


def test_malformed_requests_are_refused_and_others_go_on(kernel, caplog):
    short = kernel.begin(Opcode.READ, b"too short")
    lies = kernel.begin(Opcode.WRITE, m.WriteIn(1, 0, size=5).encode() + b"four")
    kernel.send_raw(b"no header at all")
    kernel.send_raw(m.InHeader(4711, Opcode.READ, 99).encode())
    assert refused(short.result) == refused(lies.result) == errno.EINVAL
    with kernel.open() as file:
        assert file.write(b"x") == 1
    assert [record.message for record in caplog.records] == [
        "pipe: ReadIn has 40 bytes, and 9 came",
        "pipe: WriteIn says 5 bytes, and 4 follow",
        "pipe: InHeader has 40 bytes, and 16 came",
        "pipe: a request of 4711 bytes came as 40",
    ]


class Broken(Pipe):
    """Does not keep to what the package asks for."""

    def read(self, size, call):
        if size == 1:
            return b"far too much"
        raise ZeroDivisionError

    def ioctl(self, command, data, call):
        return b"far too much"


def test_a_device_s_own_bugs_are_the_caller_s_eio_and_logged(caplog):
    device = PipeDevice(Broken)
    with (
        serving(lambda descriptor: Server(device, "broken", descriptor)) as (kernel, _),
        kernel.open() as file,
    ):
        assert refused(file.read, 1) == errno.EIO
        assert refused(file.read, 2) == errno.EIO
        assert refused(file.ioctl, SWAP, b"abcd") == errno.EIO
    assert [record.exc_info[0] for record in caplog.records] == [
        ValueError,
        ZeroDivisionError,
        ValueError,
    ]


@pytest.mark.parametrize("number", [None, 0, -1, 512, 4095])
def test_an_errno_that_the_kernel_would_not_take_is_eio(number):
    class Odd(Pipe):
        def read(self, size, call):
            error = OSError("odd")
            error.errno = number
            raise error

    device = PipeDevice(Odd)
    with (
        serving(lambda descriptor: Server(device, "odd", descriptor)) as (kernel, _),
        kernel.open() as file,
    ):
        assert refused(file.read, 1) == errno.EIO


def test_a_file_whose_opener_is_gone_is_released_at_once(device, monkeypatch):
    writev = os.writev

    def gone(descriptor, message):
        if len(message) > 1 and len(message[1]) == m.OpenOut.FORMAT.size:
            raise FileNotFoundError(errno.ENOENT, "")
        return writev(descriptor, message)

    with serving(lambda descriptor: Server(device, "pipe", descriptor)) as (kernel, _):
        monkeypatch.setattr(os, "writev", gone)
        kernel.begin(Opcode.OPEN, m.OpenIn(os.O_RDWR).encode())
        until(lambda: device.released)
        monkeypatch.undo()
        assert device.released == device.opened
        with kernel.open() as file:
            assert file.write(b"x") == 1


# Waiting


def test_a_call_that_may_not_wait_does_not(kernel):
    with kernel.open(os.O_RDWR | os.O_NONBLOCK) as file:
        assert refused(file.read, 1) == errno.EAGAIN
        # fcntl changes the file's flags, and they come with each request.
        file.flags = os.O_RDWR
        reader = Background(lambda: file.read(9))
        file.write(b"x")
        assert reader.join().value == b"x"


def test_readers_that_wait_hold_up_nobody(kernel, device):
    with kernel.open() as file:
        readers = [file.begin_read(99) for _ in range(100)]
        until(lambda: device.readers == 100)
        with kernel.open() as other:
            assert other.write(b"x") == 1
            assert other.read(1) == b"x"
        for number in range(100):
            file.write(b"%d" % number)
        # Each word goes to one reader, and no reader gets another one's.
        assert {int(reader.result()) for reader in readers} == set(range(100))


def test_threads_that_are_not_needed_any_more_end(kernel, device):
    before = threading.active_count()
    with kernel.open() as file:
        readers = [file.begin_read(99) for _ in range(50)]
        until(lambda: device.readers == 50)
        assert threading.active_count() >= 50
        for reader in readers:
            reader.interrupt()
        for reader in readers:
            assert refused(reader.result) == errno.EINTR
        until(lambda: threading.active_count() <= before + 5)


def test_without_threads_calls_that_may_wait_are_refused_and_nothing_hangs(kernel, monkeypatch):
    with kernel.open() as file:

        def refuses(self):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            waiting = []
            patch.setattr(threading.Thread, "start", refuses)
            while not any(reader.answered for reader in waiting):
                waiting.append(file.begin_read(9))
                until(lambda: waiting[-1].answered or file.kernel is None or _sleeps(waiting))
            assert refused(waiting.pop().result) == errno.ENOMEM
            for reader in waiting:
                reader.interrupt()
                assert refused(reader.result) == errno.EINTR


def _sleeps(waiting):
    """All but the newest wait, and it does, too: nobody answers it for a moment."""
    return not waiting[-1]._answered.wait(0.05)


# Signals


def test_a_signal_ends_a_call_that_waits_and_no_other(kernel, device):
    with kernel.open() as file:
        one, other = file.begin_read(9), file.begin_read(9)
        until(lambda: device.readers == 2)
        one.interrupt()
        assert refused(one.result) == errno.EINTR
        file.write(b"x")
        assert other.result() == b"x"


def test_a_signal_ends_an_open_that_waits_and_leaves_no_file():
    class Slow(PipeDevice):
        def open(self, call):
            struck = threading.Event()
            call.on_interrupt(struck.set)
            if call.blocking and struck.wait():
                raise InterruptedError(errno.EINTR, "")
            return super().open(call)

    device = Slow()
    with serving(lambda descriptor: Server(device, "slow", descriptor)) as (kernel, _):
        opens = [kernel.begin(Opcode.OPEN, m.OpenIn(os.O_RDWR).encode()) for _ in range(9)]
        with kernel.open(os.O_RDWR | os.O_NONBLOCK) as file:
            assert file.write(b"x") == 1
        for call in opens:
            call.interrupt()
            assert refused(call.result) == errno.EINTR
    assert len(device.opened) == 1


def test_a_signal_that_comes_before_its_request_is_sent_again_until_that_is_there(kernel, device):
    with kernel.open() as file:
        unique = 1 << 40
        body = m.ReadIn(file.number, 0, 9).encode()
        kernel.awaits(unique)
        kernel.interrupt(unique)
        until(lambda: kernel.late >= 2)
        assert refused(kernel.begin(Opcode.READ, body, unique=unique).result) == errno.EINTR
    assert not device.readers


def test_a_signal_that_comes_after_the_reply_changes_nothing(kernel):
    def comes_late():
        # The reply is there just before the server forgets the call.
        reader.interrupt()
        return kernel.late

    with kernel.open() as file:
        file.write(b"x")
        reader = file.begin_read(9)
        assert reader.result() == b"x"
        until(comes_late)
        file.write(b"y")
        assert file.read(9) == b"y"


def test_a_signal_twice_is_one(kernel, device):
    with kernel.open() as file:
        reader = file.begin_read(9)
        until(lambda: device.readers)
        reader.interrupt()
        reader.interrupt()
        assert refused(reader.result) == errno.EINTR


@pytest.mark.parametrize("turn", range(20))
def test_a_signal_against_a_write_loses_nothing(kernel, turn):
    with kernel.open() as file:
        reader = file.begin_read(9)
        race = [Background(reader.interrupt), Background(lambda: file.write(b"x"))]
        for runner in race[:: 1 if turn % 2 else -1]:
            runner.join()
        try:
            assert reader.result() == b"x"
        except InterruptedError:
            assert file.read(9) == b"x"


# Polling


def test_a_poll_wakes_when_more_is_so(kernel):
    with kernel.open() as file:
        assert file.poll(select.POLLOUT, 0) == select.POLLOUT
        assert not file.poll(select.POLLIN, 0)
        poller = Background(lambda: file.poll(select.POLLIN, 30))
        file.write(b"x")
        assert poller.join().value == select.POLLIN


# Beginning and end


@pytest.mark.parametrize(
    ("version", "spoken"), [((7, 30), "7.30"), ((8, 0), "8.0"), ((6, 99), "6.99")], ids=str
)
def test_a_kernel_of_another_version_is_refused(version, spoken):
    kernel = FakeKernel(version)
    server = Server(PipeDevice(), "pipe", kernel.descriptor)
    kernel.offer()
    with pytest.raises(NoDeviceError) as raised:
        server.start()
    assert raised.value.strerror == (
        f"the kernel speaks version {spoken} of the protocol, and 7.31 or a later 7 is needed"
    )
    server.close()
    kernel.close()


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (m.InHeader(48, Opcode.OPEN, 1).encode() + m.OpenIn(0).encode(), "begins with request 14"),
        (b"nonsense", "InHeader has 40 bytes, and 8 came"),
        (None, "/dev/cuse is closed"),
    ],
)
def test_a_kernel_that_begins_with_something_else_is_refused(first, message):
    kernel = FakeKernel()
    server = Server(PipeDevice(), "pipe", kernel.descriptor)
    if first is None:
        kernel.close()
    else:
        kernel.send_raw(first)
    with pytest.raises(NoDeviceError, match=re.escape(message)):
        server.start()
    server.close()
    kernel.close()


def test_without_cuse_there_is_no_server(tmp_path):
    with pytest.raises(FileNotFoundError):
        Server.at(PipeDevice(), "pipe", str(tmp_path / "cuse"))


def test_the_end_ends_calls_that_wait_and_releases_files(device):
    with serving(lambda fd: Server(device, "pipe", fd)) as (kernel, server):
        file = kernel.open()
        readers = [file.begin_read(9) for _ in range(9)]
        until(lambda: device.readers == 9)
        server.stop()
        assert {refused(reader.result) for reader in readers} == {errno.ENODEV}
    assert device.released == device.opened


def test_the_kernel_s_end_is_the_server_s(device):
    kernel = FakeKernel()
    server = Server(device, "pipe", kernel.descriptor)
    kernel.offer()
    server.start()
    serves = Background(server.serve)
    file = kernel.open()
    reader = file.begin_read(9)
    until(lambda: device.readers)
    kernel.close()
    assert serves.join().error is None
    assert refused(reader.result) == errno.ECONNABORTED
    assert device.released == device.opened
    server.close()


def test_a_kernel_that_cannot_be_read_is_the_end_and_told(device, monkeypatch, caplog):
    with serving(lambda descriptor: Server(device, "pipe", descriptor)) as (kernel, _):
        file = kernel.open()
        reader = file.begin_read(9)
        until(lambda: device.readers)
        read = os.read

        def unreadable(descriptor, size):
            if descriptor == kernel.descriptor:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return read(descriptor, size)

        monkeypatch.setattr(os, "read", unreadable)
        file.begin_write(b"never read")
        assert refused(reader.result) == errno.ENODEV
        until(lambda: device.released)
        monkeypatch.undo()
    assert {record.message for record in caplog.records} == {
        "pipe: no request can be read any more: [Errno 22] Invalid argument"
    }


def test_long_calls_are_cut_by_the_kernel_at_what_the_server_says(kernel):
    init = m.CuseInitOut.decode(kernel.log[0][m.OutHeader.FORMAT.size :])
    assert (init.max_read, init.max_write) == (LONGEST, LONGEST)
    with kernel.open() as file:
        file.write(bytes(LONGEST))
        assert file.read(LONGEST) == bytes(LONGEST)


# The example


def test_the_example_of_the_readme_does_what_it_says(tmp_path):
    text = README.read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(example.splitlines()) <= 40
    script = tmp_path / "hello.py"
    script.write_text(example, encoding="utf-8")
    device = runpy.run_path(str(script))["HelloDevice"]()
    with serving(lambda fd: Server(device, "hello", fd)) as (kernel, _), kernel.open() as file:
        assert file.read(4096) == b"hello\n"
        assert file.read(4096) == b""
        assert file.write(b"again") == 5
        assert file.read(4096) == b"again"
        assert refused(file.write, bytes(101)) == errno.EMSGSIZE
