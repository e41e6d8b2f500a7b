"""The daemon dies, comes back, stands still: a watch goes on, says so, and misses nothing."""

from __future__ import annotations

import anyio
import pytest

import avirt
from avirt.errors import ConnectionLost, OperationTimeout, Phase
from avirt.model.change import HostConnected, HostLost, HostResynced, Origin, RecordChange, Removed, StateChanged
from avirt.model.record import Certainty
from avirt.model.state import DomainState
from tests.fix_leaks import nothing_left
from tests.lab.guests import firmware
from tests.lab.proxy import Proxy, proxied
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

SILENCE = 60.0
"""Seconds within which a silent peer has to be found; the keepalive's deadline is well below."""


async def connected(proxy: Proxy, *, more_than: int) -> None:
    """There were more connections than so many."""
    with anyio.fail_after(30):
        while await proxy.connections() <= more_than:
            pass


@pytest.mark.parametrize("gently", [True, False], ids=["SIGTERM", "SIGKILL"])
async def test_restarted_daemon_changes_nothing_but_the_link(qemu: Site, gently: bool) -> None:
    """HostLost, HostConnected, HostResynced; the guests ran on, so no Change of theirs."""
    await qemu.define(firmware("off"))
    await qemu.create(firmware("on"))
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        before = await qemu.agree()
        mark = len(seen.items)
        await qemu.restart(gently=gently)
        await seen.some(HostResynced, after=mark)
        kinds = [type(item) for item in seen.items[mark:] if not isinstance(item, RecordChange)]
        assert kinds == [HostLost, HostConnected, HostResynced]
        await seen.settles(qemu)
        assert await qemu.agree() == before
        moved = [change for change in seen.of(RecordChange, after=mark) if isinstance(change, StateChanged | Removed)]
        assert moved == []


async def test_lost_host_shows_what_it_knew_last_as_stale(qemu: Site) -> None:
    """No state is invented while nobody can say; the status says since when and why."""
    await qemu.create(firmware("silent"))
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        (before,) = host.view.values()
        assert before.certainty is Certainty.LIVE
        await qemu.kill()
        await seen.some(HostLost)
        (stale,) = host.view.values()
        assert stale.certainty is Certainty.STALE
        assert stale.state is before.state
        assert stale.stale_since is not None
        assert host.status.state.value == "lost"
        assert host.status.why
        await qemu.start()
        await seen.some(HostResynced)
        (after,) = host.view.values()
        assert after.certainty is Certainty.LIVE
        await qemu.agree()


async def test_what_happened_while_away_comes_as_resync(qemu: Site) -> None:
    """A guest that died, one that vanished, one that is new: a Change each, marked."""
    await qemu.define(firmware("dies"))
    await qemu.virsh("start", "dies")
    await qemu.create(firmware("vanishes"))
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        mark = len(seen.items)
        await qemu.signal_guest("dies", "STOP")  # so that the daemon is gone before it could tell
        await qemu.signal_guest("vanishes", "STOP")
        await qemu.kill()
        await qemu.signal_guest("dies", "KILL")
        await qemu.signal_guest("vanishes", "KILL")
        await seen.some(HostLost, after=mark)
        await qemu.start()
        await seen.some(HostResynced, after=mark)
        await seen.settles(qemu)
        await qemu.agree()
        by_name = {change.name: change for change in seen.of(RecordChange, after=mark)}
        assert isinstance(by_name["vanishes"], Removed)
        stopped = [change for change in seen.of(StateChanged, after=mark) if change.name == "dies"]
        assert [change.after.state for change in stopped if change.after] == [DomainState.SHUTOFF]
        assert {change.origin for change in stopped} <= {Origin.RESYNC, Origin.EVENT, Origin.POLL}


async def test_frozen_daemon_is_found_and_survived(qemu: Site) -> None:
    """Half-open: the socket stands, nobody answers. HostLost by the keepalive, and back once it thaws."""
    await qemu.create(firmware("iced"))
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.freeze()
        try:
            lost = await seen.some(HostLost, patience=SILENCE)
            assert lost.why
        finally:
            await qemu.thaw()
        await seen.some(HostResynced, patience=SILENCE)
        await seen.settles(qemu)
        await qemu.agree()


async def test_call_to_a_frozen_daemon_ends_by_its_own_deadline(qemu: Site) -> None:
    """The caller gets its time-out; the connection is as before when the daemon goes on."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("slow"))
        await qemu.freeze()
        try:
            with pytest.raises(OperationTimeout) as caught:
                await domain.start(timeout=1)
            assert caught.value.phase is Phase.QUEUED  # whether it runs already could not be read: nothing was sent
            with anyio.move_on_after(0.5) as scope:
                await domain.info()
            assert scope.cancelled_caught
        finally:
            await qemu.thaw()
        assert (await domain.info()).vcpus == 1
        assert domain.state is DomainState.SHUTOFF
        assert (await domain.start()).changed
        await qemu.agree()


async def test_leaving_while_the_daemon_is_frozen_leaves_nothing(qemu: Site) -> None:
    """The block is left at once, and no descriptor, task or thread stays."""
    with nothing_left():
        with anyio.fail_after(20):
            async with avirt.connect(qemu.uri):
                await qemu.freeze()
        await qemu.thaw()


async def test_verb_waits_through_a_reconnect(qemu: Site) -> None:
    """The firmware hears no power button: `shutdown` waits on through a restart of the daemon."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen, anyio.create_task_group() as group:
        domain = await host.define(firmware("patient"))
        await domain.start()
        outcomes = []

        async def ask() -> None:
            outcomes.append(await domain.shutdown(timeout=60))

        group.start_soon(ask)
        await seen.until(lambda: domain.record.transition is not None, "the transition")
        await qemu.restart(gently=False)
        await seen.some(HostResynced)
        assert outcomes == []
        await qemu.virsh("destroy", "patient")
        await seen.until(lambda: bool(outcomes), "the outcome")
        assert outcomes[0].changed
        await qemu.agree()


async def test_call_in_flight_when_the_daemon_dies_is_a_lost_connection(qemu: Site) -> None:
    """A read is not retried; it says so."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(firmware("cut"))
        await qemu.freeze()
        failed = []

        async def ask() -> None:
            try:
                await domain.info()
            except ConnectionLost as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            await qemu.kill()
        assert len(failed) == 1
        await qemu.start()
        await seen.some(HostResynced)
        await qemu.agree()


async def test_connection_cut_in_mid_frame_is_survived(qemu: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """At any byte of the opening and of the listing: the next connection makes it good."""
    await qemu.create(firmware("steady"))
    path = tmp_path_factory.mktemp("s") / "proxy"
    async with proxied(qemu.daemon.socket, path) as proxy:
        uri = f"qemu+unix:///system?socket={path}"
        async with avirt.connect(uri) as host, record(host.watch()) as seen:
            for bytes_ in (1, 3, 29, 200, 700):
                mark = len(seen.items)
                made = await proxy.connections()
                await proxy.limit(bytes_)
                await proxy.cut()
                await seen.some(HostLost, after=mark)
                await connected(proxy, more_than=made)
                await proxy.limit(None)
                await seen.some(HostResynced, after=mark, patience=30)
            await seen.settles(qemu)
            assert seen.of(Removed) == []


async def test_nothing_is_left_after_a_life_with_restarts(qemu: Site) -> None:
    """Descriptors, tasks, threads and processes are as before."""
    await qemu.create(firmware("tidy"))
    with nothing_left():
        async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
            for gently in (True, False):
                mark = len(seen.items)
                await qemu.restart(gently=gently)
                await seen.some(HostResynced, after=mark)
            await qemu.agree()
