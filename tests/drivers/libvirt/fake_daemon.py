"""A libvirt daemon of a few lines for tests: the server role of the core over a socket pair, on any loop."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Feature, Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteDomainGetStateRet, RemoteError
from avirt.drivers.libvirt.keepalive import PING_MESSAGE
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import (
    KEEPALIVE_PROGRAM,
    Connection,
    Message,
    MessageStatus,
    MessageType,
    Role,
)
from avirt.drivers.libvirt.rpc import OnEvents
from avirt.drivers.libvirt.session import Rpc, Settings, use_connection
from avirt.drivers.libvirt.sockets import Target
from avirt.drivers.transport.base import Waiter, wake
from avirt.drivers.transport.loop import current_loop
from avirt.drivers.transport.unix import close_fds, unix_transport
from avirt.errors import AvirtError

TARGET = Target(path="/fake", name="test:///default")
DOMAIN = RemoteDomain("web1", b"u" * 16, 7)
HOLD = object()
"""A handler's answer: none yet; the call is in `daemon.held`."""

Handler = Callable[..., object]


def complaint(code: int = 42, text: str = "Domain not found", domain: int = 10) -> RemoteError:
    return RemoteError(code, domain, text, 2, None, None, None, None, -1, -1, None)


class FakeDaemon:
    """Answers by `handlers`; keeps what came in `calls` (opening included) and `others`, and what it held in `held`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.transport = unix_transport(sock)
        self.core = Connection(Role.SERVER)
        self.is_mute = False
        self.calls: list[Message] = []
        self.held: list[Message] = []
        self.others: list[Message] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.is_closed = False
        self.handlers: dict[Procedure[Any], Handler] = {
            Proc.AUTH_LIST: lambda: (0,),
            Proc.CONNECT_SUPPORTS_FEATURE: lambda feature: int(feature == Feature.PROGRAM_KEEPALIVE),
            Proc.CONNECT_OPEN: lambda name, flags: None,
            Proc.CONNECT_CLOSE: lambda: None,
            Proc.DOMAIN_GET_STATE: lambda dom, flags: RemoteDomainGetStateRet(dom.id % 8, flags),
        }
        self._changed: Waiter[None] = current_loop().waiter()

    async def run(self) -> None:
        await self.transport.run(self)

    def names(self) -> list[str]:
        """The calls so far, by name."""
        return [PROCEDURES[call.program, call.procedure].name for call in self.calls]

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not holds():
                self._changed = current_loop().waiter()
                await self._changed

    # ------------------------------------------------------------ receiving

    def on_data(self, data: bytes, fds: Sequence[int]) -> None:
        messages = self.core.receive_data(data, fds)
        calls = [m for m in messages if m.type in (MessageType.CALL, MessageType.CALL_WITH_FDS)]
        self.in_flight += len(calls)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        for message in messages:
            if message.type in (MessageType.CALL, MessageType.CALL_WITH_FDS):
                self.calls.append(message)
                self._serve(message)
            else:
                self.others.append(message)
        if not self.is_mute and (owed := self.core.data_to_send()):
            self.raw(owed)
        wake(self._changed)

    def _serve(self, call: Message) -> None:
        procedure = PROCEDURES[call.program, call.procedure]
        if self.is_mute:
            return
        try:
            answer = self.handlers[procedure](*codec.unpack_args(procedure, call.payload))
        except KeyError:
            answer = complaint(39, f"unknown procedure: {call.procedure}", 7)
        finally:
            close_fds(call.fds)
        if answer is HOLD:
            self.held.append(call)
        elif not self.transport.is_closed:
            self.reply(call, answer)

    def on_drain(self) -> None:
        pass

    def on_close(self, error: AvirtError | None) -> None:
        self.is_closed = True
        wake(self._changed)

    # ------------------------------------------------------------ sending

    def raw(self, data: bytes) -> None:
        self.transport.send(data)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self.raw(self.core.send(message))
        for fd in fds:
            self.transport.send(b"\0", [fd])

    def reply_frame(self, call: Message, answer: object = None) -> bytes:
        self.in_flight -= 1
        procedure = PROCEDURES[call.program, call.procedure]
        is_error = isinstance(answer, RemoteError)
        return self.core.send(
            Message(
                call.program,
                call.procedure,
                MessageType.REPLY,
                call.serial,
                MessageStatus.ERROR if is_error else MessageStatus.OK,
                codec.pack_error(answer) if isinstance(answer, RemoteError) else codec.pack_reply(procedure, answer),
            )
        )

    def reply(self, call: Message, answer: object = None) -> None:
        self.raw(self.reply_frame(call, answer))

    def reply_with_fds(self, call: Message, answer: object, fds: Sequence[int]) -> None:
        procedure = PROCEDURES[call.program, call.procedure]
        payload = codec.pack_reply(procedure, answer)
        kind = MessageType.REPLY_WITH_FDS
        self.send(Message(call.program, call.procedure, kind, call.serial, payload=payload, fds=tuple(fds)), fds)

    def event_frame(self, serial: int = 1) -> bytes:
        """An event with a nonsense payload: the session does not look into it."""
        event = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE
        return self.core.send(Message(event.program, event.number, MessageType.MESSAGE, serial, payload=b"\0\0\0\1"))

    def ping(self) -> None:
        self.send(PING_MESSAGE)

    def stream(self, call: Message, data: bytes, status: MessageStatus = MessageStatus.CONTINUE) -> None:
        self.send(Message(call.program, call.procedure, MessageType.STREAM, call.serial, status, data))

    def pongs(self) -> int:
        return sum(m.program == KEEPALIVE_PROGRAM and m.procedure == 2 for m in self.others)


@asynccontextmanager
async def daemon_pair() -> AsyncIterator[tuple[socket.socket, FakeDaemon]]:
    """The client's end of a socket pair, and a daemon at the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    daemon = FakeDaemon(theirs)
    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(daemon.run)
        try:
            yield ours, daemon
        except Exception as error:
            failure = error
        finally:
            ours.close()
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def connected(
    *,
    target: Target = TARGET,
    settings: Settings | None = None,
    on_events: OnEvents | None = None,
    prepare: Callable[[FakeDaemon], None] = lambda daemon: None,
) -> AsyncIterator[tuple[Rpc, FakeDaemon]]:
    """A connection that is open, and its daemon."""
    async with daemon_pair() as (sock, daemon):
        prepare(daemon)
        async with use_connection(unix_transport(sock), target, settings=settings, on_events=on_events) as rpc:
            yield rpc, daemon
