"""Settled: a subscription to what has settled of another one (`settle.py`)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from avirt.errors import AvirtError
from avirt.events.cursor import SCAN
from avirt.events.settle import SettlingCursor
from avirt.events.subscription import Subscription
from avirt.model.change import Change, Gap

if TYPE_CHECKING:
    from avirt.events.filters import Filter
    from avirt.events.store import Snapshot, Store

__all__ = ["Settled"]


class Settled(Subscription):
    """Waits for what is new, and for what settles.

    What is held back counts as not given: `lag` includes it, and `token` resumes before it. So after resuming some
    changes may be given again, as part of others.

    Args:
        source: gives the changes as they are: of the ring, of the journal, or once they are on disk.
    """

    __slots__ = ("_settling", "_source")

    def __init__(
        self, store: Store, source: Subscription, snapshot: Snapshot | None, *, settle: float, filter: Filter
    ) -> None:
        self._source = source
        self._settling = SettlingCursor(source, settle=settle, filter=filter, clock=anyio.current_time)
        super().__init__(store, self._settling, snapshot)

    async def _read(self, max: int) -> list[Change | Gap]:
        while True:
            if self._budget <= 0 and not self._closed:
                await checkpoint()
                self._renew()
            items = self.read_nowait(max)
            if items or self._closed or (self._source.ended and not self._settling.behind):
                self._budget -= len(items)
                return items
            await self._wait()

    async def _wait(self) -> None:
        """Until the source gives something, or something settles."""
        place, due = self._source.seq, self._settling.due
        with anyio.move_on_at(inf if due is None else due):
            try:
                self._settling.feed(await self._source.next_batch(SCAN), place)
            except AvirtError as error:
                self._settling.fail(error)

    def close(self) -> None:
        """End the iteration, also of a task that waits in it."""
        super().close()
        self._source.close()
