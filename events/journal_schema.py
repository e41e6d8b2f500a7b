"""The journal's file: its tables, how it is opened, begun, refused or set aside, and how what it holds is checked.

Every row carries a checksum over all that it says: SQLite finds a damaged page only if it makes no sense, and a number
that is read wrongly would be given twice. The file:

    meta     one row: the epoch, and how many numbers are reserved beyond the last one on disk
    runs     which numbers were used (`runs.py`); the last one is closed if its process ended in order
    changes  a row a change; `at` is the wall clock of its writing
    domains  the last record of each domain, so that the next process goes on from there
    hosts    likewise
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from avirt.events.codec import unpack_facts, unpack_record
from avirt.events.hosts import HostMemory
from avirt.events.runs import BLOCK, Run, Runs
from avirt.events.token import is_epoch
from avirt.model.record import DomainRecord, Key

__all__ = [
    "Contents",
    "Damaged",
    "NotOurs",
    "check",
    "checksum",
    "connect",
    "contents",
    "create",
    "is_ours",
    "set_aside",
    "transaction",
    "wire_name",
]

APPLICATION: Final = 0x61767274
"""`avrt`: SQLite keeps it at byte 68 of the file (fileformat2.html, "The Database Header")."""
VERSION: Final = 1
MAGIC: Final = b"SQLite format 3\0"
NO_JOURNAL: Final = "it is not a journal of avirt"
BUSY: Final = 5.0
"""Seconds that a write waits for somebody's lock: a shell that someone has open, a backup."""
WAL_SIZE: Final = 16 << 20
"""Bytes that the write-ahead log is cut down to after a checkpoint."""

TABLES: Final = """
CREATE TABLE meta (epoch TEXT NOT NULL, block INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE runs (
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, closed INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE changes (seq INTEGER PRIMARY KEY, at REAL NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE domains (
  host BLOB NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (host, key)
) WITHOUT ROWID;
CREATE TABLE hosts (
  host BLOB PRIMARY KEY, revision INTEGER NOT NULL, connected INTEGER NOT NULL, lost_at REAL, lost_why BLOB NOT NULL,
  facts BLOB, crc INTEGER NOT NULL
) WITHOUT ROWID
"""


class NotOurs(Exception):
    """The file is something else: it is not touched."""


class Damaged(Exception):
    """The file is a journal, and can't be believed."""


class Contents(msgspec.Struct):
    """What a process finds when it begins.

    Attributes:
        head: the number before its first change.
    """

    epoch: str
    head: int
    runs: Runs
    memory: dict[str, HostMemory]


def checksum(*fields: bytes | int | float | str | None) -> int:
    """Of a row, over all its fields."""
    crc = 0
    for field in fields:
        if isinstance(field, bytes):
            data = field
        elif isinstance(field, int):
            data = struct.pack(">q", field)
        elif isinstance(field, float):
            data = struct.pack(">d", field)
        else:
            data = b"\0" if field is None else field.encode("utf-8", "surrogatepass")
        crc = crc32(data, crc)
    return crc


def check(crc: object, *fields: bytes | int | float | str | None) -> None:
    """Damaged unless that is the checksum of these fields."""
    if crc != checksum(*fields):
        raise Damaged("a row's checksum is wrong")


def wire_name(name: str) -> bytes:
    """A name as bytes, whatever is in it."""
    return name.encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- the file


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection without transactions of its own accord. It may be used by one thread after another."""
    mode = "ro" if read_only else "rwc"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    """A number that damage turned into text is for the checksum to find."""
    return raw.decode(errors="replace")


@contextmanager
def transaction(connection: sqlite3.Connection, how: str = "IMMEDIATE") -> Generator[None]:
    """All of it, or nothing."""
    connection.execute(f"BEGIN {how}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def create(connection: sqlite3.Connection, epoch: str, *, block: int = BLOCK) -> None:
    """Begin a journal in an empty file."""
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    with transaction(connection):
        for table in TABLES.split(";"):
            connection.execute(table)
        connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (epoch, block, checksum(epoch, block)))
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={VERSION}")


def is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a journal is there; false if the file is empty.

    Raises:
        NotOurs: it is something else.
        Damaged: it is a journal of another version, or broken.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        # whoever gives the wrong path does not find the file moved away
        if _header(path)[68:72] != APPLICATION.to_bytes(4, "big"):
            raise NotOurs(NO_JOURNAL) from error
        raise Damaged(str(error)) from error
    if application == 0 and tables == 0 and _header(path)[:16] in (b"", MAGIC):
        return False
    if application != APPLICATION:
        raise NotOurs(NO_JOURNAL)
    if version != VERSION:
        raise Damaged(f"it has version {version} of the format, this avirt has {VERSION}")
    return True


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def set_aside(path: Path) -> Path:
    """Move the file out of the way, with what belongs to it; one that was moved before is replaced."""
    aside = path.with_name(path.name + ".aside")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")  # noqa: PTH105  (a Path can't be extended so)
    return aside


# ---------------------------------------------------------------- what it holds


def contents(connection: sqlite3.Connection, *, begin: bool) -> Contents:
    """Read what a process has to know; with `begin`, reserve its numbers.

    Raises:
        Damaged: something is not as it was written.
    """
    try:
        with transaction(connection, "IMMEDIATE" if begin else "DEFERRED"):
            return _contents(connection, begin=begin)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise Damaged(str(error)) from error


def _contents(connection: sqlite3.Connection, *, begin: bool) -> Contents:
    [(epoch, block, crc)] = connection.execute("SELECT epoch, block, crc FROM meta").fetchall()
    check(crc, epoch, block)
    if not is_epoch(epoch):
        raise Damaged(f"an epoch {epoch[:80]!r}")
    runs: list[Run] = []
    is_closed = True
    for first, last, closed, crc in connection.execute("SELECT first, last, closed, crc FROM runs ORDER BY first"):
        check(crc, first, last, closed)
        runs.append(Run(first, last))
        is_closed = bool(closed)
    end = runs[-1].last if runs else 0
    # two at once would read the whole table
    oldest = connection.execute("SELECT min(seq) FROM changes").fetchone()[0]
    newest = connection.execute("SELECT max(seq) FROM changes").fetchone()[0]
    written = max((run.last for run in runs if run.last > run.first), default=0)
    if newest is not None and newest != written:
        raise Damaged(f"the last change is {newest}, and should be {written}")
    pruned = Runs.kept_from(runs, oldest).pruned
    head = end
    if begin:
        if runs and is_closed:
            first = runs[-1].first
        else:
            # numbers up to end + block may have been given to readers, though they are on no disk; one more keeps the
            # place before the first change of this run apart from the last of them
            first = head = end + block + 1 if runs else 0
            runs.append(Run(first, first))
        row = (first, head, 0)
        connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", (*row, checksum(*row)))
    known = Runs(runs, pruned=pruned)
    return Contents(epoch, head, known, _memory(connection, head - end))


def _memory(connection: sqlite3.Connection, hole: int) -> dict[str, HostMemory]:
    """What is known of each host. No Change of a host in the hole had a higher revision than the hole is long."""
    records: dict[str, dict[Key, tuple[int, DomainRecord]]] = {}
    for host, key, seq, crc, data in connection.execute("SELECT host, key, seq, crc, data FROM domains ORDER BY seq"):
        check(crc, host, key, seq, data)
        name = _name(host)
        records.setdefault(name, {})[Key(key)] = (seq, unpack_record(data, name, Key(key)))
    memory: dict[str, HostMemory] = {}
    rows = connection.execute("SELECT host, revision, connected, lost_at, lost_why, facts, crc FROM hosts")
    for host, revision, connected, lost_at, lost_why, facts, crc in rows:
        check(crc, host, revision, connected, lost_at, lost_why, facts)
        name = _name(host)
        memory[name] = HostMemory(
            facts=None if facts is None else unpack_facts(facts),
            revision=revision + hole,
            connected=bool(connected),
            lost_at=lost_at,
            lost_why=_name(lost_why),
            records=records.get(name, {}),
        )
    return memory


def _name(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
