"""connect(), Host: the view, the stream, looking up, leaving."""

from __future__ import annotations

from uuid import UUID

import anyio
import pytest

import avirt
from avirt.drivers.sim.driver import SimDriver
from avirt.errors import (
    AuthError,
    AvirtError,
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    InvalidURI,
    NotFound,
    OperationTimeout,
)
from avirt.events.store import Store
from avirt.host import connect, run_host
from avirt.model.change import (
    Added,
    Change,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Removed,
    StateChanged,
)
from avirt.model.observation import Seen
from avirt.model.record import Certainty, HostState
from avirt.model.state import DomainState
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio

XML = "<domain type='sim'><name>{}</name><memory>1024</memory></domain>"


async def test_connect_returns_when_the_first_listing_is_complete() -> None:
    async with watched(make_world("b", "a", running=("a",))) as host:
        assert [dom.name for dom in host.domains()] == ["a", "b"]
        assert {record.name: record.state for record in host.view.values()} == {
            "a": DomainState.RUNNING,
            "b": DomainState.SHUTOFF,
        }
        assert host.status.state is HostState.LIVE
        assert host.status.synced
        assert host.facts.product
        assert repr(host) == "<Host sim://test live>"
        assert all(record.certainty is Certainty.LIVE for record in host.view.values())


async def test_connect_exception_of_the_body_comes_out_as_itself() -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with watched(make_world()):
            raise error
    assert caught.value is error


async def test_connect_group_raised_in_the_body_comes_out_as_itself() -> None:
    error = ExceptionGroup("mine", [ValueError("a"), KeyError("b")])
    with pytest.raises(ExceptionGroup, match="mine") as caught:
        async with watched(make_world()):
            raise error
    assert caught.value is error


@pytest.mark.parametrize("uri", ["nonsense:///x", "qemu", "sim://x?nonsense=1"])
async def test_connect_wrong_uri_is_typed(uri: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        async with connect(uri):
            pass
    assert caught.value.hint


async def test_connect_refused_is_typed_and_leaves_nothing() -> None:
    world = make_world()
    world.faults.refuse()
    with pytest.raises(CannotConnect):
        async with watched(world):
            pass
    assert not world.links


async def test_connect_refused_credentials_is_auth_error() -> None:
    world = make_world()
    world.faults.refuse_credentials = True
    with pytest.raises(AuthError):
        async with watched(world):
            pass


async def test_connect_to_a_silent_peer_ends_in_time() -> None:
    world = make_world()
    world.faults.silence()
    with pytest.raises(OperationTimeout) as caught:
        async with connect("sim://test", driver=SimDriver(world=world), timeout=0.05):
            pass
    assert "doctor" in caught.value.hint


async def test_connect_cancelled_leaves_nothing() -> None:
    world = make_world()
    world.faults.silence()
    with anyio.move_on_after(0.05) as scope:
        async with watched(world):
            pass
    assert scope.cancelled_caught
    assert not world.links


async def test_connect_is_entered_once() -> None:
    block = connect("sim://test", driver=SimDriver(world=make_world()))
    async with block:
        pass
    with pytest.raises(RuntimeError):
        await block.__aenter__()


async def test_run_host_starts_as_a_task() -> None:
    async with anyio.create_task_group() as tg:
        host = await tg.start(run_host, "sim://quiet?domains=2")
        assert len(host.domains()) == 2
        tg.cancel_scope.cancel()


async def test_lookup_by_name_uuid_and_id() -> None:
    async with watched(make_world("a", "b", running=("b",))) as host:
        dom = await host.lookup(name="b")
        assert await host.lookup(uuid=dom.uuid) == dom
        assert await host.lookup(uuid=str(dom.uuid)) == dom
        assert dom.id is not None
        assert await host.lookup(id=dom.id) == dom
        assert host.domain(dom.uuid) == host.domain(dom.record.domain) == host.domain(dom.key) == dom
        assert len({dom, host.domain(dom.uuid)}) == 1


async def test_lookup_of_nothing_is_not_found() -> None:
    async with watched(make_world("a")) as host:
        for wanted in ({"name": "x"}, {"uuid": UUID(int=5)}, {"id": 7}):
            with pytest.raises(NotFound):
                await host.lookup(**wanted)
        with pytest.raises(NotFound):
            host.domain(UUID(int=5))


async def test_lookup_of_nonsense_is_invalid() -> None:
    async with watched(make_world("a")) as host:
        with pytest.raises(InvalidArgument):
            await host.lookup()
        with pytest.raises(InvalidArgument):
            await host.lookup(name="a", id=1)
        with pytest.raises(InvalidArgument):
            await host.lookup(uuid="nonsense")


async def test_lookup_finds_what_no_event_told_of() -> None:
    world = make_world("a")
    async with watched(world) as host:
        world.faults.lose_events(10)
        world.add("new")
        world.faults.heal()
        assert (await host.lookup(name="new")).name == "new"


async def test_define_and_create_return_the_domain() -> None:
    async with watched(make_world()) as host:
        defined = await host.define(XML.format("d"))
        assert (defined.state, defined.record.persistent) == (DomainState.SHUTOFF, True)
        created = await host.create(XML.format("c"))
        assert (created.state, created.record.persistent) == (DomainState.RUNNING, False)


async def test_reads_of_the_host() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        assert await host.hostname() == "sim"
        assert (await host.native_uri()).startswith("sim://")
        assert (await host.node_info()).cpus > 0
        assert [stats.name for stats in await host.stats_once()] == ["a"]
        assert host.uri == "sim://test"


async def test_watch_snapshot_and_stream_are_one() -> None:
    world = make_world("a")
    async with watched(world) as host, host.watch() as changes:
        assert [record.name for record in changes.snapshot] == ["a"]
        world.domain("a").start()
        change = await anext(changes)
        assert isinstance(change, StateChanged)
        assert change.after is not None
        assert change.after.state is DomainState.RUNNING
        assert change.domain == host.domains()[0].record.domain


async def test_watch_resumes_by_token() -> None:
    world = make_world("a")
    async with watched(world) as host:
        with host.watch() as changes:
            token = changes.token
        world.domain("a").start()
        await anyio.wait_all_tasks_blocked()
        with host.watch(since=token) as changes:
            assert isinstance(await anext(changes), StateChanged)


async def test_lost_link_is_said_and_made_again() -> None:
    """HostLost, HostConnected, a Change for every difference, removals included, HostResynced."""
    world = make_world("gone", "started", "same")
    async with watched(world) as host, host.watch() as changes:
        with world.faults.restart():
            world.domain("gone").undefine()
            world.domain("started").start()
            world.add("new")
        seen: list[Change] = []
        with anyio.fail_after(10):
            async for change in changes:
                assert isinstance(change, Change)
                seen.append(change)
                if isinstance(change, HostResynced):
                    break
        kinds = [type(change) for change in seen]
        assert kinds[0] is HostLost
        assert kinds[1] is HostConnected
        assert kinds[-1] is HostResynced
        assert {(type(c), getattr(c, "name", "")) for c in seen[2:-1]} == {
            (Removed, "gone"),
            (StateChanged, "started"),
            (Added, "new"),
        }
        assert host.status.state is HostState.LIVE
        assert {record.certainty for record in host.view.values()} == {Certainty.LIVE}


async def test_lost_host_keeps_its_records_as_stale() -> None:
    world = make_world("a", running=("a",))
    async with watched(world) as host:
        world.faults.refuse("no such socket")
        world.faults.cut()
        with anyio.fail_after(5):
            async for change in host.watch():
                if isinstance(change, HostLost):
                    break
        record = host.domains()[0].record
        assert (record.state, record.certainty) == (DomainState.RUNNING, Certainty.STALE)
        assert record.stale_why
        assert host.status.state in (HostState.LOST, HostState.CONNECTING)
        with pytest.raises(ConnectionLost):
            await host.refresh()
        with anyio.fail_after(10):
            world.faults.heal()
            await host.domains()[0].wait_for(DomainState.RUNNING)


async def test_another_host_under_the_same_uri_is_host_replaced() -> None:
    world = make_world("a", "b")
    async with watched(world) as host, host.watch() as changes:
        world.faults.replace_host()
        kinds: list[type] = []
        with anyio.fail_after(10):
            async for change in changes:
                kinds.append(type(change))
                if isinstance(change, HostResynced):
                    break
        assert kinds == [HostLost, HostReplaced, HostConnected, HostResynced]
        assert not host.view


async def test_native_items_give_the_raw_events_in_order() -> None:
    world = make_world("a")
    async with watched(world) as host, host.native_items() as items:
        world.domain("a").start()
        causes = []
        with anyio.fail_after(5):
            async for item in items:
                if isinstance(item, Seen) and item.observation.cause is not None:
                    causes.append((item.observation.cause.type, item.observation.cause.detail))
                    if len(causes) == 2:
                        break
        assert causes == [("Resumed", "Unpaused"), ("Started", "Booted")]


async def test_two_hosts_share_one_store() -> None:
    store = Store()
    one, two = make_world("a"), make_world("b")
    async with watched(one, store=store, name="one"), watched(two, store=store, name="two"):
        with store.subscribe() as changes:
            assert {(record.host, record.name) for record in changes.snapshot} == {("one", "a"), ("two", "b")}
            one.domain("a").start()
            assert (await anext(changes)).host == "one"  # type: ignore[union-attr]


async def test_name_taken_in_the_store_is_refused() -> None:
    store = Store()
    async with watched(make_world(), store=store, name="one"):
        with pytest.raises(InvalidArgument, match="one"):
            async with watched(make_world(), store=store, name="one"):
                pass


async def test_host_that_was_left_goes_on_in_its_store_and_tells_what_changed_meanwhile() -> None:
    store = Store()
    world = make_world("a", "b")
    async with watched(world, store=store, name="one") as host:
        revision = host.status.revision
    world.domain("a").start()
    world.domain("b").undefine()
    with store.subscribe() as changes:
        assert {record.certainty for record in changes.snapshot} == {Certainty.STALE}
        async with watched(world, store=store, name="one") as host:
            assert {record.name: record.state for record in host.view.values()} == {"a": DomainState.RUNNING}
            told = [change for change in changes.read_nowait(50) if isinstance(change, Change)]
            assert [type(change) for change in told] == [HostConnected, Removed, StateChanged, HostResynced]
            # one more was the loss, on leaving
            assert [change.revision for change in told] == [revision + 2 + n for n in range(4)]


async def test_stream_ends_when_the_block_is_left() -> None:
    async with watched(make_world("a")) as host:
        changes = host.watch()
    rest = [type(change) async for change in changes]
    assert rest[-1:] == [HostLost]


async def test_internal_error_cancels_the_body_and_is_one_error() -> None:
    world = make_world("a")

    async def watch() -> None:
        async with watched(world) as host:
            host.engine._lifecycle = None  # type: ignore[assignment]
            world.after(0, world.domain("a").start)
            await anyio.sleep_forever()

    with pytest.raises(avirt.InternalError) as caught:
        await watch()
    assert isinstance(caught.value, AvirtError)
    assert isinstance(caught.value.__cause__, AttributeError)
