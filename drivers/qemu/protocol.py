"""QMP, bytes to messages and back: no I/O, either role. Follows reference/drivers.md §1 and QEMU's qmp-spec.

    CONNECTED ──greeting──▶ GREETED ──qmp_capabilities──▶ NEGOTIATING ──its reply──▶ READY
                               ▲                              │
                               └───────── refused ────────────┘

**Client.** The first message is the greeting; then `qmp_capabilities` is sent, and may enable only what was offered.
Commands may follow it at once, out-of-band ones when it is answered. Events may overtake that answer, since QEMU opens
the monitor first and answers then; so they are given out from the greeting on.

**Server.** `data_to_send` begins with the greeting. Until `qmp_capabilities` succeeded every other command is refused
and no event is sent. What the core answers by itself (negotiation, and input that is no command) comes out of
`receive_data` as a `Reply` among the commands: send it when the commands before it are answered, since replies keep the
order of what they answer. A parser that hangs in half a message is set free by a reset byte (see `wire/jsonlines.py`).

What costs the connection, and is a `RemoteProtocolError`: no greeting first, or a second one; what isn't JSON, or of
other types; a message that is too long; an end within a message. Every later call of `receive_data` raises it again.
A server outlives all that is not too long. `pretty=on` is understood.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NoReturn

import msgspec

from avirt.drivers.qemu.messages import (
    SAID,
    Command,
    Event,
    Greeting,
    Message,
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
from avirt.drivers.wire.jsonlines import MAX_MESSAGE, JSONLines, JSONValues, decode
from avirt.drivers.wire.role import Role
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_MESSAGE",
    "NEGOTIATE",
    "OOB",
    "Command",
    "Connection",
    "Event",
    "Greeting",
    "Message",
    "Refusal",
    "Reply",
    "Role",
    "Stage",
    "Timestamp",
]

NEGOTIATE: Final = "qmp_capabilities"
OOB: Final = "oob"
"""The only capability there is (qapi/control.json, QMPCapability)."""

_HINT: Final = "check that the socket is a QMP monitor's (-qmp, or -mon with mode=control)"
_AGAIN: Final = "connect again; if it stays so, report it with a recording (`avirt record`)"
_BANNERS: Final = (
    (b"QEMU ", "it is QEMU's monitor for people: give QEMU one for programs (-qmp unix:PATH,server=on,wait=off)"),
    (b"HTTP/", "it is an HTTP server: give the address of a QMP monitor"),
    (b"SSH-", "it is an SSH server: use qmp+ssh://HOST/PATH for a monitor behind one"),
    (b"RFB ", "it is a VNC display: give the address of a QMP monitor"),
    (b"\x15\x03", "it speaks TLS: use qmp+tcp://…?tls=1"),
)
"""How others greet whom they might be taken for."""


class _Arguments(msgspec.Struct):
    """Of `qmp_capabilities`."""

    enable: tuple[str, ...] = ()


_ARGUMENTS: Final = msgspec.json.Decoder(_Arguments)


def _enabled_by(command: Command) -> frozenset[str]:
    """What a `qmp_capabilities` wants; RemoteProtocolError if that is no list of names."""
    arguments = command.arguments
    data = arguments if isinstance(arguments, msgspec.Raw) else to_raw(dict(arguments or {}))
    return frozenset(decode(_ARGUMENTS, data).enable)


class Stage(Enum):
    """How far a connection is; see the diagram above."""

    CONNECTED = "connected"
    GREETED = "greeted"
    NEGOTIATING = "negotiating"
    READY = "ready"


class Connection:
    """One end of a connection.

    Args:
        role: which end.
        max_message: refuse longer messages, in both directions.
        greeting: what a server says of itself.

    Attributes:
        stage: how far it is.
        greeting: what the server said of itself, once it did.
        enabled: the capabilities that are.
    """

    def __init__(self, role: Role, *, max_message: int = MAX_MESSAGE, greeting: Greeting | None = None) -> None:
        if (role is Role.SERVER) != (greeting is not None):
            raise LocalProtocolError("a server has a greeting, and a client none")
        self.role = role
        self.max_message = max_message
        self.stage = Stage.CONNECTED if greeting is None else Stage.GREETED
        self.greeting = greeting
        self._owed = b"" if greeting is None else server_bytes(greeting) + b"\r\n"
        self.enabled: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._lines = JSONLines(SAID, max_message=max_message)
        self._values = JSONValues(max_message=max_message)
        self._error: RemoteProtocolError | None = None

    def __repr__(self) -> str:
        state = "failed" if self._error else f"{self.stage.value}, {self._pending} bytes waiting"
        return f"<Connection {self.role.value}: {state}>"

    @property
    def is_ready(self) -> bool:
        """Whether the negotiation is done."""
        return self.stage is Stage.READY

    @property
    def _pending(self) -> int:
        return self._lines.pending or self._values.pending

    def receive_data(self, data: bytes) -> list[Message]:
        """Take bytes; answers the messages that are complete now.

        Raises:
            RemoteProtocolError: the peer broke the rules; close the connection.
        """
        if self._error is not None:
            raise self._error
        messages: list[Message] = []
        try:
            if self.role is Role.SERVER:
                messages += [self._obey(piece) for piece in self._values.feed(data)]
            elif self.stage is Stage.READY:
                messages += [self._hear(said) for said in self._lines.feed(data)]
            else:
                messages += [self._negotiate(self._hear(said)) for said in self._lines.feed(data)]
        except RemoteProtocolError as error:
            self._fail(error, data)
        return messages

    def receive_eof(self) -> None:
        """The peer will send nothing more.

        Raises:
            RemoteProtocolError: in the middle of a message.
        """
        if self._error is not None:
            raise self._error
        if size := self._pending:
            self._error = RemoteProtocolError(
                f"the connection ended within a message, after {size} bytes of it", hint=_AGAIN
            )
            raise self._error

    def send(self, message: Message) -> bytes:
        """The bytes of one message; none for an event before the negotiation is done, since no server sends it then.

        Raises:
            LocalProtocolError: this end may not send it, not yet, or it can't be written.
        """
        if self.role is Role.SERVER:
            if not isinstance(message, Reply | Event):
                raise LocalProtocolError(f"a server sends no {type(message).__name__}")
            if isinstance(message, Event) and self.stage is not Stage.READY:
                return b""
            data = server_bytes(message) + b"\r\n"
        else:
            if not isinstance(message, Command):
                raise LocalProtocolError(f"a client sends no {type(message).__name__}")
            data = command_bytes(message) + b"\n"
        if len(data) > self.max_message:
            raise LocalProtocolError(f"a message of {len(data)} bytes is longer than {self.max_message}")
        if isinstance(message, Command):
            self._admit(message)
        return data

    def data_to_send(self) -> bytes:
        """What this end owes by itself: a server its greeting, once, ahead of everything; a client nothing."""
        owed, self._owed = self._owed, b""
        return owed

    # ------------------------------------------------------------ client

    def _admit(self, command: Command) -> None:
        """Whether a command may be sent now."""
        if self._error is not None:
            raise LocalProtocolError("the connection failed")
        if command.name == NEGOTIATE:
            self._ask(command)
        elif self.stage in (Stage.CONNECTED, Stage.GREETED):
            raise LocalProtocolError(f"{command.name} before {NEGOTIATE}")
        elif command.oob and OOB not in self.enabled:
            raise LocalProtocolError(f"{command.name} out of band, which is not enabled")

    def _ask(self, command: Command) -> None:
        """The negotiation begins."""
        if self.greeting is None or self.stage is not Stage.GREETED:
            raise LocalProtocolError(f"{NEGOTIATE} is sent once, after the greeting; here it is {self.stage.value}")
        try:
            enable = _enabled_by(command)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"{NEGOTIATE} takes a list of names: {error}") from error
        if missing := sorted(enable.difference(self.greeting.capabilities)):
            raise LocalProtocolError(f"the server did not offer {', '.join(missing)}")
        self._asked = enable
        self.stage = Stage.NEGOTIATING

    def _hear(self, said: Said) -> Greeting | Reply | Event:
        message = said.message()
        if isinstance(message, Greeting) and self.stage is not Stage.CONNECTED:
            raise RemoteProtocolError("a second greeting")
        return message

    def _negotiate(self, message: Greeting | Reply | Event) -> Message:
        """As long as it isn't done."""
        if isinstance(message, Greeting):
            self.greeting = message
            self.stage = Stage.GREETED
        elif self.stage is Stage.CONNECTED:
            raise RemoteProtocolError("its first message is no greeting")
        elif isinstance(message, Reply) and self.stage is Stage.NEGOTIATING:
            if message.error is None:
                self.enabled = self._asked
                self.stage = Stage.READY
            else:
                self.stage = Stage.GREETED
        return message

    def _fail(self, error: RemoteProtocolError, data: bytes) -> NoReturn:
        """The peer broke the rules."""
        hint = _AGAIN
        if self.stage is Stage.CONNECTED:
            hint = next((hint for banner, hint in _BANNERS if data.lstrip().startswith(banner)), _HINT)
        self._lines.clear()
        self._values.clear()
        self._error = RemoteProtocolError(f"the peer does not speak QMP: {error}", hint=hint)
        raise self._error from error

    # ------------------------------------------------------------ server

    def _obey(self, piece: bytes) -> Message:
        """A command, or what the core answers instead (texts of QEMU 7.2)."""
        command = read_command(piece, oob=OOB in self.enabled)
        if isinstance(command, Reply):
            return command
        if command.name == NEGOTIATE:
            return self._enable(command)
        if self.stage is Stage.READY:
            return command
        return refuse("CommandNotFound", f"Expecting capabilities negotiation with '{NEGOTIATE}'", command.id)

    def _enable(self, command: Command) -> Reply:
        if self.stage is Stage.READY:
            return refuse(
                "CommandNotFound", "Capabilities negotiation is already complete, command ignored", command.id
            )
        try:
            enable = _enabled_by(command)
        except RemoteProtocolError:
            return refuse("GenericError", "Invalid parameter type for 'enable', expected: array", command.id)
        offered = () if self.greeting is None else self.greeting.capabilities
        for capability in sorted(enable.difference(offered)):
            return refuse("GenericError", f"Parameter 'enable' does not accept value '{capability}'", command.id)
        self.enabled = enable
        self.stage = Stage.READY
        return Reply(id=command.id)
