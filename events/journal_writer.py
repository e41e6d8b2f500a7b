"""The journal's thread: it owns the file, writes batches, removes what is too old, and says how far it came.

One a journal; it starts with it and ends with it, and runs no code of the user. What it is given it takes from a queue
that never makes anybody wait. A batch is 500 changes, or what came within 50 ms: a commit waits for the disk (SQLite's
synchronous=FULL, so that a change on disk survives a power cut too), which takes as long for one as for many.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Final

import msgspec

from avirt.events.journal_rows import Books
from avirt.events.journal_schema import (
    WAL_SIZE,
    Contents,
    Damaged,
    NotOurs,
    checksum,
    connect,
    contents,
    create,
    is_ours,
    set_aside,
    transaction,
)
from avirt.events.policies import Retention
from avirt.events.runs import Runs
from avirt.model.change import Change

__all__ = ["BATCH", "DELAY", "Begun", "Ended", "Lost", "Told", "Writer", "Written"]

BATCH: Final = 500
DELAY: Final = 0.05
CHUNK: Final = 5000
"""Rows removed at once: some 10 ms, so that it delays no batch."""
SLACK: Final = 20
"""A twentieth more than asked for is kept, so that rows are removed by the hundred."""
VACUUM: Final = 256
"""Pages given back to the file system at once."""

OLDEST: Final = "SELECT at FROM changes ORDER BY seq LIMIT 1"
AGED: Final = "SELECT count(*) FROM (SELECT at FROM changes ORDER BY seq LIMIT ?) WHERE at < ?"

REASONS: Final[dict[str, str]] = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it can't be written to",
    "SQLITE_CANTOPEN": "it can't be opened",
    "SQLITE_BUSY": "somebody else holds it locked",
    "SQLITE_IOERR": "the disk fails",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_NOTADB": "it is damaged",
    "SQLITE_ERROR": "its tables are not a journal's",
}
"""By the first two words of SQLite's error names (rescode.html)."""
DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class Begun(msgspec.Struct, frozen=True):
    """The file is open. `aside`, `why`: another one was set aside for it."""

    contents: Contents
    aside: str = ""
    why: str = ""


class Written(msgspec.Struct, frozen=True):
    """Everything up to `seq` is on disk; everything up to `pruned` was removed."""

    seq: int
    pruned: int


class Lost(msgspec.Struct, frozen=True):
    """Nothing more is written."""

    why: str
    aside: str = ""


class Ended(msgspec.Struct, frozen=True):
    """The thread is about to end: the file is closed."""


Told = Begun | Written | Lost | Ended


class _Gone(Exception):
    """The file is not where it was."""


class Writer(threading.Thread):
    """Writes until it is told to end, or can't.

    Args:
        tell: hands something to the loop; called from this thread.
        epoch: of a journal that is begun anew.
        wall: the wall clock, for the age of rows.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention,
        epoch: Callable[[], str],
        tell: Callable[[Told], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="avirt journal", daemon=True)  # a disk that hangs does not keep the interpreter
        self._path = path
        self._retention = retention
        self._epoch = epoch
        self._tell = tell
        self._wall = wall
        self._queue: deque[Sequence[Change] | str] = deque()
        self._some = threading.Event()
        self._full = threading.Event()
        self._ending = False
        self._abandoned = False
        self._damage = ""
        self._given = self._done = 0  # the last number that came, and that was written
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._place = (0, 0)
        self._first = 0
        self._runs = Runs()
        self._books = Books({})

    # ------------------------------------------------------------ called by the loop; none of it waits

    def give(self, changes: Sequence[Change], head: int) -> None:
        """Write these, up to this number."""
        self._given = head
        self._queue.append(changes)
        if not self._some.is_set():
            self._some.set()
        if head - self._done >= BATCH and not self._full.is_set():
            self._full.set()

    def forget(self, host: str) -> None:
        """The host is not looked after any more."""
        self._queue.append(host)
        self._some.set()

    def condemn(self, why: str) -> None:
        """A reader has found damage."""
        self._damage = why
        self._some.set()
        self._full.set()

    def end(self, *, abandon: bool = False) -> None:
        """End after what is left; or at once."""
        self._abandoned |= abandon
        self._ending = True
        self._some.set()
        self._full.set()

    # ------------------------------------------------------------ the thread

    def run(self) -> None:
        """Its life."""
        try:
            self._tell(self._open())
            while not self._ending:
                self._await_batch()
                self._write_some()
                if self._queue:
                    self._some.set()
            while self._queue and not self._abandoned:
                self._write_some()
            if not self._abandoned:
                self._finish()
        except (sqlite3.Error, OSError, Damaged, NotOurs, _Gone) as error:
            self._tell(self._explain(error))
        except Exception as error:  # noqa: BLE001 - a bug of ours ends the journal, never the stream
            self._tell(Lost(f"internal error: {error!r}"))
        finally:
            self._close()
            self._tell(Ended())

    def _explain(self, error: Exception) -> Lost:
        if is_damage(error):
            self._disconnect()
            with suppress(OSError):
                return Lost(reason(error), str(set_aside(self._path)))
        return Lost(reason(error))

    def _await_batch(self) -> None:
        self._some.wait()
        if self._given - self._done < BATCH:
            self._full.wait(DELAY)
        self._some.clear()
        self._full.clear()
        if self._damage:
            raise Damaged(self._damage)

    def _write_some(self) -> None:
        """One batch of what waits."""
        batch: list[Change] = []
        while self._queue and len(batch) < BATCH and not self._abandoned:
            item = self._queue.popleft()
            if isinstance(item, str):
                self._write_batch(batch)
                self._write_forgotten(item)
                return
            batch.extend(item)
        self._write_batch(batch)

    # ------------------------------------------------------------ the file

    def _open(self) -> Begun:
        self._path = self._path.resolve()  # one lock for all the names of a file
        self._lock = lock(Path(f"{self._path}.lock"))
        aside, why = "", ""
        try:
            found = self._begin()
        except (sqlite3.DatabaseError, Damaged) as error:
            if not is_damage(error) and _code(error) != "SQLITE_ERROR":  # no such table
                raise
            self._disconnect()
            aside, why = str(set_aside(self._path)), reason(error)
            found = self._begin()
        # the loop has one of its own: it counts what is not on disk, too
        self._runs = Runs(found.runs.all, pruned=found.runs.pruned)
        self._first = found.runs.all[-1].first
        self._given = self._done = found.head
        self._books = Books(found.memory)
        return Begun(found, aside, why)

    def _begin(self) -> Contents:
        connection = self._connection = connect(self._path)
        if not is_ours(connection, self._path):
            create(connection, self._epoch())
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_SIZE}")
        status = self._path.stat()
        self._place = (status.st_dev, status.st_ino)
        return contents(connection, begin=True)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    # ------------------------------------------------------------ writing

    def _write_batch(self, batch: Sequence[Change]) -> None:
        if not batch:
            return
        last = batch[-1].seq
        with transaction(self._db):
            self._books.write(self._db, batch, float(self._wall()))
            self._write_run(last, closed=False)
        self._done = self._runs.last = last
        self._remove_old()
        self._check_place()
        self._tell(Written(last, self._runs.pruned))

    def _write_run(self, last: int, *, closed: bool) -> None:
        row = (self._first, last, int(closed))
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", (*row, checksum(*row)))

    def _write_forgotten(self, host: str) -> None:
        with transaction(self._db):
            self._books.forget(self._db, host)

    def _finish(self) -> None:
        """Ended in order: the next process goes on with the next number."""
        with transaction(self._db):
            self._write_run(self._done, closed=True)

    def _check_place(self) -> None:
        """What is written to a file that was removed is on no disk."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise _Gone(f"the file is gone: {error.strerror}") from error
        if (status.st_dev, status.st_ino) != self._place:
            raise _Gone("another file is in its place")

    # ------------------------------------------------------------ removing

    def _remove_old(self) -> None:
        excess = self._excess()
        if excess <= 0:
            return
        db = self._db
        excess = min(excess, CHUNK)
        [until] = db.execute("SELECT seq FROM changes ORDER BY seq LIMIT 1 OFFSET ?", (excess - 1,)).fetchone()
        with transaction(db):
            db.execute("DELETE FROM changes WHERE seq <= ?", (until,))
            db.execute("DELETE FROM runs WHERE last <= ? AND first < ?", (until, self._first))
        self._runs.pruned = until
        if self._pragma("freelist_count") * 4 > self._pragma("page_count"):
            db.execute(f"PRAGMA incremental_vacuum({VACUUM})").fetchall()

    def _excess(self) -> int:
        """How many rows are too many."""
        keep = self._retention
        held = self._runs.count(self._runs.pruned, self._runs.last)
        excess = 0
        if keep.rows is not None and held > keep.rows + keep.rows // SLACK:
            excess = held - keep.rows
        if keep.bytes is not None:
            used = (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")
            if used > keep.bytes:
                excess = max(excess, ceil(held * (used - keep.bytes + keep.bytes / SLACK) / used))
        if keep.age is not None:
            since = self._wall() - keep.age
            [oldest] = self._db.execute(OLDEST).fetchone()
            if oldest < since:
                excess = max(excess, self._db.execute(AGED, (CHUNK, since)).fetchone()[0])
        return min(excess, held)

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def lock(path: Path) -> int:
    """Keep other writers out for as long as the descriptor is open, however the process ends.

    Raises:
        OSError: another one writes, or the file can't be made.
    """
    import fcntl  # not on every system that can import this module

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BlockingIOError(error.errno, "another process, or another store, writes to it") from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _code(error: Exception) -> str:
    """SQLITE_IOERR of SQLITE_IOERR_WRITE."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])


def is_damage(error: Exception) -> bool:
    """Whether the file itself is bad."""
    return isinstance(error, Damaged) or _code(error) in DAMAGE


def reason(error: Exception) -> str:
    """In words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    known = REASONS.get(_code(error))
    return f"{known} ({error})" if known else str(error)
