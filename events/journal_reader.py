"""Reading a journal: pages for readers in this process, and JournalReader for those in any other.

Nothing here disturbs the writer: reads are short transactions of a read-only connection, made in worker threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from msgspec.structs import replace

from avirt.errors import NotFound, ResourceError, RevisionTooOld
from avirt.events.codec import unpack
from avirt.events.filters import EVERYTHING, Filter
from avirt.events.hosts import HostMemory
from avirt.events.journal_schema import Damaged, NotOurs, check, connect, contents, is_ours, transaction
from avirt.events.runs import Run, Runs
from avirt.events.token import Token
from avirt.model.change import Change, Gap
from avirt.model.record import Certainty, DomainRecord

__all__ = ["PAGE", "JournalReader", "Page", "read_page"]

PAGE: Final = 500
"""Changes read at once: some 5 ms of a worker thread."""

T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """What comes after a number.

    Attributes:
        pruned: not 0: what came next was removed, up to this number; there are no changes then.
        lost: how many those were.
    """

    changes: Sequence[Change] = ()
    pruned: int = 0
    lost: int = 0


def read_page(connection: sqlite3.Connection, after: int, limit: int = PAGE) -> Page:
    """Up to `limit` changes after a number.

    Raises:
        Damaged: what is there is not what was written. sqlite3.Error: it can't be read.
    """
    query = "SELECT seq, at, crc, data FROM changes WHERE seq > ? ORDER BY seq LIMIT ?"
    try:
        with transaction(connection, "DEFERRED"):
            rows = connection.execute(query, (after, limit)).fetchall()
            if rows and rows[0][0] == after + 1 and rows[-1][0] == after + len(rows):
                runs = None
            else:
                runs = Runs(Run(*row) for row in connection.execute("SELECT first, last FROM runs ORDER BY first"))
        changes: list[Change] = []
        for seq, at, crc, data in rows:
            check(crc, seq, at, data)
            before = changes[-1].seq if changes else after
            lost = 0 if runs is None else runs.count(before, seq - 1)
            if lost and changes:
                raise Damaged(f"{lost} changes before {seq} are missing")
            if lost:
                return Page((), seq - 1, lost)
            change = unpack(data)
            if change.seq != seq:
                raise Damaged(f"change {seq} says that it is {change.seq}")
            changes.append(change)
        if not rows and runs is not None and runs.count(after, runs.last):
            return Page((), runs.last, runs.count(after, runs.last))
        return Page(changes)
    except (ValueError, TypeError, OverflowError) as error:
        raise Damaged(str(error)) from error


def _shown(host: HostMemory) -> Iterator[DomainRecord]:
    """A host's records, with the certainty that they have by it."""
    for _, record in host.records.values():
        if (host.connected and host.lost_at is None) or record.certainty is not Certainty.LIVE:
            yield record
        else:
            yield replace(
                record, certainty=Certainty.STALE, stale_since=host.lost_at, stale_why=host.lost_why or "not connected"
            )


class JournalReader:
    """The changes in a journal, from any process, while another one writes it or not.

    `async with` opens it: with a token it gives what came after that, else `snapshot` is what was known when it was
    opened, and it gives what comes after that. It is iterated by one task.

    Args:
        path: the journal.
        since: a token, as subscriptions and readers show it.
        filter: only these.
        follow: wait for what comes; else end where the journal does.
        every: seconds between two looks for what is new.

    Attributes:
        snapshot: the records at the start; empty if resumed by a token.

    Raises:
        NotFound: there is no journal. ResourceError: it can't be read, is damaged, or another one is in its place.
        RevisionTooOld: the token can't be resumed from.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        since: str | None = None,
        filter: Filter = EVERYTHING,
        follow: bool = True,
        every: float = 0.1,
    ) -> None:
        self.path = Path(path)
        self.snapshot: Sequence[DomainRecord] = ()
        self._since = None if since is None else Token.parse(since)
        self._filter = filter
        self._match = filter.compile()
        self._follow = follow
        self._every = every
        self._limiter = CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None
        self._place = (0, 0)
        self._epoch = ""
        self._seq = 0
        self._time = 0.0
        self._batch: list[Change | Gap] = []

    @property
    def token(self) -> str:
        """Resumes after what was given so far, here or in `watch`."""
        return str(Token(self._epoch, self._batch[-1].seq - 1 if self._batch else self._seq))

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change | Gap:
        if not self._batch:
            self._batch = await self._next()
            self._batch.reverse()  # taken from the end
            if not self._batch:
                raise StopAsyncIteration
        return self._batch.pop()

    async def next_batch(self) -> list[Change | Gap]:
        """All that was read at once; empty at the end."""
        batch, self._batch = self._batch[::-1], []
        return batch or await self._next()

    async def _next(self) -> list[Change | Gap]:
        while True:
            page = await self._run(self._read)
            items: list[Change | Gap] = []
            if page.pruned:
                items.append(Gap(lost=page.lost, since=self._time, seq=page.pruned))
                self._seq = page.pruned
            elif page.changes:
                items += [change for change in page.changes if self._match is None or self._match(change)]
                self._seq, self._time = page.changes[-1].seq, page.changes[-1].observed_at
            elif not self._follow:
                return []
            else:
                await anyio.sleep(self._every)
            if items:
                return items

    # ------------------------------------------------------------ in a worker thread

    def _open(self) -> None:
        if not self.path.is_file():
            raise NotFound(f"there is no journal {self.path}")
        connection = self._connection = connect(self.path, read_only=True)
        if not is_ours(connection, self.path):
            raise NotFound(f"there is no journal in {self.path} yet")
        status = self.path.stat()
        self._place = (status.st_dev, status.st_ino)
        found = contents(connection, begin=False)
        self._epoch, self._seq = found.epoch, found.head
        token = self._since
        if token is None:
            records = (record for host in found.memory.values() for record in _shown(host))
            self.snapshot = [*self._filter.select(records)]
            return
        why = found.runs.refusal(token.seq) if token.epoch == found.epoch else "epoch"
        if why:
            raise RevisionTooOld(oldest=found.runs.oldest, head=found.head, reason=why)
        self._seq = token.seq

    def _read(self) -> Page:
        assert self._connection is not None
        page = read_page(self._connection, self._seq)
        if not page.changes and not page.pruned:
            status = self.path.stat()
            if (status.st_dev, status.st_ino) != self._place:
                raise ResourceError(f"another file is in the place of the journal {self.path}", hint="open it again")
        return page

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        except (NotOurs, Damaged, sqlite3.Error, OSError) as error:
            raise ResourceError(f"the journal {self.path} can't be read: {error}") from error

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with anyio.CancelScope(shield=True), suppress(sqlite3.Error):
                await to_thread.run_sync(connection.close, limiter=self._limiter)
