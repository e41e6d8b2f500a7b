"""The core of the guest agent's protocol: recorded, out of step in every way, in step again; both ends."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from avirt.drivers.qemu.agent_protocol import (
    MAX_NUMBER,
    SILENT,
    AgentConnection,
    AgentMessage,
    AgentStage,
    Sync,
)
from avirt.drivers.qemu.messages import Command, Refusal, Reply, refuse
from avirt.drivers.wire.role import Role
from avirt.errors import LocalProtocolError, RemoteProtocolError
from tests.drivers.qemu.frames import SCENES

AGENT = SCENES["agent"]
PING = Command("guest-ping")
PONG = b'{"return": {}}\n'


def client(*, number: int | None = 1, max_message: int = 2**20) -> AgentConnection:
    """A client in step; None: not yet."""
    core = AgentConnection(Role.CLIENT, max_message=max_message)
    if number is not None:
        core.send(Sync(number))
        core.receive_data(b'\xff{"return": %d}\n' % number)
    return core


def server(*, max_message: int = 2**20) -> AgentConnection:
    return AgentConnection(Role.SERVER, max_message=max_message)


def feed(core: AgentConnection, pieces: Iterable[bytes]) -> list[AgentMessage]:
    return [message for piece in pieces for message in core.receive_data(piece)]


def each(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def refused(message: AgentMessage) -> tuple[str, object]:
    """Class of the error, and the id."""
    assert isinstance(message, Reply)
    assert message.error is not None
    return message.error.error_class, message.id


# ---------------------------------------------------------------- recorded


@pytest.mark.parametrize("whole", [True, False])
def test_golden_agent_is_understood(whole: bool) -> None:
    """Each answer belongs to its command; what came of garbage is stale."""
    core = AgentConnection(Role.CLIENT)
    heard: list[AgentMessage] = []
    for asked, answer in AGENT.answers():
        if asked.startswith(b"\xff"):
            number = json.loads(asked[1:])["arguments"]["id"]
            assert json.loads(core.send(Sync(number))[1:]) == json.loads(asked[1:])
        elif b"delimited" not in asked and asked.startswith(b'{"execute'):
            said = json.loads(asked)
            core.send(Command(said["execute"], said.get("arguments"), said.get("id", UNSET)))
        heard += feed(core, [answer] if whole else each(answer))
    core.receive_eof()
    assert heard[:4] == [Sync(MAX_NUMBER), Reply(Raw(b"3")), Reply(), Reply(id=1)]
    assert heard[5:] == [
        Reply(error=Refusal("CommandNotFound", "Command guest-shutdown has been disabled")),
        Reply(error=Refusal("CommandNotFound", "The command nope has not been found"), id=1),
        Sync(5),
        Reply(Raw(b'"thawed"')),
        Reply(error=Refusal("GenericError", "handle '1000' has not been found")),
    ]
    assert core.stale == 2  # the refused sync, and the nonsense


def test_golden_agent_has_the_silent_commands_that_we_know() -> None:
    info = next(answer for asked, answer in AGENT.answers() if b"guest-info" in asked)
    commands = json.loads(info)["return"]["supported_commands"]
    assert {row["name"] for row in commands if not row["success-response"]} == SILENT


def test_golden_commands_are_answered_by_the_core_as_the_agent_did_or_given_out() -> None:
    """In order: a Sync to be sent back, an error of the same class, or a command for the one that has an answer."""
    core = server()
    for asked, answer in AGENT.answers():
        items = core.receive_data(asked)
        real = [json.loads(part) for part in answer.replace(b"\xff", b"").splitlines()]
        assert len(items) == len(real)
        for item, said in zip(items, real, strict=True):
            if isinstance(item, Sync):
                assert (core.send(item)[:1], json.loads(core.send(item)[1:])) == (b"\xff", said)
            elif isinstance(item, Reply):
                assert refused(item) == (said["error"]["class"], said.get("id", UNSET))


# ---------------------------------------------------------------- getting into step


def test_client_gets_into_step_and_asks() -> None:
    core = client(number=None)
    assert core.data_to_send() == b""
    assert core.send(Sync(MAX_NUMBER)) == (
        b'\xff{"execute":"guest-sync-delimited","arguments":{"id":9007199254740991}}\n'
    )
    assert core.stage is AgentStage.SYNCING
    assert core.receive_data(b'\xff{"return": 9007199254740991}\n') == [Sync(MAX_NUMBER)]
    assert core.send(PING) == b'{"execute":"guest-ping"}\n'
    assert (core.stage, core.asked) == (AgentStage.BUSY, "guest-ping")
    assert core.receive_data(PONG) == [Reply()]
    assert (core.stage, core.asked, core.stale) == (AgentStage.IDLE, "", 0)


STALE = (
    b"",
    b"\n",
    b'par": 7}}\n',
    b'{"return": 42}\n',  # without the mark it is no answer
    b'{"return": {"a": "half',
    b'{"return": {}}\n{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n',
    b'\xff{"return": 41}\n',
    b'\xff{"return": 41}\n{"error": {"class": "GenericError", "desc": "x"}}\n',
    b'\xff{"error": {"class": "GenericError", "desc": "x"}}\n',
    b"\xff\xff\xff",
    b"\xffgarbage\n",
    b'\xff{"return": 4',
    b'\xff{"return": "42"}\n',
    b'\xff{"return": {"a": 42}}\n',
    b'\xff{"error": {"class": 5}}\n',
    b'\xff{"return": ' + b"9" * 2000,
    b"x" * 5000,
)


@pytest.mark.parametrize("stale", STALE)
@pytest.mark.parametrize("more", STALE)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_client_drops_whatever_is_stale_until_its_number_comes(stale: bytes, more: bytes, in_pieces: bool) -> None:
    core = client(number=None, max_message=1000)
    assert core.receive_data(stale) == []
    core.send(Sync(42))
    data = more + b'\xff{"return": 42}\n'
    assert feed(core, each(data) if in_pieces else [data]) == [Sync(42)]
    core.send(PING)
    assert core.receive_data(PONG) == [Reply()]


def test_client_keeps_nothing_of_what_it_drops() -> None:
    """However much an agent says that nobody asked."""
    core = client(number=None, max_message=1000)
    for stage in ("lost", "syncing"):
        for _ in range(50):
            assert core.receive_data(b'{"return": "' + b"x" * 999) == []
        assert core.stage.value == stage
        core.send(Sync(1))


def test_client_answer_to_an_earlier_sync_is_not_the_one() -> None:
    """The first was given up; both are answered, in order."""
    core = client(number=None)
    core.send(Sync(1))
    core.send(Sync(2))
    error = b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n'
    assert core.receive_data(error + b'\xff{"return": 1}\n' + error + b'\xff{"return": 2}\n') == [Sync(2)]


@pytest.mark.parametrize("number", [-1, 2**53])
def test_client_number_of_a_sync_fits_a_double(number: int) -> None:
    with pytest.raises(LocalProtocolError, match="from 0 to 9007199254740991"):
        client().send(Sync(number))


# ---------------------------------------------------------------- one command at a time


@pytest.mark.parametrize(
    ("core", "message", "why"),
    [
        (client(number=None), PING, "guest-ping before the agent is in step: it is lost"),
        (client(), Command("guest-sync-delimited", {"id": 1}), "send a Sync"),
        (client(), Command("guest-ping", oob=True), "out of band"),
        (client(), Reply(), "a client sends no Reply"),
        (client(max_message=100), Command("x", {"a": "x" * 100}), "bytes is longer than 100"),
    ],
)
def test_client_does_not_send_what_may_not_be_sent(core: AgentConnection, message: AgentMessage, why: str) -> None:
    """And is as before."""
    stage = core.stage
    with pytest.raises(LocalProtocolError, match=why):
        core.send(message)
    assert core.stage is stage


def test_client_asks_one_command_at_a_time() -> None:
    """Until it is answered, or given up."""
    core = client()
    core.send(PING)
    with pytest.raises(LocalProtocolError, match="guest-ping is not answered"):
        core.send(Command("guest-info"))
    core.send(Sync(2))
    with pytest.raises(LocalProtocolError, match="guest-info before the agent is in step: it is syncing"):
        core.send(Command("guest-info"))
    assert core.receive_data(PONG + b'\xff{"return": 2}\n') == [Sync(2)]
    assert core.send(Command("guest-info"))


@pytest.mark.parametrize("name", sorted(SILENT))
def test_client_silent_command_is_answered_when_it_fails_only(name: str) -> None:
    """After its success there is nothing to wait for, and a Sync is due."""
    core = client()
    core.send(Command(name))
    assert core.receive_data(b'{"error": {"class": "CommandNotFound", "desc": "disabled"}}\n') == [
        refuse("CommandNotFound", "disabled")
    ]
    core.send(Command(name))
    with pytest.raises(LocalProtocolError, match=f"{name} is not answered"):
        core.send(PING)
    core.send(Sync(2))
    assert core.receive_data(b'\xff{"return": 2}\n') == [Sync(2)]


def test_client_in_step_drops_what_nobody_asked_for() -> None:
    """Answers, also to syncs of before, and between a command and its answer."""
    core = client()
    assert core.receive_data(PONG * 2 + b'{"event": "x"}\n') == []
    assert core.stale == 3
    core.send(PING)
    assert core.receive_data(b'\xff{"return": 9}\n' + PONG) == [Reply()]
    assert core.stale == 4


def test_client_in_step_that_hears_garbage_is_lost_without_an_error() -> None:
    """Nobody waits for anything."""
    for garbage in (b"garbage", b'{"a": tru}\n', b'{"return": "' + b"x" * 2000):
        core = client(max_message=1000)
        assert core.receive_data(garbage) == []
        assert core.stage is AgentStage.LOST
        assert core.receive_data(PONG) == []
        with pytest.raises(LocalProtocolError, match="it is lost"):
            core.send(PING)


def test_client_in_step_forgets_half_a_message_that_a_mark_breaks_off() -> None:
    core = client()
    assert core.receive_data(b'{"return": \xff{"return": 3}\n') == []
    core.send(PING)
    assert core.receive_data(PONG) == [Reply()]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"garbage\n", "no object of JSON"),
        (b'{"return": tru}\n', "not JSON"),
        (b'{"error": {"class": 5}}\n', "wrong types"),
        (b"{}\n", "neither a greeting"),
        (b'{"event": "STOP"}\n', "no reply"),
        (b'{"return": "' + b"x" * 2000, "more than 1000 bytes"),
        (b'{"return": "half\xff{"return": 9}\n', "breaks off"),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_client_answer_that_cannot_be_read_is_an_error_that_a_sync_mends(
    data: bytes, why: str, in_pieces: bool
) -> None:
    core = client(max_message=1000)
    core.send(PING)
    with pytest.raises(RemoteProtocolError, match=f"answer to guest-ping can't be read: .*{why}") as caught:
        feed(core, each(data) if in_pieces else [data])
    assert caught.value.hint == "get into step again, then retry"
    assert core.stage is AgentStage.LOST
    core.send(Sync(2))
    assert core.receive_data(b'\xff{"return": 2}\n') == [Sync(2)]


@pytest.mark.parametrize("in_pieces", [False, True])
def test_client_answer_counts_whatever_stands_behind_it(in_pieces: bool) -> None:
    """Garbage on its line does not take it away; but then we are out of step."""
    core = client()
    core.send(PING)
    data = b'{\n"return": {}\n}\x00'
    assert feed(core, each(data) if in_pieces else [data]) == [Reply()]
    assert core.stage is AgentStage.LOST


def test_client_end_within_an_answer_is_an_error_and_elsewhere_not() -> None:
    core = client()
    core.receive_data(b'{"return"')
    core.receive_eof()
    core = client()
    core.send(PING)
    core.receive_eof()
    core.receive_data(b'{"return"')
    with pytest.raises(RemoteProtocolError, match="within a message, after 9 bytes"):
        core.receive_eof()


# ---------------------------------------------------------------- server


def test_server_gives_out_commands_and_answers_a_sync_in_its_turn() -> None:
    """The mark before it breaks off what was begun, and is answered by an error."""
    core = server()
    first, error, sync, last = core.receive_data(
        b'{"execute": "guest-ping"}{"exec\xff{"execute": "guest-sync-delimited", "arguments": {"id": 5}, "id": 3}'
        b'{"execute": "guest-info", "id": "x", "arguments": {}}'
    )
    assert (first, sync, last) == (PING, Sync(5, 3), Command("guest-info", Raw(b"{}"), "x"))
    assert refused(error) == ("GenericError", UNSET)
    assert core.send(sync) == b'\xff{"return":5,"id":3}\n'
    assert core.send(Reply()) == b'{"return":{}}\n'
    assert core.data_to_send() == b""


@pytest.mark.parametrize(
    ("arguments", "desc"),
    [
        (None, "Parameter 'id' is missing"),
        ({}, "Invalid parameter type for 'id', expected: integer"),
        ({"id": "x"}, "Invalid parameter type for 'id', expected: integer"),
        ({"id": 2**63}, "Invalid parameter type for 'id', expected: integer"),
    ],
)
def test_server_refuses_a_sync_without_a_number(arguments: object, desc: str) -> None:
    members = {"execute": "guest-sync-delimited"} | ({} if arguments is None else {"arguments": arguments})
    assert server().receive_data(json.dumps(members).encode()) == [refuse("GenericError", desc)]


def test_server_knows_nothing_out_of_band() -> None:
    (reply,) = server().receive_data(b'{"exec-oob": "guest-ping"}')
    assert refused(reply) == ("GenericError", UNSET)


def test_server_refuses_a_command_too_long_and_an_end_within_one() -> None:
    core = server(max_message=100)
    core.receive_data(b'{"execute"')
    with pytest.raises(RemoteProtocolError, match="after 10 bytes"):
        core.receive_eof()
    with pytest.raises(RemoteProtocolError, match="more than 100 bytes"):
        core.receive_data(b"x" * 100)
    core.receive_eof()


def test_server_sends_no_commands_and_nothing_too_long() -> None:
    with pytest.raises(LocalProtocolError, match="a server sends no Command"):
        server().send(PING)
    with pytest.raises(LocalProtocolError, match="longer than 100"):
        server(max_message=100).send(Reply(Raw(b'"' + b"x" * 100 + b'"')))


# ---------------------------------------------------------------- both


@given(
    garbage=st.binary(max_size=40), numbers=st.lists(st.integers(0, MAX_NUMBER), min_size=1, max_size=3, unique=True)
)
def test_both_ends_come_into_step_behind_any_garbage(garbage: bytes, numbers: list[int]) -> None:
    """Both ways; earlier syncs may have been asked in vain."""
    here, there = client(number=None), server()
    there.receive_data(garbage)
    asked = garbage.replace(b"\xff", b"") + b"".join(here.send(Sync(number)) for number in numbers)
    answer = garbage + b"".join(there.send(item) for item in there.receive_data(asked) if not isinstance(item, Command))
    heard = here.receive_data(answer)
    assert heard[-1] == Sync(numbers[-1])
    assert there.receive_data(here.send(PING)) == [PING]
    assert here.receive_data(there.send(Reply())) == [Reply()]


def test_connection_shows_how_it_is() -> None:
    core = client()
    assert repr(core) == "<AgentConnection client: idle>"
    core.send(PING)
    assert repr(core) == "<AgentConnection client: guest-ping>"
    there = server()
    there.receive_data(b"{")
    assert repr(there) == "<AgentConnection server: 1 bytes waiting>"
