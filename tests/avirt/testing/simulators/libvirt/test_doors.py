"""The sockets in the file system: opened, closed, and opened again in the same turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from avirt.drivers.transport.unix import connect_unix
from avirt.errors import CannotConnect
from avirt.testing.simulators.libvirt.doors import READ_ONLY, READ_WRITE, Doors

pytestmark = pytest.mark.anyio


class Visitors:
    """Who came, and by which door."""

    def __init__(self) -> None:
        self.came: list[bool] = []

    def accept(self, sock: socket, by_read_only_socket: bool) -> None:
        sock.close()
        self.came.append(by_read_only_socket)


@asynccontextmanager
async def doors() -> AsyncIterator[tuple[Doors, Visitors]]:
    visitors = Visitors()
    async with anyio.create_task_group() as tasks:
        made = Doors(visitors.accept, tasks)
        await made.make()
        yield made, visitors
        made.close()
        await made.remove()
        tasks.cancel_scope.cancel()


async def visit(path: str) -> None:
    """Connect, and wait until the other side has closed."""
    with await connect_unix(path) as sock, anyio.fail_after(5):
        await anyio.wait_readable(sock)


async def test_each_door_is_known() -> None:
    async with doors() as (made, visitors):
        await made.open()
        await visit(made.path(READ_WRITE))
        await visit(made.path(READ_ONLY))
        assert visitors.came == [False, True]


async def test_closed_doors_refuse_and_are_opened_again() -> None:
    async with doors() as (made, visitors):
        await made.open()
        made.close()
        with pytest.raises(CannotConnect):
            await connect_unix(made.path(READ_WRITE))
        await made.open()
        await visit(made.path(READ_WRITE))
        assert visitors.came == [False]


async def test_doors_that_are_closed_while_they_open_stay_closed() -> None:
    """And those opened once more meanwhile are open, once."""
    async with doors() as (made, visitors):
        async with anyio.create_task_group() as group:
            group.start_soon(made.open)
            await anyio.wait_all_tasks_blocked()
            made.close()
        with pytest.raises(CannotConnect):
            await connect_unix(made.path(READ_WRITE))
        async with anyio.create_task_group() as group:
            group.start_soon(made.open)
            await anyio.wait_all_tasks_blocked()
            made.close()
            group.start_soon(made.open)
        await visit(made.path(READ_WRITE))
        assert visitors.came == [False]


async def test_folder_is_removed() -> None:
    async with doors() as (made, _):
        await made.open()
        folder = Path(made.path(READ_WRITE)).parent
    assert not await anyio.to_thread.run_sync(folder.exists)
