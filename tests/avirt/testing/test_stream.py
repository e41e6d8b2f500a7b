"""The faulty stream over a socket pair: what comes through, and when."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from avirt.testing.faults import WireFaults
from avirt.testing.rules import Direction
from avirt.testing.stream import FaultyStream

pytestmark = pytest.mark.anyio

IN, OUT = Direction.IN, Direction.OUT


class Ends:
    """The stream, and the client's socket."""

    def __init__(self, stream: FaultyStream, sock: socket.socket, faults: WireFaults) -> None:
        self.stream = stream
        self.sock = sock
        self.faults = faults

    async def read(self, size: int = 65536) -> bytes:
        with anyio.fail_after(5):
            await anyio.wait_readable(self.sock)
        return self.sock.recv(size)

    async def read_all(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := await self.read(size - len(data))):
            data += more
        return data

    async def receive(self) -> bytes | None:
        with anyio.fail_after(5):
            return await self.stream.receive()


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    faults = WireFaults()
    async with anyio.create_task_group() as tasks:
        stream = FaultyStream(ours, faults, 0, tasks)
        with theirs:
            yield Ends(stream, theirs, faults)
        stream.close()
        tasks.cancel_scope.cancel()


async def test_bytes_go_both_ways() -> None:
    async with ends() as it:
        it.stream.send(b"hello")
        assert await it.read() == b"hello"
        it.sock.send(b"there")
        assert await it.receive() == b"there"
        assert it.stream.is_idle


async def test_end_of_the_peer_is_an_empty_read() -> None:
    async with ends() as it:
        it.sock.close()
        assert await it.receive() == b""


async def test_receive_gives_up_at_its_time() -> None:
    async with ends() as it:
        assert await it.stream.receive(anyio.current_time()) is None


async def test_nothing_is_sent_or_read_once_closed() -> None:
    async with ends() as it:
        it.stream.close()
        it.stream.send(b"lost")
        assert await it.receive() == b""
        assert await it.read() == b""


async def test_close_ends_a_read_that_waits() -> None:
    async with ends() as it, anyio.create_task_group() as group:
        group.start_soon(it.receive)
        await anyio.wait_all_tasks_blocked()
        it.stream.close()


async def test_more_than_the_socket_takes_is_kept_and_follows() -> None:
    async with ends() as it:
        data = bytes(range(256)) * 8000
        it.stream.send(data)
        it.stream.send(b"end")
        assert not it.stream.is_idle
        assert await it.read_all(len(data) + 3) == data + b"end"


async def test_finish_sends_what_is_kept_and_then_closes() -> None:
    async with ends() as it:
        data = b"x" * 2_000_000
        it.stream.send(data)
        it.stream.finish()
        assert await it.read_all(len(data) + 1) == data
        assert await it.read() == b""
        assert it.stream.is_closed


async def test_peer_that_is_gone_ends_the_stream_when_it_is_written_to() -> None:
    async with ends() as it:
        it.sock.close()
        it.stream.send(b"x")
        assert it.stream.is_closed
        assert not it.stream.was_cut


async def test_paused_stream_reads_nothing() -> None:
    async with ends() as it:
        it.sock.send(b"later")
        it.stream.pause(True)
        assert await it.stream.receive(anyio.current_time() + 0.01) is None
        it.stream.pause(False)
        assert await it.receive() == b"later"


async def test_paused_while_it_waits_reads_nothing() -> None:
    async with ends() as it, anyio.create_task_group() as group:
        got: list[bytes | None] = []

        async def read() -> None:
            got.append(await it.receive())

        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        it.stream.pause(True)
        it.sock.send(b"later")
        await anyio.sleep(0.01)
        assert got == []
        it.stream.pause(False)
        await anyio.wait_all_tasks_blocked()
    assert got == [b"later"]


@pytest.mark.parametrize("size", [1, 3, 7, 8])
async def test_cut_out_lets_just_so_many_bytes_pass(size: int) -> None:
    async with ends() as it:
        it.faults.cut(after_bytes=size)
        it.stream.send(b"abcd")
        it.stream.send(b"efgh")
        assert await it.read_all(8) == b"abcdefgh"[:size]
        assert it.stream.is_closed
        assert it.stream.was_cut
        assert it.faults.struck == {"cut": 1}


@pytest.mark.parametrize("size", [1, 3, 8])
async def test_cut_in_reads_just_so_many_bytes(size: int) -> None:
    async with ends() as it:
        it.faults.cut(after_bytes=size, direction=IN)
        it.sock.send(b"abcdefgh")
        got = b""
        while data := await it.receive():
            got += data
        assert got == b"abcdefgh"[:size]
        assert it.stream.was_cut


async def test_fragments_come_one_by_one() -> None:
    async with ends() as it:
        it.faults.fragment(2)
        it.faults.fragment(1, direction=IN)
        it.stream.send(b"abcde")
        assert await it.read_all(5) == b"abcde"
        it.sock.send(b"xy")
        assert await it.receive() == b"x"
        assert await it.receive() == b"y"
        assert it.faults.struck["fragment"] >= 4


async def test_silence_holds_back_until_it_is_taken_back() -> None:
    async with ends() as it:
        it.faults.on_cleared = it.stream.look_again
        it.faults.silence()
        it.stream.send(b"late")
        it.sock.send(b"unread")
        assert await it.stream.receive(anyio.current_time() + 0.01) is None
        with pytest.raises(BlockingIOError):
            it.sock.recv(1)
        it.faults.clear()
        assert await it.read() == b"late"
        assert await it.receive() == b"unread"
        assert it.faults.struck == {"silence": 1}


async def test_silence_in_one_direction_leaves_the_other() -> None:
    async with ends() as it:
        it.faults.silence(direction=OUT)
        it.sock.send(b"heard")
        assert await it.receive() == b"heard"
        it.faults.clear()
        it.faults.silence(direction=IN)
        it.stream.send(b"said")
        assert await it.read() == b"said"


async def test_delay_keeps_the_order() -> None:
    async with ends() as it:
        it.faults.delay(0.01)
        it.stream.send(b"one")
        it.faults.clear()
        it.stream.send(b"two")
        with pytest.raises(BlockingIOError):
            it.sock.recv(1)
        assert await it.read_all(6) == b"onetwo"
        it.faults.delay(0.01, direction=IN)
        it.sock.send(b"three")
        assert await it.receive() == b"three"
        assert it.faults.struck == {"delay": 2}


async def test_close_drops_what_is_silenced() -> None:
    async with ends() as it:
        it.faults.silence(direction=OUT)
        it.stream.send(b"never")
        await anyio.wait_all_tasks_blocked()
        it.stream.close()
        assert await it.read() == b""
