"""Subscription: what a reader iterates. The reading is the cursor's; here is the waiting.

Nothing of it runs when its reader does not: no task, no queue, no cancel scope, so it may live across a `yield`, and a
reader that is stuck costs a few hundred bytes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from anyio.lowlevel import checkpoint

from avirt.errors import SlowSubscriber
from avirt.events.cursor import Cursor, Statistics
from avirt.events.token import Token
from avirt.model.change import Change, Gap
from avirt.model.record import DomainRecord, HostStatus

if TYPE_CHECKING:
    from avirt.events.store import Snapshot, Store

__all__ = ["Batches", "Subscription", "new_epoch"]

# a reader that never has to wait lets others run after so many changes given one by one; looking at a few that it does
# not want counts as one. A turn of the loop costs 3 to 10 µs, a change given 0.5, one looked at 0.1
_GIVE: Final = 64
_LOOKS: Final = 8

_NO_HOSTS: Final[Mapping[str, HostStatus]] = MappingProxyType({})


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

    __slots__ = ("_budget", "_closed", "_cursor", "_notifier", "_store", "_waiting", "hosts", "resumed", "snapshot")

    def __init__(self, store: Store, cursor: Cursor, snapshot: Snapshot | None) -> None:
        self._store = store
        self._cursor = cursor
        self._notifier = store.notifier
        self._closed = False
        self._waiting = 0
        self._budget = 0  # what may be given before the next turn of the loop
        self.snapshot: Sequence[DomainRecord] = () if snapshot is None else snapshot.records
        self.hosts: Mapping[str, HostStatus] = _NO_HOSTS if snapshot is None else snapshot.hosts
        self.resumed = snapshot is None

    @property
    def token(self) -> str:
        """Resumes after what was given so far."""
        return str(Token(self._store.epoch, self._cursor.seq))

    @property
    def lag(self) -> int:
        """How many changes of the store it has not looked at."""
        return self._cursor.lag

    @property
    def statistics(self) -> Statistics:
        """What became of its changes so far."""
        return self._cursor.statistics

    def read_nowait(self, max: int = 500) -> list[Change | Gap]:
        """What is there, up to `max`, after looking at no more than 512 changes: while `lag` is not 0, ask again.

        Raises:
            SlowSubscriber: it fell behind, and asked for that. It is closed.
        """
        if self._closed:
            return []
        if self.hosts is not _NO_HOSTS:
            self.snapshot = ()
            self.hosts = _NO_HOSTS
        try:
            return self._cursor.read(max)
        except SlowSubscriber:
            self.close()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change | Gap:
        if self._budget > 0:
            item = self._cursor.next()
            if item is not None:
                self._budget -= 1
                return item
        elif not self._closed:
            await self._turn()
        items = await self._read(1)
        if not items:
            raise StopAsyncIteration
        return items[0]

    def batches(self, max: int = 500) -> Batches:
        """All there is, up to `max` (and 512) at once; waits while there is nothing."""
        return Batches(self, max)

    async def next_batch(self, max: int = 500) -> list[Change | Gap]:
        """The next list; empty at the end."""
        await self._turn()
        return await self._read(max)

    async def _read(self, max: int) -> list[Change | Gap]:
        """Up to `max`, at least one; none at the end."""
        while True:
            place = self._cursor.seq
            items = self.read_nowait(max)
            if items or self._closed:
                self._budget -= 1 + (self._cursor.seq - place) // _LOOKS
                return items
            if self._cursor.behind:
                await self._turn()  # SCAN looked at, nothing wanted
            elif self._store.closed:
                return items
            else:
                await self._wait()

    async def _turn(self) -> None:
        """Let others run."""
        await checkpoint()
        self._budget = 0 if self._closed else _GIVE

    async def _wait(self) -> None:
        """Until there is something new, or the end."""
        self._waiting += 1
        try:
            await self._notifier.wait()
        finally:
            self._waiting -= 1
        self._budget = 0 if self._closed else _GIVE

    def close(self) -> None:
        """End the iteration, also of a task that waits in it."""
        if not self._closed:
            self._closed = True
            self._budget = 0
            self.snapshot = ()
            self.hosts = _NO_HOSTS
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
