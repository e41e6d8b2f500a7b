"""libvirt's own client against the simulated daemon: what it understands is libvirt's protocol, whoever serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest
from anyio import to_thread

from avirt.testing import LibvirtSim
from tests.fix_lab import require
from tests.lab.sim_site import SimSite
from tests.lab.virsh import Virsh, VirshError, differences

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"]),
]


@pytest.fixture
async def sim(anyio_backend: object) -> AsyncIterator[LibvirtSim]:
    require()
    async with LibvirtSim(domains=3, running=2) as sim:
        yield sim
        assert sim.complaints == []


async def virsh(sim: LibvirtSim, *args: str) -> str:
    return await to_thread.run_sync(partial(Virsh(sim.uri), *args))


async def test_virsh_lists_what_there_is(sim: LibvirtSim) -> None:
    """State, reason, id, persistence, autostart of every domain, after each of its verbs."""
    site = SimSite(sim)
    for command in (
        ("suspend", "vm0"),
        ("resume", "vm0"),
        ("reset", "vm0"),
        ("managedsave", "vm0"),
        ("start", "vm0"),
        ("destroy", "vm0"),
        ("start", "vm0", "--paused"),
        ("domrename", "vm2", "new"),
        ("autostart", "new"),
        ("undefine", "vm1"),
        ("save", "vm0", "/image"),
        ("restore", "/image"),
    ):
        await virsh(sim, *command)
        rows = await to_thread.run_sync(Virsh(sim.uri).inventory)
        assert differences(rows, await site.truth()) == [], command


async def test_virsh_reads_everything_that_avirt_reads(sim: LibvirtSim) -> None:
    for command, words in (
        (("dominfo", "vm0"), "Persistent:     yes"),
        (("dumpxml", "vm0"), "<domain type='qemu'"),
        (("domstats", "vm0"), "state.state=1"),
        (("nodeinfo",), "CPU(s):"),
        (("hostname",), "sim"),
        (("version",), "QEMU 7.2"),
        (("capabilities",), "<host>"),
    ):
        assert words in (await virsh(sim, *command)).replace('"', "'"), command


async def test_virsh_is_refused_as_by_a_real_daemon(sim: LibvirtSim) -> None:
    with pytest.raises(VirshError, match="domain is already running"):
        await virsh(sim, "resume", "vm0")
    with pytest.raises(VirshError, match="failed to get domain 'nobody'"):
        await virsh(sim, "suspend", "nobody")
    with pytest.raises(VirshError, match="not supported"):
        await virsh(sim, "net-list")
    with pytest.raises(VirshError, match="read only"):
        await to_thread.run_sync(Virsh(sim.read_only_uri), "destroy", "vm0")


async def test_virsh_understands_every_event(sim: LibvirtSim) -> None:
    """Each kind that libvirt 9.0 knows, in the order in which they were sent."""
    said: list[str] = []

    async def listen() -> None:
        said.extend((await virsh(sim, "event", "--all", "--loop", "--timeout", "3")).splitlines())

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        with anyio.fail_after(3):
            while not any(peer.registered.is_any for peer in sim.daemon.peers):  # noqa: ASYNC110  nothing tells of it
                await anyio.sleep(0.01)
        await anyio.sleep(0.5)  # it registers one after the other
        for event in range(27):
            sim.send(event, "vm1")
        sim.domain("vm0").destroy()
    events = [line.split("'")[1] for line in said if line.startswith("event '")]
    assert len(events) == 27 + 2
    assert events[:3] == ["lifecycle", "reboot", "rtc-change"]
    assert [line.partition(": ")[2] for line in said if "'vm0'" in line] == [
        "Shutdown Finished after host request",
        "Stopped Destroyed",
    ]
