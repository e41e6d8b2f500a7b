"""Hostile bytes against libvirt's core and codec. Some dozens in every run of the tests, ten thousand by `make fuzz`.

Invariants: only `RemoteProtocolError` leaves; the same bytes in pieces give the same messages as whole, or the same
end; no descriptor is lost; what was decoded can be encoded, and is the same when decoded again.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.errors import native_error
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc
from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import HEADER_SIZE, Connection, Message, MessageStatus, MessageType, Role
from avirt.errors import AvirtError, LocalProtocolError, RemoteProtocolError
from tests.drivers.libvirt.golden import SCENES

ROWS = list(PROCEDURES.values())
GOLDEN = [each for scene in SCENES.values() for each in scene.frames if len(each.data) < 3000]


def hear(core: Connection, pieces: list[bytes], fds: list[int]) -> tuple[list[Message], bool]:
    """Feed a core; its messages, and whether it gave up."""
    messages: list[Message] = []
    try:
        for piece in pieces:
            messages += core.receive_data(piece, fds)
            fds = []
    except RemoteProtocolError:
        return messages, True
    return messages, False


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Real bytes, some of them changed, cut out, doubled or inserted."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(0, 12))
        kind = draw(st.sampled_from(["change", "cut", "double", "insert", "word"]))
        if kind == "change":
            data = data[:at] + draw(st.binary(max_size=4)) + data[at + 4 :]
        elif kind == "cut":
            data = data[:at] + data[at + size :]
        elif kind == "double":
            data = data[: at + size] + data[at:]
        elif kind == "insert":
            data = data[:at] + draw(st.binary(max_size=8)) + data[at:]
        else:
            number = draw(st.sampled_from([0, 1, 2, 27, 28, 2**31 - 1, 2**31, 2**32 - 1, 16384, 16385]))
            data = data[: at & ~3] + struct.pack(">I", number) + data[(at & ~3) + 4 :]
    return data


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Several messages: real, changed, made up, or no messages at all."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        parts.append(
            draw(
                st.one_of(
                    st.binary(max_size=60),
                    st.sampled_from(GOLDEN).flatmap(lambda each: mutated(each.data)),
                    st.builds(
                        lambda payload, length, words: struct.pack(">IIIiiIi", length + len(payload), *words) + payload,
                        st.binary(max_size=20),
                        st.sampled_from([0, 27, 28, 28, 28, 29]),
                        st.tuples(
                            st.sampled_from([0x20008086, 0x6B656570, 1]),
                            st.sampled_from([1, 1, 1, 2]),
                            st.integers(0, 3),
                            st.integers(0, 7),
                            st.integers(0, 2),
                            st.integers(0, 3),
                        ),
                    ),
                )
            )
        )
    return b"".join(parts)


@given(role=st.sampled_from(Role), data=streams(), pieces=st.data(), fds=st.lists(st.integers(3, 99), max_size=4))
def test_core_any_bytes_in_pieces_are_what_they_are_whole(
    role: Role, data: bytes, pieces: st.DataObject, fds: list[int]
) -> None:
    """Messages, the end, and every descriptor."""
    cuts = sorted(pieces.draw(st.sets(st.integers(0, len(data)), max_size=8)))
    whole, parted = Connection(role), Connection(role)
    expected, failed = hear(whole, [data], list(fds))
    got, failed_too = hear(parted, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)], list(fds))
    assert failed_too == failed
    if failed:  # the messages before the error were given out only where a cut lies between
        expected, _ = hear(Connection(role), [data[at : at + 1] for at in range(len(data))], list(fds))
        assert got == expected[: len(got)]
    else:
        assert got == expected
        assert whole.data_to_send() == parted.data_to_send()
    for core, messages in ((whole, [] if failed else expected), (parted, got)):
        assert sorted([fd for message in messages for fd in message.fds] + core.take_fds()) == sorted(fds)


def redecode(row: Procedure[Any], data: bytes) -> None:
    """Decode as whatever the procedure has; what was understood goes to bytes and back."""
    if row.is_event:
        message = codec.unpack_event(row, data)
        assert repr(codec.unpack_event(row, codec.pack_event(row, message))) == repr(message)
        return
    try:
        args = codec.unpack_args(row, data)
    except RemoteProtocolError:
        value = codec.unpack_reply(row, data)
        assert repr(codec.unpack_reply(row, codec.pack_reply(row, value))) == repr(value)
    else:
        assert repr(codec.unpack_args(row, codec.pack(row, *args))) == repr(args)


@given(row=st.sampled_from(ROWS), data=st.binary(max_size=200))
def test_codec_any_payload_of_any_procedure_raises_only_documented_errors(row: Procedure[Any], data: bytes) -> None:
    """As an event, as arguments, as an answer."""
    for unpack in (codec.unpack_event,) if row.is_event else (codec.unpack_args, codec.unpack_reply):
        with suppress(RemoteProtocolError):
            unpack(row, data)


@given(data=st.data())
def test_codec_real_payload_changed_is_refused_or_goes_back_to_the_same(data: st.DataObject) -> None:
    """Recorded payloads, mutated."""
    each = data.draw(st.sampled_from([frame for frame in GOLDEN if frame.name not in {"ping", "pong", "unknown"}]))
    row = next(row for row in ROWS if row.name == each.name)
    payload = data.draw(mutated(each.data[HEADER_SIZE : len(each.data) - each.fds]))
    try:
        redecode(row, payload)
    except RemoteProtocolError:
        return
    except LocalProtocolError as error:
        if "NUL" not in str(error):  # such a string can be read, and is refused when written
            raise


@given(data=st.data())
def test_errors_any_payload_is_an_error_or_refused(data: st.DataObject) -> None:
    """What `native_error` makes is always one of avirt's."""
    real = codec.pack_error(RemoteError(42, 10, "text", 2, None, "%s", None, None, -1, -1, None))
    payload = data.draw(st.one_of(mutated(real), st.binary(max_size=80)))
    try:
        error = codec.unpack_error(payload)
    except RemoteProtocolError:
        return
    assert isinstance(native_error(error), AvirtError)


@pytest.mark.parametrize("count", [16385, 2**31, 2**32 - 1])
def test_codec_hostile_count_takes_no_memory(count: int) -> None:
    """Refused by its number, before anything is made of it."""
    with pytest.raises(RemoteProtocolError):
        codec.unpack_reply(Proc.CONNECT_LIST_ALL_DOMAINS, struct.pack(">I", count) + bytes(1000))
    core = Connection(Role.CLIENT)
    message = Message(0x20008086, 1, MessageType.CALL, 0, MessageStatus.OK, struct.pack(">I", count))
    assert core.send(message)
