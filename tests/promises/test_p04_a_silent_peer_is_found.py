"""Promise 4: a half-open connection becomes HostLost within its driver's liveness deadline; and who stood still itself
can't trust its links on waking."""

from __future__ import annotations

import anyio
import pytest
from trio.testing import MockClock

from avirt.drivers.base import Env
from avirt.drivers.libvirt.keepalive import DEFAULT_COUNT, DEFAULT_INTERVAL
from avirt.drivers.sim.driver import SimDriver
from avirt.engine import Engine
from avirt.events.store import Store
from avirt.host import connect
from avirt.model.change import HostConnected, HostLost, HostResynced, Origin, StateChanged
from avirt.model.record import Certainty
from avirt.standstill import EVERY, LONG
from avirt.testing import Direction, LibvirtSim
from avirt.uri import parse_uri
from tests.avirt.worlds import make_world, watched

LIBVIRT: float = DEFAULT_INTERVAL * (DEFAULT_COUNT + 2)
"""Seconds until libvirt's driver has found out, looking once an interval."""


@pytest.mark.trio
async def test_silence_becomes_host_lost(autojump_clock: object) -> None:
    world = make_world("a")
    async with watched(world) as host, host.watch(kinds={HostLost}) as changes:
        world.faults.silence()
        with anyio.fail_after(world.times.liveness + 1):
            assert isinstance(await anext(changes), HostLost)


@pytest.mark.trio
@pytest.mark.parametrize("direction", [None, Direction.IN, Direction.OUT])
async def test_half_open_libvirt_connection_becomes_host_lost(
    mock_clock: MockClock, direction: Direction | None
) -> None:
    """Nothing comes through, or nothing in one direction; the socket stands. What happened then comes by the resync."""
    mock_clock.rate = 1.0
    async with LibvirtSim(domains=3, memory=True) as sim, connect(sim.uri, driver=sim.driver) as host:
        with host.watch() as changes:
            began = anyio.current_time()
            sim.faults.silence(direction=direction, where=0)
            mock_clock.autojump_threshold = 0.001
            with anyio.fail_after(LIBVIRT + 1):
                lost = await anext(changes)
            assert isinstance(lost, HostLost)
            assert anyio.current_time() - began > DEFAULT_INTERVAL * DEFAULT_COUNT
            assert {record.certainty for record in host.view.values()} == {Certainty.STALE}
            mock_clock.autojump_threshold = float("inf")
            sim.domain("vm1").destroy()
            with anyio.fail_after(60):
                kinds: list[type] = [HostLost]
                async for change in changes:
                    kinds.append(type(change))
                    if isinstance(change, HostResynced):
                        break
            assert kinds == [HostLost, HostConnected, StateChanged, HostResynced]
            await sim.settled(host)


@pytest.mark.trio
async def test_process_that_was_stopped_loses_its_hosts_on_waking(mock_clock: MockClock) -> None:
    """SIGSTOP: its timers are late. What it missed comes by the resync."""
    world = make_world("a", running=("a",))
    mock_clock.autojump_threshold = 0.0
    async with watched(world) as host, host.watch() as changes:
        await anyio.sleep(EVERY / 2)
        mock_clock.autojump_threshold = float("inf")
        with world.muted():
            world.domain("a").suspend()
        mock_clock.jump(LONG + 2 * EVERY)
        mock_clock.autojump_threshold = 0.0
        with anyio.fail_after(30):
            items = [await anext(changes) for _ in range(4)]
        assert [type(item) for item in items] == [HostLost, HostConnected, StateChanged, HostResynced]
        assert isinstance(items[0], HostLost)
        assert "stood still" in items[0].why
        assert isinstance(items[2], StateChanged)
        assert items[2].origin is Origin.RESYNC


@pytest.mark.trio
async def test_machine_that_was_suspended_loses_its_hosts_on_waking(autojump_clock: object) -> None:
    """The clock that timers go by stands still meanwhile; the one that counts suspension tells."""
    world = make_world("a", running=("a",))
    suspended = 0.0
    store = Store()
    engine = Engine(
        name="h",
        uri=parse_uri("sim://h"),
        driver=SimDriver(world=world),
        env=Env(),
        store=store,
        boot=lambda: anyio.current_time() + suspended,
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(engine.run)
        with store.subscribe() as changes:
            await anyio.sleep(100)
            assert changes.lag == 0
            suspended += 3600
            with world.muted():
                world.domain("a").destroy()
            with anyio.fail_after(EVERY + 1):
                items = [await anext(changes) for _ in range(4)]
        assert [type(item) for item in items] == [HostLost, HostConnected, StateChanged, HostResynced]
        assert isinstance(items[0], HostLost)
        assert "3600 s" in items[0].why
        tasks.cancel_scope.cancel()
