"""Promise 1: nothing blocks the loop. Each async test is guarded by `fix_loop.py`: 100 ms of standing still fail it."""

from __future__ import annotations

import anyio
import pytest

from avirt.lifecycle import slices
from avirt.model.observation import Listing, Observation, Scope
from avirt.model.record import Key
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def test_thousands_of_domains_are_listed_without_holding_the_loop() -> None:
    world = make_world()
    for number in range(3000):
        world.add(f"dom{number}")
        if number % 100 == 0:
            await anyio.lowlevel.checkpoint()
    async with watched(world) as host:
        await host.refresh()
        assert len(host.engine.store.records(host.name)) == 3000


async def test_no_reducer_takes_more_than_512_items_at_once() -> None:
    items = [Observation(key=Key(number.to_bytes(16))) for number in range(2000)]
    parts = list(slices(Listing(Scope.ALL, True, 0, items)))
    assert max(len(part.items) for part in parts) <= 512
    assert sum(len(part.items) for part in parts) == 2000
    assert [part.last for part in parts] == [False, False, False, True]
