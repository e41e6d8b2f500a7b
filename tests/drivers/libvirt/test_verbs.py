"""Verbs over a fake daemon: which call with which flags, on which connection; what older servers get instead."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from avirt.drivers.base import Definitions, Diagnostics, DomainInfo, HostInfo, NodeInfo, Power, Stats, StatsGroup
from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.capabilities import capability_of
from avirt.drivers.libvirt.generated import types as t
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc
from avirt.drivers.libvirt.lanes import Lanes, open_lanes
from avirt.drivers.libvirt.native import Libvirt
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import Rpc
from avirt.errors import AvirtError, ConnectionLost, InvalidOperation, NotFound, Unsupported
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
from avirt.model.record import DomainRecord, Key
from avirt.model.state import DomainState, RunningReason
from tests.drivers.libvirt.fake_daemon import HOLD, FakeDaemon, complaint, connected

pytestmark = pytest.mark.anyio

KEY = Key(b"u" * 16)
DOM = t.RemoteDomain("web1", KEY, 7)
UP = DomainRecord(
    host="h", key=KEY, name="web1", state=DomainState.RUNNING, reason=RunningReason.BOOTED, id=7, active=True
)
DOWN = DomainRecord(host="h", key=KEY, name="web1", state=DomainState.SHUTOFF, reason=RunningReason.UNKNOWN)
OFF = t.RemoteDomain("web1", KEY, -1)
NO_SUPPORT = complaint(3, "not supported")
XML = "<domain><name>web1</name><uuid>75757575-7575-7575-7575-757575757575</uuid></domain>"

ANSWERS: dict[Procedure[Any], object] = {
    Proc.DOMAIN_CREATE_WITH_FLAGS: DOM,
    Proc.DOMAIN_CREATE: None,
    Proc.DOMAIN_CREATE_XML: DOM,
    Proc.DOMAIN_SHUTDOWN_FLAGS: None,
    Proc.DOMAIN_SHUTDOWN: None,
    Proc.DOMAIN_DESTROY_FLAGS: None,
    Proc.DOMAIN_DESTROY: None,
    Proc.DOMAIN_REBOOT: None,
    Proc.DOMAIN_RESET: None,
    Proc.DOMAIN_SUSPEND: None,
    Proc.DOMAIN_RESUME: None,
    Proc.DOMAIN_SAVE_FLAGS: None,
    Proc.DOMAIN_SAVE: None,
    Proc.DOMAIN_RESTORE_FLAGS: None,
    Proc.DOMAIN_RESTORE: None,
    Proc.DOMAIN_SAVE_IMAGE_GET_XML_DESC: XML,
    Proc.DOMAIN_MANAGED_SAVE: None,
    Proc.DOMAIN_MANAGED_SAVE_REMOVE: None,
    Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE: 1,
    Proc.DOMAIN_DEFINE_XML_FLAGS: DOM,
    Proc.DOMAIN_DEFINE_XML: DOM,
    Proc.DOMAIN_UNDEFINE_FLAGS: None,
    Proc.DOMAIN_UNDEFINE: None,
    Proc.DOMAIN_RENAME: 0,
    Proc.DOMAIN_SET_AUTOSTART: None,
    Proc.DOMAIN_GET_XML_DESC: XML,
    Proc.DOMAIN_GET_INFO: t.RemoteDomainGetInfoRet(1, 2048, 1024, 2, 77),
    Proc.DOMAIN_GET_OS_TYPE: "hvm",
    Proc.NODE_GET_SECURITY_MODEL: t.RemoteNodeGetSecurityModelRet(b"apparmor\0", b"0\0"),
    Proc.DOMAIN_GET_SECURITY_LABEL: t.RemoteDomainGetSecurityLabelRet(b"libvirt-x\0", 1),
    Proc.CONNECT_GET_HOSTNAME: "h1",
    Proc.CONNECT_GET_URI: "qemu:///system",
    Proc.NODE_GET_INFO: t.RemoteNodeGetInfoRet(b"x86_64".ljust(32, b"\0"), 4096, 2, 2400, 1, 1, 2, 1),
    Proc.CONNECT_GET_ALL_DOMAIN_STATS: tuple(
        t.RemoteDomainStatsRecord(t.RemoteDomain(f"d{n}", bytes([n]) * 16, n), (t.RemoteTypedParam("cpu.time", 4, n),))
        for n in range(70)
    ),
}


class Lab:
    """Lanes to fake daemons; the calls of each by connection: 0 is control, then as they were opened."""

    def __init__(self) -> None:
        self.lanes: Lanes
        self.calls: list[tuple[int, Procedure[Any], tuple[object, ...]]] = []
        self.answers = dict(ANSWERS)
        self.count = 0
        self.daemons: list[FakeDaemon] = []

    def prepare(self, daemon: FakeDaemon) -> None:
        number, self.count = self.count, self.count + 1
        self.daemons.append(daemon)
        for procedure in ANSWERS:
            daemon.handlers[procedure] = self._handler(number, procedure)

    def _handler(self, number: int, procedure: Procedure[Any]) -> Callable[..., object]:
        def handle(*args: object) -> object:
            self.calls.append((number, procedure, args))
            return self.answers[procedure]

        return handle

    @asynccontextmanager
    async def open_more(self) -> AsyncIterator[Rpc]:
        async with connected(prepare=self.prepare) as (rpc, _):
            yield rpc

    def made(self) -> list[tuple[Procedure[Any], tuple[object, ...]]]:
        """Procedures and arguments since the last question."""
        calls, self.calls = self.calls, []
        return [(procedure, args) for _, procedure, args in calls]

    def missing(self, *procedures: Procedure[Any]) -> None:
        for procedure in procedures:
            self.answers[procedure] = complaint(39, f"unknown procedure: {procedure.number}", 7)

    @property
    def power(self) -> Power:
        found = capability_of(Power, self.lanes, has_domains=True)
        assert isinstance(found, Power)
        return found

    @property
    def definitions(self) -> Definitions:
        found = capability_of(Definitions, self.lanes, has_domains=True)
        assert isinstance(found, Definitions)
        return found

    @property
    def stats(self) -> Stats:
        found = capability_of(Stats, self.lanes, has_domains=True)
        assert isinstance(found, Stats)
        return found

    @property
    def host(self) -> HostInfo:
        found = capability_of(HostInfo, self.lanes, has_domains=False)
        assert isinstance(found, HostInfo)
        return found


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    one = Lab()
    async with one.open_more() as control, open_lanes(control, one.open_more) as lanes:
        one.lanes = lanes
        yield one


Verb = Callable[[Lab], Awaitable[object]]

CASES: list[tuple[str, Verb, Procedure[Any], tuple[object, ...]]] = [
    ("start", lambda x: x.power.start(DOWN, Start()), Proc.DOMAIN_CREATE_WITH_FLAGS, (OFF, 0)),
    (
        "start with all",
        lambda x: x.power.start(
            DOWN, Start(paused=True, autodestroy=True, bypass_cache=True, force_boot=True, reset_nvram=True)
        ),
        Proc.DOMAIN_CREATE_WITH_FLAGS,
        (OFF, 1 | 2 | 4 | 8 | 32),
    ),
    (
        "create",
        lambda x: x.power.create(Create(xml=XML, paused=True, validate=True)),
        Proc.DOMAIN_CREATE_XML,
        (XML, 17),
    ),
    ("shutdown", lambda x: x.power.shutdown(UP, Shutdown()), Proc.DOMAIN_SHUTDOWN_FLAGS, (DOM, 0)),
    (
        "shutdown by",
        lambda x: x.power.shutdown(UP, Shutdown(modes=tuple(ShutdownMode) * 2)),
        Proc.DOMAIN_SHUTDOWN_FLAGS,
        (DOM, 31),
    ),
    ("destroy", lambda x: x.power.destroy(UP, Destroy()), Proc.DOMAIN_DESTROY_FLAGS, (DOM, 0)),
    ("gracefully", lambda x: x.power.destroy(UP, Destroy(graceful=True)), Proc.DOMAIN_DESTROY_FLAGS, (DOM, 1)),
    ("reboot", lambda x: x.power.reboot(UP, Reboot(modes=(ShutdownMode.AGENT,))), Proc.DOMAIN_REBOOT, (DOM, 2)),
    ("reset", lambda x: x.power.reset(UP, Reset()), Proc.DOMAIN_RESET, (DOM, 0)),
    ("suspend", lambda x: x.power.suspend(UP, Suspend()), Proc.DOMAIN_SUSPEND, (DOM,)),
    ("resume", lambda x: x.power.resume(UP, Resume()), Proc.DOMAIN_RESUME, (DOM,)),
    ("save", lambda x: x.power.save(UP, Save(path="/s")), Proc.DOMAIN_SAVE_FLAGS, (DOM, "/s", None, 0)),
    (
        "save with all",
        lambda x: x.power.save(UP, Save(path="/s", xml=XML, bypass_cache=True, paused=True)),
        Proc.DOMAIN_SAVE_FLAGS,
        (DOM, "/s", XML, 5),
    ),
    ("managed save", lambda x: x.power.managed_save(UP, ManagedSave(running=True)), Proc.DOMAIN_MANAGED_SAVE, (DOM, 2)),
    (
        "managed save remove",
        lambda x: x.power.managed_save_remove(DOWN, ManagedSaveRemove()),
        Proc.DOMAIN_MANAGED_SAVE_REMOVE,
        (OFF, 0),
    ),
    ("define", lambda x: x.definitions.define(Define(xml=XML)), Proc.DOMAIN_DEFINE_XML_FLAGS, (XML, 0)),
    (
        "define validated",
        lambda x: x.definitions.define(Define(xml=XML, validate=True)),
        Proc.DOMAIN_DEFINE_XML_FLAGS,
        (XML, 1),
    ),
    ("undefine", lambda x: x.definitions.undefine(DOWN, Undefine()), Proc.DOMAIN_UNDEFINE_FLAGS, (OFF, 0)),
    (
        "undefine all",
        lambda x: x.definitions.undefine(
            DOWN,
            Undefine(
                managed_save=True,
                snapshots_metadata=True,
                checkpoints_metadata=True,
                nvram=True,
                keep_nvram=True,
                tpm=True,
                keep_tpm=True,
            ),
        ),
        Proc.DOMAIN_UNDEFINE_FLAGS,
        (OFF, 127),
    ),
    ("rename", lambda x: x.definitions.rename(DOWN, Rename(new="web2")), Proc.DOMAIN_RENAME, (OFF, "web2", 0)),
    (
        "autostart",
        lambda x: x.definitions.set_autostart(DOWN, SetAutostart()),
        Proc.DOMAIN_SET_AUTOSTART,
        (OFF, 1),
    ),
    (
        "no autostart",
        lambda x: x.definitions.set_autostart(DOWN, SetAutostart(enabled=False)),
        Proc.DOMAIN_SET_AUTOSTART,
        (OFF, 0),
    ),
    ("xml", lambda x: x.definitions.xml(UP), Proc.DOMAIN_GET_XML_DESC, (DOM, 0)),
    (
        "xml with all",
        lambda x: x.definitions.xml(UP, inactive=True, secure=True, update_cpu=True, migratable=True),
        Proc.DOMAIN_GET_XML_DESC,
        (DOM, 15),
    ),
]


@pytest.mark.parametrize(("verb", "procedure", "args"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_a_verb_makes_its_call(verb: Verb, procedure: Procedure[Any], args: tuple[object, ...]) -> None:
    """The newest procedure, with virsh's flags."""
    async with lab() as one:
        await verb(one)
        assert one.made() == [(procedure, args)]


async def test_verbs_that_make_a_domain_answer_its_key() -> None:
    """create and define."""
    async with lab() as one:
        assert await one.power.create(Create(xml=XML)) == KEY
        assert await one.definitions.define(Define(xml=XML)) == KEY


OLDER: list[tuple[Verb, Procedure[Any], Procedure[Any], tuple[object, ...]]] = [
    (lambda x: x.power.start(DOWN, Start()), Proc.DOMAIN_CREATE_WITH_FLAGS, Proc.DOMAIN_CREATE, (OFF,)),
    (lambda x: x.power.shutdown(UP, Shutdown()), Proc.DOMAIN_SHUTDOWN_FLAGS, Proc.DOMAIN_SHUTDOWN, (DOM,)),
    (lambda x: x.power.destroy(UP, Destroy()), Proc.DOMAIN_DESTROY_FLAGS, Proc.DOMAIN_DESTROY, (DOM,)),
    (lambda x: x.power.save(UP, Save(path="/s")), Proc.DOMAIN_SAVE_FLAGS, Proc.DOMAIN_SAVE, (DOM, "/s")),
    (lambda x: x.power.restore(Restore(path="/s")), Proc.DOMAIN_RESTORE_FLAGS, Proc.DOMAIN_RESTORE, ("/s",)),
    (lambda x: x.definitions.define(Define(xml=XML)), Proc.DOMAIN_DEFINE_XML_FLAGS, Proc.DOMAIN_DEFINE_XML, (XML,)),
    (lambda x: x.definitions.undefine(DOWN, Undefine()), Proc.DOMAIN_UNDEFINE_FLAGS, Proc.DOMAIN_UNDEFINE, (OFF,)),
]


@pytest.mark.parametrize(("verb", "newest", "older", "args"), OLDER, ids=[case[2].name for case in OLDER])
async def test_an_older_server_gets_the_older_call(
    verb: Verb, newest: Procedure[Any], older: Procedure[Any], args: tuple[object, ...]
) -> None:
    """Where no option needs the newer one."""
    async with lab() as one:
        one.missing(newest)
        await verb(one)
        assert one.made()[-1] == (older, args)


@pytest.mark.parametrize(
    ("verb", "newest"),
    [
        (lambda x: x.power.start(DOWN, Start(paused=True)), Proc.DOMAIN_CREATE_WITH_FLAGS),
        (lambda x: x.power.shutdown(UP, Shutdown(modes=(ShutdownMode.ACPI,))), Proc.DOMAIN_SHUTDOWN_FLAGS),
        (lambda x: x.power.destroy(UP, Destroy(graceful=True)), Proc.DOMAIN_DESTROY_FLAGS),
        (lambda x: x.power.save(UP, Save(path="/s", xml=XML)), Proc.DOMAIN_SAVE_FLAGS),
        (lambda x: x.power.restore(Restore(path="/s", reset_nvram=True)), Proc.DOMAIN_RESTORE_FLAGS),
        (lambda x: x.definitions.define(Define(xml=XML, validate=True)), Proc.DOMAIN_DEFINE_XML_FLAGS),
        (lambda x: x.definitions.undefine(DOWN, Undefine(nvram=True)), Proc.DOMAIN_UNDEFINE_FLAGS),
    ],
)
async def test_an_option_that_an_older_server_lacks_is_refused(verb: Verb, newest: Procedure[Any]) -> None:
    """Never dropped in silence."""
    async with lab() as one:
        one.missing(newest)
        with pytest.raises(Unsupported):
            await verb(one)


async def test_an_older_server_drops_a_saved_image_by_a_call_of_its_own() -> None:
    """undefine --managed-save before 0.9.4; without an image there is nothing to drop."""
    async with lab() as one:
        one.missing(Proc.DOMAIN_UNDEFINE_FLAGS)
        await one.definitions.undefine(DOWN, Undefine(managed_save=True))
        names = [procedure.name for procedure, _ in one.made()]
        assert names[1:] == ["domain_has_managed_save_image", "domain_managed_save_remove", "domain_undefine"]
        one.answers[Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE] = 0
        await one.definitions.undefine(DOWN, Undefine(managed_save=True))
        assert "domain_managed_save_remove" not in [procedure.name for procedure, _ in one.made()]


async def test_restore_tells_whose_image_it_was() -> None:
    """The image's XML names it; an image that can't be looked into is restored all the same."""
    async with lab() as one:
        assert await one.power.restore(Restore(path="/s", xml=XML, running=True)) == KEY
        assert one.made()[-1] == (Proc.DOMAIN_RESTORE_FLAGS, ("/s", XML, 2))
        for answer in (NO_SUPPORT, "<domain/>", "no xml", "<domain><uuid>x</uuid></domain>"):
            one.answers[Proc.DOMAIN_SAVE_IMAGE_GET_XML_DESC] = answer
            assert await one.power.restore(Restore(path="/s")) is None


async def test_restore_over_a_lost_connection_does_not_go_on() -> None:
    """What was not sent is not claimed."""
    async with lab() as one:
        one.answers[Proc.DOMAIN_SAVE_IMAGE_GET_XML_DESC] = HOLD
        async with anyio.create_task_group() as group:

            async def restore() -> None:
                with pytest.raises(ConnectionLost):
                    await one.power.restore(Restore(path="/s"))

            group.start_soon(restore)
            while len(one.daemons) < 2 or not one.daemons[1].held:
                await anyio.lowlevel.checkpoint()
            one.daemons[1].transport.close()
        assert Proc.DOMAIN_RESTORE_FLAGS not in [procedure for procedure, _ in one.made()]


async def test_errors_are_the_hypervisors() -> None:
    """Typed, not interpreted: whether it is there already is decided elsewhere."""
    async with lab() as one:
        one.answers[Proc.DOMAIN_CREATE_WITH_FLAGS] = complaint(55, "domain is already running")
        with pytest.raises(InvalidOperation) as caught:
            await one.power.start(DOWN, Start())
        assert caught.value.code == 55
        one.answers[Proc.DOMAIN_SUSPEND] = complaint(42, "gone")
        with pytest.raises(NotFound):
            await one.power.suspend(UP, Suspend())


async def test_each_call_takes_its_lane() -> None:
    """destroy beside the events, what lasts on a connection of its own, the rest together."""
    async with lab() as one:
        await one.power.destroy(UP, Destroy())
        one.missing(Proc.DOMAIN_DESTROY_FLAGS)
        await one.power.destroy(UP, Destroy())
        await one.power.start(DOWN, Start(autodestroy=True))  # it lives as long as the connection
        await one.power.create(Create(xml=XML, autodestroy=True))
        assert {number for number, *_ in one.calls} == {0}
        one.calls.clear()
        await one.power.suspend(UP, Suspend())
        await one.power.resume(UP, Resume())
        await one.definitions.xml(UP)
        assert {number for number, *_ in one.calls} == {1}
        one.calls.clear()
        await one.power.managed_save(UP, ManagedSave())
        await one.power.save(UP, Save(path="/s"))
        assert [number for number, *_ in one.calls] == [2, 3]


async def test_info_is_one_write() -> None:
    """What dominfo shows."""
    async with lab() as one:
        assert await one.definitions.info(UP) == DomainInfo(
            os_type="hvm",
            vcpus=2,
            cpu_time_ns=77,
            memory_kib=1024,
            max_memory_kib=2048,
            managed_save=True,
            security_model="apparmor",
            security_doi="0",
            security_label="libvirt-x",
            security_enforcing=True,
        )
        assert len(one.made()) == 5
        assert (await one.definitions.info(DOWN)).cpu_time_ns is None


async def test_info_leaves_out_what_a_driver_does_not_say() -> None:
    """Only the memory has to be answered."""
    async with lab() as one:
        for procedure in (
            Proc.DOMAIN_GET_OS_TYPE,
            Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE,
            Proc.NODE_GET_SECURITY_MODEL,
            Proc.DOMAIN_GET_SECURITY_LABEL,
        ):
            one.answers[procedure] = NO_SUPPORT
        info = await one.definitions.info(UP)
        assert info == DomainInfo(vcpus=2, cpu_time_ns=77, memory_kib=1024, max_memory_kib=2048)
        one.answers[Proc.NODE_GET_SECURITY_MODEL] = t.RemoteNodeGetSecurityModelRet(b"\0", b"\0")
        assert (await one.definitions.info(UP)).security_model is None
        one.answers[Proc.NODE_GET_SECURITY_MODEL] = t.RemoteNodeGetSecurityModelRet(b"none", b"0")
        one.answers[Proc.DOMAIN_GET_SECURITY_LABEL] = t.RemoteDomainGetSecurityLabelRet(b"\0", 0)
        info = await one.definitions.info(UP)
        assert (info.security_model, info.security_label, info.security_enforcing) == ("none", None, False)
        one.answers[Proc.DOMAIN_GET_INFO] = complaint(42, "gone")
        with pytest.raises(NotFound):
            await one.definitions.info(UP)


async def test_info_over_a_lost_connection_raises() -> None:
    """A lost connection is not something that is not said."""
    async with lab() as one:
        original = one.prepare

        def prepare(daemon: FakeDaemon) -> None:
            original(daemon)
            daemon.handlers[Proc.DOMAIN_GET_INFO] = lambda dom: ANSWERS[Proc.DOMAIN_GET_INFO]
            daemon.handlers[Proc.DOMAIN_GET_OS_TYPE] = lambda dom: ANSWERS[Proc.DOMAIN_GET_OS_TYPE]
            daemon.handlers[Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE] = lambda dom, flags: daemon.transport.close()

        one.prepare = prepare  # type: ignore[method-assign]
        with pytest.raises(ConnectionLost):
            await one.definitions.info(UP)


async def test_host_reads() -> None:
    """Name, URI, hardware."""
    async with lab() as one:
        assert await one.host.hostname() == "h1"
        assert await one.host.uri() == "qemu:///system"
        assert await one.host.node_info() == NodeInfo(
            model="x86_64", memory_kib=4096, cpus=2, mhz=2400, nodes=1, sockets=1, cores=2, threads=1
        )


async def test_statistics_of_all_groups_in_slices() -> None:
    """By the hypervisor's own names."""
    async with lab() as one:
        found = await one.stats.collect()
        assert [(stats.name, dict(stats.params)) for stats in found] == [(f"d{n}", {"cpu.time": n}) for n in range(70)]
        assert found[3].key == bytes([3]) * 16
        assert one.made() == [(Proc.CONNECT_GET_ALL_DOMAIN_STATS, ((), 0, 0))]
        await one.stats.collect([UP], groups=frozenset(StatsGroup), nowait=True)
        assert one.made() == [(Proc.CONNECT_GET_ALL_DOMAIN_STATS, ((DOM,), 2047, 1 << 29))]
        one.answers[Proc.CONNECT_GET_ALL_DOMAIN_STATS] = NO_SUPPORT
        with pytest.raises(Unsupported):
            await one.stats.collect()


async def test_capabilities_of_a_connection() -> None:
    """Without domains only the host and the protocol are left; nobody knows a capability of the future."""
    async with lab() as one:
        kinds = (Power, Definitions, Stats, HostInfo, Libvirt, Diagnostics)
        assert all(capability_of(kind, one.lanes, has_domains=True) is not None for kind in kinds)
        left = [kind for kind in kinds if capability_of(kind, one.lanes, has_domains=False) is not None]
        assert left == [HostInfo, Libvirt, Diagnostics]
        assert capability_of(dict, one.lanes, has_domains=True) is None


async def test_the_whole_protocol_is_there_natively() -> None:
    """One call at a time for a domain that hangs; high-priority ones go on."""
    async with lab() as one:
        native = Libvirt(one.lanes)
        assert await native.domain_get_os_type(DOM) == "hvm"
        assert await native.connect_get_hostname() == "h1"
        one.answers[Proc.DOMAIN_RESET] = HOLD
        async with anyio.create_task_group() as group:
            group.start_soon(native.domain_reset, DOM)
            while not one.daemons[1].held:
                await anyio.lowlevel.checkpoint()
            group.start_soon(native.domain_suspend, DOM)
            assert await native.domain_get_os_type(DOM) == "hvm"
            assert Proc.DOMAIN_SUSPEND not in [procedure for procedure, _ in one.made()]
            one.daemons[1].reply(one.daemons[1].held.pop())
        assert Proc.DOMAIN_SUSPEND in [procedure for procedure, _ in one.made()]


async def test_native_calls_take_and_give_descriptors() -> None:
    """Over unix sockets."""
    async with lab() as one:
        native = Libvirt(one.lanes)
        await native.connect_get_hostname()
        associated = Proc.DOMAIN_FD_ASSOCIATE
        names: list[object] = []
        one.daemons[1].handlers[associated] = lambda dom, name, flags: names.append(name)
        read_end, write_end = os.pipe()
        try:
            await native.domain_fd_associate(DOM, "n", fds=[read_end])
        finally:
            os.close(read_end)
            os.close(write_end)
        assert names == ["n"]
        assert PROCEDURES[associated.program, associated.number] is associated
        assert codec.pack(associated, DOM, "n", 0)


async def test_a_verb_on_a_lost_host_was_not_sent() -> None:
    """The control connection is gone: so is the host."""
    async with lab() as one:
        one.daemons[0].transport.close()
        await one.lanes.control.wait_closed()
        for call in (one.power.suspend(UP, Suspend()), one.power.destroy(UP, Destroy()), one.definitions.info(UP)):
            with pytest.raises(AvirtError):
                await call
        assert one.made() == []
