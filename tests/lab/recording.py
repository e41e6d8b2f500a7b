"""A recorded stream: what a subscriber was given, judged by the promises, and whether replaying it gives the view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from avirt.events.store import apply
from avirt.events.subscription import Subscription
from avirt.events.token import Token
from avirt.model.change import Change, Gap
from avirt.model.record import DomainKey, DomainRecord
from avirt.model.state import DomainState, PausedReason
from avirt.testing.checkers import validate
from tests.lab.place import Place
from tests.lab.site import PATIENCE, rows_of
from tests.lab.virsh import Row, differences

__all__ = ["Recording", "record"]

C = TypeVar("C", bound=Change)


class Recording:
    """A snapshot and what followed."""

    def __init__(self, snapshot: dict[DomainKey, DomainRecord]) -> None:
        self.snapshot = snapshot
        self.items: list[Change | Gap] = []
        self._news = anyio.Event()

    def add(self, item: Change | Gap) -> None:
        self.items.append(item)
        self._news.set()

    def of(self, kind: type[C], *, after: int = 0) -> list[C]:
        """All of one kind, from an index on."""
        return [item for item in self.items[after:] if isinstance(item, kind)]

    def replayed(self) -> dict[DomainKey, DomainRecord]:
        """The stream over its snapshot."""
        records = dict(self.snapshot)
        for item in self.items:
            apply(records, item)
        return records

    def rows(self) -> dict[str, Row]:
        """The same, in the oracle's shape."""
        return rows_of(self.replayed())

    def states(self, name: str, *, after: int = 0) -> list[str]:
        """The states that a domain went through, each once: `shutoff`, `running`, …

        What comes only now and then is left out: SHUTDOWN, of which QEMU tells on the way down if it comes to that
        before it is gone, and PAUSED(starting up), which is seen if a domain is read while it starts.
        """
        seen: list[str] = []
        for item in self.items[after:]:
            record = getattr(item, "after", None)
            if isinstance(record, DomainRecord) and record.name == name:
                state = record.state.name.lower()
                passing = record.state is DomainState.SHUTDOWN or record.reason is PausedReason.STARTING_UP
                if not passing and (not seen or seen[-1] != state):
                    seen.append(state)
        return seen

    async def until(self, holds: Callable[[], bool], what: str = "", *, patience: float = PATIENCE) -> None:
        """Wait for items until it holds."""
        with anyio.move_on_after(patience):
            while not holds():
                self._news = anyio.Event()
                await self._news.wait()
        assert holds(), f"{what or 'what was waited for'} did not come; last: {self.items[-5:]}"

    async def some(self, kind: type[C], *, after: int = 0, patience: float = PATIENCE) -> C:
        """Wait for one of a kind."""
        await self.until(lambda: bool(self.of(kind, after=after)), kind.__name__, patience=patience)
        return self.of(kind, after=after)[0]

    async def settles(self, site: Place) -> dict[str, Row]:
        """The replayed stream comes to say what virsh says."""
        truth: dict[str, Row] = {}
        with anyio.move_on_after(PATIENCE):
            while True:
                truth = await site.truth()
                if self.rows() == truth:
                    return truth
                with anyio.move_on_after(0.5):
                    self._news = anyio.Event()
                    await self._news.wait()
        assert differences(self.rows(), truth) == []
        return truth


@asynccontextmanager
async def record(subscription: Subscription, *, complete: bool = True) -> AsyncIterator[Recording]:
    """Record a subscription while the body runs; an exception of the body comes out as itself.

    Args:
        complete: the subscription has no filter: every step is there to be judged.

    Raises:
        InvalidStream: at the end, what was given breaks a promise.
    """
    recording = Recording({item.domain: item for item in subscription.snapshot})
    start = Token.parse(subscription.token).seq
    failed: BaseException | None = None

    async def read() -> None:
        async for item in subscription:
            recording.add(item)

    async with subscription, anyio.create_task_group() as group:
        group.start_soon(read)
        try:
            yield recording
        except Exception as error:  # out of the group it would come wrapped
            failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    validate(recording.items, snapshot=list(recording.snapshot.values()), start=start, complete=complete)
