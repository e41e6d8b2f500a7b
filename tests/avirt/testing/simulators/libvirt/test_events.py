"""Every event that libvirt knows can be sent, and what the world tells arrives as what it was."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

import avirt
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS
from avirt.drivers.libvirt.watch import SUPERSEDED
from avirt.drivers.sim.moments import Moment
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.observation import Item, NativeEvent, Overrun, Seen
from avirt.model.record import Key
from avirt.testing import LibvirtSim
from avirt.testing.simulators.libvirt.events import KINDS, NATIVE, default_fields

KEY = Key(b"k" * 16)

EVENTS: list[DomainEvent] = [
    n.RTCChange(host="", key=KEY, name="vm0", offset=-3),
    n.Watchdog(host="", key=KEY, name="vm0", action="pause"),
    n.IOError(host="", key=KEY, name="vm0", path="/d", device="vda", action="report", reason="enospc"),
    n.Graphics(
        host="",
        key=KEY,
        name="vm0",
        phase="connect",
        local=n.GraphicsAddress("ipv4", "127.0.0.1", "5900"),
        remote=n.GraphicsAddress("unix", "/s", ""),
        auth_scheme="vnc",
        subject=(("x509", "me"),),
    ),
    n.ControlError(host="", key=KEY, name="vm0"),
    n.BlockJob(host="", key=KEY, name="vm0", disk="vda", type="commit", status="ready"),
    n.DiskChange(
        host="", key=KEY, name="vm0", old_path="/a", new_path="/b", device="vda", reason="drop_missing_on_start"
    ),
    n.TrayChange(host="", key=KEY, name="vm0", device="cd", reason="close"),
    n.PMWakeup(host="", key=KEY, name="vm0", reason=7),
    n.PMSuspend(host="", key=KEY, name="vm0", reason=8),
    n.BalloonChange(host="", key=KEY, name="vm0", actual_kib=2**40),
    n.PMSuspendDisk(host="", key=KEY, name="vm0", reason=9),
    n.DeviceRemoved(host="", key=KEY, name="vm0", device="nic1"),
    n.Tunable(host="", key=KEY, name="vm0", params={"a": 1, "b": "text", "c": 1.5, "d": True}),
    n.AgentLifecycle(host="", key=KEY, name="vm0", state="connected", reason="channel"),
    n.DeviceAdded(host="", key=KEY, name="vm0", device="nic1"),
    n.MigrationIteration(host="", key=KEY, name="vm0", iteration=4),
    n.JobCompleted(host="", key=KEY, name="vm0", params={"operation": 2}),
    n.DeviceRemovalFailed(host="", key=KEY, name="vm0", device="nic1"),
    n.MetadataChange(host="", key=KEY, name="vm0", type="element", uri="http://x"),
    n.BlockThreshold(host="", key=KEY, name="vm0", device="vda", path="/d", threshold=5, excess=6),
    n.MemoryFailure(host="", key=KEY, name="vm0", recipient="guest", action="fatal", flags=3),
    n.MemoryDeviceSizeChange(host="", key=KEY, name="vm0", device="virtiomem0", size_kib=1024),
    n.NicMacChange(
        host="", key=KEY, name="vm0", device="net0", old_mac="52:54:00:00:00:01", new_mac="52:54:00:00:00:02"
    ),
    n.VCPURemoved(host="", key=KEY, name="vm0", vcpu=3),
    n.ChannelLifecycle(host="", key=KEY, name="vm0", channel="org.x", state="disconnected", reason="unknown"),
]


@pytest.fixture
async def sim(anyio_backend: object) -> AsyncIterator[LibvirtSim]:
    async with LibvirtSim(memory=True) as sim:
        with sim.world.muted() as world:
            world.domains.clear()
            domain = world.add("vm0", running=True)
            world.domains.clear()
            domain.key = KEY
            world.domains[KEY] = domain
        yield sim


async def items(source: AsyncIterator[Item], last: DomainEvent) -> list[Item]:
    """What came until this event."""
    got: list[Item] = []
    with anyio.fail_after(5):
        async for item in source:
            got.append(item)
            if isinstance(item, NativeEvent) and item.event == last:
                break
    return got


def test_every_native_event_of_the_model_and_every_id_of_libvirt_is_here() -> None:
    """None is forgotten; lifecycle and reboot are moments of the world."""
    assert {type(event) for event in EVENTS} == set(NATIVE)
    assert set(KINDS) == {kind.id for kind in DOMAIN_EVENTS} == set(range(30))
    told = {id for rows in NATIVE.values() for id, _ in rows}
    assert told | {0, 1} == set(KINDS)


@pytest.mark.anyio
async def test_what_the_world_tells_arrives_as_it_was(sim: LibvirtSim) -> None:
    """Through the wire and the driver, each once although some are told under two numbers."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host, host.native_items() as tap:
        for event in EVENTS:
            sim.world.tell(event)
        got = [item.event for item in await items(tap, EVENTS[-1]) if isinstance(item, NativeEvent)]
    assert got == EVENTS
    assert sim.complaints == []


@pytest.mark.anyio
async def test_every_id_can_be_sent(sim: LibvirtSim) -> None:
    """With harmless fields; none of them can't be read."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host, host.native_items() as tap:
        for kind in DOMAIN_EVENTS:
            sim.send(kind.id, "vm0", reason=5)
        sim.world.tell(EVENTS[-1])
        got = await items(tap, EVENTS[-1])
    assert not [item for item in got if isinstance(item, Overrun)]
    natives = [item for item in got if isinstance(item, NativeEvent)]
    seen = [item for item in got if isinstance(item, Seen)]
    # lifecycle, reboot and the lost control are observations; two are superseded
    assert (len(natives), len(seen)) == (30 - 2 - len(SUPERSEDED) + 1, 3)


@pytest.mark.anyio
async def test_fields_can_be_said(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host, host.native_items() as tap:
        sim.send(19, "vm0", "disk7")
        sim.world.tell(EVENTS[-1])
        first = (await items(tap, EVENTS[-1]))[0]
    assert isinstance(first, NativeEvent)
    assert first.event == n.DeviceAdded(host="", key=KEY, name="vm0", device="disk7")


@pytest.mark.parametrize("kind", DOMAIN_EVENTS, ids=lambda kind: kind.name)
def test_default_fields_fit_both_messages(kind: object) -> None:
    assert isinstance(default_fields(kind), tuple)  # type: ignore[arg-type]


def test_moments_keep_their_numbers() -> None:
    assert (Moment.STOPPED_FAILED.type, Moment.STOPPED_FAILED.detail) == (5, 5)
