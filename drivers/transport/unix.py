"""Unix sockets, with descriptors, read and written without a stream object in between.

anyio's streams cost 1.7 to 2 times as much per call, and lose or leak descriptors (reference/performance.md §0, §9).
So: an own non-blocking socket, written directly; read by a persistent reader on asyncio and uvloop, by a task on trio.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

import anyio

from avirt.drivers.transport.base import MAX_BUFFERED, Receiver, Transport, Waiter, wake
from avirt.drivers.transport.loop import current_loop, is_asyncio
from avirt.errors import AvirtError, CannotConnect, ConnectionLost, Outcomes

__all__ = ["MAX_PATH", "close_fds", "connect_unix", "unix_transport"]

MAX_PATH: Final = 107
"""Bytes of a path in `sockaddr_un` on Linux, without its final NUL (unix(7))."""

_READ: Final = 32768  # some 400 events: what is made of them holds the loop for 3 ms
_READ_FIRST: Final = 4096  # most reads bring one reply; a buffer of the larger size costs 2 µs more
_MAX_FDS: Final = 32
_ROOM: Final = socket.CMSG_SPACE(_MAX_FDS * array("i").itemsize)
# socket.recv_fds ignores its flags (CPython 3.13.0), recvmsg does not
_CLOEXEC: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_NOSIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))
# plain numbers: an operation with the module's enumerations takes longer than the read itself
_CTRUNC: Final = int(socket.MSG_CTRUNC)
_SOL_SOCKET: Final = int(socket.SOL_SOCKET)
_SO_ERROR: Final = int(socket.SO_ERROR)
_RETRY: Final = (0.01, 0.02, 0.05, 0.1)
"""Seconds between attempts while the server's queue of new connections is full."""


def close_fds(fds: Sequence[int]) -> None:
    """Close descriptors that nobody claims."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


async def connect_unix(path: str) -> socket.socket:
    """A connected non-blocking socket; a leading '@' means the abstract namespace.

    No deadline of its own: while the server does not accept, this waits.

    Raises:
        CannotConnect: `code` is the errno's name.
    """
    address: str | bytes = path
    if path.startswith("@"):
        address = b"\0" + os.fsencode(path[1:])
    if not path or "\0" in path:
        raise CannotConnect("the path of the socket is empty or contains a NUL", code="EINVAL", retryable=False)
    if len(os.fsencode(path)) > MAX_PATH:
        raise CannotConnect(
            f"the path of the socket is longer than {MAX_PATH} bytes: {path}",
            code="ENAMETOOLONG",
            hint="use a shorter folder, or a symbolic link to it",
            retryable=False,
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        delays = iter(_RETRY)
        while True:
            try:
                sock.connect(address)
            except BlockingIOError:
                # a unix socket has no connection in progress: EAGAIN means that the server's queue is full
                await anyio.sleep(next(delays, _RETRY[-1]))
            else:
                return sock
    except OSError as error:
        sock.close()
        raise _cannot_connect(path, error) from error
    except BaseException:
        sock.close()
        raise


_CAUSES: Final[dict[int, tuple[str, str]]] = {
    errno.ENOENT: ("there is no socket", "is the daemon running, and the path right?"),
    errno.ENOTDIR: ("there is no socket", "a part of the path is no folder"),
    errno.EACCES: ("permission denied for the socket", "run as a user, or in a group, that may use it"),
    errno.EPERM: ("permission denied for the socket", "run as a user, or in a group, that may use it"),
    errno.ECONNREFUSED: ("nobody listens at the socket", "the daemon is not running, or this is no socket: start it"),
    errno.EPROTOTYPE: ("this is no stream socket:", "give the path of the daemon's socket"),
}


def _cannot_connect(path: str, error: OSError) -> CannotConnect:
    number = error.errno or 0
    what, hint = _CAUSES.get(number, ("can't connect to the socket", ""))
    return CannotConnect(
        f"{what} {path}",
        hint=hint,
        code=errno.errorcode.get(number, number),
        native=os.strerror(number),
        retryable=number not in (errno.EACCES, errno.EPERM),
    )


def unix_transport(sock: socket.socket) -> Transport:
    """A transport of the running loop over a connected non-blocking unix socket, which it owns."""
    return _AsyncioTransport(sock) if is_asyncio() else _TrioTransport(sock)


class _UnixTransport(ABC):
    """What both loops share: the socket, the out-buffer, the end."""

    passes_descriptors = True

    def __init__(self, sock: socket.socket) -> None:
        self._expects_descriptors = True
        self._sock = sock
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._receiver: Receiver | None = None
        self._drains: list[Waiter[None]] = []
        self.loop = current_loop()
        self._room = _READ_FIRST
        self._bug: Exception | None = None
        self._error: AvirtError | None = None
        self.is_closed = False
        self.buffered = 0

    # ------------------------------------------------------------ writing

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        if self.is_closed:
            raise ConnectionLost("the connection is closed", outcome=Outcomes.NOT_SENT)
        if self._out:
            self._keep(memoryview(data), fds)
            return
        try:
            sent = self._write(data, fds) if fds else self._sock.send(data, _NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(error)
            return
        if sent < len(data):
            # descriptors travel with the first byte
            self._keep(memoryview(data)[sent:], () if sent else fds)
            self._want_write()

    def _write(self, data: bytes | memoryview, fds: Sequence[int]) -> int:
        if fds:
            return self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))], _NOSIGNAL)
        return self._sock.send(data, _NOSIGNAL)

    def _keep(self, data: memoryview, fds: Sequence[int]) -> None:
        if self.buffered + len(data) > MAX_BUFFERED:
            self.close(ConnectionLost("the peer does not read", hint="it hangs, or is overloaded"))
            return
        # our caller may close its descriptors as soon as we return
        self._out.append((data, tuple(map(os.dup, fds))))
        self.buffered += len(data)

    def _flush(self) -> bool:
        """Write what is kept; True once nothing is left to wait for."""
        while self._out:
            data, fds = self._out[0]
            try:
                sent = self._write(data, fds)
            except BlockingIOError:
                return False
            except OSError as error:
                self._break(error)
                return True
            self.buffered -= sent
            close_fds(fds)
            if sent < len(data):
                self._out[0] = (data[sent:], ())
                return False
            self._out.popleft()
        self._wake_drains()
        if self._receiver is not None and not self.is_closed:
            self._guard_drain(self._receiver)
        return True

    def _guard_drain(self, receiver: Receiver) -> None:
        try:
            receiver.on_drain()
        except Exception as error:  # noqa: BLE001  a bug in the receiver ends the stream; run() raises it
            self._crash(error)

    async def drain(self) -> None:
        while self.buffered and not self.is_closed:
            waiter = self.loop.waiter()
            self._drains.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._drains:
                    self._drains.remove(waiter)

    def _wake_drains(self) -> None:
        waiters, self._drains = self._drains, []
        for waiter in waiters:
            wake(waiter)

    def _break(self, error: OSError) -> None:
        """The peer takes no more. It may have said why: what it sent is read first."""
        self._drop_out()
        self.loop.soon(lambda: self._read_rest(_lost(error)))

    def _read_rest(self, error: ConnectionLost) -> None:
        if self._receiver is None:
            return  # run() will read to the end
        while not self.is_closed and self._read():
            pass
        self.close(error)

    def _drop_out(self) -> None:
        for _, fds in self._out:
            close_fds(fds)
        self._out.clear()
        self.buffered = 0
        self._wake_drains()

    # ------------------------------------------------------------ reading

    def expect_descriptors(self, expected: bool) -> None:
        self._expects_descriptors = expected

    def _read(self) -> bool:
        """One read; False if there was nothing to read."""
        fds: Sequence[int] = ()
        flags = 0
        try:
            if self._expects_descriptors:
                data, control, flags, _ = self._sock.recvmsg(self._room, _ROOM, _CLOEXEC)
                if control:
                    fds = _descriptors(control)
            else:
                data = self._sock.recv(self._room)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.close(_lost(error))
            return False
        if not data:
            close_fds(fds)
            self.close(ConnectionLost("the peer closed the connection", hint="the daemon ended or was restarted"))
            return False
        if flags & _CTRUNC:
            close_fds(fds)
            self.close(ConnectionLost("descriptors were lost", hint="this process has too many open files: ulimit -n"))
            return False
        self._room = _READ if len(data) == self._room else _READ_FIRST
        if self._receiver is None:
            close_fds(fds)
            return True
        try:
            self._receiver.on_data(data, fds)
        except Exception as error:  # noqa: BLE001  as above
            self._crash(error)
        return True

    # ------------------------------------------------------------ the end

    def _attach(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self.is_closed:
            receiver.on_close(self._error)

    def _finish(self) -> None:
        self.close()
        if self._bug is not None:
            raise self._bug

    def _crash(self, error: Exception) -> None:
        self._bug = self._bug or error
        self.close(ConnectionLost("the connection was closed after an internal error"))

    def close(self, error: AvirtError | None = None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._error = error
        self._forget()
        self._sock.close()
        self._drop_out()
        if self._receiver is not None:
            try:
                self._receiver.on_close(error)
            except Exception as bug:  # noqa: BLE001  as above
                self._bug = self._bug or bug
        self._ended()

    @abstractmethod
    def _want_write(self) -> None:
        """Call `_flush` when the socket takes bytes again."""

    @abstractmethod
    def _forget(self) -> None:
        """Take the socket out of the loop."""

    @abstractmethod
    def _ended(self) -> None:
        """Let `run` return."""


class _AsyncioTransport(_UnixTransport):
    """A persistent reader; a writer only while something is kept."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._aio = asyncio.get_running_loop()
        self._is_foreign = not isinstance(self._aio, asyncio.BaseEventLoop)
        self._done: asyncio.Future[None] = self._aio.create_future()

    async def run(self, receiver: Receiver) -> None:
        self._attach(receiver)
        if not self.is_closed:
            self._aio.add_reader(self._sock, self._read_once_more if self._is_foreign else self._read)
        try:
            await self._done
        finally:
            self._finish()

    def _read_once_more(self) -> None:
        """uvloop calls the reader of a socket that has an error once, and never again (libuv's uv_poll gives EBADF).

        With bytes to read before the error, which `recv` gives first, a peer's death would go unseen.
        """
        if self._read() and not self.is_closed and (number := self._sock.getsockopt(_SOL_SOCKET, _SO_ERROR)):
            self._read_rest(_lost(OSError(number, os.strerror(number))))

    def _want_write(self) -> None:
        self._aio.add_writer(self._sock, self._on_writable)

    def _on_writable(self) -> None:
        if self._flush() and not self.is_closed:
            self._aio.remove_writer(self._sock)

    def _forget(self) -> None:
        self._aio.remove_reader(self._sock)
        self._aio.remove_writer(self._sock)

    def _ended(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class _TrioTransport(_UnixTransport):
    """A task that reads, and one that writes while something is kept."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._kept = self.loop.waiter()

    async def run(self, receiver: Receiver) -> None:
        from trio import ClosedResourceError
        from trio.lowlevel import wait_readable

        self._attach(receiver)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._write_kept)
                while not self.is_closed:
                    try:
                        await wait_readable(self._sock)
                    except ClosedResourceError:
                        break
                    self._read()
                group.cancel_scope.cancel()
        finally:
            self._finish()

    async def _write_kept(self) -> None:
        from trio import ClosedResourceError
        from trio.lowlevel import wait_writable

        while not self.is_closed:
            if not self._out:
                self._kept = self.loop.waiter()
                await self._kept
                continue
            try:
                await wait_writable(self._sock)
            except ClosedResourceError:
                return
            self._flush()

    def _want_write(self) -> None:
        wake(self._kept)

    def _forget(self) -> None:
        from trio.lowlevel import notify_closing

        notify_closing(self._sock)

    def _ended(self) -> None:
        wake(self._kept)


def _lost(error: OSError) -> ConnectionLost:
    return ConnectionLost(f"the connection broke: {error.strerror}", hint="the daemon ended or was restarted")


def _descriptors(control: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if not _CLOEXEC:
        for fd in fds:
            os.set_inheritable(fd, False)
    return list(fds)
