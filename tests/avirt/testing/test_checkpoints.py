"""A call cancelled at each checkpoint: each is met, also those of tasks that it starts; what is wrong comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.base import wake
from avirt.drivers.transport.loop import current_loop, is_asyncio
from avirt.errors import NotFound
from avirt.testing.checkpoints import Canceller, cancelled_at, cancelled_at_each_checkpoint, cancellers

pytestmark = pytest.mark.anyio


class Walk:
    """A call of three checkpoints; how far it came each time."""

    def __init__(self) -> None:
        self.ways: list[int] = []

    async def __call__(self) -> None:
        self.ways.append(0)
        for _ in range(3):
            await checkpoint()
            self.ways[-1] += 1


async def test_call_is_cancelled_at_each_checkpoint_until_it_ends() -> None:
    """Before it begins, at the first, the second, the third; then it ends."""
    walk = Walk()
    assert await cancelled_at_each_checkpoint(walk, by=[Canceller.SCOPE]) == 4
    assert walk.ways == [0, 0, 1, 2, 3]


async def test_each_canceller_of_the_loop_has_its_turn() -> None:
    """asyncio's own cancels nothing before it begins."""
    walk = Walk()
    times = await cancelled_at_each_checkpoint(walk)
    assert times == (10 if is_asyncio() else 4)
    assert len(cancellers()) == (3 if is_asyncio() else 1)
    assert walk.ways == [0, 0, 1, 2, 3, *([0, 1, 2, 3] * 2 if is_asyncio() else [])]


async def test_what_is_before_and_after_surrounds_each() -> None:
    order: list[str] = []

    def said(word: str) -> Callable[[], Awaitable[None]]:
        async def say() -> None:
            await checkpoint()
            order.append(word)

        return say

    async def call() -> None:
        order.append("call")
        await checkpoint()

    await cancelled_at_each_checkpoint(call, before=said("before"), after=said("after"), by=[Canceller.SCOPE])
    assert order == ["before", "call", "after"] * 3


async def test_checkpoints_of_tasks_that_the_call_starts_count_and_others_do_not() -> None:
    steps = 0

    async def walk() -> None:
        nonlocal steps
        for _ in range(5):
            await checkpoint()
            steps += 1

    async def call() -> None:
        async with anyio.create_task_group() as inner:
            inner.start_soon(walk)

    async def stranger() -> None:
        while True:
            await checkpoint()

    seen: set[int] = set()
    async with anyio.create_task_group() as group:
        group.start_soon(stranger)
        for at in range(50):
            steps = 0
            ended = await cancelled_at(call, at)
            seen.add(steps)
            if ended:
                break
        group.cancel_scope.cancel()
    assert seen == set(range(6))


async def test_late_cancellation_meets_a_call_that_has_its_answer() -> None:
    """A future that is done, and a task that is not told: only asyncio's own cancellation comes in between."""
    if not is_asyncio():
        return
    found: list[bool] = []

    async def call() -> None:
        waiter = current_loop().waiter()
        current_loop().soon(lambda: wake(waiter))
        try:
            await waiter
        except anyio.get_cancelled_exc_class():
            found.append(not waiter.cancelled())  # type: ignore[attr-defined]
            raise

    assert not await cancelled_at(call, 1, by=Canceller.TASK)
    assert not await cancelled_at(call, 1, by=Canceller.LATE)
    assert found == [False, True]


async def test_call_that_takes_no_step_is_not_cancelled() -> None:
    async def call() -> None:
        pass

    assert await cancelled_at(call, 1)
    assert await cancelled_at_each_checkpoint(call, by=[Canceller.SCOPE]) == 1


async def test_errors_come_out_as_themselves() -> None:
    async def refused() -> None:
        await checkpoint()
        raise NotFound("x")

    for by in cancellers():
        with pytest.raises(NotFound):
            await cancelled_at(refused, 3, by=by)
        assert not await cancelled_at(refused, 1, by=by)
        with pytest.raises(NotFound):
            await cancelled_at_each_checkpoint(refused, by=[by])


async def test_error_in_place_of_a_cancellation_comes_out() -> None:
    async def bug() -> None:
        try:
            await checkpoint()
        except anyio.get_cancelled_exc_class() as cancelled:
            raise NotFound("x") from cancelled

    for by in cancellers():
        with pytest.raises(NotFound):
            await cancelled_at(bug, 1, by=by)


async def test_call_that_goes_round_in_circles_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avirt.testing.checkpoints.MOST", 20)

    async def circle() -> None:
        while True:
            await checkpoint()

    with pytest.raises(AssertionError, match="20 checkpoints"):
        await cancelled_at_each_checkpoint(circle)


async def test_call_that_never_ends_is_found() -> None:
    """One checkpoint, and no second."""
    with pytest.raises(AssertionError, match="goes on"):
        await cancelled_at_each_checkpoint(anyio.sleep_forever, by=[Canceller.SCOPE], patience=0.01)


async def test_task_factory_of_the_application_is_used_and_put_back() -> None:
    if not is_asyncio():
        return
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Future[Any]:
        made.append("task")
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        walk = Walk()
        await cancelled_at_each_checkpoint(walk, by=[Canceller.TASK])
        assert walk.ways == [0, 1, 2, 3]
        assert len(made) >= 4
        assert loop.get_task_factory() is factory
    finally:
        loop.set_task_factory(None)
