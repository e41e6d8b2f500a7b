"""Promise 3: subscriptions go on by themselves; the stream says what was lost, each difference, and HostResynced."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import anyio
import pytest

from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.world import World
from avirt.events.store import Store
from avirt.host import Host, connect
from avirt.model.change import (
    Added,
    Change,
    Gap,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Origin,
    RecordChange,
    Removed,
    Renamed,
    StateChanged,
    Updated,
)
from avirt.model.observation import Listing, Scope
from avirt.model.record import Certainty, HostState
from avirt.model.state import DomainState
from avirt.testing import LibvirtSim
from avirt.testing.checkers import validate
from tests.avirt.test_engine import A, Script
from tests.avirt.worlds import make_world, watched

PATIENCE = 120.0
LOSSES = 80


class Stream:
    """A host's stream, read as it is told to."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._changes = host.watch()
        self._snapshot = list(self._changes.snapshot)
        self._start = host.engine.store.head
        self.all: list[Change | Gap] = []

    async def until(self, kind: type[Change]) -> list[Change | Gap]:
        """What comes up to the next of this kind, and with it."""
        items: list[Change | Gap] = []
        with anyio.fail_after(PATIENCE):
            async for item in self._changes:
                items.append(item)
                if isinstance(item, kind):
                    break
        self.all += items
        return items

    async def rest(self, seconds: float = 60.0) -> list[Change | Gap]:
        """What comes within so long."""
        await anyio.sleep(seconds)
        items: list[Change | Gap] = []
        while self._changes.lag:
            items += self._changes.read_nowait()
        self.all += items
        return items

    def check(self) -> None:
        validate(self.all, snapshot=self._snapshot, view=list(self.host.view.values()), start=self._start)


@asynccontextmanager
async def streamed(world: World, *, latency: int = 0) -> AsyncGenerator[tuple[Host, Stream]]:
    """A host of a simulated world, and its stream, which is judged at the end."""
    async with connect(f"sim://test?latency={latency}", driver=SimDriver(world=world)) as host:
        stream = Stream(host)
        yield host, stream
        await stream.rest(1)
        stream.check()


def of_domains(items: list[Change | Gap]) -> list[tuple[type, str, Origin]]:
    return [(type(item), item.name, item.origin) for item in items if isinstance(item, RecordChange)]


@pytest.mark.trio
async def test_twenty_lost_links_are_each_said_and_made_good(autojump_clock: object) -> None:
    world = make_world("stays")
    async with watched(world) as host, host.watch() as changes:
        for number in range(20):
            with world.faults.restart():
                world.add(f"new{number}")
                if number:
                    world.domain(f"new{number - 1}").undefine()
            kinds: list[type] = []
            with anyio.fail_after(60):
                async for change in changes:
                    kinds.append(type(change))
                    if isinstance(change, HostResynced):
                        break
            expected = [HostLost, HostConnected, *([Removed] if number else []), Added, HostResynced]
            assert sorted(kinds, key=str) == sorted(expected, key=str)
            assert kinds[:2] == [HostLost, HostConnected]
        assert sorted(record.name for record in host.view.values()) == ["new19", "stays"]


DIFFERENCES: dict[str, tuple[Callable[[World], object], type[RecordChange], DomainState | None]] = {
    "started": (lambda world: world.domain("off").start(), StateChanged, DomainState.RUNNING),
    "started paused": (lambda world: world.domain("off").start(paused=True), StateChanged, DomainState.PAUSED),
    "stopped": (lambda world: world.domain("on").destroy(), StateChanged, DomainState.SHUTOFF),
    "suspended": (lambda world: world.domain("on").suspend(), StateChanged, DomainState.PAUSED),
    "asleep": (lambda world: world.domain("on").pm_suspend(), StateChanged, DomainState.PMSUSPENDED),
    "crashed": (lambda world: world.domain("on").crash(), StateChanged, DomainState.SHUTOFF),
    "saved": (lambda world: world.domain("on").managed_save(), StateChanged, DomainState.SHUTOFF),
    "renamed": (lambda world: world.domain("off").rename("new"), Renamed, DomainState.SHUTOFF),
    "starts with the host": (lambda world: world.domain("off").set_autostart(True), Updated, DomainState.SHUTOFF),
    "undefined while it runs": (lambda world: world.domain("on").undefine(), Updated, DomainState.RUNNING),
    "undefined": (lambda world: world.domain("off").undefine(), Removed, None),
    "defined": (lambda world: world.add("new"), Added, DomainState.SHUTOFF),
    "created": (lambda world: world.add("new", persistent=False), Added, DomainState.RUNNING),
}


@pytest.mark.trio
@pytest.mark.parametrize("difference", DIFFERENCES)
async def test_what_changed_while_the_link_was_lost_is_one_change_each(autojump_clock: object, difference: str) -> None:
    act, kind, state = DIFFERENCES[difference]
    world = make_world("on", "off", "idle", running=("on",))
    async with streamed(world) as (host, stream):
        with world.faults.restart():
            act(world)
        items = await stream.until(HostResynced)
        assert [type(item) for item in items] == [HostLost, HostConnected, kind, HostResynced]
        change = items[2]
        assert isinstance(change, RecordChange)
        assert change.origin is Origin.RESYNC
        assert (None if change.after is None else change.after.state) is state
        assert await stream.rest() == []
        assert all(record.certainty is Certainty.LIVE for record in host.view.values())


@pytest.mark.trio
async def test_what_ran_anew_while_the_link_was_lost_is_one_change(autojump_clock: object) -> None:
    """Stopped and started: only the runtime id tells."""
    world = make_world("a", running=("a",))
    async with streamed(world) as (host, stream):
        (before,) = host.view.values()
        with world.faults.restart():
            world.domain("a").destroy()
            world.domain("a").start()
        changed = [item for item in await stream.until(HostResynced) if isinstance(item, RecordChange)]
        assert len(changed) == 1
        assert changed[0].after is not None
        assert changed[0].after.id not in (None, before.id)


@pytest.mark.trio
async def test_names_that_were_swapped_while_the_link_was_lost_are_two_renames(autojump_clock: object) -> None:
    world = make_world("a", "b")
    async with streamed(world) as (_, stream):
        with world.faults.restart():
            a, b = world.domain("a"), world.domain("b")
            a.rename("c")
            b.rename("a")
            a.rename("b")
        items = await stream.until(HostResynced)
        assert sorted(of_domains(items)[:2], key=str) == [
            (Renamed, "a", Origin.RESYNC),
            (Renamed, "b", Origin.RESYNC),
        ]
        assert len(of_domains(items)) == 2


@pytest.mark.trio
async def test_a_name_with_another_uuid_is_removed_before_it_is_added(autojump_clock: object) -> None:
    world = make_world("a", "b")
    async with streamed(world) as (host, stream):
        old = next(record.key for record in host.view.values() if record.name == "a")
        with world.faults.restart():
            world.domain("a").undefine()
            world.add("a", uuid=UUID(int=7))
        items = await stream.until(HostResynced)
        assert of_domains(items) == [(Removed, "a", Origin.RESYNC), (Added, "a", Origin.RESYNC)]
        removed, added = (item for item in items if isinstance(item, RecordChange))
        assert (removed.key, added.uuid) == (old, UUID(int=7))


@pytest.mark.trio
async def test_events_between_arming_and_listing_are_neither_lost_nor_told_twice(autojump_clock: object) -> None:
    """The listing takes a second; half-way the domains change, before and after it is made."""
    world = make_world("a", "b", "c", running=("a", "b"))
    async with streamed(world, latency=1000) as (host, stream):
        world.faults.cut()
        await stream.until(HostConnected)
        await anyio.sleep(0.3)
        world.domain("a").suspend()
        world.domain("c").undefine()
        world.add("d")
        await anyio.sleep(0.4)
        world.domain("b").suspend()
        world.add("e")
        items = await stream.until(HostResynced) + await stream.rest()
        told = [(kind, name) for kind, name, _ in of_domains(items)]
        assert sorted(told, key=str) == sorted(
            [(StateChanged, "a"), (Removed, "c"), (Added, "d"), (StateChanged, "b"), (Added, "e")], key=str
        )
        assert {record.name: record.state for record in host.view.values()} == {
            domain.name: domain.state for domain in world.domains.values()
        }


@pytest.mark.trio
async def test_a_loss_during_the_listing_is_a_loss_like_any_other(autojump_clock: object) -> None:
    world = make_world("a", "b", running=("a",))
    async with streamed(world, latency=1000) as (host, stream):
        with world.faults.restart():
            world.domain("b").start()
        for _ in range(3):
            await stream.until(HostConnected)
            await anyio.sleep(0.7)  # the listing is made, and on its way
            world.faults.cut()
        items = await stream.until(HostResynced)
        assert of_domains(items) == [(StateChanged, "b", Origin.RESYNC)]
        whole = [type(item) for item in stream.all if not isinstance(item, RecordChange)]
        assert whole == [HostLost, HostConnected] * 4 + [HostResynced]
        assert host.status.synced


@pytest.mark.trio
async def test_removal_never_follows_from_an_empty_answer(autojump_clock: object) -> None:
    """A session that has expired may list nothing. Stale is what is known until a listing counts."""

    class Forgetful(Script):
        forgets = 0

        async def list(self, scope: Scope = Scope.ALL) -> Listing:
            listing = await super().list(scope)
            if not self.forgets:
                return listing
            self.forgets -= 1
            return Listing(scope, True, self.count, [])

    script = Forgetful(A)
    async with connect("script://x", driver=script) as host:
        stream = Stream(host)
        script.forgets = 4
        script.lost.set()
        assert [type(item) for item in await stream.until(HostConnected)] == [HostLost, HostConnected]
        await anyio.sleep(1)
        (record,) = host.view.values()
        assert record.certainty is Certainty.STALE
        assert not host.status.synced
        assert [type(item) for item in await stream.until(HostResynced)] == [HostResynced]
        assert script.forgets == 0
        (record,) = host.view.values()
        assert record.certainty is Certainty.LIVE
        stream.check()


@pytest.mark.trio
async def test_removal_of_all_is_believed_when_each_says_so(autojump_clock: object) -> None:
    names = [f"vm{number}" for number in range(60)]
    world = make_world(*names)
    async with streamed(world) as (host, stream):
        with world.faults.restart():
            for name in names:
                world.domain(name).undefine()
        items = await stream.until(HostResynced)
        assert sorted(of_domains(items), key=str) == sorted(((Removed, name, Origin.RESYNC) for name in names), key=str)
        assert host.status.synced
        assert not host.view


@pytest.mark.trio
async def test_removal_never_follows_from_a_partial_answer(autojump_clock: object) -> None:
    world = make_world("a", "b", "c")
    async with streamed(world) as (host, stream):
        with world.faults.restart():
            world.domain("b").undefine()
            world.add("d")
            world.faults.hidden = 2
        await stream.until(HostConnected)
        assert await stream.rest(10) == []
        assert len(host.view) == 3
        assert not host.status.synced
        world.faults.hidden = 0
        items = await stream.until(HostResynced)
        assert of_domains(items) == [(Removed, "b", Origin.RESYNC), (Added, "d", Origin.RESYNC)]


@pytest.mark.trio
async def test_another_host_under_the_same_uri_is_said_so_without_a_storm(autojump_clock: object) -> None:
    names = [f"vm{number}" for number in range(300)]
    world = make_world(*names)
    async with streamed(world) as (host, stream):
        old = host.facts
        world.faults.replace_host(UUID(int=9), name="other")
        with world.muted():
            world.add("new")
        items = await stream.until(HostResynced)
        assert [type(item) for item in items] == [HostLost, HostReplaced, HostConnected, Added, HostResynced]
        replaced = items[1]
        assert isinstance(replaced, HostReplaced)
        assert (replaced.before, replaced.after.uuid) == (old, UUID(int=9))
        assert [record.name for record in host.view.values()] == ["new"]
        assert host.facts.hostname == "other"
        world.faults.cut()
        assert of_domains(await stream.until(HostResynced)) == []  # it is the host that is known now


@pytest.mark.anyio
async def test_another_libvirt_host_behind_the_same_socket_is_said_so() -> None:
    """The same over libvirt's own protocol."""
    async with LibvirtSim(domains=20, memory=True) as sim, connect(sim.uri, driver=sim.driver) as host:
        stream = Stream(host)
        sim.replace_host(UUID(int=9))
        items = await stream.until(HostResynced)
        assert [type(item) for item in items] == [HostLost, HostReplaced, HostConnected, HostResynced]
        assert not host.view
        stream.check()


async def flap(world: World, times: int, rng: Random) -> None:
    """Losses at any moment of connecting, arming and listing, while the domains live on."""
    names = [domain.name for domain in world.domains.values()]
    for _ in range(times):
        domain = world.domain(rng.choice(names))
        if domain.active:
            domain.destroy()
        else:
            domain.start()
        await anyio.sleep(rng.uniform(0, 12))
        world.faults.cut()


@pytest.mark.trio
async def test_a_flapping_link_tells_nothing_twice(autojump_clock: object) -> None:
    world = make_world(*(f"vm{number}" for number in range(10)), running=("vm1", "vm2"))
    async with streamed(world, latency=100) as (host, stream):
        await flap(world, 100, Random(5))
        await stream.rest(PATIENCE)
        assert host.status.state is HostState.LIVE
        assert {record.name: record.state for record in host.view.values()} == {
            domain.name: domain.state for domain in world.domains.values()
        }
        assert sum(isinstance(item, HostLost) for item in stream.all) > 60


@pytest.mark.slow
@pytest.mark.trio
async def test_a_flapping_link_takes_no_memory(autojump_clock: object) -> None:
    """Not for a reader that stands still, either. A change that was kept would be 600 bytes, a record as much; CPython
    3.13 itself leaves some 50 bytes with each exception group."""
    world = make_world(*(f"vm{number}" for number in range(10)), running=("vm1", "vm2"))
    rng = Random(5)
    store = Store(capacity=100)
    driver = SimDriver(world=world)
    held: list[int] = []
    tracemalloc.start()
    try:
        async with connect("sim://test?latency=100", driver=driver, store=store) as host, host.watch():
            for _ in range(3):
                await flap(world, LOSSES, rng)
                await anyio.sleep(PATIENCE)
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] - held[1] < 200 * LOSSES
