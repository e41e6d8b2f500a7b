"""Notifier: who waits is woken, once a burst, and a few at a time."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.loop import current_loop
from avirt.events.notifier import Notifier

GROUP = 4

pytestmark = pytest.mark.anyio


async def wait(notifier: Notifier) -> None:
    """As a subscription does."""
    waiter = notifier.join()
    try:
        await waiter
    finally:
        notifier.leave(waiter)


class Waiters:
    """Tasks that wait, and how often each was woken."""

    def __init__(self, notifier: Notifier) -> None:
        self.notifier = notifier
        self.woken: list[int] = []

    async def wait(self, number: int) -> None:
        await wait(self.notifier)
        self.woken.append(number)


async def settle(notifier: Notifier, waiting: int) -> None:
    """Until so many wait."""
    with anyio.fail_after(5):
        while notifier.waiting != waiting:
            await checkpoint()


async def test_notifier_with_the_loops_own_waiters_wakes_as_well() -> None:
    notifier = Notifier(group=GROUP)
    notifier.waiter = current_loop().waiter
    waiters = Waiters(notifier)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.run)
        for number in range(3 * GROUP):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, 3 * GROUP)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await wait(notifier)
        assert notifier.waiting == 3 * GROUP
        notifier.notify()
        with anyio.fail_after(5):
            while len(waiters.woken) < 3 * GROUP:
                await checkpoint()
        tasks.cancel_scope.cancel()


async def test_notifier_wakes_nobody_twice() -> None:
    """Whoever was woken, and has not run yet, is let alone."""
    notifier = Notifier(group=GROUP)
    waiter = notifier.join()
    waiter.set_result(None)
    notifier.notify()
    assert waiter.done()
    await waiter
    notifier.leave(waiter)


async def test_notifier_without_waiters_does_nothing() -> None:
    notifier = Notifier(group=GROUP)
    notifier.notify()
    assert notifier.waiting == 0


async def test_notifier_wakes_all_by_itself_where_no_task_runs() -> None:
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    count = GROUP + 10
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, count)
        notifier.notify()
        notifier.notify()
    assert sorted(waiters.woken) == list(range(count))


async def test_notifier_of_few_wakes_them_without_its_task() -> None:
    """Nothing is left for the task to do."""
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.run)
        for number in range(GROUP):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, GROUP)
        notifier.notify()
        assert notifier.waiting == 0
        await checkpoint()
        with anyio.fail_after(5):
            while len(waiters.woken) < GROUP:
                await checkpoint()
        tasks.cancel_scope.cancel()


async def test_notifier_of_many_wakes_no_more_than_a_group_a_turn() -> None:
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    count = 5 * GROUP
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.run)
        for number in range(count):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, count)
        for _ in range(20):
            notifier.notify()
        assert waiters.woken == []
        most, before = 0, 0
        with anyio.fail_after(5):
            while len(waiters.woken) < count:
                await checkpoint()
                most = max(most, len(waiters.woken) - before)
                before = len(waiters.woken)
        # trio runs its tasks of a turn in any order: two groups may come between two turns of ours
        assert most <= 2 * GROUP
        tasks.cancel_scope.cancel()
    assert sorted(waiters.woken) == list(range(count))


async def test_notifier_wakes_those_that_come_while_it_is_busy() -> None:
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    count = 3 * GROUP
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.run)
        for number in range(count):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, count)
        notifier.notify()
        tasks.start_soon(waiters.wait, count)
        await settle(notifier, 1)
        notifier.notify()
        with anyio.fail_after(5):
            while len(waiters.woken) <= count:
                await checkpoint()
        tasks.cancel_scope.cancel()


async def test_notifier_cancelled_wakes_those_that_were_still_due() -> None:
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    count = 4 * GROUP
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(waiters.wait, number)
        await settle(notifier, count)
        async with anyio.create_task_group() as owner:
            owner.start_soon(notifier.run)
            await checkpoint()
            await checkpoint()
            notifier.notify()
            owner.cancel_scope.cancel()
    assert len(waiters.woken) == count
    notifier.notify()


async def test_notifier_forgets_a_waiter_that_is_cancelled() -> None:
    notifier = Notifier(group=GROUP)
    waiters = Waiters(notifier)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiters.wait, 0)
        await settle(notifier, 1)
        for _ in range(2 * GROUP):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await wait(notifier)
        assert notifier.waiting == 1
        tasks.cancel_scope.cancel()
    assert notifier.waiting == 0
