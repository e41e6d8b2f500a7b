"""The messages of QMP and of the guest agent, and their JSON. Follows reference/drivers.md §1 and QEMU's qmp-spec.

What commands take and give stays JSON (`msgspec.Raw`): whoever knows the command decodes it, so that an unknown event,
or an answer that can't be read, costs that message and not the connection. Members that nobody knows are ignored in
what servers say; in what clients say they are refused, as QEMU refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from avirt.drivers.wire.jsonlines import ascii_json, decode
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "NOTHING",
    "SAID",
    "Command",
    "Event",
    "Greeting",
    "Message",
    "Refusal",
    "Reply",
    "Said",
    "Timestamp",
    "command_bytes",
    "read_command",
    "refuse",
    "server_bytes",
    "to_raw",
]

NOTHING: Final = Raw(b"{}")
"""What a command returns that returns nothing, and the data of an event that has none."""

_Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Greeting(msgspec.Struct, frozen=True, gc=False):
    """The first message of a QMP server.

    Attributes:
        version: of QEMU: major, minor, micro.
        package: the distribution's name for it, or "".
        capabilities: what may be enabled; unknown ones too.
    """

    version: tuple[int, int, int]
    package: str = ""
    capabilities: tuple[str, ...] = ()


class Command(msgspec.Struct, frozen=True):
    """What a client wants done.

    Attributes:
        arguments: an object; None is none. From a client they come as JSON.
        id: any JSON, which its reply carries again; UNSET is none. Integers above 64 bits come back as floats.
        oob: out of band, ahead of commands that wait (`exec-oob`).
    """

    name: str
    arguments: Raw | Mapping[str, object] | None = None
    id: object = UNSET
    oob: bool = False


class Refusal(msgspec.Struct, frozen=True, gc=False, rename={"error_class": "class"}):
    """Why a command failed.

    Attributes:
        error_class: one of reference/drivers.md's five; unknown ones stay what they are.
        desc: for people.
    """

    error_class: str
    desc: str = ""


class Reply(msgspec.Struct, frozen=True):
    """The answer to a command.

    Attributes:
        value: what it returned, as JSON.
        error: why it failed, or None.
        id: the command's; UNSET if that had none, or could not be read that far.
    """

    value: Raw = NOTHING
    error: Refusal | None = None
    id: object = UNSET


class Timestamp(msgspec.Struct, frozen=True, gc=False):
    """When an event was, by the clock of its host."""

    seconds: _Int64
    microseconds: _Int64


class Event(msgspec.Struct, frozen=True, gc=False):
    """What happened.

    Attributes:
        data: an object, as JSON.
        timestamp: None: the host's clock failed.
    """

    name: str
    data: Raw = NOTHING
    timestamp: Timestamp | None = None


Message: TypeAlias = Greeting | Command | Reply | Event

# ---------------------------------------------------------------- what servers say


class _Version(msgspec.Struct, frozen=True):
    major: int
    minor: int
    micro: int


class _Product(msgspec.Struct, frozen=True):
    qemu: _Version
    package: str = ""


class _Hello(msgspec.Struct, frozen=True):
    version: _Product
    capabilities: tuple[str, ...] = ()


_NO_RAW: Final = Raw()
_NO_TIME: Final = Timestamp(-1, -1)


class Said(msgspec.Struct, omit_defaults=True, rename={"hello": "QMP", "value": "return"}):
    """Any message of a server, as it is in JSON. `value` can't be `Raw | None`: msgspec then takes null only."""

    hello: _Hello | UnsetType = UNSET
    value: Raw = _NO_RAW
    error: Refusal | UnsetType = UNSET
    id: object = UNSET
    event: str | UnsetType = UNSET
    data: Raw = _NO_RAW
    timestamp: Timestamp | UnsetType = UNSET

    def message(self) -> Greeting | Reply | Event:
        """What it is.

        Raises:
            RemoteProtocolError: nothing that a server says.
        """
        if self.value is not _NO_RAW and self.error is UNSET:
            return Reply(self.value, None, self.id)
        if self.event is not UNSET:
            timestamp = None if self.timestamp is UNSET else self.timestamp
            if timestamp is not None and timestamp.seconds == -1 == timestamp.microseconds:
                timestamp = None
            return Event(self.event, NOTHING if self.data is _NO_RAW else self.data, timestamp)
        if self.error is not UNSET:
            return Reply(NOTHING, self.error, self.id)
        if self.hello is not UNSET:
            version = self.hello.version
            qemu = version.qemu
            return Greeting((qemu.major, qemu.minor, qemu.micro), version.package, self.hello.capabilities)
        raise RemoteProtocolError("a message that is neither a greeting, nor a reply, nor an event")


SAID: Final = msgspec.json.Decoder(Said)


def server_bytes(message: Greeting | Reply | Event) -> bytes:
    """A server's message, without the newline.

    Raises:
        LocalProtocolError: something in it is no JSON.
    """
    match message:
        case Reply(error=None):
            said = Said(value=message.value, id=message.id)
        case Reply(error=error):
            said = Said(error=error or UNSET, id=message.id)
        case Event():
            said = Said(event=message.name, data=message.data, timestamp=message.timestamp or _NO_TIME)
        case _:
            version = _Product(_Version(*message.version), message.package)
            said = Said(hello=_Hello(version, message.capabilities))
    try:
        return ascii_json(_encode(said))
    except UnicodeDecodeError as error:
        raise LocalProtocolError(f"this is no JSON: {error}") from error


# ---------------------------------------------------------------- what clients say


class _Asked(msgspec.Struct, omit_defaults=True, rename={"exec_oob": "exec-oob"}):
    execute: str = ""
    exec_oob: str = ""
    arguments: Raw = _NO_RAW
    id: object = UNSET


_ENCODER: Final = msgspec.json.Encoder()
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ANY: Final = msgspec.json.Decoder(dict[str, object])


def _encode(value: object) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"this is no JSON: {error}") from error


def to_raw(value: object) -> Raw:
    """A value as JSON.

    Raises:
        LocalProtocolError: it can't be.
    """
    return Raw(_encode(value))


def command_bytes(command: Command) -> bytes:
    """A client's message, without the newline.

    Raises:
        LocalProtocolError: it has no name, its arguments are no object, or something in it is no JSON.
    """
    if not command.name:
        raise LocalProtocolError("a command without a name")
    arguments = _NO_RAW
    if command.arguments is not None:
        arguments = command.arguments if isinstance(command.arguments, Raw) else to_raw(dict(command.arguments))
        try:
            decode(_OBJECT, arguments)
            bytes(arguments).decode()
        except (RemoteProtocolError, UnicodeDecodeError) as error:
            raise LocalProtocolError(f"the arguments of {command.name} are no object of JSON: {error}") from error
    execute, exec_oob = ("", command.name) if command.oob else (command.name, "")
    return _encode(_Asked(execute, exec_oob, arguments, command.id))


def refuse(error_class: str, desc: str, id: object = UNSET) -> Reply:
    """A server's reply to what fails."""
    return Reply(error=Refusal(error_class, desc), id=id)


def read_command(piece: bytes, *, oob: bool) -> Command | Reply:
    """What a client sent: a command, or what QEMU answers if it is none.

    Args:
        oob: whether that is enabled; else QEMU knows no `exec-oob`.
    """
    try:
        members = _OBJECT.decode(piece)
        values = _ANY.decode(piece)  # all of it: a value that nobody looks at has to be one, too
    except (ValueError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError) and "Expected `object`" in str(error):
            return refuse("GenericError", "QMP input must be a JSON object")
        return refuse("GenericError", f"JSON parse error, {error}")
    id = values.get("id", UNSET)
    names = ("execute", "exec-oob") if oob else ("execute",)
    for member in values:
        if member not in {*names, "arguments", "id"}:
            return refuse("GenericError", f"QMP input member '{member}' is unexpected", id)
    named = [member for member in names if member in values]
    if len(named) > 1:
        return refuse("GenericError", "QMP input member 'execute' clashes with 'exec-oob'", id)
    if not named:
        return refuse("GenericError", "QMP input lacks member 'execute'", id)
    name = values[named[0]]
    if not isinstance(name, str):
        return refuse("GenericError", f"QMP input member '{named[0]}' must be a string", id)
    if not isinstance(values.get("arguments", {}), dict):
        return refuse("GenericError", "QMP input member 'arguments' must be an object", id)
    return Command(name, members.get("arguments"), id, named[0] == "exec-oob")
