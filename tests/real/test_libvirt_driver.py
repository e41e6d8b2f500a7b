"""The libvirt driver against real daemons: listings, probes, every verb, every event that can be provoked.

After each step what the driver lists, and what it reads of each domain, is what virsh says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import anyio
import pytest

from avirt.drivers.base import Definitions, Env, HostInfo, Power, Session, Stats, StatsGroup
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.drivers.libvirt.native import Libvirt
from avirt.errors import (
    AccessDenied,
    AlreadyExists,
    AvirtError,
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    InvalidOperation,
    NativeError,
    NotFound,
    Unsupported,
)
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.command import (
    Create,
    Define,
    Destroy,
    ManagedSave,
    ManagedSaveRemove,
    Reboot,
    Rename,
    Reset,
    Restore,
    Resume,
    Save,
    SetAutostart,
    Shutdown,
    ShutdownMode,
    Start,
    Suspend,
    Undefine,
)
from avirt.model.observation import Gone, Item, NativeEvent, Observation, Seen, Signal
from avirt.model.record import DomainRecord, Key, key_of
from avirt.model.state import DomainState, ShutoffReason
from avirt.uri import parse_uri
from tests.lab.guests import container, firmware, linux, test_domain
from tests.lab.site import PATIENCE, Site
from tests.lab.virsh import Row

GUEST = 90.0
"""Seconds for a guest to boot in software emulation on a busy machine."""

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.slow]


def row_of(seen: Observation) -> Row:
    assert seen.status is not None
    return {
        "name": seen.name,
        "uuid": str(UUID(bytes=seen.key)),
        "id": seen.id if seen.active else None,
        "state": seen.status.state.name.lower(),
        "reason": seen.status.reason.name.lower(),
        "persistent": seen.persistent,
        "autostart": seen.autostart,
    }


class Open:
    """An open session and what it emitted."""

    def __init__(self, session: Session, site: Site) -> None:
        self.session = session
        self.site = site
        self.items: list[Item] = []
        self._news = anyio.Event()

    def emit(self, items: Sequence[Item]) -> None:
        self.items += items
        self._news.set()

    @property
    def power(self) -> Power:
        found = self.session.capability(Power)
        assert found is not None
        return found

    @property
    def definitions(self) -> Definitions:
        found = self.session.capability(Definitions)
        assert found is not None
        return found

    async def agree(self) -> dict[str, Row]:
        """The listing and a read of each domain say what virsh says."""
        truth = await self.site.truth()
        listing = await self.session.list()
        assert listing.complete
        assert {row["uuid"]: row for row in map(row_of, listing.items)} == truth
        for item in listing.items:
            probed = await self.session.probe(item.key)
            assert isinstance(probed, Seen)
            assert row_of(probed.observation) == truth[str(UUID(bytes=item.key))]
            assert probed.observation.native == item.native
        return truth

    async def record(self, name: str) -> DomainRecord:
        """A record as a verb gets it."""
        for item in (await self.session.list()).items:
            if item.name == name and item.status is not None:
                return DomainRecord(
                    host="lab",
                    key=item.key,
                    name=name,
                    state=item.status.state,
                    reason=item.status.reason,
                    id=item.id,
                    active=bool(item.active),
                )
        raise AssertionError(f"{name} is not listed")

    async def state(self, name: str, state: DomainState) -> Observation:
        """Wait until a read says so."""
        key = (await self.record(name)).key
        with anyio.fail_after(PATIENCE):
            while True:
                probed = await self.session.probe(key)
                if isinstance(probed, Seen):
                    seen = probed.observation
                    if seen.status is not None and seen.status.state is state:
                        return seen
                await anyio.sleep(0.05)

    async def until(self, holds: Callable[[], bool], *, patience: float = PATIENCE) -> None:
        with anyio.move_on_after(patience):
            while not holds():
                self._news = anyio.Event()
                await self._news.wait()
        assert holds(), self.told()

    def told(self) -> list[str]:
        """What came, short."""
        short = [f"{item.event.kind} {item.event.name}" for item in self.items if isinstance(item, NativeEvent)]
        seen = [item.observation for item in self.items if isinstance(item, Seen)]
        return short + [f"{one.name} {one.cause}" for one in seen]

    def signals(self, name: str) -> list[Signal]:
        """Of one domain, in order."""
        seen = [item.observation for item in self.items if isinstance(item, Seen)]
        return [one.signal for one in seen if one.name == name and one.signal is not None]

    def events(self, kind: type[DomainEvent]) -> list[DomainEvent]:
        found = [item.event for item in self.items if isinstance(item, NativeEvent)]
        return [event for event in found if isinstance(event, kind)]

    async def signalled(self, name: str, *signals: Signal) -> None:
        """Wait until these have come, in whatever order; forget them."""
        await self.until(lambda: set(signals) <= set(self.signals(name)))
        self.items.clear()


@asynccontextmanager
async def opened(site: Site, *, uri: str = "", read_only: bool = False) -> AsyncIterator[Open]:
    """A session that watches."""
    env = Env(read_only=read_only, environ={}, uid=0)
    async with LibvirtDriver().open(parse_uri(uri or site.uri), env) as session:
        one = Open(session, site)
        async with anyio.create_task_group() as group:

            async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                await session.watch(one.emit, task_status=task_status)

            await group.start(watch)
            assert session.poll is None
            yield one
            group.cancel_scope.cancel()


async def refused(call: Awaitable[object], *errors: type[AvirtError]) -> AvirtError:
    with pytest.raises(errors) as caught:
        await call
    assert caught.value.code is not None
    return caught.value


# ---------------------------------------------------------------- QEMU


async def test_qemu_life_of_a_persistent_domain(qemu: Site) -> None:
    """define, start, suspend, resume, reset, reboot, shutdown, destroy, autostart, rename, undefine."""
    async with opened(qemu) as host:
        assert await host.agree() == {}
        key = await host.definitions.define(Define(xml=firmware("web1")))
        await host.signalled("web1", Signal.DEFINED)
        assert (await host.agree())[str(UUID(bytes=key))]["state"] == "shutoff"
        web1 = await host.record("web1")

        await host.power.start(web1, Start())
        await host.until(lambda: {Signal.RESUMED, Signal.STARTED} <= set(host.signals("web1")))
        assert host.signals("web1") == [Signal.RESUMED, Signal.STARTED]  # libvirt's order
        await host.agree()
        await refused(host.power.start(web1, Start()), InvalidOperation)

        web1 = await host.record("web1")
        await host.power.suspend(web1, Suspend())
        await host.signalled("web1", Signal.SUSPENDED)
        await host.agree()
        await host.power.resume(web1, Resume())
        await host.signalled("web1", Signal.RESUMED)
        await host.power.reset(web1, Reset())
        await host.signalled("web1", Signal.REBOOTED)
        await host.power.reboot(web1, Reboot(modes=(ShutdownMode.ACPI,)))
        await host.power.shutdown(web1, Shutdown())
        await refused(host.power.shutdown(web1, Shutdown(modes=(ShutdownMode.AGENT,))), InvalidOperation, Unsupported)
        await host.definitions.set_autostart(web1, SetAutostart(enabled=True))
        assert (await host.agree())[str(UUID(bytes=key))]["autostart"] is True
        await host.definitions.set_autostart(web1, SetAutostart(enabled=False))

        await host.power.destroy(web1, Destroy(graceful=True))
        await host.signalled("web1", Signal.STOPPED)
        await host.agree()
        await refused(host.power.destroy(web1, Destroy()), InvalidOperation)

        await host.definitions.rename(web1, Rename(new="web2"))
        await host.signalled("web2", Signal.RENAMED)
        await host.agree()
        await host.definitions.undefine(await host.record("web2"), Undefine(nvram=True))
        await host.signalled("web2", Signal.UNDEFINED)
        assert await host.agree() == {}
        assert isinstance(await host.session.probe(key), Gone)
        await refused(host.power.start(web1, Start()), NotFound)


async def test_qemu_transient_domain_starts_paused_and_is_gone_when_destroyed(qemu: Site) -> None:
    """create --paused; a transient domain becomes persistent and transient again."""
    async with opened(qemu) as host:
        key = await host.power.create(Create(xml=firmware("t1"), paused=True, validate=True))
        row = (await host.agree())[str(UUID(bytes=key))]
        assert (row["state"], row["persistent"]) == ("paused", False)
        await refused(host.power.create(Create(xml=firmware("t1"))), AlreadyExists, NativeError)
        await host.definitions.define(Define(xml=firmware("t1", uuid=UUID(bytes=key))))
        assert (await host.agree())[str(UUID(bytes=key))]["persistent"] is True
        t1 = await host.record("t1")
        await host.definitions.undefine(t1, Undefine())
        assert (await host.agree())[str(UUID(bytes=key))]["persistent"] is False
        await host.power.destroy(t1, Destroy())
        await host.signalled("t1", Signal.STOPPED)
        assert isinstance(await host.session.probe(key), Gone)
        assert await host.agree() == {}


async def test_qemu_save_restore_and_managed_save(qemu: Site) -> None:
    """To a file and back; where libvirt keeps it; a restart of the daemon forgets why, not that it is saved."""
    async with opened(qemu) as host:
        key = await host.power.create(Create(xml=firmware("s1")))
        path = str(qemu.daemon.folder / "s1.save")
        await host.power.save(await host.record("s1"), Save(path=path, bypass_cache=False, paused=True))
        await host.signalled("s1", Signal.STOPPED)
        assert await host.power.restore(Restore(path=path)) == key
        await host.signalled("s1", Signal.STARTED)
        assert (await host.agree())[str(UUID(bytes=key))]["state"] == "paused"
        await host.power.destroy(await host.record("s1"), Destroy())
        assert await host.power.restore(Restore(path=path, running=True)) == key
        await host.power.destroy(await host.record("s1"), Destroy())
        await refused(host.power.restore(Restore(path="/nowhere")), NativeError)

        await host.definitions.define(Define(xml=firmware("m1")))
        m1 = await host.record("m1")
        await host.power.start(m1, Start())
        await host.power.managed_save(m1, ManagedSave(running=True))
        await host.until(lambda: bool(host.events(n.JobCompleted)))
        await host.agree()
        info = await host.definitions.info(await host.record("m1"))
        assert (info.managed_save, info.cpu_time_ns, info.os_type) == (True, None, "hvm")

    await qemu.restart()
    async with opened(qemu) as host:
        seen = await host.state("m1", DomainState.SHUTOFF)
        assert seen.status is not None
        assert seen.status.reason is ShutoffReason.SAVED
        listed = {item.name: item for item in (await host.session.list()).items}["m1"]
        assert (listed.status, listed.native) == (seen.status, seen.native)
        m1 = await host.record("m1")
        await refused(host.definitions.undefine(m1, Undefine()), InvalidOperation)
        await host.power.managed_save_remove(m1, ManagedSaveRemove())
        await refused(host.power.managed_save_remove(m1, ManagedSaveRemove()), NativeError, InvalidOperation)
        await host.power.start(m1, Start(paused=True))
        await host.power.managed_save(m1, ManagedSave())
        await host.power.start(m1, Start(force_boot=True))
        await host.agree()
        await host.power.destroy(m1, Destroy())
        await host.definitions.undefine(m1, Undefine(managed_save=True))


async def test_qemu_reads(qemu: Site) -> None:
    """dumpxml, dominfo, domstats, the host's own."""
    async with opened(qemu) as host:
        await host.power.create(Create(xml=firmware("r1")))
        await host.definitions.define(Define(xml=firmware("r2")))
        r1, r2 = await host.record("r1"), await host.record("r2")
        for options in ([], ["--inactive"], ["--security-info"], ["--update-cpu"], ["--migratable"]):
            flags = [option.removeprefix("--").replace("-", "_") for option in options]
            named = {{"security_info": "secure"}.get(flag, flag): True for flag in flags}
            ours = await host.definitions.xml(r1, **named)
            assert ours.strip() == (await qemu.virsh("dumpxml", "r1", *options)).strip()
        info = await host.definitions.info(r1)
        said = dict(line.split(":", 1) for line in (await qemu.virsh("dominfo", "r1")).splitlines() if ":" in line)
        assert f"{info.max_memory_kib} KiB" == said["Max memory"].strip()
        assert f"{info.memory_kib} KiB" == said["Used memory"].strip()
        assert str(info.vcpus) == said["CPU(s)"].strip()
        assert info.os_type == said["OS Type"].strip()
        assert (info.managed_save, info.cpu_time_ns is not None) == (False, True)
        assert info.security_model == said["Security model"].strip()
        assert info.security_doi == said["Security DOI"].strip()
        off = await host.definitions.info(r2)
        assert off.cpu_time_ns is None
        assert f"Used memory:    {off.memory_kib} KiB" in await qemu.virsh("dominfo", "r2")

        stats = host.session.capability(Stats)
        assert stats is not None
        every = {one.name: one for one in await stats.collect()}
        assert set(every) == {"r1", "r2"}
        assert every["r1"].key == r1.key
        assert {"state.state", "cpu.time", "vcpu.current"} <= set(every["r1"].params)
        for group in StatsGroup:
            if group in (StatsGroup.VM, StatsGroup.DIRTYRATE, StatsGroup.MEMORY, StatsGroup.PERF):
                continue
            (one,) = await stats.collect([r1], groups=frozenset({group}))
            lines = (await qemu.virsh("domstats", f"--{group}", "r1")).splitlines()[1:]
            assert list(one.params) == [line.strip().split("=")[0] for line in lines if line.strip()]
        (one,) = await stats.collect([r1], groups=frozenset({StatsGroup.STATE, StatsGroup.CPU_TOTAL}), nowait=True)
        assert one.params["state.state"] == 1

        info_of_host = host.session.capability(HostInfo)
        assert info_of_host is not None
        assert await info_of_host.hostname() == await qemu.virsh("hostname")
        assert await info_of_host.uri() == "qemu:///system"
        node = await info_of_host.node_info()
        said = dict(line.split(":", 1) for line in (await qemu.virsh("nodeinfo")).splitlines() if ":" in line)
        assert f"{node.memory_kib} KiB" == said["Memory size"].strip()
        assert (node.model, str(node.cpus)) == (said["CPU model"].strip(), said["CPU(s)"].strip())
        assert host.session.facts.product == "QEMU"
        assert str(host.session.facts.uuid) in await qemu.virsh("capabilities")
        assert host.session.facts.version is not None
        assert ".".join(map(str, host.session.facts.version)) in await qemu.virsh("version")

        native = host.session.capability(Libvirt)
        assert native is not None
        assert (await native.domain_lookup_by_name("r1")).uuid == r1.key


async def test_qemu_bad_input_ends_in_typed_errors(qemu: Site) -> None:
    """Nonsense XML, an unknown domain, a name that is taken."""
    async with opened(qemu) as host:
        await refused(host.definitions.define(Define(xml="<domain")), InvalidArgument)
        await refused(host.definitions.define(Define(xml="<domain type='qemu'/>", validate=True)), InvalidArgument)
        await host.definitions.define(Define(xml=firmware("taken")))
        await refused(
            host.definitions.define(Define(xml=firmware("taken", uuid=UUID(int=5)))), NativeError, AlreadyExists
        )
        nobody = DomainRecord(
            host="", key=key_of(UUID(int=9)), name="x", state=DomainState.SHUTOFF, reason=ShutoffReason.UNKNOWN
        )
        await refused(host.power.start(nobody, Start()), NotFound)
        await refused(host.definitions.xml(nobody), NotFound)
        assert isinstance(await host.session.probe(nobody.key), Gone)


async def test_qemu_emulator_killed(qemu: Site) -> None:
    """Control error, then STOPPED/failed; the read follows in its time."""
    async with opened(qemu) as host:
        await host.definitions.define(Define(xml=firmware("k1")))
        k1 = await host.record("k1")
        await host.power.start(k1, Start())
        host.items.clear()
        await qemu.signal_guest("k1")
        await host.until(lambda: Signal.STOPPED in host.signals("k1"))
        stopped = next(
            item.observation
            for item in host.items
            if isinstance(item, Seen) and item.observation.signal is Signal.STOPPED
        )
        assert stopped.status is not None
        assert stopped.status.reason is ShutoffReason.FAILED
        await host.state("k1", DomainState.SHUTOFF)
        await host.agree()


@pytest.mark.parametrize("anyio_backend", [pytest.param(("trio", {}), id="trio")])  # a minute: one loop is enough
async def test_qemu_linux_guest_events(qemu: Site, guest_images: Path) -> None:
    """Agent, balloon, ACPI shutdown; a guest that panics is crashed and still active."""
    async with opened(qemu) as host:
        await host.definitions.define(Define(xml=linux("l1", guest_images)))
        l1 = await host.record("l1")
        await host.power.start(l1, Start())
        await host.until(
            lambda: any(getattr(e, "state", "") == "connected" for e in host.events(n.AgentLifecycle)), patience=GUEST
        )
        await host.agree()
        await host.power.shutdown(l1, Shutdown(modes=(ShutdownMode.ACPI,)))
        await host.until(lambda: Signal.STOPPED in host.signals("l1"), patience=GUEST)
        assert Signal.SHUTDOWN in host.signals("l1")
        await host.agree()
        await host.definitions.define(Define(xml=linux("p1", guest_images, arguments="lab.panic")))
        p1 = await host.record("p1")
        await host.power.start(p1, Start())
        await host.until(lambda: Signal.CRASHED in host.signals("p1"), patience=GUEST)
        seen = await host.state("p1", DomainState.CRASHED)
        assert (seen.active, seen.id is not None) == (True, True)
        await host.agree()
        await host.power.reset(p1, Reset())
        await host.power.resume(p1, Resume())
        await host.state("p1", DomainState.RUNNING)
        await host.agree()
        await host.power.destroy(p1, Destroy())


async def test_qemu_other_events(qemu: Site) -> None:
    """Metadata, tunable, device added and removed, tray, job completed, migration iteration."""
    async with opened(qemu) as host:
        await host.power.create(Create(xml=firmware("e1")))
        await qemu.virsh("desc", "e1", "--live", "--title", "a title")
        await host.until(lambda: bool(host.events(n.MetadataChange)))
        (event,) = host.events(n.MetadataChange)
        assert isinstance(event, n.MetadataChange)
        assert (event.name, event.type) == ("e1", "title")
        disk, copy = qemu.daemon.folder / "e1.img", qemu.daemon.folder / "e1-copy.img"
        copy.unlink(missing_ok=True)
        disk.write_bytes(bytes(1 << 20))
        await qemu.virsh("attach-disk", "e1", str(disk), "vda", "--targetbus", "virtio", "--live")
        await host.until(lambda: bool(host.events(n.DeviceAdded)))
        await qemu.virsh("blkdeviotune", "e1", "vda", "--total-bytes-sec", "1048576", "--live")
        await host.until(lambda: bool(host.events(n.Tunable)))
        (tunable,) = host.events(n.Tunable)
        assert isinstance(tunable, n.Tunable)
        assert tunable.params["blkdeviotune.total_bytes_sec"] == 1048576
        await qemu.virsh("blockcopy", "e1", "vda", str(copy), "--wait", "--transient-job")
        await host.until(lambda: bool(host.events(n.BlockJob)))
        job = host.events(n.BlockJob)[0]
        assert isinstance(job, n.BlockJob)
        assert (job.disk, job.type, job.status) == ("vda", "copy", "ready")
        await qemu.virsh("blockjob", "e1", "vda", "--abort")
        await host.power.destroy(await host.record("e1"), Destroy())


async def test_qemu_read_only_socket_refuses_verbs(qemu: Site) -> None:
    """Reads and events work; what writes is refused before anything is sent."""
    async with opened(qemu) as rw, opened(qemu, uri=qemu.daemon.uri("qemu", readonly=True), read_only=True) as ro:
        await rw.definitions.define(Define(xml=firmware("o1")))
        await ro.signalled("o1", Signal.DEFINED)
        await ro.agree()
        o1 = await ro.record("o1")
        assert ro.session.facts.read_only
        for call in (
            ro.power.start(o1, Start()),
            ro.power.destroy(o1, Destroy()),
            ro.definitions.undefine(o1, Undefine()),
            ro.definitions.define(Define(xml=firmware("o2"))),
        ):
            with pytest.raises(AccessDenied):
                await call
        assert "<name>o1</name>" in await ro.definitions.xml(o1)
        await refused(ro.definitions.xml(o1, secure=True), AccessDenied)


async def test_qemu_a_lost_daemon_ends_the_watch(qemu: Site) -> None:
    """Killed: the watch raises, calls fail, and a new session finds all as it was."""
    async with LibvirtDriver().open(parse_uri(qemu.uri), Env(environ={}, uid=0)) as session:
        failures: list[AvirtError] = []

        async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            try:
                await session.watch(lambda items: None, task_status=task_status)
            except ConnectionLost as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            await group.start(watch)
            await qemu.kill()
        assert len(failures) == 1
        with pytest.raises(ConnectionLost):
            await session.list()
    with pytest.raises(CannotConnect):
        async with opened(qemu):
            pass
    await qemu.start()
    async with opened(qemu) as host:
        await host.agree()


# ---------------------------------------------------------------- the other drivers


async def test_test_driver_domains(testing: Site) -> None:
    """The default hypervisor of the test driver: one domain; verbs with that driver's own codes."""
    async with opened(testing) as host:
        (item,) = (await host.session.list()).items
        assert (item.name, item.active, item.persistent) == ("test", True, True)
        facts = host.session.facts
        assert (facts.product.lower(), facts.uuid.version) == ("test", 5)
        test = await host.record("test")
        await host.power.suspend(test, Suspend())
        await host.signalled("test", Signal.SUSPENDED)
        await host.power.resume(test, Resume())
        await host.power.shutdown(test, Shutdown())
        await host.signalled("test", Signal.STOPPED)
        await host.power.start(test, Start())
        await refused(host.power.start(test, Start()), InvalidOperation, NativeError)
        key = await host.power.create(Create(xml=test_domain("t2")))
        probed = await host.session.probe(key)
        assert isinstance(probed, Seen)
        assert (probed.observation.persistent, probed.observation.active) == (False, True)
        await host.power.destroy(await host.record("t2"), Destroy())
        assert isinstance(await host.session.probe(key), Gone)
        await refused(host.power.create(Create(xml=test_domain("t3"), reset_nvram=True)), InvalidArgument)


async def test_lxc_container_life(lxc: Site, container_root: Path) -> None:
    """No statistics here: listed by filtered lists; every verb that containers have."""
    async with opened(lxc) as host:
        assert await host.agree() == {}
        await host.definitions.define(Define(xml=container("c1", container_root)))
        await host.definitions.define(Define(xml=container("c2", container_root)))
        await host.agree()
        c1 = await host.record("c1")
        await host.power.start(c1, Start())
        await host.signalled("c1", Signal.STARTED)
        await host.agree()
        await host.definitions.set_autostart(c1, SetAutostart())
        await host.power.suspend(c1, Suspend())
        await host.signalled("c1", Signal.SUSPENDED)
        await host.agree()
        await host.power.resume(c1, Resume())
        await host.power.shutdown(c1, Shutdown(modes=(ShutdownMode.SIGNAL,)))
        await host.signalled("c1", Signal.STOPPED)
        await host.agree()
        await host.power.create(Create(xml=container("c3", container_root)))
        await host.agree()
        assert host.session.capability(Stats) is None
        await refused(host.power.managed_save(c1, ManagedSave()), Unsupported)
        info = await host.definitions.info(c1)
        assert (info.os_type, info.managed_save) == ("exe", False)
        await host.power.destroy(await host.record("c3"), Destroy())
        await host.signalled("c3", Signal.STOPPED)
        await host.agree()


async def test_a_secondary_driver_has_no_domains(qemu: Site) -> None:
    """network:///system connects and lists nothing."""
    async with opened(qemu, uri=qemu.daemon.uri("network")) as host:
        listing = await host.session.list()
        assert (listing.complete, list(listing.items)) == (True, [])
        assert isinstance(await host.session.probe(Key(bytes(range(16)))), Gone)
        assert host.session.capability(Power) is None
        native = host.session.capability(Libvirt)
        assert native is not None
        assert (await native.connect_list_all_networks(1)).nets is not None


async def test_remote_lets_the_daemon_choose(qemu: Site) -> None:
    """remote:/// opens what the daemon prefers, and says what that is."""
    async with opened(qemu, uri=f"remote+unix:///?socket={qemu.daemon.socket}") as host:
        info = host.session.capability(HostInfo)
        assert info is not None
        assert await info.uri() == "qemu:///system"


async def test_unknown_and_absent_drivers_cannot_connect(qemu: Site) -> None:
    """A scheme that this daemon was not built with, one that finds no hypervisor."""
    for driver in ("bhyve", "vz", "xen", "vbox", "openvz"):
        with pytest.raises((CannotConnect, Unsupported)) as caught:
            async with opened(qemu, uri=qemu.daemon.uri(driver)):
                pass
        assert caught.value.hint
