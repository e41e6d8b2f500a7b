"""Journals for tests: a thread that is listened to, stores on a file, files that are harmed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from avirt.events.journal_writer import Begun, Ended, Lost, Told, Writer, Written
from avirt.events.policies import Retention
from avirt.model.change import Change

T = TypeVar("T", bound=Told)

PATIENCE = 10.0


class Thread:
    """A writer, and what it told."""

    def __init__(self, path: Path, *, retention: Retention | None = None, wall: Callable[[], float] = lambda: 0.0):
        self.told: list[Told] = []
        self._news = threading.Condition()
        self.head = 0
        self.writer = Writer(path, retention=retention or Retention(), epoch=lambda: "e1", tell=self._hear, wall=wall)

    def _hear(self, message: Told) -> None:
        with self._news:
            self.told.append(message)
            self._news.notify_all()

    def of(self, kind: type[T]) -> list[T]:
        return [message for message in self.told if isinstance(message, kind)]

    def until(self, kind: type[T], ready: Callable[[T], bool] = lambda _: True) -> T:
        """The first such message."""
        with self._news:
            assert self._news.wait_for(lambda: any(map(ready, self.of(kind))), PATIENCE), self.told
        return next(filter(ready, self.of(kind)))

    def start(self) -> Begun:
        self.writer.start()
        begun = self.until(Begun)
        self.head = begun.contents.head
        return begun

    def write(self, changes: Iterable[Change | None]) -> list[Change]:
        """Number them, hand them over, and wait for the disk."""
        numbered = [replace(change, seq=self.head + place) for place, change in enumerate(filter(None, changes), 1)]
        self.head = numbered[-1].seq
        self.writer.give(numbered, self.head)
        self.until(Written, lambda written: written.seq == self.head)
        return numbered

    def end(self, *, abandon: bool = False) -> None:
        self.writer.end(abandon=abandon)
        self.until(Ended)
        self.writer.join(PATIENCE)
        assert not self.writer.is_alive()

    @property
    def lost(self) -> Lost:
        return self.until(Lost)


@contextmanager
def writing(
    path: Path, *, retention: Retention | None = None, wall: Callable[[], float] = lambda: 0.0
) -> Iterator[Thread]:
    """A thread that ends in order."""
    thread = Thread(path, retention=retention, wall=wall)
    thread.start()
    yield thread
    thread.end()


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What someone else does to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
