"""Subscription: iterating, waiting, closing, cancelling, on each loop."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from avirt.errors import RevisionTooOld, SlowSubscriber
from avirt.events import Filter, Slow, Statistics, Store, Subscription, apply
from avirt.model.change import Change, Gap, HostChange, RecordChange

from .world import World

pytestmark = pytest.mark.anyio


def seqs(items: list[Change | Gap]) -> list[int]:
    return [item.seq for item in items]


async def take(subscription: Subscription, count: int) -> list[Change | Gap]:
    """So many, one by one."""
    items: list[Change | Gap] = []
    with anyio.fail_after(5):
        while len(items) < count:
            items.append(await anext(subscription))
    return items


async def waiting(store: Store, count: int = 1) -> None:
    """Until so many wait."""
    with anyio.fail_after(5):
        while store.notifier.waiting != count:
            await checkpoint()


# ---------------------------------------------------------------- iterating


async def test_subscription_gives_what_comes_after_its_snapshot() -> None:
    world = World()
    store = Store(epoch="e")
    store.publish([*world.flips(3)])
    async with store.subscribe() as subscription:
        assert [record.name for record in subscription.snapshot] == ["vm1"]
        assert list(subscription.hosts) == ["h0"]
        assert not subscription.resumed
        assert (subscription.token, subscription.lag) == ("e:3", 0)
        store.publish([*world.flips(3)])
        assert subscription.lag == 3
        assert seqs(await take(subscription, 2)) == [4, 5]
        assert (subscription.token, subscription.lag) == ("e:5", 1)
        assert subscription.statistics == Statistics(given=2)


async def test_subscription_drops_its_snapshot_once_reading_began() -> None:
    world = World()
    store = Store()
    store.publish([*world.flips(3)])
    for way in ("one", "batch", "nowait"):
        subscription = store.subscribe()
        assert subscription.snapshot
        assert subscription.hosts
        store.publish([*world.flips(1)])
        match way:
            case "one":
                await take(subscription, 1)
            case "batch":
                await anext(subscription.batches())
            case _:
                subscription.read_nowait()
        assert (list(subscription.snapshot), dict(subscription.hosts)) == ([], {})


async def test_subscription_waits_for_the_next_change() -> None:
    world = World()
    store = Store()
    given: list[Change | Gap] = []

    async def read(subscription: Subscription) -> None:
        async for item in subscription:
            given.append(item)
            if len(given) == 4:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, store.subscribe())
        await waiting(store)
        store.publish([*world.flips(2)])
        await waiting(store)
        assert seqs(given) == [1, 2]
        store.publish([*world.flips(2)])
    assert seqs(given) == [1, 2, 3, 4]


async def test_subscription_in_batches_gives_what_there_is() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    store.publish([*world.flips(1200)])
    store.close()
    assert [len(batch) async for batch in subscription.batches()] == [500, 500, 200]
    assert await subscription.next_batch() == []
    assert [len(batch) async for batch in store.subscribe(since=f"{store.epoch}:0").batches(7000)] == [512, 512, 176]


async def test_subscription_whose_batches_are_left_half_way_goes_on_one_by_one() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    store.publish([*world.flips(9)])
    async for batch in subscription.batches(2):
        assert seqs(batch) == [1, 2]
        break
    assert seqs(await take(subscription, 1)) == [3]


async def test_subscription_that_has_always_something_to_give_lets_others_run() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    store.publish([*world.flips(10_000)])
    store.close()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        assert len([item async for item in subscription]) == 10_000
        tasks.cancel_scope.cancel()
    assert turns >= 10_000 // 512


@pytest.mark.parametrize("every", [0, 100])
async def test_subscription_that_wants_nearly_nothing_lets_others_run(every: int) -> None:
    """It looks at 512 changes, or gives one of each hundred, between two turns."""
    world = World()
    store = Store()
    subscription = store.subscribe(filter=Filter(kinds=frozenset({HostChange})))
    for _ in range(100):
        store.publish([*world.flips(99), world.host("h0", "lost") if every else world.native("h0", 1)])
    store.close()
    seen: list[int] = []

    async def other() -> None:
        while True:
            seen.append(subscription.lag)
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        given = [item async for item in subscription]
        tasks.cancel_scope.cancel()
    assert len(given) == (100 if every else 0)
    steps = [before - after for before, after in pairwise(seen)]
    assert max(steps) <= 2 * 512


async def test_subscription_is_read_at_once_without_waiting() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    assert subscription.read_nowait() == []
    store.publish([*world.flips(3)])
    assert seqs(subscription.read_nowait(2)) == [1, 2]
    assert seqs(subscription.read_nowait()) == [3]


async def test_subscription_read_one_by_one_counts_only_what_it_gave() -> None:
    """It reads a few ahead: its token, lag and statistics do not show that, and no other way of reading skips it."""
    world = World()
    store = Store(epoch="e")
    subscription = store.subscribe(filter=Filter(kinds=frozenset({RecordChange})))
    store.publish([*world.flips(2), world.native("h0", 1), *world.flips(50)])
    assert seqs(await take(subscription, 2)) == [1, 2]
    assert (subscription.token, subscription.lag, subscription.statistics.given) == ("e:3", 50, 2)
    assert seqs(subscription.read_nowait(2)) == [4, 5]
    assert (subscription.token, subscription.statistics.given) == ("e:5", 4)
    rest = seqs(await subscription.next_batch(100))
    assert rest == list(range(6, rest[-1] + 1))
    last = rest[-1] + 2
    assert seqs(await subscription.next_batch(2)) == [last - 1, last]
    assert (subscription.token, subscription.lag) == (f"e:{last}", 53 - last)
    assert subscription.statistics.given == last - 1


# ---------------------------------------------------------------- ends


async def test_subscription_closed_ends_and_gives_nothing_more() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    store.publish([*world.flips(5)])
    assert seqs(await take(subscription, 2)) == [1, 2]
    subscription.close()
    subscription.close()
    assert [item async for item in subscription] == []
    assert [batch async for batch in subscription.batches()] == []
    assert subscription.read_nowait() == []
    assert (subscription.token, list(subscription.snapshot)) == (f"{store.epoch}:2", [])


async def test_subscription_as_a_plain_context_manager_closes() -> None:
    store = Store()
    with store.subscribe() as subscription:
        store.publish([*World().flips(1)])
    assert [item async for item in subscription] == []


async def test_subscription_closed_while_its_reader_waits_ends_it() -> None:
    store = Store()
    ended: list[int] = []

    async def read(subscription: Subscription, number: int) -> None:
        async for _ in subscription:
            pass
        ended.append(number)

    closed, other = store.subscribe(), store.subscribe()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, closed, 1)
        tasks.start_soon(read, other, 2)
        await waiting(store, 2)
        closed.close()
        with anyio.fail_after(5):
            while not ended:
                await checkpoint()
        await waiting(store)
        assert ended == [1]
        store.close()
    assert ended == [1, 2]


async def test_subscription_of_a_closed_store_gives_what_is_left_and_ends() -> None:
    store = Store()
    subscription = store.subscribe()
    store.publish([*World().flips(3)])
    store.close()
    assert seqs([item async for item in subscription]) == [1, 2, 3]
    assert await subscription.next_batch() == []


async def test_subscription_that_asked_for_it_is_disconnected_when_it_falls_behind() -> None:
    store = Store(capacity=4)
    subscription = store.subscribe(slow=Slow.DISCONNECT)
    store.publish([*World().flips(10)])
    with pytest.raises(SlowSubscriber) as caught:
        await anext(subscription)
    assert caught.value.lost == 6
    assert [item async for item in subscription] == []


@pytest.mark.parametrize("slow", [Slow.COALESCE, Slow.GAP])
async def test_subscription_that_fell_behind_goes_on_live(slow: Slow) -> None:
    world = World()
    store = Store(capacity=4)
    store.publish([*world.flips(1)])
    subscription = store.subscribe(slow=slow)
    store.publish([*world.flips(10)])
    first = await take(subscription, 1 if slow is Slow.COALESCE else 5)
    assert isinstance(first[0], Gap) == (slow is Slow.GAP)
    store.publish([*world.flips(1)])
    assert seqs(await take(subscription, 1)) == [12]


# ---------------------------------------------------------------- generators, garbage, cancellation


@asynccontextmanager
async def watching(store: Store) -> AsyncIterator[Subscription]:
    async with store.subscribe() as subscription:
        yield subscription


async def test_subscription_lives_across_a_yield() -> None:
    """It has no cancel scope: it may be left in another task than it was entered in."""
    store = Store()

    async def generate() -> AsyncIterator[Change | Gap]:
        async with watching(store) as subscription:
            async for item in subscription:
                yield item

    generator = generate()
    store_side = World()
    async with anyio.create_task_group() as tasks:
        given: list[Change | Gap] = []

        async def first() -> None:
            given.append(await anext(generator))

        tasks.start_soon(first)
        await waiting(store)
        store.publish([*store_side.flips(2)])
    given.append(await anext(generator))
    assert seqs(given) == [1, 2]
    await generator.aclose()  # type: ignore[attr-defined]


def test_subscription_dropped_without_closing_leaves_nothing() -> None:
    store = Store()
    for _ in range(10):
        store.subscribe()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Subscription and thing._store is store]


async def test_subscription_cancelled_while_it_waits_misses_nothing() -> None:
    world = World()
    store = Store()
    subscription = store.subscribe()
    for _ in range(3):
        with anyio.move_on_after(0):
            await anext(subscription)
    assert store.notifier.waiting == 0
    store.publish([*world.flips(2)])
    assert seqs(await take(subscription, 2)) == [1, 2]


async def test_subscription_cancelled_when_its_change_has_come_gives_it_next_time() -> None:
    """The wake-up and the cancellation come in the same turn."""
    world = World()
    store = Store()
    subscription = store.subscribe()
    given: list[Change | Gap] = []

    async def read() -> None:
        given.append(await anext(subscription))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await waiting(store)
        store.publish([*world.flips(2)])
        tasks.cancel_scope.cancel()
    given += await take(subscription, 2 - len(given))
    assert seqs(given) == [1, 2]


PLANS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 9), st.sampled_from(["state", "update", "native", "lost"])),
        st.tuples(st.just("remove"), st.integers(1, 3), st.just("")),
        st.tuples(st.just("turns"), st.integers(1, 4), st.just("")),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just("")),
        st.tuples(st.just("resume"), st.integers(0, 5), st.just("")),
    ),
    max_size=25,
)


class Replay:
    """A reader in a task of its own, fast or slow, that can be cancelled and started again."""

    def __init__(self, store: Store, slow: Slow, *, pace: int, batches: bool) -> None:
        self.store = store
        self.slow = slow
        self.pace = pace
        self.batches = batches
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.begin()

    def begin(self) -> None:
        self.subscription = self.store.subscribe(slow=self.slow)
        self.records = {record.domain: record for record in self.subscription.snapshot}
        self.seq = self.store.head
        self.lost = 0

    def resume(self) -> None:
        """As after a crash: from the token, if that is still possible."""
        token = self.subscription.token
        try:
            self.subscription = self.store.subscribe(slow=self.slow, since=token)
        except RevisionTooOld:
            self.begin()

    def eat(self, items: list[Change | Gap]) -> None:
        for item in items:
            if isinstance(item, Gap):
                self.lost += item.lost
                self.seq = 0 if item.reset else self.seq
            else:
                assert item.seq > self.seq
                if self.slow is not Slow.COALESCE and not self.lost:
                    assert item.seq == self.seq + 1
                self.seq = item.seq
            apply(self.records, item)

    async def run(self) -> None:
        with self.scope:
            while not await self.read():
                self.begin()
        self.done.set()

    async def read(self) -> bool:
        """Until the end (True), or until it is too slow."""
        try:
            if self.batches:
                async for batch in self.subscription.batches(3):
                    self.eat(batch)
                    await self.rest()
            else:
                async for item in self.subscription:
                    self.eat([item])
                    await self.rest()
        except SlowSubscriber:
            assert self.slow is Slow.DISCONNECT
            return False
        return True

    async def rest(self) -> None:
        for _ in range(self.pace):
            await checkpoint()


async def live(plan: list[tuple[str, int, str]]) -> None:
    """Carry out a plan; at its end every reader that lost nothing has the store's view."""
    world = World()
    store = Store(capacity=6)
    store.publish([change for number in (1, 2, 3) if (change := world.add("h0", number))])
    readers = [
        Replay(store, slow, pace=pace, batches=batches)
        for slow in Slow
        for pace, batches in ((0, False), (3, True), (9, False))
    ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.notifier.run)
        async with anyio.create_task_group() as group:
            for reader in readers:
                group.start_soon(reader.run)
            for step, number, what in plan:
                match step:
                    case "publish":
                        for _ in range(number):
                            change = (
                                world.native("h0", 1)
                                if what == "native"
                                else world.host("h0", "lost")
                                if what == "lost"
                                else world.add("h0", 1 + number % 3) or world.change("h0", 1 + number % 3, what)
                            )
                            store.publish([] if change is None else [change])
                    case "remove":
                        change = world.remove("h0", number)
                        store.publish([] if change is None else [change])
                    case "turns":
                        for _ in range(number):
                            await checkpoint()
                    case _:
                        reader = readers[number]
                        reader.scope.cancel()
                        await reader.done.wait()
                        reader.scope, reader.done = anyio.CancelScope(), anyio.Event()
                        if step == "resume":
                            reader.resume()
                        group.start_soon(reader.run)
            store.close()
        tasks.cancel_scope.cancel()
    view = {record.domain: record for host in store.hosts for record in store.records(host).values()}
    assert view == world.records
    for reader in readers:
        if reader.slow is Slow.COALESCE or not reader.lost:
            assert {domain: record.name for domain, record in reader.records.items()} == {
                domain: record.name for domain, record in view.items()
            }
            changed = {domain: r for domain, r in reader.records.items() if r.revision != view[domain].revision}
            assert changed == {}


def loops() -> list[Any]:
    return [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "options"), loops(), ids=["asyncio", "uvloop", "trio"])
@given(plan=PLANS)
@settings(max_examples=100)
def test_subscription_of_any_pace_and_fate_ends_with_the_view(
    backend: str, options: dict[str, bool], plan: list[tuple[str, int, str]]
) -> None:
    anyio.run(live, plan, backend=backend, backend_options=options)
