"""A stream's state: what may be sent, what a packet means, when it is over. No I/O, either role. libvirt-wire.md §8.

A call opens a stream; its packets carry the call's program, procedure and serial. The client ends it:

    OPEN ──finish──▶ FINISHING ──OK──▶ FINISHED          OPEN, FINISHING ──ERROR from the server──▶ FAILED
    OPEN ──abort───▶ ABORTING ──OK or ERROR──▶ ABORTED   (packets that come before are dropped)

and the server answers:

    OPEN ──OK from the client────▶ FINISHING ──confirm──▶ FINISHED          OPEN ──fail──▶ FAILED
    OPEN ──ERROR from the client─▶ ABORTING ──confirm──▶ ABORTED

Data end with an empty packet; that does not end the stream. When a stream is over at one end packets may still be under
way from the other, so both ends ignore what is late. **A stream that failed gets no answer to a finish**: `finish` and
`abort` give nothing to send then, and a waiter has to look at `failure`.

There is no flow control: who does not take the data stops the whole connection. So bulk goes over one of its own.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

import msgspec

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.drivers.libvirt.procedure import StreamKind
from avirt.drivers.libvirt.protocol import MAX_STREAM_DATA, Message, MessageStatus, MessageType, Role
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["Hole", "Stream", "StreamState"]

# virNetStreamHole: length, flags (none are known).
_HOLE: Final = struct.Struct(">qI")

_RPC_ERROR: Final = RemoteError(39, 7, "the stream failed; its error could not be read", 2, *(None,) * 4, -1, -1, None)


class StreamState(Enum):
    """See the diagram above."""

    OPEN = "open"
    FINISHING = "finishing"
    ABORTING = "aborting"
    FINISHED = "finished"
    ABORTED = "aborted"
    FAILED = "failed"


_OVER: Final = frozenset({StreamState.FINISHED, StreamState.ABORTED, StreamState.FAILED})


class Hole(msgspec.Struct, frozen=True):
    """So many zero bytes that were not sent."""

    length: int


class Stream:
    """One end of a stream.

    Args:
        role: which end.
        program, procedure, serial: of the call that opened it.
        kind: which way the data go, as the client sees it.
        sparse: holes may be sent: both sides agreed by the call's flag.

    Attributes:
        state: where it is.
        failure: the server's error, once it FAILED.
        ended: the other end's data are complete.
    """

    def __init__(
        self, role: Role, *, program: int, procedure: int, serial: int, kind: StreamKind, sparse: bool = False
    ) -> None:
        self.role = role
        self.program = program
        self.procedure = procedure
        self.serial = serial
        self.sparse = sparse
        self.state = StreamState.OPEN
        self.failure: RemoteError | None = None
        self.ended = False
        client = role is Role.CLIENT
        self._can_receive = kind in {StreamKind.BOTH, StreamKind.READ if client else StreamKind.WRITE}
        self._can_send = kind in {StreamKind.BOTH, StreamKind.WRITE if client else StreamKind.READ}

    def __repr__(self) -> str:
        return f"<Stream {self.serial} at the {self.role.value}: {self.state.value}>"

    @property
    def is_over(self) -> bool:
        """Nothing more will be sent or heeded: its serial is free."""
        return self.state in _OVER

    def receive(self, message: Message) -> bytes | Hole | None:
        """Take a packet of this stream; answers data, a hole, b"" at the end of the data, or None where it has neither.

        Raises:
            RemoteProtocolError: a hole that is none.
        """
        if self.is_over:
            return None
        if message.status is not MessageStatus.CONTINUE:
            self._ending(message)
            return None
        if self.state is not StreamState.OPEN or not self._can_receive or self.ended:
            return None
        if message.type is MessageType.STREAM_HOLE:
            return self._hole(message.payload)
        self.ended = not message.payload
        return message.payload

    def _ending(self, message: Message) -> None:
        """An OK or an ERROR."""
        error = message.status is MessageStatus.ERROR
        if self.role is Role.SERVER:
            self.state = StreamState.ABORTING if error else StreamState.FINISHING
        elif self.state is StreamState.ABORTING:
            self.state = StreamState.ABORTED
        elif error:
            self.state = StreamState.FAILED
            try:
                self.failure = codec.unpack_error(message.payload)
            except RemoteProtocolError:
                self.failure = _RPC_ERROR
        else:
            # Without a finish of ours it ends all the same: the server has forgotten the stream.
            self.state = StreamState.FINISHED

    def _hole(self, payload: bytes) -> Hole:
        if len(payload) != _HOLE.size:
            raise RemoteProtocolError(f"a stream's hole of {len(payload)} bytes, not {_HOLE.size}")
        length, _ = _HOLE.unpack(payload)
        if length < 0:
            raise RemoteProtocolError(f"a stream's hole of negative length {length}")
        return Hole(length)

    def send(self, data: bytes) -> list[Message]:
        """The packets for some data, none for b"": that would end the data.

        Raises:
            LocalProtocolError: this end sends no data, or the stream is not open (`failure` says why).
        """
        self._check_sending()
        return [
            self._packet(MessageStatus.CONTINUE, data[start : start + MAX_STREAM_DATA])
            for start in range(0, len(data), MAX_STREAM_DATA)
        ]

    def send_hole(self, length: int) -> Message:
        """The packet for zeros that are not sent. A hole at the end is sent, too: without it the rest is cut off.

        Raises:
            LocalProtocolError: as `send`; or no holes were agreed on.
        """
        self._check_sending()
        if not self.sparse:
            raise LocalProtocolError("the stream was not opened for holes: ask for them by the call's sparse flag")
        if not 0 <= length < 1 << 63:
            raise LocalProtocolError(f"no hole has a length of {length}")
        return self._packet(MessageStatus.CONTINUE, _HOLE.pack(length, 0), MessageType.STREAM_HOLE)

    def send_end(self) -> Message:
        """The packet that ends the data of this end. (A client that only writes needs none: it finishes.)

        Raises:
            LocalProtocolError: as `send`.
        """
        self._check_sending()
        return self._packet(MessageStatus.CONTINUE)

    def finish(self) -> Message | None:
        """Client: end the stream in order; None if it is ending or over."""
        return self._leave(StreamState.FINISHING, MessageStatus.OK)

    def abort(self) -> Message | None:
        """Client: give the stream up; None if it is over, or being given up."""
        return self._leave(StreamState.ABORTING, MessageStatus.ERROR)

    def _leave(self, state: StreamState, status: MessageStatus) -> Message | None:
        if self.role is Role.SERVER:
            raise LocalProtocolError("only a client finishes or aborts a stream; a server confirms, or fails it")
        aborts_late = state is StreamState.ABORTING and self.state is StreamState.FINISHING
        if self.state is not StreamState.OPEN and not aborts_late:
            return None
        self.state = state
        return self._packet(status)

    def confirm(self) -> Message:
        """Server: answer the client's finish or abort.

        Raises:
            LocalProtocolError: there is none to be answered.
        """
        after = {StreamState.FINISHING: StreamState.FINISHED, StreamState.ABORTING: StreamState.ABORTED}.get(self.state)
        if self.role is Role.CLIENT or after is None:
            raise LocalProtocolError(f"nothing to confirm: {self!r}")
        self.state = after
        return self._packet(MessageStatus.OK)

    def fail(self, error: RemoteError) -> Message | None:
        """Server: end the stream with an error; None if it is over."""
        if self.role is Role.CLIENT:
            raise LocalProtocolError("only a server fails a stream; a client aborts it")
        if self.is_over:
            return None
        self.state, self.failure = StreamState.FAILED, error
        return self._packet(MessageStatus.ERROR, codec.pack_error(error))

    def _check_sending(self) -> None:
        if not self._can_send:
            raise LocalProtocolError(f"a {self.role.value} sends no data on this stream")
        if self.state is not StreamState.OPEN:
            raise LocalProtocolError(f"the stream takes no more data: it is {self.state.value}")

    def _packet(self, status: MessageStatus, data: bytes = b"", kind: MessageType = MessageType.STREAM) -> Message:
        return Message(self.program, self.procedure, kind, self.serial, status, data)
