"""Streams at both ends: data, holes, finish, abort, failure, and what comes too late."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.procedures import PROCEDURES
from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.drivers.libvirt.procedure import StreamKind
from avirt.drivers.libvirt.protocol import MAX_STREAM_DATA, Connection, Message, MessageStatus, MessageType, Role
from avirt.drivers.libvirt.streams import Hole, Stream, StreamState
from avirt.errors import LocalProtocolError, RemoteProtocolError
from tests.drivers.libvirt.golden import SCENES

OK, ERROR, CONTINUE = MessageStatus.OK, MessageStatus.ERROR, MessageStatus.CONTINUE
FULL = RemoteError(38, 38, "No space left on device", 2, None, None, None, None, 28, -1, None)


def pair(kind: StreamKind, *, sparse: bool = False) -> tuple[Stream, Stream]:
    """Both ends of one stream."""
    ends = [
        Stream(role, program=0x20008086, procedure=208, serial=5, kind=kind, sparse=sparse)
        for role in (Role.CLIENT, Role.SERVER)
    ]
    return ends[0], ends[1]


def packet(status: MessageStatus, data: bytes = b"", type: MessageType = MessageType.STREAM) -> Message:
    return Message(0x20008086, 208, type, 5, status, data)


def sent(message: Message | None) -> Message:
    assert message is not None
    return message


def test_stream_read_to_its_end_is_finished_by_the_client_and_confirmed() -> None:
    """Data, an empty packet, OK, OK."""
    client, server = pair(StreamKind.READ)
    got = [client.receive(message) for message in [*server.send(b"abc"), *server.send(b"def"), server.send_end()]]
    assert got == [b"abc", b"def", b""]
    assert client.ended
    assert not client.is_over
    server.receive(sent(client.finish()))
    assert client.state is StreamState.FINISHING
    client.receive(server.confirm())
    assert (client.state, server.state) == (StreamState.FINISHED, StreamState.FINISHED)
    assert client.is_over


def test_stream_written_is_finished_and_confirmed() -> None:
    """Without an end of the data: the finish says it."""
    client, server = pair(StreamKind.WRITE)
    assert [server.receive(message) for message in client.send(b"abc")] == [b"abc"]
    server.receive(sent(client.finish()))
    assert server.state is StreamState.FINISHING
    client.receive(server.confirm())
    assert client.state is StreamState.FINISHED


def test_stream_both_ways_carries_data_both_ways() -> None:
    """A console."""
    client, server = pair(StreamKind.BOTH)
    assert [server.receive(message) for message in client.send(b"ls\n")] == [b"ls\n"]
    assert [client.receive(message) for message in server.send(b"bin\n")] == [b"bin\n"]
    assert server.receive(client.send_end()) == b""
    assert [client.receive(message) for message in server.send(b"more")] == [b"more"]


def test_stream_data_are_cut_into_packets_that_all_servers_take() -> None:
    """262120 bytes each; nothing to send is no packet, which would be the end."""
    client, _ = pair(StreamKind.WRITE)
    data = bytes(range(256)) * 3000
    packets = client.send(data)
    assert [len(message.payload) for message in packets] == [
        MAX_STREAM_DATA,
        MAX_STREAM_DATA,
        768000 - 2 * MAX_STREAM_DATA,
    ]
    assert b"".join(message.payload for message in packets) == data
    assert client.send(b"") == []


def test_stream_holes_stand_for_zeros() -> None:
    """Only where agreed on."""
    client, server = pair(StreamKind.WRITE, sparse=True)
    message = client.send_hole(2**40)
    assert (message.type, message.status) == (MessageType.STREAM_HOLE, CONTINUE)
    assert message.payload == struct.pack(">qI", 2**40, 0)
    assert server.receive(message) == Hole(2**40)
    with pytest.raises(LocalProtocolError, match="not opened for holes"):
        pair(StreamKind.WRITE)[0].send_hole(1)
    for length in (-1, 2**63):
        with pytest.raises(LocalProtocolError, match="no hole"):
            client.send_hole(length)


@pytest.mark.parametrize("payload", [b"", bytes(11), bytes(13), struct.pack(">qI", -1, 0)])
def test_stream_hole_that_is_none_is_refused(payload: bytes) -> None:
    """A negative length, another size."""
    client, _ = pair(StreamKind.READ)
    with pytest.raises(RemoteProtocolError, match="hole"):
        client.receive(packet(CONTINUE, payload, MessageType.STREAM_HOLE))


@pytest.mark.parametrize("answer", [OK, ERROR])
def test_stream_aborted_drops_what_still_comes(answer: MessageStatus) -> None:
    """Three packets more were seen; then OK or an error."""
    client, server = pair(StreamKind.READ)
    server.receive(sent(client.abort()))
    assert (client.state, server.state) == (StreamState.ABORTING, StreamState.ABORTING)
    assert [client.receive(packet(CONTINUE, b"late")) for _ in range(3)] == [None] * 3
    assert client.abort() is None
    assert client.finish() is None
    client.receive(packet(answer, b""))
    assert server.confirm().status is OK
    assert (client.state, server.state) == (StreamState.ABORTED, StreamState.ABORTED)
    assert client.failure is None


def test_stream_finishing_may_still_be_aborted() -> None:
    """Whoever waits for the confirmation may lose patience."""
    client, _ = pair(StreamKind.WRITE)
    client.finish()
    assert sent(client.abort()).status is ERROR
    assert client.state is StreamState.ABORTING


def test_stream_failed_gets_no_answer_to_a_finish() -> None:
    """So none is sent, and the error is there for whoever waits."""
    client, server = pair(StreamKind.WRITE)
    client.send(b"too much")
    client.receive(sent(server.fail(FULL)))
    assert client.failure == FULL
    assert (client.state, server.state) == (StreamState.FAILED, StreamState.FAILED)
    assert client.finish() is None
    assert client.abort() is None
    assert server.fail(FULL) is None
    with pytest.raises(LocalProtocolError, match="it is failed"):
        client.send(b"x")


def test_stream_failing_while_it_finishes_is_failed() -> None:
    """The last data did not fit."""
    client, server = pair(StreamKind.WRITE)
    server.receive(sent(client.finish()))
    client.receive(sent(server.fail(FULL)))
    assert client.state is StreamState.FAILED


@pytest.mark.parametrize("payload", [b"", b"rubbish!"])
def test_stream_error_that_can_not_be_read_is_a_failure_all_the_same(payload: bytes) -> None:
    """The stream is gone either way."""
    client, _ = pair(StreamKind.READ)
    client.receive(packet(ERROR, payload))
    assert client.state is StreamState.FAILED
    assert client.failure is not None
    assert client.failure.code == 39
    assert codec.pack_error(client.failure)


def test_stream_ended_by_the_server_alone_is_finished() -> None:
    """It has forgotten the stream: waiting for more would last for ever."""
    client, _ = pair(StreamKind.READ)
    client.receive(packet(OK))
    assert client.state is StreamState.FINISHED


@pytest.mark.parametrize("status", MessageStatus)
def test_stream_that_is_over_ignores_what_is_late(status: MessageStatus) -> None:
    """At both ends (§8)."""
    client, server = pair(StreamKind.READ)
    server.receive(sent(client.finish()))
    client.receive(server.confirm())
    for end in (client, server):
        assert end.receive(packet(status, b"late")) is None
        assert end.state is StreamState.FINISHED
        assert end.failure is None


def test_stream_data_behind_their_end_or_against_their_direction_are_ignored() -> None:
    """A peer that sends them does no harm."""
    client, _ = pair(StreamKind.READ)
    client.receive(packet(CONTINUE, b""))
    assert client.receive(packet(CONTINUE, b"more")) is None
    writer, _ = pair(StreamKind.WRITE)
    assert writer.receive(packet(CONTINUE, b"data")) is None


def test_stream_only_one_direction_takes_data() -> None:
    """Sending against it is our own mistake."""
    client, server = pair(StreamKind.READ)
    with pytest.raises(LocalProtocolError, match="a client sends no data"):
        client.send(b"x")
    with pytest.raises(LocalProtocolError, match="a client sends no data"):
        client.send_end()
    client, server = pair(StreamKind.WRITE)
    with pytest.raises(LocalProtocolError, match="a server sends no data"):
        server.send(b"x")
    client.finish()
    with pytest.raises(LocalProtocolError, match="it is finishing"):
        client.send(b"x")


def test_stream_each_role_has_its_own_endings() -> None:
    """Clients finish and abort, servers confirm and fail."""
    client, server = pair(StreamKind.BOTH)
    with pytest.raises(LocalProtocolError, match="only a client"):
        server.finish()
    with pytest.raises(LocalProtocolError, match="only a client"):
        server.abort()
    with pytest.raises(LocalProtocolError, match="only a server"):
        client.fail(FULL)
    with pytest.raises(LocalProtocolError, match="nothing to confirm: <Stream 5 at the server: open>"):
        server.confirm()
    client.finish()
    with pytest.raises(LocalProtocolError, match="nothing to confirm"):
        client.confirm()


@pytest.mark.parametrize("scene", ["qemu", "test"])
def test_stream_of_a_real_daemon_is_read_to_its_end(scene: str) -> None:
    """A screenshot, as recorded."""
    frames = SCENES[scene].frames
    start = next(i for i, each in enumerate(frames) if each.name == "domain_screenshot")
    (call,) = Connection(Role.SERVER).receive_data(frames[start].data)
    row = PROCEDURES[call.program, call.procedure]
    stream = Stream(Role.CLIENT, program=call.program, procedure=call.procedure, serial=call.serial, kind=row.stream)
    data = b""
    core = Connection(Role.CLIENT)
    for each in frames[start + 1 :]:
        if each.sender == "server" and each.type == "STREAM":
            (message,) = core.receive_data(each.data)
            assert message.serial == stream.serial
            part = stream.receive(message)
            if part == b"":
                assert core.send(sent(stream.finish())) in [f.data for f in frames if f.sender == "client"]
            elif part is not None:
                assert isinstance(part, bytes)
                data += part
    assert stream.state is StreamState.FINISHED
    assert data[:4] in {b"\x89PNG", b"P6\n6", b"P6\n7"}


@given(data=st.data(), kind=st.sampled_from([StreamKind.READ, StreamKind.WRITE, StreamKind.BOTH]))
def test_stream_any_packets_in_any_order_raise_only_documented_errors(data: st.DataObject, kind: StreamKind) -> None:
    """And once over it stays over."""
    for end in pair(kind, sparse=True):
        over = None
        for _ in range(data.draw(st.integers(0, 8))):
            status = data.draw(st.sampled_from(MessageStatus))
            hole = status is CONTINUE and data.draw(st.booleans())
            try:
                end.receive(
                    packet(
                        status,
                        data.draw(st.binary(max_size=13)),
                        MessageType.STREAM_HOLE if hole else MessageType.STREAM,
                    )
                )
            except RemoteProtocolError:
                continue
            assert over is None or end.state is over
            over = end.state if end.is_over else None
