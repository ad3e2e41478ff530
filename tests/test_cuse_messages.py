"""The structures of the CUSE protocol: byte for byte, there and back, and what is refused."""

import re
import struct
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuse import messages as m
from cuse.requests import body_of, header_of, poll_notification, refusal, reply

KINDS = [kind for kind in vars(m).values() if isinstance(kind, type) and hasattr(kind, "FORMAT")]
REQUESTS = {
    m.Opcode.OPEN: m.OpenIn,
    m.Opcode.READ: m.ReadIn,
    m.Opcode.WRITE: m.WriteIn,
    m.Opcode.RELEASE: m.ReleaseIn,
    m.Opcode.INTERRUPT: m.InterruptIn,
    m.Opcode.IOCTL: m.IoctlIn,
    m.Opcode.POLL: m.PollIn,
    m.Opcode.CUSE_INIT: m.CuseInitIn,
}
WITH_DATA = {m.Opcode.WRITE: "size", m.Opcode.IOCTL: "in_size"}
SIZES = {  # include/uapi/linux/fuse.h, in bytes
    "InHeader": 40,
    "OutHeader": 16,
    "CuseInitIn": 16,
    "CuseInitOut": 72,
    "OpenIn": 8,
    "OpenOut": 16,
    "ReleaseIn": 24,
    "ReadIn": 40,
    "WriteIn": 40,
    "WriteOut": 8,
    "IoctlIn": 32,
    "IoctlOut": 16,
    "PollIn": 24,
    "PollOut": 8,
    "InterruptIn": 8,
    "NotifyPollOut": 8,
}


def codes(kind):
    """The format characters of a structure, one for each field."""
    return re.findall("[IiQ]", re.sub(r"\d+x", "", kind.FORMAT.format))


def numbers(code):
    bits = 8 * struct.calcsize(f"<{code}")
    return (
        st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
        if code == "i"
        else st.integers(0, (1 << bits) - 1)
    )


def instances(kind):
    return st.builds(kind, *map(numbers, codes(kind)))


@st.composite
def requests(draw):
    """A request as the kernel sends it: header, body and data."""
    opcode = draw(st.sampled_from(list(REQUESTS)))
    body = draw(instances(REQUESTS[opcode]))
    data = b""
    if opcode in WITH_DATA:
        data = draw(st.binary(max_size=50))
        body = attrs.evolve(body, **{WITH_DATA[opcode]: len(data)})
    size = m.IN_HEADER_SIZE + len(body.encode()) + len(data)
    header = attrs.evolve(draw(instances(m.InHeader)), length=size, opcode=int(opcode))
    return header, body, data


def test_every_structure_of_the_module_is_looked_at():
    assert {kind.__name__ for kind in KINDS if kind is not m.Message} == set(SIZES)


@pytest.mark.skipif(sys.byteorder != "little", reason="the structures are little endian")
@pytest.mark.parametrize("name", SIZES)
def test_a_structure_has_the_size_that_the_kernel_gives_it(name):
    kind = getattr(m, name)
    assert kind.FORMAT.size == SIZES[name]
    assert len(codes(kind)) == len(attrs.fields(kind))


@pytest.mark.parametrize("name", SIZES)
@given(data=st.data())
def test_a_structure_goes_there_and_back(name, data):
    kind = getattr(m, name)
    value = data.draw(instances(kind))
    assert kind.decode(value.encode()) == value
    assert kind.decode(value.encode() + data.draw(st.binary(max_size=9))) == value


@pytest.mark.parametrize("name", SIZES)
@given(data=st.data())
def test_a_structure_that_is_cut_is_refused_with_its_size(name, data):
    kind = getattr(m, name)
    whole = data.draw(instances(kind)).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(m.MalformedError) as raised:
        kind.decode(whole[:cut])
    assert str(raised.value) == f"{name} has {len(whole)} bytes, and {cut} came"


def test_fields_stand_where_the_kernel_has_them():
    # Each written out by hand from the header file, with what is between the fields.
    read = m.ReadIn(file=1, offset=2, size=3, read_flags=4, lock_owner=5, flags=6)
    assert read.encode() == bytes.fromhex(
        "0100000000000000 0200000000000000 03000000 04000000 0500000000000000 06000000 00000000"
    )
    poll = m.PollIn(file=1, handle=2, flags=3, events=4)
    assert poll.encode() == bytes.fromhex("0100000000000000 0200000000000000 03000000 04000000")
    header = m.InHeader(1, 2, 3, 4, 5, 6, 7)
    assert header.encode() == bytes.fromhex(
        "01000000 02000000 0300000000000000 0400000000000000 05000000 06000000 07000000 00000000"
    )
    init = m.CuseInitOut(7, 31, 1, 2, 3, 4, 5).encode()
    assert init == bytes.fromhex(
        "07000000 1f000000 00000000 01000000 02000000 03000000 04000000 05000000" + "00" * 40
    )
    ioctl = m.IoctlIn(1, 2, 3, 4, 5, 6)
    assert ioctl.encode() == bytes.fromhex(
        "0100000000000000 02000000 03000000 0400000000000000 05000000 06000000"
    )


@given(requests())
def test_a_request_is_read_as_it_was_sent(request):
    header, body, data = request
    message = header.encode() + body.encode() + data
    assert header_of(message) == header
    read = body_of(header, message)
    assert (read.header, read.body) == (header, body)
    if header.opcode in WITH_DATA:
        assert read.data == data


@given(requests(), st.data())
def test_a_request_that_is_cut_or_too_long_is_refused(request, data):
    header, body, payload = request
    message = header.encode() + body.encode() + payload
    cut = message[: data.draw(st.integers(0, len(message) - 1))]
    longer = message + data.draw(st.binary(min_size=1, max_size=9))
    for wrong in (cut, longer):
        with pytest.raises(m.MalformedError):
            header_of(wrong)
    # A header that is right about the length does not make the rest right.
    if len(cut) >= m.IN_HEADER_SIZE:
        honest = attrs.evolve(header, length=len(cut))
        with pytest.raises(m.MalformedError):
            body_of(honest, honest.encode() + cut[m.IN_HEADER_SIZE :])
    if header.opcode in WITH_DATA:
        honest = attrs.evolve(header, length=len(longer))
        with pytest.raises(m.MalformedError):
            body_of(honest, honest.encode() + longer[m.IN_HEADER_SIZE :])


@given(opcode=st.integers(0, 0xFFFFFFFF).filter(lambda it: it not in REQUESTS), rest=st.binary())
def test_a_request_of_another_kind_has_no_body(opcode, rest):
    header = m.InHeader(m.IN_HEADER_SIZE + len(rest), opcode, 1)
    assert body_of(header, header.encode() + rest).body is None


@given(unique=numbers("Q"), parts=st.lists(st.binary(max_size=9), max_size=3))
def test_a_reply_says_how_long_it_is_and_to_what(unique, parts):
    message = b"".join(reply(unique, *parts))
    assert m.OutHeader.decode(message) == m.OutHeader(len(message), 0, unique)
    assert message[m.OutHeader.FORMAT.size :] == b"".join(parts)


@given(unique=numbers("Q"), error=st.integers(1, 511))
def test_a_refusal_is_a_header_with_an_errno(unique, error):
    assert m.OutHeader.decode(b"".join(refusal(unique, error))) == m.OutHeader(16, -error, unique)


@given(handle=numbers("Q"))
def test_a_notification_is_a_reply_to_nothing(handle):
    message = b"".join(poll_notification(handle))
    assert m.OutHeader.decode(message) == m.OutHeader(24, 1, 0)
    assert m.NotifyPollOut.decode(message[16:]).handle == handle
