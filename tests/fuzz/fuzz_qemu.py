"""Hostile bytes against the cores of QMP and of the guest agent. Some dozens in every run, ten thousand by `make fuzz`.

Invariants: only `RemoteProtocolError` leaves; the same bytes in pieces give the same messages as whole, or the same
end; what is kept stays below the limit; behind a reset byte a server understands again, and behind a sync an agent's
client does.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.qemu.agent_protocol import AgentConnection, AgentMessage, AgentStage, Sync
from avirt.drivers.qemu.messages import Command, Greeting, Message, Reply
from avirt.drivers.qemu.protocol import NEGOTIATE, Connection
from avirt.drivers.wire.jsonlines import JSONValues
from avirt.drivers.wire.role import Role
from avirt.errors import RemoteProtocolError
from tests.drivers.qemu.frames import SCENES

LIMIT = 400
GREETING = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}\r\n'
REAL = sorted({said.data for scene in SCENES.values() for said in scene.said if len(said.data) < 2000})
PARTS = (
    *(bytes([byte]) for byte in b'{}[]"\\\n\r :,7\xff\x00'),
    *(b"{}\n", b'{"return": {}}\n', b'{"event": "X"}\n', b'{"QMP": {}}\n', b'"id": 1', b"\xc3\xa4", b"tru"),
    b'{"execute": "qmp_capabilities"}',
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Real bytes changed, pieces of JSON, or anything."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        data = draw(
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from(REAL),
                st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join),
            )
        )
        for _ in range(draw(st.integers(0, 2))):
            at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 6))
            data = data[:at] + draw(st.one_of(st.just(b""), st.sampled_from(PARTS))) + data[at + size :]
        parts.append(data)
    return b"".join(parts)


def cut(pieces: st.DataObject, data: bytes) -> list[bytes]:
    """Wherever."""
    cuts = sorted(pieces.draw(st.sets(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def each(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def client(*, negotiated: bool) -> Connection:
    core = Connection(Role.CLIENT, max_message=LIMIT)
    if negotiated:
        core.receive_data(GREETING)
        core.send(Command(NEGOTIATE))
        core.receive_data(b'{"return": {}}\n')
    return core


def server() -> Connection:
    return Connection(Role.SERVER, max_message=LIMIT, greeting=Greeting((10, 0, 0), "", ("oob",)))


def hear(core: Connection, pieces: Iterable[bytes]) -> tuple[list[Message], bool]:
    """Feed a core; its messages, and whether it gave up."""
    messages: list[Message] = []
    try:
        for piece in pieces:
            messages += core.receive_data(piece)
    except RemoteProtocolError:
        return messages, True
    return messages, False


@given(data=streams(), pieces=st.data(), kind=st.sampled_from(["new", "negotiated", "server"]))
def test_core_any_bytes_in_pieces_are_what_they_are_whole(data: bytes, pieces: st.DataObject, kind: str) -> None:
    """Messages, the end, and how far the connection is."""
    cores = [server() if kind == "server" else client(negotiated=kind == "negotiated") for _ in range(3)]
    whole, whole_failed = hear(cores[0], [data])
    parted, parted_failed = hear(cores[1], cut(pieces, data))
    single, single_failed = hear(cores[2], each(data))
    assert whole_failed == parted_failed == single_failed
    if whole_failed:  # the messages before the error were given out only where a cut lies between
        assert whole == []
        assert parted == single[: len(parted)]
    else:
        assert whole == parted == single
        assert cores[0].stage is cores[1].stage is cores[2].stage
    for core in cores:
        with suppress(RemoteProtocolError):
            core.receive_eof()


@given(data=streams().filter(lambda data: len(data) < LIMIT), byte=st.sampled_from([b"\xff", b"\x00", b"\x1b"]))
def test_server_behind_any_bytes_and_a_reset_byte_understands_again(data: bytes, byte: bytes) -> None:
    core = server()
    core.receive_data(data)
    *_, error, last = core.receive_data(byte + b'{"execute": "qmp_capabilities", "id": "last"}')
    assert isinstance(error, Reply)
    assert error.error is not None
    assert isinstance(last, Reply)
    assert last.id == "last"
    assert core.is_ready


@given(data=streams(), pieces=st.data())
def test_values_any_bytes_are_all_there_but_space(data: bytes, pieces: st.DataObject) -> None:
    """Nothing is lost, doubled or kept back."""
    stream = JSONValues()
    values = [value for piece in cut(pieces, data) for value in stream.feed(piece)]
    assert b"".join(b"".join(values).split()) == b"".join(data[: len(data) - stream.pending].split())


def listen(core: AgentConnection, pieces: Iterable[bytes]) -> tuple[list[AgentMessage], int]:
    """Feed a core, errors or not; its messages and how many errors."""
    messages: list[AgentMessage] = []
    errors = 0
    for piece in pieces:
        try:
            messages += core.receive_data(piece)
        except RemoteProtocolError:
            errors += 1
    return messages, errors


def agent(stage: AgentStage) -> AgentConnection:
    core = AgentConnection(Role.CLIENT, max_message=LIMIT)
    if stage is not AgentStage.LOST:
        core.send(Sync(7))
    if stage in (AgentStage.IDLE, AgentStage.BUSY):
        core.receive_data(b'\xff{"return": 7}\n')
    if stage is AgentStage.BUSY:
        core.send(Command("guest-ping"))
    return core


@given(data=streams(), pieces=st.data(), stage=st.sampled_from(AgentStage))
def test_agent_any_bytes_in_pieces_are_what_they_are_whole_and_a_sync_mends_all(
    data: bytes, pieces: st.DataObject, stage: AgentStage
) -> None:
    """Messages, errors, stage; then, behind the same bytes again, the answer to a sync."""
    cores = [agent(stage) for _ in range(3)]
    ways = ([data], cut(pieces, data), each(data))
    whole, parted, single = (listen(core, way) for core, way in zip(cores, ways, strict=True))
    assert whole == parted == single
    assert cores[0].stage is cores[1].stage is cores[2].stage
    for core in cores:
        core.send(Sync(123_456_789))
        assert listen(core, [data, b'\xff{"return": 123456789}\n']) == ([Sync(123_456_789)], 0)
        core.send(Command("guest-ping"))
        assert core.receive_data(b'{"return": {}}\n') == [Reply()]


@given(data=streams())
def test_agent_server_any_bytes_raise_only_what_is_documented(data: bytes) -> None:
    """In pieces or whole."""
    whole, single = (AgentConnection(Role.SERVER, max_message=LIMIT) for _ in range(2))
    heard, errors = listen(whole, [data])
    if not errors:
        assert listen(single, each(data)) == (heard, 0)
