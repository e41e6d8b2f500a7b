"""The core of QMP: recorded conversations, whole and in pieces; negotiation from both ends; every rule broken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from avirt.drivers.qemu.protocol import (
    NEGOTIATE,
    Command,
    Connection,
    Event,
    Greeting,
    Message,
    Refusal,
    Reply,
    Role,
    Stage,
    Timestamp,
)
from avirt.errors import LocalProtocolError, RemoteProtocolError
from tests.drivers.qemu.frames import SCENES
from tests.drivers.qemu.golden import SCENES as LIVES

HELLO = Greeting((10, 0, 2), "package", ("oob", "new"))
GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "package"},'
    b' "capabilities": ["oob", "new"]}}\r\n'
)
MONITORS = ("compact", "pretty")
KINDS: dict[str, type[Message]] = {"QMP": Greeting, "event": Event, "return": Reply, "error": Reply}


def client(*, enable: Iterable[str] | None = ("oob",), max_message: int = 2**20) -> Connection:
    """A client whose negotiation is done; None: it is greeted only."""
    core = Connection(Role.CLIENT, max_message=max_message)
    core.receive_data(GREETING)
    if enable is not None:
        core.send(Command(NEGOTIATE, {"enable": list(enable)}))
        core.receive_data(b'{"return": {}}\r\n')
    return core


def server(*, enable: Iterable[str] | None = ("oob",), max_message: int = 2**20) -> Connection:
    """The other end."""
    core = Connection(Role.SERVER, greeting=HELLO, max_message=max_message)
    core.data_to_send()
    if enable is not None:
        core.receive_data(json.dumps({"execute": NEGOTIATE, "arguments": {"enable": list(enable)}}).encode())
    return core


def feed(core: Connection, pieces: Iterable[bytes]) -> None:
    """Everything, or up to an error."""
    for piece in pieces:
        core.receive_data(piece)


def plain(message: Message) -> object:
    """Without what differs from one time to the next, or by white space."""
    if isinstance(message, Event):
        return (message.name, json.loads(bytes(message.data)))
    if isinstance(message, Reply):
        return (json.loads(bytes(message.value)), message.error, message.id)
    return message


def hear(scene: str, pieces: Iterable[bytes]) -> list[Message]:
    """What a client hears of a recorded server. It asks for its negotiation when that is about to be answered."""
    core, messages = Connection(Role.CLIENT), []
    for piece in pieces:
        if core.stage is Stage.GREETED:
            core.send(Command(NEGOTIATE, {"enable": ["oob"]}))
        messages += core.receive_data(piece)
    core.receive_eof()
    assert core.is_ready, scene
    assert core.enabled == {"oob"}
    return messages


# ---------------------------------------------------------------- recorded


def test_golden_pretty_conversation_is_the_compact_one() -> None:
    """`pretty=on` changes nothing but space."""
    compact, pretty = ([plain(m) for m in hear(scene, SCENES[scene].by("server"))] for scene in MONITORS)
    assert compact == pretty
    assert compact[0] == Greeting((7, 2, 22), "Debian 1:7.2+dfsg-7+deb12u18+b3", ("oob",))
    assert [m for m in compact if isinstance(m, tuple) and isinstance(m[0], str)] == [
        ("RESUME", {}),
        ("STOP", {}),
        ("RESET", {"guest": False, "reason": "host-qmp-system-reset"}),
        ("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"}),
    ]
    assert ({}, Refusal("DeviceNotActive", "No balloon device has been activated"), 13) in compact
    assert ({}, Refusal("DeviceNotFound", "Device 'x' not found"), 14) in compact


@pytest.mark.parametrize("scene", MONITORS)
def test_golden_conversation_byte_by_byte_is_the_same(scene: str) -> None:
    whole = b"".join(SCENES[scene].by("server"))
    assert hear(scene, (whole[at : at + 1] for at in range(len(whole)))) == hear(scene, SCENES[scene].by("server"))


@pytest.mark.parametrize("scene", MONITORS)
@given(data=st.data())
def test_golden_conversation_in_random_pieces_is_the_same(scene: str, data: st.DataObject) -> None:
    said = SCENES[scene].by("server")
    whole = b"".join(said[6:])  # behind the negotiation, which is tried several times
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert hear(scene, [*said[:6], *pieces]) == hear(scene, said)


@pytest.mark.parametrize("scene", MONITORS)
def test_golden_commands_are_answered_by_the_core_as_qemu_did_or_given_out(scene: str) -> None:
    """In the order of the real replies: class and id, and the text where it isn't the parser's."""
    core = server(enable=None)
    ear = client(enable=None)
    for asked, answer in SCENES[scene].answers():
        items = core.receive_data(asked)
        replies = [message for message in ear.receive_data(answer) if isinstance(message, Reply)]
        assert len(items) == len(replies)
        for item, reply in zip(items, replies, strict=True):
            if isinstance(item, Command):
                assert item.id == reply.id
                continue
            assert isinstance(item, Reply)
            assert (item.error and item.error.error_class, item.id) == (
                reply.error and reply.error.error_class,
                reply.id,
            )
            if item.error and reply.error and not reply.error.desc.startswith(("JSON parse error", "Parameter 'null'")):
                assert item.error.desc == reply.error.desc
    assert core.is_ready


def test_golden_greeting_is_what_the_server_role_sends() -> None:
    (hello,) = Connection(Role.CLIENT).receive_data(SCENES["compact"].by("server")[0])
    assert isinstance(hello, Greeting)
    core = Connection(Role.SERVER, greeting=hello)
    assert json.loads(core.data_to_send()) == json.loads(SCENES["compact"].by("server")[0])


@pytest.mark.parametrize("scene", sorted(LIVES))
def test_golden_lives_of_guests_are_understood_line_by_line(scene: str) -> None:
    """Every command is one, and every answer has its kind."""
    ear, core = Connection(Role.CLIENT), server(enable=None)
    for line in LIVES[scene].lines:
        if line.got is not None:
            (message,) = ear.receive_data(json.dumps(line.got).encode() + b"\r\n")
            kind = next(kind for member, kind in KINDS.items() if member in line.got)
            assert isinstance(message, kind)
        elif line.sent is not None:
            (item,) = core.receive_data(json.dumps(line.sent).encode())
            assert isinstance(item, Reply) == (not core.is_ready or line.sent["execute"] == NEGOTIATE)
            if core.is_ready and not (ear.is_ready and isinstance(item, Reply)):
                ear.send(Command(line.sent["execute"], line.sent.get("arguments"), line.sent["id"]))
    ear.receive_eof()
    assert ear.is_ready == core.is_ready


# ---------------------------------------------------------------- client


def test_client_learns_the_greeting_and_negotiates() -> None:
    """Then everything is admitted that was enabled."""
    core = Connection(Role.CLIENT)
    assert core.data_to_send() == b""
    assert core.receive_data(GREETING) == [HELLO]
    assert (core.greeting, core.stage, core.enabled) == (HELLO, Stage.GREETED, frozenset())
    assert core.send(Command(NEGOTIATE, {"enable": ["oob"]}, id=0)) == (
        b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":0}\n'
    )
    assert core.stage is Stage.NEGOTIATING
    assert core.receive_data(b'{"return": {}, "id": 0}\r\n') == [Reply(id=0)]
    assert core.is_ready
    assert core.enabled == {"oob"}
    assert core.send(Command("query-yank", id=1, oob=True)) == b'{"exec-oob":"query-yank","id":1}\n'
    assert core.data_to_send() == b""


@pytest.mark.parametrize("arguments", [None, {}, {"enable": []}, Raw(b'{"enable": []}')])
def test_client_need_not_enable_anything(arguments: Raw | dict[str, object] | None) -> None:
    """Then nothing goes out of band."""
    core = client(enable=None)
    core.send(Command(NEGOTIATE, arguments))
    core.receive_data(b'{"return": {}}\n')
    assert core.is_ready
    with pytest.raises(LocalProtocolError, match="query-yank out of band, which is not enabled"):
        core.send(Command("query-yank", oob=True))


def test_client_may_send_commands_behind_its_negotiation() -> None:
    """QEMU answers in order; out of band only afterwards."""
    core = client(enable=None)
    core.send(Command(NEGOTIATE, {"enable": ["oob"]}))
    assert core.send(Command("stop"))
    with pytest.raises(LocalProtocolError, match="not enabled"):
        core.send(Command("query-yank", oob=True))
    assert len(core.receive_data(b'{"return": {}}\n{"return": {}}\n')) == 2


def test_client_sends_no_command_before_the_negotiation() -> None:
    core = Connection(Role.CLIENT)
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="stop before qmp_capabilities"):
            core.send(Command("stop"))
        core.receive_data(GREETING if core.greeting is None else b"")


def test_client_negotiates_once_and_not_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError, match="after the greeting; here it is connected"):
        Connection(Role.CLIENT).send(Command(NEGOTIATE))
    core = client(enable=None)
    core.send(Command(NEGOTIATE))
    with pytest.raises(LocalProtocolError, match="here it is negotiating"):
        core.send(Command(NEGOTIATE))
    with pytest.raises(LocalProtocolError, match="here it is ready"):
        client().send(Command(NEGOTIATE))


def test_client_enables_only_what_was_offered() -> None:
    core = client(enable=None)
    with pytest.raises(LocalProtocolError, match="did not offer a, b"):
        core.send(Command(NEGOTIATE, {"enable": ["b", "oob", "a"]}))
    with pytest.raises(LocalProtocolError, match="takes a list of names"):
        core.send(Command(NEGOTIATE, {"enable": "oob"}))
    assert core.stage is Stage.GREETED


def test_client_whose_negotiation_is_refused_may_try_again() -> None:
    """What it sent behind it is refused as well, and given out."""
    core = client(enable=None)
    core.send(Command(NEGOTIATE, {"enable": ["oob"]}))
    refused = b'{"error": {"class": "GenericError", "desc": "no"}}\r\n'
    assert core.receive_data(refused * 2) == [Reply(error=Refusal("GenericError", "no"))] * 2
    assert (core.stage, core.enabled) == (Stage.GREETED, frozenset())
    core.send(Command(NEGOTIATE))
    core.receive_data(b'{"return": {}}\n')
    assert core.is_ready


def test_client_hears_events_that_overtake_the_answer_to_its_negotiation() -> None:
    """QEMU opens the monitor before it answers."""
    core = client(enable=None)
    core.send(Command(NEGOTIATE))
    assert core.receive_data(b'{"event": "STOP"}\n{"return": {}}\n{"event": "RESUME"}\n') == [
        Event("STOP"),
        Reply(),
        Event("RESUME"),
    ]
    assert core.is_ready


@pytest.mark.parametrize(
    ("data", "why", "hint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no object of JSON", "HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no object of JSON", "qmp\\+ssh://"),
        (b"RFB 003.008\n", "no object of JSON", "VNC"),
        (b"QEMU 7.2.22 monitor - type 'help' for more information\r\n", "no object of JSON", "for people.*-qmp"),
        (b"\r\nQEMU 7.2", "no object of JSON", "for people.*-qmp"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "no object of JSON", "tls=1"),
        (b"+OK\r\n", "no object of JSON", "a QMP monitor's"),
        (b"{}\r\n", "neither a greeting", "a QMP monitor's"),
        (b'{"return": {}}\r\n', "first message is no greeting", "a QMP monitor's"),
        (b'{"event": "STOP"}\r\n', "first message is no greeting", "a QMP monitor's"),
        (b'{"QMP": {"version": {"qemu": {}}}}\r\n', "wrong types .*major", "a QMP monitor's"),
        (b'{"QMP" {}}\r\n', "not JSON", "a QMP monitor's"),
        (GREETING + GREETING, "a second greeting", "connect again"),
        (GREETING + b'{"error": {"class": 5}}\r\n', "wrong types .*class", "connect again"),
        (GREETING + b'{"event": "STOP", "timestamp": 5}\r\n', "wrong types", "connect again"),
        (GREETING + b"nonsense", "no object of JSON", "connect again"),
    ],
)
def test_client_refuses_what_is_no_qmp_and_says_what_to_do(data: bytes, why: str, hint: str) -> None:
    """For ever after."""
    core = Connection(Role.CLIENT)
    with pytest.raises(RemoteProtocolError, match=f"the peer does not speak QMP: .*{why}") as caught:
        feed(core, data.splitlines(keepends=True))
    assert re.search(hint, caught.value.hint)
    with pytest.raises(RemoteProtocolError):
        core.receive_data(GREETING)
    with pytest.raises(RemoteProtocolError):
        core.receive_eof()
    with pytest.raises(LocalProtocolError, match="the connection failed"):
        core.send(Command("stop"))


def test_client_refuses_a_message_too_long_while_it_grows() -> None:
    """100 MiB in one line; what is kept is below the limit."""
    core = client()
    core.receive_data(b'{"return": "')
    pieces = iter([b"x" * 65536] * 1600)
    with pytest.raises(RemoteProtocolError, match="more than 1048576 bytes"):
        feed(core, pieces)
    assert len(list(pieces)) == 1600 - 16


def test_client_an_end_between_messages_is_in_order_and_within_one_not() -> None:
    core = client()
    core.receive_eof()
    core.receive_data(b'{"return": {}')
    with pytest.raises(RemoteProtocolError, match="ended within a message, after 13 bytes of it"):
        core.receive_eof()
    with pytest.raises(RemoteProtocolError):
        core.receive_data(b"}\n")


@pytest.mark.parametrize("message", [Reply(), Event("STOP"), HELLO])
def test_client_sends_commands_only(message: Message) -> None:
    with pytest.raises(LocalProtocolError, match="a client sends no"):
        client().send(message)


def test_message_longer_than_the_limit_is_not_sent() -> None:
    """By neither end; nothing else changes."""
    ask = client(max_message=200)
    long = Command("x", {"a": "x" * 200})
    with pytest.raises(LocalProtocolError, match="bytes is longer than 200"):
        ask.send(long)
    assert ask.send(Command("x"))
    with pytest.raises(LocalProtocolError, match="bytes is longer than 200"):
        server(max_message=200).send(Reply(Raw(b'"' + b"x" * 200 + b'"')))


# ---------------------------------------------------------------- server


def test_server_owes_its_greeting_once() -> None:
    core = Connection(Role.SERVER, greeting=HELLO)
    assert json.loads(core.data_to_send()) == json.loads(GREETING)
    assert core.data_to_send() == b""


def test_server_has_a_greeting_and_a_client_none() -> None:
    for role, greeting in ((Role.SERVER, None), (Role.CLIENT, HELLO)):
        with pytest.raises(LocalProtocolError, match="a server has a greeting"):
            Connection(role, greeting=greeting)


def refused(message: Message) -> tuple[str, object]:
    """Class of the error, and the id."""
    assert isinstance(message, Reply)
    assert message.error is not None
    return message.error.error_class, message.id


def test_server_refuses_commands_and_keeps_events_until_the_negotiation() -> None:
    core = server(enable=None)
    assert core.send(Event("STOP")) == b""
    (reply,) = core.receive_data(b'{"execute": "query-status", "id": 5}')
    assert refused(reply) == ("CommandNotFound", 5)
    assert core.send(reply).startswith(b'{"error":{"class":"CommandNotFound","desc":"Expecting capabilities neg')
    answer, command = core.receive_data(b'{"execute": "qmp_capabilities", "id": 6}{"execute": "stop"}')
    assert (answer, command) == (Reply(id=6), Command("stop"))
    assert core.send(Event("STOP", timestamp=Timestamp(1, 2))) == (
        b'{"event":"STOP","data":{},"timestamp":{"seconds":1,"microseconds":2}}\r\n'
    )
    assert core.send(Event("STOP")).endswith(b'"timestamp":{"seconds":-1,"microseconds":-1}}\r\n')


@pytest.mark.parametrize("enable", ["oob", [1], ["x"], ["oob", "x"], {"a": 1}])
def test_server_refuses_to_enable_what_it_has_not(enable: object) -> None:
    core = server(enable=None)
    asked = {"execute": NEGOTIATE, "arguments": {"enable": enable}, "id": 1}
    assert [refused(each) for each in core.receive_data(json.dumps(asked).encode())] == [("GenericError", 1)]
    assert not core.is_ready


def test_server_negotiates_once() -> None:
    assert [refused(each) for each in server().receive_data(b'{"execute": "qmp_capabilities"}')] == [
        ("CommandNotFound", UNSET)
    ]


def test_server_takes_out_of_band_commands_only_when_enabled() -> None:
    asked = b'{"exec-oob": "query-yank", "id": 1}'
    assert server().receive_data(asked) == [Command("query-yank", id=1, oob=True)]
    assert [refused(each) for each in server(enable=()).receive_data(asked)] == [("GenericError", 1)]


@pytest.mark.parametrize("byte", [b"\x01", b"\xff", b"\x00", b"\xfe"])
@pytest.mark.parametrize("begun", [b"", b'{"a', b'{"execute": [{', b'{"a": "\\'])
def test_server_that_is_confused_is_set_free_by_a_reset_byte(begun: bytes, byte: bytes) -> None:
    """One error without id, then the next command is understood."""
    core = server()
    assert core.receive_data(begun) == []
    error, command = core.receive_data(byte + b'{"execute": "stop", "id": 1}')
    assert refused(error) == ("GenericError", UNSET)
    assert command == Command("stop", id=1)


def test_server_refuses_a_command_too_long() -> None:
    """That one ends it."""
    core = server(max_message=1000)
    with pytest.raises(RemoteProtocolError, match="more than 1000 bytes"):
        core.receive_data(b'{"execute": "' + b"x" * 1000)
    with pytest.raises(RemoteProtocolError):
        core.receive_data(b"")


def test_server_an_end_within_a_command_is_an_error() -> None:
    core = server()
    core.receive_data(b'{"execute"')
    with pytest.raises(RemoteProtocolError, match="after 10 bytes"):
        core.receive_eof()


@pytest.mark.parametrize("message", [Command("x"), HELLO])
def test_server_sends_replies_and_events_only(message: Message) -> None:
    with pytest.raises(LocalProtocolError, match="a server sends no"):
        server().send(message)


# ---------------------------------------------------------------- both

IDS = st.one_of(
    st.just(UNSET), st.none(), st.integers(-(2**63), 2**64), st.text(), st.lists(st.integers(0, 9), max_size=2)
)


@given(
    names=st.lists(st.text(min_size=1, max_size=9).filter(lambda name: name != NEGOTIATE), max_size=5),
    ids=st.lists(IDS, min_size=5, max_size=5),
    oob=st.booleans(),
    data=st.data(),
)
def test_what_one_end_sends_the_other_hears(
    names: list[str], ids: list[object], oob: bool, data: st.DataObject
) -> None:
    """Commands one way, their answers and events the other, in pieces."""
    there, here = server(), client()
    whole = b"".join(here.send(Command(name, id=id, oob=oob)) for name, id in zip(names, ids, strict=False))
    cut = data.draw(st.integers(0, len(whole)))
    commands = there.receive_data(whole[:cut]) + there.receive_data(whole[cut:])
    assert commands == [Command(name, id=id, oob=oob) for name, id in zip(names, ids, strict=False)]
    answers: list[Message] = []
    for command in commands:
        assert isinstance(command, Command)
        answers += [Event(command.name, Raw(b'{"a":1}'), Timestamp(1, 2)), Reply(Raw(b'["x"]'), id=command.id)]
    whole = b"".join(there.send(answer) for answer in answers)
    cut = data.draw(st.integers(0, len(whole)))
    assert here.receive_data(whole[:cut]) + here.receive_data(whole[cut:]) == answers
    here.receive_eof()
    there.receive_eof()


def test_connection_shows_how_far_it_is() -> None:
    core = client()
    core.receive_data(b"{")
    assert repr(core) == "<Connection client: ready, 1 bytes waiting>"
    with pytest.raises(RemoteProtocolError):
        core.receive_data(b"!}\n")
    assert repr(core) == "<Connection client: failed>"
