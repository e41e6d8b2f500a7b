"""Promise 8: a lost session, an expired login or a partial listing is never an empty inventory."""

from __future__ import annotations

import anyio
import pytest

from avirt.errors import AvirtError
from avirt.model.change import Change, HostLost, HostResynced, Removed
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def test_a_partial_listing_removes_nothing() -> None:
    world = make_world("a", "b", "c")
    async with watched(world) as host:
        world.faults.hidden = 2
        await host.refresh()
        assert len(host.view) == 3


async def test_a_failed_listing_removes_nothing() -> None:
    world = make_world("a", "b")
    async with watched(world) as host:
        world.faults.fail_lists(3)
        with pytest.raises(AvirtError):
            await host.refresh()
        assert len(host.view) == 2


async def test_a_refused_login_removes_nothing() -> None:
    world = make_world("a", "b")
    async with watched(world) as host, host.watch() as changes:
        world.faults.refuse_credentials = True
        world.faults.cut()
        with anyio.fail_after(5):
            async for change in changes:
                if isinstance(change, HostLost):
                    break
        await anyio.wait_all_tasks_blocked()
        assert len(host.view) == 2


async def test_a_restart_without_differences_changes_no_domain() -> None:
    world = make_world("a", "b", running=("a",))
    async with watched(world) as host, host.watch() as changes:
        world.faults.cut()
        seen: list[Change] = []
        with anyio.fail_after(10):
            async for change in changes:
                assert isinstance(change, Change)
                seen.append(change)
                if isinstance(change, HostResynced):
                    break
        assert not [change for change in seen if hasattr(change, "key")]
        assert not any(isinstance(change, Removed) for change in seen)


async def test_old_ids_of_inactive_domains_are_not_shown() -> None:
    world = make_world("a", running=("a",))
    world.faults.stale_ids = True
    async with watched(world) as host:
        dom = await host.lookup(name="a")
        await dom.destroy()
        await host.refresh()
        assert dom.id is None
