"""Waiters on the three loops."""

from __future__ import annotations

from math import inf

import anyio
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.base import Waiter, wake
from avirt.drivers.transport.loop import current_loop

pytestmark = pytest.mark.anyio


async def wait(waiter: Waiter[None]) -> None:
    await waiter


async def test_waiter_set_before_and_after_waiting_returns() -> None:
    """In either order, and waking twice does nothing."""
    loop = current_loop()
    early = loop.waiter()
    assert not early.done()
    wake(early)
    wake(early)
    assert early.done()
    await early
    late = loop.waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, late)
        await checkpoint()
        wake(late)
        wake(late)


async def test_waiter_cancelled_is_left_alone_by_a_later_set() -> None:
    """The value comes to nobody, and hurts nobody."""
    waiter = current_loop().waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, waiter)
        await checkpoint()
        group.cancel_scope.cancel()
    assert waiter.done()
    wake(waiter)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await current_loop().waiter()
    assert scope.cancelled_caught


async def test_soon_runs_in_the_next_turn() -> None:
    """Not at once."""
    loop = current_loop()
    ran = loop.waiter()
    loop.soon(lambda: wake(ran))
    assert not ran.done()
    before = loop.now()
    await ran
    assert loop.now() >= before


async def test_loop_wait_ends_when_woken_or_when_the_time_is_up() -> None:
    """Whichever comes first; a deadline that has passed is no error."""
    loop = current_loop()
    waiter = loop.waiter()
    loop.soon(lambda: wake(waiter))
    await loop.wait(waiter, inf)
    assert waiter.done()
    await loop.wait(loop.waiter(), loop.now())
