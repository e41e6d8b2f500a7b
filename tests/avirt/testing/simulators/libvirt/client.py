"""A client of the RPC level, to see the simulated daemon's frames as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import Connection, Message, MessageStatus, MessageType, Role
from avirt.drivers.libvirt.rpc import Arrival, Rpc, Settings
from avirt.drivers.libvirt.session import open_connection
from avirt.drivers.libvirt.sockets import Target
from avirt.testing import LibvirtSim
from avirt.uri import parse_uri

R = TypeVar("R")


def target_of(uri: str) -> Target:
    """What the driver would make of it."""
    parsed = parse_uri(uri)
    return Target(path=parsed.param("socket") or "", name=f"{parsed.scheme}://{parsed.path}")


@asynccontextmanager
async def opened(
    sim: LibvirtSim, events: list[Arrival] | None = None, *, settings: Settings | None = None
) -> AsyncIterator[Rpc]:
    """An open connection of the driver's own RPC, outside any engine."""

    def keep(arrivals: Sequence[Arrival]) -> None:
        if events is not None:
            events.extend(arrivals)

    async with open_connection(target_of(sim.uri), on_events=keep, settings=settings, connect=sim.open_socket) as rpc:
        yield rpc


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.core = Connection(Role.CLIENT)
        self.messages: list[Message] = []
        self._serial = 0

    def send(self, procedure: Procedure[Any], *args: object) -> int:
        """A call; its serial."""
        return self.send_payload(procedure, codec.pack(procedure, *args))

    def send_payload(self, procedure: Procedure[Any], payload: bytes) -> int:
        self._serial += 1
        self.sock.send(self.core.send_call(procedure.program, procedure.number, self._serial, payload))
        return self._serial

    def send_message(self, message: Message) -> None:
        self.sock.send(self.core.send(message))

    async def receive(self) -> Message | None:
        """The next message; None at the end."""
        with anyio.fail_after(5):
            while not self.messages:
                await anyio.wait_readable(self.sock)
                data = self.sock.recv(65536)
                if not data:
                    return None
                self.messages += self.core.receive_data(data)
        return self.messages.pop(0)

    async def is_silent(self) -> bool:
        """Whether nothing comes although the daemon had its turns."""
        if self.messages:
            return False
        with anyio.move_on_after(0.02):
            await anyio.wait_readable(self.sock)
            return False
        return True

    async def call(self, procedure: Procedure[R], *args: object) -> R | tuple[int, str]:
        """Its answer, or the error's code and text."""
        serial = self.send(procedure, *args)
        reply = await self.receive()
        assert reply is not None
        assert (reply.type, reply.serial) == (MessageType.REPLY, serial)
        if reply.status is MessageStatus.ERROR:
            error = codec.unpack_error(reply.payload)
            return error.code, error.message or ""
        return codec.unpack_reply(procedure, reply.payload)


@asynccontextmanager
async def raw(sim: LibvirtSim) -> AsyncIterator[Raw]:
    """A connection on which nothing was said yet."""
    sock = await sim.open_socket(target_of(sim.uri))
    with sock:
        yield Raw(sock)


def is_refused(answer: object, code: int) -> bool:
    """Whether an answer is an error with this number."""
    return isinstance(answer, tuple) and answer[0] == code


async def until(holds: Callable[[], bool]) -> None:
    """The daemon's tasks come to it in a turn of their own."""
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110  nothing tells of it
            await anyio.sleep(0.001)
