"""A daemon that sends lifecycle events from a can, as fast as they are taken: `canned_daemon.py FOLDER`, a process.

It listens on two sockets. On `libvirt-sock` it speaks libvirt's protocol (the server role of the driver's core) and
serves 40 running domains, listings and reads included. On `go` a client asks for its events: a line with their number,
a multiple of 80, and the connection of the same process that registered for lifecycle events gets them: each domain is
suspended, then each is resumed, so that a read at the end finds what the last event said.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.procedures import Feature, Proc
from avirt.drivers.libvirt.generated.types import RemoteDomainEventCallbackLifecycleMsg, RemoteDomainEventLifecycleMsg
from avirt.drivers.libvirt.protocol import Message, MessageStatus, MessageType
from tests.drivers.libvirt.fake_daemon import FakeDaemon
from tests.drivers.libvirt.fake_world import Fake, World

DOMAINS: Final = 40
BATCH: Final = 2 * DOMAINS

_SUSPENDED: Final = 3
_RESUMED: Final = 4
_FEATURES: Final = frozenset({Feature.PROGRAM_KEEPALIVE, Feature.REMOTE_EVENT_CALLBACK})

Clients = dict[int, tuple[FakeDaemon, bytes]]
"""By process: the connection that registered for lifecycle events, and a batch of them."""


def events(daemon: FakeDaemon, world: World, callback: int) -> bytes:
    """A batch."""
    procedure = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE
    frames = [
        daemon.core.send(
            Message(
                procedure.program,
                procedure.number,
                MessageType.MESSAGE,
                0,
                MessageStatus.OK,
                codec.pack_event(
                    procedure,
                    RemoteDomainEventCallbackLifecycleMsg(
                        callback, RemoteDomainEventLifecycleMsg(fake.remote, event, 0)
                    ),
                ),
            )
        )
        for event in (_SUSPENDED, _RESUMED)
        for fake in world.domains.values()
    ]
    return b"".join(frames)


def peer_process(sock: socket.socket) -> int:
    """Who is at the other end (SO_PEERCRED, unix(7))."""
    pid, _uid, _gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


async def serve_libvirt(sock: socket.socket, clients: Clients) -> None:
    """One connection."""
    world = World(*[Fake(f"vm{number}", id=number) for number in range(1, DOMAINS + 1)])
    process = peer_process(sock)
    daemon = FakeDaemon(sock)
    world.prepare(daemon)
    callbacks = 0

    def register(kind: int, _domain: object) -> int:
        nonlocal callbacks
        callbacks += 1
        if kind == 0:
            clients[process] = daemon, events(daemon, world, callbacks)
        return callbacks

    daemon.handlers |= {
        Proc.CONNECT_GET_TYPE: lambda: "QEMU",
        Proc.CONNECT_GET_HOSTNAME: lambda: "canned",
        Proc.CONNECT_GET_CAPABILITIES: lambda: "<capabilities/>",
        Proc.CONNECT_GET_VERSION: lambda: 7_002_000,
        Proc.CONNECT_GET_LIB_VERSION: lambda: 9_000_000,
        Proc.CONNECT_SUPPORTS_FEATURE: lambda feature: int(feature in _FEATURES),
        Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: register,
        Proc.CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: lambda _callback: None,
    }
    await daemon.run()


async def serve_go(sock: socket.socket, clients: Clients) -> None:
    """One client that asks for events."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    process = peer_process(sock)
    while line := await reader.readline():
        daemon, batch = clients[process]
        daemon.raw(batch * (int(line) // BATCH))
    writer.close()


Serve = Callable[[socket.socket, Clients], Coroutine[None, None, None]]


async def listen(path: Path, serve: Serve, clients: Clients, group: asyncio.TaskGroup) -> None:
    """Serve all who come."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    listener.listen(20)
    while True:
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        group.create_task(serve(sock, clients))


async def main(folder: Path) -> None:
    clients: Clients = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(listen(folder / "libvirt-sock", serve_libvirt, clients, group))
        group.create_task(listen(folder / "go", serve_go, clients, group))
        await asyncio.sleep(0)
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
