"""Settled: a subscription whose changes are held back until their domain has been quiet (`settle.py`)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio

from avirt.events.settle import SettlingCursor
from avirt.events.subscription import Subscription

if TYPE_CHECKING:
    from avirt.events.cursor import Cursor
    from avirt.events.filters import Filter
    from avirt.events.store import Snapshot, Store

__all__ = ["Settled"]


class Settled(Subscription):
    """Waits for what is new, and for what settles.

    What is held back counts as not given: `lag` includes it, and `token` resumes before it. So after resuming some
    changes may be given again, as part of others.
    """

    __slots__ = ("_settling",)

    def __init__(
        self, store: Store, cursor: Cursor, snapshot: Snapshot | None, *, settle: float, filter: Filter
    ) -> None:
        self._settling = SettlingCursor(cursor, settle=settle, filter=filter, clock=anyio.current_time)
        super().__init__(store, self._settling, snapshot)

    async def _wait(self) -> None:
        due = self._settling.due
        with anyio.move_on_at(inf if due is None else due):
            await super()._wait()
