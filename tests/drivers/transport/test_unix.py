"""Unix sockets on the three loops: bytes, descriptors, short writes, ends."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.base import MAX_BUFFERED, Transport, wake
from avirt.drivers.transport.loop import current_loop
from avirt.drivers.transport.unix import MAX_PATH, close_fds, connect_unix, unix_transport
from avirt.errors import AvirtError, CannotConnect, ConnectionLost, Outcomes

pytestmark = pytest.mark.anyio


class Recorder:
    """A receiver that keeps all, and lets a test wait for something of it."""

    def __init__(self, on_data: Callable[[bytes], None] | None = None) -> None:
        self.data = b""
        self.fds: list[int] = []
        self.drains = 0
        self.ends: list[AvirtError | None] = []
        self._hook = on_data
        self._changed = current_loop().waiter()

    def on_data(self, data: bytes, fds: Sequence[int]) -> None:
        self.data += data
        self.fds += fds
        wake(self._changed)
        if self._hook is not None:
            self._hook(data)

    def on_drain(self) -> None:
        self.drains += 1
        wake(self._changed)

    def on_close(self, error: AvirtError | None) -> None:
        self.ends.append(error)
        wake(self._changed)

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not holds():
                self._changed = current_loop().waiter()
                await self._changed


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[tuple[Transport, socket.socket]]:
    """A transport that runs, and the peer's end of it (blocking calls there never wait: the tests see to it)."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    transport = unix_transport(ours)
    with theirs:
        async with anyio.create_task_group() as group:
            group.start_soon(transport.run, recorder)
            await checkpoint()
            yield transport, theirs
            group.cancel_scope.cancel()
    assert transport.is_closed
    assert len(recorder.ends) == 1


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def same_file(one: int, two: int) -> bool:
    return os.path.sameopenfile(one, two)


async def drain_peer(peer: socket.socket, size: int) -> bytes:
    got = bytearray()
    with anyio.fail_after(10):
        while len(got) < size:
            try:
                got += peer.recv(1 << 20)
            except BlockingIOError:
                await anyio.wait_readable(peer)
    return bytes(got)


async def test_bytes_go_both_ways() -> None:
    """What is sent arrives, what arrives is handed over, and leaving closes."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.send(b"hello")
        assert peer.recv(100) == b"hello"
        peer.send(b"answer")
        await recorder.until(lambda: recorder.data == b"answer")
        assert transport.passes_descriptors
        assert transport.buffered == 0
    assert recorder.ends == [None]


async def test_descriptors_arrive_not_inheritable_with_their_bytes(tmp_path: Path) -> None:
    """performance §9: other readers lose them, or get them inheritable."""
    recorder = Recorder()
    async with running(recorder) as (_, peer):
        with (tmp_path / "a").open("w") as one, (tmp_path / "b").open("w") as two:
            socket.send_fds(peer, [b"x"], [one.fileno(), two.fileno()])
            await recorder.until(lambda: recorder.data == b"x")
            assert len(recorder.fds) == 2
            assert not any(map(os.get_inheritable, recorder.fds))
            assert same_file(recorder.fds[0], one.fileno())
            assert same_file(recorder.fds[1], two.fileno())
    close_fds(recorder.fds)
    close_fds(recorder.fds)


async def test_descriptors_not_expected_are_closed_unseen(tmp_path: Path) -> None:
    """Their bytes arrive all the same, and those that come later, expected again, are not lost."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.expect_descriptors(False)
        with (tmp_path / "a").open("w") as file:
            before = open_descriptors()
            socket.send_fds(peer, [b"x"], [file.fileno()])
            await recorder.until(lambda: recorder.data == b"x")
            assert recorder.fds == []
            assert open_descriptors() == before
            transport.expect_descriptors(True)
            socket.send_fds(peer, [b"y"], [file.fileno()])
            await recorder.until(lambda: recorder.data == b"xy")
            assert same_file(recorder.fds[0], file.fileno())
    close_fds(recorder.fds)


async def test_descriptors_are_sent_with_the_first_byte_even_after_waiting(tmp_path: Path) -> None:
    """Their owner may close them while they wait in the out-buffer."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        with (tmp_path / "a").open("w") as file:
            transport.send(b"now", [file.fileno()])
            data, fds, *_ = socket.recv_fds(peer, 10, 8)
            assert data == b"now"
            assert same_file(fds[0], file.fileno())
            close_fds(fds)
            transport.send(bytes(4_000_000))
            transport.send(b"later", [file.fileno()])
            assert transport.buffered
            name = os.fstat(file.fileno()).st_ino
        await drain_peer_until_fd(peer, name)


async def drain_peer_until_fd(peer: socket.socket, inode: int) -> None:
    with anyio.fail_after(10):
        while True:
            try:
                _, fds, *_ = socket.recv_fds(peer, 1 << 20, 8)
            except BlockingIOError:
                await anyio.wait_readable(peer)
                continue
            if fds:
                assert os.fstat(fds[0]).st_ino == inode
                close_fds(fds)
                return


async def test_short_writes_are_finished_in_order_and_wake_who_drains() -> None:
    """What the kernel does not take waits, whole and in order."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        parts = [bytes([n]) * 1_000_000 for n in range(5)]
        for part in parts:
            transport.send(part)
        assert transport.buffered > 0
        async with anyio.create_task_group() as group:
            group.start_soon(transport.drain)
            group.start_soon(transport.drain)
            assert await drain_peer(peer, 5_000_000) == b"".join(parts)
        assert transport.buffered == 0
        await recorder.until(lambda: recorder.drains == 1)
        transport.send(bytes(4_000_000))
        await drain_peer(peer, 4_000_000)
        await recorder.until(lambda: recorder.drains == 2)
        await transport.drain()


async def test_drain_cancelled_leaves_the_transport_usable() -> None:
    """And nothing of the frame is lost."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.send(bytes(4_000_000))
        async with anyio.create_task_group() as group:
            group.start_soon(transport.drain)
            await checkpoint()
            group.cancel_scope.cancel()
        transport.send(b"end")
        assert (await drain_peer(peer, 4_000_003)).endswith(b"\0end")


async def test_peer_that_never_reads_is_given_up_at_the_bound() -> None:
    """Memory is bounded: the connection is not."""
    recorder = Recorder()
    async with running(recorder) as (transport, _):
        block = bytes(8_000_000)
        while not transport.is_closed:
            assert transport.buffered <= MAX_BUFFERED
            transport.send(block)
        assert transport.buffered == 0
        await transport.drain()
        with pytest.raises(ConnectionLost) as caught:
            transport.send(b"more")
        assert caught.value.outcome is Outcomes.NOT_SENT
    assert "does not read" in str(recorder.ends[0])


async def test_drain_returns_when_the_connection_ends() -> None:
    """Nobody waits for a peer that is gone."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.send(bytes(4_000_000))
        async with anyio.create_task_group() as group:
            group.start_soon(transport.drain)
            await checkpoint()
            peer.close()
        await recorder.until(lambda: bool(recorder.ends))
    assert isinstance(recorder.ends[0], ConnectionLost)


async def test_end_of_file_is_reported_after_the_last_bytes() -> None:
    """Exactly once, as a lost connection."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        peer.send(b"last words")
        peer.close()
        await recorder.until(lambda: bool(recorder.ends))
        assert recorder.data == b"last words"
        assert transport.is_closed
        transport.close()
    assert "closed" in str(recorder.ends[0])


@pytest.mark.parametrize("fds", [False, True])
async def test_write_to_a_peer_that_is_gone_reports_its_last_words_first(fds: bool) -> None:
    """EPIPE does not hide why the peer went."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        peer.send(b"why")
        peer.close()
        transport.send(b"x", [0] if fds else ())
        transport.send(b"x")
        await recorder.until(lambda: bool(recorder.ends))
        assert recorder.data == b"why"


async def test_peer_that_takes_no_more_but_stays_is_a_lost_connection() -> None:
    """Only its reading side is shut: there is no end of file to wait for."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        peer.shutdown(socket.SHUT_RD)
        transport.send(b"x")
        await recorder.until(lambda: bool(recorder.ends))
    assert "broke" in str(recorder.ends[0])


async def test_reset_by_the_peer_is_a_lost_connection() -> None:
    """It closed with our bytes unread."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.send(b"never read")
        peer.close()
        await recorder.until(lambda: bool(recorder.ends))
    assert isinstance(recorder.ends[0], ConnectionLost)


async def test_reset_by_the_peer_is_seen_behind_its_last_words() -> None:
    """uvloop tells of an error once, while there is something to read before it, and we send nothing."""
    recorder = Recorder()
    async with running(recorder) as (transport, peer):
        transport.send(b"never read")
        peer.send(b"last words")
        peer.close()
        with anyio.fail_after(5):
            await recorder.until(lambda: bool(recorder.ends))
        assert recorder.data == b"last words"
    assert "reset" in str(recorder.ends[0]) or "closed" in str(recorder.ends[0])


async def test_closed_before_it_runs_is_reported_once() -> None:
    """run() returns at once."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        transport = unix_transport(ours)
        transport.close()
        recorder = Recorder()
        await transport.run(recorder)
        assert recorder.ends == [None]


async def test_broken_before_it_runs_still_reads_to_the_end() -> None:
    """Bytes that came before are handed over."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport = unix_transport(ours)
    theirs.send(b"bye")
    theirs.close()
    transport.send(b"x")
    await checkpoint()
    recorder = Recorder()
    await transport.run(recorder)
    assert recorder.data == b"bye"
    assert isinstance(recorder.ends[0], ConnectionLost)


async def test_bug_in_the_receiver_ends_the_stream_and_comes_out_of_run() -> None:
    """As itself, not as an exception group, and waiting calls are told."""

    def burst(_data: bytes) -> None:
        raise KeyError("bug")

    recorder = Recorder(burst)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        theirs.send(b"x")
        with pytest.raises(KeyError, match="bug"):
            await unix_transport(ours).run(recorder)
    assert isinstance(recorder.ends[0], ConnectionLost)


async def test_receiver_may_close_in_the_middle_of_a_read() -> None:
    """No further call comes then but on_close."""
    recorder = Recorder(lambda _: transport.close())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        theirs.send(b"x")
        transport = unix_transport(ours)
        await transport.run(recorder)
    assert recorder.data == b"x"
    assert recorder.ends == [None]


# ---------------------------------------------------------------- connecting


async def test_connect_missing_socket_is_cannot_connect(tmp_path: Path) -> None:
    """With the errno's name and what to do."""
    with pytest.raises(CannotConnect, match="no socket") as caught:
        await connect_unix(str(tmp_path / "none"))
    assert caught.value.code == "ENOENT"
    assert caught.value.hint
    assert caught.value.retryable


async def test_connect_nobody_listening_is_cannot_connect(tmp_path: Path) -> None:
    """A socket file that was left behind, or a plain file."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(CannotConnect) as caught:
        await connect_unix(str(path))
    assert caught.value.code == "ECONNREFUSED"


async def test_connect_datagram_socket_is_cannot_connect(tmp_path: Path) -> None:
    """Not a stream."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "s"))
        with pytest.raises(CannotConnect) as caught:
            await connect_unix(str(tmp_path / "s"))
    assert caught.value.code == "EPROTOTYPE"


@pytest.mark.parametrize(
    ("path", "code"), [("/" + "x" * MAX_PATH, "ENAMETOOLONG"), ("", "EINVAL"), ("/a\0b", "EINVAL")]
)
async def test_connect_impossible_path_is_refused_before_any_socket_is_made(path: str, code: str) -> None:
    """107 bytes are all that `sockaddr_un` holds."""
    with pytest.raises(CannotConnect) as caught:
        await connect_unix(path)
    assert caught.value.code == code
    assert not caught.value.retryable


async def test_connect_abstract_socket_by_at_sign() -> None:
    """A leading '@' (libvirt-wire §12)."""
    name = f"avirt-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        with await connect_unix(f"@{name}") as client, server.accept()[0] as peer:
            peer.send(b"x")
            assert client.recv(1) == b"x"


async def test_connect_waits_while_the_server_does_not_accept_and_can_be_cancelled(tmp_path: Path) -> None:
    """A daemon that is out of clients stops accepting (libvirt-wire §5)."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        with await connect_unix(path):
            with anyio.move_on_after(0.02) as scope:
                await connect_unix(path)
            assert scope.cancelled_caught

            async def accept() -> None:
                server.accept()[0].close()

            async with anyio.create_task_group() as group:
                group.start_soon(accept)
                (await connect_unix(path)).close()
