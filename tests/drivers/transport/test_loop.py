"""Waiters on the three loops."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.loop import current_loop

pytestmark = pytest.mark.anyio


async def test_waiter_set_before_and_after_waiting_returns() -> None:
    """In either order, and a second set does nothing."""
    loop = current_loop()
    early = loop.waiter()
    early.set(None)
    early.set(None)
    early.fail(ValueError("too late"))
    await early.wait()
    late = loop.waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(late.wait)
        await checkpoint()
        late.set(None)


async def test_waiter_failed_raises_in_the_waiting_task() -> None:
    """Before waiting as well; nobody waiting is no complaint."""
    loop = current_loop()
    waiter = loop.waiter()
    waiter.fail(ValueError("no"))
    waiter.fail(ValueError("again"))
    with pytest.raises(ValueError, match="no"):
        await waiter.wait()
    loop.waiter().fail(ValueError("unseen"))

    waiter = loop.waiter()

    async def wait() -> None:
        with pytest.raises(ValueError, match="later"):
            await waiter.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await checkpoint()
        waiter.fail(ValueError("later"))


async def test_waiter_cancelled_is_left_alone_by_a_later_set() -> None:
    """The value comes to nobody, and hurts nobody."""
    waiter = current_loop().waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.wait)
        await checkpoint()
        group.cancel_scope.cancel()
    waiter.set(None)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await current_loop().waiter().wait()
    assert scope.cancelled_caught


async def test_soon_runs_in_the_next_turn() -> None:
    """Not at once."""
    loop = current_loop()
    ran = loop.waiter()
    loop.soon(lambda: ran.set(None))
    before = loop.now()
    await ran.wait()
    assert loop.now() >= before
