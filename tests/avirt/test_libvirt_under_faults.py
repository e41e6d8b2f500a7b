"""The same as `test_engine_under_faults.py` over libvirt's own protocol: cut frames, late and reordered replies,
daemons that restart as they were or changed, events that are repeated or lost (which the audit finds)."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from avirt.drivers.sim.life import Seeded
from avirt.events import apply
from avirt.host import connect
from avirt.model.change import Change, Gap, HostLost, HostResynced, RecordChange
from avirt.testing import Direction, LibvirtSim
from avirt.testing.checkers import validate

LIFE = 4.0
FAULTS = 25
AUDIT = 1.0


def spoil(sim: LibvirtSim, rng: Random) -> None:
    """One fault, drawn by chance."""
    faults = sim.faults
    match rng.randrange(9):
        case 0:
            faults.cut()
        case 1:
            faults.cut(after_bytes=rng.randrange(1, 3000), direction=rng.choice([Direction.IN, Direction.OUT]))
        case 2:
            with sim.restart() as world:
                for domain in list(world.domains.values())[:3]:
                    if domain.active:
                        domain.destroy()
                    else:
                        domain.start()
        case 3:
            with sim.restart():
                pass
        case 4:
            faults.late_reply(rng.uniform(0.01, 0.2))
        case 5:
            faults.reorder(rng.randrange(2, 4))
        case 6:
            faults.repeat_event(rng.randrange(1, 4), event=0)
        case 7:
            faults.fragment(rng.randrange(1, 40), direction=Direction.OUT)
        case _:
            faults.clear()


async def lived(sim: LibvirtSim, rng: Random, *, lose: bool) -> list[Change | Gap]:
    """A watch through it all; what it was given is judged."""
    async with connect(sim.uri, driver=sim.driver, audit=AUDIT) as host:
        with host.watch() as changes, host.watch(settle=0.3) as settled:
            snapshot, start = list(changes.snapshot), host.engine.store.head
            records = {record.domain: record for record in settled.snapshot}
            stream: list[Change | Gap] = []
            for _ in range(FAULTS):
                spoil(sim, rng)
                if lose:
                    sim.faults.lose_event(1, event=0)
                await anyio.sleep(LIFE / FAULTS)
                stream += changes.read_nowait(100_000)
                for item in settled.read_nowait(100_000):
                    apply(records, item)
            sim.faults.clear()
            await sim.settled(host, timeout=60)
            stream += changes.read_nowait(100_000)
            view = list(host.view.values())
        async with host.watch(since=settled.token, settle=0.05) as rest:
            with anyio.move_on_after(1):
                async for item in rest:
                    apply(records, item)
        assert records == {each.domain: each for each in host.engine.store.records(host.name).values()}
        mismatches = host.audit.mismatches
    validate(stream, snapshot=snapshot, view=view, start=start)
    if not lose:
        assert mismatches == 0
    return stream


@pytest.mark.anyio
@pytest.mark.slow
async def test_libvirt_watch_through_every_fault_ends_with_the_truth() -> None:
    life = Seeded(domains=8, rate=20, lasts=LIFE)
    async with LibvirtSim(life=life, seed=3, memory=True) as sim:
        stream = await lived(sim, Random(3), lose=False)
        assert sim.complaints == []
    kinds = {type(item) for item in stream}
    assert {HostLost, HostResynced} <= kinds
    assert (
        sum(isinstance(item, RecordChange) for item in stream) > 20
    )  # on a busy machine it is lost for most of the time


@pytest.mark.anyio
@pytest.mark.slow
async def test_libvirt_watch_of_a_daemon_that_loses_events_ends_with_the_truth_by_audits() -> None:
    life = Seeded(domains=8, rate=20, lasts=LIFE)
    async with LibvirtSim(life=life, seed=9, memory=True) as sim:
        await lived(sim, Random(9), lose=True)
        assert sim.faults.struck["lose_event"] > 5
