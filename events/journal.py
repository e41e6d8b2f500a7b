"""The journal: a store's changes in an SQLite file, so that a token outlives the process that made it.

`open_store` makes a store with one. What is published is handed to a thread of the journal's own (`journal_writer.py`),
which is never waited for; readers that want what the ring has lost, or only what is on disk, read by `replay.py`; other
processes by `journal_reader.py`. What survives a crash:

- A change that is on disk is kept until `Retention` removes it. `durable` readers are given no other.
- Numbers are not used twice. After a crash they go on beyond the block that was reserved (`runs.py`): a token of a
  change that was given and not written is "ahead", its reader starts anew.
- The records go on from what is on disk, and the next listing tells every difference as after a lost connection.

What can't be written (disk full, damage, another writer, a file of another format, a folder that vanished, a disk that
is too slow) is given up, not waited for: a `JournalLost` in the stream, a line in the log, and another epoch, so that
no number means two things to whoever reads the file later. A damaged file is moved aside, for someone to look at; the
next one replaces it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import msgspec
from anyio import from_thread, to_thread
from anyio.lowlevel import current_token

from avirt.errors import InvalidArgument, ResourceError
from avirt.events.journal_reader import Page, read_page
from avirt.events.journal_schema import Damaged, connect
from avirt.events.journal_writer import Begun, Ended, Lost, Told, Writer, Written
from avirt.events.notifier import Notifier
from avirt.events.policies import Retention
from avirt.events.runs import BLOCK, Runs
from avirt.events.store import CAPACITY, Snapshot, Store
from avirt.events.subscription import Subscription, new_epoch
from avirt.log import get_logger
from avirt.model.change import JournalLost

if TYPE_CHECKING:
    import sqlite3

    from avirt.events.cursor import Cursor

__all__ = ["BACKLOG", "Journal", "JournalStatistics", "Retention", "open_store"]

BACKLOG: Final = 200_000
"""Changes that may wait for the disk: as many as the ring holds. More, and the disk is too slow to be waited for."""
CLOSING: Final = 5.0
"""Seconds that leaving waits for what is left to be written; it takes some 10 ms where the disk works."""

log = get_logger("journal")


class JournalStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How a journal does.

    Attributes:
        written: the number of the last change on disk.
        waiting: changes that are not yet.
        commits: batches written.
        pruned: changes up to this number were removed.
        lost: why nothing is written any more, or "".
    """

    written: int
    waiting: int
    commits: int
    pruned: int
    lost: str


class Journal:
    """One store's journal; `open_store` makes it.

    Attributes:
        path: the file.
        written: the number of the last change on disk.
        lost: why nothing is written any more, or "".
        notifier: wakes who waits for a change to be written.
        store: whose it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention,
        capacity: int = CAPACITY,
        backlog: int = BACKLOG,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < backlog <= BLOCK // 2:
            raise InvalidArgument(f"a backlog of {backlog} changes can't work", hint=f"at most {BLOCK // 2}")
        self.path = path
        self.written = 0
        self.lost = ""
        self.notifier = Notifier()
        self.store = Store(capacity=capacity)
        self._capacity = capacity
        self._backlog = backlog
        self._wall = wall
        self._runs = Runs()
        self._taken = 0
        self._commits = 0
        self._begun = anyio.Event()
        self._ended = anyio.Event()
        self._token = current_token()
        self._writer = Writer(path, retention=retention, epoch=new_epoch, tell=self._tell, wall=wall)
        self._over = anyio.Event()  # lost, or closed
        self._reading: sqlite3.Connection | None = None
        self._limiter = anyio.CapacityLimiter(1)

    @property
    def statistics(self) -> JournalStatistics:
        """How it does."""
        return JournalStatistics(
            written=self.written,
            waiting=0 if self.lost else self._taken - self.written,
            commits=self._commits,
            pruned=self._runs.pruned,
            lost=self.lost,
        )

    async def open(self) -> None:
        """Begin; `store` goes on where the last process ended, or is a new one if the file can't be used."""
        self._writer.start()
        try:
            await self._begun.wait()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Write what is left, close the file, end the thread."""
        self._writer.end(abandon=bool(self.lost))
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSING):
                await self._ended.wait()
                await to_thread.run_sync(self._writer.join, limiter=self._limiter)
            if not self._ended.is_set():
                self.lost = "the disk hangs: what was left is not written"
                log.error("the journal is lost", path=str(self.path), why=self.lost)
            self._over.set()
            if self._reading is not None:
                await to_thread.run_sync(self._reading.close, limiter=self._limiter)
        self.notifier.notify()

    # ------------------------------------------------------------ the store's side; none of it waits

    def collect(self) -> None:
        """Hand what was published to the thread."""
        window = self.store.window
        head, taken = window.head, self._taken
        if head == taken or self.lost:
            return
        if taken + 1 < window.oldest:
            self._give_up(Lost("more changes came at once than the ring holds"))
            return
        self._taken = head
        self._writer.give(window.slice(taken + 1, head - taken), head)
        if head - self.written > self._backlog:
            self._give_up(Lost(f"the disk is too slow: {head - self.written} changes wait for it"))

    def forget(self, host: str) -> None:
        """The host is not looked after any more."""
        if not self.lost:
            self._writer.forget(host)

    def subscription(self, cursor: Cursor, snapshot: Snapshot | None, *, durable: bool) -> Subscription:
        """For a reader whose place the ring has lost, or that wants only what is on disk.

        Raises:
            ResourceError: nothing is written any more.
        """
        from avirt.events.replay import Replay

        if durable and self.lost:
            raise self.error()
        return Replay(self, cursor, snapshot, durable=durable)

    def error(self) -> ResourceError:
        """What a reader gets that wants only what is on disk, once nothing is written any more."""
        return ResourceError(
            f"the journal {self.path} is lost: {self.lost}",
            hint="watch without durable, from the same token; restart once it can be written",
        )

    # ------------------------------------------------------------ what the thread tells

    def _tell(self, message: Told) -> None:
        """Called by the thread: hear it in the loop."""
        with suppress(RuntimeError):  # the loop has ended: nobody waits for it any more
            from_thread.run_sync(self._hear, message, token=self._token)

    def _hear(self, message: Told) -> None:
        match message:
            case Begun():
                self._begin(message)
            case Written():
                self.written, self._runs.pruned = message.seq, message.pruned
                self._commits += 1
                self.notifier.notify()
            case Lost():
                self._give_up(message)
            case Ended():
                self._ended.set()

    def _begin(self, begun: Begun) -> None:
        found = begun.contents
        self._runs = found.runs
        self._taken = self.written = found.head
        store = self.store = Store(capacity=self._capacity, epoch=found.epoch, head=found.head, memory=found.memory)
        store.attach(self, found.runs)
        if begun.aside:
            self._say(Lost(begun.why, begun.aside), renewed=True)
        self._begun.set()

    def _give_up(self, lost: Lost) -> None:
        if self.lost:
            return
        self.lost = lost.why
        self._writer.end(abandon=True)
        if self._begun.is_set():
            self.store.detach(new_epoch())
        self.store.journal = self
        self._say(lost, renewed=False)
        self.notifier.notify()
        self._over.set()
        self._begun.set()

    def _say(self, lost: Lost, *, renewed: bool) -> None:
        log.error("the journal is lost", path=str(self.path), why=lost.why, aside=lost.aside, renewed=renewed)
        change = JournalLost(
            why=lost.why,
            epoch=self.store.epoch,
            aside=lost.aside,
            renewed=renewed,
            host="",
            observed_at=self._wall(),
        )
        self.store.publish((change,))

    # ------------------------------------------------------------ reading in this process

    async def page(self, after: int) -> Page | None:
        """What is on disk after a number; None if it can't be read. If that is its own fault, it is lost by then."""
        if not self._over.is_set():
            try:
                return await to_thread.run_sync(self._page, after, limiter=self._limiter)
            except (Damaged, OSError) as error:
                self._writer.condemn(str(error))
                await self._over.wait()
        return None

    def _page(self, after: int) -> Page:
        import sqlite3

        try:
            if self._reading is None:
                self._reading = connect(self.path, read_only=True)
            return read_page(self._reading, after)
        except sqlite3.Error as error:
            raise Damaged(str(error)) from error

    @property
    def runs(self) -> Runs:
        """Which numbers were used."""
        return self._runs


@asynccontextmanager
async def open_store(
    journal: str | PathLike[str],
    *,
    retention: Retention | None = None,
    capacity: int = CAPACITY,
    backlog: int = BACKLOG,
    wall: Callable[[], float] = time.time,
) -> AsyncGenerator[Store]:
    """A store whose changes are written to a file; for one `connect(store=…)` or several.

    A file that can't be used costs the journal, not the store: its first Change is `JournalLost` then.

    Args:
        journal: the file; made if it is not there. One process may write it, any may read it (`JournalReader`).
        retention: how much is kept.
        capacity: of the ring.
        backlog: changes that may wait for the disk; with more, it is given up as too slow.
        wall: the wall clock.
    """
    kept = Journal(Path(journal), retention=retention or Retention(), capacity=capacity, backlog=backlog, wall=wall)
    await kept.open()
    try:
        yield kept.store
    finally:
        kept.store.close()
        await kept.aclose()
