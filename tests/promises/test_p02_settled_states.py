"""Promise 2 for readers of settled states: whatever the hypervisor tells of a reboot, it is one; over a whole life
nothing is lost, nothing is uncounted, and it ends with the view."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import anyio
import pytest

from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.life import Seeded
from avirt.drivers.sim.world import World
from avirt.events import Slow, Store, apply
from avirt.host import connect
from avirt.model.change import Change, Gap, HostChange, Rebooted, RecordChange, StateChanged, Updated
from avirt.model.record import DomainKey, DomainRecord
from avirt.testing import LibvirtSim, Profile
from avirt.testing.checkers import validate
from avirt.testing.simulators.libvirt import LXC, QEMU, XEN
from tests.avirt.worlds import QUICK

SETTLE = 0.15


def down_and_up(sim: LibvirtSim) -> None:
    sim.domain("vm0").destroy()
    sim.domain("vm0").start()


SHAPES: dict[str, tuple[Profile, Callable[[LibvirtSim], object]]] = {
    "qemu: the guest reboots": (QEMU, lambda sim: sim.domain("vm0").guest_reboot()),
    "qemu: reset, told twice": (QEMU, lambda sim: sim.domain("vm0").reset()),
    "qemu: destroyed and started": (QEMU, down_and_up),
    "xen: stopped, started with another id": (XEN, lambda sim: sim.domain("vm0").guest_reboot()),
    "xen: destroyed and started": (XEN, down_and_up),
    "lxc: stopped and started": (LXC, down_and_up),
}


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
async def test_settled_reboot_is_one_however_libvirt_tells_it(shape: str) -> None:
    profile, act = SHAPES[shape]
    async with LibvirtSim(domains=2, profile=profile, memory=True) as sim, connect(sim.uri, driver=sim.driver) as host:
        with host.watch(settle=SETTLE) as changes, host.watch() as raw:
            act(sim)
            await sim.settled(host)
            with anyio.fail_after(10):
                change = await anext(changes)
            assert type(change) is Rebooted
            told = [item for item in raw.read_nowait() if isinstance(item, RecordChange)]
            assert change.merged == len(told)
            assert (change.before, change.after) == (told[0].before, told[-1].after)
            assert changes.lag == 0


class Reader:
    """Reads what settles, and keeps records by it."""

    def __init__(self, snapshot: list[DomainRecord]) -> None:
        self.records: dict[DomainKey, DomainRecord] = {record.domain: record for record in snapshot}
        self.items: list[Change | Gap] = []

    def take(self, item: Change | Gap) -> None:
        apply(self.records, item)
        self.items.append(item)


@pytest.mark.trio
@pytest.mark.parametrize("settle", [0.5, 5.0])
@pytest.mark.parametrize("seed", range(3))
async def test_settled_life_with_losses_ends_with_the_view_and_counts_every_change(
    autojump_clock: object, seed: int, settle: float
) -> None:
    rng = Random(seed)
    world = World(clock=anyio.current_time, rng=Random(seed), name="sim", times=QUICK)
    life = Seeded(domains=8, rate=5, lasts=60)
    life.populate(world)
    async with connect("sim://x?latency=20", driver=SimDriver(world)) as host:
        with host.watch(settle=settle) as changes, host.watch() as raw:
            snapshot = list(changes.snapshot)
            reader = Reader(snapshot)

            async def read() -> None:
                async for item in changes:
                    reader.take(item)
                    if rng.random() < 0.1:
                        await anyio.sleep(rng.uniform(0, 3))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                life.begin(world)
                for _ in range(10):
                    await anyio.sleep(rng.uniform(1, 10))
                    world.faults.cut()
                await anyio.sleep(120)
                tasks.cancel_scope.cancel()
            told: list[Change | Gap] = []
            while raw.lag:
                told += raw.read_nowait()
            assert changes.lag == 0
            view = {record.domain: record for record in host.engine.store.records(host.name).values()}
    validate(reader.items, snapshot=snapshot, settled=True)
    assert reader.records == view
    assert sum(item.merged for item in reader.items if isinstance(item, RecordChange)) == sum(
        isinstance(item, RecordChange) for item in told
    )
    assert [item for item in reader.items if isinstance(item, HostChange)] == [
        item for item in told if isinstance(item, HostChange)
    ]
    assert len(reader.items) < len(told)
    assert {Rebooted, StateChanged, Updated} <= {type(item) for item in reader.items}


@pytest.mark.trio
@pytest.mark.parametrize("slow", [Slow.COALESCE, Slow.GAP])
async def test_settled_reader_that_falls_behind_ends_with_the_view(autojump_clock: object, slow: Slow) -> None:
    world = World(clock=anyio.current_time, rng=Random(1), name="sim", times=QUICK)
    life = Seeded(domains=8, rate=5, lasts=60)
    life.populate(world)
    store = Store(capacity=50)
    async with connect("sim://x", driver=SimDriver(world), store=store) as host:
        with host.watch(settle=2.0, slow=slow) as changes:
            reader = Reader(list(changes.snapshot))
            life.begin(world)
            with anyio.move_on_after(2000):
                async for item in changes:
                    reader.take(item)
                    await anyio.sleep(4)
            assert changes.lag == 0
            statistics = changes.statistics
        if slow is Slow.COALESCE:
            assert statistics.coalesced > 50
            assert reader.records == {record.domain: record for record in store.records(host.name).values()}
        else:
            assert statistics.lost > 50
            assert any(isinstance(item, Gap) for item in reader.items)
