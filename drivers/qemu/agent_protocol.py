r"""The guest agent's protocol, bytes to messages and back: no I/O, either role. Follows reference/drivers.md §1.

It is QMP without greeting, negotiation and events, over a channel that outlives both ends: what an agent wrote to a
client that is gone, or half a message of an agent that died, comes to the next client. So the ends get into step first:

    LOST ──Sync──▶ SYNCING ──0xFF, later the same number──▶ IDLE ──Command──▶ BUSY ──its Reply──▶ IDLE
      ▲            (again from anywhere)                      │                 │
      └───────────────────── what can't be read ──────────────┴─────────────────┘

**Client.** Send a `Sync` on connecting, and after every time-out: whatever was asked before is then given up, and all
that comes is dropped until the answer with its number. One command at a time, since replies carry no number: agents
before QEMU 3.0 refuse an `id`. What comes without having been asked for is dropped, and counted in `stale`. What can't
be read in the place of a reply is a `RemoteProtocolError`; the next `Sync` mends it, so the connection need not be
closed.

The commands in `SILENT` are not answered when they succeed. That is seen elsewhere (QMP's SHUTDOWN and SUSPEND), and
before the next command there has to be a `Sync`.

**Server.** `receive_data` gives commands, and what the core answers by itself: the `Sync` it was asked for, and a
`Reply` to what is no command. Send those back in their turn. The 0xFF before a `Sync` is answered by an error, as by
the real agent.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw

from avirt.drivers.qemu.messages import (
    SAID,
    Command,
    Reply,
    Said,
    command_bytes,
    read_command,
    refuse,
    server_bytes,
    to_raw,
)
from avirt.drivers.wire.jsonlines import MAX_MESSAGE, JSONLines, JSONValues
from avirt.drivers.wire.role import Role
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_NUMBER", "SILENT", "AgentConnection", "AgentMessage", "AgentStage", "Sync"]

SILENT: Final = frozenset({"guest-shutdown", "guest-suspend-disk", "guest-suspend-ram", "guest-suspend-hybrid"})
"""Commands with 'success-response': false (qga/qapi-schema.json; `guest-info` of a real agent says the same)."""

MAX_NUMBER: Final = 2**53 - 1
"""Of a `Sync`: whoever reads JSON's numbers as doubles keeps this one."""

_SYNC: Final = "guest-sync-delimited"
_MARK: Final = b"\xff"


class _Number(msgspec.Struct):
    """The arguments of `guest-sync-delimited`."""

    id: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


_NUMBER: Final = msgspec.json.Decoder(_Number)


class Sync(msgspec.Struct, frozen=True, gc=False):
    """A client's wish to get into step (`guest-sync-delimited`), and its answer.

    Attributes:
        number: one that was not used before on this channel, from 0 to `MAX_NUMBER`.
        id: as of any command; ours have none.
    """

    number: int
    id: object = UNSET


AgentMessage: TypeAlias = Command | Reply | Sync


class AgentStage(Enum):
    """How a client is with its agent; see the diagram above."""

    LOST = "lost"
    SYNCING = "syncing"
    IDLE = "idle"
    BUSY = "busy"


class AgentConnection:
    """One end of a connection.

    Args:
        role: which end.
        max_message: refuse longer messages, in both directions.

    Attributes:
        stage: of a client, how it is with its agent.
        asked: the name of the command that is unanswered, or "".
        stale: answers, and what looked like some, that nobody had asked for.
    """

    def __init__(self, role: Role, *, max_message: int = MAX_MESSAGE) -> None:
        self.role = role
        self.max_message = max_message
        self.stage = AgentStage.LOST
        self.asked = ""
        self.stale = 0
        self._number = b""
        self._is_listening = False  # behind a mark, or in step
        self._is_marked = False  # nothing came behind the mark yet
        self._lines = JSONLines(SAID, max_message=max_message)
        self._values = JSONValues(max_message=max_message)

    def __repr__(self) -> str:
        state = self.asked or self.stage.value if self.role is Role.CLIENT else f"{self._values.pending} bytes waiting"
        return f"<AgentConnection {self.role.value}: {state}>"

    def receive_data(self, data: bytes) -> list[AgentMessage]:
        """Take bytes; answers the messages that are complete now.

        Raises:
            RemoteProtocolError: what came for a reply can't be read: send a `Sync`; or, for a server, is too long.
        """
        messages: list[AgentMessage] = []
        if self.role is Role.SERVER:
            messages += [self._obey(piece) for piece in self._values.feed(data)]
            return messages
        first, *marked = data.split(_MARK)
        self._hear_lines(first, messages)
        for part in marked:
            self._hear_mark()
            self._hear_lines(part, messages)
        return messages

    def receive_eof(self) -> None:
        """The peer will send nothing more.

        Raises:
            RemoteProtocolError: in the middle of a reply that was asked for, or of a command.
        """
        size = self._values.pending or (self._lines.pending if self.stage is AgentStage.BUSY else 0)
        if size:
            raise RemoteProtocolError(
                f"the guest agent's connection ended within a message, after {size} bytes of it",
                hint="the guest may have been stopped: connect again when it runs",
            )

    def send(self, message: AgentMessage) -> bytes:
        """The bytes of one message.

        Raises:
            LocalProtocolError: this end may not send it, not now, or it can't be written.
        """
        data = (self._answer(message) if self.role is Role.SERVER else self._ask(message)) + b"\n"
        if len(data) > self.max_message:
            raise LocalProtocolError(f"a message of {len(data)} bytes is longer than {self.max_message}")
        if isinstance(message, Command):
            self.stage = AgentStage.BUSY
            self.asked = message.name
        elif isinstance(message, Sync) and self.role is Role.CLIENT:
            self._lose(AgentStage.SYNCING)
            self._number = str(message.number).encode()
        return data

    def data_to_send(self) -> bytes:
        """What this end owes by itself: nothing."""
        return b""

    # ------------------------------------------------------------ client

    def _ask(self, message: AgentMessage) -> bytes:
        """What a client says, if it may now."""
        if isinstance(message, Sync):
            if not 0 <= message.number <= MAX_NUMBER:
                raise LocalProtocolError(f"the number of a Sync is from 0 to {MAX_NUMBER}, not {message.number}")
            return _MARK + command_bytes(Command(_SYNC, {"id": message.number}, message.id))
        if isinstance(message, Reply):
            raise LocalProtocolError("a client sends no Reply")
        if message.name == _SYNC or message.oob:
            raise LocalProtocolError("to get into step send a Sync; out of band an agent takes nothing")
        if self.stage is AgentStage.BUSY:
            raise LocalProtocolError(f"{self.asked} is not answered: wait for that, or give it up by a Sync")
        if self.stage is not AgentStage.IDLE:
            raise LocalProtocolError(f"{message.name} before the agent is in step: it is {self.stage.value}")
        return command_bytes(message)

    def _lose(self, stage: AgentStage) -> None:
        """Whatever is under way is given up."""
        self.stage = stage
        self.asked = ""
        self._is_listening = self._is_marked = False
        self._lines.clear()

    def _hear_mark(self) -> None:
        """The byte that no JSON holds came: the answer to a `Sync` begins, ours or an earlier one."""
        if self.stage is AgentStage.BUSY and self._lines.pending:
            self._confused(RemoteProtocolError("a reply that breaks off"))
        self._lines.clear()
        self._is_marked = True
        self._is_listening = self.stage is not AgentStage.LOST

    def _hear_lines(self, data: bytes, messages: list[AgentMessage]) -> None:
        """What stands between two marks; what is complete counts before what can't be read."""
        if not self._is_listening:
            return
        said: list[Said] = []
        try:
            try:
                self._lines.feed_into(said, data)
            finally:
                for each in said:
                    self._hear(each, messages)
        except RemoteProtocolError as error:
            self._confused(error)

    def _hear(self, said: Said, messages: list[AgentMessage]) -> None:
        """One object of JSON."""
        is_marked, self._is_marked = self._is_marked, False
        if self.stage is AgentStage.SYNCING and bytes(said.value) == self._number:
            self.stage = AgentStage.IDLE
            messages.append(Sync(int(self._number), said.id))
        elif self.stage is not AgentStage.BUSY or is_marked:
            self.stale += 1
        else:
            reply = said.message()
            if not isinstance(reply, Reply):
                raise RemoteProtocolError("a message that is no reply")
            self.stage = AgentStage.IDLE
            self.asked = ""
            messages.append(reply)

    def _confused(self, error: RemoteProtocolError) -> None:
        """It can't be read. If nobody waits for it that is no error, but we are out of step."""
        asked = self.asked
        self._lose(AgentStage.SYNCING if self.stage is AgentStage.SYNCING else AgentStage.LOST)
        self.stale += not asked
        if asked:
            raise RemoteProtocolError(
                f"the guest agent's answer to {asked} can't be read: {error}", hint="get into step again, then retry"
            ) from error

    # ------------------------------------------------------------ server

    def _obey(self, piece: bytes) -> AgentMessage:
        """A command, or what the core answers instead (texts of qemu-ga 7.2)."""
        command = read_command(piece, oob=False)
        if isinstance(command, Reply) or command.name != _SYNC:
            return command
        if not isinstance(command.arguments, Raw):
            return refuse("GenericError", "Parameter 'id' is missing", command.id)
        try:
            return Sync(_NUMBER.decode(command.arguments).id, command.id)
        except msgspec.DecodeError:
            return refuse("GenericError", "Invalid parameter type for 'id', expected: integer", command.id)

    def _answer(self, message: AgentMessage) -> bytes:
        if isinstance(message, Sync):
            return _MARK + server_bytes(Reply(to_raw(message.number), id=message.id))
        if isinstance(message, Reply):
            return server_bytes(message)
        raise LocalProtocolError("a server sends no Command")
