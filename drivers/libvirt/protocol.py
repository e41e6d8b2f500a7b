"""libvirt's RPC messages, bytes to messages and back: no I/O, either role. Follows reference/libvirt-wire.md §1 to §4.

A message is a length (which counts itself), a header of six words and a payload. The payload stays bytes: whoever knows
the procedure decodes it with `codec`, so that an event nobody knows, or a payload that can't be decoded, costs that
message and not the connection.

What costs the connection, and is a `RemoteProtocolError`: a length outside the limits, a header that no version of the
protocol has, descriptors that don't come as announced, an end in the middle of a message. Behind such an error nothing
can be trusted any more, and every later call of `receive_data` raises it again.

**Descriptors** (§2): a message of type CALL_WITH_FDS or REPLY_WITH_FDS begins its payload with their number. Behind the
message, and not in its length, comes one byte a descriptor, each with one descriptor attached by the kernel. The
core counts those bytes and gives the message out when all of them, and their descriptors, are here. Descriptors belong
to the message that carries them, and until then to the connection: `take_fds` gives those that no message has.

**Keepalive** (§4): a ping is answered by a pong that `data_to_send` gives out, which goes ahead of everything queued.
Pings and pongs are messages as well, and are given out with the others: they are signs of life.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NoReturn

import msgspec

from avirt.drivers.wire.role import Role
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "COUNT",
    "HEADER",
    "HEADER_SIZE",
    "KEEPALIVE_PROGRAM",
    "MAX_FDS",
    "MAX_MESSAGE",
    "MAX_STREAM_DATA",
    "Connection",
    "Message",
    "MessageStatus",
    "MessageType",
    "Role",
]

MAX_MESSAGE: Final = 33_554_436
"""VIR_NET_MESSAGE_MAX (header and payload) and the 4 bytes of the length."""
HEADER_SIZE: Final = 28
"""VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_HEADER_MAX: nothing shorter is sane."""
MAX_FDS: Final = 32
"""VIR_NET_MESSAGE_NUM_FDS_MAX."""
MAX_STREAM_DATA: Final = 262_120
"""VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX: what the servers themselves put into a stream packet, and all of them take."""

KEEPALIVE_PROGRAM: Final = 0x6B656570
PING: Final = 1
PONG: Final = 2

PROGRAM_VERSION: Final = 1
"""Of all four programs, since ever."""


class MessageType(IntEnum):
    """virNetMessageType."""

    CALL = 0
    REPLY = 1
    MESSAGE = 2
    """An event, or keepalive. Its serial means nothing."""
    STREAM = 3
    CALL_WITH_FDS = 4
    REPLY_WITH_FDS = 5
    STREAM_HOLE = 6


class MessageStatus(IntEnum):
    """virNetMessageStatus."""

    OK = 0
    ERROR = 1
    CONTINUE = 2
    """Of streams only."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message.

    Attributes:
        program, procedure: which; 0x20008086 is the remote program.
        serial: a call's number, kept by its reply and its stream.
        payload: without the descriptors' number.
        fds: descriptors that came with it. Who takes the message out of the core owns and closes them.
    """

    program: int
    procedure: int
    type: MessageType
    serial: int
    status: MessageStatus = MessageStatus.OK
    payload: bytes = b""
    fds: tuple[int, ...] = ()


HEADER: Final = struct.Struct(">IIIiiIi")
"""Length, program, version, procedure, type, serial, status."""
COUNT: Final = struct.Struct(">I")
"""A length, and the number of descriptors."""

_STREAM_KINDS: Final = (
    (MessageType.STREAM, MessageStatus.OK),
    (MessageType.STREAM, MessageStatus.ERROR),
    (MessageType.STREAM, MessageStatus.CONTINUE),
    (MessageType.STREAM_HOLE, MessageStatus.CONTINUE),
)

# What may arrive at each end (§1, table of types and statuses). A client's only message of type MESSAGE is keepalive.
_ARRIVES: Final = {
    Role.CLIENT: (
        (MessageType.REPLY, MessageStatus.OK),
        (MessageType.REPLY, MessageStatus.ERROR),
        (MessageType.REPLY_WITH_FDS, MessageStatus.OK),
        (MessageType.REPLY_WITH_FDS, MessageStatus.ERROR),
        (MessageType.MESSAGE, MessageStatus.OK),
        *_STREAM_KINDS,
    ),
    Role.SERVER: (
        (MessageType.CALL, MessageStatus.OK),
        (MessageType.CALL_WITH_FDS, MessageStatus.OK),
        (MessageType.MESSAGE, MessageStatus.OK),
        *_STREAM_KINDS,
    ),
}

_WITH_FDS: Final = frozenset({MessageType.CALL_WITH_FDS, MessageType.REPLY_WITH_FDS})
_PEER: Final = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}

_PONG_FRAME: Final = HEADER.pack(HEADER_SIZE, KEEPALIVE_PROGRAM, PROGRAM_VERSION, PONG, MessageType.MESSAGE, 0, 0)


_REPLY: Final = MessageType.REPLY
_OK: Final = MessageStatus.OK


class Connection:
    """One end of a connection.

    Args:
        role: which end.
        max_message: refuse longer messages, in both directions; the length word counts.
    """

    def __init__(self, role: Role, *, max_message: int = MAX_MESSAGE) -> None:
        self.role = role
        self.max_message = max_message
        # By (type, status) as on the wire, so that one look-up both checks and converts.
        self._arrives: dict[tuple[int, int], tuple[MessageType, MessageStatus, bool]] = {
            (type, status): (type, status, type in _WITH_FDS) for type, status in _ARRIVES[role]
        }
        self._leaves = frozenset(_ARRIVES[_PEER[role]])
        self._buffer = bytearray()
        self._wanted = 0  # so many bytes must be here before it is worth looking again
        self._fds: list[int] = []
        self._pong_owed = False
        self._replies = MessageType.REPLY if role is Role.CLIENT else None
        self._error: RemoteProtocolError | None = None

    def __repr__(self) -> str:
        state = "failed" if self._error else f"{len(self._buffer)} bytes, {len(self._fds)} descriptors waiting"
        return f"<Connection {self.role.value}: {state}>"

    def receive_data(self, data: bytes, fds: Sequence[int] = ()) -> list[Message]:
        """Take bytes, and descriptors that came with them; answers the messages that are complete now.

        Raises:
            RemoteProtocolError: the peer broke the rules; close the connection, and what `take_fds` gives.
        """
        if self._error is not None:
            raise self._error
        self._fds += fds
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        messages: list[Message] = []
        used = self._parse(data, messages)
        if used < len(data):
            self._buffer += memoryview(data)[used:]
        if len(self._fds) > MAX_FDS:
            self._fail(f"{len(self._fds)} descriptors came that no message announced", messages)
        return messages

    def receive_reply(self, data: bytes) -> Message | None:
        """As `receive_data` if this is one reply, whole, alone and without an error; else None, and nothing is taken.

        That is what most reads bring, hence a way of its own (client).
        """
        if self._buffer or self._fds or self._error is not None or len(data) < HEADER_SIZE:
            return None
        length, program, version, procedure, type_, serial, status = HEADER.unpack_from(data)
        if length != len(data) or length > self.max_message or type_ != self._replies or status or version != 1:
            return None
        return Message(program, procedure, _REPLY, serial, _OK, data[HEADER_SIZE:])

    def _parse(self, data: bytes, messages: list[Message]) -> int:
        """Collect the complete messages; answers how many bytes they take."""
        position, end = 0, len(data)
        arrives, unpack, limit = self._arrives, HEADER.unpack_from, self.max_message
        while end - position >= HEADER_SIZE:
            length, program, version, procedure, type_, serial, status = unpack(data, position)
            if not HEADER_SIZE <= length <= limit:
                self._fail(_bad_length(length, limit), messages)
            kind = arrives.get((type_, status))
            if kind is None or version != PROGRAM_VERSION:
                what = f"type {type_}, status {status}, version {version}"
                self._fail(f"a message of {what}, which may not arrive at a {self.role.value}", messages)
            stop = position + length
            if stop > end:
                self._wanted = length
                return position
            start, count = position + HEADER_SIZE, 0
            if kind[2]:
                count = self._fd_count(data, start, stop, messages)
                start += COUNT.size
                if stop + count > end:
                    self._wanted = length + count
                    return position
            fds = self._claim(count, messages) if count else ()
            if program == KEEPALIVE_PROGRAM and procedure == PING:
                self._pong_owed = True
            messages.append(Message(program, procedure, kind[0], serial, kind[1], data[start:stop], fds))
            position = stop + count
        if end - position >= COUNT.size:
            (length,) = COUNT.unpack_from(data, position)
            if not HEADER_SIZE <= length <= limit:
                self._fail(_bad_length(length, limit), messages)
            self._wanted = HEADER_SIZE
        else:
            self._wanted = COUNT.size
        return position

    def _fd_count(self, data: bytes, start: int, stop: int, messages: list[Message]) -> int:
        """How many descriptors a message announces."""
        if stop - start < COUNT.size:
            self._fail("a message with descriptors that doesn't say how many", messages)
        (count,) = COUNT.unpack_from(data, start)
        if count > MAX_FDS:
            self._fail(f"a message announces {count} descriptors, more than {MAX_FDS}", messages)
        return int(count)

    def _claim(self, count: int, messages: list[Message]) -> tuple[int, ...]:
        """Take the oldest descriptors. The kernel delivers each with its byte, and the bytes are here."""
        if count > len(self._fds):
            self._fail(f"a message announces {count} descriptors, but {len(self._fds)} came", messages)
        fds = tuple(self._fds[:count])
        del self._fds[:count]
        return fds

    def _fail(self, why: str, messages: Sequence[Message]) -> NoReturn:
        """The peer broke the rules. Messages not given out give their descriptors back."""
        self._fds[:0] = [fd for message in messages for fd in message.fds]
        self._buffer.clear()
        self._error = RemoteProtocolError(
            f"the peer does not speak libvirt's protocol: {why}", hint="check that the address is a libvirt daemon's"
        )
        raise self._error

    def receive_eof(self) -> None:
        """The peer will send nothing more.

        Raises:
            RemoteProtocolError: in the middle of a message.
        """
        if self._error is not None:
            raise self._error
        if self._buffer:
            size = len(self._buffer)
            self._buffer.clear()
            self._error = RemoteProtocolError(f"the connection ended within a message, after {size} bytes of it")
            raise self._error

    def send(self, message: Message) -> bytes:
        """The bytes of one message.

        Behind them goes **one byte of value 0 a descriptor**, each in a `sendmsg` of its own with that one descriptor
        attached: attached to anything else they are lost on the other side (§2).

        Raises:
            LocalProtocolError: this end may not send such a message, it is too long, or has too many descriptors.
        """
        kind = (message.type, message.status)
        if kind not in self._leaves:
            raise LocalProtocolError(
                f"a {self.role.value} sends no message of type {message.type}, status {message.status}"
            )
        payload = message.payload
        if message.type in _WITH_FDS:
            if len(message.fds) > MAX_FDS:
                raise LocalProtocolError(f"{len(message.fds)} descriptors are more than {MAX_FDS}")
            payload = COUNT.pack(len(message.fds)) + payload
        elif message.fds:
            raise LocalProtocolError(f"a message of type {message.type} carries no descriptors")
        length = HEADER_SIZE + len(payload)
        if length > self.max_message:
            raise LocalProtocolError(f"a message of {length} bytes is longer than {self.max_message}")
        try:
            header = HEADER.pack(
                length,
                message.program,
                PROGRAM_VERSION,
                message.procedure,
                message.type,
                message.serial,
                message.status,
            )
        except struct.error as error:
            raise LocalProtocolError(f"a number in the header does not fit: {error}") from error
        return header + payload

    def send_call(self, program: int, procedure: int, serial: int, payload: bytes) -> bytes:
        """As `send` of a plain call (client), which is all that most connections send: without a message in between.

        Raises:
            LocalProtocolError: it is too long.
        """
        length = HEADER_SIZE + len(payload)
        if length > self.max_message:
            raise LocalProtocolError(f"a message of {length} bytes is longer than {self.max_message}")
        return HEADER.pack(length, program, PROGRAM_VERSION, procedure, 0, serial, 0) + payload

    def data_to_send(self) -> bytes:
        """What this end owes by itself: a pong. To be sent ahead of everything that is not begun.

        However many pings came since the last time, one pong is enough: any message of ours tells that we live.
        """
        if not self._pong_owed:
            return b""
        self._pong_owed = False
        return _PONG_FRAME

    def take_fds(self) -> list[int]:
        """The descriptors that no message claimed; they are the caller's now. For closing, when the connection ends."""
        fds, self._fds = self._fds, []
        return fds


def _bad_length(length: int, limit: int) -> str:
    return f"a message of {length} bytes, where {HEADER_SIZE} to {limit} are possible"
