"""From driver to subscriber while the hypervisor lives and everything fails: no change is lost or invented."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.life import Seeded
from avirt.drivers.sim.world import World
from avirt.host import connect
from avirt.model.change import Change, Gap, HostConnected, HostLost, HostResynced
from avirt.model.record import Certainty, HostState
from avirt.testing.checkers import validate

LIFE = 60.0
REST = 120.0


def spoil(world: World, rng: Random) -> None:
    """One fault, drawn by chance."""
    faults = world.faults
    names = [domain.name for domain in world.domains.values()]
    name = rng.choice(names)
    kind = rng.randrange(8)
    if kind == 0:
        faults.cut()
    elif kind == 1:
        with faults.restart():
            for domain in list(world.domains.values())[:3]:
                if domain.active:
                    domain.destroy()
                else:
                    domain.start()
    elif kind == 2:
        faults.lose_events(rng.randrange(1, 6))
        world.after(0.5, faults.overrun)
        world.after(5.0, faults.overrun)
    elif kind == 3:
        faults.fail_reads(name, 3)
    elif kind == 4:
        faults.fail_lists(2)
    elif kind == 5:
        faults.slow(name, rng.uniform(0.1, 3.0))
    elif kind == 6:
        faults.delay = rng.uniform(0.0, 1.0)
    else:
        faults.refuse()
        faults.cut()
        world.after(3.0, faults.heal)


@pytest.mark.trio
@pytest.mark.parametrize("seed", range(8))
async def test_watch_through_every_fault_ends_with_the_truth(autojump_clock: object, seed: int) -> None:
    rng = Random(seed)
    world = World(clock=anyio.current_time, rng=Random(seed), name="sim")
    life = Seeded(domains=8, rate=3, lasts=LIFE)
    life.populate(world)
    async with connect("sim://x?latency=20", driver=SimDriver(world)) as host:
        with host.watch() as changes:
            snapshot = list(changes.snapshot)
            start = host.engine.store.head
            stream: list[Change | Gap] = []
            life.begin(world)
            for _ in range(int(LIFE / 3)):
                await anyio.sleep(3)
                spoil(world, rng)
                stream += changes.read_nowait(100_000)
            world.faults.heal()
            world.faults.overrun()
            await anyio.sleep(REST)
            while changes.lag:
                stream += changes.read_nowait(100_000)
            view = list(host.view.values())
        assert host.status.state is HostState.LIVE
    validate(stream, snapshot=snapshot, view=view, start=start)
    truth = {each.key: (each.name, each.state, each.id, each.persistent) for each in world.domains.values()}
    assert {each.key: (each.name, each.state, each.id, each.persistent) for each in view} == truth
    assert all(each.certainty is Certainty.LIVE for each in view)
    assert len(stream) > 100
    kinds = {type(change) for change in stream}
    assert {HostLost, HostConnected, HostResynced} <= kinds
