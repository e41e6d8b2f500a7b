"""What has settled, on real hypervisors: every way in which a guest reboots is one `Rebooted`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import anyio
import pytest

import avirt
from avirt.model.change import Added, Rebooted, RecordChange, Removed, Updated
from avirt.model.native_event import AgentLifecycle
from avirt.model.state import DomainState
from tests.lab.guests import container, firmware, linux
from tests.lab.site import PATIENCE, Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

# nothing here depends on the loop, and each has to wait for what settles: one each, all three in turn
ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
ON_UVLOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
ON_TRIO = pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])

SETTLE = 1.0
BOOT = 90.0
ONE = UUID(int=0x1111)
OTHER = UUID(int=0x2222)


class Settled:
    """The record changes of what has settled, as they come."""

    def __init__(self, stream: avirt.Subscription) -> None:
        self._stream = stream

    async def next(self, count: int = 1, *, patience: float = PATIENCE) -> list[RecordChange]:
        """The next ones."""
        found: list[RecordChange] = []
        with anyio.fail_after(patience):
            async for item in self._stream:
                if isinstance(item, RecordChange):
                    found.append(item)
                if len(found) == count:
                    break
        return found

    async def nothing_more(self) -> None:
        """Nothing else is held back."""
        with anyio.move_on_after(2 * SETTLE):
            assert await self.next(1) == []


@asynccontextmanager
async def settled(site: Site) -> AsyncGenerator[tuple[avirt.Host, Settled]]:
    """A host, and what settles on it."""
    async with avirt.connect(site.uri) as host:
        with host.watch(settle=SETTLE) as stream:
            yield host, Settled(stream)


@ON_ASYNCIO
async def test_reset_that_qemu_tells_twice_is_one_reboot(qemu: Site) -> None:
    await qemu.create(firmware("reset"))
    async with settled(qemu) as (_, changes):
        await qemu.virsh("reset", "reset")
        (change,) = await changes.next()
        assert type(change) is Rebooted
        await changes.nothing_more()


@ON_UVLOOP
async def test_destroyed_and_started_is_one_reboot(qemu: Site) -> None:
    await qemu.define(firmware("again"))
    await qemu.virsh("start", "again")
    async with settled(qemu) as (host, changes):
        (before,) = host.view.values()
        await qemu.virsh("destroy", "again")
        await qemu.virsh("start", "again")
        (change,) = await changes.next()
        assert type(change) is Rebooted
        assert change.merged >= 2
        assert change.before == before
        assert change.after is not None
        assert change.after.id not in (None, before.id)
        await changes.nothing_more()


@ON_TRIO
async def test_transient_with_the_same_uuid_is_a_reboot_and_with_another_none(qemu: Site) -> None:
    await qemu.create(firmware("brief", uuid=ONE))
    async with settled(qemu) as (_, changes):
        await qemu.virsh("destroy", "brief")
        await qemu.create(firmware("brief", uuid=ONE))
        (change,) = await changes.next()
        assert type(change) is Rebooted
        await qemu.virsh("destroy", "brief")
        await qemu.create(firmware("brief", uuid=OTHER))
        removed, added = await changes.next(2)
        assert (type(removed), removed.uuid) == (Removed, ONE)
        assert (type(added), added.uuid) == (Added, OTHER)


@ON_ASYNCIO
async def test_saved_and_restored_is_no_reboot(qemu: Site) -> None:
    await qemu.define(firmware("saved"))
    await qemu.virsh("start", "saved")
    async with settled(qemu) as (_, changes):
        await qemu.virsh("managedsave", "saved")
        await qemu.virsh("start", "saved")
        (change,) = await changes.next()
        assert type(change) is Updated
        assert change.merged > 2
        assert change.after is not None
        assert change.after.state is DomainState.RUNNING


@ON_ASYNCIO
async def test_power_off_that_restarts_is_one_reboot(qemu: Site, guest_images: Path) -> None:
    """`on_poweroff` restart: the guest powers off, and libvirt resets it where it is."""
    await qemu.define(linux("phoenix", guest_images, on_poweroff="restart"))
    async with settled(qemu) as (host, changes):
        with host.watch(kinds={AgentLifecycle}) as agent:
            await qemu.virsh("start", "phoenix")
            with anyio.fail_after(BOOT):
                async for event in agent:
                    if isinstance(event, AgentLifecycle) and event.state == "connected":
                        break
        await changes.next()
        await qemu.virsh("shutdown", "phoenix", "--mode", "acpi")
        (change,) = await changes.next(patience=BOOT)
        assert type(change) is Rebooted
        assert change.after is not None
        assert change.after.state is DomainState.RUNNING


@ON_UVLOOP
async def test_container_that_is_stopped_and_started_is_one_reboot(lxc: Site, container_root: Path) -> None:
    await lxc.define(container("boxed", container_root))
    await lxc.virsh("start", "boxed")
    async with settled(lxc) as (_, changes):
        await lxc.virsh("destroy", "boxed")
        await lxc.virsh("start", "boxed")
        (change,) = await changes.next()
        assert type(change) is Rebooted
