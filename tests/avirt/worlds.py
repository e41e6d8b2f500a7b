"""Simulated worlds for the tests of engine, host and domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio

from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.world import Times, World
from avirt.events.store import Store
from avirt.host import Host, connect

QUICK = Times(shutdown=0.02, stopping=0.0, reboot=0.02, save=0.0, death=0.3, liveness=5.0)


def make_world(*names: str, running: tuple[str, ...] = (), times: Times | None = None) -> World:
    """A quiet world with these domains."""
    world = World(clock=anyio.current_time, rng=Random(7), name="sim", times=times or QUICK)
    for name in names:
        world.add(name, running=name in running)
    return world


@asynccontextmanager
async def watched(
    world: World,
    *,
    readonly: bool = False,
    store: Store | None = None,
    name: str | None = None,
    journal: Path | None = None,
) -> AsyncIterator[Host]:
    """A host connected to a world."""
    driver = SimDriver(world=world)
    async with connect("sim://test", driver=driver, readonly=readonly, store=store, name=name, journal=journal) as host:
        yield host
