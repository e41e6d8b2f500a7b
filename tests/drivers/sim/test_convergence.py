"""What the lifecycle concludes from a simulated life is the world's truth at rest: any seed, any latency."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from avirt.drivers.base import Env
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.life import Seeded
from avirt.drivers.sim.world import World
from avirt.model.record import DomainRecord
from avirt.testing.observer import observing
from avirt.uri import parse_uri


def truth(world: World) -> dict[str, tuple[object, ...]]:
    return {
        each.name: (each.key, each.state, each.reason, each.id, each.active, each.persistent)
        for each in world.domains.values()
    }


def view(records: list[DomainRecord]) -> dict[str, tuple[object, ...]]:
    return {each.name: (each.key, each.state, each.reason, each.id, each.active, each.persistent) for each in records}


@pytest.mark.trio
@pytest.mark.parametrize("latency", [0, 30, 700])
@pytest.mark.parametrize("seed", range(6))
async def test_view_at_rest_is_the_truth(autojump_clock: object, seed: int, latency: int) -> None:
    world = World(clock=anyio.current_time, rng=Random(seed), name="lab")
    life = Seeded(domains=8, rate=4, lasts=60)
    life.populate(world)
    uri = parse_uri(f"sim://lab?latency={latency}")
    async with SimDriver(world).open(uri, Env()) as session, observing(session) as observer:
        life.begin(world)
        await observer.run(90)
        assert view(observer.records) == truth(world)
        assert len(observer.changes) > 100
