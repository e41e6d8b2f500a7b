"""Writes a recording's lines to its file, in a worker thread and in batches: the loop never waits for a disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskGroup

from avirt.errors import InvalidArgument, ResourceError
from avirt.groups import holds_cancellation
from avirt.log import get_logger
from avirt.recording.format import Frames, Line, Lost, write_line

__all__ = ["MAX_WAITING", "Writer"]

MAX_WAITING: Final = 64 * 1024 * 1024
"""Bytes of lines that wait for the disk, about; what comes beyond them is counted and not kept."""
_LINE_SIZE: Final = 1024
"""What a line without frames takes, about."""
_PAUSE: Final = 0.05
"""Seconds between two batches: what a crash of this process may lose."""
_PATIENCE: Final = 10.0
"""Seconds that the last batch may take on leaving."""

_log = get_logger("recording")


class Writer:
    """A file of lines, readable by its owner only. Enter it, then `write` never waits.

    Args:
        path: where.
        overwrite: replace a file that is there.
        room: bytes of lines that wait for the disk.

    Attributes:
        error: why nothing is written any more, or None.
        written: lines in the file.
        lost: lines that were not kept because the disk was too slow.

    Raises (on entering):
        InvalidArgument: the file is there, or can't be made.

    Raises (on leaving, unless the body raised):
        ResourceError: the recording ended early: the disk is full, or broken.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, room: int = MAX_WAITING) -> None:
        self.path = Path(path)
        self.error: ResourceError | None = None
        self.written = 0
        self.lost = 0
        self._overwrite = overwrite
        self._room = room
        self._limiter = CapacityLimiter(1)
        self._lines: list[Line] = []
        self._size = 0
        self._missing = 0
        self._some = anyio.Event()
        self._is_over = anyio.Event()
        self._file = -1
        self._tasks: TaskGroup | None = None

    def write(self, line: Line) -> None:
        """Keep a line for the file. Never waits, never raises."""
        if self.error is not None:
            return
        if self._size > self._room:
            self._missing += 1
            self.lost += 1
            return
        if self._missing:
            self._lines.append(Lost(line.at, self._missing))
            self._missing = 0
        self._lines.append(line)
        self._size += len(line.data) if isinstance(line, Frames) else _LINE_SIZE
        self._some.set()

    def create(self) -> int:
        """Make the file, for its owner's eyes only; its descriptor. In a worker thread."""
        return _create(self.path, overwrite=self._overwrite)

    async def __aenter__(self) -> Self:
        with anyio.CancelScope(shield=True):  # cancelled after it was made, it would be left open
            self._file = await to_thread.run_sync(self.create)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._write_all)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert self._tasks is not None
        self._is_over.set()
        self._some.set()
        swallowed = False
        try:
            if error is None or holds_cancellation(error):
                swallowed = bool(await self._tasks.__aexit__(kind, error, traceback))
            else:  # the body's own exception never enters the group: it comes out as itself
                with suppress(BaseExceptionGroup):
                    await self._tasks.__aexit__(None, None, None)
        finally:
            await self._close()
        if error is None and self.error is not None:
            raise self.error
        return swallowed

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(os.close, self._file, limiter=self._limiter)

    async def _write_all(self) -> None:
        with anyio.CancelScope(shield=True) as scope:  # whoever is cancelled wants to know what happened until then
            while self.error is None and not (self._is_over.is_set() and not self._lines):
                await self._some.wait()
                self._some = anyio.Event()
                if self._is_over.is_set():
                    scope.deadline = anyio.current_time() + _PATIENCE
                    self._some.set()
                lines, self._lines, self._size = self._lines, [], 0
                try:
                    await to_thread.run_sync(_append, self._file, lines, limiter=self._limiter)
                except Exception as error:  # noqa: BLE001  a bug here must not end what is recorded
                    self._fail(error)
                    return
                self.written += len(lines)
                with anyio.move_on_after(_PAUSE):
                    await self._is_over.wait()

    def _fail(self, error: Exception) -> None:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else f"a bug in avirt: {error!r}"
        _log.warning("the recording ends", path=str(self.path), why=why)
        self._lines.clear()
        self.error = ResourceError(
            f"{self.path}: the recording ended early: {why}", hint="what is in the file can be used"
        )
        self.error.__cause__ = error


def _create(path: Path, *, overwrite: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if overwrite and path.is_file():
            path.unlink()  # not truncated: who has it open, and how it may be read, are no business of ours
        return os.open(path, flags, 0o600)
    except FileExistsError as error:
        hint = "give another name" if overwrite else "give another name, or --force"
        raise InvalidArgument(f"{path} exists", hint=hint) from error
    except (OSError, ValueError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InvalidArgument(f"{path}: {why}", hint="give a file that can be made") from error


def _append(file: int, lines: Sequence[Line]) -> None:
    data = memoryview(b"".join(map(write_line, lines)))
    while data:
        data = data[os.write(file, data) :]
