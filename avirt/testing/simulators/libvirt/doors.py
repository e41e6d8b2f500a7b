"""The two sockets of a simulated daemon in the file system, read-write and read-only, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_hex
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Final

import anyio
from anyio import ClosedResourceError, to_thread
from anyio.abc import TaskGroup

__all__ = ["READ_ONLY", "READ_WRITE", "Doors"]

READ_WRITE: Final = "sock"
READ_ONLY: Final = "sock-ro"

_BACKLOG: Final = 128

_FULL: Final = 0.05
"""Seconds until the next attempt while this process has too many files open."""


class Doors:
    """See the module.

    Args:
        accept: is given each client's socket, and whether it came by the read-only one.
        tasks: where the tasks that accept are started.
    """

    def __init__(self, accept: Callable[[socket, bool], None], tasks: TaskGroup) -> None:
        self._accept = accept
        self._tasks = tasks
        self._folder: Path | None = None
        self._listeners: list[socket] = []
        self._opened = 0
        self._lock = anyio.Lock()
        self._is_removed = False

    async def make(self) -> None:
        """Make the folder."""
        self._folder = Path(tempfile.gettempdir(), f"avirt-sim-{os.getpid()}-{token_hex(6)}")
        await to_thread.run_sync(self._make, self._folder)

    async def remove(self) -> None:
        """Remove it, with what is in it."""
        if self._folder is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._remove, self._folder)

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._is_removed:  # by a task that was cancelled meanwhile
            folder.rmdir()

    def _remove(self, folder: Path) -> None:
        self._is_removed = True
        shutil.rmtree(folder, ignore_errors=True)

    def path(self, name: str) -> str:
        """Where one of them is."""
        assert self._folder is not None
        return str(self._folder / name)

    async def open(self) -> None:
        """Listen at both."""
        self._opened += 1
        mine = self._opened
        async with self._lock:  # two threads would take each other's path
            for name in (READ_WRITE, READ_ONLY):
                if self._opened != mine:  # closed meanwhile, and perhaps opened again
                    return
                path = Path(self.path(name))
                await to_thread.run_sync(partial(path.unlink, missing_ok=True))
                if self._opened != mine:
                    return
                listener = _bound(path)  # in no thread, whose result would be lost to a task that is cancelled
                self._listeners.append(listener)
                self._tasks.start_soon(self._accept_from, listener, name == READ_ONLY)

    def close(self) -> None:
        """Nobody listens any more."""
        self._opened += 1
        for listener in self._listeners:
            anyio.notify_closing(listener)
            listener.close()
        self._listeners.clear()

    async def _accept_from(self, listener: socket, by_read_only_socket: bool) -> None:
        while listener.fileno() >= 0:
            try:
                await anyio.wait_readable(listener)
                sock, _ = listener.accept()
            except (ClosedResourceError, ValueError):
                return
            except BlockingIOError:
                continue
            except OSError:
                await anyio.sleep(_FULL)
                continue
            self._accept(sock, by_read_only_socket)


def _bound(path: Path) -> socket:
    """A listening socket."""
    listener = socket(AF_UNIX, SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
