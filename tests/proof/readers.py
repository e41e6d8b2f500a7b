"""Readers of every kind, and their judges: what each was given follows from what the store was told, by its own terms.

The store's own recording is judged by `avirt.testing.validate`; a reader is compared with that, change by change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from msgspec.structs import replace

from avirt.errors import RevisionTooOld, SlowSubscriber
from avirt.events import apply
from avirt.events.filters import Filter
from avirt.events.policies import Slow, TooOld
from avirt.events.store import Store
from avirt.events.subscription import Subscription
from avirt.host import Host
from avirt.model.change import Change, Gap, StateChanged
from avirt.model.record import Certainty, DomainKey
from avirt.testing.checkers import validate
from tests.proof.plans import Kind

__all__ = ["Reader", "Recorded", "reader"]

SETTLE = 0.15


class Recorded(Store):
    """A store that remembers all it was told.

    Attributes:
        told: every change, in order.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self.told: list[Change] = []

    def publish(self, changes: Sequence[Change]) -> None:
        """Once more."""
        super().publish(changes)
        self.told += changes

    def since(self, seq: int) -> list[Change]:
        """All after a number."""
        return self.told[seq:]


class Reader:
    """One subscription and what it was given; reads all there is when it is let.

    Attributes:
        start: the number that it began after.
        snapshot: what it began with.
        given: everything since.
    """

    slow = Slow.COALESCE
    settle: float | None = None

    def __init__(self, host: Host, store: Recorded, rng: Random) -> None:
        self.host = host
        self.store = store
        self.rng = rng
        self.domains: tuple[DomainKey, ...] | None = None
        self.kinds: tuple[type[Change], ...] | None = None
        self.given: list[Change | Gap] = []
        self.choose()
        self.watch = self.subscribe()
        self.note_snapshot()

    def note_snapshot(self) -> None:
        """It begins here. A record is stale because its host is lost: that it no longer is follows from the host."""
        self.start = self.store.head
        self.snapshot = list(self.watch.snapshot)
        if not self.host.status.synced:
            self.snapshot = [
                replace(record, certainty=Certainty.LIVE, stale_since=None, stale_why="") for record in self.snapshot
            ]

    def choose(self) -> None:
        """Its filter."""

    def subscribe(self, since: str | None = None, too_old: TooOld = TooOld.RAISE) -> Subscription:
        """Its subscription."""
        return self.host.engine.store.subscribe(
            filter=self.filter, slow=self.slow, settle=self.settle, since=since, too_old=too_old
        )

    @property
    def filter(self) -> Filter:
        """What it wants."""
        domains = None if self.domains is None else frozenset(self.domains)
        return Filter(domains=domains, kinds=None if self.kinds is None else frozenset(self.kinds))

    @property
    def expected(self) -> list[Change]:
        """What a reader with its filter is given that never falls behind."""
        match = self.filter.compile()
        return [change for change in self.store.since(self.start) if match is None or match(change)]

    def begin(self, tasks: TaskGroup) -> None:
        """It may have a task."""

    def step(self) -> None:
        """Something happened."""
        self.drain()

    def drain(self) -> None:
        """Read all there is."""
        while items := self.watch.read_nowait(50):
            self.given += items

    @property
    def is_behind(self) -> bool:
        """Something is left to read."""
        return self.watch.lag > 0

    async def end(self) -> None:
        """Nothing more happens: read what is left. No await after the last of it."""
        while self.is_behind:
            self.drain()
            await anyio.lowlevel.checkpoint()

    @property
    def is_complete(self) -> bool:
        """It never fell behind."""
        return not self.watch.statistics.lost and not self.watch.statistics.coalesced

    def judge(self) -> None:
        """AssertionError if it was not given what it should."""
        is_complete = self.is_complete
        if is_complete:
            expected = self.expected
            assert self.given == expected, f"{type(self).__name__}: {differences(self.given, expected)}"
        validate(self.given, snapshot=self.snapshot, start=self.start, complete=is_complete and self.filter == Filter())
        if self.kinds is None:
            self.compare_view()

    def compare_view(self) -> None:
        """What it has by now is the store's view."""
        records = {record.domain: record for record in self.snapshot}
        for item in self.given:
            apply(records, item)
        view = {record.domain: record for record in self.store.view(filter=self.filter)}
        wrong = [str(domain) for domain in records.keys() | view.keys() if records.get(domain) != view.get(domain)]
        assert not wrong, f"{type(self).__name__} has other records than the store: {wrong}"

    def close(self) -> None:
        """It goes."""
        self.watch.close()


class Waiting(Reader):
    """A task of its own, that awaits one change after the other."""

    def begin(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self.run)

    async def run(self) -> None:
        async for item in self.watch:
            self.given.append(item)

    def step(self) -> None:
        pass

    def drain(self) -> None:
        pass

    async def end(self) -> None:
        while self.is_behind:  # noqa: ASYNC110  its task may sleep, and a clock jumps only when nobody is busy
            await anyio.sleep(0.001)


class Cancelled(Waiting):
    """… which is cancelled while it waits, and reads on."""

    async def run(self) -> None:
        for _ in range(20):
            with anyio.move_on_after(self.rng.choice((0.0, 0.001, 0.05))) as patience:
                await super().run()
            if not patience.cancelled_caught:
                return
            await anyio.sleep(self.rng.choice((0.0, 0.02)))
        await super().run()


class Behind(Reader):
    """Reads only at the end."""

    def step(self) -> None:
        pass


class BehindWithGaps(Behind):
    """… and is told what it missed."""

    slow = Slow.GAP

    def judge(self) -> None:
        changes = [item for item in self.given if not isinstance(item, Gap)]
        lost = sum(item.lost for item in self.given if isinstance(item, Gap))
        assert len(changes) + lost == len(self.expected), f"{len(changes)} and {lost} lost of {len(self.expected)}"
        assert changes == self.expected[len(self.expected) - len(changes) :] or lost == 0
        validate(self.given, snapshot=self.snapshot, start=self.start, complete=not lost)
        if not lost:
            self.compare_view()


class Disconnected(Behind):
    """… or is thrown out."""

    slow = Slow.DISCONNECT

    thrown_out = 0

    @property
    def is_behind(self) -> bool:
        return not self.thrown_out and super().is_behind

    def drain(self) -> None:
        try:
            super().drain()
        except SlowSubscriber as error:
            self.thrown_out = error.lost
            self.last = self.store.head

    def judge(self) -> None:
        if self.thrown_out:
            assert self.thrown_out == self.last - self.start - self.store.window.capacity
            assert self.given == []
            assert self.watch.statistics.lost == self.thrown_out
        else:
            super().judge()


class OneDomain(Reader):
    """Wants one domain only."""

    def choose(self) -> None:
        keys = list(self.host.view)
        if keys:
            self.domains = (DomainKey(self.host.name, self.rng.choice(keys)),)


class States(Reader):
    """Wants changes of state only."""

    def choose(self) -> None:
        self.kinds = (StateChanged,)


class Resuming(Reader):
    """Goes away with a token, and comes back."""

    fell_behind = False

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self.fell_behind

    def step(self) -> None:
        self.given += self.watch.read_nowait(self.rng.randrange(1, 5))
        self.fell_behind |= not super().is_complete
        token = self.watch.token
        self.watch.close()
        try:
            self.watch = self.subscribe(since=token)
        except RevisionTooOld:
            self.watch = self.subscribe(since=token, too_old=TooOld.SNAPSHOT)
            self.note_snapshot()
            self.given.clear()
            self.fell_behind = False

    async def end(self) -> None:
        self.step()
        await super().end()


class SettledStates(Reader):
    """Reads settled states."""

    settle = SETTLE

    async def end(self) -> None:
        with anyio.fail_after(60):
            self.drain()
            while self.is_behind:
                await anyio.sleep(SETTLE / 2)
                self.drain()

    def judge(self) -> None:
        validate(self.given, snapshot=self.snapshot, start=self.start, complete=self.is_complete, settled=True)
        self.compare_view()


READERS: dict[Kind, Callable[[Host, Recorded, Random], Reader]] = {
    Kind.FAST: Reader,
    Kind.WAITING: Waiting,
    Kind.CANCELLED: Cancelled,
    Kind.SLOW_COALESCE: Behind,
    Kind.SLOW_GAP: BehindWithGaps,
    Kind.SLOW_DISCONNECT: Disconnected,
    Kind.ONE_DOMAIN: OneDomain,
    Kind.STATES: States,
    Kind.RESUMING: Resuming,
    Kind.SETTLED: SettledStates,
}


def reader(kind: Kind, host: Host, store: Recorded, rng: Random) -> Reader:
    """A reader of this kind, from now on."""
    return READERS[kind](host, store, rng)


def differences(given: Sequence[Change | Gap], expected: Sequence[Change]) -> str:
    """The first place where they part."""
    for place, (one, other) in enumerate(zip(given, expected, strict=False)):
        if one != other:
            return f"at {place}: given {one}, expected {other}"
    return f"{len(given)} given, {len(expected)} expected"
