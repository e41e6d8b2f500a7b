"""Messages and their JSON, both ways; what is none."""

from __future__ import annotations

import json
from types import MappingProxyType

import msgspec
import pytest
from msgspec import UNSET, Raw

from avirt.drivers.qemu.messages import (
    NOTHING,
    Command,
    Event,
    Greeting,
    Refusal,
    Reply,
    Said,
    Timestamp,
    command_bytes,
    read_command,
    refuse,
    server_bytes,
    to_raw,
)
from avirt.errors import LocalProtocolError, RemoteProtocolError

SAID = msgspec.json.Decoder(Said)
IDS = (UNSET, None, 0, 7, -1, 1.5, "x", "ä€😀", [1, {}], {"a": None}, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob", "new"]}}',
            Greeting((7, 2, 22), "", ("oob", "new")),
        ),
        ('{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 2, "x": 1}}}}', Greeting((2, 1, 0))),
        ('{"return": {}}', Reply()),
        ('{"return": null, "id": null}', Reply(Raw(b"null"), id=None)),
        ('{"return": [1 , 2], "id": "x", "new": {}}', Reply(Raw(b"[1 , 2]"), id="x")),
        ('{"error": {"class": "New", "desc": "d", "x": 1}, "id": 3}', Reply(error=Refusal("New", "d"), id=3)),
        ('{"error": {"class": "GenericError"}}', Reply(error=Refusal("GenericError"))),
        ('{"return": {}, "error": {"class": "GenericError"}}', Reply(error=Refusal("GenericError"))),
        ('{"event": "STOP", "timestamp": {"seconds": 5, "microseconds": 6}}', Event("STOP", NOTHING, Timestamp(5, 6))),
        (
            '{"event": "STOP", "timestamp": {"seconds": -1, "microseconds": -1}, "data": {"a": 1}}',
            Event("STOP", Raw(b'{"a": 1}')),
        ),
        ('{"event": "STOP"}', Event("STOP")),
    ],
)
def test_message_of_a_server_is_what_its_json_says(data: str, message: object) -> None:
    """Unknown members, capabilities and error classes do no harm; what is absent has its default."""
    assert SAID.decode(data).message() == message


@pytest.mark.parametrize("data", ["{}", '{"id": 1}', '{"execute": "query-status"}'])
def test_message_that_no_server_says_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError, match="neither a greeting, nor a reply, nor an event"):
        SAID.decode(data).message()


@pytest.mark.parametrize(
    "data",
    [
        '{"QMP": 1}',
        '{"QMP": {"version": {}}}',
        '{"QMP": {"version": {"qemu": {"major": "7", "minor": 2, "micro": 0}}}}',
        '{"error": {"desc": "x"}}',
        '{"error": null}',
        '{"event": 5}',
        '{"event": "X", "timestamp": {"seconds": 1}}',
        '{"event": "X", "timestamp": {"seconds": 9223372036854775808, "microseconds": 0}}',
    ],
)
def test_message_of_wrong_types_is_refused(data: str) -> None:
    """By the decoder."""
    with pytest.raises(msgspec.ValidationError):
        SAID.decode(data)


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(
    "message",
    [
        Greeting((10, 0, 2), "x", ("oob",)),
        Greeting((1, 0, 0)),
        Event("RESET", to_raw({"guest": True}), Timestamp(1, 2)),
        Event("STOP"),
        Reply(),
        Reply(to_raw({"ä": "😀"})),
        refuse("GenericError", "why ä"),
    ],
)
def test_message_of_a_server_comes_back_from_its_bytes_as_it_was(message: Greeting | Event | Reply, id: object) -> None:
    """In ASCII, with any id."""
    if isinstance(message, Reply):
        message = msgspec.structs.replace(message, id=id)
    data = server_bytes(message)
    assert data.isascii()
    back = SAID.decode(data).message()
    if isinstance(back, Reply) and isinstance(message, Reply):
        assert json.loads(bytes(back.value)) == json.loads(bytes(message.value))
        back = msgspec.structs.replace(back, value=message.value)
    assert back == message


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("oob", [False, True])
@pytest.mark.parametrize("arguments", [None, {}, {"a": {"b": [1, "ä"]}}, MappingProxyType({"a": 1}), Raw(b'{"x": 1}')])
def test_command_comes_back_from_its_bytes_as_it_was(
    id: object, oob: bool, arguments: Raw | dict[str, object] | None
) -> None:
    back = read_command(command_bytes(Command("query-x", arguments, id, oob)), oob=True)
    assert isinstance(back, Command)
    assert (back.name, back.id, back.oob) == ("query-x", id, oob)
    if arguments is None:
        assert back.arguments is None
    else:
        assert isinstance(back.arguments, Raw)
        expected = bytes(arguments) if isinstance(arguments, Raw) else json.dumps(dict(arguments))
        assert json.loads(bytes(back.arguments)) == json.loads(expected)


def test_command_is_written_without_what_it_has_not() -> None:
    assert command_bytes(Command("query-status")) == b'{"execute":"query-status"}'
    assert command_bytes(Command("query-yank", id=1, oob=True)) == b'{"exec-oob":"query-yank","id":1}'


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Command(""), "without a name"),
        (Command("x", Raw(b"")), "arguments of x are no object"),
        (Command("x", Raw(b"[]")), "arguments of x are no object"),
        (Command("x", Raw(b'{"a":1}{')), "arguments of x are no object"),
        (Command("x", Raw(b'{"a":"\xff"}')), "arguments of x are no object"),
        (Command("x", {"a": Raw(b"")}), "arguments of x are no object"),
        (Command("x", {"a": object()}), "no JSON"),
        (Command("x", {"a": "\ud800"}), "no JSON"),
        (Command("\ud800"), "no JSON"),
        (Command("x", id=object()), "no JSON"),
    ],
)
def test_command_that_is_no_json_is_not_written(command: Command, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        command_bytes(command)


def test_value_that_contains_itself_is_no_json() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(LocalProtocolError, match="no JSON"):
        to_raw(endless)


def test_reply_of_no_utf8_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="no JSON"):
        server_bytes(Reply(Raw(b'"\xff"')))


@pytest.mark.parametrize(
    ("data", "oob", "desc", "id"),
    [
        ("[]", True, "QMP input must be a JSON object", UNSET),
        ('"x"', True, "QMP input must be a JSON object", UNSET),
        ("{}", True, "QMP input lacks member 'execute'", UNSET),
        ('{"id": [9]}', True, "QMP input lacks member 'execute'", [9]),
        ('{"execute": 7, "id": 9}', True, "QMP input member 'execute' must be a string", 9),
        ('{"exec-oob": {}, "id": 9}', True, "QMP input member 'exec-oob' must be a string", 9),
        ('{"exec-oob": "x", "id": 9}', False, "QMP input member 'exec-oob' is unexpected", 9),
        ('{"execute": "x", "foo": 1, "id": 9}', True, "QMP input member 'foo' is unexpected", 9),
        ('{"execute": "x", "arguments": [], "id": 9}', True, "QMP input member 'arguments' must be an object", 9),
        ('{"execute": "x", "exec-oob": "y"}', True, "QMP input member 'execute' clashes with 'exec-oob'", UNSET),
        ('{"execute": "x", "arguments": {"a": 1e999}}', True, "JSON parse error, Number out of range", UNSET),
        ('{"execute": nope}', True, "JSON parse error, JSON is malformed", UNSET),
        ("nonsense", True, "JSON parse error, JSON is malformed", UNSET),
        ('{"a\x01', True, "JSON parse error, ", UNSET),
        ('{"a": ' + "[" * 99_000 + "]" * 99_000 + "}", True, "JSON parse error, maximum recursion", UNSET),
    ],
)
def test_command_that_is_none_is_answered_as_by_qemu(data: str, oob: bool, desc: str, id: object) -> None:
    """Texts of QEMU 7.2; those of its parser are its own."""
    reply = read_command(data.encode(), oob=oob)
    assert isinstance(reply, Reply)
    assert reply.error is not None
    assert (reply.error.error_class, reply.id) == ("GenericError", id)
    assert reply.error.desc.startswith(desc)


def test_command_of_no_utf8_is_answered_as_by_qemu() -> None:
    for data in (b'{"execute": "\xe4"}', b'{"execute": "x", "arguments": {"a": "\xe4"}}', b'{"\xe4": 1}'):
        reply = read_command(data, oob=True)
        assert isinstance(reply, Reply)
        assert reply.error is not None
        assert reply.error.desc.startswith("JSON parse error")
