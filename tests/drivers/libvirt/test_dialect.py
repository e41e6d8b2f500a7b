"""Frames for recordings: cut, told apart, and without anything secret."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.codec import COMPILER
from avirt.drivers.libvirt.dialect import KEPT, LibvirtDialect
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc, QemuProc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteTypedParam
from avirt.drivers.libvirt.keepalive import PING_MESSAGE
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import HEADER_SIZE, Connection, Message, MessageStatus, MessageType, Role
from tests.drivers.libvirt.fake_daemon import DOMAIN, complaint

CANARY = b"canary!!"
DIALECT = LibvirtDialect()
CLIENT, SERVER = Connection(Role.CLIENT), Connection(Role.SERVER)
ALL = sorted(PROCEDURES.values(), key=lambda procedure: (procedure.program, procedure.number))
CALLS = [procedure for procedure in ALL if not procedure.is_event]


def frame(procedure: Procedure[Any], payload: bytes, kind: MessageType, status: int = 0, serial: int = 3) -> bytes:
    end = CLIENT if kind is MessageType.CALL else SERVER
    return end.send(Message(procedure.program, procedure.number, kind, serial, MessageStatus(status), payload))


def call(procedure: Procedure[Any], *args: object, serial: int = 3) -> bytes:
    return frame(procedure, codec.pack(procedure, *args), MessageType.CALL, serial=serial)


def canaries(layout: Any) -> bytes:
    """A payload with the canary wherever text or data can be: by RFC 4506, not by our code."""
    named = COMPILER.resolve(layout)
    match named[0]:
        case "primitive":
            return bytes(8) if named[1] in ("hyper", "uhyper", "double") else bytes(4)
        case "opaque":
            return bytes(named[1])
        case "string" | "bytes":
            return struct.pack(">I", len(CANARY)) + CANARY
        case "optional":
            return struct.pack(">I", 1) + canaries(named[1])
        case "struct":
            return b"".join(canaries(part) for _, part in named[2])
        case "union":
            return struct.pack(">i", named[2][-1][0]) + canaries(named[2][-1][1])
        case "array":
            return canaries(named[1]) * int(named[2])
        case _:
            if COMPILER.resolve(named[1]) == ("primitive", "char"):
                return struct.pack(">I", len(CANARY)) + b"".join(struct.pack(">i", char) for char in CANARY)
            return struct.pack(">I", 1) + canaries(named[1])


def has_canary(data: bytes) -> bool:
    return CANARY in data or b"".join(struct.pack(">i", char) for char in CANARY) in data


def secrets(layout: Any) -> bytes:
    """Canaries in all but the names of objects and of parameters, which are meant to stay."""
    named = COMPILER.resolve(layout)
    if named[0] == "struct":
        kept = isinstance(layout, str) and ("nonnull" in layout and "secret" not in layout and "vol" not in layout)
        return b"".join(
            canaries(part).replace(CANARY, b"harmless") if kept or field == "field" else secrets(part)
            for field, part in named[2]
        )
    if named[0] == "optional":
        return struct.pack(">I", 1) + secrets(named[1])
    if named[0] == "list" and COMPILER.resolve(named[1])[0] not in ("primitive",):
        return struct.pack(">I", 1) + secrets(named[1])
    if named[0] == "union":
        return struct.pack(">i", named[2][-1][0]) + secrets(named[2][-1][1])
    return canaries(layout)


@pytest.mark.parametrize("procedure", [p for p in CALLS if p not in KEPT], ids=lambda p: f"{p.program:x}-{p.name}")
def test_clean_call_keeps_no_secret_in_arguments_answers_and_errors(procedure: Procedure[Any]) -> None:
    """Whatever text or data a call can carry is gone, in both directions; what is left has the same length."""
    for layout, kind in ((procedure.args, MessageType.CALL), (procedure.ret, MessageType.REPLY)):
        if layout is not None:
            given = frame(procedure, secrets(layout), kind)
            cleaned = DIALECT.clean(given)
            assert len(cleaned) == len(given)
            assert cleaned[:HEADER_SIZE] == given[:HEADER_SIZE]
            assert not has_canary(cleaned)
            assert cleaned[HEADER_SIZE:] != bytes(len(cleaned) - HEADER_SIZE) or not any(secrets(layout))
    if procedure is not Proc.CONNECT_GET_ALL_DOMAIN_STATS:
        error = frame(procedure, secrets("remote_error"), MessageType.REPLY, MessageStatus.ERROR)
        assert not has_canary(DIALECT.clean(error))


SECRET = [
    Proc.AUTH_SASL_INIT,
    Proc.AUTH_SASL_START,
    Proc.AUTH_SASL_STEP,
    Proc.CONNECT_OPEN,
    Proc.DOMAIN_AUTHORIZED_SSH_KEYS_SET,
    Proc.DOMAIN_CREATE_XML,
    Proc.DOMAIN_DEFINE_XML_FLAGS,
    Proc.DOMAIN_GET_XML_DESC,
    Proc.DOMAIN_MIGRATE_PERFORM3_PARAMS,
    Proc.DOMAIN_SEND_KEY,
    Proc.DOMAIN_SET_LAUNCH_SECURITY_STATE,
    Proc.DOMAIN_SET_USER_PASSWORD,
    Proc.DOMAIN_UPDATE_DEVICE_FLAGS,
    Proc.SECRET_DEFINE_XML,
    Proc.SECRET_GET_VALUE,
    Proc.SECRET_SET_VALUE,
    Proc.STORAGE_POOL_DEFINE_XML,
    QemuProc.DOMAIN_AGENT_COMMAND,
    QemuProc.DOMAIN_MONITOR_COMMAND,
]


@pytest.mark.parametrize("procedure", SECRET, ids=lambda procedure: procedure.name)
def test_clean_calls_known_to_carry_secrets_are_among_those_blanked(procedure: Procedure[Any]) -> None:
    """Passwords, SASL, XML, agent and monitor commands, keys, values of secrets: none is kept by mistake."""
    assert procedure not in KEPT


def test_clean_password_is_stars_and_the_call_can_still_be_decoded() -> None:
    """Of `set-user-password` the domain, the lengths and the flags are left."""
    given = call(Proc.DOMAIN_SET_USER_PASSWORD, DOMAIN, "root", "hunter2", 1)
    cleaned = DIALECT.clean(given)
    assert codec.unpack_args(Proc.DOMAIN_SET_USER_PASSWORD, cleaned[HEADER_SIZE:]) == (DOMAIN, "****", "*******", 1)


def test_clean_xml_is_stars_both_ways() -> None:
    """A VNC password in what is defined, and in what dumpxml with the secure flag answers."""
    xml = "<graphics type='vnc' passwd='hunter2'/>"
    sent = call(Proc.DOMAIN_DEFINE_XML_FLAGS, xml, 1)
    assert codec.unpack_args(Proc.DOMAIN_DEFINE_XML_FLAGS, DIALECT.clean(sent)[HEADER_SIZE:]) == ("*" * len(xml), 1)
    came = frame(Proc.DOMAIN_GET_XML_DESC, codec.pack_reply(Proc.DOMAIN_GET_XML_DESC, xml), MessageType.REPLY)
    assert codec.unpack_reply(Proc.DOMAIN_GET_XML_DESC, DIALECT.clean(came)[HEADER_SIZE:]) == "*" * len(xml)


def test_clean_keys_pressed_are_zeros() -> None:
    """They are numbers, and may be those of a password."""
    given = call(Proc.DOMAIN_SEND_KEY, DOMAIN, 0, 100, (30, 48), 0)
    assert codec.unpack_args(Proc.DOMAIN_SEND_KEY, DIALECT.clean(given)[HEADER_SIZE:]) == (DOMAIN, 0, 100, (0, 0), 0)


def test_clean_secret_parameter_keeps_its_name_only() -> None:
    """Typed parameters: the name says what it was, the value is gone."""
    param = RemoteTypedParam("sev-secret", 7, "hunter2")
    given = call(Proc.DOMAIN_SET_LAUNCH_SECURITY_STATE, DOMAIN, (param,), 0)
    _, (cleaned,), _ = codec.unpack_args(Proc.DOMAIN_SET_LAUNCH_SECURITY_STATE, DIALECT.clean(given)[HEADER_SIZE:])
    assert cleaned == RemoteTypedParam("sev-secret", 7, "*******")


@pytest.mark.parametrize(
    "procedure", [QemuProc.DOMAIN_MONITOR_EVENT, Proc.SECRET_EVENT_LIFECYCLE], ids=lambda p: p.name
)
def test_clean_events_with_foreign_text_are_blanked(procedure: Procedure[Any]) -> None:
    """QEMU's own words, and a secret's usage."""
    assert procedure.msg is not None
    assert not has_canary(DIALECT.clean(frame(procedure, secrets(procedure.msg), MessageType.MESSAGE)))


def test_clean_stream_data_is_zeros_and_its_end_stays() -> None:
    """A console, a screenshot, a volume: anything may be in there."""
    data = frame(Proc.DOMAIN_OPEN_CONSOLE, b"login: root", MessageType.STREAM, MessageStatus.CONTINUE)
    assert DIALECT.clean(data) == data[:HEADER_SIZE] + bytes(11)
    end = frame(Proc.DOMAIN_OPEN_CONSOLE, b"", MessageType.STREAM)
    assert DIALECT.clean(end) == end
    failed = frame(Proc.DOMAIN_OPEN_CONSOLE, secrets("remote_error"), MessageType.STREAM, MessageStatus.ERROR)
    assert not has_canary(DIALECT.clean(failed))
    hole = frame(Proc.STORAGE_VOL_DOWNLOAD, bytes(12), MessageType.STREAM_HOLE, MessageStatus.CONTINUE)
    assert DIALECT.clean(hole) == hole


def test_clean_unknown_procedure_keeps_its_header_only() -> None:
    """A call of the future is not trusted."""
    given = CLIENT.send_call(Proc.CONNECT_OPEN.program, 9999, 3, CANARY)
    assert DIALECT.clean(given) == given[:HEADER_SIZE] + bytes(8)


def test_clean_descriptors_count_stays() -> None:
    """The number of descriptors stands before the payload."""
    procedure = Proc.DOMAIN_CREATE_WITH_FILES
    kind = MessageType.CALL_WITH_FDS
    payload = codec.pack(procedure, DOMAIN, 0)
    given = CLIENT.send(Message(procedure.program, procedure.number, kind, 3, payload=payload, fds=(5,)))
    assert DIALECT.clean(given) == given


def test_clean_what_watching_reads_stays_as_it_is() -> None:
    """Otherwise nothing could be replayed: calls, answers, errors, events, keepalive."""
    for kept in (
        call(Proc.DOMAIN_GET_STATE, DOMAIN, 0),
        call(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 1, 0),
        frame(Proc.CONNECT_GET_HOSTNAME, codec.pack_reply(Proc.CONNECT_GET_HOSTNAME, "h"), MessageType.REPLY),
        frame(Proc.DOMAIN_GET_STATE, codec.pack_error(complaint()), MessageType.REPLY, MessageStatus.ERROR),
        frame(
            Proc.DOMAIN_EVENT_CALLBACK_DEVICE_ADDED,
            canaries("remote_domain_event_callback_device_added_msg"),
            MessageType.MESSAGE,
        ),
        CLIENT.send(PING_MESSAGE),
    ):
        assert DIALECT.clean(kept) == kept


@given(st.binary(max_size=60), st.sampled_from(ALL), st.sampled_from(MessageType), st.integers(0, 3))
def test_clean_any_payload_keeps_its_length(
    payload: bytes, procedure: Procedure[Any], kind: MessageType, status: int
) -> None:
    """However broken it is: what can't be decoded is zeros."""
    length = HEADER_SIZE + len(payload)
    given = struct.pack(">IIIiiIi", length, procedure.program, 1, procedure.number, kind, 3, status) + payload
    assert len(DIALECT.clean(given)) == length


# ---------------------------------------------------------------- frames

STREAM = [
    call(Proc.DOMAIN_GET_STATE, DOMAIN, 0),
    CLIENT.send(PING_MESSAGE),
    call(Proc.CONNECT_CLOSE),
]
WITH_FDS = CLIENT.send(Message(1, 1, MessageType.CALL_WITH_FDS, 3, payload=b"", fds=(5, 6)))


def test_splitter_whole_and_byte_by_byte_gives_the_same_frames() -> None:
    """However the bytes come. Those of descriptors belong to no frame."""
    data = STREAM[0] + WITH_FDS + b"\0\0" + STREAM[1] + STREAM[2]
    frames = [STREAM[0], WITH_FDS, STREAM[1], STREAM[2]]
    assert DIALECT.splitter()(data) == frames
    split = DIALECT.splitter()
    assert [each for byte in data for each in split(bytes([byte]))] == frames


@given(st.lists(st.integers(1, 120), max_size=9))
def test_splitter_random_cuts_give_the_same_frames(cuts: list[int]) -> None:
    """And what is not complete waits."""
    data = b"".join(STREAM) + STREAM[0][:-1]
    split = DIALECT.splitter()
    frames: list[bytes] = []
    for cut in cuts:
        frames += split(data[:cut])
        data = data[cut:]
    assert frames + split(data) == STREAM


@pytest.mark.parametrize("length", [0, 27, 33_554_437, 0xFFFFFFFF])
def test_splitter_after_nonsense_gives_nothing_more(length: int) -> None:
    """Whoever speaks there does not speak libvirt's protocol: there is no telling what it is."""
    split = DIALECT.splitter()
    assert split(STREAM[0] + struct.pack(">I", length) + b"HTTP/1.1 400") == [STREAM[0]]
    assert split(STREAM[0]) == []


def test_question_and_answer_meet_by_serial() -> None:
    """A call is known by what it asks; an answer by the serial; an event by neither."""
    asked = DIALECT.question(call(Proc.DOMAIN_GET_STATE, DOMAIN, 0, serial=3))
    again = DIALECT.question(call(Proc.DOMAIN_GET_STATE, DOMAIN, 0, serial=9))
    other = DIALECT.question(call(Proc.DOMAIN_GET_STATE, RemoteDomain("b", b"b" * 16, -1), 0))
    assert asked is not None
    assert again is not None
    assert other is not None
    assert (asked[1], again[1]) == (3, 9)
    assert asked[0] == again[0] != other[0]
    reply = frame(Proc.CONNECT_CLOSE, b"", MessageType.REPLY, serial=3)
    assert DIALECT.question(reply) is None
    assert DIALECT.answer(reply) == 3
    assert DIALECT.answer(DIALECT.renumbered(reply, 9)) == 9
    assert DIALECT.renumbered(reply, 3) == reply
    assert DIALECT.question(CLIENT.send(PING_MESSAGE)) is None
    assert DIALECT.answer(DIALECT.filler) is None
    (message,) = Connection(Role.CLIENT).receive_data(DIALECT.filler)
    assert message.type is MessageType.MESSAGE
