"""A proxy before a daemon's socket that can be cut, or told to cut at a byte; and servers that are no daemon.

Each is a process of its own (this file, run as a program), so that it is the same on every loop, and its descriptors
are not among those of the test.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

__all__ = ["Proxy", "proxied", "serving"]

NO_LIMIT: Final = -1


class Proxy:
    """Passes bytes on, connection by connection."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def limit(self, after: int | None) -> None:
        """Cut new connections after so many bytes from the daemon; None: don't."""
        await self._tell(f"limit {NO_LIMIT if after is None else after}")

    async def cut(self) -> None:
        """Cut all connections now."""
        await self._tell("cut")

    async def connections(self) -> int:
        """How many were made so far."""
        return int(await self._tell("count"))

    async def _tell(self, command: str) -> str:
        return await to_thread.run_sync(_ask, self._process, command)


def _ask(process: subprocess.Popen[str], command: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(command + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def _start(*args: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@asynccontextmanager
async def _running(*args: str) -> AsyncIterator[subprocess.Popen[str]]:
    process = await to_thread.run_sync(_start, *args)
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_end, process)


@asynccontextmanager
async def proxied(target: Path, path: Path) -> AsyncIterator[Proxy]:
    """A proxy listening at `path`."""
    async with _running(str(path), str(target)) as process:
        yield Proxy(process)


@asynccontextmanager
async def serving(path: Path, answer: bytes | None) -> AsyncIterator[None]:
    """A server that says one thing to whoever comes (None: nothing, ever), and is no libvirt daemon."""
    async with _running(str(path), "", (answer or b"").hex()):
        yield


# ---------------------------------------------------------------- the program


class _Server:
    def __init__(self, path: str, target: str, answer: bytes) -> None:
        self.count = 0
        self.limit = NO_LIMIT
        self._target = target
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(20)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self.count += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client, self.limit), daemon=True).start()

    def _serve(self, client: socket.socket, limit: int) -> None:
        with client, contextlib.suppress(OSError):
            if self._target:
                self._proxy(client, limit)
                return
            client.sendall(self._answer)
            while client.recv(65536):
                pass

    def _proxy(self, client: socket.socket, limit: int) -> None:
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(self._target)
            back = threading.Thread(target=_pass, args=(client, daemon, NO_LIMIT), daemon=True)
            back.start()
            _pass(daemon, client, limit)
            back.join()


def _pass(source: socket.socket, sink: socket.socket, limit: int) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while limit == NO_LIMIT or passed < limit:
            data = source.recv(65536 if limit == NO_LIMIT else limit - passed)
            if not data:
                break
            passed += len(data)
            sink.sendall(data)
    for side in (source, sink):  # one is gone: so is the other
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


def _main(path: str, target: str, answer: str = "") -> None:
    server = _Server(path, target, bytes.fromhex(answer))
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        match command:
            case "limit":
                server.limit = int(argument)
            case "cut":
                server.cut()
            case _:
                pass
        print(server.count, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
