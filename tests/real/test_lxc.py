"""Containers through libvirt's LXC driver: no bulk statistics there, so the list comes another way."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

import avirt
from avirt.errors import Unsupported
from avirt.model.change import Removed
from avirt.model.command import ShutdownMode
from avirt.model.state import DomainState
from tests.lab.guests import container
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


def appears(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


async def ready(root: Path) -> None:
    """The container's init has come to where it hears signals."""
    with anyio.fail_after(15):
        await to_thread.run_sync(appears, root / "ready", abandon_on_cancel=True)


async def test_whole_life_of_a_container(lxc: Site, container_root: Path) -> None:
    """By virsh and by avirt in turn."""
    await anyio.Path(container_root / "ready").unlink(missing_ok=True)
    async with avirt.connect(lxc.uri) as host, record(host.watch()) as seen:
        domain = await host.define(container("boxed", container_root))
        await lxc.agree()
        await domain.start()
        await lxc.agree()
        await lxc.virsh("suspend", "boxed")
        await seen.settles(lxc)
        assert domain.state is DomainState.PAUSED
        await lxc.agree()
        await domain.resume()
        await lxc.agree()
        await ready(container_root)
        await domain.shutdown(modes=[ShutdownMode.SIGNAL], timeout=30)
        assert domain.id is None
        await seen.settles(lxc)
        await lxc.agree()
        await domain.start()
        await lxc.virsh("destroy", "boxed")
        await domain.wait_for(DomainState.SHUTOFF, timeout=30)
        await seen.settles(lxc)
        await lxc.agree()
        await domain.undefine()
        assert await lxc.agree() == {}


async def test_transient_container_is_removed_when_its_init_ends(lxc: Site, container_root: Path) -> None:
    """Killed from outside: SHUTOFF, then gone."""
    async with avirt.connect(lxc.uri) as host, record(host.watch()) as seen:
        await lxc.create(container("brief", container_root))
        await seen.settles(lxc)
        await lxc.virsh("destroy", "brief")
        await seen.some(Removed)
        assert await lxc.agree() == {}
    assert seen.states("brief") == ["running", "shutoff"]


async def test_containers_outlive_the_daemon(lxc: Site, container_root: Path) -> None:
    """A restart changes nothing but the reason, which this driver of libvirt forgets."""
    await lxc.create(container("steady", container_root))
    async with avirt.connect(lxc.uri) as host, record(host.watch()) as seen:
        before = await lxc.agree()
        await lxc.restart(gently=False)
        await seen.until(lambda: host.status.synced and len(seen.items) >= 3, "the resync")
        await seen.settles(lxc)
        after = await lxc.agree()
        assert [{**row, "reason": ""} for row in after.values()] == [{**row, "reason": ""} for row in before.values()]


async def test_statistics_are_unsupported_here(lxc: Site) -> None:
    """What the driver can't do is said as that."""
    async with avirt.connect(lxc.uri) as host:
        with pytest.raises(Unsupported):
            await host.stats_once()
    answer = await lxc.avirt("domstats", check=False)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
