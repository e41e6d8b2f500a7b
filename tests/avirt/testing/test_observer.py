"""The engine in miniature."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from avirt.drivers.base import Env, PollPolicy
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.session import SimSession
from avirt.drivers.sim.world import World
from avirt.errors import NativeError
from avirt.model.observation import Signal
from avirt.model.state import DomainState
from avirt.testing.checkers import InvalidStream
from avirt.testing.observer import Observer, observing
from avirt.uri import parse_uri

LAB = parse_uri("sim://lab")


def lab() -> World:
    return World(clock=anyio.current_time, rng=Random(1), name="lab")


@pytest.mark.anyio
async def test_observer_lists_watches_and_probes() -> None:
    world = lab()
    domain = world.add("vm1")
    async with SimDriver(world).open(LAB, Env()) as session, observing(session) as observer:
        domain.start()
        await observer.settle()
        record = observer.record(domain.key)
        assert record is not None
        assert (record.state, record.persistent) == (DomainState.RUNNING, True)
        assert [each.signal for each in observer.told(domain.key)] == [Signal.RESUMED, Signal.STARTED]
        assert [change.seq for change in observer.changes] == list(range(1, len(observer.changes) + 1))


@pytest.mark.trio
async def test_observer_runs_timers(autojump_clock: object) -> None:
    """A killed emulator is read again until it is seen down, although its event was lost."""
    world = lab()
    domain = world.add("vm1", running=True)
    async with SimDriver(world).open(LAB, Env()) as session, observing(session) as observer:
        domain.kill_emulator()
        world.faults.lose_events(1)
        await observer.run(5)
        record = observer.record(domain.key)
        assert record is not None
        assert record.state is DomainState.SHUTOFF


@pytest.mark.trio
async def test_observer_says_what_did_not_come_about(autojump_clock: object) -> None:
    async with SimDriver(lab()).open(LAB, Env()) as session, observing(session) as observer:
        with pytest.raises(AssertionError, match="not within 5 s: a miracle"):
            await observer.until(lambda: False, "a miracle", timeout=5)


@pytest.mark.anyio
async def test_observer_lists_again_after_an_overrun() -> None:
    world = lab()
    async with SimDriver(world).open(LAB, Env()) as session, observing(session) as observer:
        world.faults.lose_events(1)
        domain = world.add("vm1")
        world.faults.overrun()
        await observer.until(lambda: observer.record(domain.key) is not None, "listed")


class Polled(SimSession):
    """A session that tells nothing by itself."""

    @property
    def poll(self) -> PollPolicy | None:
        return PollPolicy(fast=1.0)


@pytest.mark.trio
async def test_observer_polls_where_the_session_must_be_polled(autojump_clock: object) -> None:
    world = lab()
    observer = Observer(Polled(world, uri="sim://lab"))
    domain = world.add("vm1")
    await observer.until(lambda: observer.record(domain.key) is not None, "polled", timeout=5)


@pytest.mark.anyio
async def test_observer_keeps_what_it_did_not_get_to_read() -> None:
    world = lab()
    domain = world.add("vm1")
    async with SimDriver(world).open(LAB, Env()) as session, observing(session) as observer:
        domain.start()
        world.faults.fail_reads("vm1")
        with pytest.raises(NativeError):
            await observer.settle()
        world.faults.fail_lists()
        world.faults.overrun()
        with pytest.raises(NativeError):
            await observer.settle()
        before = len(observer.items)
        await observer.settle()
        assert len(observer.items) == before + 2


@pytest.mark.anyio
async def test_observing_judges_at_the_end() -> None:
    with pytest.raises(InvalidStream):
        async with SimDriver(lab()).open(LAB, Env()) as session, observing(session) as observer:
            del observer.changes[0]
