"""Verbs return when their effect was observed; waiting sees every step."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from avirt.errors import (
    AccessDenied,
    ConnectionLost,
    DomainGone,
    InvalidOperation,
    NotFound,
    OperationTimeout,
    Outcomes,
    Phase,
    Unsupported,
)
from avirt.model.change import Change, Gap, HostLost, Rebooted, Removed, StateChanged
from avirt.model.command import Verb
from avirt.model.record import Certainty
from avirt.model.state import DomainState, PausedReason, RunningReason, ShutoffReason, Transition
from tests.avirt.worlds import QUICK, make_world, watched

pytestmark = pytest.mark.anyio


async def test_start_returns_when_the_domain_was_seen_running() -> None:
    async with watched(make_world("a")) as host:
        outcome = await (await host.lookup(name="a")).start()
        assert (outcome.changed, outcome.observed) == (True, True)
        assert outcome.record is not None
        assert outcome.record.state is DomainState.RUNNING
        assert outcome.record.id == 1


async def test_start_of_a_running_domain_succeeds_and_says_so() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        outcome = await (await host.lookup(name="a")).start()
        assert (outcome.changed, outcome.observed) == (False, True)


async def test_start_paused_is_observed_paused() -> None:
    async with watched(make_world("a")) as host:
        dom = await host.lookup(name="a")
        await dom.start(paused=True)
        record = await dom.wait_for(DomainState.PAUSED, timeout=5)
        assert record.reason is PausedReason.USER


async def test_shutdown_returns_when_the_domain_was_seen_down() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        outcome = await dom.shutdown()
        assert outcome.changed
        assert (dom.state, dom.id, dom.record.reason) == (DomainState.SHUTOFF, None, ShutoffReason.SHUTDOWN)


async def test_shutdown_without_waiting_shows_what_is_under_way() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        outcome = await dom.shutdown(wait=False)
        assert (outcome.changed, outcome.observed) == (True, False)
        assert dom.record.transition is Transition.STOPPING
        await dom.wait_for(DomainState.SHUTOFF, timeout=5)
        assert dom.record.transition is None


async def test_start_while_a_shutdown_is_under_way_is_refused_and_names_it() -> None:
    """ "Already running" is never claimed while the opposite is under way."""
    times = QUICK.__class__(shutdown=30.0)
    async with watched(make_world("a", running=("a",), times=times)) as host:
        dom = await host.lookup(name="a")
        await dom.shutdown(wait=False)
        with pytest.raises(InvalidOperation, match="stopping"):
            await dom.start()


async def test_shutdown_ignored_by_the_guest_times_out_in_phase_accepted() -> None:
    times = QUICK.__class__(shutdown=3600.0)
    async with watched(make_world("a", running=("a",), times=times)) as host:
        dom = await host.lookup(name="a")
        with pytest.raises(OperationTimeout) as caught:
            await dom.shutdown(timeout=0.4)
        assert caught.value.phase is Phase.ACCEPTED
        assert caught.value.last is not None
        assert caught.value.last.state is DomainState.RUNNING
        assert (caught.value.verb, caught.value.domain) == ("shutdown", "a")
        assert dom.record.transition is None


async def test_shutdown_force_after_destroys() -> None:
    times = QUICK.__class__(shutdown=3600.0)
    async with watched(make_world("a", running=("a",), times=times)) as host:
        dom = await host.lookup(name="a")
        outcome = await dom.shutdown(force_after=0.02, timeout=5)
        assert outcome.record is not None
        assert outcome.record.reason is ShutoffReason.DESTROYED


async def test_destroy_of_a_transient_domain_is_done_when_it_is_gone() -> None:
    world = make_world()
    world.add("t", persistent=False)
    async with watched(world) as host:
        dom = await host.lookup(name="t")
        with host.watch() as changes:
            outcome = await dom.destroy()
            assert outcome.observed
            kinds = [type(change) async for change in _until(changes, Removed)]
        assert kinds[-1] is Removed
        assert StateChanged in kinds
        assert not dom.exists
        assert (dom.id, dom.record.certainty) == (None, Certainty.STALE)


async def test_suspend_and_resume() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        await dom.suspend()
        assert dom.state is DomainState.PAUSED
        assert not (await dom.suspend()).changed
        await dom.resume()
        assert (dom.state, dom.record.reason) == (DomainState.RUNNING, RunningReason.UNPAUSED)


async def test_reboot_returns_when_the_reboot_was_seen() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        with dom.watch(kinds={Rebooted}) as changes:
            assert (await dom.reboot()).observed
            assert isinstance(await anext(changes), Rebooted)
        assert (await dom.reset()).observed


async def test_managed_save_and_start_restore() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        await dom.managed_save()
        assert dom.record.reason is ShutoffReason.SAVED
        assert not (await dom.managed_save()).changed
        await dom.start()
        assert dom.state is DomainState.RUNNING


async def test_save_and_restore_from_a_file() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        await dom.save("/img")
        assert dom.record.reason is ShutoffReason.SAVED
        outcome = await host.restore("/img")
        assert outcome.observed
        assert dom.state is DomainState.RUNNING


async def test_rename_is_observed() -> None:
    async with watched(make_world("a")) as host:
        dom = await host.lookup(name="a")
        await dom.rename("b")
        assert dom.name == "b"
        assert (await host.lookup(name="b")) == dom


async def test_autostart_is_observed_and_repeated_says_so() -> None:
    async with watched(make_world("a")) as host:
        dom = await host.lookup(name="a")
        assert (await dom.set_autostart()).changed
        assert dom.record.autostart is True
        assert not (await dom.set_autostart(True)).changed
        assert (await dom.set_autostart(False)).changed


async def test_undefine_of_a_running_domain_makes_it_transient() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        await dom.undefine()
        assert dom.exists
        assert dom.record.persistent is False
        await dom.destroy()
        await anyio.wait_all_tasks_blocked()
        assert not dom.exists


async def test_verb_on_a_vanished_domain_is_not_found() -> None:
    world = make_world("a")
    async with watched(world) as host:
        dom = await host.lookup(name="a")
        await dom.undefine()
        with pytest.raises(NotFound):
            await dom.start()


async def test_readonly_refuses_before_anything_is_sent() -> None:
    world = make_world("a", running=("a",))
    async with watched(world, readonly=True) as host:
        dom = await host.lookup(name="a")
        for call in (dom.start, dom.shutdown, dom.destroy, dom.reboot, dom.reset, dom.suspend, dom.resume):
            with pytest.raises(AccessDenied):
                await call()
        with pytest.raises(AccessDenied):
            await host.define("<domain/>")
        with pytest.raises(AccessDenied):
            await host.create("<domain/>")
        with pytest.raises(AccessDenied):
            await host.restore("/img")
        with pytest.raises(AccessDenied):
            await dom.xml(secure=True)
        assert world.domain("a").active


async def test_unsupported_verb_names_driver_and_verb() -> None:
    world = make_world("a", running=("a",))
    world.faults.unsupported.add(Verb.RESET)
    async with watched(world) as host:
        dom = await host.lookup(name="a")
        with pytest.raises(Unsupported) as caught:
            await dom.reset()
        assert caught.value.verb == "reset"


async def test_waiting_verb_goes_on_through_a_reconnect() -> None:
    times = QUICK.__class__(shutdown=0.05, stopping=0.0)
    world = make_world("a", running=("a",), times=times)
    async with watched(world) as host, anyio.create_task_group() as tg:
        dom = await host.lookup(name="a")
        done: list[bool] = []

        async def shut_down() -> None:
            done.append((await dom.shutdown(timeout=30)).observed)

        tg.start_soon(shut_down)
        with anyio.fail_after(5):
            async for change in dom.watch():
                if isinstance(change, StateChanged) and change.after is not None and change.after.transition:
                    break
        await anyio.wait_all_tasks_blocked()
        world.faults.cut()
    assert done == [True]


async def test_verb_on_a_lost_host_sends_nothing() -> None:
    world = make_world("a")
    async with watched(world) as host:
        dom = await host.lookup(name="a")
        with host.watch(kinds={HostLost}) as changes:
            world.faults.refuse()
            world.faults.cut()
            await anext(changes)
        with pytest.raises(ConnectionLost) as caught:
            await dom.start()
        assert caught.value.outcome is Outcomes.NOT_SENT
        assert dom.record.certainty is Certainty.STALE


async def test_wait_for_is_true_at_once_if_it_holds() -> None:
    async with watched(make_world("a")) as host:
        record = await (await host.lookup(name="a")).wait_for(DomainState.SHUTOFF, DomainState.CRASHED)
        assert record.state is DomainState.SHUTOFF


async def test_wait_for_sees_a_short_step() -> None:
    world = make_world("a", running=("a",))
    async with watched(world) as host, anyio.create_task_group() as tg:
        dom = await host.lookup(name="a")
        tg.start_soon(lambda: dom.wait_for(DomainState.PAUSED, timeout=5))
        await anyio.wait_all_tasks_blocked()
        world.domain("a").suspend()
        world.domain("a").resume()


async def test_wait_for_times_out_with_the_last_record() -> None:
    async with watched(make_world("a")) as host:
        with pytest.raises(OperationTimeout, match="shutoff, not running") as caught:
            await (await host.lookup(name="a")).wait_for(DomainState.RUNNING, timeout=0.02)
        assert caught.value.last is not None


async def test_wait_for_a_domain_that_vanishes_is_domain_gone() -> None:
    world = make_world("a")
    async with watched(world) as host, anyio.create_task_group() as tg:
        dom = await host.lookup(name="a")

        async def wait() -> None:
            with pytest.raises(DomainGone):
                await dom.wait_for(DomainState.RUNNING, timeout=5)

        tg.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        world.domain("a").undefine()
    with pytest.raises(DomainGone):
        await dom.wait_for(DomainState.RUNNING)


async def test_cancelled_verb_leaves_the_connection_usable() -> None:
    world = make_world("a", "b", running=("a",), times=QUICK.__class__(shutdown=3600.0))
    async with watched(world) as host:
        dom = await host.lookup(name="a")
        with anyio.move_on_after(0.02):
            await dom.shutdown()
        assert (await (await host.lookup(name="b")).start()).observed
        assert (await dom.destroy()).observed


async def test_reads() -> None:
    async with watched(make_world("a", running=("a",))) as host:
        dom = await host.lookup(name="a")
        assert "<name>a</name>" in await dom.xml()
        assert (await dom.info()).vcpus
        assert (await dom.stats()).name == "a"
        assert (await dom.refresh()) == dom.record
        assert "running live" in repr(dom)


async def _until(changes: AsyncIterator[Change | Gap], kind: type[Change]) -> AsyncIterator[Change | Gap]:
    async for change in changes:
        yield change
        if isinstance(change, kind):
            return
