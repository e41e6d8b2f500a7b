"""Cancelling at each turn, and counting what is left."""

from __future__ import annotations

import tempfile

import anyio
import pytest

from avirt.errors import NotFound
from avirt.testing.endurance import Held, cancelled_after, held, until_held

pytestmark = pytest.mark.anyio


async def test_call_is_cancelled_at_its_turn_or_ends_before() -> None:
    steps = 0

    async def work() -> None:
        nonlocal steps
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            steps += 1

    assert not await cancelled_after(work, 0)
    assert steps == 0
    assert await cancelled_after(work, 50)
    assert steps == 3


async def test_error_of_ours_ends_the_call_any_other_comes_out() -> None:
    async def refused() -> None:
        raise NotFound("x")

    async def bug() -> None:
        raise ZeroDivisionError

    assert await cancelled_after(refused, 3)
    with pytest.raises(ExceptionGroup) as caught:
        await cancelled_after(bug, 3)
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_what_is_held_is_counted() -> None:
    await held()
    before = await held()
    file = await anyio.to_thread.run_sync(tempfile.TemporaryFile)
    with file:
        assert (await held()).descriptors in (0, before.descriptors + 1)
        with pytest.raises(AssertionError, match="left behind"):
            await until_held(Held(0, 0), tries=1)
    await until_held(before)
