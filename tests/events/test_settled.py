"""Settled: a subscription that waits for what settles, on each loop; and by trio's clock, exactly so long."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.errors import InvalidArgument, SlowSubscriber
from avirt.events import Filter, Slow, Statistics, Store, Subscription, TooOld
from avirt.model.change import Change, Gap, HostLost, Rebooted, StateChanged, Updated

from .world import World

MOMENT = 0.01
EVER = 3600.0


async def waiting(store: Store) -> None:
    """Until the reader waits."""
    with anyio.fail_after(5):
        while not store.notifier.waiting:
            await checkpoint()


def made(domains: int = 1) -> tuple[World, Store]:
    world, store = World(), Store(epoch="e")
    for number in range(1, domains + 1):
        change = world.add("h0", number)
        assert change is not None
        store.publish([change])
    return world, store


def flip(world: World, store: Store, number: int = 1, *, times: int = 1) -> None:
    for _ in range(times):
        change = world.change("h0", number, "state")
        assert change is not None
        store.publish([change])


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["one", "batch"])
async def test_settled_subscription_waits_until_a_domain_is_quiet(way: str) -> None:
    world, store = made()
    async with store.subscribe(settle=MOMENT) as subscription:
        assert [record.name for record in subscription.snapshot] == ["vm1"]
        flip(world, store, times=2)
        with anyio.fail_after(5):
            items = [await anext(subscription)] if way == "one" else await anext(subscription.batches())
        assert [(type(item), item.seq) for item in items] == [(Rebooted, 3)]
        assert subscription.token == "e:3"
        assert subscription.lag == 0
        assert subscription.statistics == Statistics(given=1, folded=1)


@pytest.mark.anyio
async def test_settled_subscription_is_woken_by_what_need_not_wait() -> None:
    world, store = made()
    given: list[Change | Gap] = []

    async def read(subscription: Subscription) -> None:
        async for item in subscription:
            given.append(item)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, store.subscribe(settle=EVER))
        await waiting(store)
        flip(world, store)
        await waiting(store)
        assert given == []
        store.publish([world.host("h0", "lost")])
        await waiting(store)
        assert [type(item) for item in given] == [StateChanged, HostLost]
        flip(world, store)
        store.close()
    assert [type(item) for item in given] == [StateChanged, HostLost, StateChanged]


@pytest.mark.anyio
async def test_settled_subscription_that_is_closed_ends_without_what_is_held_back() -> None:
    world, store = made()
    subscription = store.subscribe(settle=EVER)

    async def read() -> None:
        assert [item async for item in subscription] == []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        flip(world, store)
        await waiting(store)
        assert (subscription.token, subscription.lag) == ("e:1", 1)
        subscription.close()
    assert subscription.token == "e:1"
    assert subscription.read_nowait() == []


@pytest.mark.anyio
async def test_settled_subscription_loses_nothing_when_its_reader_is_cancelled() -> None:
    world, store = made()
    subscription = store.subscribe(settle=3 * MOMENT)
    flip(world, store)
    for _ in range(3):
        with anyio.move_on_after(MOMENT / 2):
            await anext(subscription)
            break
    flip(world, store)
    with anyio.fail_after(5):
        item = await anext(subscription)
        assert item.seq in (2, 3)
        if item.seq == 2:
            assert (await anext(subscription)).seq == 3


@pytest.mark.anyio
async def test_settled_subscription_resumes_from_a_token() -> None:
    world, store = made()
    flip(world, store, times=2)
    with store.subscribe(since="e:1", settle=MOMENT, slow=Slow.GAP) as subscription, anyio.fail_after(5):
        assert subscription.resumed
        assert type(await anext(subscription)) is Rebooted
    with store.subscribe(since="other:1", too_old=TooOld.SNAPSHOT, settle=MOMENT) as subscription:
        assert len(subscription.snapshot) == 1


@pytest.mark.anyio
async def test_settled_subscription_that_is_too_slow_for_its_policy_ends() -> None:
    world, store = World(), Store(capacity=5)
    with store.subscribe(settle=EVER, slow=Slow.DISCONNECT) as subscription:
        store.publish([*world.flips(20)])
        with pytest.raises(SlowSubscriber):
            await anext(subscription)
        assert [item async for item in subscription] == []


@pytest.mark.anyio
@pytest.mark.parametrize("settle", [0, -1.0, float("nan"), float("inf")])
async def test_settled_for_no_time_is_refused(settle: float) -> None:
    with pytest.raises(InvalidArgument, match="settling"):
        Store().subscribe(settle=settle)


@pytest.mark.trio
async def test_settled_is_given_when_it_is_due_and_not_before(autojump_clock: object) -> None:
    world, store = made(2)
    given: list[tuple[float, Change | Gap]] = []
    began = anyio.current_time()

    async def read(subscription: Subscription) -> None:
        async for item in subscription:
            given.append((round(anyio.current_time() - began, 3), item))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, store.subscribe(settle=5, filter=Filter(hosts=frozenset({"h0"}))))
        await anyio.sleep(1)
        flip(world, store, 1)
        await anyio.sleep(2)
        flip(world, store, 1)
        flip(world, store, 2)
        for _ in range(30):
            await anyio.sleep(3)
            flip(world, store, 2)
        await anyio.sleep(20)
        tasks.cancel_scope.cancel()
    assert [(when, type(item), getattr(item, "merged", 0)) for when, item in given] == [
        (8, Rebooted, 2),
        (53, StateChanged, 17),
        (98, Updated, 14),  # off it was and off it is
    ]
