"""Subscription: what a reader iterates. The reading is the cursor's; here is the waiting.

Nothing of it runs when its reader does not: no task, no queue, no cancel scope, so it may live across a `yield`, and a
reader that is stuck costs a few hundred bytes.
"""

from __future__ import annotations

import secrets
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

__all__ = ["Subscription", "new_epoch"]

# a reader that never waits lets others run: after so many changes given one by one, or SCAN looked at. A turn of the
# loop costs about 10 µs, a change given 1 µs
_GIVE: Final = 64

_NO_HOSTS: Final[Mapping[str, HostStatus]] = MappingProxyType({})


def new_epoch() -> str:
    """A random id for a store."""
    return secrets.token_hex(8)


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

    __slots__ = ("_closed", "_cursor", "_given", "_notifier", "_store", "hosts", "resumed", "snapshot")

    def __init__(self, store: Store, cursor: Cursor, snapshot: Snapshot | None) -> None:
        self._store = store
        self._cursor = cursor
        self._notifier = store.notifier
        self._closed = False
        self._given = 0
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
            self._closed = True
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change | Gap:
        if self._given >= _GIVE:
            await self._turn()
        items = self.read_nowait(1) or await self._read(1)
        if not items:
            raise StopAsyncIteration
        self._given += 1
        return items[0]

    async def batches(self, max: int = 500) -> AsyncIterator[list[Change | Gap]]:
        """All there is, up to `max` at once; waits while there is nothing."""
        while items := await self._read(max):
            yield items
            await self._turn()

    async def _read(self, max: int) -> list[Change | Gap]:
        """Up to `max`, at least one; none at the end."""
        while True:
            items = self.read_nowait(max)
            if items:
                return items
            if self._closed:
                return items
            if self._cursor.behind:
                await self._turn()  # SCAN looked at, nothing wanted
            elif self._store.closed:
                return items
            else:
                self._given = 0
                await self._notifier.wait()

    async def _turn(self) -> None:
        self._given = 0
        await checkpoint()

    def close(self) -> None:
        """End the iteration, also of a task that waits in it."""
        if not self._closed:
            self._closed = True
            self.snapshot = ()
            self.hosts = _NO_HOSTS
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
