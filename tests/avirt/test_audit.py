"""Audit: a lost event is found and counted; nothing else ever is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest
from trio.testing import MockClock

from avirt.audit import GRACE, AuditStatistics
from avirt.drivers.base import PollPolicy
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.life import Seeded
from avirt.drivers.sim.world import World
from avirt.errors import InvalidArgument
from avirt.host import Host, connect, run_host
from avirt.model.change import Change, Gap, HostConnected, HostResynced, Origin, StateChanged, Updated
from avirt.model.observation import Listing, Scope, Signal
from avirt.model.record import Key
from avirt.model.state import DomainState
from avirt.testing import LibvirtSim
from avirt.testing.checkers import validate
from tests.avirt.test_engine import RUNNING, SHUTOFF, A, Script
from tests.avirt.worlds import QUICK, make_world

EVERY = 10.0


@asynccontextmanager
async def audited(world: World, *, every: float = EVERY, latency: int = 0) -> AsyncGenerator[Host]:
    uri = f"sim://test?latency={latency}"
    async with connect(uri, driver=SimDriver(world=world), audit=every) as host:
        yield host


@pytest.mark.trio
async def test_audit_finds_an_event_that_was_lost(autojump_clock: object) -> None:
    world = make_world("a", "b", running=("a", "b"))
    async with audited(world) as host:
        with host.watch() as changes:
            await anyio.sleep(EVERY * 3)
            assert (host.audit.mismatches, changes.lag) == (0, 0)
            world.faults.lose_events(1)
            world.domain("a").suspend()
            await anyio.sleep(EVERY * 1.2 + GRACE + 1)
            (found,) = changes.read_nowait()
            assert isinstance(found, StateChanged)
            assert found.after is not None
            assert (found.name, found.after.state, found.origin) == ("a", DomainState.PAUSED, Origin.AUDIT)
        statistics = host.audit
        assert (statistics.mismatches, statistics.untold, statistics.failed) == (1, 0, 0)
        assert statistics.runs >= 3
        assert statistics.last is not None
        assert statistics.last_mismatch is not None


@pytest.mark.trio
async def test_audit_finds_domains_that_came_and_went_untold(autojump_clock: object) -> None:
    world = make_world("a", "b")
    async with audited(world) as host:
        world.faults.lose_events(2)
        world.domain("a").undefine()
        world.add("c")
        await anyio.sleep(EVERY * 1.2 + GRACE + 1)
        assert sorted(record.name for record in host.view.values()) == ["b", "c"]
        assert host.audit.mismatches == 2


@pytest.mark.trio
async def test_audit_shows_what_no_event_tells_and_does_not_blame_anyone(autojump_clock: object) -> None:
    world = make_world("a")
    async with audited(world) as host, host.watch() as changes:
        world.domain("a").set_autostart(True)
        await anyio.sleep(EVERY * 1.2 + GRACE + 1)
        (found,) = changes.read_nowait()
        assert isinstance(found, Updated)
        assert found.origin is Origin.AUDIT
        assert (host.audit.mismatches, host.audit.untold) == (0, 1)


class Early(Script):
    """Listings are faster than events: each shows a new state, whose event is still to come."""

    def __init__(self, *keys: Key) -> None:
        super().__init__(*keys)
        self.shown = anyio.Event()

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        self.states[A] = SHUTOFF if self.states[A] is RUNNING else RUNNING
        self.shown.set()
        return await super().list(scope)


@pytest.mark.trio
async def test_audit_takes_no_event_that_is_under_way_for_a_lost_one(autojump_clock: object) -> None:
    script = Early(A)
    async with connect("script://x", driver=script, audit=EVERY) as host:
        while host.audit.runs < 20:
            script.shown = anyio.Event()
            await script.shown.wait()
            await anyio.sleep(1)
            now = script.states[A]
            script.tell(A, now, Signal.STARTED if now is RUNNING else Signal.STOPPED)
        assert host.audit.mismatches == 0
        assert script.listed > 30  # there was something to confirm


@pytest.mark.trio
async def test_audit_waits_for_reads_that_are_under_way(autojump_clock: object) -> None:
    """An event was told, and what reads say otherwise is still to come."""
    script = Script(A)
    async with connect("script://x", driver=script, audit=EVERY) as host:
        script.hang = True
        script.tell(A, RUNNING, Signal.STARTED)
        script.states[A] = SHUTOFF
        await anyio.sleep(EVERY * 1.2 + GRACE + 1)
        assert host.view[A].state is SHUTOFF.state
        assert (host.audit.mismatches, host.audit.untold) == (0, 1)


@pytest.mark.slow
@pytest.mark.trio
@pytest.mark.parametrize("seed", range(2))
async def test_audit_stays_at_zero_through_a_busy_life(autojump_clock: object, seed: int) -> None:
    """Thousands of changes, some audits a second, answers that events overtake: no mismatch."""
    life = 300.0
    world = World(clock=anyio.current_time, rng=Random(seed), name="sim", times=QUICK)
    seeded = Seeded(domains=12, rate=10, lasts=life)
    seeded.populate(world)
    async with audited(world, every=0.7, latency=60) as host:
        with host.watch() as changes:
            snapshot, start = list(changes.snapshot), host.engine.store.head
            seeded.begin(world)
            stream: list[Change | Gap] = []
            with anyio.move_on_after(life + 30):
                async for batch in changes.batches():
                    stream += batch
            view = list(host.view.values())
        assert host.audit.mismatches == 0
        assert host.audit.runs > 50
    validate(stream, snapshot=snapshot, view=view, start=start)
    assert len(stream) > 4000
    assert {type(item) for item in stream if item.seq and getattr(item, "origin", None) is Origin.AUDIT} <= {Updated}


@pytest.mark.trio
@pytest.mark.parametrize("seed", range(4))
async def test_audit_finds_each_event_that_is_lost_in_a_busy_life(autojump_clock: object, seed: int) -> None:
    """Domains that nothing more happens to stay wrong for ever, but for the audit."""
    rng = Random(seed)
    world = make_world(*(f"vm{number}" for number in range(40)))
    async with audited(world) as host:
        lost = 0
        for number in range(40):
            if rng.random() < 0.3:
                world.faults.lose_events(3)  # RESUMED and STARTED; what is left of it is no one's
                lost += 1
            world.domain(f"vm{number}").start()
            world.faults.heal()
            await anyio.sleep(rng.uniform(0, 2))
        await anyio.sleep(EVERY * 2)
        assert host.audit.mismatches == lost > 0
        assert {record.state for record in host.view.values()} == {DomainState.RUNNING}


@pytest.mark.trio
async def test_audit_finds_what_a_libvirt_daemon_did_not_tell(mock_clock: MockClock) -> None:
    """The same over libvirt's own protocol."""
    mock_clock.rate = 1.0
    async with (
        LibvirtSim(domains=5, memory=True) as sim,
        connect(sim.uri, driver=sim.driver, audit=EVERY) as host,
    ):
        mock_clock.autojump_threshold = 0.001
        await anyio.sleep(EVERY * 10)
        assert host.audit.runs >= 5
        assert host.audit.mismatches == 0
        sim.faults.lose_event(event=0)
        sim.domain("vm3").suspend()
        await anyio.sleep(EVERY * 1.2 + GRACE + 1)
        assert sim.faults.struck["lose_event"] == 1
        assert host.audit.mismatches == 1
        assert sim.truth() == host.view


@pytest.mark.trio
async def test_audit_blames_nobody_while_a_complete_listing_is_owed(autojump_clock: object) -> None:
    """What went while the connection was lost is told by the listing that follows, however late that is complete."""
    world = make_world("a", "b", "c", running=("a",))
    async with audited(world, every=0.5) as host:
        world.faults.hidden = 1
        with world.faults.restart() as unseen:
            unseen.domain("b").undefine()
        with host.watch(kinds={HostConnected}) as changes:
            await anext(changes)
        await anyio.sleep(0.1)
        before = host.status
        assert not before.synced
        world.faults.hidden = 0
        await anyio.sleep(GRACE + 10)
        assert host.status.synced
        assert {record.name for record in host.view.values()} == {"a", "c"}
        assert host.audit.mismatches == 0
        assert host.audit.runs > 0


@pytest.mark.trio
async def test_audit_that_fails_is_counted_and_made_again(autojump_clock: object) -> None:
    world = make_world("a", "b", running=("a",))
    async with audited(world) as host:
        world.faults.fail_lists(1)
        await anyio.sleep(EVERY * 1.2 + 1)
        assert (host.audit.runs, host.audit.failed) == (0, 1)
        world.faults.hidden = 1
        await anyio.sleep(EVERY * 1.2 + 1)
        failed = host.audit.failed
        assert failed > 1
        assert host.audit.mismatches == 0
        assert len(host.view) == 2
        world.faults.heal()
        runs = host.audit.runs
        await anyio.sleep(EVERY * 1.2 + 1)
        assert host.audit.runs > runs
        assert host.audit.failed == failed


@pytest.mark.trio
async def test_audit_goes_on_after_a_loss(autojump_clock: object) -> None:
    world = make_world("a")
    async with audited(world) as host:
        for _ in range(5):
            with host.watch(kinds={HostResynced}) as changes:
                await anyio.sleep(EVERY * 1.1)
                world.faults.cut()
                await anext(changes)
        runs = host.audit.runs
        await anyio.sleep(EVERY * 4)
        assert host.audit.runs >= runs + 3
        assert host.audit.mismatches == 0


@pytest.mark.trio
async def test_audit_of_a_polled_host_is_its_polling(autojump_clock: object) -> None:
    script = Script(A, poll=PollPolicy(interval=5.0))
    async with connect("script://x", driver=script, audit=1.0) as host:
        await anyio.sleep(60)
        assert host.audit.runs == 0


@pytest.mark.anyio
async def test_audit_is_off_unless_asked_for() -> None:
    async with connect("sim://test") as host:
        assert host.audit == AuditStatistics()
    async with anyio.create_task_group() as tasks:

        async def run(*, task_status: anyio.abc.TaskStatus[Host]) -> None:
            await run_host("sim://test", audit=7.0, task_status=task_status)

        host = await tasks.start(run)
        assert host.audit == AuditStatistics(every=7.0)
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("every", [0, -1.0, float("nan"), float("inf")])
async def test_audit_at_no_interval_is_refused(every: float) -> None:
    with pytest.raises(InvalidArgument, match="audit"):
        async with connect("sim://test", audit=every):
            pass
