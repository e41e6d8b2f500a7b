"""The session over a fake daemon: what the engine sees of one host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus

from avirt.drivers.base import HostInfo, Power, Stats
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.drivers.libvirt.facts import Host
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.lanes import open_lanes
from avirt.drivers.libvirt.rpc import Rpc
from avirt.drivers.libvirt.watch import Events
from avirt.errors import ConnectionLost, OperationTimeout
from avirt.model.observation import Gone, Item, Scope, Seen
from avirt.model.record import HostFacts
from tests.drivers.libvirt.fake_daemon import HOLD, FakeDaemon, complaint, connected
from tests.drivers.libvirt.fake_world import NO_SUPPORT, Fake, World, key_of_name

pytestmark = pytest.mark.anyio

FACTS = HostFacts(uuid=UUID(int=1), hostname="h", product="QEMU", driver="libvirt")


class Opened(LibvirtSession):
    """With its control connection at hand."""

    @property
    def control(self) -> Rpc:
        return self._lanes.control


@asynccontextmanager
async def opened(
    world: World, *, type: str = "QEMU", lifecycle: bool = True
) -> AsyncIterator[tuple[Opened, FakeDaemon]]:
    host = Host(FACTS, type, has_event_callbacks=True, has_close_callback=False)
    events = Events()

    def prepare(daemon: FakeDaemon) -> None:
        world.prepare(daemon)
        daemon.handlers[Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY] = lambda number, dom: (
            number if lifecycle or number else complaint(1, "unsupported event ID")
        )

    def no_more() -> AbstractAsyncContextManager[Rpc]:
        raise AssertionError("no other connection is needed")

    async with (
        connected(prepare=prepare, on_events=events.receive) as (rpc, daemon),
        open_lanes(rpc, no_more) as lanes,
    ):
        yield Opened(lanes, host, events), daemon


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
    async with opened(World(Fake("up", id=3))) as (session, daemon), anyio.create_task_group() as group:
        watch = Watch(session)
        await group.start(watch.run)
        assert daemon.names().count(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY.name) == 30
        assert session.poll is None
        assert session.facts is FACTS
        listing = await session.list()
        assert (listing.scope, listing.complete, [item.name for item in listing.items]) == (Scope.ALL, True, ["up"])
        assert isinstance(await session.probe(key_of_name("up")), Seen)
        assert isinstance(await session.probe(key_of_name("no")), Gone)
        daemon.transport.close()
        while watch.lost is None:
            await anyio.lowlevel.checkpoint()


async def test_without_lifecycle_events_it_is_polled() -> None:
    """The engine is told how."""
    async with opened(World(), lifecycle=False) as (session, daemon), anyio.create_task_group() as group:
        await group.start(Watch(session).run)
        assert session.poll is not None
        daemon.transport.close()


async def test_cancelling_a_watch_leaves_the_session_usable() -> None:
    """As every other call."""
    async with opened(World(Fake("up", id=3))) as (session, _):
        async with anyio.create_task_group() as group:
            await group.start(Watch(session).run)
            group.cancel_scope.cancel()
        assert len((await session.list()).items) == 1


async def test_a_secondary_daemon_has_no_domains() -> None:
    """Nothing is asked, nothing is registered."""
    async with opened(World(), type="network") as (session, daemon), anyio.create_task_group() as group:
        await group.start(Watch(session).run)
        before = len(daemon.calls)
        listing = await session.list()
        assert (listing.complete, len(listing.items)) == (True, 0)
        assert await session.probe(key_of_name("x")) == Gone(key_of_name("x"), listing.asked)
        assert len(daemon.calls) == before
        assert session.capability(Power) is None
        daemon.transport.close()


async def test_capabilities_are_of_the_connection() -> None:
    """Those of a hypervisor's; nothing for what nobody knows."""
    async with opened(World()) as (session, _):
        assert isinstance(session.capability(Power), Power)
        assert isinstance(session.capability(Stats), Stats)
        assert isinstance(session.capability(HostInfo), HostInfo)
        assert session.capability(dict) is None


async def test_statistics_that_a_listing_did_not_find_are_no_capability() -> None:
    """The LXC driver."""
    world = World()
    world.refused[Proc.CONNECT_GET_ALL_DOMAIN_STATS] = NO_SUPPORT
    async with opened(world) as (session, _):
        assert session.capability(Stats) is not None  # not known yet
        await session.list()
        assert session.capability(Stats) is None


async def test_a_connection_that_is_clogged_is_given_up() -> None:
    """Three calls that were never answered hold its slots: the watch ends, a new connection has them all."""
    world = World(*(Fake(name, id=3) for name in ("a", "b", "c")))
    async with opened(world) as (session, daemon), anyio.create_task_group() as group:
        watch = Watch(session)
        await group.start(watch.run)
        daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD
        rpc = session.control
        calls = [
            rpc.submit(Proc.DOMAIN_GET_STATE, world[name].remote, 0, key=name, timeout=0.0) for name in ("a", "b", "c")
        ]
        for call in calls:
            with pytest.raises(OperationTimeout):
                await call.wait()
        assert rpc.is_clogged
        with pytest.raises(ConnectionLost):
            await session.list()
        while watch.lost is None:
            await anyio.lowlevel.checkpoint()
        assert "unanswered" in str(watch.lost)
