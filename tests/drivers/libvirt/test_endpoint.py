"""The session over a simulated daemon: what the engine sees of one host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus
from msgspec.structs import replace

from avirt.drivers.base import Env, HostInfo, Power, Stats
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.errors import ConnectionLost, OperationTimeout
from avirt.model.observation import Gone, Item, Scope, Seen
from avirt.model.record import Key
from avirt.testing import LibvirtSim, Profile
from avirt.testing.simulators.libvirt import LXC, QEMU
from avirt.testing.simulators.libvirt.reading import remote_of
from avirt.uri import parse_uri

pytestmark = pytest.mark.anyio

NOBODY = Key(b"n" * 16)


@asynccontextmanager
async def opened(domains: int = 1, *, profile: Profile = QEMU) -> AsyncIterator[tuple[LibvirtSession, LibvirtSim]]:
    async with (
        LibvirtSim(domains=domains, profile=profile, memory=True) as sim,
        sim.driver.open(parse_uri(sim.uri), Env()) as session,
    ):
        assert isinstance(session, LibvirtSession)
        yield session, sim
        assert sim.complaints == []


class Watch:
    """A watch in a task of its own."""

    def __init__(self, session: LibvirtSession) -> None:
        self.session = session
        self.items: list[Item] = []
        self.lost: ConnectionLost | None = None

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            await self.session.watch(self.items.extend, task_status=task_status)
        except ConnectionLost as error:
            self.lost = error


async def test_events_come_before_the_listing() -> None:
    """watch() is armed when it says so; then there is no need to poll."""
    async with opened() as (session, sim), anyio.create_task_group() as group:
        watch = Watch(session)
        await group.start(watch.run)
        (peer,) = sim.daemon.peers
        assert len(peer.registered.callbacks) == 30
        assert session.poll is None
        assert (session.facts.hostname, session.facts.uuid) == ("sim", sim.world.uuid)
        listing = await session.list()
        assert (listing.scope, listing.complete, [item.name for item in listing.items]) == (Scope.ALL, True, ["vm0"])
        assert isinstance(await session.probe(sim.domain("vm0").key), Seen)
        assert isinstance(await session.probe(NOBODY), Gone)
        sim.stop()
        while watch.lost is None:
            await anyio.lowlevel.checkpoint()


async def test_without_lifecycle_events_it_is_polled() -> None:
    """The engine is told how."""
    deaf = replace(QEMU, missing_events=frozenset({"LIFECYCLE"}))
    async with opened(profile=deaf) as (session, sim), anyio.create_task_group() as group:
        await group.start(Watch(session).run)
        assert session.poll is not None
        sim.stop()


async def test_cancelling_a_watch_leaves_the_session_usable() -> None:
    """As every other call; watched again it is as before."""
    async with opened() as (session, _):
        for _ in range(2):
            async with anyio.create_task_group() as group:
                await group.start(Watch(session).run)
                group.cancel_scope.cancel()
            assert session.poll is None
        assert len((await session.list()).items) == 1


async def test_a_secondary_daemon_has_no_domains() -> None:
    """Nothing is asked, nothing is registered."""
    async with opened(profile=replace(QEMU, type="network")) as (session, sim), anyio.create_task_group() as group:
        await group.start(Watch(session).run)
        before = sim.calls
        listing = await session.list()
        assert (listing.complete, len(listing.items)) == (True, 0)
        assert await session.probe(NOBODY) == Gone(NOBODY, listing.asked)
        assert sim.calls == before
        assert session.capability(Power) is None
        sim.stop()


async def test_capabilities_are_of_the_connection() -> None:
    """Those of a hypervisor's; nothing for what nobody knows."""
    async with opened() as (session, _):
        assert isinstance(session.capability(Power), Power)
        assert isinstance(session.capability(Stats), Stats)
        assert isinstance(session.capability(HostInfo), HostInfo)
        assert session.capability(dict) is None


async def test_statistics_that_a_listing_did_not_find_are_no_capability() -> None:
    """The LXC driver."""
    async with opened(profile=LXC) as (session, _):
        assert session.capability(Stats) is not None  # not known yet
        await session.list()
        assert session.capability(Stats) is None


async def test_a_connection_that_is_clogged_is_given_up() -> None:
    """Three calls that were never answered hold its slots: the watch ends, a new connection has them all."""
    async with opened(3) as (session, sim), anyio.create_task_group() as group:
        watch = Watch(session)
        await group.start(watch.run)
        rpc = session._lanes.control
        calls = []
        for domain in sim.world.domains.values():
            sim.faults.hang(domain.name)
            calls.append(rpc.submit(Proc.DOMAIN_GET_STATE, remote_of(domain), 0, timeout=0.0))
        for call in calls:
            with pytest.raises(OperationTimeout):
                await call.wait()
        assert rpc.is_clogged
        with pytest.raises(ConnectionLost):
            await session.list()
        while watch.lost is None:
            await anyio.lowlevel.checkpoint()
        assert "unanswered" in str(watch.lost)
