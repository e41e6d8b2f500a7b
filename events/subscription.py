"""Subscription: what a reader iterates. The reading is the cursor's; here is the waiting.

Nothing of it runs when its reader does not: no task, no queue, no cancel scope, so it may live across a `yield`. A
reader that is stuck holds the few changes that it was about to be given, however far it is behind.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from operator import length_hint
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from avirt.errors import SlowSubscriber
from avirt.events.cursor import Cursor, Statistics
from avirt.model.change import Change, Gap
from avirt.model.record import DomainRecord, HostStatus

if TYPE_CHECKING:
    from avirt.events.settle import SettlingCursor
    from avirt.events.store import Snapshot, Store

__all__ = ["GIVE", "NO_HOSTS", "Batches", "Subscription", "new_epoch"]

# a reader that never has to wait lets others run after so many changes given one by one; looking at two that it does
# not want counts as one. A turn of the loop costs 3 to 10 µs, a change given 0.5, one looked at 0.1
GIVE: Final = 256
_LOOKS: Final = 2
# read at once when they are given one by one: what a reader that is stuck holds on to
_AHEAD: Final = 32

NO_HOSTS: Final[Mapping[str, HostStatus]] = MappingProxyType({})
"""What `hosts` is once reading began."""


def new_epoch() -> str:
    """A random id for a store."""
    return os.urandom(8).hex()  # what `secrets` gives, without the 4 ms of importing it


class Subscription:
    """A reader's place in the stream: a snapshot, then every change after it.

    Iterate it in one task; as a context manager (plain or async) it closes itself. Iteration ends when it is closed, or
    when the store is and nothing is left.

    Cancellation: nothing is lost. What was not given is given next time.

    Attributes:
        snapshot: the records when it was made; empty if resumed by a token, and once reading began (it would age).
        hosts: the status of each host at that time, likewise.
        resumed: it goes on after a token, without a snapshot.
    """

    __slots__ = (
        "_ahead",
        "_budget",
        "_closed",
        "_cursor",
        "_items",
        "_notifier",
        "_store",
        "_waiting",
        "hosts",
        "resumed",
        "snapshot",
    )

    def __init__(self, store: Store, cursor: Cursor | SettlingCursor, snapshot: Snapshot | None) -> None:
        self._store = store
        self._cursor = cursor
        self._notifier = store.notifier
        self._closed = False
        self._waiting = 0
        self._items: Sequence[Change | Gap] = ()
        self._ahead: Iterator[Change | Gap] = iter(())  # those of them that are not given yet
        self._budget = 0  # what may be given before the next turn of the loop
        self.snapshot: Sequence[DomainRecord] = () if snapshot is None else snapshot.records
        self.hosts: Mapping[str, HostStatus] = NO_HOSTS if snapshot is None else snapshot.hosts
        self.resumed = snapshot is None

    @property
    def token(self) -> str:
        """Resumes after what was given so far."""
        return str(self._store.token(self._place()))

    @property
    def lag(self) -> int:
        """How many changes of the store were neither given nor refused by the filter."""
        return self._store.head - self._place()

    @property
    def statistics(self) -> Statistics:
        """What became of its changes so far."""
        read = self._cursor.statistics
        return replace(read, given=read.given - length_hint(self._ahead))

    def _place(self) -> int:
        """The seq that all that was given so far leads up to."""
        left = length_hint(self._ahead)
        return self._items[-left].seq - 1 if left else self._cursor.seq

    def read_nowait(self, max: int = 500) -> list[Change | Gap]:
        """What is there, up to `max`, after looking at no more than 512 changes: while `lag` is not 0, ask again.

        Raises:
            SlowSubscriber: it fell behind, and asked for that. It is closed.
        """
        if self._closed:
            return []
        if length_hint(self._ahead):
            return [*islice(self._ahead, max)]
        if self.hosts is not NO_HOSTS:
            self.snapshot = ()
            self.hosts = NO_HOSTS
        try:
            return self._cursor.read(max)
        except SlowSubscriber:
            self.close()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change | Gap:
        for item in self._ahead:
            return item
        cursor = self._cursor
        items: Sequence[Change | Gap] = ()
        while self._budget > 0:
            place = cursor.seq
            items = cursor.ahead(_AHEAD)
            self._budget -= max(len(items), (cursor.seq - place) // _LOOKS)
            if items or cursor.behind or self._store.closed:
                break
            await self._wait()
        if not items:
            items = await self._read(_AHEAD if cursor.on_ring else 1)
            if not items:
                raise StopAsyncIteration
        self._items = items
        self._ahead = iter(items)
        return next(self._ahead)

    def batches(self, max: int = 500) -> Batches:
        """All there is, up to `max` (and 512) at once; waits while there is nothing."""
        return Batches(self, max)

    async def next_batch(self, max: int = 500) -> list[Change | Gap]:
        """The next list; empty at the end."""
        return await self._read(max)

    async def _read(self, max: int) -> list[Change | Gap]:
        """Up to `max`, at least one; none at the end. Lets others run first where that is due."""
        while True:
            if self._budget <= 0 and not self._closed:
                await checkpoint()
                self._renew()
            place = self._cursor.seq
            items = self.read_nowait(max)
            if items or self._closed:
                self._budget -= len(items) + (self._cursor.seq - place) // _LOOKS
                return items
            if self._cursor.behind:
                self._budget = 0  # SCAN looked at, nothing wanted
            elif self._store.closed:
                return items
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Until there is something new, or the end."""
        waiter = self._notifier.join()
        self._waiting += 1
        try:
            await waiter
        finally:
            self._waiting -= 1
            self._notifier.leave(waiter)
        self._renew()

    def _renew(self) -> None:
        """Others have run."""
        self._budget = 0 if self._closed else GIVE

    def close(self) -> None:
        """End the iteration, also of a task that waits in it."""
        if not self._closed:
            self._closed = True
            self._budget = 0
            self._cursor.unread(length_hint(self._ahead), self._place())
            self._ahead = iter(())
            self.snapshot = ()
            self.hosts = NO_HOSTS
            if self._waiting:
                self._notifier.notify()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Batches(AsyncIterator[list[Change | Gap]]):
    """A subscription's changes in lists. Not an async generator: those complain when they are left half-way."""

    __slots__ = ("_max", "_subscription")

    def __init__(self, subscription: Subscription, max: int) -> None:
        self._subscription = subscription
        self._max = max

    async def __anext__(self) -> list[Change | Gap]:
        items = await self._subscription.next_batch(self._max)
        if not items:
            raise StopAsyncIteration
        return items
