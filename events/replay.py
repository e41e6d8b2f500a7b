"""Replay: a subscription that reads the journal where the ring does not reach, or gives only what is on disk.

A reader that resumes from before the ring is given the disk's changes page by page until it has caught up with the
ring, and is a subscription like any other from then on. A durable one stays: it reads the ring, but no further than the
disk has come, and the disk if it falls behind the ring; so it loses nothing as long as the journal keeps it.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from avirt.errors import SlowSubscriber
from avirt.events.cursor import SCAN, Cursor
from avirt.events.policies import Slow
from avirt.events.subscription import GIVE, NO_HOSTS, Subscription
from avirt.model.change import Change, Gap

if TYPE_CHECKING:
    from avirt.events.journal import Journal
    from avirt.events.store import Snapshot

__all__ = ["Replay"]


class Replay(Subscription):
    """Its changes come from the disk first, or only once they are there.

    `read_nowait` gives nothing that has to be read from the disk: it is there for iterating. A durable reader that
    falls behind what the journal keeps gets a Gap (or SlowSubscriber, if it chose that): merged changes would be of
    records that are on no disk yet. Once the journal is lost it gets what is on disk, and then ResourceError.
    """

    __slots__ = ("_durable", "_given", "_journal", "_match", "_page", "_page_end", "_reader", "_released")

    def __init__(self, journal: Journal, cursor: Cursor, snapshot: Snapshot | None, *, durable: bool) -> None:
        super().__init__(journal.store, cursor, snapshot)
        self._reader = cursor
        self._journal = journal
        self._durable = durable
        self._given = GIVE  # since others could run
        self._match = cursor.filter.compile()
        self._released = False
        self._page: deque[Change] = deque()  # read and not given yet
        self._page_end = (0, 0.0)  # seq and time of the last change looked at
        self._notifier = journal.notifier

    def read_nowait(self, max: int = 500) -> list[Change | Gap]:
        """What is there without reading the disk."""
        if self._released or self._closed:
            return super().read_nowait(max)
        return self._at_hand(max)

    async def _read(self, max: int) -> list[Change | Gap]:
        while not self._released:
            if self._given >= GIVE:
                await checkpoint()
                self._given = 0
            if self._closed:
                return []
            items = self._at_hand(max)
            if not items:
                items = await self._to_come(max)
            if items:
                self._given += len(items)
                return items
            self._given = GIVE
            if self._is_over():
                return []
        return await super()._read(max)

    def _renew(self) -> None:
        """It reads nothing ahead of the disk."""
        if self._released:
            super()._renew()

    # ------------------------------------------------------------ where from

    def _is_on_ring(self) -> bool:
        """Whether the ring has what comes next. Numbers that were never used are passed over."""
        cursor, oldest = self._reader, self._store.window.oldest
        if cursor.seq + 1 < oldest:
            cursor.seq = self._journal.runs.start(cursor.seq)
        return cursor.seq + 1 >= oldest

    def _at_hand(self, max: int) -> list[Change | Gap]:
        """What takes no waiting."""
        if length_hint(self._ahead):
            return [*islice(self._ahead, max)]
        items = self._from_page(max)
        if items or not self._is_on_ring():
            return items
        if not self._durable:
            self._release()
            return []
        self.snapshot, self.hosts = (), NO_HOSTS
        room = self._journal.written - self._reader.seq
        if room > 0:
            return self._reader.read(max, scan=min(SCAN, room))
        self._check()
        return []

    async def _to_come(self, max: int) -> list[Change | Gap]:
        """Wait for the disk, or read it."""
        if self._released or self._is_over():
            return []
        if self._is_on_ring():
            if self._reader.seq >= self._journal.written:  # else it looked at as many as it may in one turn
                await self._wait()
            return []
        return await self._from_disk(max)

    def _is_over(self) -> bool:
        """No change comes any more."""
        store = self._store
        return not self._released and store.closed and self._reader.seq >= store.head

    def _from_page(self, max: int) -> list[Change | Gap]:
        page = self._page
        if not page:
            return []
        items = [page.popleft() for _ in range(min(max, len(page)))]
        seq, time = (items[-1].seq, items[-1].observed_at) if page else self._page_end
        self._reader.moved(seq, len(items), time)
        return [*items]

    async def _from_disk(self, max: int) -> list[Change | Gap]:
        cursor = self._reader
        page = await self._journal.page(cursor.seq)
        if self._closed:
            return []
        if page is None or (self._journal.lost and not page.changes):
            self._check()
            self._release()
        elif page.pruned and not self._durable:
            self._release()  # to be told by its policy
        elif page.pruned:
            if cursor.slow is Slow.DISCONNECT:
                self.close()
                raise SlowSubscriber(lost=page.lost)
            return [cursor.missed(page.pruned, page.lost)]
        elif page.changes:
            last = page.changes[-1]
            self._page_end = (last.seq, last.observed_at)
            self._page.extend(change for change in page.changes if self._match is None or self._match(change))
            if not self._page:
                cursor.moved(last.seq, 0, last.observed_at)
            return self._from_page(max)
        else:
            await self._wait()  # the disk is behind the ring
        return []

    def _check(self) -> None:
        """The end of a durable reader whose journal is lost: it has all that is on disk, and is given nothing else."""
        if self._durable and self._journal.lost:
            self.close()
            raise self._journal.error()

    def _release(self) -> None:
        """From here on as any other."""
        self._released = True
        self._notifier = self._store.notifier
        self._page.clear()
