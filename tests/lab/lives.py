"""Short lives of domains, made with verbs and virsh in turn: what recordings are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import avirt
from avirt.model.change import HostResynced
from avirt.model.state import DomainState
from tests.lab.guests import container, firmware
from tests.lab.recording import Recording, record
from tests.lab.site import Site

__all__ = ["CANARY", "UUID", "Life", "container_life", "driver_life", "qemu_life"]

Life = Callable[[Site, avirt.Host], Awaitable[None]]

CANARY: Final = "tweet-tw"
"""A password: VNC takes eight characters. It may be in no recording."""

UUID: Final = "c7a5fdbd-edaf-9455-926a-d65c16db1809"


async def _restarts(site: Site, seen: Recording) -> None:
    """The daemon is killed, started, and connected again. (Asked to end, it may take its time while guests run.)"""
    mark = len(seen.items)
    await site.restart(gently=False)
    await seen.some(HostResynced, after=mark)


async def driver_life(site: Site, host: avirt.Host) -> None:
    """libvirt's test driver: all of it over one connection, as each has a hypervisor of its own."""
    async with record(host.watch()) as seen:
        domain = await host.lookup(name="test")
        await domain.suspend()
        await domain.destroy()
        await domain.start()
        await domain.shutdown()
        await domain.undefine()
        await _restarts(site, seen)


async def qemu_life(site: Site, host: avirt.Host) -> None:
    """A guest that is defined, started, reset, killed from outside, and gone; the daemon is restarted meanwhile."""
    devices = f"<graphics type='vnc' port='-1' passwd='{CANARY}'/></devices>"
    xml = firmware("golden", uuid=UUID).replace("</devices>", devices)
    async with record(host.watch()) as seen:
        domain = await host.define(xml)
        assert CANARY in await domain.xml(secure=True)
        await domain.start()
        await site.virsh("suspend", "golden")
        await seen.settles(site)
        await domain.resume()
        await _restarts(site, seen)
        await seen.settles(site)
        await site.signal_guest("golden")
        await domain.wait_for(DomainState.SHUTOFF, timeout=30)
        await site.virsh("start", "golden", "--paused")
        await seen.settles(site)
        await domain.destroy()
        await site.virsh("undefine", "golden")
        await seen.settles(site)


def container_life(root: Path) -> Life:
    """A container's, on this root folder: read by lists, as its driver has no statistics."""

    async def life(site: Site, host: avirt.Host) -> None:
        async with record(host.watch()) as seen:
            domain = await host.define(container("golden", root).replace("<memory", f"<uuid>{UUID}</uuid><memory", 1))
            await domain.start()
            await domain.suspend()
            await site.virsh("destroy", "golden")
            await seen.settles(site)
            await _restarts(site, seen)
            await seen.settles(site)
            await domain.undefine()

    return life
