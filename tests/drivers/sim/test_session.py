"""A session with a simulated world: asked counts, latency, faults, loss, cancellation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest
from anyio.abc import TaskStatus

from avirt.drivers.base import Definitions, Env, HostInfo, Power, Stats
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.session import SimSession
from avirt.drivers.sim.world import World
from avirt.errors import ConnectionLost, LocalProtocolError, NativeError, Outcomes
from avirt.model.observation import Gone, Item, NativeEvent, Overrun, Seen, Signal
from avirt.model.record import Key
from avirt.uri import parse_uri

NOBODY = Key(bytes(16))


class Watched:
    """An open session and what it emitted."""

    def __init__(self, world: World, session: SimSession) -> None:
        self.world = world
        self.session = session
        self.items: list[Item] = []

    def signals(self) -> list[Signal | None]:
        return [item.observation.signal for item in self.items if isinstance(item, Seen)]


@asynccontextmanager
async def opened(text: str = "sim://lab", world: World | None = None) -> AsyncIterator[Watched]:
    world = world or World(clock=anyio.current_time, rng=Random(1), name="lab")
    async with SimDriver(world).open(parse_uri(text), Env()) as session:
        assert isinstance(session, SimSession)
        yield Watched(world, session)


@asynccontextmanager
async def watched(text: str = "sim://lab") -> AsyncIterator[Watched]:
    async with opened(text) as it, anyio.create_task_group() as tg:
        await tg.start(it.session.watch, it.items.extend)
        yield it
        tg.cancel_scope.cancel()


@pytest.mark.anyio
async def test_facts_and_capabilities_are_known_after_open() -> None:
    async with opened() as it:
        assert it.session.facts.driver == "sim"
        assert it.session.facts.hostname == "lab"
        assert it.session.poll is None
        for kind in (Power, Definitions, HostInfo, Stats):
            assert isinstance(it.session.capability(kind), kind)
        assert it.session.capability(int) is None


@pytest.mark.anyio
async def test_events_count_and_replies_carry_the_count_at_their_call() -> None:
    async with watched() as it:
        domain = it.world.add("vm1", running=True)
        assert [item.observation.asked for item in it.items if isinstance(item, Seen)] == [1, 2, 3]
        listing = await it.session.list()
        assert (listing.asked, listing.complete, [each.name for each in listing.items]) == (3, True, ["vm1"])
        seen = await it.session.probe(domain.key)
        assert isinstance(seen, Seen)
        assert seen.observation.asked == 4
        gone = await it.session.probe(NOBODY)
        assert gone == Gone(NOBODY, 5)
        domain.destroy()
        last = it.items[-1]
        assert isinstance(last, Seen)
        assert last.observation.asked == 8


@pytest.mark.anyio
async def test_events_before_watch_are_not_emitted_nor_counted() -> None:
    async with opened() as it:
        it.world.add("vm1", running=True)
        assert (await it.session.list()).asked == 0


@pytest.mark.trio
async def test_reply_is_overtaken_by_an_event_and_shows_it_by_its_count(autojump_clock: object) -> None:
    async with watched("sim://lab?latency=1000") as it:
        domain = it.world.add("vm1", running=True)
        it.items.clear()
        it.world.after(0.75, domain.suspend)
        seen = await it.session.probe(domain.key)
        assert isinstance(seen, Seen)
        event = it.items[0]
        assert isinstance(event, Seen)
        assert seen.observation.status is not None
        assert seen.observation.status.state.name == "RUNNING"
        assert event.observation.asked > seen.observation.asked


@pytest.mark.anyio
async def test_native_events_pass_through_in_order() -> None:
    async with watched() as it:
        it.world.add("vm1", running=True).io_error()
        assert isinstance(it.items[-2], NativeEvent)
        assert it.items[-2].asked == len(it.items) - 1


@pytest.mark.anyio
async def test_overrun_is_emitted() -> None:
    async with opened() as it:
        it.world.faults.overrun()
        async with anyio.create_task_group() as tg:
            await tg.start(it.session.watch, it.items.extend)
            it.world.faults.overrun()
            tg.cancel_scope.cancel()
    assert [type(item) for item in it.items] == [Overrun]


@pytest.mark.trio
async def test_watch_lets_time_pass(autojump_clock: object) -> None:
    async with watched() as it:
        domain = it.world.add("vm1", running=True)
        it.items.clear()
        domain.shutdown()
        await anyio.sleep(10)
        assert it.signals() == [Signal.SHUTDOWN, Signal.STOPPED]


@pytest.mark.trio
async def test_time_passes_for_calls_without_a_watch(autojump_clock: object) -> None:
    async with opened() as it:
        it.world.add("vm1", running=True).shutdown()
        await anyio.sleep(10)
        (item,) = (await it.session.list()).items
        assert item.status is not None
        assert item.status.state.name == "SHUTDOWN"


@pytest.mark.anyio
async def test_second_watch_is_refused_and_the_first_goes_on() -> None:
    async with watched() as it:
        with pytest.raises(LocalProtocolError):
            await it.session.watch(print)
        it.world.add("vm1")
        assert it.signals() == [Signal.DEFINED]


@pytest.mark.anyio
async def test_watch_may_be_left_and_entered_again() -> None:
    async with opened() as it:
        for _ in range(2):
            async with anyio.create_task_group() as tg:
                await tg.start(it.session.watch, it.items.extend)
                tg.cancel_scope.cancel()
        it.world.add("vm1")
        assert it.items == []


@pytest.mark.anyio
async def test_cut_ends_the_watch_and_every_call() -> None:
    async with opened() as it:
        key = it.world.add("vm1").key
        it.world.faults.hang("vm1")
        errors: list[ConnectionLost] = []

        async def probe() -> None:
            with pytest.raises(ConnectionLost) as caught:
                await it.session.probe(key)
            errors.append(caught.value)

        async def watch(*, task_status: TaskStatus[None]) -> None:
            with pytest.raises(ConnectionLost) as caught:
                await it.session.watch(it.items.extend, task_status=task_status)
            errors.append(caught.value)

        async with anyio.create_task_group() as tg:
            await tg.start(watch)
            tg.start_soon(probe)
            await anyio.wait_all_tasks_blocked()
            it.world.faults.cut("pulled")
        assert ["pulled" in str(error) for error in errors] == [True, True]
        assert {error.outcome for error in errors} == {Outcomes.UNKNOWN}
        with pytest.raises(ConnectionLost) as caught:
            await it.session.list()
        assert caught.value.outcome is Outcomes.NOT_SENT
        with pytest.raises(ConnectionLost):
            await it.session.watch(print)
        it.world.add("vm2")
        assert it.items == []


@pytest.mark.trio
async def test_cut_ends_a_call_that_is_on_its_way(autojump_clock: object) -> None:
    async with opened("sim://lab?latency=1000") as it:
        for after in (0.25, 0.75):
            async with opened("sim://lab?latency=1000", it.world) as other, anyio.create_task_group() as tg:
                tg.start_soon(pause_then_cut, after, it.world)
                with pytest.raises(ConnectionLost):
                    await other.session.list()


async def pause_then_cut(seconds: float, world: World) -> None:
    await anyio.sleep(seconds)
    world.faults.cut()


@pytest.mark.trio
async def test_silent_peer_is_found(autojump_clock: object) -> None:
    async with opened() as it:
        it.world.faults.silence()
        before = anyio.current_time()
        with pytest.raises(ConnectionLost, match="nothing was heard"):
            await it.session.watch(print)
        assert anyio.current_time() - before == pytest.approx(it.world.times.liveness)


@pytest.mark.anyio
async def test_restart_gives_another_host_or_other_domains() -> None:
    async with opened() as it:
        it.world.add("vm1")
        with it.world.faults.restart() as world:
            world.domain("vm1").undefine()
        async with opened(world=it.world) as again:
            assert (await again.session.list()).items == []
            assert again.session.facts.uuid == it.session.facts.uuid
        it.world.faults.replace_host()
        async with opened(world=it.world) as again:
            assert again.session.facts.uuid != it.session.facts.uuid


@pytest.mark.anyio
async def test_hanging_domain_holds_up_only_its_own_reads_until_healed() -> None:
    async with opened() as it:
        sick, well = it.world.add("vm1").key, it.world.add("vm2").key
        it.world.faults.hang("vm1")
        done: list[Key] = []

        async def probe(key: Key) -> None:
            await it.session.probe(key)
            done.append(key)

        async with anyio.create_task_group() as tg:
            tg.start_soon(probe, sick)
            tg.start_soon(probe, well)
            await anyio.wait_all_tasks_blocked()
            assert done == [well]
            assert len((await it.session.list()).items) == 2
            it.world.faults.heal()
        assert done == [well, sick]


@pytest.mark.anyio
async def test_failing_reads_are_typed_errors_and_never_gone() -> None:
    async with opened() as it:
        key = it.world.add("vm1").key
        it.world.faults.fail_reads("vm1")
        with pytest.raises(NativeError):
            await it.session.probe(key)
        assert isinstance(await it.session.probe(key), Seen)
        it.world.faults.fail_lists()
        with pytest.raises(NativeError):
            await it.session.list()
        assert (await it.session.list()).complete


@pytest.mark.anyio
async def test_partial_listing_says_so() -> None:
    async with opened() as it:
        for index in range(3):
            it.world.add(f"vm{index}")
        it.world.faults.hidden = 2
        listing = await it.session.list()
        assert (len(listing.items), listing.complete) == (1, False)
        it.world.faults.hidden = 9
        listing = await it.session.list()
        assert (len(listing.items), listing.complete) == (0, False)


@pytest.mark.anyio
async def test_stale_ids_are_printed_for_inactive_domains() -> None:
    async with opened() as it:
        domain = it.world.add("vm1", running=True)
        domain.destroy()
        it.world.faults.stale_ids = True
        (item,) = (await it.session.list()).items
        assert (item.id, item.active) == (1, False)


@pytest.mark.anyio
async def test_repr_says_where_it_stands() -> None:
    async with opened() as it:
        assert repr(it.session) == "<SimSession sim://lab open inbound=0>"
    assert "lost" in repr(it.session)
