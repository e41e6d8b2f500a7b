"""A proxy before a daemon's socket that can be cut, or told to cut at a byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import ByteStream, TaskGroup

__all__ = ["Proxy", "proxied", "serving"]


class Proxy:
    """Passes bytes on, connection by connection.

    Attributes:
        cut_after: bytes from the daemon after which a connection is cut; None for never. Holds for new connections.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.cut_after: int | None = None
        self._made = anyio.Event()
        self._open: set[anyio.CancelScope] = set()

    def cut(self) -> None:
        """Cut all connections now."""
        for scope in self._open:
            scope.cancel()

    async def connected(self) -> None:
        """Wait for the next connection."""
        with anyio.fail_after(30):
            await self._made.wait()

    async def handle(self, client: ByteStream) -> None:
        """One connection."""
        self._made.set()
        self._made = anyio.Event()
        async with client, await anyio.connect_unix(self.target) as daemon, anyio.create_task_group() as group:
            self._open.add(group.cancel_scope)
            try:
                group.start_soon(self._pass, client, daemon, None, group)
                await self._pass(daemon, client, self.cut_after, group)
            finally:
                self._open.discard(group.cancel_scope)

    async def _pass(self, source: ByteStream, sink: ByteStream, limit: int | None, group: TaskGroup) -> None:
        passed = 0
        try:
            while limit is None or passed < limit:
                data = await source.receive(65536 if limit is None else min(65536, limit - passed))
                passed += len(data)
                await sink.send(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # one side is gone: so is the other
        group.cancel_scope.cancel()


@asynccontextmanager
async def proxied(target: Path, path: Path) -> AsyncIterator[Proxy]:
    """A proxy listening at `path`."""
    proxy = Proxy(target)
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, proxy.handle)
        try:
            yield proxy
        finally:
            group.cancel_scope.cancel()


@asynccontextmanager
async def serving(path: Path, answer: bytes | None) -> AsyncIterator[None]:
    """A server that says one thing to whoever comes (None: nothing, ever), and is no libvirt daemon."""

    async def handle(client: ByteStream) -> None:
        async with client:
            try:
                if answer is not None:
                    await client.send(answer)
                while True:
                    await client.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
