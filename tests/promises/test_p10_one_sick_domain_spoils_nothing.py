"""Promise 10: a domain that never answers ages, visibly, and nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

import avirt
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.drivers.libvirt.session import Rpc
from avirt.errors import Busy, OperationTimeout, Phase
from avirt.host import Host
from avirt.model.record import Certainty, HostState
from avirt.model.state import DomainState
from avirt.testing import LibvirtSim
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.trio


async def test_a_hung_domain_is_stale_and_the_others_are_live(autojump_clock: object) -> None:
    world = make_world("sick", "well", running=("sick", "well"))
    async with watched(world) as host:
        sick, well = await host.lookup(name="sick"), await host.lookup(name="well")
        world.faults.hang("sick")
        world.domain("sick").suspend()
        with pytest.raises(OperationTimeout):
            await sick.destroy(timeout=5)
        assert (await well.suspend()).observed
        await anyio.sleep(60)
        assert sick.record.stale_why
        assert well.record.certainty is Certainty.LIVE
        assert host.status.state is HostState.LIVE
        world.faults.heal()
        await anyio.sleep(60)
        assert sick.record.certainty is Certainty.LIVE


# ---------------------------------------------------------------- a libvirt host

PAUSES = (20, 60, 300, 900)
"""Seconds between looks at a host of which something hangs: some trials are made meanwhile."""


class Ward:
    """A host of 1,000 domains, of which the first few hang."""

    def __init__(self, sim: LibvirtSim, host: Host, sick: int) -> None:
        self.sim = sim
        self.host = host
        self.sick = [f"vm{n}" for n in range(sick)]
        self.accepted = sim.accepted

    def fall_ill(self) -> None:
        for name in self.sick:
            self.sim.faults.hang(name)

    @property
    def control(self) -> Rpc:
        session = self.host.engine.session
        assert isinstance(session, LibvirtSession)
        return session._lanes.control

    async def read(self, name: str) -> str:
        return await (await self.host.lookup(name=name)).xml()

    async def read_in_vain(self, name: str) -> None:
        with pytest.raises((Busy, OperationTimeout)):
            await self.read(name)

    async def all_in_vain(self) -> None:
        async with anyio.create_task_group() as group:
            for name in self.sick:
                group.start_soon(self.read_in_vain, name)

    async def others_are_well(self) -> None:
        """Calls, events, listings, verbs, all within a second."""
        with anyio.fail_after(1):
            async with anyio.create_task_group() as group:
                for n in range(100, 130):
                    group.start_soon(self.read, f"vm{n}")
            well = await self.host.lookup(name="vm500")
            assert (await well.suspend()).observed
            assert (await well.resume()).observed
            await self.host.refresh()
        assert self.host.status.state is HostState.LIVE

    def nothing_was_dropped(self) -> None:
        assert self.sim.complaints == []
        assert self.sim.hung_up == 0
        assert self.control.lost is None


@asynccontextmanager
async def ward(sick: int) -> AsyncIterator[Ward]:
    async with (
        LibvirtSim(domains=1000, memory=True) as sim,
        avirt.connect(sim.uri, driver=sim.driver) as host,
    ):
        # a worker for each that hangs: otherwise the daemon itself is the limit
        sim.daemon.workers._most = 100
        yield Ward(sim, host, sick)


@pytest.mark.slow
@pytest.mark.parametrize("sick", [1, 2, 20])
async def test_hung_domains_cost_themselves_and_nobody_else(autojump_clock: object, sick: int) -> None:
    """Reads of them time out, then fail at once, and hold two calls each at most; pings are answered all the time."""
    async with ward(sick) as it:
        it.fall_ill()
        async with anyio.create_task_group() as group:
            group.start_soon(it.all_in_vain)
            await anyio.sleep(10)  # those that came at once have found out that they hang
            await it.others_are_well()
        assert len(it.sim.daemon.hung) == sick
        with anyio.fail_after(0.1):
            for name in it.sick:
                with pytest.raises(Busy, match="hung since"):
                    await it.read(name)
        for pause in PAUSES:
            await it.all_in_vain()
            await it.others_are_well()
            assert len(it.sim.daemon.hung) <= 2 * sick
            await anyio.sleep(pause)
        it.nothing_was_dropped()
        it.sim.faults.clear()
        await anyio.sleep(1)
        for name in it.sick:
            assert await it.read(name)
        await it.sim.settled(it.host)


@pytest.mark.slow
@pytest.mark.parametrize("sick", [1, 2, 20])
async def test_reads_for_the_view_that_hang_leave_the_events_their_connection(
    autojump_clock: object, sick: int
) -> None:
    """Their records are stale, with why and since; events come; the connection that carries them is never lost."""
    async with ward(sick) as it:
        control = it.control
        it.fall_ill()
        for name in it.sick:
            it.sim.domain(name).suspend()
        await anyio.sleep(20)
        await it.others_are_well()
        await anyio.sleep(40)
        for name in it.sick:
            record = (await it.host.lookup(name=name)).record
            assert record.state is DomainState.PAUSED
            assert record.certainty is Certainty.STALE
            assert record.stale_why
            assert record.stale_since is not None
        for pause in PAUSES:
            await it.others_are_well()
            assert len(it.sim.daemon.hung) <= 2 * sick
            await anyio.sleep(pause)
        assert any("hung since" in record.stale_why for record in it.host.view.values())
        assert it.control is control
        it.nothing_was_dropped()
        it.sim.faults.clear()
        await it.sim.settled(it.host)
        await anyio.sleep(10)
        assert all(record.certainty is Certainty.LIVE for record in it.host.view.values())


async def test_an_event_of_a_hung_domain_closes_its_breaker(autojump_clock: object) -> None:
    """Something happens to it: it is worth a call."""
    async with ward(1) as it:
        it.fall_ill()
        await it.read_in_vain("vm0")
        await anyio.sleep(1)
        with pytest.raises(Busy):
            await it.read("vm0")
        it.sim.daemon.hung.clear()  # never to be answered
        it.sim.faults.clear()
        it.sim.domain("vm0").suspend()
        await anyio.sleep(1)
        assert await it.read("vm0")


@pytest.mark.parametrize("spares_state", [True, False])
async def test_destroy_of_a_hung_domain_always_goes_through(autojump_clock: object, spares_state: bool) -> None:
    """Also when nothing about it can be read; and as often as it is asked for, since it does not hold up events."""
    async with ward(1) as it:
        it.sim.faults.hang("vm0", spares_state=spares_state)
        sick = await it.host.lookup(name="vm0")
        await it.read_in_vain("vm0")
        await anyio.sleep(1)
        with pytest.raises(Busy):
            await it.read("vm0")
        for _ in range(3):
            with pytest.raises(OperationTimeout) as caught:
                await sick.destroy(timeout=5)
            assert caught.value.phase is Phase.SENT
            await anyio.sleep(60)
        await it.others_are_well()
        it.nothing_was_dropped()
        it.sim.faults.clear()
        await anyio.sleep(10)
        assert sick.record.state is DomainState.SHUTOFF


async def test_doctor_names_what_hangs(autojump_clock: object) -> None:
    """Of a connection that has found out."""
    async with ward(1) as it:
        it.fall_ill()
        await it.read_in_vain("vm0")
        await anyio.sleep(1)
        said = [finding.text for finding in await it.host.diagnose() if finding.step == "domain"]
        assert len(said) == 1
        assert str(it.sim.domain("vm0").uuid) in said[0]
        assert "domain_get_xml_desc was not answered" in said[0]


# ---------------------------------------------------------------- how long the others' calls take, on a virtual clock


async def closed(it: Ward, tasks: int, seconds: float) -> list[float]:
    """Tasks that call one after another."""
    took: list[float] = []
    end = anyio.current_time() + seconds

    async def call(number: int) -> None:
        at = number
        while (began := anyio.current_time()) < end:
            await it.read(f"vm{100 + at % 900}")
            took.append(anyio.current_time() - began)
            at += tasks

    async with anyio.create_task_group() as group:
        for number in range(tasks):
            group.start_soon(call, number)
    return took


async def opened(it: Ward, rate: int, seconds: float) -> list[float]:
    """Calls that start when it is time, however long the others take."""
    took: list[float] = []

    async def call(at: int) -> None:
        began = anyio.current_time()
        await it.read(f"vm{100 + at % 900}")
        took.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        for at in range(int(rate * seconds)):
            group.start_soon(call, at)
            await anyio.sleep(1 / rate)
    return took


LOADS = {
    "closed, 4 tasks": partial(closed, tasks=4),
    "closed, 100 tasks": partial(closed, tasks=100),
    "open, 400 calls/s": partial(opened, rate=400),
    "open, 800 calls/s": partial(opened, rate=800),
}


async def percentiles(sick: int) -> dict[str, float]:
    """The 99th of each load, at 2 ms a call and 5 calls at once."""
    async with ward(sick) as it, anyio.create_task_group() as group:
        it.sim.faults.late_reply(0.002)
        it.fall_ill()

        async def call_in_vain(name: str) -> None:
            while True:
                await it.read_in_vain(name)
                await anyio.sleep(1)

        for name in it.sick:
            group.start_soon(call_in_vain, name)
        await anyio.sleep(10)
        found: dict[str, float] = {}
        for load, run in LOADS.items():
            took = sorted(await run(it, seconds=0.2))
            found[load] = took[int(len(took) * 0.99)]
        it.nothing_was_dropped()
        group.cancel_scope.cancel()
    return found


@pytest.mark.slow
async def test_calls_of_other_domains_take_no_longer_while_some_hang(autojump_clock: object) -> None:
    """Row 9 without the machine's weather: what a call waits for is the daemon's 2 ms and its turn, nothing else."""
    without = await percentiles(0)
    for sick in (1, 2, 20):
        with_some = await percentiles(sick)
        assert all(with_some[load] < 1.1 * without[load] for load in LOADS), (sick, without, with_some)
