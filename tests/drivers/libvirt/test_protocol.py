"""The core of libvirt's RPC: whole, byte by byte, in random pieces, with a tail; and each rule a peer can break."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt import protocol as p
from avirt.drivers.libvirt.protocol import Connection, Message, MessageStatus, MessageType, Role
from avirt.errors import LocalProtocolError, RemoteProtocolError
from tests.drivers.libvirt.golden import SCENES, Frame
from tests.drivers.libvirt.values import TABLE

REMOTE = 0x20008086
PEER = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}
SIDES = [(scene, sender) for scene in SCENES for sender in ("client", "server")]


def frame(
    payload: bytes = b"",
    *,
    type: int = MessageType.REPLY,
    status: int = 0,
    length: int | None = None,
    version: int = 1,
    program: int = REMOTE,
    procedure: int = 1,
    serial: int = 0,
) -> bytes:
    """A message by hand."""
    size = 28 + len(payload) if length is None else length
    return struct.pack(">IIIiiIi", size, program, version, procedure, type, serial, status) + payload


def receiver(sender: str) -> Connection:
    """Who hears that side."""
    return Connection(Role.CLIENT if sender == "server" else Role.SERVER)


def fds_of(frames: list[Frame]) -> Iterator[int]:
    """Numbers that stand for descriptors."""
    return iter(range(100, 100 + sum(each.fds for each in frames)))


@pytest.mark.parametrize(("scene", "sender"), SIDES)
def test_golden_frames_are_what_the_recorder_said(scene: str, sender: str) -> None:
    """Each by itself: type, status, descriptors; and sent again they are the same bytes."""
    for each in SCENES[scene].sent_by(sender):
        core = receiver(sender)
        (message,) = core.receive_data(each.data, range(each.fds))
        assert (message.type.name, message.status.name, len(message.fds)) == (each.type, each.status, each.fds)
        core.receive_eof()
        assert Connection(PEER[core.role]).send(message) == each.data[: len(each.data) - each.fds]


@pytest.mark.parametrize(("scene", "sender"), SIDES)
def test_golden_stream_whole_is_all_its_messages(scene: str, sender: str) -> None:
    """One buffer of many messages."""
    frames = SCENES[scene].sent_by(sender)
    messages = receiver(sender).receive_data(b"".join(each.data for each in frames), list(fds_of(frames)))
    assert [message.type.name for message in messages] == [each.type for each in frames]


@pytest.mark.parametrize(("scene", "sender"), [("qemu", "server"), ("test", "client")])
def test_golden_stream_byte_by_byte_gives_the_same_messages(scene: str, sender: str) -> None:
    """A descriptor comes with its byte."""
    frames = [each for each in SCENES[scene].sent_by(sender) if len(each.data) < 2000]
    expected = receiver(sender).receive_data(b"".join(each.data for each in frames), list(fds_of(frames)))
    core, numbers, got = receiver(sender), fds_of(frames), []
    for each in frames:
        for position in range(len(each.data)):
            byte = each.data[position : position + 1]
            fds = [next(numbers)] if position >= len(each.data) - each.fds else []
            got += core.receive_data(byte, fds)
    assert got == expected
    assert core.take_fds() == []


@given(data=st.data())
def test_golden_stream_in_random_pieces_gives_the_same_messages(data: st.DataObject) -> None:
    """Wherever it is cut."""
    frames = SCENES["qemu"].sent_by("server")[:60]
    whole = b"".join(each.data for each in frames)
    fds = list(fds_of(frames))
    expected = receiver("server").receive_data(whole, fds)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=20)))
    core, got = receiver("server"), []
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        got += core.receive_data(whole[start:stop], fds)
        fds = []
    assert got == expected


def test_message_with_a_tail_is_given_out_and_the_tail_kept() -> None:
    """The beginning of the next message waits for its rest."""
    core = Connection(Role.CLIENT)
    (first,) = core.receive_data(frame(b"abcd") + frame(b"efgh")[:30])
    assert first.payload == b"abcd"
    (second,) = core.receive_data(frame(b"efgh")[30:] + b"\0")
    assert second.payload == b"efgh"
    with pytest.raises(RemoteProtocolError, match="after 1 bytes"):
        core.receive_eof()


def test_message_large_comes_together_from_many_pieces() -> None:
    """The buffer is looked at again when the message can be complete."""
    core = Connection(Role.CLIENT)
    data = frame(bytes(1_000_000))
    got = [core.receive_data(data[start : start + 65536]) for start in range(0, len(data), 65536)]
    assert [len(messages) for messages in got] == [0] * (len(got) - 1) + [1]


def test_empty_data_is_no_message() -> None:
    """And changes nothing."""
    assert Connection(Role.CLIENT).receive_data(b"") == []


@pytest.mark.parametrize("length", [0, 1, 4, 27, 33554437, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x48545450])
@pytest.mark.parametrize("more", [b"", bytes(24)])
def test_hostile_length_is_refused_as_soon_as_it_is_read(length: int, more: bytes) -> None:
    """Four bytes are enough to see it; "HTTP" is such a length. Nothing was reserved."""
    core = Connection(Role.CLIENT)
    data = struct.pack(">I", length) + more
    assert core.receive_data(data[:3]) == []
    with pytest.raises(RemoteProtocolError, match=f"a message of {length} bytes"):
        core.receive_data(data[3:])
    with pytest.raises(RemoteProtocolError, match="does not speak libvirt"):
        core.receive_data(frame())
    with pytest.raises(RemoteProtocolError):
        core.receive_eof()


def test_hostile_length_behind_a_good_message_is_refused() -> None:
    """Whether its header is complete or not."""
    for bad in (struct.pack(">I", 5), frame(length=5)):
        with pytest.raises(RemoteProtocolError, match="a message of 5 bytes"):
            Connection(Role.CLIENT).receive_data(frame() + bad)


def test_lengths_at_the_limits_are_taken() -> None:
    """28 is the smallest, 33554436 the largest: VIR_NET_MESSAGE_MAX and the length itself."""
    assert len(Connection(Role.CLIENT).receive_data(frame())) == 1
    assert Connection(Role.CLIENT).receive_data(frame(length=33554436)) == []
    core = Connection(Role.CLIENT, max_message=100)
    assert len(core.receive_data(frame(bytes(72)))) == 1
    with pytest.raises(RemoteProtocolError, match="101 bytes, where 28 to 100"):
        core.receive_data(frame(bytes(73)))


@pytest.mark.parametrize("role", Role)
def test_type_and_status_that_may_not_arrive_are_refused(role: Role) -> None:
    """libvirt-wire.md §1: the table of types and statuses, each for its direction."""
    possible = {
        Role.CLIENT: {(1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (6, 2)},
        Role.SERVER: {(0, 0), (2, 0), (3, 0), (3, 1), (3, 2), (4, 0), (6, 2)},
    }[role]
    for type_ in range(-1, 9):
        for status in range(-1, 5):
            data = frame(bytes(4), type=type_, status=status)
            if (type_, status) in possible:
                (message,) = Connection(role).receive_data(data)
                assert (message.type, message.status) == (type_, status)
            else:
                with pytest.raises(RemoteProtocolError, match=f"may not arrive at a {role.value}"):
                    Connection(role).receive_data(data)


def test_program_of_another_version_is_refused() -> None:
    """There has been one only."""
    with pytest.raises(RemoteProtocolError, match="version 2"):
        Connection(Role.CLIENT).receive_data(frame(version=2))


def test_unknown_program_and_procedure_are_given_out() -> None:
    """Whoever asks for their decoder finds none; the connection lives."""
    (message,) = Connection(Role.CLIENT).receive_data(frame(b"??", program=1, procedure=-5, serial=9))
    assert (message.program, message.procedure, message.serial, message.payload) == (1, -5, 9, b"??")


def with_fds(
    count: int, payload: bytes = b"", tail: int | None = None, type: int = MessageType.REPLY_WITH_FDS
) -> bytes:
    """A message that announces descriptors, and their bytes."""
    return frame(struct.pack(">I", count) + payload, type=type) + bytes(count if tail is None else tail)


def test_descriptors_are_paired_with_the_messages_that_announce_them() -> None:
    """One byte each behind the message, not part of its length (§2)."""
    core = Connection(Role.CLIENT)
    data = with_fds(2, b"abcd") + frame() + with_fds(1) + with_fds(0)
    messages = core.receive_data(data, [7, 8, 9])
    assert [message.fds for message in messages] == [(7, 8), (), (9,), ()]
    assert messages[0].payload == b"abcd"
    assert core.take_fds() == []


def test_descriptors_that_come_late_hold_their_message_back() -> None:
    """Until the last byte."""
    core = Connection(Role.CLIENT)
    assert core.receive_data(with_fds(2, tail=0)) == []
    assert core.receive_data(b"\0", [5]) == []
    (message,) = core.receive_data(b"\0", [6])
    assert message.fds == (5, 6)


def test_descriptors_that_did_not_come_are_refused() -> None:
    """Their bytes are here, so they would be, too."""
    core = Connection(Role.CLIENT)
    with pytest.raises(RemoteProtocolError, match="announces 2 descriptors, but 1 came"):
        core.receive_data(with_fds(2), [5])
    assert core.take_fds() == [5]


def test_descriptors_more_than_the_limit_are_refused() -> None:
    """32 a message; nor may more lie about unclaimed."""
    (message,) = Connection(Role.CLIENT).receive_data(with_fds(32), range(32))
    assert len(message.fds) == 32
    with pytest.raises(RemoteProtocolError, match="announces 33 descriptors, more than 32"):
        Connection(Role.CLIENT).receive_data(with_fds(33), range(33))
    core = Connection(Role.CLIENT)
    core.receive_data(frame(), range(32))
    with pytest.raises(RemoteProtocolError, match="33 descriptors came that no message announced"):
        core.receive_data(b"", [32])
    assert core.take_fds() == list(range(33))


def test_descriptors_without_their_number_are_refused() -> None:
    """The payload begins with it."""
    with pytest.raises(RemoteProtocolError, match="doesn't say how many"):
        Connection(Role.CLIENT).receive_data(frame(b"abc", type=MessageType.REPLY_WITH_FDS))


def test_descriptors_of_messages_that_an_error_swallowed_are_given_back() -> None:
    """So that they can be closed."""
    core = Connection(Role.CLIENT)
    with pytest.raises(RemoteProtocolError):
        core.receive_data(with_fds(2) + frame(type=0), [5, 6, 7])
    assert core.take_fds() == [5, 6, 7]
    assert core.take_fds() == []


def test_end_between_messages_is_in_order() -> None:
    """In the middle of one it is not, and afterwards the connection is done."""
    core = Connection(Role.CLIENT)
    core.receive_data(frame())
    core.receive_eof()
    core.receive_data(frame()[:10])
    with pytest.raises(RemoteProtocolError, match="ended within a message, after 10 bytes"):
        core.receive_eof()
    with pytest.raises(RemoteProtocolError):
        core.receive_data(frame())


@pytest.mark.parametrize("role", Role)
def test_ping_is_answered_by_one_pong_however_many_came(role: Role) -> None:
    """Ahead of everything else; the ping itself is given out as a sign of life."""
    core = Connection(role)
    ping = frame(type=MessageType.MESSAGE, program=p.KEEPALIVE_PROGRAM, procedure=1)
    pong = frame(type=MessageType.MESSAGE, program=p.KEEPALIVE_PROGRAM, procedure=2)
    assert core.data_to_send() == b""
    assert len(core.receive_data(ping * 3)) == 3
    assert core.data_to_send() == pong
    assert core.data_to_send() == b""
    assert len(core.receive_data(pong)) == 1
    assert core.data_to_send() == b""


def test_procedure_one_of_another_program_is_no_ping() -> None:
    """Only keepalive's."""
    core = Connection(Role.CLIENT)
    core.receive_data(frame(type=MessageType.MESSAGE, procedure=1))
    assert core.data_to_send() == b""


def test_call_is_sent_as_the_protocol_says() -> None:
    """By hand."""
    data = Connection(Role.CLIENT).send(Message(REMOTE, 16, MessageType.CALL, 3, payload=b"abcd"))
    assert data == bytes.fromhex("00000020 20008086 00000001 00000010 00000000 00000003 00000000") + b"abcd"


@given(
    role=st.sampled_from(Role),
    kind=st.sampled_from(MessageType),
    status=st.sampled_from(MessageStatus),
    program=st.integers(0, 2**32 - 1),
    procedure=st.integers(-(2**31), 2**31 - 1),
    serial=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40),
    fds=st.lists(st.integers(0, 1000), max_size=32).map(tuple),
)
def test_message_sent_is_received_by_the_other_role(
    role: Role,
    kind: MessageType,
    status: MessageStatus,
    program: int,
    procedure: int,
    serial: int,
    payload: bytes,
    fds: tuple[int, ...],
) -> None:
    """What one end may send the other may receive, and it is the same message."""
    carries = kind in {MessageType.CALL_WITH_FDS, MessageType.REPLY_WITH_FDS}
    message = Message(program, procedure, kind, serial, status, payload, fds if carries else ())
    try:
        data = Connection(role).send(message)
    except LocalProtocolError:
        with pytest.raises(RemoteProtocolError):
            Connection(PEER[role]).receive_data(frame(bytes(4), type=kind, status=status))
        return
    assert Connection(PEER[role]).receive_data(data + bytes(len(message.fds)), message.fds) == [message]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Message(REMOTE, 1, MessageType.REPLY, 0), "sends no message"),
        (Message(REMOTE, 1, MessageType.CALL, 0, MessageStatus.ERROR), "sends no message"),
        (Message(REMOTE, 1, MessageType.CALL, 0, fds=(1,)), "carries no descriptors"),
        (Message(REMOTE, 1, MessageType.CALL_WITH_FDS, 0, fds=(1,) * 33), "33 descriptors are more than 32"),
        (Message(REMOTE, 1, MessageType.CALL, 0, payload=bytes(73)), "101 bytes is longer than 100"),
        (Message(REMOTE, 1, MessageType.CALL_WITH_FDS, 0, payload=bytes(69)), "101 bytes is longer than 100"),
        (Message(REMOTE, 1, MessageType.CALL, -1), "does not fit"),
        (Message(REMOTE, 1, MessageType.CALL, 2**32), "does not fit"),
        (Message(2**32, 1, MessageType.CALL, 0), "does not fit"),
        (Message(REMOTE, 2**31, MessageType.CALL, 0), "does not fit"),
    ],
)
def test_message_that_breaks_the_rules_is_not_sent(message: Message, why: str) -> None:
    """And the connection is as before."""
    core = Connection(Role.CLIENT, max_message=100)
    with pytest.raises(LocalProtocolError, match=why):
        core.send(message)
    assert len(core.send(Message(REMOTE, 1, MessageType.CALL, 0, payload=bytes(72)))) == 100


def test_send_call_gives_the_bytes_of_send() -> None:
    """The short way; its limit holds as well."""
    core = Connection(Role.CLIENT, max_message=100)
    message = Message(REMOTE, 212, MessageType.CALL, 7, payload=bytes(72))
    assert core.send_call(REMOTE, 212, 7, bytes(72)) == core.send(message)
    with pytest.raises(LocalProtocolError, match="101 bytes is longer than 100"):
        core.send_call(REMOTE, 212, 7, bytes(73))


def test_receive_reply_takes_one_whole_good_reply_alone_and_nothing_else() -> None:
    """The short way of most reads; what it does not take, `receive_data` still gets whole."""
    reply = frame(b"abcd", procedure=7, serial=9)
    core = Connection(Role.CLIENT)
    assert core.receive_reply(reply) == Connection(Role.CLIENT).receive_data(reply)[0]
    assert Connection(Role.SERVER).receive_reply(reply) is None
    others = [
        reply[:20],
        reply[:-1],
        reply + reply,
        frame(status=MessageStatus.ERROR),
        frame(type=MessageType.MESSAGE),
        frame(version=2),
        frame(length=29),
    ]
    for data in others:
        assert core.receive_reply(data) is None
    small = Connection(Role.CLIENT, max_message=31)
    assert small.receive_reply(reply) is None
    assert core.receive_data(reply[:10]) == []
    assert core.receive_reply(reply) is None
    assert len(core.receive_data(reply[10:])) == 1
    assert core.receive_data(b"", [3]) == []
    assert core.receive_reply(reply) is None
    with pytest.raises(RemoteProtocolError):
        small.receive_data(reply)
    assert small.receive_reply(frame(b"")) is None


def test_connection_shows_what_it_waits_for() -> None:
    """In its repr."""
    core = Connection(Role.CLIENT)
    core.receive_data(b"\0\0", [5])
    assert repr(core) == "<Connection client: 2 bytes, 1 descriptors waiting>"
    with pytest.raises(RemoteProtocolError):
        core.receive_data(b"\0\0")
    assert repr(core) == "<Connection client: failed>"


def test_constants_are_the_tables() -> None:
    """Programs, limits, types and statuses."""
    constants = TABLE["constants"]
    length, header = constants["VIR_NET_MESSAGE_LEN_MAX"], constants["VIR_NET_MESSAGE_HEADER_MAX"]
    assert constants["VIR_NET_MESSAGE_MAX"] + length == p.MAX_MESSAGE
    assert header + length == p.HEADER_SIZE
    names = ("VIR_NET_MESSAGE_NUM_FDS_MAX", "VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX", "KEEPALIVE_PROGRAM")
    assert [constants[name] for name in names] == [p.MAX_FDS, p.MAX_STREAM_DATA, p.KEEPALIVE_PROGRAM]
    keepalive = TABLE["programs"]["keepalive"]["procedures"]
    assert (keepalive["ping"]["n"], keepalive["pong"]["n"]) == (p.PING, p.PONG)
    assert {program["version"] for program in TABLE["programs"].values()} == {p.PROGRAM_VERSION}
    enums = TABLE["enums"]
    assert {f"VIR_NET_{m.name}": m.value for m in MessageType} == enums["virNetMessageType"]
    assert {f"VIR_NET_{m.name}": m.value for m in MessageStatus} == enums["virNetMessageStatus"]
